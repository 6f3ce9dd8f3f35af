//! Giving up tokens, and asking about them.

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    person::{Client, REDIRECT, VERIFIER, parameter, tokens},
};
use serde_json::json;

use crate::visit::{public, register, signed_in, target};

async fn calls(house: &TestGateway, token: &str) -> Result<u16> {
    Ok(house.call("sample", token, "echo", json!({ "message": "hi" })).send().await?.status)
}

// spec: T-43
#[tokio::test(flavor = "multi_thread")]
async fn t43_a_client_can_end_its_own_access_and_nobody_elses() -> Result<()> {
    let house = TestGateway::start().await?;
    let (victim, held) = house.client("sample", ALICE).await?;
    let attacker = Client::register(&house.authority, "B").await?;
    let revoke = |client: &Client, token: &str| {
        house.request("POST", "/oauth/revoke").form(&[("token", token), ("client_id", &client.id)])
    };
    let refresh = held.refresh.as_deref().context("refresh token")?;
    for token in [held.access.as_str(), refresh, "no-such-token", "a.b.c"] {
        let answer = revoke(&attacker, token).send().await?;
        // Somebody else's and none at all look the same.
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{token}");
    }
    assert_eq!(calls(&house, &held.access).await?, 200);
    let unnamed = house.request("POST", "/oauth/revoke").form(&[("token", refresh)]).send().await?;
    assert_eq!(unnamed.status, 400, "{}", unnamed.text());
    let unknown =
        house.request("POST", "/oauth/revoke").form(&[("token", refresh), ("client_id", "nobody")]).send().await?;
    assert_eq!(unknown.status, 401, "{}", unknown.text());
    assert_eq!(calls(&house, &held.access).await?, 200);
    let renewed = victim.refresh(refresh).await?;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    let renewed = tokens(&renewed)?;

    assert_eq!(revoke(&victim, renewed.refresh.as_deref().context("refresh token")?).send().await?.status, 200);
    assert_eq!(calls(&house, &renewed.access).await?, 401);
    assert_eq!(calls(&house, &held.access).await?, 401);
    house.stop().await
}

// spec: T-43
#[tokio::test(flavor = "multi_thread")]
async fn t43_introspection_tells_a_proved_client_about_its_own_tokens_only() -> Result<()> {
    let house = TestGateway::start().await?;
    let (public_client, foreign) = house.client("sample", BOB).await?;
    let mut metadata = public("Report", &[REDIRECT]);
    metadata["token_endpoint_auth_method"] = "client_secret_basic".into();
    let registered = register(&house, &metadata).await?;
    let (id, secret) = (registered["client_id"].as_str().unwrap(), registered["client_secret"].as_str().unwrap());
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let back = signed_in(&house, ALICE).await?.authorize(&target(&house, id, REDIRECT), ALICE, "approve").await?;
    let code = parameter(&back, "code").context("code")?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    let own = house.request("POST", "/oauth/token").header("authorization", &basic).form(&form).send().await?;
    let own = tokens(&own)?;

    let ask = |token: &str| house.request("POST", "/oauth/introspect").form(&[("token", token)]);
    for token in [&own.access, &foreign.access] {
        let nobody = ask(token).send().await?;
        assert!([400, 401].contains(&nobody.status) && nobody.json().get("active").is_none(), "{}", nobody.text());
        let named = [("token", token.as_str()), ("client_id", &public_client.id)];
        let named = house.request("POST", "/oauth/introspect").form(&named).send().await?;
        assert_eq!((named.status, named.json()["error"].as_str()), (401, Some("invalid_client")), "{}", named.text());
        let guessed = ask(token).header("authorization", &format!("Basic {}", STANDARD.encode(format!("{id}:wrong"))));
        assert_eq!(guessed.send().await?.status, 401);
    }
    let foreign_refresh = foreign.refresh.context("refresh token")?;
    for token in [foreign.access.as_str(), &foreign_refresh, "no-such-token", "a.b.c", &format!("{}x", own.access)] {
        let answer = ask(token).header("authorization", &basic).send().await?;
        assert_eq!((answer.status, answer.json()), (200, json!({ "active": false })), "{token}");
    }
    let answer = ask(&own.access).header("authorization", &basic).send().await?;
    assert_eq!(answer.json()["active"], true, "{}", answer.text());
    assert_eq!(answer.json()["client_id"], id);
    house.stop().await
}
