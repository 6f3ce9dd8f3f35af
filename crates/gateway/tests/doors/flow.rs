//! The main road: sign in, consent, code, token, refresh.

use http::StatusCode;

use crate::house::{CALLBACK, House, ISSUER, PASSWORD, SAMPLE, authorize, claims};

// spec: AS-1, AS-39, AS-40, AS-44, AS-71, AS-80
#[tokio::test]
async fn a_newcomer_gets_from_the_link_to_a_refreshed_token() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let mut browser = house.browser();

    let answer = browser.get(&authorize(&client, CALLBACK, &[])).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.location().starts_with("/login?return_to=%2Foauth%2Fauthorize%3F"), "{}", answer.location());
    let page = browser.get(answer.location()).await;
    assert_eq!(page.status, StatusCode::OK);
    let answer = browser.sign_in("ada", PASSWORD, &page.field("return_to").replace("&amp;", "&")).await;
    assert!(answer.location().starts_with("/oauth/authorize/continue?"), "{}", answer.location());

    let page = browser.get(answer.location()).await;
    assert!(page.text.contains("127.0.0.1:5000"), "{}", page.text);
    let answer = browser.approve(&page).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.location().starts_with(&format!("{CALLBACK}?code=")), "{}", answer.location());
    assert_eq!(answer.location_parameter("state").as_deref(), Some("st4te"));
    assert_eq!(answer.location_parameter("iss").as_deref(), Some(ISSUER));

    let code = answer.location_parameter("code").unwrap();
    let answer = house.redeem(&client, CALLBACK, &code).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    let tokens = answer.json();
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 600);
    assert_eq!(tokens["scope"], "mcp:read mcp:call");
    let access = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(access["aud"], SAMPLE);
    assert_eq!(access["iss"], ISSUER);

    let first = tokens["refresh_token"].as_str().unwrap();
    let answer = house.refresh(&client, first).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_ne!(answer.json()["refresh_token"], tokens["refresh_token"]);
}
