//! Giving tokens up and asking about them.

use http::StatusCode;
use portcullis_base::GrantId;
use serde_json::json;

use crate::house::{CALLBACK, House, VERIFIER, authorize, claims};

// spec: AS-88, AS-89, T-43
#[tokio::test]
async fn a_client_gives_up_its_own_tokens_and_nobody_elses() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let (owner, other) = (house.public_client(&[CALLBACK]).await, house.public_client(&[CALLBACK]).await);
    for kind in ["access_token", "refresh_token"] {
        let tokens = house.tokens(&browser, &owner, CALLBACK).await;
        let (token, refresh) = (tokens[kind].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
        let grant = claims(tokens["access_token"].as_str().unwrap())["gid"].as_str().unwrap().to_owned();
        let grant = GrantId::new(grant);

        let answer = house.post("/oauth/revoke", &[("client_id", &other), ("token", token)]).await;
        assert_eq!(answer.status, StatusCode::OK, "foreign");
        assert!(!house.app.ended.has_grant(&grant));
        let answer = house.post("/oauth/revoke", &[("client_id", &owner), ("token", "unknown")]).await;
        assert_eq!(answer.status, StatusCode::OK, "unknown");
        assert!(!house.app.ended.has_grant(&grant));

        let form = [("client_id", &*owner), ("token", token), ("token_type_hint", "nonsense")];
        assert_eq!(house.post("/oauth/revoke", &form).await.status, StatusCode::OK);
        assert!(house.app.ended.has_grant(&grant));
        assert_eq!(house.refresh(&owner, refresh).await.error(), "invalid_grant");
    }
    let answer = house.post("/oauth/revoke", &[("client_id", "nobody"), ("token", "x")]).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, "invalid_client"));
}

// spec: AS-90, T-43
#[tokio::test]
async fn introspection_tells_confidential_clients_of_their_own_tokens() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let mut confidential = Vec::new();
    for _ in 0..2 {
        let body = json!({ "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"] });
        let client = house.register(body).await;
        let text = |name: &str| client[name].as_str().unwrap().to_owned();
        confidential.push((text("client_id"), text("client_secret")));
    }
    let (id, secret) = &confidential[0];
    let page = browser.get(&authorize(id, CALLBACK, &[])).await;
    let code = browser.approve(&page).await.location_parameter("code").unwrap();
    let form = [("grant_type", "authorization_code"), ("code", &*code), ("code_verifier", VERIFIER)];
    let tokens = house.post_basic("/oauth/token", id, secret, &form).await.json();
    let access = tokens["access_token"].as_str().unwrap();

    let told = house.post_basic("/oauth/introspect", id, secret, &[("token", access)]).await.json();
    assert_eq!((&told["active"], &told["scope"]), (&json!(true), &json!("mcp:read mcp:call")));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let told = house.post_basic("/oauth/introspect", id, secret, &[("token", refresh)]).await.json();
    assert_eq!(told["active"], true);

    let inactive = json!({ "active": false });
    let (other, other_secret) = &confidential[1];
    let told = house.post_basic("/oauth/introspect", other, other_secret, &[("token", access)]).await.json();
    assert_eq!(told, inactive, "foreign");
    let told = house.post_basic("/oauth/introspect", id, secret, &[("token", "unknown")]).await.json();
    assert_eq!(told, inactive, "unknown");

    let public = house.public_client(&[CALLBACK]).await;
    let answer = house.post("/oauth/introspect", &[("client_id", &public), ("token", access)]).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, "invalid_client"));
    assert!(house.post("/oauth/introspect", &[("token", access)]).await.status.is_client_error());

    house.clock.advance(std::time::Duration::from_mins(11));
    let told = house.post_basic("/oauth/introspect", id, secret, &[("token", access)]).await.json();
    assert_eq!(told, inactive, "expired");
}
