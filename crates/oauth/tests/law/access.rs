//! Access tokens: minted, checked, and forged in every way we know.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{SeededRng, Timestamp};
use portcullis_oauth::{
    access::{AccessClaims, MAX_LIFETIME, TokenRejection},
    grant::Grant,
    jwks::{KeySet, ScheduledKey},
    jwt::{self, JwtError},
};
use ring::hmac;
use serde_json::{Value, json};

use crate::world::{ISSUER, NOW, PAYMENTS, WIKI, grant, key_set, later, scheduled, scopes, signing_key};

fn claims() -> AccessClaims {
    AccessClaims::of(&grant(), &grant().scopes, NOW, Duration::from_mins(10), &SeededRng::new(1))
}

fn accept(token: &str, keys: &KeySet, resource: &str, now: Timestamp) -> Result<AccessClaims, TokenRejection> {
    let claims = AccessClaims::verify(token, ISSUER, keys, now)?;
    claims.check(resource, now)?;
    Ok(claims)
}

fn wire() -> Value {
    json!({
        "iss": ISSUER, "sub": "usr_ada", "aud": WIKI, "client_id": "app", "scope": "mcp:read", "jti": "j",
        "iat": NOW.as_secs(), "nbf": NOW.as_secs(), "exp": later(600).as_secs(), "gid": "grt_1",
    })
}

/// A token with any header and payload text, signed with our own key.
fn forge(keys: &KeySet, header: &str, payload: &str) -> String {
    let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = keys.current(NOW).unwrap().sign(token.as_bytes()).unwrap();
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    token
}

fn kid(keys: &KeySet) -> &str {
    keys.current(NOW).unwrap().kid()
}

// spec: AS-74, AS-69, RFC9068#2.1, RFC9068#2.2
#[test]
fn minted_token_is_what_rfc_9068_describes() {
    let keys = key_set();
    let token = claims().sign(ISSUER, keys.current(NOW).unwrap()).unwrap();
    let part = |n: usize| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(n).unwrap()).unwrap()).unwrap()
    };
    assert_eq!(part(0), json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid(&keys) }));
    let body = part(1);
    assert_eq!(body["iss"], ISSUER);
    assert_eq!(body["aud"], WIKI);
    assert_eq!(body["sub"], "usr_ada");
    assert_eq!(body["client_id"], "app");
    assert_eq!(body["scope"], "mcp:read mcp:call");
    assert_eq!(body["gid"], "grt_1");
    assert_eq!(body["exp"].as_i64().unwrap() - body["iat"].as_i64().unwrap(), 600);
    assert!(body["jti"].as_str().is_some_and(|jti| jti.len() == 22));
    assert_eq!(accept(&token, &keys, WIKI, NOW), Ok(claims()));
}

// spec: RFC9068#2.2.1
#[test]
fn sign_in_goes_along_where_it_is_known() {
    let keys = key_set();
    let sure = Grant { authenticated_at: Some(later(5)), acr: Some("mfa".into()), ..grant() };
    let claims = AccessClaims::of(&sure, &sure.scopes, later(9), Duration::from_mins(1), &SeededRng::new(1));
    let token = claims.sign(ISSUER, keys.current(NOW).unwrap()).unwrap();
    let read = accept(&token, &keys, WIKI, later(9)).unwrap();
    assert_eq!((read.authenticated_at, read.acr.as_deref()), (Some(later(5)), Some("mfa")));
    let unknown = self::claims().sign(ISSUER, keys.current(NOW).unwrap()).unwrap();
    let read = accept(&unknown, &keys, WIKI, NOW).unwrap();
    assert_eq!((read.authenticated_at, read.acr), (None, None));
    let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid(&keys) }).to_string();
    let mut wire = wire();
    wire["auth_time"] = json!("yesterday");
    let forged = forge(&keys, &header, &wire.to_string());
    assert_eq!(accept(&forged, &keys, WIKI, NOW), Err(TokenRejection::Claim("auth_time")));
}

// spec: AS-70
#[test]
fn lifetime_is_capped_and_never_outlives_the_grant() {
    let of = |grant: &Grant, lifetime| AccessClaims::of(grant, &grant.scopes, NOW, lifetime, &SeededRng::new(1));
    assert_eq!(of(&grant(), Duration::from_hours(24)).lifetime(), MAX_LIFETIME);
    assert_eq!(MAX_LIFETIME, Duration::from_hours(1));
    let dying = Grant { expires_at: later(5), ..grant() };
    assert_eq!(of(&dying, Duration::from_mins(10)).lifetime(), Duration::from_secs(5));
    let offline = Grant { scopes: scopes("mcp:read offline_access"), ..grant() };
    assert_eq!(of(&offline, Duration::from_mins(10)).scopes, scopes("mcp:read"));
}

// spec: RS-20, T-34
#[test]
fn token_is_good_at_its_own_endpoint_only() {
    let keys = key_set();
    let endpoints = [WIKI, PAYMENTS, ISSUER, "https://gw.example/mcp/wiki/", "https://gw.example/mcp/wiki2"];
    for minted_for in endpoints {
        let claims = AccessClaims { audience: minted_for.into(), ..claims() };
        let token = claims.sign(ISSUER, keys.current(NOW).unwrap()).unwrap();
        for used_at in endpoints {
            let expected = if minted_for == used_at { Ok(claims.clone()) } else { Err(TokenRejection::Audience) };
            assert_eq!(accept(&token, &keys, used_at, NOW), expected);
        }
    }
}

// spec: RS-19, RS-21, AS-8
#[test]
fn only_our_own_issuer_counts() {
    let keys = key_set();
    for issuer in ["https://gw.example/", "https://GW.example", "https://idp.example", "http://gw.example"] {
        let token = claims().sign(issuer, keys.current(NOW).unwrap()).unwrap();
        assert_eq!(accept(&token, &keys, WIKI, NOW), Err(TokenRejection::Issuer), "{issuer}");
    }
}

// spec: T-39, RS-19
#[test]
fn time_is_kept_to_the_boundary() {
    let keys = key_set();
    let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid(&keys) }).to_string();
    let at = |changes: &[(&str, Value)], now: Timestamp| {
        let mut wire = wire();
        for (name, value) in changes {
            wire[*name] = value.clone();
        }
        accept(&forge(&keys, &header, &wire.to_string()), &keys, WIKI, now).err()
    };
    assert_eq!(at(&[], later(599)), None);
    assert_eq!(at(&[], later(600).minus(Duration::from_millis(1))), None);
    assert_eq!(at(&[], later(600)), Some(TokenRejection::Expired));
    assert_eq!(at(&[], later(100_000)), Some(TokenRejection::Expired));
    assert_eq!(at(&[], NOW.minus(Duration::from_mins(1))), None, "another node's clock may be a little ahead");
    assert_eq!(at(&[], NOW.minus(Duration::from_secs(61))), Some(TokenRejection::NotYetValid));
    assert_eq!(at(&[("exp", Value::Null)], NOW), Some(TokenRejection::Claim("exp")));
    assert_eq!(at(&[("exp", json!("9999999999"))], NOW), Some(TokenRejection::Claim("exp")));
    assert_eq!(at(&[("iat", Value::Null)], NOW), Some(TokenRejection::Claim("iat")));
    assert_eq!(at(&[("nbf", json!(later(61).as_secs()))], NOW), Some(TokenRejection::Claim("nbf")));
    assert_eq!(at(&[("exp", json!(i64::MAX))], NOW), Some(TokenRejection::Lifetime));
    assert_eq!(at(&[("exp", json!(later(3601).as_secs()))], NOW), Some(TokenRejection::Lifetime));
    assert_eq!(at(&[("exp", json!(later(3600).as_secs()))], NOW), None);
    assert_eq!(at(&[("exp", json!(1e300))], NOW), Some(TokenRejection::Lifetime));
}

// spec: RFC9068#2.2
#[test]
fn every_claim_is_required() {
    let keys = key_set();
    let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid(&keys) }).to_string();
    for name in ["sub", "aud", "client_id", "scope", "jti", "gid"] {
        for value in [Value::Null, json!(""), json!(7), json!([WIKI])] {
            let mut wire = wire();
            wire[name] = value.clone();
            let token = forge(&keys, &header, &wire.to_string());
            assert_eq!(accept(&token, &keys, WIKI, NOW), Err(TokenRejection::Claim(name)), "{name}: {value}");
        }
    }
    let mut wire = wire();
    wire["scope"] = json!("mcp:read \"");
    let token = forge(&keys, &header, &wire.to_string());
    assert_eq!(accept(&token, &keys, WIKI, NOW), Err(TokenRejection::Claim("scope")));
}

// spec: T-37, RFC7515#4, RFC7515#4.1.11, RFC8725#3.1, RFC9068#4
#[test]
fn forged_headers_are_refused() {
    let keys = key_set();
    let kid = kid(&keys);
    let good = json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid });
    let tried = |header: &str| accept(&forge(&keys, header, &wire().to_string()), &keys, WIKI, NOW).err();
    assert_eq!(tried(&good.to_string()), None, "the forger's own tool works");
    let changed = |name: &str, value: Value| {
        let mut header = good.clone();
        header[name] = value;
        tried(&header.to_string())
    };
    for alg in ["none", "None", "NONE", "", "HS256", "HS512", "ES384", "es256", "PS256", "RS384"] {
        assert_eq!(changed("alg", json!(alg)), Some(JwtError::Algorithm.into()), "{alg}");
    }
    for alg in ["RS256", "EdDSA"] {
        assert_eq!(changed("alg", json!(alg)), Some(JwtError::Algorithm.into()), "{alg}: not this key's");
    }
    assert_eq!(changed("alg", Value::Null), Some(JwtError::Malformed.into()));
    assert_eq!(changed("alg", json!(["ES256"])), Some(JwtError::Malformed.into()));
    for typ in ["JWT", "jwt", "AT+JWT", "application/at+jwt", "dpop+jwt", "oauth-id-jag+jwt", "logout+jwt", ""] {
        assert_eq!(changed("typ", json!(typ)), Some(TokenRejection::Type), "{typ}");
    }
    for name in ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc", "cty", "KID", "anything"] {
        let value = keys.current(NOW).unwrap().public().to_jwk();
        assert_eq!(changed(name, value), Some(JwtError::Header.into()), "{name}");
    }
    assert_eq!(changed("crit", json!([])), Some(JwtError::Header.into()));
    let long = "k".repeat(200);
    let upper = kid.to_uppercase();
    let padded = format!("{kid}=");
    let spaced = format!(" {kid}");
    let kids =
        ["", "../../dev/null", "' OR '1'='1", "0", "*", &long, &upper, &padded, &spaced, "https://evil.example/k"];
    for kid in kids {
        assert_eq!(changed("kid", json!(kid)), Some(TokenRejection::UnknownKey), "{kid}");
    }
    assert_eq!(changed("kid", Value::Null), Some(JwtError::Malformed.into()));
    assert_eq!(tried(&json!({ "typ": "at+jwt", "alg": "ES256" }).to_string()), Some(TokenRejection::UnknownKey));
    assert_eq!(tried(&json!({ "alg": "ES256", "kid": kid }).to_string()), Some(TokenRejection::Type));
    for header in [
        format!(r#"{{"typ":"at+jwt","alg":"none","alg":"ES256","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"x","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}"}}{{}}"#),
        "[]".to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        assert_eq!(tried(&header), Some(JwtError::Malformed.into()), "{header}");
    }
}

// spec: T-37, RFC7515#4
#[test]
fn duplicate_claims_are_refused() {
    let keys = key_set();
    let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid(&keys) }).to_string();
    let body = wire().to_string();
    for twice in [
        body.replacen('{', r#"{"sub":"usr_admin","#, 1),
        body.replacen('{', r#"{"aud":"https://gw.example/mcp/payments","#, 1),
        body.replacen('{', r#"{"x":{"a":1,"a":1},"#, 1),
        body.replacen('{', r#"{"s\u0075b":"usr_admin","#, 1),
    ] {
        assert_eq!(accept(&forge(&keys, &header, &twice), &keys, WIKI, NOW), Err(JwtError::Malformed.into()));
    }
}

// spec: T-37
#[test]
fn symmetric_signature_with_the_public_key_is_refused() {
    let keys = key_set();
    let public = keys.current(NOW).unwrap().public();
    let header = json!({ "typ": "at+jwt", "alg": "HS256", "kid": kid(&keys) }).to_string();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(wire().to_string()));
    for secret in [public.to_jwk().to_string().into_bytes(), public.to_jwk()["x"].to_string().into_bytes(), vec![]] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(accept(&token, &keys, WIKI, NOW), Err(JwtError::Algorithm.into()));
    }
}

// spec: T-37
#[test]
fn altered_and_misshapen_tokens_are_refused() {
    let keys = key_set();
    let token = claims().sign(ISSUER, keys.current(NOW).unwrap()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let (header, body, signature) = (parts[0], parts[1], parts[2]);
    let malformed = [
        String::new(),
        ".".into(),
        "..".into(),
        header.into(),
        format!("{header}.{body}"),
        format!("{token}.{signature}"),
        format!("{header}.{body}.{body}.{body}.{signature}"),
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{header}.{body}.{signature}{signature}").replace('_', "/"),
        token.replace('.', ".."),
    ];
    for text in malformed {
        assert!(matches!(accept(&text, &keys, WIKI, NOW), Err(TokenRejection::Jwt(_))), "{text}");
    }
    let other_body = URL_SAFE_NO_PAD.encode(wire().to_string());
    let zeroes = URL_SAFE_NO_PAD.encode([0; 64]);
    for text in [
        format!("{header}.{other_body}.{signature}"),
        format!("{header}.{body}."),
        format!("{header}.{body}.{zeroes}"),
        format!("{header}.{body}.{}", URL_SAFE_NO_PAD.encode([0; 63])),
    ] {
        assert_eq!(accept(&text, &keys, WIKI, NOW), Err(JwtError::Signature.into()), "{text}");
    }
    let long = format!("{header}.{}.{signature}", "A".repeat(jwt::MAX_BYTES));
    assert_eq!(accept(&long, &keys, WIKI, NOW), Err(JwtError::TooLong.into()));
    let stranger = claims().sign(ISSUER, &signing_key()).unwrap();
    assert_eq!(accept(&stranger, &keys, WIKI, NOW), Err(TokenRejection::UnknownKey));
}

// spec: AS-74
#[test]
fn keys_rotate_without_breaking_live_tokens() {
    let old: ScheduledKey = scheduled(0, 7200);
    let new: ScheduledKey = scheduled(3600, 20_000);
    let (old_kid, new_kid) = (old.key.kid().to_owned(), new.key.kid().to_owned());
    let keys = KeySet::new(vec![new, old]);
    assert_eq!(keys.current(NOW).unwrap().kid(), old_kid);
    assert_eq!(keys.current(later(3599)).unwrap().kid(), old_kid);
    assert_eq!(keys.current(later(3600)).unwrap().kid(), new_kid);
    assert_eq!(keys.current(later(7200)).unwrap().kid(), new_kid);
    assert!(keys.current(later(20_000)).is_none());
    let published = |now| keys.document(now).keys.iter().map(|jwk| jwk["kid"].clone()).collect::<Vec<_>>();
    assert_eq!(published(NOW), [old_kid.as_str(), new_kid.as_str()], "the next key is known before it signs");
    assert_eq!(published(later(7200)), [new_kid.as_str()]);

    let minted = AccessClaims { issued_at: later(3599), expires_at: later(4199), ..claims() };
    let token = minted.sign(ISSUER, keys.current(later(3599)).unwrap()).unwrap();
    assert_eq!(accept(&token, &keys, WIKI, later(4000)), Ok(minted));
    assert_eq!(accept(&token, &keys, WIKI, later(7200)), Err(TokenRejection::UnknownKey));

    let (turn, ahead) = (Duration::from_hours(2), Duration::from_mins(10));
    assert!(!keys.needs_successor(later(3600), turn, ahead));
    assert!(keys.needs_successor(later(3600 + 7200 - 600), turn, ahead));
    assert!(KeySet::default().needs_successor(NOW, turn, ahead));
}
