//! Client ID metadata documents.

use portcullis_oauth::{
    client::{AuthMethod, ClientMetadata},
    error::RegistrationErrorCode,
    redirect::RedirectPolicy,
    registration::{document, is_document_id},
};
use serde_json::{Value, json};

use crate::world::signing_key;

const URL: &str = "https://claude.ai/oauth/claude-code-client-metadata";

fn read(members: &Value) -> Result<ClientMetadata, RegistrationErrorCode> {
    let text = members.to_string();
    document(URL, text.as_bytes(), &RedirectPolicy::default()).map_err(|error| error.code)
}

fn good() -> Value {
    json!({
        "client_id": URL,
        "client_name": "Claude Code",
        "client_uri": "https://claude.ai",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut members = good();
    members[name] = value;
    members
}

// spec: AS-102, T-24
#[test]
fn document_ids_are_https_urls_with_a_path_in_one_spelling() {
    for good in [
        URL,
        "https://vscode.dev/oauth/client-metadata.json",
        "https://api.factory.ai/mcp/oauth-client",
        "https://app.example:8443/client.json?v=2",
    ] {
        assert!(is_document_id(good), "{good}");
    }
    for bad in [
        "",
        "mcp_abc",
        "http://app.example/client.json",
        "HTTPS://app.example/client.json",
        "https://app.example",
        "https://app.example/",
        "https://app.example?x/y",
        "https://app.example/?x",
        "https://app.example/client.json#x",
        "https://user@app.example/client.json",
        "https://app.example/a/../client.json",
        "https://app.example/a/%2e%2e/client.json",
        "https://app.example/./client.json",
        "https://App.example/client.json",
        "https://app.example./client.json",
        "https://2130706433/client.json",
        "https://app.example\\client.json",
        "https://app.example/client json",
        " https://app.example/client.json",
        "https:///client.json",
    ] {
        assert!(!is_document_id(bad), "{bad:?}");
    }
    assert!(!is_document_id(&format!("https://app.example/{}", "a".repeat(3000))));
}

// spec: AS-105, T-24
#[test]
fn document_must_name_its_own_url() {
    let metadata = read(&good()).unwrap();
    assert_eq!(metadata.client_name.as_deref(), Some("Claude Code"));
    assert!(metadata.redirect_matches("http://localhost:51111/callback"));
    assert!(metadata.is_loopback_only());
    for other in [format!("{URL}/"), URL.to_uppercase(), "https://evil.example/x".into(), String::new()] {
        assert_eq!(read(&with("client_id", json!(other))), Err(RegistrationErrorCode::InvalidClientMetadata));
    }
}

// spec: AS-106
#[test]
fn document_must_be_complete_and_well_typed() {
    for name in ["client_id", "client_name", "redirect_uris"] {
        let mut members = good();
        members.as_object_mut().unwrap().remove(name);
        assert!(read(&members).is_err(), "{name} was missing");
        assert!(read(&with(name, json!(7))).is_err(), "{name} was a number");
    }
    assert!(read(&with("redirect_uris", json!([]))).is_err());
    assert!(read(&with("redirect_uris", json!(["cursor://x/cb"]))).is_err());
    assert!(read(&with("contacts", json!("ada"))).is_err());
    for text in ["", "[]", "<html>"] {
        assert!(document(URL, text.as_bytes(), &RedirectPolicy::default()).is_err());
    }
    assert!(read(&with("x", json!("x".repeat(64 * 1024)))).is_err());
}

// spec: AS-107, T-24
#[test]
fn public_document_holds_no_secret() {
    let mut private = signing_key().public().to_jwk();
    private["d"] = json!("AAAA");
    for (name, value) in [
        ("client_secret", json!("s")),
        ("client_secret_expires_at", json!(0)),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("token_endpoint_auth_method", json!("client_secret_post")),
        ("token_endpoint_auth_method", json!("client_secret_jwt")),
        ("jwks", json!({ "keys": [private] })),
        ("jwks", json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] })),
    ] {
        assert_eq!(read(&with(name, value)), Err(RegistrationErrorCode::InvalidClientMetadata), "{name}");
    }
    let silent = read(&with("token_endpoint_auth_method", Value::Null)).unwrap();
    assert_eq!(silent.token_endpoint_auth_method, AuthMethod::None);
    let mut signing = with("token_endpoint_auth_method", json!("private_key_jwt"));
    signing["jwks_uri"] = json!("https://claude.ai/jwks");
    assert_eq!(read(&signing).unwrap().token_endpoint_auth_method, AuthMethod::PrivateKeyJwt);
}

// spec: AS-116, T-25
#[test]
fn security_relevant_changes_change_the_hash() {
    let hash = |members: &Value| read(members).unwrap().consent_digest();
    let before = hash(&good());
    let jwk = signing_key().public().to_jwk();
    for (name, value) in [
        ("redirect_uris", json!(["http://localhost/callback"])),
        ("redirect_uris", json!(["http://localhost/callback", "https://evil.example/cb"])),
        ("jwks", json!({ "keys": [jwk] })),
        ("jwks_uri", json!("https://claude.ai/jwks")),
        ("client_name", json!("Claude")),
        ("logo_uri", json!("https://claude.ai/logo.png")),
    ] {
        assert_ne!(hash(&with(name, value)), before, "{name}");
    }
    let mut signing = with("token_endpoint_auth_method", json!("private_key_jwt"));
    signing["jwks_uri"] = json!("https://claude.ai/jwks");
    assert_ne!(hash(&signing), hash(&with("jwks_uri", json!("https://claude.ai/jwks"))));
    for (name, value) in [
        ("redirect_uris", json!(["http://127.0.0.1/callback", "http://localhost/callback"])),
        ("tos_uri", json!("https://claude.ai/terms")),
        ("software_version", json!("2")),
    ] {
        assert_eq!(hash(&with(name, value)), before, "{name}");
    }
}
