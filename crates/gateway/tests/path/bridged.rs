//! Clients of 2026-07-28 before servers of the revisions with sessions: lists, calls, sessions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Method;
use portcullis_gateway::upstream::{Bridging, Limits};
use serde_json::json;

use crate::{
    harness::{Gateway, Setup, modern},
    upstream::{After, Reply, Speaks, Upstream, error, event, saying, soon},
};

/// Limits of a gateway before one server, with these bounds of what is kept open.
pub fn bounds(bridging: Bridging) -> Limits {
    let second = Duration::from_secs(1);
    Limits { head: 5 * second, idle: 5 * second, total: 20 * second, bridging, ..Limits::default() }
}

/// spec: BR-1, BR-40, BR-41, BR-55, BR-59, BR-78, BR-2, TR-133, TR-135, BR-58, BR-91
#[tokio::test]
async fn a_modern_client_lists_and_calls_at_a_legacy_server() {
    let upstream = Upstream::start(Speaks::Legacy).await;
    let limits = bounds(Bridging { idle: Duration::from_millis(200), ..Bridging::default() });
    let gateway = Gateway::start(Setup { servers: vec![("fake", upstream.at)], limits, ..Setup::default() }).await;
    let client = gateway.client("alice");
    let found = client.modern("server/discover", json!({})).await.json()["result"].clone();
    assert_eq!(found["supportedVersions"][0], "2026-07-28");
    assert_eq!(
        (&found["ttlMs"], &found["cacheScope"], &found["resultType"]),
        (&json!(0), &json!("private"), &json!("complete"))
    );
    assert!(found["capabilities"]["tools"].is_object(), "{found}");
    let listed = client.modern("tools/list", json!({})).await.json()["result"].clone();
    assert_eq!((&listed["tools"][0]["name"], &listed["resultType"]), (&json!("echo"), &json!("complete")));
    assert_eq!((&listed["ttlMs"], &listed["cacheScope"]), (&json!(0), &json!("private")));
    let (headers, mut body) =
        modern("tools/call", json!({ "name": "echo", "arguments": { "text": "hi" }, "_meta": { "vendor/key": 1 } }));
    body["id"] = json!("mine");
    let got = client.post(&crate::harness::borrowed(&headers), &body).await;
    assert_eq!((got.status.as_u16(), &got.json()["id"]), (200, &json!("mine")), "{got:?}");
    assert_eq!(got.json()["result"]["resultType"], "complete");
    assert!(!got.headers.contains_key("mcp-session-id"));

    let seen = upstream.calls("tools/call").pop().unwrap();
    assert_eq!(
        (seen.header("mcp-session-id"), seen.header("mcp-protocol-version")),
        ("upstream-session", "2025-11-25")
    );
    assert!(seen.headers.keys().all(|name| !["mcp-method", "mcp-name"].contains(&name.as_str())), "{seen:?}");
    assert_eq!(seen.body["params"]["_meta"], json!({ "vendor/key": 1 }));
    assert_ne!(seen.body["id"], "mine");
    // One session for what the client asked; the gateway's own questions may have one of their own.
    let sessions = upstream.calls("initialize").len();
    client.modern("tools/list", json!({})).await;
    assert_eq!(upstream.calls("initialize").len(), sessions);
    assert_eq!(upstream.calls("notifications/initialized").len(), sessions);
    soon(async {
        while upstream.seen().iter().filter(|seen| seen.method == Method::DELETE).count() < sessions {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// spec: BR-40, T-49
#[tokio::test]
async fn two_people_never_share_a_session_nor_see_each_others_answers() {
    let sessions = Arc::new(AtomicUsize::new(0));
    let opened = sessions.clone();
    let upstream = Upstream::with(Speaks::Legacy, move |seen| match seen.rpc() {
        "initialize" => {
            let id = format!("s{}", opened.fetch_add(1, Ordering::SeqCst));
            let result = json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} } });
            Some(Reply::json(200, &seen.result(result)).with("mcp-session-id", id))
        }
        "tools/call" => {
            let text = format!("{} {}", seen.header("mcp-session-id"), seen.body["params"]["arguments"]["who"]);
            Some(Reply::json(200, &seen.result(json!({ "content": [{ "type": "text", "text": text }] }))))
        }
        "tools/list" => Some(Reply::json(200, &seen.result(json!({ "tools": [] })))),
        _ if seen.method == Method::POST => Some(Reply::status(202)),
        _ => None,
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let ask = async |who: &str| {
        let params = json!({ "name": "echo", "arguments": { "who": who } });
        let got = gateway.client(who).modern("tools/call", params).await.json();
        assert_eq!(got["id"], 1);
        got["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let (alice, bob, again) = tokio::join!(ask("alice"), ask("bob"), ask("alice"));
    assert!(alice.ends_with("\"alice\"") && bob.ends_with("\"bob\"") && again == alice, "{alice} {bob} {again}");
    assert_ne!(alice.split(' ').next(), bob.split(' ').next());
}

/// spec: TR-135
#[tokio::test]
async fn no_session_stays_open_at_a_server_when_the_gateway_ends() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.rpc() == "tools/call" && seen.body["params"]["name"] == "hangs").then(|| {
            let progress = json!({ "progressToken": seen.body["params"]["_meta"]["progressToken"], "progress": 1 });
            let told = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": progress });
            Reply::events(&[told], After::Hang)
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let deleted = || upstream.seen().iter().filter(|seen| seen.method == Method::DELETE).count();
    let call = json!({ "name": "echo", "arguments": {} });
    assert_eq!(gateway.client("alice").modern("tools/call", call.clone()).await.status, 200);
    // A call that goes on and on does not hold it up.
    let hangs = json!({ "name": "hangs", "arguments": {}, "_meta": { "progressToken": 1 } });
    let mut hanging = gateway.client("bob").modern_stream("tools/call", hangs).await;
    soon(hanging.message()).await.unwrap();
    let before = deleted();
    soon(gateway.leave()).await;
    assert!(deleted() >= before + 2);
    assert_eq!(deleted(), upstream.calls("initialize").len(), "each of them is ended, the gateway's own too");
}

/// spec: BR-57, TR-133
#[tokio::test]
async fn a_lost_session_is_opened_again_before_the_call_is_made() {
    let lost = Arc::new(AtomicUsize::new(0));
    let times = lost.clone();
    let upstream = Upstream::with(Speaks::Legacy, move |seen| {
        let lose = seen.rpc() == "tools/call" && times.fetch_add(1, Ordering::SeqCst) == 1;
        lose.then(|| Reply::status(404))
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let params = json!({ "name": "echo", "arguments": {} });
    assert_eq!(client.modern("tools/call", params.clone()).await.status, 200);
    let before = upstream.calls("initialize").len();
    let got = client.modern("tools/call", params).await;
    assert_eq!((got.status.as_u16(), &got.json()["result"]["content"][0]["text"]), (200, &json!("done")));
    assert_eq!((upstream.calls("tools/call").len(), upstream.calls("initialize").len()), (3, before + 1));
}

/// spec: BR-8, BR-54, TR-70, BR-10
#[tokio::test]
async fn what_went_wrong_is_said_in_todays_words() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| match (seen.rpc(), seen.body["params"]["name"].as_str()) {
        ("resources/read", _) => Some(Reply::json(200, &error(seen, -32002))),
        ("tools/call", Some("fails")) => {
            let result = json!({ "content": [{ "type": "text", "text": "no" }], "isError": true });
            Some(Reply::json(200, &seen.result(result)))
        }
        ("tools/call", Some("wrong")) => Some(Reply::json(200, &error(seen, -32602))),
        ("tools/call", Some("odd")) => Some(Reply::json(200, &error(seen, -32050))),
        ("tools/call", Some("early")) => {
            let error = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32602, "message": "unread" } });
            Some(Reply::json(400, &error))
        }
        ("tools/call", Some("down")) => Some(Reply::status(500)),
        _ => None,
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let read = client.modern("resources/read", json!({ "uri": "file:///x" })).await.json();
    assert_eq!((&read["error"]["code"], &read["error"]["data"]["uri"]), (&json!(-32602), &json!("file:///x")));
    let call = async |name: &str| client.modern("tools/call", json!({ "name": name, "arguments": {} })).await.json();
    assert_eq!(call("fails").await["result"]["isError"], true);
    assert_eq!(call("wrong").await["error"]["code"], -32602);
    assert_eq!(call("odd").await["error"]["code"], -32603);
    assert_eq!(call("early").await["error"]["message"], "unread");
    let down = call("down").await;
    assert!(down["error"]["message"].as_str().unwrap().contains("fake"), "{down}");
    let missing = client.modern("prompts/list", json!({})).await;
    assert_eq!((missing.status.as_u16(), missing.code()), (404, -32601));
}

/// spec: BR-6, BR-73, BR-74, TR-60, TR-62
#[tokio::test]
async fn progress_and_log_of_a_call_come_with_its_answer() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| match seen.rpc() {
        "initialize" => {
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {}, "logging": {} } });
            Some(Reply::json(200, &seen.result(result)).with("mcp-session-id", "upstream-session"))
        }
        "logging/setLevel" => Some(Reply::json(200, &seen.result(json!({})))),
        "tools/call" => {
            let told = |method: &str, params: serde_json::Value| json!({ "jsonrpc": "2.0", "method": method, "params": params });
            let token = &seen.body["params"]["_meta"]["progressToken"];
            Some(Reply::events(
                &[
                    told("notifications/progress", json!({ "progressToken": token, "progress": 1 })),
                    told("notifications/progress", json!({ "progressToken": "foreign", "progress": 1 })),
                    told("notifications/message", json!({ "level": "debug", "data": "chatter" })),
                    told("notifications/message", json!({ "level": "error", "data": "grave" })),
                    told("notifications/elicitation/complete", json!({ "elicitationId": "x" })),
                    seen.result(json!({ "content": [] })),
                ],
                After::Hang,
            ))
        }
        _ => None,
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let meta = json!({ "progressToken": "tok", "io.modelcontextprotocol/logLevel": "warning" });
    let params = json!({ "name": "echo", "arguments": {}, "_meta": meta });
    let mut stream = client.modern_stream("tools/call", params).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let mut heard = Vec::new();
    while let Some(message) = soon(stream.message()).await {
        heard.push(message);
    }
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert_eq!(heard[0]["params"]["progressToken"], "tok");
    assert_eq!(heard[1]["params"]["data"], "grave");
    assert_eq!(heard[2]["id"], 1);
    let seen = upstream.calls("tools/call").pop().unwrap();
    assert_eq!(seen.body["params"]["_meta"], json!({ "progressToken": seen.body["id"] }));
    assert_eq!(upstream.calls("logging/setLevel")[0].body["params"], json!({ "level": "warning" }));
    // Nobody asked for a log: nobody gets one.
    let got = client.modern("tools/call", json!({ "name": "echo", "arguments": {} })).await;
    assert_eq!(got.header("content-type"), "application/json", "{got:?}");
}

/// spec: BR-7, BR-56, TR-61
#[tokio::test]
async fn a_call_whose_client_has_gone_is_cancelled() {
    let mut upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.rpc() == "tools/call").then(|| {
            if seen.body["params"]["name"] == "silent" {
                return Reply::Silence;
            }
            let token = &seen.body["params"]["_meta"]["progressToken"];
            let params = json!({ "progressToken": token, "progress": 1 });
            let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
            Reply::events(&[progress], After::Hang)
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let params = json!({ "name": "echo", "arguments": {}, "_meta": { "progressToken": 1 } });
    let mut stream = client.modern_stream("tools/call", params).await;
    soon(stream.message()).await.unwrap();
    drop(stream);
    soon(upstream.a_drop()).await;
    let silent = client.clone();
    let waiting =
        tokio::spawn(async move { silent.modern("tools/call", json!({ "name": "silent", "arguments": {} })).await });
    soon(async {
        while upstream.calls("tools/call").len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    waiting.abort();
    let cancelled = soon(async {
        loop {
            let cancelled = upstream.calls("notifications/cancelled");
            if cancelled.len() == 2 {
                return cancelled;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let calls = upstream.calls("tools/call");
    for (call, cancel) in calls.iter().zip(&cancelled) {
        assert_eq!(call.body["id"], cancel.body["params"]["requestId"]);
        assert_eq!(cancel.header("mcp-session-id"), "upstream-session");
    }
}

/// spec: TR-134
#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_where_it_was() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| match (seen.method.as_str(), seen.rpc()) {
        (_, "tools/call") => {
            // The stream is closed on purpose; the id tells where to go on, and which call to answer.
            let pieces = vec![format!("id: {}-1\nretry: 60\ndata:\n\n", seen.body["id"])];
            let broken = seen.body["params"]["name"] == "breaks";
            Some(Reply::Events(Vec::new(), pieces, if broken { After::Break } else { After::End }))
        }
        ("GET", _) => {
            let id = seen.header("last-event-id").split('-').next().unwrap().parse::<u64>().ok()?;
            if seen.header("last-event-id").ends_with("-1") {
                let again = format!("id: {id}-2\ndata:\n\n");
                return Some(Reply::Events(Vec::new(), vec![again], After::End));
            }
            let answer =
                json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [{ "type": "text", "text": "late" }] } });
            Some(Reply::events(&[answer], After::End))
        }
        _ => None,
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    for name in ["closes", "breaks"] {
        let got = gateway.client("alice").modern("tools/call", json!({ "name": name, "arguments": {} })).await;
        assert_eq!(got.json()["result"]["content"][0]["text"], "late", "{name}: {got:?}");
    }
    assert_eq!(upstream.calls("tools/call").len(), 2, "no call was made again");
}

/// spec: BR-42, BR-43, BR-51, BR-79, TR-65
#[tokio::test]
async fn what_a_session_says_is_heard_by_all_who_listen_on_one_stream() {
    let (mouth, after) = saying();
    let after = std::sync::Mutex::new(Some(after));
    let upstream = Upstream::with(Speaks::Legacy, move |seen| match (seen.method.as_str(), seen.rpc()) {
        ("GET", _) => after.lock().unwrap().take().map(|after| Reply::Events(Vec::new(), Vec::new(), after)),
        (_, "initialize") => {
            let capabilities = json!({ "tools": { "listChanged": true }, "prompts": {} });
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities });
            Some(Reply::json(200, &seen.result(result)).with("mcp-session-id", "upstream-session"))
        }
        _ => None,
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let wants = json!({ "notifications": { "toolsListChanged": true, "promptsListChanged": true } });
    let mut first = client.modern_stream("subscriptions/listen", wants.clone()).await;
    let mut second = client.modern_stream("subscriptions/listen", wants).await;
    for stream in [&mut first, &mut second] {
        let acknowledged = soon(stream.message()).await.unwrap();
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(acknowledged["params"]["notifications"], json!({ "toolsListChanged": true }));
    }
    let question = json!({ "jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": {} });
    mouth.send(event(&question)).unwrap();
    mouth.send(event(&json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }))).unwrap();
    for stream in [&mut first, &mut second] {
        let changed = soon(stream.message()).await.unwrap();
        assert_eq!(changed["method"], "notifications/tools/list_changed");
        assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    }
    let refused = upstream.seen().into_iter().find(|seen| seen.body["id"] == "q").unwrap();
    assert_eq!(refused.body["error"]["code"], -32601);
    assert_eq!(upstream.seen().iter().filter(|seen| seen.method == Method::GET).count(), 1, "one stream for both");
}

/// spec: BR-43
#[tokio::test]
async fn what_could_not_be_heard_is_not_acknowledged() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.rpc() == "initialize").then(|| {
            let capabilities = json!({ "tools": { "listChanged": true } });
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities });
            Reply::json(200, &seen.result(result)).with("mcp-session-id", "upstream-session")
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let wants = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = gateway.client("alice").modern_stream("subscriptions/listen", wants).await;
    let acknowledged = soon(stream.message()).await.unwrap();
    assert_eq!(acknowledged["params"]["notifications"], json!({}));
}

/// spec: BR-80, BR-98, BR-7
#[tokio::test]
async fn a_tool_that_runs_as_a_task_gives_a_plain_result() {
    let polled = Arc::new(AtomicUsize::new(0));
    let turns = polled.clone();
    let upstream = Upstream::with(Speaks::Legacy, move |seen| {
        let task = |status: &str| {
            json!({ "taskId": "t-1", "status": status, "ttl": 1000, "pollInterval": 1,
            "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" })
        };
        match seen.rpc() {
            "initialize" => {
                let tasks = json!({ "requests": { "tools": { "call": {} } }, "cancel": {} });
                let capabilities = json!({ "tools": {}, "tasks": tasks });
                let result = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities });
                Some(Reply::json(200, &seen.result(result)).with("mcp-session-id", "upstream-session"))
            }
            "tools/list" => {
                let tool = |name: &str, support: &str| {
                    json!({ "name": name, "inputSchema": { "type": "object" },
                    "execution": { "taskSupport": support } })
                };
                let tools = json!([tool("long", "required"), tool("endless", "required"), tool("short", "optional")]);
                Some(Reply::json(200, &seen.result(json!({ "tools": tools }))))
            }
            "tools/call" if seen.body["params"]["task"].is_object() => {
                Some(Reply::json(200, &seen.result(json!({ "task": task("working") }))))
            }
            "tasks/get" => {
                let over = turns.fetch_add(1, Ordering::SeqCst) == 1;
                Some(Reply::json(200, &seen.result(task(if over { "completed" } else { "working" }))))
            }
            "tasks/result" => {
                let meta = json!({ "io.modelcontextprotocol/related-task": { "taskId": "t-1" } });
                let result = json!({ "content": [{ "type": "text", "text": "at last" }], "_meta": meta });
                Some(Reply::json(200, &seen.result(result)))
            }
            "tasks/cancel" => Some(Reply::json(200, &seen.result(task("cancelled")))),
            _ => None,
        }
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let listed = client.modern("tools/list", json!({})).await.json();
    assert!(!listed.to_string().contains("execution"), "{listed}");
    let done = soon(client.modern("tools/call", json!({ "name": "long", "arguments": {} }))).await;
    let text = String::from_utf8(done.body.to_vec()).unwrap();
    assert!(text.contains("at last") && !text.contains("related-task") && !text.contains("t-1"), "{text}");
    assert_eq!((polled.load(Ordering::SeqCst), upstream.calls("tools/call").len()), (2, 1));
    client.modern("tools/call", json!({ "name": "short", "arguments": {} })).await;
    assert!(upstream.calls("tools/call")[1].body["params"].get("task").is_none());
    let stream = client.modern_stream("tools/call", json!({ "name": "endless", "arguments": {} })).await;
    assert_eq!(stream.status, 200);
    drop(stream);
    soon(async {
        while upstream.calls("tasks/cancel").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(upstream.calls("tasks/cancel")[0].body["params"], json!({ "taskId": "t-1" }));
}
