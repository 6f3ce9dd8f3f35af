//! The documents we publish.

use portcullis_oauth::metadata::{
    AuthorizationServer, OpenIdServer, ProtectedResource, Settings, Switch, resource_metadata_url, server_metadata_urls,
};
use serde_json::{Value, json};

use crate::world::{ISSUER, WIKI};

fn settings(switch: Switch) -> Settings {
    Settings {
        issuer: ISSUER.into(),
        registration: switch,
        documents: switch,
        client_credentials: switch,
        id_jag: switch,
        workloads: switch,
    }
}

fn server(switch: Switch) -> Value {
    serde_json::to_value(AuthorizationServer::new(&settings(switch))).unwrap()
}

// spec: AS-2, AS-8, AS-10, AS-11, AS-12, AS-15, AS-16, AS-61, AS-161, AS-171, AS-90, RFC8414#2, RFC9207#3
#[test]
fn server_document_says_what_there_is() {
    let methods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
    let algorithms = ["ES256", "EdDSA", "RS256"];
    let expected = json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://gw.example/oauth/authorize",
        "token_endpoint": "https://gw.example/oauth/token",
        "registration_endpoint": "https://gw.example/oauth/register",
        "revocation_endpoint": "https://gw.example/oauth/revoke",
        "introspection_endpoint": "https://gw.example/oauth/introspect",
        "jwks_uri": "https://gw.example/oauth/jwks",
        "scopes_supported": ["mcp:read", "mcp:call", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
        ],
        "authorization_grant_profiles_supported": ["urn:ietf:params:oauth:grant-profile:id-jag"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": &methods[1..],
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
    });
    assert_eq!(server(Switch::On), expected);
}

// spec: AS-13, AS-14
#[test]
fn what_is_switched_off_is_not_advertised() {
    let document = server(Switch::Off);
    assert!(document.get("registration_endpoint").is_none());
    assert_eq!(document["client_id_metadata_document_supported"], false);
    assert!(document.get("authorization_grant_profiles_supported").is_none());
    assert_eq!(document["grant_types_supported"], json!(["authorization_code", "refresh_token"]));
}

// spec: AS-161, AS-171, AS-182
#[test]
fn grants_of_machines_are_advertised_one_by_one() {
    const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let of = |settings: &Settings| serde_json::to_value(AuthorizationServer::new(settings)).unwrap();
    let grants = |document: &Value| document["grant_types_supported"].as_array().unwrap()[2..].to_vec();
    let off = settings(Switch::Off);
    let credentials = of(&Settings { client_credentials: Switch::On, ..off.clone() });
    assert_eq!(grants(&credentials), ["client_credentials"]);
    let workloads = of(&Settings { workloads: Switch::On, ..off.clone() });
    assert_eq!(grants(&workloads), [JWT_BEARER]);
    assert!(workloads.get("authorization_grant_profiles_supported").is_none());
    let id_jag = of(&Settings { id_jag: Switch::On, ..off });
    assert_eq!(grants(&id_jag), [JWT_BEARER]);
    assert_eq!(id_jag["authorization_grant_profiles_supported"][0], "urn:ietf:params:oauth:grant-profile:id-jag");
}

// spec: RS-3, RS-21
#[test]
fn endpoint_with_another_authorization_server_names_that_one_only() {
    let document = ProtectedResource::external("https://login.example.com", WIKI, Some("Wiki"));
    assert_eq!(
        serde_json::to_value(document).unwrap(),
        json!({
            "resource": WIKI,
            "authorization_servers": ["https://login.example.com"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Wiki",
        })
    );
}

// spec: AS-6, AS-7
#[test]
fn openid_location_has_the_same_document() {
    let openid = serde_json::to_value(OpenIdServer::new(&settings(Switch::On))).unwrap();
    for (name, value) in server(Switch::On).as_object().unwrap() {
        assert_eq!(&openid[name], value, "{name}");
    }
    assert_eq!(openid["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(openid["subject_types_supported"], json!(["public"]));
}

// spec: AS-4, AS-5, AS-6, AS-9, RFC8414#3.1
#[test]
fn server_document_is_only_where_its_issuer_puts_it() {
    assert_eq!(
        server_metadata_urls("https://gw.example"),
        [
            "https://gw.example/.well-known/oauth-authorization-server",
            "https://gw.example/.well-known/openid-configuration"
        ]
    );
    assert_eq!(
        server_metadata_urls("https://gw.example/t"),
        [
            "https://gw.example/.well-known/oauth-authorization-server/t",
            "https://gw.example/.well-known/openid-configuration/t",
            "https://gw.example/t/.well-known/openid-configuration"
        ]
    );
}

// spec: RS-1, RS-2, RS-3, RS-5, RS-6, RS-7, AS-8, AS-22, RFC9728#3.1, RFC9728#3.3
#[test]
fn endpoint_document_is_truthful() {
    assert_eq!(resource_metadata_url(WIKI), "https://gw.example/.well-known/oauth-protected-resource/mcp/wiki");
    assert_eq!(
        resource_metadata_url("http://127.0.0.1:7878"),
        "http://127.0.0.1:7878/.well-known/oauth-protected-resource"
    );
    let document = |name| serde_json::to_value(ProtectedResource::new(&settings(Switch::On), WIKI, name)).unwrap();
    assert_eq!(
        document(Some("Wiki")),
        json!({
            "resource": WIKI,
            "authorization_servers": [ISSUER],
            "scopes_supported": ["mcp:read", "mcp:call"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Wiki",
        })
    );
    assert!(document(None).get("resource_name").is_none());
}
