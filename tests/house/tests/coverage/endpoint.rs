//! The data path: who calls what, and who is not let in.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use portcullis_base::ServerName;
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::{Request, send_raw},
    person::{Browser, Client, authorize_target, parameter},
};
use serde_json::json;

use crate::tour::{Row, Tour};

/// Rows of this part.
pub const ROWS: &[Row] = &[
    ("POST /mcp/{name}", "allowed", "call.decided", ""),
    ("POST /mcp/{name}", "allowed", "call.ended", "success"),
    ("POST /mcp/{name}", "denied by a rule", "call.decided", "denied"),
    ("POST /mcp/{name}", "failed", "call.ended", "failure"),
    ("POST /mcp/{name}", "held up by a limit", "call.decided", "denied"),
    ("POST /mcp/{name}", "without the scope", "request.refused", "denied"),
    ("POST /mcp/{name}", "a server that there is not", "request.refused", "denied"),
    ("POST /mcp/{name}", "with a bad token", "request.refused", "denied"),
    ("POST /mcp/{name}", "with a token of another server", "request.refused", "denied"),
    ("POST /mcp/{name}", "with a token that is over", "request.refused", "denied"),
    ("POST /mcp/{name}", "with a token of a grant that has ended", "request.refused", "denied"),
    ("POST /mcp/{name}", "what is no JSON", "request.refused", "denied"),
    ("POST /mcp/{name}", "of another media type", "request.refused", "denied"),
    ("POST /mcp/{name}", "too large", "request.refused", "denied"),
    ("POST /mcp/{name}", "of a session that there is not", "request.refused", "denied"),
    ("POST /mcp/{name}", "for another host", "request.refused", "denied"),
    ("POST /mcp/{name}", "from a page of somebody else", "request.refused", "denied"),
    ("GET /mcp/{name}", "with a bad token", "request.refused", "denied"),
    ("GET /mcp/{name}", "of a session that there is not", "request.refused", "denied"),
    ("DELETE /mcp/{name}", "a session of theirs", "call.decided", ""),
    ("DELETE /mcp/{name}", "a session of theirs", "call.ended", "success"),
    ("DELETE /mcp/{name}", "with a bad token", "request.refused", "denied"),
    ("GET /mcp/{name}/sse", "with a bad token", "request.refused", "denied"),
    ("POST /mcp/{name}/messages", "with a bad token", "request.refused", "denied"),
    ("a connection", "that speaks no HTTP", "request.refused", "denied"),
    ("nowhere", "with a credential", "request.refused", "denied"),
];

const SETTINGS: &str = "
legacy_sse: true
limits: { body: 64KiB, sign_ins_per_minute: 1000 }
rules:
  - { rule: no-sums, who: ['*'], what: [sample/add], then: deny }
  - { rule: once, who: ['*'], what: [sample/list_notes], quota: { per: [person], calls: 1, window: 1h } }
";

pub async fn play() -> Result<()> {
    let mut tour = Tour::new(TestGateway::with(SETTINGS).await?, ROWS);
    let (_, tokens) = tour.house.client("sample", ALICE).await?;
    let token = tokens.access.as_str();
    tour.meanwhile().await?;
    calls(&mut tour, token).await?;
    shapes(&mut tour, token).await?;
    bad_tokens(&mut tour, token).await?;
    tour.finish().await
}

fn echo(tour: &Tour, token: &str) -> Request {
    tour.house.call("sample", token, "echo", json!({ "message": "x" }))
}

async fn calls(tour: &mut Tour, token: &str) -> Result<()> {
    ensure!(echo(tour, token).send().await?.status == 200);
    tour.done("POST /mcp/{name}", "allowed").await?;
    tour.house.call("sample", token, "add", json!({ "a": 1, "b": 2 })).send().await?;
    tour.done("POST /mcp/{name}", "denied by a rule").await?;
    tour.house.call("sample", token, "there is no such tool", json!({})).send().await?;
    tour.done("POST /mcp/{name}", "failed").await?;
    for _ in 0..2 {
        tour.house.call("sample", token, "list_notes", json!({})).send().await?;
    }
    tour.done("POST /mcp/{name}", "held up by a limit").await?;
    let session = tour.house.session("sample", token).await?;
    tour.meanwhile().await?;
    let close = tour.house.request("DELETE", "/mcp/sample").bearer(token).header("mcp-session-id", &session);
    close.header("mcp-protocol-version", "2025-11-25").send().await?;
    tour.done("DELETE /mcp/{name}", "a session of theirs").await?;
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    tour.house.legacy("sample", token, "none", &message).send().await?;
    tour.refused("POST /mcp/{name}", "of a session that there is not", "not found").await?;
    let stream = tour.house.request("GET", "/mcp/sample").bearer(token).header("mcp-session-id", "none");
    stream.header("accept", "text/event-stream").header("mcp-protocol-version", "2025-11-25").send().await?;
    tour.refused("GET /mcp/{name}", "of a session that there is not", "not found").await
}

async fn shapes(tour: &mut Tour, token: &str) -> Result<()> {
    let post = |tour: &Tour| tour.house.request("POST", "/mcp/sample").bearer(token);
    let json = |tour: &Tour, body: &str| post(tour).header("content-type", "application/json").body(body);
    for (request, case, why) in [
        (json(tour, "{"), "what is no JSON", "malformed"),
        (post(tour).header("content-type", "text/plain").body("x"), "of another media type", "media type"),
        (json(tour, &" ".repeat(70_000)), "too large", "too large"),
        (json(tour, "{}").host(Some("evil.example")), "for another host", "host"),
        (json(tour, "{}").header("origin", "https://evil.example"), "from a page of somebody else", "origin"),
    ] {
        request.send().await?;
        tour.refused("POST /mcp/{name}", case, why).await?;
    }
    send_raw(&tour.house.authority, b"GET / HTTP/1.1\r\nhost: a\r\nx: a\nb: c\r\n\r\n").await.ok();
    tour.refused("a connection", "that speaks no HTTP", "not http").await?;
    tour.house.request("GET", "/there/is/no/such/page").bearer(token).send().await?;
    tour.done("nowhere", "with a credential").await.map(drop)
}

async fn bad_tokens(tour: &mut Tour, token: &str) -> Result<()> {
    for (method, path, route) in [
        ("POST", "/mcp/sample", "POST /mcp/{name}"),
        ("GET", "/mcp/sample", "GET /mcp/{name}"),
        ("DELETE", "/mcp/sample", "DELETE /mcp/{name}"),
        ("GET", "/mcp/sample/sse", "GET /mcp/{name}/sse"),
        ("POST", "/mcp/sample/messages", "POST /mcp/{name}/messages"),
    ] {
        ensure!(tour.house.request(method, path).bearer("garbage").send().await?.status == 401);
        tour.done(route, "with a bad token").await?;
    }
    // A client that has no token yet is refused nothing.
    let before = tour.house.events("request.refused").await?.len();
    ensure!(tour.house.request("POST", "/mcp/sample").send().await?.status == 401);
    ensure!(tour.house.events("request.refused").await?.len() == before, "the first word of every client is recorded");

    tour.house.protect_as(json!({ "name": "other", "url": "http://127.0.0.1:9/mcp" })).await?;
    let (_, reader) = scoped(tour, "mcp:read").await?;
    tour.meanwhile().await?;
    echo(tour, &reader).send().await?;
    tour.refused("POST /mcp/{name}", "without the scope", "insufficient_scope").await?;
    tour.house.call("other", token, "echo", json!({})).send().await?;
    tour.refused("POST /mcp/{name}", "with a token of another server", "the token is for another audience").await?;
    let (_, other) = tour.house.client("other", ALICE).await?;
    remove(tour, "other").await?;
    tour.meanwhile().await?;
    tour.house.call("other", &other.access, "echo", json!({})).send().await?;
    tour.refused("POST /mcp/{name}", "a server that there is not", "no access to this server").await?;
    let (client, given_up) = tour.house.client("sample", ALICE).await?;
    let form = [("token", given_up.access.as_str()), ("client_id", client.id.as_str())];
    tour.house.request("POST", "/oauth/revoke").form(&form).send().await?;
    tour.meanwhile().await?;
    ensure!(echo(tour, &given_up.access).send().await?.status == 401);
    tour.refused("POST /mcp/{name}", "with a token of a grant that has ended", "the grant has ended").await?;
    tour.house.advance(Duration::from_secs(11 * 60)).await?;
    tour.meanwhile().await?;
    ensure!(echo(tour, token).send().await?.status == 401);
    tour.refused("POST /mcp/{name}", "with a token that is over", "the token has expired").await
}

/// A token of Alice that is good for one scope.
async fn scoped(tour: &Tour, scope: &str) -> Result<(Client, String)> {
    let client = Client::register(&tour.house.authority, "A reader").await?;
    let mut parameters = client.parameters("sample");
    parameters.push(("scope".into(), scope.into()));
    let mut browser = Browser::new(&tour.house.authority);
    let back = browser.authorize(&authorize_target(&parameters), ALICE, "approve").await?;
    let code = parameter(&back, "code").context("a code")?;
    let access = client.redeem(&code).await?.access;
    Ok((client, access))
}

async fn remove(tour: &Tour, server: &str) -> Result<()> {
    let (app, name) = (&tour.house.app, ServerName::parse(server).map_err(|error| anyhow!("{error}"))?);
    app.store.remove_server(&name, app.clock.now()).await?;
    app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))
}
