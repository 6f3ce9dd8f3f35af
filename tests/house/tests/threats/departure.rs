//! People who leave, or leave a group, while their clients go on: the provider's word reaches running calls.

use std::time::{Duration, Instant};

use anyhow::Result;
use portcullis_house::http::Request;
use serde_json::json;

use crate::{behind::Behind, company::Company};

const ROUND: Duration = Duration::from_mins(10);

async fn status(request: Request) -> Result<u16> {
    Ok(request.send().await?.status)
}

// spec: T-53, AS-145
#[tokio::test(flavor = "multi_thread")]
async fn t53_a_group_taken_away_at_the_provider_stops_calls_without_a_new_sign_in() -> Result<()> {
    let Some(company) = Company::of("oidc", json!({}), "tokens: { access: 15m }\n").await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let behind = Behind::start().await?;
    let entry = json!({ "name": "vault", "url": format!("http://{}/mcp", behind.at), "access": ["treasury"] });
    house.protect_as(entry).await?;
    for name in ["alice", "bob"] {
        provider.account(name, json!({ "groups": ["treasury", "canteen"] })).await?;
    }
    let (client, alice) = company.client("vault", "alice").await?;
    let (_, bob) = company.client("vault", "bob").await?;
    let call = |token: &str| house.call("vault", token, "echo", json!({ "text": "gold" }));
    assert_eq!((status(call(&alice.access)).await?, status(call(&bob.access)).await?), (200, 200));

    provider.account("alice", json!({ "groups": ["canteen"] })).await?;
    company.advance(ROUND).await?;
    house.renew_groups().await?;
    assert_eq!((status(call(&alice.access)).await?, status(call(&bob.access)).await?), (404, 200));
    let changed = house.events("person.changed").await?;
    assert!(changed.len() == 1 && changed[0].to_string().contains("treasury"), "{changed:?}");
    // Nor by a new token, which is given only after the provider was asked again where that is due.
    let refreshed = client.refresh(alice.refresh.as_deref().unwrap_or_default()).await?;
    if refreshed.status == 200 {
        let token = portcullis_house::person::tokens(&refreshed)?;
        assert_eq!(status(call(&token.access)).await?, 404);
    }
    // Given back, it works again.
    provider.account("alice", json!({ "groups": ["treasury"] })).await?;
    company.advance(ROUND).await?;
    house.renew_groups().await?;
    let (_, alice) = company.client("vault", "alice").await?;
    assert_eq!(status(call(&alice.access)).await?, 200);
    company.house.stop().await
}

// spec: T-53, AS-86
#[tokio::test(flavor = "multi_thread")]
async fn t53_an_account_closed_at_the_provider_ends_everything_of_the_person() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let (client, alice) = company.client("sample", "alice").await?;
    let (other, mut bob) = company.client("sample", "bob").await?;
    let mut browser = company.signed_in("alice").await?;
    let call = |token: &str| house.call("sample", token, "echo", json!({ "message": "x" }));
    assert_eq!(status(call(&alice.access)).await?, 200);

    provider.account("alice", json!({ "disabled": true })).await?;
    company.advance(ROUND).await?;
    house.renew_groups().await?;
    assert_eq!(status(call(&alice.access)).await?, 401);
    assert_eq!(client.refresh(alice.refresh.as_deref().unwrap_or_default()).await?.status, 400);
    assert!(!crate::company::is_signed_in(&mut browser).await?);
    assert_eq!(house.events("identity.ended").await?.len(), 1);
    // Nobody else notices.
    bob = portcullis_house::person::tokens(&other.refresh(bob.refresh.as_deref().unwrap_or_default()).await?)?;
    assert_eq!(status(call(&bob.access)).await?, 200);
    company.house.stop().await
}

// spec: T-53, AS-86
#[tokio::test(flavor = "multi_thread")]
async fn t53_a_refresh_asks_the_provider_first_when_that_is_due() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let (client, alice) = company.client("sample", "alice").await?;
    let (other, bob) = company.client("sample", "bob").await?;
    provider.account("alice", json!({ "disabled": true })).await?;
    company.advance(Duration::from_mins(20)).await?;
    let refused = client.refresh(alice.refresh.as_deref().unwrap_or_default()).await?;
    assert_eq!((refused.status, refused.json()["error"].as_str()), (400, Some("invalid_grant")), "{}", refused.text());
    let given = other.refresh(bob.refresh.as_deref().unwrap_or_default()).await?;
    let bob = portcullis_house::person::tokens(&given)?;
    assert_eq!(status(house.call("sample", &bob.access, "echo", json!({ "message": "x" }))).await?, 200);
    company.house.stop().await
}

// spec: T-53, AS-148, OIDCBCL#2.5, OIDCBCL#2.8
#[tokio::test(flavor = "multi_thread")]
async fn t53_a_logout_at_the_provider_ends_the_next_call_and_the_open_stream() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let behind = Behind::with(|seen| {
        seen.line.starts_with("GET").then(|| crate::behind::Reply::events(&[], crate::behind::Then::Hang))
    })
    .await?;
    house.protect("behind", behind.at).await?;
    let (client, alice) = company.client("behind", "alice").await?;
    let (_, bob) = company.client("behind", "bob").await?;
    let call = |token: &str| house.call("behind", token, "echo", json!({ "text": "x" }));
    let open = async |token: &str| {
        let session = house.session("behind", token).await?;
        let request = house.request("GET", "/mcp/behind").bearer(token).header("accept", "text/event-stream");
        let stream = request.header("mcp-session-id", &session).stream().await?;
        assert_eq!(stream.status, 200);
        anyhow::Ok(stream)
    };
    let (mut of_alice, mut of_bob) = (open(&alice.access).await?, open(&bob.access).await?);

    // A token that is not the provider's, not for us, of another kind, without an event, or old, ends nothing.
    let now = house.app.clock.now().as_secs();
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let good = json!({ "aud": "portcullis", "sub": "company-alice", "events": event });
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let forged = [
        provider.sign(json!({ "typ": "logout+jwt" }), with("aud", json!("x"))).await?,
        provider.sign(json!({ "typ": "logout+jwt" }), with("events", json!({}))).await?,
        provider.sign(json!({ "typ": "logout+jwt" }), with("iss", json!("https://evil.example"))).await?,
        provider.sign(json!({ "typ": "logout+jwt" }), with("nonce", json!("n"))).await?,
        provider.sign(json!({ "typ": "logout+jwt" }), with("sub", json!(null))).await?,
        provider.sign(json!({ "typ": "logout+jwt" }), with("exp", json!(now - 61))).await?,
        provider.sign(json!({ "typ": "logout+jwt" }), with("exp", json!(null))).await?,
        provider.sign(json!({ "typ": "at+jwt" }), good.clone()).await?,
        provider.sign(json!({ "typ": "logout+jwt", "kid": "unknown" }), good.clone()).await?,
        "x".into(),
    ];
    for token in &forged {
        let answer =
            house.request("POST", "/login/company/back-channel").form(&[("logout_token", token)]).send().await?;
        assert_eq!(answer.status, 400, "{token}");
    }
    assert_eq!((status(call(&alice.access)).await?, house.events("offboard.started").await?.len()), (200, 0));

    let said = Instant::now();
    provider.logout("alice").await?;
    assert!(of_alice.event().await?.is_none(), "the stream goes on");
    assert!(said.elapsed() < Duration::from_secs(1), "{:?}", said.elapsed());
    assert_eq!(status(call(&alice.access)).await?, 401);
    assert!(said.elapsed() < Duration::from_secs(2), "{:?}", said.elapsed());
    assert_eq!(client.refresh(alice.refresh.as_deref().unwrap_or_default()).await?.status, 400);
    let ended = house.events("offboard.finished").await?;
    assert!(ended.len() == 1 && ended[0].to_string().contains("alice"), "{ended:?}");
    // Bob's goes on.
    assert_eq!(status(call(&bob.access)).await?, 200);
    let open = tokio::time::timeout(Duration::from_millis(50), of_bob.event()).await;
    assert!(open.is_err(), "{open:?}");
    // The same token again says nothing new, and whoever comes back is let in.
    let token = provider.sign(json!({ "typ": "logout+jwt" }), good).await?;
    let send = || house.request("POST", "/login/company/back-channel").form(&[("logout_token", &token)]);
    assert_eq!((status(send()).await?, status(send()).await?), (200, 400));
    let (_, alice) = company.client("behind", "alice").await?;
    assert_eq!(status(call(&alice.access)).await?, 200);
    company.house.stop().await
}

// spec: T-53, AS-148
#[tokio::test(flavor = "multi_thread")]
async fn t53_a_logout_of_one_session_ends_that_one_where_the_settings_say_so() -> Result<()> {
    let Some(company) = Company::of("oidc", json!({ "back_channel_logout": "session" }), "").await? else {
        return Ok(());
    };
    let mut browsers = [company.signed_in("alice").await?, company.signed_in("alice").await?];
    company.provider().logout("alice").await?;
    let mut inside = 0;
    for browser in &mut browsers {
        inside += usize::from(crate::company::is_signed_in(browser).await?);
    }
    assert_eq!(inside, 1);
    assert_eq!(company.house.events("session.ended").await?.len(), 1);
    company.house.stop().await
}
