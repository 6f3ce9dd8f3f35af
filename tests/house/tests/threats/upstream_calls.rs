//! Calls as somebody: what a person has at a server goes there and nowhere else, and nothing of anybody else's with it.

use anyhow::{Context, Result};
use portcullis_audit::Actor;
use portcullis_base::{Holder, PersonId, Secret, ServerName};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Request,
};
use serde_json::{Value, json};

use crate::behind::{Behind, Reply, Seen, Then, soon};

/// A server where everybody types a key of their own, and some headers of clients go on.
fn keyed(behind: &Behind) -> Value {
    json!({ "name": "behind", "url": format!("http://{}/mcp", behind.at), "credential": { "kind": "header" },
        "request_headers": ["accept-language", "x-request-id"] })
}

fn person(house: &TestGateway, login: (&str, &str)) -> Result<PersonId> {
    let snapshot = house.app.snapshot.load();
    let found = snapshot.people.iter().find(|(_, person)| &*person.name == login.0);
    found.map(|(id, _)| id.clone()).context("somebody of that name")
}

/// `login` types `key` for the server.
async fn connect(house: &TestGateway, login: (&str, &str), key: &str) -> Result<()> {
    let name = ServerName::parse("behind")?;
    let server = house.app.snapshot.load().servers.get(&name).context("the server")?.clone();
    let holder = Holder::Person(person(house, login)?);
    house.app.connections.put_key(Actor::default(), &holder, &server, "Bearer ", &Secret::new(key.into())).await?;
    Ok(())
}

/// Whose key was shown.
fn shown(seen: &Seen) -> Option<&str> {
    seen.header("authorization")?.strip_prefix("Bearer ")
}

/// A server that refuses whoever shows no key, and answers everybody with their own.
async fn server() -> Result<Behind> {
    Behind::with(|seen| {
        let Some(key) = shown(seen) else { return Some(Reply::Json(401, Value::Null)) };
        let mine = format!("tool-of-{key}");
        match seen.rpc() {
            "tools/list" => Some(Reply::Json(
                200,
                seen.result(json!({ "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public",
                    "tools": [{ "name": mine, "inputSchema": { "type": "object" } }] })),
            )),
            "tools/call" => Some(Reply::Json(
                200,
                seen.result(json!({ "resultType": "complete", "content": [{ "type": "text", "text": mine }] })),
            )),
            _ => None,
        }
    })
    .await
}

// spec: T-35, UP-42, SEC-3
#[tokio::test(flavor = "multi_thread")]
async fn t35_the_persons_own_credential_arrives_and_no_byte_of_any_that_came_in() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = server().await?;
    house.protect_as(keyed(&behind)).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    connect(&house, ALICE, "own-of-alice").await?;
    let token = tokens.access.as_str();
    let secrets = [
        ("cookie", "__Host-portcullis=canary-cookie"),
        ("proxy-authorization", "Basic canary-proxy"),
        ("x-api-key", "canary-key"),
        ("api-key", "canary-key"),
        ("x-auth-token", "canary-key"),
        ("x-access-token", "canary-key"),
        ("x-goog-api-key", "canary-key"),
        ("x-amz-security-token", "canary-key"),
        ("x-forwarded-access-token", "canary-key"),
        ("dpop", "canary-dpop"),
        ("x-user", "canary-user"),
        ("x-request-id", &format!("Bearer {token}")),
    ];
    let dress = |request: Request| {
        let request = secrets.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.header("accept-language", "de-DE")
    };
    let meta = |meta: Value| {
        let mut all = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {} });
        for (name, value) in meta.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        all
    };
    let proofs = meta(json!({ "authorization": "canary-meta", "com.example/apiKey": "canary-meta",
        "x": { "access_token": "canary-meta", "kept": "kept-meta" }, "note": "Bearer canary-meta" }));
    let modern = |target: &str, meta: &Value| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "tool-of-own-of-alice", "arguments": {}, "_meta": meta } });
        let request = house.request("POST", target).bearer(token).header("mcp-protocol-version", "2026-07-28");
        let request = request.header("mcp-method", "tools/call").header("mcp-name", "tool-of-own-of-alice");
        request.header("accept", "application/json, text/event-stream").json(&body)
    };
    let answer = dress(modern("/mcp/behind?api_key=canary-query&token=canary-query", &proofs)).send().await?;
    assert!(answer.status == 200 && answer.text().contains("tool-of-own-of-alice"), "{}", answer.text());
    // A message with the very token in it, wherever, goes nowhere.
    let calls = behind.seen().len();
    let answer = modern("/mcp/behind", &meta(json!({ "com.example/trace": format!("a{token}b") }))).send().await?;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(-32602)), "{}", answer.text());
    assert_eq!(behind.seen().len(), calls);

    let session = house.session("behind", token).await?;
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "echo", "arguments": {},
        "_meta": { "token": "canary-meta" } } });
    assert_eq!(dress(house.legacy("behind", token, &session, &call)).send().await?.status, 200);
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed",
        "params": { "_meta": { "cookie": "canary-meta" } } });
    assert_eq!(dress(house.legacy("behind", token, &session, &note)).send().await?.status, 202);
    let listen = |method: &str| {
        let request = house.request(method, "/mcp/behind?key=canary-query").bearer(token);
        let request = request.header("accept", "text/event-stream").header("mcp-session-id", &session);
        dress(request.header("mcp-protocol-version", "2025-11-25"))
    };
    assert_eq!(listen("GET").stream().await?.status, 200);
    assert_eq!(listen("DELETE").send().await?.status, 204);

    let seen = behind.seen();
    let lines = ["GET", "DELETE", "POST"].map(|method| seen.iter().any(|seen| seen.line.starts_with(method)));
    assert_eq!(lines, [true; 3]);
    let calls: Vec<_> = seen.iter().filter(|seen| seen.rpc() == "tools/call").collect();
    assert!(calls[0].text().contains("kept-meta"), "what is no credential goes on");
    let parts: Vec<&str> = token.split('.').chain([token]).collect();
    for request in &seen {
        let text = request.text();
        let names = request.headers.iter().filter(|(name, _)| name == "authorization").count();
        assert_eq!((names, shown(request)), (1, Some("own-of-alice")), "{text}");
        for secret in parts.iter().copied().chain([session.as_str(), "canary"]) {
            assert!(!text.contains(secret), "{secret} went upstream in {text}");
        }
    }
    let dressed = seen.iter().filter(|seen| seen.header("accept-language") == Some("de-DE")).count();
    assert_eq!(dressed, 5, "what the settings name goes on");
    house.stop().await
}

// spec: T-50, BR-92, UP-40
#[tokio::test(flavor = "multi_thread")]
async fn t50_nothing_that_was_learned_as_one_person_is_shown_to_another() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = server().await?;
    house.protect_as(keyed(&behind)).await?;
    let (_, alice) = house.client("behind", ALICE).await?;
    let (_, bob) = house.client("behind", BOB).await?;
    let list = |token: String| {
        let request = house.modern("behind", &token, 1, "tools/list", json!({}));
        async move { request.send().await }
    };
    connect(&house, ALICE, "alices").await?;
    let first = list(alice.access.clone()).await?;
    assert_eq!(first.json()["result"]["tools"][0]["name"], "tool-of-alices", "{}", first.text());
    // The server says that everybody may see it; that is advice to clients, and not ours to follow.
    assert_eq!(first.json()["result"]["cacheScope"], "private");
    assert_eq!((first.header("cache-control"), first.header("vary")), (Some("no-store"), Some("Authorization")));
    // Bob has nothing there: he sees nothing of hers, in either era.
    let none = list(bob.access.clone()).await?;
    assert_eq!(none.json()["result"]["tools"], json!([]), "{}", none.text());
    let session = house.session("behind", &bob.access).await?;
    let listing = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let none = house.legacy("behind", &bob.access, &session, &listing).send().await?;
    assert_eq!(none.json()["result"]["tools"], json!([]), "{}", none.text());
    connect(&house, BOB, "bobs").await?;
    for _ in 0..2 {
        for (tokens, tool) in [(&bob, "tool-of-bobs"), (&alice, "tool-of-alices")] {
            let listed = list(tokens.access.clone()).await?;
            let listed = listed.json()["result"]["tools"].clone();
            assert_eq!((listed.as_array().map(Vec::len), &listed[0]["name"]), (Some(1), &json!(tool)));
            let made = house.call("behind", &tokens.access, tool, json!({})).send().await?;
            assert_eq!(made.json()["result"]["content"][0]["text"], tool, "{}", made.text());
        }
    }
    house.stop().await
}

// spec: T-48, T-50, UP-63
#[tokio::test(flavor = "multi_thread")]
async fn t50_a_stream_that_waits_for_one_person_does_not_hear_of_another() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::with(|seen| match shown(seen) {
        None => Some(Reply::Json(401, Value::Null)),
        Some(_) if seen.line.starts_with("GET") => Some(Reply::events(&[], Then::Hang)),
        Some(_) => None,
    })
    .await?;
    house.protect_as(keyed(&behind)).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let session = house.session("behind", &tokens.access).await?;
    let request = house.request("GET", "/mcp/behind").bearer(&tokens.access);
    let request = request.header("accept", "text/event-stream").header("mcp-session-id", &session);
    let mut stream = request.stream().await?;
    assert_eq!(stream.status, 200);
    connect(&house, BOB, "bobs").await?;
    connect(&house, ALICE, "alices").await?;
    let changed = soon(stream.event()).await??.context("a first word")?;
    assert_eq!(changed["method"], "notifications/tools/list_changed");
    let mut told = 1;
    while soon(stream.event()).await??.is_some() {
        told += 1;
    }
    assert_eq!(told, 3, "tools, prompts and resources, once: for Alice, and not for Bob");
    house.stop().await
}
