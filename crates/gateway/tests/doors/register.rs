//! Dynamic registration.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::house::{CALLBACK, House, VERIFIER, authorize};

// spec: AS-119, AS-122, AS-101, T-27, AS-87
#[tokio::test]
async fn public_and_confidential_clients_register() {
    let house = House::new().await;
    let public = house.register(json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none" })).await;
    assert_eq!(public.get("client_secret"), None);
    assert_eq!(public["token_endpoint_auth_method"], "none");
    assert_eq!(public["redirect_uris"], json!([CALLBACK]));
    assert!(!public["client_id"].as_str().unwrap().starts_with("https://"));

    for method in ["client_secret_basic", "client_secret_post"] {
        let body = json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": method });
        let answer = house.post_json("/oauth/register", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        assert_eq!(answer.header("cache-control"), "no-store");
        let client = answer.json();
        assert_eq!(client["token_endpoint_auth_method"], method);
        assert_eq!(client["client_secret_expires_at"], 0);
        let secret = client["client_secret"].as_str().unwrap();
        assert!(secret.len() >= 43 && !house.database().contains(secret));
    }
    let default = house.register(json!({ "redirect_uris": [CALLBACK] })).await;
    assert_eq!(default["token_endpoint_auth_method"], "client_secret_basic");
}

// spec: AS-37, AS-120, T-11, T-14
#[tokio::test]
async fn bad_registrations_are_refused_by_name() {
    let house = House::new().await;
    for uri in [
        "https://a.example/cb#x",
        "https://user@a.example/cb",
        "http://a.example/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "about:blank",
        "/relative",
        "https://*.a.example/cb",
        "https://a.example/x/../cb",
        " https://a.example/cb",
        "myapp:/cb",
        "vbscript:x",
        "blob:https://a.example/x",
    ] {
        let answer = house.post_json("/oauth/register", &json!({ "redirect_uris": [uri] })).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{uri}");
        assert_eq!(answer.error(), "invalid_redirect_uri", "{uri}");
    }
    let with = |member: &str, value: Value| {
        let mut body = json!({ "redirect_uris": [CALLBACK] });
        body[member] = value;
        body
    };
    for body in [
        with("client_uri", json!("javascript:alert(1)")),
        with("logo_uri", json!("data:image/svg+xml,x")),
        with("policy_uri", json!("http://a.example")),
        with("tos_uri", json!("file:///x")),
        with("jwks_uri", json!("http://a.example/jwks")),
        with("client_name", json!(7)),
        with("client_name", json!("x".repeat(10_000))),
        with("token_endpoint_auth_method", json!("tls_client_auth")),
        with("grant_types", json!(["client_credentials"])),
        with("response_types", json!(["token"])),
        json!([]),
    ] {
        let answer = house.post_json("/oauth/register", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.error(), "invalid_client_metadata", "{body}");
    }
}

// spec: AS-38, AS-138
#[tokio::test]
async fn a_scheme_that_the_administrator_allows_comes_with_a_warning() {
    let house = House::with("clients: { redirect_schemes: [cursor] }").await;
    house.person("ada").await;
    let uri = "cursor://anysphere.cursor-mcp/oauth/callback";
    let client = house.public_client(&[uri]).await;
    let browser = house.signed_in("ada").await;
    let page = browser.get(&authorize(&client, uri, &[])).await;
    assert!(page.text.contains("Any application can claim this kind of address"), "{}", page.text);
    assert!(page.header("content-security-policy").contains("form-action 'self' cursor: "));
    assert!(!page.text.contains("name=\"remember\""));
    assert!(browser.approve(&page).await.location().starts_with(&format!("{uri}?code=")));
    for other in ["myapp:/cb", "javascript:alert(1)", "cursorx://a/b"] {
        let answer = house.post_json("/oauth/register", &json!({ "redirect_uris": [other] })).await;
        assert_eq!(answer.error(), "invalid_redirect_uri", "{other}");
    }
}

// spec: T-22, AS-64, AS-61
#[tokio::test]
async fn privileges_are_cut_and_the_registered_method_is_enforced() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house
        .register(json!({
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "client_secret_post",
            "grant_types": ["authorization_code", "refresh_token", "client_credentials",
                "urn:ietf:params:oauth:grant-type:jwt-bearer", "password"],
            "scope": "mcp:read admin superuser",
            "software_statement": "eyJ",
        }))
        .await;
    assert_eq!(client["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(client["scope"], "mcp:read");
    let (id, secret) = (client["client_id"].as_str().unwrap(), client["client_secret"].as_str().unwrap());
    let browser = house.signed_in("ada").await;
    let page = browser.get(&authorize(id, CALLBACK, &[])).await;
    let code = browser.approve(&page).await.location_parameter("code").unwrap();
    let form = [("grant_type", "authorization_code"), ("client_id", id), ("code", &code), ("code_verifier", VERIFIER)];
    let without = house.post("/oauth/token", &form).await;
    assert_eq!((without.status, without.error().as_str()), (StatusCode::UNAUTHORIZED, "invalid_client"));
    let wrong_way = house.post_basic("/oauth/token", id, secret, &form).await;
    assert_eq!((wrong_way.status, wrong_way.error().as_str()), (StatusCode::UNAUTHORIZED, "invalid_client"));
    assert!(wrong_way.header("www-authenticate").starts_with("Basic "));
    let mut right = form.to_vec();
    right.push(("client_secret", secret));
    assert_eq!(house.post("/oauth/token", &right).await.status, StatusCode::OK);
}

// spec: AS-121
#[tokio::test]
async fn the_kind_of_application_is_judged_by_its_redirects() {
    let house = House::new().await;
    let web = json!({ "redirect_uris": [CALLBACK], "application_type": "web" });
    assert_eq!(house.post_json("/oauth/register", &web).await.error(), "invalid_redirect_uri");
    for kind in [json!("native"), Value::Null] {
        let body = json!({ "redirect_uris": [CALLBACK], "application_type": kind });
        assert_eq!(house.post_json("/oauth/register", &body).await.status, StatusCode::CREATED);
    }
}

// spec: T-20, AS-123
#[tokio::test]
async fn a_flood_of_registrations_is_slowed_down_and_bounded() {
    let house = House::with("clients: { registration_limits: { per_minute: 20, total: 5 } }").await;
    let body = json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none" });
    let mut statuses = Vec::new();
    for _ in 0..100 {
        let answer = house.post_json("/oauth/register", &body).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
        }
        statuses.push(answer.status);
    }
    let created = statuses.iter().filter(|status| **status == StatusCode::CREATED).count();
    assert_eq!(created, 5, "no more than the cap while all are young");
    assert!(statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count() >= 75);
    // Later the oldest that nobody used make room, and the number stays what it is.
    house.clock.advance(std::time::Duration::from_hours(1));
    assert_eq!(house.post_json("/oauth/register", &body).await.status, StatusCode::CREATED);
    let count = house.app.store.count_clients(portcullis_oauth::client::ClientKind::Registered).await.unwrap();
    assert_eq!(count, 5);
}

// spec: T-20
#[tokio::test]
async fn large_and_foreign_bodies_are_refused() {
    let house = House::new().await;
    let large = json!({ "redirect_uris": [CALLBACK], "client_name": "x".repeat(3_000_000) });
    assert!(house.post_json("/oauth/register", &large).await.status.is_client_error());
    let request = Request::post("/oauth/register").header("content-type", "text/plain");
    let body = json!({ "redirect_uris": [CALLBACK] }).to_string();
    let answer = house.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn registration_can_be_for_this_machine_only() {
    let house = House::with("clients: { registration: loopback }").await;
    let body = json!({ "redirect_uris": [CALLBACK] });
    assert_eq!(house.post_json("/oauth/register", &body).await.status, StatusCode::CREATED);
    let mut request = Request::post("/oauth/register").header("content-type", "application/json");
    let peer: std::net::SocketAddr = "192.0.2.1:9".parse().unwrap();
    request = request.extension(axum::extract::ConnectInfo(peer));
    let answer = house.send(request.body(Body::from(body.to_string())).unwrap()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}
