//! Clients of older revisions before a server of today: what the translation between them must not open.

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::{Request, Stream},
};
use serde_json::{Value, json};

use crate::behind::{Behind, Reply, Seen};

/// A server of 2026-07-28 only, whose tools ask before they do anything.
async fn asking() -> Result<Behind> {
    Behind::with(|seen| {
        if seen.header("mcp-protocol-version") != Some("2026-07-28") {
            return Some(Reply::Json(400, json!({ "jsonrpc": "2.0", "error": { "code": -32000, "message": "no" } })));
        }
        if seen.rpc() != "tools/call" {
            return None;
        }
        let params = &seen.body["params"];
        let asks = |method: &str, more: Value| {
            let entry = json!({ "method": method, "params": more });
            let result =
                json!({ "resultType": "input_required", "inputRequests": { "k": entry }, "requestState": "s" });
            Some(Reply::Json(200, seen.result(result)))
        };
        let form = json!({ "mode": "form", "message": "Your name?",
            "requestedSchema": { "type": "object", "properties": { "name": { "type": "string" } } } });
        match (params["name"].as_str(), params["requestState"].as_str()) {
            (Some("plain"), _) => Some(done(seen, "done")),
            (_, Some(_)) => Some(done(seen, &params["inputResponses"]["k"].to_string())),
            (Some("form"), None) => asks("elicitation/create", form),
            (Some("sample"), None) => asks("sampling/createMessage", json!({ "messages": [], "maxTokens": 1 })),
            (Some("tools"), None) => asks("tools/call", json!({ "name": "plain" })),
            _ => asks("roots/list", json!({})),
        }
    })
    .await
}

fn done(seen: &Seen, text: &str) -> Reply {
    let content = json!([{ "type": "text", "text": text }]);
    Reply::Json(200, seen.result(json!({ "resultType": "complete", "content": content })))
}

fn call(tool: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": {} } })
}

/// The next message on a stream that is a request.
async fn asked(stream: &mut Stream) -> Result<Value> {
    loop {
        let message = stream.event().await?.context("no request came")?;
        if !message["method"].is_null() && !message["id"].is_null() {
            return Ok(message);
        }
    }
}

async fn answer(stream: &mut Stream) -> Result<Value> {
    loop {
        let message = stream.event().await?.context("no answer came")?;
        if message["method"].is_null() {
            return Ok(message);
        }
    }
}

fn named(id: &Value, name: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": { "action": "accept", "content": { "name": name } } })
}

async fn accepted(request: Request) -> Result<()> {
    let answer = request.send().await?;
    ensure!(answer.status == 202 && answer.text().is_empty(), "{}: {}", answer.status, answer.text());
    Ok(())
}

// spec: T-49
#[tokio::test(flavor = "multi_thread")]
async fn t49_only_the_session_that_was_asked_can_answer() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = asking().await?;
    house.protect("behind", behind.at).await?;
    let (_, alice) = house.client("behind", ALICE).await?;
    let (_, bob) = house.client("behind", BOB).await?;
    let mine = house.session("behind", &alice.access).await?;
    let second = house.session("behind", &alice.access).await?;
    let bobs = house.session("behind", &bob.access).await?;
    let mut stream = house.legacy("behind", &alice.access, &mine, &call("form")).stream().await?;
    let question = asked(&mut stream).await?;
    ensure!(question["id"].as_str().is_some_and(|id| id.len() >= 20), "{question}");
    // Of another person, of another session of the same person, of nobody, and with a session that is not theirs.
    accepted(house.legacy("behind", &bob.access, &bobs, &named(&question["id"], "Mallory"))).await?;
    accepted(house.legacy("behind", &alice.access, &second, &named(&question["id"], "Mallory"))).await?;
    accepted(house.legacy("behind", &alice.access, &mine, &named(&json!(1), "Mallory"))).await?;
    let stolen = house.legacy("behind", &bob.access, &mine, &named(&question["id"], "Mallory")).send().await?;
    assert_eq!(stolen.status, 404);
    let refusal = json!({ "jsonrpc": "2.0", "id": question["id"], "error": { "code": -1, "message": "no" } });
    accepted(house.legacy("behind", &bob.access, &bobs, &refusal)).await?;
    assert_eq!(behind.calls("tools/call").len(), 1, "somebody else's answer reached the server");
    accepted(house.legacy("behind", &alice.access, &mine, &named(&question["id"], "Ada"))).await?;
    let told = answer(&mut stream).await?.to_string();
    assert!(told.contains("Ada") && !told.contains("Mallory"), "{told}");
    // Nobody gives up the call of another either.
    let mut stream = house.legacy("behind", &alice.access, &mine, &call("form")).stream().await?;
    let question = asked(&mut stream).await?;
    let gone = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    accepted(house.legacy("behind", &bob.access, &bobs, &gone)).await?;
    accepted(house.legacy("behind", &alice.access, &second, &gone)).await?;
    accepted(house.legacy("behind", &alice.access, &mine, &named(&question["id"], "Ada"))).await?;
    assert!(answer(&mut stream).await?.to_string().contains("Ada"));
    house.stop().await
}

// spec: T-59
#[tokio::test(flavor = "multi_thread")]
async fn t59_each_message_of_a_batch_is_judged_by_itself() -> Result<()> {
    let rules =
        "rules:\n  - { rule: not-that-one, who: ['*'], what: [behind/forbidden, second/forbidden], then: deny }";
    let house = TestGateway::with(rules).await?;
    let modern = asking().await?;
    let legacy = Behind::start().await?;
    for (name, behind) in [("behind", modern), ("second", legacy)] {
        house.protect(name, behind.at).await?;
        let (_, alice) = house.client(name, ALICE).await?;
        let opening = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": { "name": "house", "version": "1" } } });
        let post = |session: Option<&str>, body: &Value| {
            let request = house.request("POST", &format!("/mcp/{name}")).bearer(&alice.access);
            let request = request.header("accept", "application/json, text/event-stream");
            match session {
                Some(session) => request.header("mcp-session-id", session).json(body),
                None => request.json(body),
            }
        };
        let opened = post(None, &opening).send().await?;
        let session = opened.header("mcp-session-id").context("no session")?.to_owned();
        let before = house.events("call.decided").await?.len();
        let named = |id: i64, tool: &str| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": {} } });
        let batch = json!([named(1, "plain"), named(2, "forbidden"), named(3, "plain")]);
        let answers = post(Some(&session), &batch).send().await?;
        let told = answers.json();
        assert_eq!((answers.status, told[1]["error"]["code"].as_i64()), (200, Some(-32602)), "{told}");
        assert!(told[0]["result"].is_object() && told[2]["result"].is_object(), "{told}");
        let names: Vec<_> = behind.calls("tools/call").iter().map(|seen| seen.body["params"]["name"].clone()).collect();
        assert_eq!(names, ["plain", "plain"]);
        let decided = house.events("call.decided").await?;
        assert_eq!(decided.len() - before, 3, "{decided:?}");
    }
    house.stop().await
}

// spec: T-64
#[tokio::test(flavor = "multi_thread")]
async fn t64_a_server_reaches_the_client_only_through_its_own_call() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = asking().await?;
    house.protect("behind", behind.at).await?;
    let (_, alice) = house.client("behind", ALICE).await?;
    // It said that it has a person, and nothing of models or files.
    let session = house.session("behind", &alice.access).await?;
    for tool in ["sample", "roots", "tools"] {
        let answer = house.legacy("behind", &alice.access, &session, &call(tool)).send().await?;
        let text = answer.text();
        assert!(answer.json()["error"].is_object(), "{tool}: {text}");
        for asked in ["sampling/createMessage", "roots/list", "\"tools/call\""] {
            assert!(!text.contains(asked), "{tool}: {text}");
        }
    }
    let told = &behind.calls("tools/call")[0].body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert!(told["sampling"].is_null() && told["roots"].is_null(), "{told}");
    let mut stream = house.legacy("behind", &alice.access, &session, &call("form")).stream().await?;
    let question = asked(&mut stream).await?;
    assert_eq!(question["params"]["message"], "behind: Your name?", "the person sees who asks");
    // Its token is the gateway's own business, also in an answer.
    let leak = named(&question["id"], &alice.access);
    assert_eq!(house.legacy("behind", &alice.access, &session, &leak).send().await?.status, 400);
    accepted(house.legacy("behind", &alice.access, &session, &named(&question["id"], "Ada"))).await?;
    assert!(answer(&mut stream).await?.to_string().contains("Ada"));
    assert!(behind.seen().iter().all(|seen| !seen.text().contains(&alice.access)));
    house.stop().await
}

// spec: T-65
#[tokio::test(flavor = "multi_thread")]
async fn t65_the_state_of_a_call_never_passes_through_an_older_client() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = asking().await?;
    house.protect("behind", behind.at).await?;
    let (_, alice) = house.client("behind", ALICE).await?;
    let session = house.session("behind", &alice.access).await?;
    // What a modern client was given for the same call.
    let mut body = call("form");
    body["params"]["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} } });
    let modern = house.request("POST", "/mcp/behind").bearer(&alice.access).header("mcp-method", "tools/call");
    let modern = modern.header("mcp-protocol-version", "2026-07-28").header("mcp-name", "form");
    let modern = modern.header("accept", "application/json, text/event-stream");
    let given = modern.json(&body).send().await?.json();
    let state = given["result"]["requestState"].clone();
    ensure!(state.is_string(), "{given}");
    for state in [state, json!("s"), json!({ "any": 1 })] {
        let before = behind.calls("tools/call").len();
        let mut forged = call("form");
        forged["params"]["requestState"] = state.clone();
        forged["params"]["inputResponses"] = json!({ "k": { "action": "accept", "content": { "name": "Mallory" } } });
        let mut stream = house.legacy("behind", &alice.access, &session, &forged).stream().await?;
        let question = asked(&mut stream).await?;
        assert!(question.get("requestState").is_none() && !question.to_string().contains("input_required"));
        let seen = behind.calls("tools/call");
        assert_eq!(seen.len(), before + 1);
        assert!(!seen[before].text().contains("Mallory"), "{state}");
        assert!(seen[before].body["params"]["requestState"].is_null(), "{state}");
        accepted(house.legacy("behind", &alice.access, &session, &named(&question["id"], "Ada"))).await?;
        // The answer is used once: the same again goes nowhere.
        accepted(house.legacy("behind", &alice.access, &session, &named(&question["id"], "Mallory"))).await?;
        let told = answer(&mut stream).await?.to_string();
        assert!(told.contains("Ada") && !told.contains("requestState"), "{told}");
        assert_eq!(behind.calls("tools/call").len(), before + 2);
    }
    house.stop().await
}
