//! Keys and signatures against the examples of the RFCs.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_oauth::{
    jwks::{Algorithm, KeyError, PublicKey, PublicKeys, SigningKey},
    jwt::Unverified,
};
use serde_json::{Value, json};

use crate::world::{random, signing_key};

const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

fn key(jwk: &Value) -> Result<PublicKey, KeyError> {
    PublicKey::from_jwk(jwk.as_object().unwrap())
}

fn p256() -> Value {
    json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

fn ed25519() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

fn rsa() -> Value {
    json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB" })
}

#[test]
fn signatures_of_the_rfcs_verify() {
    // RFC 7515 appendix A.3 and A.2.
    let es256 = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let rs256 = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    for (token, jwk) in [(es256, p256()), (rs256, rsa())] {
        let claims = Unverified::split(token).unwrap().verify(&key(&jwk).unwrap()).unwrap();
        assert_eq!(claims.text("iss"), Some("joe"));
        let other = if jwk["kty"] == "EC" { rsa() } else { p256() };
        assert!(Unverified::split(token).unwrap().verify(&key(&other).unwrap()).is_err());
    }
    // RFC 8037 appendix A.4: the payload is not JSON.
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = URL_SAFE_NO_PAD
        .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
        .unwrap();
    let key = key(&ed25519()).unwrap();
    assert!(key.verifies(signed.as_bytes(), &signature));
    assert!(!key.verifies(b"other", &signature));
}

// spec: RFC7638#3
#[test]
fn thumbprints_are_those_of_the_rfcs() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let rsa = json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
    assert_eq!(key(&rsa).unwrap().thumbprint().to_base64url(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let thumbprint = key(&ed25519()).unwrap().thumbprint().to_base64url();
    assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

// spec: AS-107, T-24
#[test]
fn private_and_symmetric_keys_are_refused() {
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        for mut jwk in [p256(), ed25519(), rsa()] {
            jwk[name] = json!("AA");
            assert_eq!(key(&jwk), Err(KeyError::Private), "{name}");
            assert_eq!(PublicKeys::from_value(&json!({ "keys": [p256(), jwk] })), Err(KeyError::Private));
        }
    }
    assert_eq!(key(&json!({ "kty": "oct" })), Err(KeyError::Private));
}

// spec: RFC7517#4.2, RFC7517#4.4, RFC7518#3.3
#[test]
fn keys_of_another_kind_or_purpose_are_not_taken() {
    let with = |mut jwk: Value, name: &str, value: &str| {
        jwk[name] = value.into();
        key(&jwk).err()
    };
    assert_eq!(with(p256(), "use", "sig"), None);
    assert_eq!(with(p256(), "alg", "ES256"), None);
    assert_eq!(with(p256(), "use", "enc"), Some(KeyError::Unsupported));
    assert_eq!(with(p256(), "alg", "ES384"), Some(KeyError::Unsupported));
    assert_eq!(with(rsa(), "alg", "PS256"), Some(KeyError::Unsupported));
    assert_eq!(with(p256(), "crv", "P-384"), Some(KeyError::Unsupported));
    assert_eq!(with(ed25519(), "crv", "X25519"), Some(KeyError::Unsupported));
    assert_eq!(with(p256(), "x", "AAAA"), Some(KeyError::Malformed));
    assert_eq!(with(p256(), "y", "not base64!"), Some(KeyError::Malformed));
    assert_eq!(with(rsa(), "n", &RSA_N[..172]), Some(KeyError::Unsupported));
    let mut zeroes = vec![0; 200];
    zeroes.extend(URL_SAFE_NO_PAD.decode(&RSA_N[..172]).unwrap());
    assert_eq!(with(rsa(), "n", &URL_SAFE_NO_PAD.encode(zeroes)), Some(KeyError::Unsupported), "padded short key");
    assert_eq!(with(rsa(), "e", ""), Some(KeyError::Unsupported));
    assert_eq!(key(&json!({})), Err(KeyError::Malformed));
}

// spec: T-38, RFC7517#5
#[test]
fn key_sets_are_bounded_and_what_is_unknown_in_them_is_skipped() {
    let mut named = p256();
    named["kid"] = json!("a");
    let set = json!({ "keys": [{ "kty": "AKP", "pub": "x" }, named, ed25519()] });
    let keys = PublicKeys::parse(set.to_string().as_bytes()).unwrap();
    assert!(keys.find(Some("a"), Algorithm::Es256).is_some());
    assert!(keys.find(Some("a"), Algorithm::EdDsa).is_none());
    assert!(keys.find(Some("b"), Algorithm::Es256).is_none());
    assert!(keys.find(None, Algorithm::EdDsa).is_some(), "the only one of its algorithm");
    let two = PublicKeys::from_value(&json!({ "keys": [p256(), signing_key().public().to_jwk()] })).unwrap();
    assert!(two.find(None, Algorithm::Es256).is_none(), "which of two is not guessed");

    let many = |n: usize| json!({ "keys": vec![p256(); n] }).to_string();
    assert!(PublicKeys::parse(many(64).as_bytes()).is_ok());
    assert_eq!(PublicKeys::parse(many(65).as_bytes()), Err(KeyError::TooLarge));
    assert_eq!(PublicKeys::parse(&vec![b' '; 65 * 1024]), Err(KeyError::TooLarge));
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#] {
        assert_eq!(PublicKeys::parse(text.as_bytes()), Err(KeyError::Malformed), "{text}");
    }
}

#[test]
fn signing_key_is_the_same_key_after_storage() {
    let stored = SigningKey::generate(&random()).unwrap();
    let (a, b) =
        (SigningKey::from_pkcs8(&stored, random()).unwrap(), SigningKey::from_pkcs8(&stored, random()).unwrap());
    assert_eq!(a.kid(), b.kid());
    let signature = a.sign(b"message").unwrap();
    assert!(b.public().verifies(b"message", &signature));
    let jwk = a.public().to_jwk();
    assert_eq!((&jwk["kid"], &jwk["use"], &jwk["alg"]), (&json!(a.kid()), &json!("sig"), &json!("ES256")));
    assert!(jwk.get("d").is_none());
    assert_eq!(&key(&jwk).unwrap(), a.public());
    assert_eq!(SigningKey::from_pkcs8(b"damaged", random()).unwrap_err(), KeyError::Damaged);
    assert!(!format!("{a:?}").contains("pair"));
}
