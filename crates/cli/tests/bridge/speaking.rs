//! What passes over the bridge, and what it does when something goes wrong on the way.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{Bridge, Server, modern};

fn call(id: i64, name: &str, arguments: Value) -> Value {
    let params = modern(json!({ "name": name, "arguments": arguments }));
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
}

/// spec: TR-133, TR-134, TR-135, TR-150
#[tokio::test]
async fn a_session_is_opened_heard_lost_and_opened_again() -> Result<()> {
    let (home, mut server) = (tempdir()?, Server::start().await?);
    let mut bridge = Bridge::start(home.path(), &server.url(), &[], &[])?;
    let opening = async {
        let asked = server.expect("POST", "initialize").await?;
        ensure!(asked.header("mcp-session-id").is_none() && asked.header("mcp-protocol-version").is_none());
        ensure!(asked.header("accept") == Some("application/json, text/event-stream"));
        asked.session("one").await
    };
    let (opened, served) = tokio::join!(bridge.open(), opening);
    opened?;
    served?;
    let ready = server.expect("POST", "notifications/initialized").await?;
    ensure!(ready.header("mcp-session-id") == Some("one"));
    ensure!(ready.header("mcp-protocol-version") == Some("2025-11-25"));
    ready.accept().await?;
    // The server speaks unasked, breaks off, and goes on where it was.
    let listening = server.expect("GET", "/mcp").await?;
    ensure!(listening.header("mcp-session-id") == Some("one") && listening.header("last-event-id").is_none());
    let mut events = listening.begin().await?;
    events
        .send(
            "id: e1\nretry: 1\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"notifications/tools/list_changed\"}\n\n",
        )
        .await?;
    ensure!(bridge.message().await?["method"] == "notifications/tools/list_changed");
    drop(events);
    let listening = server.expect("GET", "/mcp").await?;
    ensure!(listening.header("last-event-id") == Some("e1"));
    let mut events = listening.begin().await?;
    // A request of the server's, and the client's answer to it.
    events.message(&json!({ "jsonrpc": "2.0", "id": "s1", "method": "roots/list" })).await?;
    ensure!(bridge.message().await?["id"] == "s1");
    bridge.send(&json!({ "jsonrpc": "2.0", "id": "s1", "result": { "roots": [] } })).await?;
    let asked = server.next().await?;
    ensure!(asked.json()["result"]["roots"] == json!([]) && asked.header("mcp-session-id") == Some("one"));
    asked.accept().await?;
    // The session is gone: it is opened again with what the client said before, and the request goes there.
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/list" })).await?;
    server.expect("POST", "tools/list").await?.answer(404, &[], "").await?;
    let again = server.expect("POST", "initialize").await?;
    ensure!(again.json()["params"]["clientInfo"]["name"] == "host");
    again.session("two").await?;
    server.expect("POST", "notifications/initialized").await?.accept().await?;
    let mut rest = vec![server.next().await?, server.next().await?];
    rest.sort_by(|a, b| a.method.cmp(&b.method));
    let (list, listening) = (rest.pop().context("list")?, rest.pop().context("stream")?);
    ensure!(listening.method == "GET" && listening.header("last-event-id").is_none());
    listening.answer(405, &[], "").await?;
    ensure!(list.header("mcp-session-id") == Some("two") && list.json()["id"] == 5);
    list.result(json!({ "tools": [] })).await?;
    ensure!(bridge.message().await? == json!({ "jsonrpc": "2.0", "id": 5, "result": { "tools": [] } }));
    // The end is told.
    let (closed, told) = tokio::join!(bridge.close(), async {
        let farewell = server.expect("DELETE", "/mcp").await?;
        ensure!(farewell.header("mcp-session-id") == Some("two"));
        farewell.answer(204, &[], "").await
    });
    told?;
    let (status, out, err) = closed?;
    ensure!(status.code() == Some(0) && out.is_empty() && err.is_empty(), "{status} {out:?} {err:?}");
    Ok(())
}

/// spec: TR-134
#[tokio::test]
async fn a_broken_answer_of_a_session_is_resumed() -> Result<()> {
    let (home, mut server) = (tempdir()?, Server::start().await?);
    let mut bridge = Bridge::start(home.path(), &server.url(), &[], &[])?;
    let opening = async { server.expect("POST", "initialize").await?.session("one").await };
    let (opened, served) = tokio::join!(bridge.ask(0, "initialize", crate::hello()), opening);
    opened?;
    served?;
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "x" } })).await?;
    let mut events = server.expect("POST", "tools/call").await?.begin().await?;
    let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": {} });
    events.send(&format!("id: 7\nretry: 1\ndata: {progress}\n\n")).await?;
    ensure!(bridge.message().await?["method"] == "notifications/progress");
    drop(events);
    let resumed = server.expect("GET", "/mcp").await?;
    ensure!(resumed.header("last-event-id") == Some("7"));
    let mut events = resumed.begin().await?;
    // An answer to something else has no business here.
    events.message(&json!({ "jsonrpc": "2.0", "id": 99, "result": {} })).await?;
    events.message(&json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [] } })).await?;
    ensure!(bridge.message().await?["id"] == 1);
    Ok(())
}

/// However many calls ask their client for something, what it says gets through to them.
#[tokio::test]
async fn answers_to_a_server_wait_for_no_call() -> Result<()> {
    let (home, mut server) = (tempdir()?, Server::start().await?);
    let mut bridge = Bridge::start(home.path(), &server.url(), &[], &[])?;
    let mut calls = Vec::new();
    for id in 0..64 {
        bridge.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "x" } })).await?;
        calls.push(server.expect("POST", "tools/call").await?.begin().await?);
    }
    calls[0].message(&json!({ "jsonrpc": "2.0", "id": "s", "method": "roots/list" })).await?;
    ensure!(bridge.message().await?["id"] == "s");
    bridge.send(&json!({ "jsonrpc": "2.0", "id": "s", "result": { "roots": [] } })).await?;
    let answer = server.next().await?;
    ensure!(answer.json()["result"]["roots"] == json!([]), "{}", answer.json());
    Ok(())
}

/// spec: TR-127, TR-129, TR-137, TR-59
#[tokio::test]
async fn requests_that_stand_alone_have_headers_made_of_their_bodies() -> Result<()> {
    let (home, mut server) = (tempdir()?, Server::start().await?);
    let mut bridge = Bridge::start(home.path(), &server.url(), &[], &[])?;
    bridge.send(&call(1, "größe", json!({ "region": "süd" }))).await?;
    let asked = server.expect("POST", "tools/call").await?;
    ensure!(asked.header("mcp-protocol-version") == Some("2026-07-28"));
    ensure!(asked.header("mcp-method") == Some("tools/call"));
    ensure!(asked.header("mcp-name") == Some("=?base64?Z3LDtsOfZQ==?="));
    ensure!(asked.header("mcp-session-id").is_none() && asked.header("mcp-param-region").is_none());
    // The server wants an argument in a header of which the bridge has not seen the schema: it looks, and asks again.
    let mismatch = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32020, "message": "Mcp-Param-Region" } });
    asked.answer(400, &[("content-type", "application/json")], &mismatch.to_string()).await?;
    let schema =
        json!({ "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } } });
    let bad = json!({ "type": "object", "properties": { "a": { "type": "number", "x-mcp-header": "A" } } });
    let tools = json!({ "resultType": "complete", "tools": [
        { "name": "größe", "inputSchema": schema }, { "name": "bad", "inputSchema": bad }] });
    server.expect("POST", "tools/list").await?.result(tools.clone()).await?;
    let asked = server.expect("POST", "tools/call").await?;
    ensure!(asked.header("mcp-param-region") == Some("=?base64?c8O8ZA==?="));
    let mut events = asked.begin().await?;
    // Nothing else than notifications may come before the answer.
    events.message(&json!({ "jsonrpc": "2.0", "id": 3, "method": "roots/list" })).await?;
    events.send(": a comment\n\ndata: no message\n\n").await?;
    events.message(&json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": {} })).await?;
    events.message(&json!({ "jsonrpc": "2.0", "id": 1, "result": { "resultType": "complete" } })).await?;
    ensure!(bridge.message().await?["method"] == "notifications/progress");
    ensure!(bridge.message().await?["result"]["resultType"] == "complete");
    // A list without the tool that nobody could call.
    bridge.send(&json!({ "jsonrpc": "2.0", "id": "l", "method": "tools/list", "params": modern(json!({})) })).await?;
    // What only reads is asked for once more.
    drop(server.expect("POST", "tools/list").await?.begin().await?);
    server.expect("POST", "tools/list").await?.result(tools).await?;
    let listed = bridge.message().await?;
    let names: Vec<_> = listed["result"]["tools"].as_array().into_iter().flatten().map(|tool| &tool["name"]).collect();
    ensure!(names == ["größe"], "{listed}");
    // A call is not.
    bridge.send(&call(2, "größe", json!({}))).await?;
    drop(server.expect("POST", "tools/call").await?.begin().await?);
    let answer = bridge.message().await?;
    ensure!(answer["id"] == 2 && answer["error"]["code"] == -32603, "{answer}");
    ensure!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("is not known")), "{answer}");
    Ok(())
}

/// spec: BR-7, TR-16, TR-157, TR-93
#[tokio::test]
async fn a_cancellation_reaches_the_server_in_its_own_form() -> Result<()> {
    let (home, mut server) = (tempdir()?, Server::start().await?);
    let mut bridge = Bridge::start(home.path(), &server.url(), &[], &[])?;
    let cancel =
        |id: i64| json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
    // Stateless: its stream is closed, and nothing is said.
    bridge.send(&call(1, "slow", json!({}))).await?;
    let events = server.expect("POST", "tools/call").await?.begin().await?;
    bridge.send(&cancel(1)).await?;
    events.closed().await?;
    // A subscription ends with the stream, which its client is told by a cancellation.
    let listen = modern(json!({ "notifications": { "toolsListChanged": true } }));
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "subscriptions/listen", "params": listen })).await?;
    let asked = server.expect("POST", "subscriptions/listen").await?;
    let mut events = asked.begin().await?;
    events.message(&json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged" })).await?;
    ensure!(bridge.message().await?["method"] == "notifications/subscriptions/acknowledged");
    drop(events);
    let over = bridge.message().await?;
    ensure!(over["method"] == "notifications/cancelled" && over["params"]["requestId"] == 2, "{over}");
    // In a session: a message. `initialize` cannot be cancelled.
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 3, "method": "initialize", "params": crate::hello() })).await?;
    let opening = server.expect("POST", "initialize").await?;
    bridge.send(&cancel(3)).await?;
    opening.session("one").await?;
    ensure!(bridge.message().await?["result"]["protocolVersion"] == "2025-11-25");
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": { "name": "slow" } })).await?;
    let events = server.expect("POST", "tools/call").await?.begin().await?;
    bridge.send(&cancel(4)).await?;
    let told = server.expect("POST", "notifications/cancelled").await?;
    ensure!(told.json()["params"]["requestId"] == 4 && told.header("mcp-session-id") == Some("one"));
    told.accept().await?;
    events.closed().await?;
    // The id is free again.
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 4, "method": "ping" })).await?;
    server.expect("POST", "ping").await?.result(json!({})).await?;
    ensure!(bridge.message().await? == json!({ "jsonrpc": "2.0", "id": 4, "result": {} }));
    Ok(())
}

/// spec: TR-69
#[tokio::test]
async fn what_cannot_be_passed_is_answered_and_the_bridge_stands() -> Result<()> {
    let (home, mut server) = (tempdir()?, Server::start().await?);
    let mut bridge = Bridge::start(home.path(), &server.url(), &[], &[])?;
    bridge.write("no message\n\n{\"jsonrpc\":\"2.0\",\"id\":{}}\n").await?;
    ensure!(bridge.message().await?["error"]["code"] == -32700);
    ensure!(bridge.message().await?["error"]["code"] == -32600);
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    bridge.send(&ping).await?;
    let first = server.expect("POST", "ping").await?;
    bridge.send(&ping).await?;
    let refused = bridge.message().await?;
    ensure!(refused["error"]["code"] == -32600 && refused["id"] == 1, "{refused}");
    first.answer(503, &[("content-type", "text/html")], "<h1>\nnot now</h1>").await?;
    let failed = bridge.message().await?;
    ensure!(failed["error"]["code"] == -32603 && failed["id"] == 1, "{failed}");
    bridge.send(&ping).await?;
    server.expect("POST", "ping").await?.answer(307, &[("location", "https://elsewhere.example/mcp")], "").await?;
    let moved = bridge.message().await?.to_string();
    ensure!(moved.contains("https://elsewhere.example/mcp") && moved.contains("follows no redirects"), "{moved}");
    // A result over several lines is one line for the client.
    bridge.send(&ping).await?;
    let spread = "{\"jsonrpc\":\"2.0\",\n\"id\":1,\r\n \"result\":{}\n}\n";
    server.expect("POST", "ping").await?.answer(200, &[("content-type", "application/json")], spread).await?;
    ensure!(bridge.message().await? == json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    // Batches of 2025-03-26 go together; in the stateless revision there are none.
    bridge
        .send(
            &json!([{ "jsonrpc": "2.0", "id": 8, "method": "ping" }, { "jsonrpc": "2.0", "id": 9, "method": "ping" }]),
        )
        .await?;
    let both = server.next().await?;
    ensure!(both.json().as_array().is_some_and(|all| all.len() == 2));
    let answers = json!([{ "jsonrpc": "2.0", "id": 8, "result": {} }, { "jsonrpc": "2.0", "id": 9, "result": {} }]);
    both.give(&answers).await?;
    ensure!(bridge.message().await? == answers);
    bridge.send(&json!([call(1, "x", json!({}))])).await?;
    ensure!(bridge.message().await?["error"]["code"] == -32600);
    let authority = server.authority.clone();
    drop(server);
    let (status, out, err) = bridge.close().await?;
    ensure!(status.code() == Some(0) && out.is_empty(), "{status} {out:?}");
    ensure!(err.len() == 3 && err[0].contains("answered 503") && err[1].contains("answered 307"), "{err:?}");
    // Nobody is there: each request is answered, and the bridge waits for the next.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut bridge = Bridge::start(home.path(), &format!("http://{gone}/mcp"), &[], &[])?;
    for id in 0..2 {
        let answer = bridge.ask(id, "initialize", crate::hello()).await?;
        let said = answer["error"]["message"].as_str().unwrap_or_default();
        ensure!(said.contains("cannot be reached") && !said.contains(&authority), "{answer}");
    }
    let (_, _, err) = bridge.close().await?;
    ensure!(err.len() == 2 && err[0].contains("cannot be reached"), "people read it once: {err:?}");
    ensure!(err[1].contains("the next request"), "{err:?}");
    Ok(())
}

#[tokio::test]
async fn it_ends_when_its_client_does_and_finishes_what_is_on_its_way() -> Result<()> {
    let (home, mut server) = (tempdir()?, Server::start().await?);
    // The input ends: what was asked is still answered.
    let mut bridge = Bridge::start(home.path(), &server.url(), &[], &[])?;
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await?;
    let asked = server.expect("POST", "ping").await?;
    let (closed, answered) = tokio::join!(bridge.close(), asked.result(json!({})));
    answered?;
    let (status, out, _) = closed?;
    ensure!(status.code() == Some(0) && out == [r#"{"jsonrpc":"2.0","id":1,"result":{}}"#], "{status} {out:?}");
    // A signal, with the input open, an answer outstanding and a subscription: the session is ended all the same.
    let mut bridge = Bridge::start(home.path(), &server.url(), &[], &[])?;
    let opening = async { server.expect("POST", "initialize").await?.session("one").await };
    let (opened, served) = tokio::join!(bridge.ask(0, "initialize", crate::hello()), opening);
    opened?;
    served?;
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "slow" } })).await?;
    let slow = server.expect("POST", "tools/call").await?;
    bridge
        .send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "subscriptions/listen", "params": modern(json!({})) }))
        .await?;
    let listening = server.expect("POST", "subscriptions/listen").await?.begin().await?;
    bridge.signal(Signal::TERM)?;
    let (ended, told) =
        tokio::join!(bridge.ended(), async { server.expect("DELETE", "/mcp").await?.answer(405, &[], "").await });
    told?;
    let (status, out, _) = ended?;
    ensure!(status.code() == Some(0) && out.is_empty(), "{status} {out:?}");
    listening.closed().await?;
    drop(slow);
    // The output is closed: nobody hears it any more.
    let mut bridge = Bridge::start(home.path(), &server.url(), &[], &[])?;
    bridge.out.close();
    bridge.out = crate::lines(tokio::io::empty());
    for id in 0..3 {
        let text = format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }));
        if bridge.write(&text).await.is_err() {
            break;
        }
        let next = tokio::select! {
            asked = server.next() => asked?,
            _ = bridge.child.wait() => break,
        };
        next.result(json!({ "long": "x".repeat(1 << 20) })).await?;
    }
    let (status, ..) = bridge.ended().await?;
    ensure!(status.code() == Some(0), "{status}");
    Ok(())
}

#[tokio::test]
async fn addresses_that_cannot_be_bridged_are_refused_at_once() -> Result<()> {
    let home = tempdir()?;
    for (url, said) in [
        ("mcp.example.com/mcp", "is not the address"),
        ("file:///mcp", "must begin with https"),
        ("http://mcp.example.com/mcp", "in the open"),
        ("https://user:secret@mcp.example.com/mcp", "do not belong"),
    ] {
        let bridge = Bridge::start(home.path(), url, &[], &[])?;
        let (status, out, err) = bridge.close().await?;
        ensure!(status.code() == Some(2) && out.is_empty(), "{url}: {status} {out:?}");
        ensure!(err.join("\n").contains(said), "{url}: {err:?}");
    }
    Ok(())
}
