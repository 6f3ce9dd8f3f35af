//! Keys and signatures against the examples of the RFCs.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_oauth::{
    jwks::{Algorithm, KeyError, PublicKey, PublicKeys, SigningKey},
    jwt::Unverified,
};
use serde_json::{Value, json};

use crate::{
    foreign::P384,
    world::{random, signing_key},
};

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
    assert_eq!(with(rsa(), "alg", "PS256"), None);
    assert_eq!(with(rsa(), "alg", "ES256"), Some(KeyError::Unsupported));
    assert_eq!(with(rsa(), "alg", "HS256"), Some(KeyError::Unsupported));
    assert_eq!(with(p256(), "crv", "P-384"), Some(KeyError::Malformed));
    assert_eq!(with(p256(), "crv", "P-521"), Some(KeyError::Unsupported));
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

// spec: RFC8725#3.1, T-37
#[test]
fn key_has_one_algorithm_which_its_set_names() {
    // Signed with a key made for this test and thrown away.
    let n = "2Mj0sp7iuRe5SCd7mxcp5A-6lcls1VsoOnZl0jq9ErWSoKcZ4OYxFqXuvkPgspmo-_QrCSjbIAlC-UJ4XOJGvia2boZ2mR5WsTVbW7NMQ4iAJIHlzAtfSDouRY5WQjs-Erk2IxeksqBuFbuIf32tXNRQ7WayJ4jGczbWfssZ2rnKCaB9jPhlB9C2eonJSmVgnRs4n1d3WBXxAUevi3uOzrvEnmMU_07yScC9oHuKA20MX_dPsQPVN2p8upGUorY327x08gU3YaP19T4CHDVDoCCvLElKixOXyB3FZW2sikNhYy4pFEEZV8oF_dz7oGCbBU7236I15-g9Lk8rj413Bw";
    let rs384 = "eyJhbGciOiJSUzM4NCJ9.eyJpc3MiOiJqb2UifQ.USDZ7TXMgzNoyuRwkQg9lrW2Nb8XalZP7XE9mPaP31NabQVr72Fnyhj3dxSXn-7Ix0WEGNLp1x39CW-zzhlOOj4JVMpcYvN1fQyg0OLsAXQxvDUrTT22kfk8dwDrEGwZvSoFoUd-nkRKCmFHfqJYqa8KTp0rkYbjx5lpan-8-pB5050xRF1FYwYHYPU4mKfemLaKijLXOtu0IGe1yXTVCyyoawmMjdMdd83-MQYdRQ2k6JN0WiFPuLAjGYw6RvuZ6CHZlgndl6zq-57xBr2bDC9-j7ii16MSCJdJuQe5Usl0pN2Z3cHlLh6NpyvkNW1tf9M5IIbVt6ifJ8TfDvUb4g";
    let rs512 = "eyJhbGciOiJSUzUxMiJ9.eyJpc3MiOiJqb2UifQ.AiW0lpCa9Tf3p6ly0yRhGM4P-_2rHqpwZRvGLpRzwxkElglUkn2JusxeOID89M2UiXPnA1K6ERxKpa5W9PD-yLgCI1mgkK3mqVkZqi4bRBmZhD0qbRJ4HFx4zDPUjNCGVPU50GQwfUDjkYj5J1dNOq-1FkM5UpNu3rsA21wW--kMyqXb4jYeIzUTnhB-G388qbwpiQREFPF1jdJbFmIzPjPKMWeMYcR47--qAhva-0qCiL7mQdZ9lOtc9vuhEXGrxDAm_rPfEdsov5efOTxNbDpeTQxzznd3YIAcmfoswwArHskGIM2FcUP7wONeKfDvJrAMouPj6g0pPyk399WYGg";
    let ps256 = "eyJhbGciOiJQUzI1NiJ9.eyJpc3MiOiJqb2UifQ.nkROrXt6J2ba38tWE2ZzEcxErVvhqjIpvv5BFecYglNEhnRUnDoytpWinBK-jd9fPae7e9W9fOYu7tREhSgbFl9d234XFn8OObl0cjpqtXcFqRiq82Gea9ba-LWI7buXf52jroipU8nxPUgbRBEP_EItFiOIE4RNEz_vwo0L8MwaZsoCY1vgmwlOkzQEms19dZxJrSfj5AjavM6qLMr-AhgyrGTxRYmfBxiYzm4wDkxvXCjnyaLmdXQxTgkaHef3EgPKx15J3qjlD5bytwgcCzM8gGppIdDgnVYsybWDb1Kk4jvEd83dGXq6AcDHDCCBzxw5X-XvL932Icw_5PcfHg";
    let tokens = [("RS384", rs384), ("RS512", rs512), ("PS256", ps256)];
    for named in [None, Some("RS256"), Some("RS384"), Some("RS512"), Some("PS256")] {
        let mut jwk = json!({ "kty": "RSA", "n": n, "e": "AQAB" });
        if let Some(named) = named {
            jwk["alg"] = named.into();
        }
        let key = key(&jwk).unwrap();
        assert_eq!(key.algorithm().as_str(), named.unwrap_or("RS256"), "the usual one if none is named");
        for (algorithm, token) in tokens {
            let verified = Unverified::split(token).unwrap().verify(&key);
            assert_eq!(verified.is_ok(), named == Some(algorithm), "{algorithm} with a key for {named:?}");
        }
    }
    // The same signature under another name is another claim.
    let mut key_ps256 = json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "PS256" });
    let (_, rest) = rs384.split_once('.').unwrap();
    let renamed = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(r#"{"alg":"PS256"}"#));
    assert!(Unverified::split(&renamed).unwrap().verify(&key(&key_ps256).unwrap()).is_err());
    key_ps256["use"] = "enc".into();
    assert_eq!(key(&key_ps256), Err(KeyError::Unsupported));
}

// spec: RFC8725#3.1
#[test]
fn signatures_on_p384_verify() {
    let signer = P384::new();
    let token = signer.sign(&json!({}));
    let key = key(&signer.jwk()).unwrap();
    assert!(Unverified::split(&token).unwrap().verify(&key).is_ok());
    let es256 = token.replacen("eyJhbGciOiJFUzM4NCJ9", &URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#), 1);
    assert!(Unverified::split(&es256).unwrap().verify(&key).is_err());
    assert_eq!(key.to_jwk()["crv"], "P-384");
}

// spec: T-38
#[test]
fn provider_may_bring_more_than_a_client_but_not_anything() {
    let mut certified = p256();
    certified["x5c"] = json!(["A".repeat(100_000)]);
    let set = json!({ "keys": [certified] }).to_string();
    assert_eq!(PublicKeys::parse(set.as_bytes()), Err(KeyError::TooLarge));
    assert!(PublicKeys::parse_provider(set.as_bytes()).is_ok());
    assert_eq!(PublicKeys::parse_provider(&vec![b' '; 256 * 1024 + 1]), Err(KeyError::TooLarge));
    let many = json!({ "keys": vec![p256(); 65] }).to_string();
    assert_eq!(PublicKeys::parse_provider(many.as_bytes()), Err(KeyError::TooLarge));
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
