//! What a modern server wants of a client of an older revision in the middle of a call.

use portcullis_gateway::config::Allow;
use serde_json::{Value, json};

use crate::{
    harness::{Gateway, Setup, call, initialize},
    older::{able, answer, asked, done, form, reply, streamed, unfinished},
    upstream::{Reply, Seen, Speaks, Upstream, error, soon},
};

/// A gateway whose server may ask everything.
pub async fn trusting(upstream: &Upstream) -> Gateway {
    let servers = vec![("fake", upstream.at)];
    Gateway::start(Setup { servers, allow: Allow::LOCAL, ..Setup::default() }).await
}

fn capabilities(seen: &Seen) -> Value {
    seen.body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"].clone()
}

/// spec: BR-25, BR-29, BR-3, BR-88, BR-116
#[tokio::test]
async fn a_server_is_told_of_what_the_client_can_be_asked_for_here() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = trusting(&upstream).await;
    let client = gateway.client("alice");
    let tasks = json!({ "io.modelcontextprotocol/tasks": {} });
    for (version, expected) in [
        ("2025-11-25", json!({ "roots": {}, "sampling": { "tools": {} }, "elicitation": { "form": {}, "url": {} } })),
        ("2025-06-18", json!({ "roots": {}, "sampling": {}, "elicitation": { "form": {} } })),
        ("2025-03-26", json!({ "roots": {}, "sampling": {} })),
    ] {
        let session = able(&client, version).await;
        let got = client.post(&[("mcp-session-id", &session)], &call(1, "echo")).await;
        assert_eq!(got.status, 200, "{got:?}");
        let mut told = capabilities(upstream.calls("tools/call").last().unwrap());
        let extensions = told.as_object_mut().unwrap().remove("extensions");
        assert_eq!((told, extensions), (expected, Some(tasks.clone())), "{version}");
        let json = [("content-type", "application/json"), ("accept", "application/json"), ("mcp-session-id", &session)];
        let got = client.exchange(http::Method::POST, &json, call(2, "echo").to_string()).await;
        assert_eq!((got.status.as_u16(), got.header("content-type")), (200, "application/json"));
        assert_eq!(capabilities(upstream.calls("tools/call").last().unwrap()), json!({ "extensions": tasks }));
    }
}

/// spec: BR-26
#[tokio::test]
async fn a_server_that_only_wants_to_be_asked_again_is_asked_again() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/call").then(|| match seen.body["params"]["requestState"].as_str() {
            Some("later") => done(seen, "rested"),
            _ => Reply::json(200, &seen.result(json!({ "resultType": "input_required", "requestState": "later" }))),
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-03-26").await;
    let got = soon(client.post(&[("mcp-session-id", &session)], &call(1, "echo"))).await;
    assert_eq!(got.json()["result"]["content"][0]["text"], "rested", "{got:?}");
    assert_eq!(upstream.calls("tools/call")[1].body["params"]["inputResponses"], Value::Null);
}

/// spec: BR-28, BR-66, BR-27, BR-112, BR-111
#[tokio::test]
async fn a_page_is_opened_once_and_what_has_no_form_is_cancelled() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let page = json!({ "method": "elicitation/create",
            "params": { "mode": "url", "url": "https://page.example/1", "message": "Open" } });
        let many = json!({ "method": "elicitation/create", "params": { "mode": "form", "message": "Which?",
            "requestedSchema": { "type": "object", "properties": { "all": { "type": "array",
                "items": { "type": "string", "enum": ["a", "b"] } } } } } });
        let params = &seen.body["params"];
        let told = &params["inputResponses"]["k"]["action"];
        let name = params["name"].as_str().unwrap_or_default();
        (seen.rpc() == "tools/call").then(|| match (name, params["requestState"].as_str()) {
            ("page", None) => unfinished(seen, &json!({ "k": page }), "1"),
            // Not done yet, twice.
            ("page", Some("1")) => unfinished(seen, &json!({ "k": page }), "2"),
            ("page", Some("2")) => unfinished(seen, &json!({ "k": page }), "3"),
            ("many", None) => unfinished(seen, &json!({ "k": many }), "1"),
            _ => done(seen, told.as_str().unwrap()),
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-11-25").await;
    let mut stream = streamed(&client, &session, &call(1, "page")).await;
    let question = asked(&mut stream).await;
    assert_eq!(question["params"]["mode"], "url");
    assert_eq!(question["params"]["message"], "fake: Open");
    let id = question["params"]["elicitationId"].as_str().unwrap().to_owned();
    reply(&client, &session, &question["id"], json!({ "action": "accept" })).await;
    let complete = soon(stream.message()).await.unwrap();
    assert_eq!(complete["method"], "notifications/elicitation/complete", "{complete}");
    assert_eq!(complete["params"]["elicitationId"], id);
    assert_eq!(answer(&mut stream).await["result"]["content"][0]["text"], "accept");

    let older = able(&client, "2025-06-18").await;
    let told = client.post(&[("mcp-session-id", &older)], &call("m", "many")).await.json();
    assert_eq!(told["result"]["content"][0]["text"], "cancel", "{told}");
    // Such a client was said to open no pages, so the server may not ask.
    let got = client.post(&[("mcp-session-id", &older)], &call("p", "page")).await;
    assert!(got.code() == -32602 && !String::from_utf8_lossy(&got.body).contains("page.example"), "{got:?}");
}

/// spec: BR-31, BR-75, BR-30, BR-63, BR-10
#[tokio::test]
async fn a_client_that_refuses_ends_what_cannot_go_on() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let params = &seen.body["params"];
        let asks = |entry: Value| unfinished(seen, &json!({ "k": entry }), "s");
        (seen.rpc() == "tools/call").then(|| match (params["name"].as_str()?, params["requestState"].as_str()) {
            (_, Some(_)) => Some(done(seen, params["inputResponses"]["k"]["action"].as_str().unwrap_or("answered"))),
            ("form", _) => Some(asks(form("Who?"))),
            ("sample", _) => Some(asks(json!({ "method": "sampling/createMessage", "params": { "maxTokens": 5,
                "messages": [{ "role": "user", "content": { "type": "text", "text": "hi" } }] } }))),
            ("roots", _) => Some(asks(json!({ "method": "roots/list" }))),
            _ => Some(asks(json!({ "method": "tools/call", "params": {} }))),
        })?
    })
    .await;
    let gateway = trusting(&upstream).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-11-25").await;
    for (tool, told) in [("form", None), ("sample", Some(-32602)), ("roots", Some(-32602))] {
        let mut stream = streamed(&client, &session, &call(tool, tool)).await;
        let question = asked(&mut stream).await;
        let refusal = json!({ "jsonrpc": "2.0", "id": question["id"], "error": { "code": -1, "message": "no" } });
        assert_eq!(client.within(&session, &refusal).await.status, 202);
        let last = answer(&mut stream).await;
        match told {
            None => assert_eq!(last["result"]["content"][0]["text"], "cancel", "{last}"),
            Some(code) => assert_eq!(last["error"]["code"], code, "{last}"),
        }
    }
    let got = client.within(&session, &call("odd", "odd")).await;
    assert_eq!(got.code(), -32603, "{got:?}");
}

/// spec: BR-33, BR-32, BR-8, TR-132
#[tokio::test]
async fn errors_are_put_into_codes_that_the_client_knows() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let code = |code: i64| Reply::json(400, &error(seen, code));
        let uri = seen.body["params"]["uri"].as_str().unwrap_or_default();
        match (seen.rpc(), seen.body["params"]["name"].as_str().unwrap_or_default()) {
            ("resources/read", _) => {
                let mut said = error(seen, -32602);
                if uri == "x:absent" {
                    said["error"]["data"] = json!({ "uri": uri });
                }
                Some(Reply::json(200, &said))
            }
            ("tools/call", "capability") => {
                let mut said = error(seen, -32021);
                said["error"]["data"] = json!({ "requiredCapabilities": { "elicitation": { "url": {} } } });
                Some(Reply::json(400, &said))
            }
            ("tools/call", "header") => Some(code(-32020)),
            ("tools/call", "version") => Some(code(-32022)),
            ("tools/call", "failed") => Some(Reply::json(
                200,
                &seen.result(json!({ "resultType": "complete", "isError": true, "content": [] })),
            )),
            ("tools/call", "unheard") => Some(Reply::json(200, &seen.result(json!({ "resultType": "made-up" })))),
            _ => None,
        }
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    let read = async |uri: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": uri, "method": "resources/read", "params": { "uri": uri } });
        client.within(&session, &body).await
    };
    assert_eq!((read("x:absent").await.code(), read("x:bad").await.code()), (-32002, -32602));
    let got = client.within(&session, &call("c", "capability")).await;
    assert_eq!((got.status.as_u16(), got.code()), (200, -32602), "{got:?}");
    assert!(got.json()["error"]["message"].as_str().unwrap().contains("elicitation.url"), "{got:?}");
    for tool in ["header", "version", "unheard"] {
        let got = client.within(&session, &call(tool, tool)).await;
        assert_eq!((got.status.as_u16(), got.code()), (200, -32603), "{tool}: {got:?}");
    }
    assert_eq!(upstream.calls("tools/call").iter().filter(|s| s.body["params"]["name"] == "version").count(), 2);
    let got = client.within(&session, &call("f", "failed")).await;
    assert_eq!((&got.json()["result"]["isError"], got.code()), (&json!(true), 0), "{got:?}");
}

/// spec: BR-87, BR-85, BR-6
#[tokio::test]
async fn a_task_is_seen_through_and_its_result_is_the_answer() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let task = |status: &str| {
            json!({ "taskId": "t-1", "status": status, "statusMessage": status, "createdAt": "2026-01-01T00:00:00Z",
                "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttlMs": 60_000, "pollIntervalMs": 100 })
        };
        let complete = |mut result: Value| {
            result["resultType"] = "complete".into();
            Some(Reply::json(200, &seen.result(result)))
        };
        match seen.rpc() {
            "tools/call" => {
                let mut created = task("working");
                created["resultType"] = "task".into();
                Some(Reply::json(200, &seen.result(created)))
            }
            "tasks/update" => {
                assert_eq!(seen.body["params"]["inputResponses"]["k"]["action"], "accept");
                GIVEN.store(true, std::sync::atomic::Ordering::SeqCst);
                complete(json!({}))
            }
            "tasks/get" if GIVEN.load(std::sync::atomic::Ordering::SeqCst) => {
                let mut last = task("completed");
                last["result"] = json!({ "content": [{ "type": "text", "text": "from a task" }] });
                complete(last)
            }
            "tasks/get" => {
                let mut waits = task("input_required");
                waits["inputRequests"] = json!({ "k": form("Go on?") });
                complete(waits)
            }
            _ => None,
        }
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-11-25").await;
    let mut body = call(1, "echo");
    body["params"]["_meta"] = json!({ "progressToken": 7 });
    let mut stream = streamed(&client, &session, &body).await;
    let told = soon(async {
        loop {
            let told = stream.message().await.unwrap();
            if !told["method"].is_null() {
                return told;
            }
        }
    })
    .await;
    assert_eq!((&told["params"]["progressToken"], &told["params"]["message"]), (&json!(7), &json!("input_required")));
    let question = asked(&mut stream).await;
    reply(&client, &session, &question["id"], json!({ "action": "accept", "content": {} })).await;
    assert_eq!(answer(&mut stream).await["result"]["content"][0]["text"], "from a task");
    assert_eq!((upstream.calls("tools/call").len(), upstream.calls("tasks/update").len()), (1, 1));
    // Its own tasks are not offered to such a client.
    let listed = json!({ "jsonrpc": "2.0", "id": 2, "method": "tasks/list" });
    assert_eq!(client.within(&session, &listed).await.code(), -32601, "BR-89");
}

static GIVEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// A tool that counts how often it is run, once it has its answer.
async fn counter() -> Upstream {
    Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/call").then(|| match seen.body["params"]["requestState"].as_str() {
            None => unfinished(seen, &json!({ "k": form("Count?") }), "s"),
            Some(_) => done(seen, "counted"),
        })
    })
    .await
}

fn runs(upstream: &Upstream) -> usize {
    upstream.calls("tools/call").iter().filter(|seen| !seen.body["params"]["requestState"].is_null()).count()
}

/// spec: BR-24, TR-92, TR-16
#[tokio::test]
async fn a_client_that_sends_its_request_again_runs_the_tool_once() {
    let upstream = counter().await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-11-25").await;
    let mut first = streamed(&client, &session, &call("same", "echo")).await;
    let question = asked(&mut first).await;
    drop(first);
    let mut again = streamed(&client, &session, &call("same", "echo")).await;
    assert_eq!(asked(&mut again).await["id"], question["id"]);
    // Another request with that id is not that request.
    assert_eq!(client.within(&session, &call("same", "other")).await.code(), -32600);
    reply(&client, &session, &question["id"], json!({ "action": "accept", "content": {} })).await;
    // What was answered is answered.
    reply(&client, &session, &question["id"], json!({ "action": "decline" })).await;
    assert_eq!(answer(&mut again).await["result"]["content"][0]["text"], "counted");
    assert_eq!((runs(&upstream), upstream.calls("tools/call").len()), (1, 2));
}

/// spec: TR-91, TR-99
#[tokio::test]
async fn a_call_that_was_parked_when_the_node_was_restarted_ends_with_an_error() {
    let upstream = counter().await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-11-25").await;
    let mut stream = streamed(&client, &session, &call("parked", "echo")).await;
    let primed = soon(stream.next()).await.unwrap();
    let last = primed.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    let question = asked(&mut stream).await;
    drop(stream);
    let setup = Setup { servers: vec![("fake", upstream.at)], data: Some(gateway.data.clone()), ..Setup::default() };
    let again = Gateway::start(setup).await;
    let client = again.client("alice");
    let headers = [("accept", "text/event-stream"), ("mcp-session-id", session.as_str()), ("last-event-id", &last)];
    let mut resumed = client.send(http::Method::GET, &headers, "").await;
    let told = answer(&mut resumed).await;
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!("parked"), &json!(-32603)), "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("lost"), "{told}");
    assert_eq!(soon(resumed.next()).await, None);
    reply(&client, &session, &question["id"], json!({ "action": "accept", "content": {} })).await;
    let got = client.within(&session, &json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" })).await;
    assert_eq!(got.status, 200);
    assert_eq!((runs(&upstream), upstream.calls("tools/call").len()), (0, 1));
}

/// spec: BR-34, TR-16, BR-7
#[tokio::test]
async fn what_the_client_gives_up_ends_at_the_server_too() {
    let mut upstream =
        Upstream::with(Speaks::Modern, |seen| (seen.rpc() == "tools/call").then_some(Reply::Silence)).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    let slow = call("slow", "echo");
    let slow = client.within(&session, &slow);
    let cancel = async {
        soon(async {
            while upstream.calls("tools/call").is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let gone = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": "slow" } });
        assert_eq!(client.within(&session, &gone).await.status, 202);
    };
    let (got, ()) = soon(async { tokio::join!(slow, cancel) }).await;
    assert!(got.status == 200 && !String::from_utf8_lossy(&got.body).contains("slow"), "{got:?}");
    soon(upstream.a_drop()).await;
    let opened = initialize("2025-11-25");
    assert_eq!(client.within(&session, &opened).await.status, 200, "TR-93");
}
