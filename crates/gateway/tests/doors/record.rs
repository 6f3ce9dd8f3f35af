//! What of all this is in the journal.

use serde_json::Value;

use crate::house::{CALLBACK, House, PASSWORD, authorize};

// spec: T-97
#[tokio::test]
async fn every_step_of_a_grant_is_recorded() {
    let house = House::new().await;
    let ada = house.person("ada").await;
    let mut browser = house.browser();
    browser.sign_in("ada", "wrong", "/").await;
    browser.sign_in("ada", PASSWORD, "/").await;
    let client = house.public_client(&[CALLBACK]).await;
    browser.get(&authorize(&client, "https://evil.example/cb", &[])).await;
    browser.get(&authorize(&client, CALLBACK, &[("scope", "nonsense")])).await;
    let page = browser.get(&authorize(&client, CALLBACK, &[])).await;
    browser.decide(&page, "deny", &[]).await;
    let tokens = house.tokens(&browser, &client, CALLBACK).await;
    let first = tokens["refresh_token"].as_str().unwrap();
    let second = house.refresh(&client, first).await.json()["refresh_token"].as_str().unwrap().to_owned();
    house.refresh(&client, first).await;
    house.refresh(&client, "garbage").await;
    house.refresh(&client, &second).await;
    house.refresh(&client, first).await;
    let page = browser.get("/logout").await;
    browser.post("/logout", &[("form_token", &page.field("form_token"))]).await;

    assert_eq!(
        house.events(),
        [
            "signin.failed",
            "signin.succeeded",
            "client.registered",
            "authz.refused",
            "authz.refused",
            "consent.denied",
            "consent.granted",
            "token.issued",
            "token.refreshed",
            "token.redelivered",
            "token.refused",
            "token.refreshed",
            "token.replayed",
            "grant.revoked",
            "signout",
        ]
    );
    let journal = house.journal();
    let of = |kind: &str| journal.iter().find(|line| line["event"] == kind).unwrap();
    for kind in ["consent.granted", "token.issued", "token.replayed"] {
        let line = of(kind).to_string();
        assert!(line.contains(ada.id.as_str()) && line.contains(&client) && line.contains("127.0.0.1"), "{line}");
    }
    assert!(of("consent.granted").to_string().contains("sample"));
}

// spec: AS-87, T-97
#[tokio::test]
async fn no_credential_is_in_the_journal_or_the_database() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let page = browser.get(&authorize(&client, CALLBACK, &[])).await;
    let code = browser.approve(&page).await.location_parameter("code").unwrap();
    let tokens = house.redeem(&client, CALLBACK, &code).await.json();
    let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
    let next = house.refresh(&client, &refresh).await.json()["refresh_token"].as_str().unwrap().to_owned();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let session = browser.cookie().unwrap().split_once('=').unwrap().1.to_owned();
    let secrets =
        [code, refresh, next, text(&tokens["access_token"]), session, PASSWORD.to_owned(), page.field("form_token")];
    let written = format!("{:?}{}", house.journal(), house.database());
    for secret in &secrets {
        assert!(!written.contains(secret.as_str()), "{secret}");
    }
}
