//! Whoever has no role at all stays outside, whatever else they have.

use anyhow::{Context, Result};
use portcullis_base::Clock;
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    person::Browser,
};
use serde_json::json;

// spec: T-95
#[tokio::test]
async fn whoever_has_no_role_neither_signs_in_nor_calls_nor_refreshes() -> Result<()> {
    let house = TestGateway::without_people("roles: { member: [staff] }\n").await?;
    let alice = house.person(ALICE, false, &["staff"]).await?;
    house.person(BOB, false, &["visitors"]).await?;

    let mut bob = Browser::new(&house.authority);
    let answer = bob.sign_in(BOB.0, BOB.1).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("None of your groups") && bob.cookie_header().is_empty());
    let refused = house.events("signin.failed").await?;
    assert!(refused.len() == 1 && refused[0].to_string().contains("no_role"), "{refused:?}");

    let (client, tokens) = house.client("sample", ALICE).await?;
    let call = async || house.call("sample", &tokens.access, "echo", json!({ "text": "hello" })).send().await;
    assert_eq!(call().await?.status, 200);
    let mut browser = Browser::new(&house.authority);
    browser.sign_in(ALICE.0, ALICE.1).await?;
    assert_eq!(browser.get("/account").await?.status, 200);

    // The group goes, and with it everything, at once.
    house.app.store.set_local_groups(&alice, &[], house.clock.now()).await?;
    house.app.make_known().await;
    assert_eq!(call().await?.status, 401);
    assert_eq!(browser.get("/account").await?.status, 303);
    let refresh = tokens.refresh.as_deref().context("a refresh token")?;
    let refused = client.refresh(refresh).await?;
    assert_eq!((refused.status, refused.json()["error"].as_str()), (400, Some("invalid_grant")));

    // Nothing was taken away for good.
    house.app.store.set_local_groups(&alice, &["staff".into()], house.clock.now()).await?;
    house.app.make_known().await;
    assert_eq!(call().await?.status, 200);
    assert_eq!(client.refresh(refresh).await?.status, 200);
    house.stop().await
}
