//! Client authentication.

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_base::Timestamp;
use portcullis_oauth::{
    client::{AuthMethod, Client, ClientMetadata},
    client_auth::{ASSERTION_TYPE, Authenticated, Context, Credentials, SpentAssertion, keys_to_fetch},
    error::{TokenError, TokenErrorCode},
    jwks::{Algorithm, PublicKeys, SigningKey},
    jwt,
};
use serde_json::{Value, json};

use crate::{
    foreign::P384,
    world::{ISSUER, NOW, SECRET, client, client_with, encoded, form, later, public_client, signing_key},
};

const TOKEN_ENDPOINT: &str = "https://gw.example/oauth/token";

fn audiences() -> Vec<String> {
    vec![ISSUER.into(), TOKEN_ENDPOINT.into()]
}

fn attempt(headers: &[&str], pairs: &[(&str, &str)], client: &Client) -> Result<Authenticated, TokenError> {
    attempt_at(headers, pairs, client, NOW)
}

fn attempt_at(
    headers: &[&str],
    pairs: &[(&str, &str)],
    client: &Client,
    now: Timestamp,
) -> Result<Authenticated, TokenError> {
    let audiences = audiences();
    let context = Context { audiences: &audiences, fetched_keys: None, now };
    Credentials::find(headers.iter().map(|header| header.as_bytes()), &form(pairs))?.verify(Some(client), &context)
}

fn code(result: Result<Authenticated, TokenError>) -> Option<TokenErrorCode> {
    result.err().map(|error| error.code)
}

/// `id` and `secret` as RFC 6749 §2.3.1 wants them: form-encoded, then Basic.
fn basic(id: &str, secret: &str) -> String {
    let one = |text: &str| encoded(&[("", text)])[1..].to_owned();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", one(id), one(secret))))
}

fn signing_client(key: &SigningKey) -> Client {
    let jwks = json!({ "keys": [key.public().to_jwk()] });
    let metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
        jwks: Some(jwks),
        ..public_client().metadata
    };
    client("app", metadata)
}

fn claims() -> Value {
    json!({
        "iss": "app", "sub": "app", "aud": ISSUER, "jti": "one",
        "iat": NOW.as_secs(), "exp": later(60).as_secs(),
    })
}

fn assertion(key: &SigningKey, claims: &Value) -> String {
    jwt::sign(key, "JWT", claims).unwrap()
}

fn assert_with(text: &str, client: &Client) -> Result<Authenticated, TokenError> {
    attempt(&[], &[("client_assertion_type", ASSERTION_TYPE), ("client_assertion", text)], client)
}

// spec: RFC8725#3.1
#[test]
fn algorithms_that_are_not_offered_are_not_taken() {
    let key = P384::new();
    let metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
        jwks: Some(json!({ "keys": [key.jwk()] })),
        ..public_client().metadata
    };
    let refused = assert_with(&key.sign(&claims()), &client("app", metadata));
    assert_eq!(code(refused), Some(TokenErrorCode::InvalidClient));
    assert!(!Algorithm::CLIENTS.contains(&Algorithm::Es384) && Algorithm::ALL.contains(&Algorithm::Es384));
}

// spec: AS-61, AS-64, T-22
#[test]
fn exactly_the_registered_method_is_taken() {
    let key = signing_key();
    let signed = assertion(&key, &claims());
    let header = basic("app", SECRET);
    let named = [("client_id", "app")];
    let post = [("client_id", "app"), ("client_secret", SECRET)];
    let jwt = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", signed.as_str())];
    let clients = [
        client_with(AuthMethod::None),
        client_with(AuthMethod::ClientSecretBasic),
        client_with(AuthMethod::ClientSecretPost),
        signing_client(&key),
    ];
    for (registered, client) in clients.iter().enumerate() {
        let attempts = [
            attempt(&[], &named, client),
            attempt(&[&header], &[], client),
            attempt(&[], &post, client),
            attempt(&[], &jwt, client),
        ];
        for (used, result) in attempts.into_iter().enumerate() {
            let expected = (used != registered).then_some(TokenErrorCode::InvalidClient);
            assert_eq!(code(result), expected, "registered {registered}, used {used}");
        }
    }
}

// spec: AS-62, RFC6749#5.2
#[test]
fn failure_is_401_with_a_challenge_if_the_header_was_used() {
    let client = client_with(AuthMethod::ClientSecretBasic);
    let by_header = attempt(&[&basic("app", "wrong")], &[], &client).unwrap_err();
    assert_eq!((by_header.code, by_header.status()), (TokenErrorCode::InvalidClient, 401));
    assert!(by_header.challenge().is_some_and(|challenge| challenge.starts_with("Basic realm=\"")));
    let post = client_with(AuthMethod::ClientSecretPost);
    let by_form = attempt(&[], &[("client_id", "app"), ("client_secret", "wrong")], &post).unwrap_err();
    assert_eq!((by_form.code, by_form.status(), by_form.challenge()), (TokenErrorCode::InvalidClient, 401, None));
    for header in ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Bearer abc", "Basic OnNlY3JldA=="] {
        let error = attempt(&[header], &[], &client).unwrap_err();
        assert_eq!((error.status(), error.challenge().is_some()), (401, true), "{header}");
    }
    let nobody = Credentials::find([], &form(&[("client_id", "ghost")])).unwrap();
    let audiences = audiences();
    let context = Context { audiences: &audiences, fetched_keys: None, now: NOW };
    let unknown = nobody.verify(None, &context).unwrap_err();
    assert_eq!(unknown, TokenError { header_used: false, ..by_form }, "an unknown client looks like a wrong secret");
}

// spec: AS-62, RFC6749#2.3
#[test]
fn two_methods_at_once_are_an_invalid_request() {
    let client = client_with(AuthMethod::ClientSecretBasic);
    let header = basic("app", SECRET);
    let signed = assertion(&signing_key(), &claims());
    let jwt = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", signed.as_str())];
    let refused = Some(TokenErrorCode::InvalidRequest);
    assert_eq!(code(attempt(&[&header], &[("client_secret", SECRET)], &client)), refused);
    assert_eq!(code(attempt(&[&header], &jwt, &client)), refused);
    assert_eq!(code(attempt(&[&header, &header], &[], &client)), refused);
    let both = [jwt[0], jwt[1], ("client_id", "app"), ("client_secret", SECRET)];
    assert_eq!(code(attempt(&[], &both, &client)), refused);
    assert_eq!(code(attempt(&[&header], &[("client_id", "other")], &client)), refused);
    assert_eq!(code(attempt(&[], &[], &client)), refused);
    assert_eq!(code(attempt(&[], &[("client_assertion", "x"), ("client_id", "app")], &client)), refused);
    assert_eq!(code(attempt(&[&header], &[("client_id", "app")], &client)), None);
}

// spec: RFC6749#2.3.1
#[test]
fn basic_credentials_are_form_decoded() {
    let metadata =
        ClientMetadata { token_endpoint_auth_method: AuthMethod::ClientSecretBasic, ..public_client().metadata };
    let client = client("id with:colon+%", metadata);
    assert_eq!(code(attempt(&[&basic("id with:colon+%", SECRET)], &[], &client)), None);
    assert_eq!(code(attempt(&[&basic("id with:colon+%", SECRET).replacen("Basic", "bAsIc", 1)], &[], &client)), None);
}

// spec: AS-63, RFC7523#3, T-39
#[test]
fn every_claim_of_an_assertion_is_checked() {
    let key = signing_key();
    let client = signing_client(&key);
    let good = assert_with(&assertion(&key, &claims()), &client).unwrap();
    assert!(good.spend.is_some());
    let changed = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        code(assert_with(&assertion(&key, &claims), &client))
    };
    for aud in [json!(TOKEN_ENDPOINT), json!([ISSUER]), json!([ISSUER, TOKEN_ENDPOINT])] {
        assert_eq!(changed("aud", aud), None);
    }
    assert_eq!(changed("exp", json!(later(60).as_secs() as f64 + 0.5)), None, "fractions are allowed");
    assert_eq!(changed("nbf", json!(NOW.as_secs())), None);
    for (name, value) in [
        ("iss", json!("other")),
        ("sub", json!("other")),
        ("iss", Value::Null),
        ("sub", Value::Null),
        ("aud", json!("https://evil.example")),
        ("aud", json!([ISSUER, "https://evil.example"])),
        ("aud", json!([])),
        ("aud", json!(format!("{ISSUER}/"))),
        ("aud", Value::Null),
        ("exp", Value::Null),
        ("exp", json!(later(0).minus(std::time::Duration::from_mins(1)).as_secs())),
        ("exp", json!(later(601).as_secs())),
        ("exp", json!("soon")),
        ("iat", json!(later(61).as_secs())),
        ("iat", json!("now")),
        ("nbf", json!(later(61).as_secs())),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(257))),
    ] {
        assert!(changed(name, value.clone()).is_some(), "{name}: {value}");
    }
}

// spec: AS-63, RFC8725#3.11
#[test]
fn assertion_needs_the_clients_own_key_and_type() {
    let key = signing_key();
    let client = signing_client(&key);
    let failed = Some(TokenErrorCode::InvalidClient);
    assert_eq!(code(assert_with(&assertion(&signing_key(), &claims()), &client)), failed);
    for typ in ["at+jwt", "id+jwt", "jwt", ""] {
        assert_eq!(code(assert_with(&jwt::sign(&key, typ, &claims()).unwrap(), &client)), failed, "{typ}");
    }
    let typed = jwt::sign(&key, "client-authentication+jwt", &claims()).unwrap();
    assert_eq!(code(assert_with(&typed, &client)), None);
    let wrong_type = [("client_assertion_type", "urn:x"), ("client_assertion", typed.as_str())];
    assert_eq!(code(attempt(&[], &wrong_type, &client)), Some(TokenErrorCode::InvalidRequest));
    let none = [("client_id", "app"), ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", "a.b.c")];
    assert_eq!(code(attempt(&[], &none, &client)), failed);
}

// spec: AS-63
#[test]
fn assertion_names_what_must_be_spent() {
    let key = signing_key();
    let client = signing_client(&key);
    let spend = |claims: &Value| assert_with(&assertion(&key, claims), &client).unwrap().spend.unwrap();
    let first = spend(&claims());
    assert_eq!(first, spend(&claims()));
    assert!(first.expires_at > later(60), "remembered for as long as it could be accepted");
    let mut other = claims();
    other["jti"] = json!("two");
    assert_ne!(first.id, spend(&other).id);
    assert_eq!(SpentAssertion::replayed().code, TokenErrorCode::InvalidClient);
    let last = first.expires_at;
    let signed = assertion(&key, &claims());
    let pairs = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", signed.as_str())];
    assert_eq!(code(attempt_at(&[], &pairs, &client, last)), Some(TokenErrorCode::InvalidClient));
}

#[test]
fn fetched_keys_are_used_when_the_client_points_to_them() {
    let key = signing_key();
    let metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
        jwks_uri: Some("https://app.example/jwks".into()),
        ..public_client().metadata
    };
    let client = client("app", metadata);
    assert_eq!(keys_to_fetch(&client), Some("https://app.example/jwks"));
    assert_eq!(keys_to_fetch(&public_client()), None);
    let signed = assertion(&key, &claims());
    let pairs = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", signed.as_str())];
    let credentials = Credentials::find([], &form(&pairs)).unwrap();
    assert_eq!(credentials.client_id.as_str(), "app");
    let keys = PublicKeys::parse(json!({ "keys": [key.public().to_jwk()] }).to_string().as_bytes()).unwrap();
    let audiences = audiences();
    let context = |fetched_keys| Context { audiences: &audiences, fetched_keys, now: NOW };
    assert!(credentials.verify(Some(&client), &context(Some(&keys))).is_ok());
    assert!(credentials.verify(Some(&client), &context(None)).is_err());
}

#[test]
fn credentials_do_not_print() {
    let header = basic("app", SECRET);
    let credentials = Credentials::find([header.as_bytes()], &form(&[])).unwrap();
    assert!(!format!("{credentials:?}").contains("secret with"));
}
