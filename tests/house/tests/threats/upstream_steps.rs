//! Servers that are never content with what they were given.

use anyhow::{Context, Result, ensure};
use portcullis_house::gateway::ALICE;
use serde_json::{Value, json};
use url::Url;

use crate::{account_site::send, hostile_site::Story, origin_server::Canary, visit::signed_in};

/// What a call came to.
#[derive(Debug)]
enum Came {
    /// The person is asked to open this.
    Link(Url),
    /// An end, with its reason.
    End(String),
}

/// A call by a client that can show a link to its person.
async fn call(story: &Story, token: &str) -> Result<Came> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "echo", "arguments": {}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "url": {} } },
            "io.modelcontextprotocol/clientInfo": { "name": "house", "version": "1" } } } });
    let answer = story.house.call("shady", token, "echo", json!({})).body(body.to_string()).send().await?;
    let result = answer.json();
    let requests = result["result"]["inputRequests"].as_object();
    if let Some(url) = requests.and_then(|all| all.values().next()).and_then(|one| one["params"]["url"].as_str()) {
        return Ok(Came::Link(Url::parse(url)?));
    }
    // Nothing of a challenge reaches a client, who would throw its own token away.
    ensure!(answer.status == 200 && answer.header("www-authenticate").is_none(), "{} {}", answer.status, answer.text());
    Ok(Came::End(answer.text()))
}

/// Alice opens the link and allows everything; which scopes were asked for.
async fn allow(story: &mut Story, link: &Url) -> Result<Vec<String>> {
    let page = story.alice.get(&link[url::Position::BeforePath..]).await?;
    let answer = send(&mut story.alice, &page, "/connect", &[]).await?;
    let to = answer.header("location").with_context(|| format!("{} {}", answer.status, answer.text()))?;
    let authorize = Url::parse(to)?;
    let scope = authorize.query_pairs().find(|(name, _)| name == "scope").map(|(_, value)| value.into_owned());
    let arrived = story.come_back(&authorize).await?;
    let done = send(&mut story.alice, &arrived, "/confirm", &[("decision", "connect")]).await?;
    ensure!(done.status == 303, "{} {}", done.status, done.text());
    Ok(scope.unwrap_or_default().split(' ').map(str::to_owned).collect())
}

async fn connected(credential: Value) -> Result<(Story, String)> {
    let mut story = Story::with(credential).await?;
    let (_, tokens) = story.house.client("shady", ALICE).await?;
    let link = match call(&story, &tokens.access).await? {
        Came::Link(link) => link,
        Came::End(text) => anyhow::bail!("no link: {text}"),
    };
    allow(&mut story, &link).await?;
    ensure!(story.is_connected().await?, "not connected");
    Ok((story, tokens.access))
}

fn insufficient(scope: &str) -> (u16, String) {
    (403, format!("Bearer error=\"insufficient_scope\"{scope}, error_description=\"go-to-evil\""))
}

fn tool_calls(story: &Story) -> usize {
    story.site.behind.calls("tools/call").len()
}

// spec: T-42, UP-46
#[tokio::test(flavor = "multi_thread")]
async fn t42_one_step_asks_for_everything_and_the_third_is_not_taken() -> Result<()> {
    let (mut story, token) = connected(json!({ "kind": "oauth" })).await?;
    story.site.lies().refusal = Some(insufficient(", scope=\"notes:write notes:share notes:admin\""));
    for round in 0..2 {
        let before = tool_calls(&story);
        let Came::Link(link) = call(&story, &token).await? else { anyhow::bail!("no link in round {round}") };
        assert!(tool_calls(&story) - before <= 2, "the server was asked again and again");
        story.house.advance(std::time::Duration::from_secs(1)).await?;
        let mut asked = allow(&mut story, &link).await?;
        asked.sort();
        // What there was, and all that is wanted, at once.
        assert_eq!(asked, ["notes:admin", "notes:read", "notes:share", "notes:write"], "round {round}");
    }
    for _ in 0..3 {
        let before = tool_calls(&story);
        let Came::End(text) = call(&story, &token).await? else { anyhow::bail!("it goes on for ever") };
        assert!(text.contains("again and again") && text.contains("notes:write"), "{text}");
        assert!(!text.contains("/connections/") && !text.contains("go-to-evil"), "{text}");
        assert!(tool_calls(&story) - before <= 2);
    }
    // What there is stays: other calls go on.
    assert!(story.is_connected().await?);
    story.site.lies().refusal = None;
    let Came::End(text) = call(&story, &token).await? else { anyhow::bail!("a link for nothing") };
    assert!(text.contains("\"result\"") && !text.contains("\"isError\":true"), "{text}");
    story.house.stop().await
}

// spec: T-42
#[tokio::test(flavor = "multi_thread")]
async fn t42_nobody_is_sent_to_allow_what_is_allowed_unnamed_or_forbidden() -> Result<()> {
    for (credential, scope) in [
        // What it has already.
        (json!({ "kind": "oauth" }), ", scope=\"notes:read\""),
        // More, without saying what.
        (json!({ "kind": "oauth" }), ""),
        // More than an administrator lets be asked for.
        (json!({ "kind": "oauth", "scopes": ["notes:read", "notes:write"] }), ", scope=\"notes:write notes:admin\""),
    ] {
        let (story, token) = connected(credential).await?;
        story.site.lies().refusal = Some(insufficient(scope));
        let before = tool_calls(&story);
        match call(&story, &token).await? {
            Came::End(text) => {
                assert!(!text.contains("/connections/") && !text.contains("go-to-evil"), "{scope}: {text}");
                assert!(text.contains("isError") || text.contains("error"), "{scope}: {text}");
            }
            Came::Link(link) => anyhow::bail!("{scope}: sent to {link}"),
        }
        assert!(tool_calls(&story) - before <= 2, "{scope}");
        story.house.stop().await?;
    }
    Ok(())
}

// spec: T-42, UP-45
#[tokio::test(flavor = "multi_thread")]
async fn t42_a_server_that_refuses_every_token_is_asked_twice_for_one_call() -> Result<()> {
    let (story, token) = connected(json!({ "kind": "oauth" })).await?;
    story.site.lies().refusal = Some((401, "Bearer error=\"invalid_token\"".into()));
    for _ in 0..3 {
        let (calls, tokens) = (tool_calls(&story), story.site.asked("/token"));
        call(&story, &token).await?;
        let (calls, tokens) = (tool_calls(&story) - calls, story.site.asked("/token") - tokens);
        assert!(calls <= 2 && tokens <= 1, "{calls} calls and {tokens} refreshes for one");
    }
    // What a server does not want is not shown to anybody else either.
    let mut bob = signed_in(&story.house, portcullis_house::gateway::BOB).await?;
    assert!(!bob.get("/connections").await?.text().contains("alice@shady.example"));
    story.house.stop().await
}

// spec: T-29, T-28, UP-13, UP-41
#[tokio::test(flavor = "multi_thread")]
async fn t29_what_a_connected_server_says_takes_no_token_anywhere() -> Result<()> {
    let canary = Canary::new()?;
    let place = format!("http://127.0.0.1:{}", canary.port);
    // It sends calls elsewhere.
    let (story, token) = connected(json!({ "kind": "oauth" })).await?;
    call(&story, &token).await?;
    for status in [301, 302, 303, 307, 308] {
        story.site.lies().elsewhere.insert("/mcp", (status, format!("{place}/mcp")));
        let answer = story.house.call("shady", &token, "echo", json!({})).send().await?;
        assert_eq!((answer.status, answer.header("location")), (502, None), "{status}: {}", answer.text());
    }
    assert_eq!(canary.touched(), 0);
    story.house.stop().await?;
    // It refuses the token and names other places to get one, for us and for the next person.
    for host in ["127.0.0.1", "localhost"] {
        let place = format!("http://{host}:{}", canary.port);
        let (story, token) = connected(json!({ "kind": "oauth" })).await?;
        let challenge = format!("Bearer error=\"invalid_token\", resource_metadata=\"{place}/m\"");
        {
            let mut lies = story.site.lies();
            lies.refusal = Some((401, challenge.clone()));
            lies.challenge = Some(challenge);
            lies.resource.push(("authorization_servers", json!([place])));
            lies.server.push(("token_endpoint", json!(format!("{place}/token"))));
        }
        call(&story, &token).await?;
        // Also when the token is over, and everything that was known of the server with it.
        story.house.advance(std::time::Duration::from_secs(24 * 3600)).await?;
        let (_, tokens) = story.house.client("shady", ALICE).await?;
        call(&story, &tokens.access).await?;
        signed_in(&story.house, ALICE).await?.get("/connections/shady").await?;
        assert_eq!(canary.touched(), 0, "{host}");
        story.house.stop().await?;
    }
    Ok(())
}
