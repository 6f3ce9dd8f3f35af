//! Rules that ask for a fresh sign-in: the call says where, and goes on once the person was there.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Answer,
    person::{Browser, form},
};
use serde_json::{Value, json};

const RULES: &str = "
rules:
  - rule: fresh-notes
    who: ['*']
    what: [sample/echo]
    then: step_up
    step_up: { max_age: 5m }
";

/// The link in the text of an answer.
fn link(house: &TestGateway, text: &str) -> Option<String> {
    let at = text.find("/login/fresh?grant=")?;
    assert!(text[..at].ends_with(&format!("http://{}", house.authority)), "{text}");
    Some(text[at..].split([' ', '"', '\\']).next()?.to_owned())
}

/// Opens the link in a browser, signs in where asked, and confirms; the last page.
async fn follow(browser: &mut Browser, link: &str, login: (&str, &str)) -> Result<Answer> {
    let first = browser.get(link).await?;
    let mut page = browser.settle(first).await?;
    for _ in 0..3 {
        let html = page.text();
        let Some(form) = form(&html).filter(|_| page.status == 200) else { return Ok(page) };
        let fields: &[(&str, &str)] =
            if html.contains("type=\"password\"") { &[("name", login.0), ("password", login.1)] } else { &[] };
        let answer = browser.submit(&form, fields).await?;
        page = browser.settle(answer).await?;
    }
    Ok(page)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_needs_a_fresh_sign_in_says_where_and_passes_after_it() -> Result<()> {
    let house = TestGateway::with(RULES).await?;
    let (client, tokens) = house.client("sample", ALICE).await?;
    let echo = |token: &str| house.call("sample", token, "echo", json!({ "message": "x" }));
    let good = |answer: &Answer| answer.json()["result"]["content"].is_array();
    // Whoever signed in a moment ago goes on; after a while the rule asks.
    assert!(good(&echo(&tokens.access).send().await?));
    house.advance(Duration::from_secs(5 * 60 + 1)).await?;
    let answer = echo(&tokens.access).send().await?;
    let text = answer.json()["error"]["message"].as_str().context("a refusal")?.to_owned();
    assert!(answer.status == 200 && text.contains("fresh-notes"), "{text}");
    assert!(answer.header("www-authenticate").is_none(), "the token is good");
    let sealed = link(&house, &text).context("a link")?;
    // The rule is about one tool.
    let listed = house.modern("sample", &tokens.access, 1, "tools/list", json!({})).send().await?;
    assert!(listed.text().contains("\"echo\""), "what a sign-in opens is not hidden: {}", listed.text());

    // Somebody else's sign-in is not hers, nor is a link that was changed.
    let stranger = follow(&mut Browser::new(&house.authority), &sealed, BOB).await?;
    assert!(stranger.status >= 400, "{}", stranger.text());
    let mut changed = sealed.clone();
    changed.pop();
    assert!(follow(&mut Browser::new(&house.authority), &changed, ALICE).await?.status >= 400);
    assert!(!good(&echo(&tokens.access).send().await?));

    let page = follow(&mut Browser::new(&house.authority), &sealed, ALICE).await?;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(good(&echo(&tokens.access).send().await?), "the same token goes on");
    assert_eq!(house.events("grant.fresh").await?.len(), 1);
    // The next token says it by itself, and in time it is old again.
    let refreshed = client.refresh(tokens.refresh.as_deref().context("a refresh token")?).await?;
    let access = refreshed.json()["access_token"].as_str().context("a token")?.to_owned();
    house.app.fresh.forget(portcullis_base::Timestamp::from_secs(i64::MAX / 2_000));
    assert!(good(&echo(&access).send().await?));
    house.advance(Duration::from_secs(5 * 60 + 1)).await?;
    assert!(link(&house, &echo(&access).send().await?.text()).is_some());
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_can_open_pages_are_asked_to_and_others_read_the_link() -> Result<()> {
    let house = TestGateway::with(RULES).await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    house.advance(Duration::from_secs(5 * 60 + 1)).await?;
    for (capabilities, code) in
        [(json!({ "elicitation": { "url": {} } }), -32042), (json!({ "elicitation": {} }), -32602), (json!({}), -32602)]
    {
        let open = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": capabilities,
            "clientInfo": { "name": "house", "version": "1" } } });
        let opened = house
            .request("POST", "/mcp/sample")
            .bearer(&tokens.access)
            .header("accept", "application/json, text/event-stream")
            .json(&open)
            .send()
            .await?;
        let session = opened.header("mcp-session-id").context("a session")?.to_owned();
        let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call",
            "params": { "name": "echo", "arguments": { "message": "x" } } });
        let answer = house.legacy("sample", &tokens.access, &session, &call).send().await?.json();
        let error = &answer["error"];
        assert_eq!((&answer["id"], &error["code"]), (&json!(7), &json!(code)), "{answer}");
        let text = error["message"].as_str().unwrap_or_default();
        assert!(link(&house, text).is_some(), "{answer}");
        let asked = &error["data"]["elicitations"][0];
        if code == -32042 {
            assert_eq!(asked["mode"], "url");
            assert!(link(&house, asked["url"].as_str().unwrap_or_default()).is_some(), "{answer}");
            assert!(asked["elicitationId"].is_string() && asked["message"].is_string(), "{answer}");
        } else {
            assert_eq!(error["data"], Value::Null);
        }
    }
    house.stop().await
}
