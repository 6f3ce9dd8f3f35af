//! Who we are at an upstream's authorization server.

use portcullis_base::Secret;
use portcullis_oauth::{
    client::{ApplicationType, AuthMethod, ClientMetadata, GrantType},
    jwks::PublicKeys,
    jwt::Unverified,
    redirect::RedirectPolicy,
    registration::{self as ours, is_document_id},
    upstream::{
        client::{self, Published, Registering, Way, WayError},
        document,
        registration::{self, Registered, RegisteringError},
        request,
        server::ServerMetadata,
    },
};
use serde_json::{Value, json};

use crate::world::{NOW, signing_key};

const ISSUER: &str = "https://auth.example.com";
const GATEWAY: &str = "https://gw.example";

fn server(methods: Option<&[&str]>) -> ServerMetadata {
    ServerMetadata {
        issuer: ISSUER.into(),
        token_endpoint: "https://auth.example.com/token".into(),
        registration_endpoint: Some("https://auth.example.com/register".into()),
        client_id_metadata_document_supported: true,
        token_endpoint_auth_methods_supported: methods.map(|all| all.iter().map(|one| (*one).into()).collect()),
        ..ServerMetadata::default()
    }
}

// spec: UP-20, UP-23
#[test]
fn ways_are_tried_in_their_order() {
    let full = server(None);
    let no_document = ServerMetadata { client_id_metadata_document_supported: false, ..full.clone() };
    let none = ServerMetadata { registration_endpoint: None, ..no_document.clone() };
    let (doc, dynamic) = (Way::Document, Way::Dynamic);
    for (server, published, register, expected) in [
        (&full, Published::Yes, Registering::Auto, &[doc, dynamic][..]),
        (&full, Published::No, Registering::Auto, &[dynamic]),
        (&full, Published::Yes, Registering::Dynamic, &[dynamic]),
        (&full, Published::Yes, Registering::Document, &[doc]),
        (&no_document, Published::Yes, Registering::Auto, &[dynamic]),
        (&full, Published::Yes, Registering::No, &[]),
        (&full, Published::No, Registering::Document, &[]),
        (&none, Published::Yes, Registering::Auto, &[]),
    ] {
        let ways = client::ways(server, None, published, register);
        match expected {
            [] => assert_eq!(ways, Err(WayError::None(ISSUER.into()))),
            expected => assert_eq!(ways.as_deref(), Ok(expected)),
        }
        assert_eq!(client::ways(server, Some(ISSUER), published, register), Ok(vec![Way::Configured]));
    }
}

// spec: UP-13, UP-21
#[test]
fn configured_client_is_used_at_its_own_issuer_only() {
    for other in ["https://auth.example.com/", "https://old.example.com", ""] {
        let ways = client::ways(&server(None), Some(other), Published::Yes, Registering::Auto);
        assert_eq!(ways, Err(WayError::OtherIssuer { configured: other.into(), now: ISSUER.into() }));
    }
}

// spec: UP-26
#[test]
fn proofs_are_chosen_by_what_the_server_takes() {
    use AuthMethod::{ClientSecretBasic, ClientSecretPost, None as Public, PrivateKeyJwt};
    let all = [Public, ClientSecretPost, ClientSecretBasic, PrivateKeyJwt];
    for (methods, have, expected) in [
        (
            Some(&["none", "client_secret_post", "client_secret_basic", "private_key_jwt"][..]),
            &all[..],
            Some(PrivateKeyJwt),
        ),
        (Some(&["none", "client_secret_post", "client_secret_basic"]), &all, Some(ClientSecretBasic)),
        (Some(&["none", "client_secret_post"]), &all, Some(ClientSecretPost)),
        (Some(&["none"]), &all, Some(Public)),
        (Some(&["private_key_jwt", "none"]), &[Public], Some(Public)),
        (Some(&["private_key_jwt"]), &[Public, ClientSecretBasic], None),
        (Some(&["tls_client_auth"]), &all, None),
        (None, &all, Some(ClientSecretBasic)),
    ] {
        assert_eq!(client::auth_method(&server(methods), have), expected, "{methods:?}");
    }
}

// spec: RFC7523#3
#[test]
fn assertions_say_who_to_whom_and_for_how_long() {
    let key = signing_key();
    let token = client::assertion(&key, "us", ISSUER, "j1", NOW).unwrap();
    let keys = PublicKeys::from_value(&json!({ "keys": [key.public().to_jwk()] })).unwrap();
    let unverified = Unverified::split(token.reveal()).unwrap();
    let found = keys.find(unverified.kid.as_deref(), unverified.algorithm).unwrap();
    let claims = Value::Object(unverified.verify(found).unwrap().into_members());
    let now = NOW.as_secs();
    let expected = json!({ "iss": "us", "sub": "us", "aud": ISSUER, "jti": "j1", "iat": now - 30, "exp": now + 60 });
    assert_eq!(claims, expected);
}

// spec: UP-22, UP-27
#[test]
fn own_document_is_one_that_we_would_take() {
    let callback = document::callback(GATEWAY, ISSUER);
    assert_eq!(callback, format!("{GATEWAY}/connections/-/callback/{}", portcullis_oauth::upstream::issuer_id(ISSUER)));
    let text = serde_json::to_vec(&document::document(GATEWAY, vec![callback.clone()])).unwrap();
    let url = format!("{GATEWAY}{}", document::DOCUMENT);
    assert!(is_document_id(&url));
    let read = ours::document(&url, &text, &RedirectPolicy::default()).unwrap();
    assert_eq!(read.redirect_uris, [callback]);
    assert_eq!(read.token_endpoint_auth_method, AuthMethod::PrivateKeyJwt);
    assert_eq!(read.jwks_uri, Some(format!("{GATEWAY}{}", document::KEYS)));
    assert_eq!(read.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    let value: Value = serde_json::from_slice(&text).unwrap();
    for name in ["client_id", "client_name", "client_uri", "response_types"] {
        assert!(value.get(name).is_some(), "{name}");
    }
    assert_eq!(value["client_id"], url);
}

fn wish(methods: Option<&[&str]>, have: &[AuthMethod]) -> ClientMetadata {
    let metadata = document::metadata(GATEWAY, vec![document::callback(GATEWAY, ISSUER)], AuthMethod::PrivateKeyJwt);
    registration::wish(&server(methods), metadata, have)
}

const SECRETS: [AuthMethod; 3] = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::None];

// spec: UP-24
#[test]
fn registrations_say_what_we_are() {
    let body: Value =
        serde_json::from_slice(&registration::body(&wish(Some(&["client_secret_post"]), &SECRETS))).unwrap();
    assert_eq!(body["application_type"], "web");
    assert_eq!(body["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(body["response_types"], json!(["code"]));
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_post");
    assert_eq!(body["redirect_uris"], json!([document::callback(GATEWAY, ISSUER)]));
    assert!(body.get("jwks_uri").is_none());
    let local = document::metadata("http://127.0.0.1:8080", vec!["http://127.0.0.1:8080/x".into()], AuthMethod::None);
    assert_eq!(local.application_type, Some(ApplicationType::Native));
    let signing = wish(Some(&["private_key_jwt"]), &[AuthMethod::PrivateKeyJwt]);
    assert!(signing.jwks_uri.is_some());
}

fn answer(members: Value, methods: Option<&[&str]>, wish: &ClientMetadata) -> Result<Registered, RegisteringError> {
    registration::parse(members.to_string().as_bytes(), wish, &server(methods))
}

// spec: UP-26, RFC7591#3.2.1
#[test]
fn registration_answer_decides_on_the_proof() {
    use AuthMethod::{ClientSecretBasic, ClientSecretPost, None as Public, PrivateKeyJwt};
    let wish = wish(None, &SECRETS);
    for (returned, secret, methods, expected) in [
        (Some("client_secret_post"), true, None, ClientSecretPost),
        (Some("client_secret_basic"), true, Some(&["none"][..]), ClientSecretBasic),
        (Some("none"), true, None, Public),
        (None, true, None, ClientSecretBasic),
        (None, true, Some(&["client_secret_post"]), ClientSecretPost),
        (None, false, None, Public),
    ] {
        let mut members = json!({ "client_id": "c" });
        if let Some(returned) = returned {
            members["token_endpoint_auth_method"] = json!(returned);
        }
        if secret {
            members["client_secret"] = json!("s");
        }
        let read = answer(members, methods, &wish).unwrap();
        assert_eq!(read.method, expected, "{returned:?}");
        assert_eq!(read.secret.is_some(), expected.is_symmetric());
    }
    let signing = ClientMetadata { jwks_uri: Some("https://gw.example/keys".into()), ..wish.clone() };
    assert_eq!(answer(json!({ "client_id": "c" }), None, &signing).unwrap().method, PrivateKeyJwt);
    for (returned, secret) in [
        ("client_secret_basic", false),
        ("client_secret_post", false),
        ("private_key_jwt", true),
        ("tls_client_auth", true),
    ] {
        let mut members = json!({ "client_id": "c", "token_endpoint_auth_method": returned });
        if secret {
            members["client_secret"] = json!("s");
        }
        assert_eq!(answer(members, None, &wish), Err(RegisteringError::Method(returned.into())));
    }
}

// spec: UP-48, RFC7591#3.2.1
#[test]
fn hostile_registration_answers_are_refused_one_by_one() {
    let wish = wish(None, &SECRETS);
    let callback = wish.redirect_uris[0].clone();
    for (members, error) in [
        (json!({}), RegisteringError::Malformed),
        (json!({ "client_id": "" }), RegisteringError::Malformed),
        (json!({ "client_id": "a\r\nb" }), RegisteringError::Malformed),
        (json!({ "client_id": "c", "client_secret": "a\nb" }), RegisteringError::Malformed),
        (json!({ "client_id": "x".repeat(5000) }), RegisteringError::Malformed),
        (json!({ "client_id": "c", "redirect_uris": ["https://evil.example"] }), RegisteringError::Redirects),
        (json!({ "client_id": "c", "redirect_uris": [callback, "https://evil.example"] }), RegisteringError::Redirects),
        (json!({ "client_id": "c", "redirect_uris": [] }), RegisteringError::Redirects),
        (
            json!({ "error": "invalid_client_metadata", "error_description": "no \u{202e}web" }),
            RegisteringError::Refused {
                code: "invalid_client_metadata".into(),
                description: Some("no \u{fffd}web".into()),
            },
        ),
    ] {
        assert_eq!(answer(members.clone(), None, &wish), Err(error), "{members}");
    }
    let managed = |url: &str| {
        let members = json!({ "client_id": "c", "registration_client_uri": url, "registration_access_token": "t" });
        answer(members, None, &wish).unwrap().management
    };
    let own = "https://auth.example.com/register/c";
    assert_eq!(managed(own), Some((own.into(), Secret::new("t".into()))));
    for foreign in ["https://evil.example/c", "http://auth.example.com/c", "http://127.0.0.1/c"] {
        assert_eq!(managed(foreign), None, "{foreign}");
    }
}

// spec: UP-25
#[test]
fn refused_registrations_are_adjusted_once_where_that_could_help() {
    let wish = wish(None, &SECRETS);
    let refused = |code: &str| RegisteringError::Refused { code: code.into(), description: None };
    let plain = registration::adjusted(&wish, &refused("invalid_client_metadata")).unwrap();
    assert_eq!(plain.token_endpoint_auth_method, AuthMethod::None);
    assert!(plain.application_type.is_none() && plain.client_uri.is_none());
    assert_eq!(plain.redirect_uris, wish.redirect_uris);
    assert_eq!(registration::adjusted(&wish, &refused("invalid_redirect_uri")), None);
    let local = ClientMetadata { redirect_uris: vec!["http://127.0.0.1:1/x".into()], ..wish.clone() };
    let native = registration::adjusted(&local, &refused("invalid_redirect_uri")).unwrap();
    assert_eq!(native.application_type, Some(ApplicationType::Native));
    for error in [refused("access_denied"), RegisteringError::Malformed, RegisteringError::Redirects] {
        assert_eq!(registration::adjusted(&wish, &error), None, "{error}");
    }
}

// spec: UP-38, OIDCC#11
#[test]
fn consent_is_asked_for_where_a_refresh_token_hangs_on_it() {
    let offline = vec!["offline_access".to_owned()];
    assert_eq!(request::prompt(ISSUER, &offline), Some("consent"));
    assert_eq!(request::prompt(ISSUER, &[]), None);
    assert_eq!(request::prompt("https://accounts.google.com", &[]), Some("consent"));
    assert_eq!(request::extra("https://accounts.google.com"), [("access_type", "offline")]);
    assert!(request::extra(ISSUER).is_empty());
}
