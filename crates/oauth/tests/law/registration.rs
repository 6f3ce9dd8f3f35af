//! Dynamic client registration.

use portcullis_base::{Secret, SeededRng};
use portcullis_oauth::{
    client::{AuthMethod, ClientKind, ClientMetadata, GrantType, ResponseType},
    error::RegistrationErrorCode,
    redirect::RedirectPolicy,
    registration::{self, RegistrationAnswer},
};
use serde_json::{Value, json};

use crate::world::{CALLBACK, NOW, signing_key};

fn register(body: &Value) -> Result<ClientMetadata, RegistrationErrorCode> {
    registration::register(body.to_string().as_bytes(), &RedirectPolicy::default()).map_err(|error| error.code)
}

/// A registration with one more member.
fn with(name: &str, value: Value) -> Value {
    let mut body = json!({ "redirect_uris": [CALLBACK] });
    body[name] = value;
    body
}

// spec: AS-122, RFC7591#2
#[test]
fn authentication_method_is_the_one_asked_for() {
    let method =
        |value: Value| register(&with("token_endpoint_auth_method", value)).unwrap().token_endpoint_auth_method;
    assert_eq!(method(json!("none")), AuthMethod::None);
    assert_eq!(method(json!("client_secret_post")), AuthMethod::ClientSecretPost);
    assert_eq!(method(json!("client_secret_basic")), AuthMethod::ClientSecretBasic);
    assert_eq!(method(Value::Null), AuthMethod::ClientSecretBasic);
    for unknown in ["client_secret_jwt", "tls_client_auth", "NONE"] {
        let refused = register(&with("token_endpoint_auth_method", json!(unknown)));
        assert_eq!(refused, Err(RegistrationErrorCode::InvalidClientMetadata));
    }
}

// spec: AS-119, AS-101, AS-87, T-27, RFC7591#3.2.1
#[test]
fn answer_echoes_what_was_registered_and_shows_the_secret_once() {
    let rng = SeededRng::new(1);
    for (method, has_secret) in [("none", false), ("client_secret_post", true), ("client_secret_basic", true)] {
        let mut body = with("token_endpoint_auth_method", json!(method));
        body["client_name"] = json!("Tool");
        body["grant_types"] = json!(["authorization_code", "refresh_token"]);
        let (client, secret) = registration::new_client(register(&body).unwrap(), NOW, &rng);
        assert_eq!(client.kind, ClientKind::Registered);
        assert!(client.id.as_str().starts_with("mcp_") && !registration::is_document_id(client.id.as_str()));
        assert_eq!((client.secret.is_some(), secret.is_some()), (has_secret, has_secret));
        let answer = serde_json::to_value(RegistrationAnswer::new(&client, secret.as_ref())).unwrap();
        assert_eq!(answer["token_endpoint_auth_method"], method);
        assert_eq!(answer["client_id"], client.id.as_str());
        assert_eq!(answer["client_id_issued_at"], NOW.as_secs());
        assert_eq!(answer["client_name"], "Tool");
        assert_eq!(answer["redirect_uris"], json!([CALLBACK]));
        assert_eq!(answer["grant_types"], json!(["authorization_code", "refresh_token"]));
        assert_eq!(answer["response_types"], json!(["code"]));
        assert_eq!(answer.get("client_secret").and_then(Value::as_str), secret.as_ref().map(Secret::reveal));
        assert_eq!(answer.get("client_secret_expires_at"), has_secret.then(|| json!(0)).as_ref());
        let stored = serde_json::to_string(&client.metadata).unwrap();
        assert!(!stored.contains("secret\""), "{stored}");
        assert_eq!(serde_json::from_str::<ClientMetadata>(&stored).unwrap(), client.metadata);
    }
}

// spec: T-22, AS-2
#[test]
fn grants_we_do_not_have_are_dropped() {
    let grants = |value: Value| register(&with("grant_types", value)).map(|metadata| metadata.grant_types);
    let both = Ok(vec![GrantType::AuthorizationCode, GrantType::RefreshToken]);
    let jwt_bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    assert_eq!(grants(json!(["refresh_token", "authorization_code", jwt_bearer, "password"])), both);
    assert_eq!(grants(Value::Null), Ok(vec![GrantType::AuthorizationCode]));
    assert_eq!(grants(json!(["authorization_code", "implicit"])), Ok(vec![GrantType::AuthorizationCode]));
    for none in [json!([]), json!(["client_credentials"]), json!("authorization_code"), json!([1])] {
        assert_eq!(grants(none.clone()), Err(RegistrationErrorCode::InvalidClientMetadata), "{none}");
    }
    let responses = |value: Value| register(&with("response_types", value)).map(|metadata| metadata.response_types);
    assert_eq!(responses(json!(["code", "token"])), Ok(vec![ResponseType::Code]));
    assert_eq!(responses(json!(["token"])), Err(RegistrationErrorCode::InvalidClientMetadata));
    let scope = |text: &str| register(&with("scope", json!(text))).unwrap().scope.map(|scope| scope.to_string());
    assert_eq!(scope("admin mcp:read offline_access *").as_deref(), Some("mcp:read offline_access"));
    assert_eq!(scope("openid profile"), None);
}

// spec: AS-120, AS-106, T-11, RFC7591#2
#[test]
fn redirect_uris_are_required_and_bounded() {
    let uris = |value: Value| register(&json!({ "redirect_uris": value })).map(|metadata| metadata.redirect_uris.len());
    let many = |n: usize| (0..n).map(|n| format!("https://app.example/{n}")).collect::<Value>();
    assert_eq!(uris(many(10)), Ok(10));
    let refused = Err(RegistrationErrorCode::InvalidRedirectUri);
    for bad in
        [many(11), json!([]), Value::Null, json!(CALLBACK), json!([CALLBACK, 1]), json!([CALLBACK, "about:blank"])]
    {
        assert_eq!(uris(bad.clone()), refused, "{bad}");
    }
    assert_eq!(register(&json!({})), Err(RegistrationErrorCode::InvalidRedirectUri));
}

// spec: AS-121
#[test]
fn application_type_is_read_but_never_assumed() {
    let typed = |kind: Value, uri: &str| {
        register(&json!({ "redirect_uris": [uri], "application_type": kind }))
            .map(|metadata| metadata.redirect_uris.len())
    };
    let refused = Err(RegistrationErrorCode::InvalidRedirectUri);
    for uri in ["http://localhost:1/cb", "https://localhost/cb", "https://127.0.0.1/cb", "https://[::1]/cb"] {
        assert_eq!(typed(json!("web"), uri), refused, "{uri}");
        assert_eq!(typed(json!("native"), uri), Ok(1), "{uri}");
        assert_eq!(typed(Value::Null, uri), Ok(1), "{uri}");
    }
    assert_eq!(typed(json!("web"), CALLBACK), Ok(1));
    assert_eq!(typed(json!("service"), CALLBACK), Err(RegistrationErrorCode::InvalidClientMetadata));
}

// spec: T-14
#[test]
fn links_are_https_or_refused() {
    let fields = ["client_uri", "logo_uri", "policy_uri", "tos_uri", "jwks_uri"];
    for field in fields {
        for bad in [
            "javascript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://a.example/1",
            "http://app.example",
            "//app.example",
            "https://user@app.example",
            "https://app.example/ x",
            "https://app.example/\u{202e}",
        ] {
            assert_eq!(
                register(&with(field, json!(bad))),
                Err(RegistrationErrorCode::InvalidClientMetadata),
                "{field} {bad}"
            );
        }
        assert_eq!(register(&with(field, json!(7))), Err(RegistrationErrorCode::InvalidClientMetadata));
        assert!(register(&with(field, json!("https://app.example/about"))).is_ok());
        assert!(register(&with(field, json!(""))).is_ok());
    }
}

// spec: T-20
#[test]
fn sizes_are_bounded() {
    assert!(register(&with("client_name", json!("ü".repeat(200)))).is_ok());
    for field in ["client_name", "software_id", "software_version"] {
        let long = register(&with(field, json!("x".repeat(201))));
        assert_eq!(long, Err(RegistrationErrorCode::InvalidClientMetadata), "{field}");
    }
    assert!(register(&with("contacts", json!(["ada@app.example"]))).is_ok());
    assert!(register(&with("contacts", Value::from_iter(["x"; 11]))).is_err());
    assert!(register(&with("unknown_member", json!("x".repeat(10_000)))).is_ok());
    assert!(register(&with("unknown_member", json!("x".repeat(16 * 1024)))).is_err());
}

#[test]
fn body_that_is_no_plain_object_is_refused() {
    let twice = format!(r#"{{"redirect_uris":["{CALLBACK}"],"redirect_uris":["https://evil.example"]}}"#);
    for body in ["", "[]", "null", "{", twice.as_str()] {
        let error = registration::register(body.as_bytes(), &RedirectPolicy::default()).unwrap_err();
        assert_eq!(error.code, RegistrationErrorCode::InvalidClientMetadata, "{body}");
    }
}

// spec: AS-120
#[test]
fn refusals_are_registered_codes_in_json() {
    let error = registration::register(b"{\"redirect_uris\":[\"about:x\"]}", &RedirectPolicy::default()).unwrap_err();
    let body: Value = serde_json::from_str(&error.body()).unwrap();
    assert_eq!(body["error"], "invalid_redirect_uri");
    assert!(body["error_description"].as_str().is_some_and(|text| !text.is_empty()));
    let error = registration::register(b"[]", &RedirectPolicy::default()).unwrap_err();
    assert_eq!(serde_json::from_str::<Value>(&error.body()).unwrap()["error"], "invalid_client_metadata");
}

// spec: AS-107, RFC7591#2
#[test]
fn signing_clients_bring_usable_public_keys() {
    let jwk = signing_key().public().to_jwk();
    let signing = |members: Value| {
        let mut body = with("token_endpoint_auth_method", json!("private_key_jwt"));
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        register(&body).map(|_| ())
    };
    assert_eq!(signing(json!({ "jwks": { "keys": [jwk] } })), Ok(()));
    assert_eq!(signing(json!({ "jwks_uri": "https://app.example/jwks" })), Ok(()));
    let mut private = jwk.clone();
    private["d"] = json!("AAAA");
    for bad in [
        json!({}),
        json!({ "jwks": { "keys": [] } }),
        json!({ "jwks": { "keys": [private] } }),
        json!({ "jwks": { "keys": [{ "kty": "oct", "k": "AAAA" }] } }),
        json!({ "jwks": [jwk] }),
        json!({ "jwks": { "keys": [jwk] }, "jwks_uri": "https://app.example/jwks" }),
    ] {
        assert_eq!(signing(bad.clone()), Err(RegistrationErrorCode::InvalidClientMetadata), "{bad}");
    }
}
