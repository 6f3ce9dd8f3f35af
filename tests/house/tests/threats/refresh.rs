//! Refresh tokens and scopes: what a thief of one can do, and how far a grant reaches.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use portcullis_base::Digest;
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::Answer,
    person::{Browser, Client, REDIRECT, Tokens, VERIFIER, authorize_target, form, parameter, tokens},
};
use serde_json::json;

const GRACE: Duration = Duration::from_secs(10);

async fn works(house: &TestGateway, token: &str) -> Result<u16> {
    Ok(house.call("sample", token, "echo", json!({ "message": "x" })).send().await?.status)
}

fn refused(answer: &Answer) {
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_grant")), "{}", answer.text());
}

// spec: T-40
#[tokio::test(flavor = "multi_thread")]
async fn t40_a_refresh_token_used_again_ends_the_family_at_once() -> Result<()> {
    let house = TestGateway::start().await?;
    let (client, first) = house.client("sample", ALICE).await?;
    let stolen = first.refresh.context("a refresh token")?;
    let second = tokens(&client.refresh(&stolen).await?)?;
    house.advance(GRACE).await?;
    // The thief comes too late, or the owner does: nobody can tell, so nobody keeps anything.
    assert_eq!(works(&house, &second.access).await?, 200);
    refused(&client.refresh(&stolen).await?);
    assert_eq!(works(&house, &second.access).await?, 401, "the newest access token outlived the theft");
    assert_eq!(works(&house, &first.access).await?, 401);
    refused(&client.refresh(second.refresh.as_deref().unwrap_or_default()).await?);
    assert_eq!(house.events("token.replayed").await?.len(), 1);
    // Another sign-in of the same person is another family.
    let (_, fresh) = house.client("sample", ALICE).await?;
    assert_eq!(works(&house, &fresh.access).await?, 200);
    house.stop().await
}

// spec: T-40
#[tokio::test(flavor = "multi_thread")]
async fn t40_a_retry_gets_the_same_successor_until_somebody_uses_it() -> Result<()> {
    let house = TestGateway::start().await?;
    let (client, first) = house.client("sample", ALICE).await?;
    let stolen = first.refresh.context("a refresh token")?;
    let second = tokens(&client.refresh(&stolen).await?)?;
    house.advance(GRACE.saturating_sub(Duration::from_secs(1))).await?;
    let again = tokens(&client.refresh(&stolen).await?)?;
    assert_eq!(again.refresh, second.refresh);
    // Once the successor was used, its predecessor is a stolen one, grace or not.
    let third = tokens(&client.refresh(again.refresh.as_deref().unwrap_or_default()).await?)?;
    refused(&client.refresh(&stolen).await?);
    assert_eq!(works(&house, &third.access).await?, 401);
    house.stop().await
}

// spec: T-40
#[tokio::test(flavor = "multi_thread")]
async fn t40_fifty_parallel_refreshes_give_one_successor_and_sign_nobody_out() -> Result<()> {
    let house = TestGateway::start().await?;
    let (client, first) = house.client("sample", ALICE).await?;
    let refresh = first.refresh.context("a refresh token")?;
    let answers = try_join_all((0..50).map(|_| client.refresh(&refresh))).await?;
    let all: Vec<Tokens> = answers.iter().map(tokens).collect::<Result<_>>()?;
    let successors: HashSet<_> = all.iter().map(|tokens| tokens.refresh.clone()).collect();
    assert_eq!(successors.len(), 1, "several successors of one token");
    for tokens in [&all[0], &all[49]] {
        assert_eq!(works(&house, &tokens.access).await?, 200);
    }
    let next = client.refresh(all[0].refresh.as_deref().unwrap_or_default()).await?;
    assert_eq!(next.status, 200, "{}", next.text());
    assert_eq!(house.events("token.refreshed").await?.len(), 2);
    house.stop().await
}

// spec: T-40
#[tokio::test(flavor = "multi_thread")]
async fn t40_a_refresh_token_is_its_clients_own_and_dies_with_its_limits() -> Result<()> {
    let house = TestGateway::start().await?;
    let (client, first) = house.client("sample", ALICE).await?;
    let refresh = first.refresh.context("a refresh token")?;
    let thief = Client::register(&house.authority, "Another").await?;
    refused(&thief.refresh(&refresh).await?);
    refused(&client.refresh(&format!("{refresh}x")).await?);
    // A guess or a foreign hand ends nothing.
    assert_eq!(works(&house, &first.access).await?, 200);
    let mut current = tokens(&client.refresh(&refresh).await?)?;
    // Used again and again, it still ends with the grant.
    let month = Duration::from_hours(24 * 29);
    for _ in 0..3 {
        house.advance(month).await?;
        current = tokens(&client.refresh(current.refresh.as_deref().unwrap_or_default()).await?)?;
    }
    house.advance(month).await?;
    refused(&client.refresh(current.refresh.as_deref().unwrap_or_default()).await?);
    // And unused, it ends by itself.
    let (client, idle) = house.client("sample", ALICE).await?;
    house.advance(Duration::from_hours(24 * 30)).await?;
    refused(&client.refresh(idle.refresh.as_deref().unwrap_or_default()).await?);
    house.stop().await
}

// spec: T-40
#[tokio::test(flavor = "multi_thread")]
async fn t40_disabling_a_person_ends_refreshing() -> Result<()> {
    let house = TestGateway::start().await?;
    let (client, first) = house.client("sample", ALICE).await?;
    let (person, _) = house.app.store.person_by_name(ALICE.0).await?.context("alice")?;
    house.app.store.disable_person(&person.id, house.app.clock.now()).await?;
    house.app.feed.catch_up().await.map_err(|error| anyhow::anyhow!("{error}"))?;
    assert_eq!(works(&house, &first.access).await?, 401);
    refused(&client.refresh(first.refresh.as_deref().unwrap_or_default()).await?);
    house.stop().await
}

/// Tokens for `sample` with just these scopes.
async fn granted(house: &TestGateway, client: &Client, scope: &str) -> Result<Answer> {
    let mut parameters = client.parameters("sample");
    parameters.push(("scope".into(), scope.into()));
    let back = Browser::new(&house.authority).authorize(&authorize_target(&parameters), ALICE, "approve").await?;
    let code = parameter(&back, "code").with_context(|| format!("no code in {back}"))?;
    client.token(&client.redemption(&code)).await
}

// spec: T-41
#[tokio::test(flavor = "multi_thread")]
async fn t41_a_refresh_never_widens_what_was_granted() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = Client::register(&house.authority, "Reader").await?;
    let answer = granted(&house, &client, "mcp:read").await?;
    assert_eq!(answer.json()["scope"], "mcp:read");
    let reader = tokens(&answer)?;
    let refresh = reader.refresh.context("a refresh token")?;
    for wider in ["mcp:read mcp:call", "mcp:call", "mcp:*", "*", "admin", "tools:*", "mcp:read admin", "MCP:READ"] {
        let pairs =
            [("grant_type", "refresh_token"), ("refresh_token", &refresh), ("client_id", &client.id), ("scope", wider)];
        let answer = client.token(&pairs).await?;
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (400, &json!("invalid_scope")),
            "{wider}: {}",
            answer.text()
        );
    }
    // Refused, not spent: the same token still gives what was granted.
    let answer = client.refresh(&refresh).await?;
    assert_eq!(answer.json()["scope"], "mcp:read", "{}", answer.text());
    let token = tokens(&answer)?.access;
    let call = house.call("sample", &token, "echo", json!({ "message": "x" })).send().await?;
    let challenge = call.header("www-authenticate").unwrap_or_default().to_owned();
    assert_eq!(call.status, 403, "{}", call.text());
    assert!(challenge.contains("insufficient_scope") && challenge.contains("scope=\"mcp:call\""), "{challenge}");
    let list = house.modern("sample", &token, 1, "tools/list", json!({})).send().await?;
    assert_eq!(list.status, 200, "{}", list.text());
    house.stop().await
}

// spec: T-41
#[tokio::test(flavor = "multi_thread")]
async fn t41_no_wildcard_and_no_scope_of_the_house_can_be_asked_for() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = Client::register(&house.authority, "Greedy").await?;
    for scope in
        ["*", "mcp:*", "tools:*", "admin", "mcp:read admin", "portcullis:admin", "mcp:call/payments", "openid profile"]
    {
        let mut parameters = client.parameters("sample");
        parameters.push(("scope".into(), scope.into()));
        let mut browser = Browser::new(&house.authority);
        browser.sign_in(ALICE.0, ALICE.1).await?;
        let page = browser.get(&authorize_target(&parameters)).await?;
        let page = browser.settle(page).await?;
        let said = format!("{} {}", page.header("location").unwrap_or_default(), page.text());
        assert!(said.contains("error=invalid_scope"), "{scope}: {} {said}", page.status);
        assert!(said.contains(REDIRECT) && !said.contains("code=") && form(&said).is_none(), "{scope}: {said}");
    }
    // Narrowing is allowed, and the narrow token is held to it while the grant stays as it was.
    let all = granted(&house, &client, "mcp:read mcp:call").await?;
    let refresh = tokens(&all)?.refresh.context("a refresh token")?;
    let pairs = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &refresh),
        ("client_id", &client.id),
        ("scope", "mcp:read"),
    ];
    let narrow = tokens(&client.token(&pairs).await?)?;
    assert_eq!(works(&house, &narrow.access).await?, 403);
    let wide = tokens(&client.refresh(narrow.refresh.as_deref().unwrap_or_default()).await?)?;
    assert_eq!(works(&house, &wide.access).await?, 200);
    // The consent page says in words what a scope lets a client do.
    let mut browser = Browser::new(&house.authority);
    browser.sign_in(ALICE.0, ALICE.1).await?;
    let challenge = Digest::of(VERIFIER.as_bytes()).to_base64url();
    let target = authorize_target(&client.parameters("sample"));
    assert!(target.contains(&challenge));
    let page = browser.get(&target).await?;
    let page = browser.settle(page).await?.text();
    assert!(!page.contains("mcp:call") || page.contains("tools"), "only the machine's word: {page}");
    house.stop().await
}
