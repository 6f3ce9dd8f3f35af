//! A person's own page.

use http::StatusCode;

use crate::house::{CALLBACK, House};

// spec: AS-91, AS-89
#[tokio::test]
async fn a_person_sees_and_ends_what_acts_for_them() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let tokens = house.tokens(&browser, &client, CALLBACK).await;

    let home = browser.get("/").await;
    for needed in ["Test client", "127.0.0.1:5000", "http://127.0.0.1:7878/mcp/sample", "claude mcp add", "Just now"] {
        assert!(home.text.contains(needed), "{needed}: {}", home.text);
    }
    assert!(!home.text.contains("mcp/vault"), "servers without access are not shown");

    let (grant, token) = (home.field("grant"), home.field("form_token"));
    let answer = browser.post("/grants/revoke", &[("grant", &grant), ("form_token", &token)]).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/?done=revoked"));
    assert!(house.app.ended.has_grant(&portcullis_base::GrantId::new(grant)));
    let answer = house.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.error(), "invalid_grant");
    assert!(browser.get("/?done=revoked").await.text.contains("The access was ended."));
}

// spec: AS-91, T-94
#[tokio::test]
async fn only_its_owner_or_an_administrator_ends_a_grant() {
    let house = House::new().await;
    house.person("ada").await;
    house.person("eve").await;
    house.admin("root").await;
    let client = house.public_client(&[CALLBACK]).await;
    let ada = house.signed_in("ada").await;
    house.tokens(&ada, &client, CALLBACK).await;
    let grant = ada.get("/").await.field("grant");

    let eve = house.signed_in("eve").await;
    let token = eve.get("/").await.field("form_token");
    let answer = eve.post("/grants/revoke", &[("grant", &grant), ("form_token", &token)]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    for headers in [&[][..], &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")][..]] {
        let token = ada.get("/").await.field("form_token");
        let answer = ada.post_from(headers, "/grants/revoke", &[("grant", &grant), ("form_token", &token)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(ada.post("/grants/revoke", &[("grant", &grant)]).await.status, StatusCode::FORBIDDEN);
    assert!(!house.app.ended.has_grant(&portcullis_base::GrantId::new(grant.as_str())));

    let root = house.signed_in("root").await;
    let home = root.get("/").await;
    assert!(home.text.contains("Everybody else's applications") || home.text.contains("Everybody else&#39;s"));
    assert_eq!(home.field("grant"), grant);
    let answer = root.post("/grants/revoke", &[("grant", &grant), ("form_token", &home.field("form_token"))]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(house.app.ended.has_grant(&portcullis_base::GrantId::new(grant)));
}

#[tokio::test]
async fn pages_under_another_name_of_this_machine_lead_to_the_right_one() {
    let house = House::new().await;
    let request = http::Request::get("/login?return_to=%2F").header("host", "localhost:7878");
    let answer = house.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.location(), "http://127.0.0.1:7878/login?return_to=%2F");
}

#[tokio::test]
async fn assets_are_kept_for_good_under_the_name_of_their_content() {
    let house = House::new().await;
    let login = house.get("/login").await;
    let at = login.text.find("/assets/portcullis-").unwrap();
    let path = login.text[at..].split('"').next().unwrap();
    let answer = house.get(path).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("content-type").starts_with("text/css"));
    assert!(answer.header("cache-control").contains("immutable"));
    assert_eq!(house.get("/assets/portcullis.css").await.status, StatusCode::NOT_FOUND);
}
