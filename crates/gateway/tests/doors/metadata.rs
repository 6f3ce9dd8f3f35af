//! What is published, and where it is not.

use axum::body::Body;
use http::{Method, Request, StatusCode};

use crate::house::{House, ISSUER, SAMPLE};

// spec: AS-4, AS-6, AS-7, AS-8, AS-10, AS-11, AS-12, AS-13, AS-15, AS-16, AS-21
#[tokio::test]
async fn the_server_describes_itself_at_both_places_alike() {
    let house = House::new().await;
    let answer = house.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let document = answer.json();
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(document["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    assert_eq!(document["client_id_metadata_document_supported"], true);
    let openid = house.get("/.well-known/openid-configuration").await.json();
    for member in document.as_object().unwrap().keys() {
        assert_eq!(openid[member], document[member], "{member}");
    }
    for endpoint in ["authorization", "token", "registration", "revocation", "introspection"] {
        let url = document[format!("{endpoint}_endpoint")].as_str().unwrap();
        let answer = house.get(url.strip_prefix(ISSUER).unwrap()).await;
        assert_ne!(answer.status, StatusCode::NOT_FOUND, "{url}");
    }
    let jwks = house.get(document["jwks_uri"].as_str().unwrap().strip_prefix(ISSUER).unwrap()).await.json();
    assert_eq!(jwks["keys"][0]["alg"], "ES256");
    assert!(jwks["keys"][0].get("d").is_none());
}

// spec: AS-9, RS-4
#[tokio::test]
async fn nothing_is_published_where_it_would_name_somebody_else() {
    let house = House::new().await;
    for path in [
        "/.well-known/oauth-authorization-server/mcp/sample",
        "/.well-known/openid-configuration/mcp/sample",
        "/mcp/sample/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/mcp/nowhere",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource/sample",
    ] {
        let answer = house.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        if path.starts_with("/.well-known/") {
            assert_eq!(
                answer.header("access-control-allow-origin"),
                "*",
                "{path}: other pages see that it is not there"
            );
        }
    }
}

// spec: RS-1, RS-2, RS-3, RS-5, RS-6, RS-7, RS-8, AS-22
#[tokio::test]
async fn every_endpoint_describes_itself_truthfully() {
    let house = House::new().await;
    for name in ["sample", "other"] {
        let answer = house.get(&format!("/.well-known/oauth-protected-resource/mcp/{name}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let document = answer.json();
        assert_eq!(document["resource"], SAMPLE.replace("sample", name));
        assert_eq!(document["authorization_servers"], serde_json::json!([ISSUER]));
        assert_eq!(document["scopes_supported"], serde_json::json!(["mcp:read", "mcp:call"]));
        assert_eq!(document["bearer_methods_supported"], serde_json::json!(["header"]));
    }
}

// spec: AS-14, AS-13
#[tokio::test]
async fn what_is_switched_off_is_neither_advertised_nor_there() {
    let house = House::with("clients: { registration: off, metadata_documents: { enabled: false } }").await;
    let document = house.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(document.get("registration_endpoint"), None);
    assert_ne!(document["client_id_metadata_document_supported"], true);
    let body = serde_json::json!({ "redirect_uris": ["http://127.0.0.1/cb"] });
    assert_eq!(house.post_json("/oauth/register", &body).await.status, StatusCode::NOT_FOUND);
}

async fn preflight(house: &House, path: &str) -> crate::house::Answer {
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri(path)
        .header("origin", "https://client.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "mcp-protocol-version");
    house.send(request.body(Body::empty()).unwrap()).await
}

// spec: AS-20, RS-8
#[tokio::test]
async fn pages_of_others_may_use_everything_but_the_authorization_endpoint() {
    let house = House::new().await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource/mcp/sample",
        "/oauth/token",
        "/oauth/register",
        "/oauth/revoke",
        "/oauth/jwks",
        "/token",
        "/register",
    ] {
        let answer = preflight(&house, path).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        assert!(answer.header("access-control-allow-headers").contains("mcp-protocol-version"), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{path}");
    }
    for path in ["/oauth/authorize", "/authorize", "/login", "/", "/grants/revoke"] {
        let answer = preflight(&house, path).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        assert!(!answer.status.is_success(), "{path}");
    }
}
