use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::{runtime::Handle, time::Instant};

use crate::client::{Client, request, stated};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const SERVER: &str = "io.modelcontextprotocol/serverInfo";

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn discover_tells_versions_capabilities_and_that_this_is_a_sample() {
    let result = Client::new().ask("server/discover", json!({})).await;
    assert_eq!(result["supportedVersions"], json!(["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"]));
    assert_eq!(result["capabilities"]["resources"], json!({"subscribe": true, "listChanged": true}));
    assert!(result["instructions"].as_str().unwrap().contains("sample"));
}

/// spec: TR-54, TR-55, TR-71
#[tokio::test]
async fn every_result_is_typed_and_lists_say_how_long_they_hold() {
    let client = Client::new();
    for (method, params, cached) in [
        ("server/discover", json!({}), true),
        ("tools/list", json!({}), true),
        ("prompts/list", json!({}), true),
        ("resources/list", json!({}), true),
        ("resources/templates/list", json!({}), true),
        ("resources/read", json!({"uri": "note:///1"}), true),
        ("prompts/get", json!({"name": "summarize_notes", "arguments": {"style": "brief"}}), false),
        ("tools/call", json!({"name": "list_notes"}), false),
    ] {
        let result = client.ask(method, params).await;
        assert_eq!(result["resultType"], "complete", "{method}");
        assert_eq!(result["_meta"][SERVER]["name"], "portcullis-sample", "{method}");
        assert_eq!(result["ttlMs"].is_u64() && result["cacheScope"].is_string(), cached, "{method}");
    }
}

#[tokio::test]
async fn notes_are_written_found_read_and_deleted() {
    let client = Client::new();
    let call = async |name: &str, arguments: Value| {
        client.ask("tools/call", json!({"name": name, "arguments": arguments})).await
    };
    let added = call("add_note", json!({"title": "Drawbridge", "text": "Goes up at dusk."})).await;
    assert_eq!(text(&added), "Added note 4 at 2026-11-23T02:13:20.000Z.");
    let found = call("search_notes", json!({"query": "DUSK"})).await;
    let expected = json!({"total": 1, "matches": [{"id": "4", "title": "Drawbridge", "uri": "note:///4"}]});
    assert_eq!(found["structuredContent"], expected);
    assert_eq!(serde_json::from_str::<Value>(text(&found)).unwrap(), expected);
    assert_eq!(text(&call("read_note", json!({"id": "4"})).await), "Drawbridge\n\nGoes up at dusk.");
    let read = client.ask("resources/read", json!({"uri": "note:///4"})).await;
    assert_eq!(read["contents"][0]["text"], "Drawbridge\n\nGoes up at dusk.");
    assert_eq!(text(&call("delete_note", json!({"id": "4"})).await), "Deleted note 4 (Drawbridge).");
    assert_eq!(call("delete_note", json!({"id": "4"})).await["isError"], true);
    assert_eq!(text(&call("list_notes", json!({})).await), "1: Welcome\n2: Groceries\n3: Gate");
}

#[tokio::test]
async fn useless_arguments_are_told_to_the_model() {
    let client = Client::new();
    for (name, arguments) in [
        ("read_note", json!({})),
        ("read_note", json!({"id": 1})),
        ("read_note", json!({"id": "-1"})),
        ("add_note", json!({"title": " ", "text": ""})),
        ("add_note", json!({"title": "t", "text": "x".repeat(4_001)})),
        ("search_notes", json!({"query": "a", "limit": 0})),
        ("count_slowly", json!({"seconds": 61})),
        ("count_slowly", json!({"steps": 1.5})),
    ] {
        let result = client.ask("tools/call", json!({"name": name, "arguments": arguments})).await;
        assert_eq!(result["isError"], true, "{name} {arguments}");
    }
}

#[tokio::test]
async fn notebook_does_not_grow_without_bound() {
    let client = Client::new();
    for _ in 0..197 {
        client.ask("tools/call", json!({"name": "add_note", "arguments": {"title": "t", "text": ""}})).await;
    }
    let refused = client.ask("tools/call", json!({"name": "add_note", "arguments": {"title": "t", "text": ""}})).await;
    assert!(text(&refused).contains("full"), "{refused}");
    let mut seen = 0;
    let mut params = json!({});
    loop {
        let page = client.ask("resources/list", params).await;
        seen += page["resources"].as_array().unwrap().len();
        if page["nextCursor"].is_null() {
            break;
        }
        params = json!({"cursor": page["nextCursor"]});
    }
    assert_eq!(seen, 200);
}

#[tokio::test]
async fn hints_tell_reading_from_writing_from_destroying() {
    let result = Client::new().ask("tools/list", json!({})).await;
    let hints = |name: &str| {
        let tools = result["tools"].as_array().unwrap();
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        (tool["annotations"]["readOnlyHint"].as_bool(), tool["annotations"]["destructiveHint"].as_bool())
    };
    assert_eq!(result["tools"].as_array().unwrap().len(), 15);
    let notes = ["list_notes", "read_note", "search_notes", "count_slowly", "greet", "echo"];
    for name in notes.into_iter().chain(["find_customer", "list_invoices", "show_ledger"]) {
        assert_eq!(hints(name).0, Some(true), "{name}");
    }
    for name in ["add_note", "send_mail"] {
        assert_eq!(hints(name), (Some(false), Some(false)), "{name}");
    }
    for name in ["delete_note", "refund_payment", "delete_customer", "drop_table"] {
        assert_eq!(hints(name), (Some(false), Some(true)), "{name}");
    }
}

#[tokio::test]
async fn wrong_requests_are_refused_with_their_code_and_status() {
    let client = Client::new();
    for (method, params, code, status) in [
        ("ping", json!({}), -32601, 404),
        ("tools/call", json!({"name": "no_such"}), -32602, 400),
        ("resources/read", json!({"uri": "note:///9"}), -32602, 400),
        ("resources/read", json!({"uri": "note:///01"}), -32602, 400),
        ("resources/list", json!({"cursor": "x"}), -32602, 400),
        ("tools/list", json!({"cursor": "1"}), -32602, 400),
        ("prompts/get", json!({"name": "summarize_notes", "arguments": {"style": "epic"}}), -32602, 400),
        ("prompts/get", json!({"name": "other"}), -32602, 400),
        ("completion/complete", json!({"ref": {"type": "ref/prompt"}}), -32602, 400),
        ("subscriptions/listen", json!({}), -32602, 400),
        (
            "tools/call",
            json!({"name": "count_slowly", "_meta": {"io.modelcontextprotocol/logLevel": "loud"}}),
            -32602,
            400,
        ),
    ] {
        let reply = client.modern(method, params, json!({})).await;
        assert_eq!(reply.status.as_u16(), status, "{method}");
        let body = reply.json().await;
        assert_eq!((body["error"]["code"].as_i64(), &body["id"]), (Some(code), &json!("q1")), "{method}");
    }
}

/// spec: TR-46
#[tokio::test]
async fn annotated_argument_needs_its_header() {
    let client = Client::new();
    let body =
        request("tools/call", stated(json!({"name": "echo", "arguments": {"message": "ho", "times": 2}}), json!({})));
    let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "echo")];
    assert_eq!(client.post(&headers, &body).await.code().await, -32020);
    headers.push(("mcp-param-times", "2"));
    assert_eq!(text(&client.post(&headers, &body).await.json().await["result"]), "ho\nho");
}

#[tokio::test]
async fn arguments_are_completed() {
    let client = Client::new();
    let complete = async |reference: Value, name: &str, value: &str| {
        let params = json!({"ref": reference, "argument": {"name": name, "value": value}});
        client.ask("completion/complete", params).await["completion"]["values"].clone()
    };
    let prompt = json!({"type": "ref/prompt", "name": "summarize_notes"});
    assert_eq!(complete(prompt.clone(), "style", "").await, json!(["brief", "detailed", "haiku"]));
    assert_eq!(complete(prompt, "topic", "g").await, json!(["Groceries", "Gate"]));
    let template = json!({"type": "ref/resource", "uri": "note:///{id}"});
    assert_eq!(complete(template, "id", "2").await, json!(["2"]));
}

/// spec: TR-57, TR-58, T-65
#[tokio::test]
async fn form_is_asked_for_and_its_answer_comes_back_with_the_call() {
    let client = Client::new();
    let forms = json!({"elicitation": {}});
    let call = json!({"name": "greet", "arguments": {}});

    let reply = client.modern("tools/call", call.clone(), json!({"elicitation": {"url": {}}})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let error = reply.json().await;
    assert_eq!(error["error"]["data"], json!({"requiredCapabilities": {"elicitation": {"form": {}}}}));

    let asked = client.modern("tools/call", call.clone(), forms.clone()).await.json().await["result"].take();
    assert_eq!(asked["resultType"], "input_required");
    assert_eq!(asked["inputRequests"]["who"]["method"], "elicitation/create");
    assert!(asked.get("ttlMs").is_none());

    let retry = async |answers: Value, state: &Value, extra: Value| {
        let mut params = call.clone();
        params["inputResponses"] = answers;
        params["requestState"] = state.clone();
        params["arguments"] = extra;
        client.modern("tools/call", params, forms.clone()).await.json().await
    };
    let state = &asked["requestState"];
    let who =
        |action: &str| json!({"who": {"action": action, "content": {"name": "Ada", "style": "warm"}}, "other": 1});
    assert_eq!(text(&retry(who("accept"), state, json!({})).await["result"]), "How good to see you, Ada!");
    assert_eq!(text(&retry(who("decline"), state, json!({})).await["result"]), "Nobody wanted to be greeted.");
    assert_eq!(retry(json!({}), state, json!({})).await["result"]["resultType"], "input_required");
    assert_eq!(retry(who("shrug"), state, json!({})).await["error"]["code"], -32602);
    assert_eq!(retry(json!({"who": {"action": "accept"}}), state, json!({})).await["error"]["code"], -32602);
    // A state of another call, a forged one, an old one.
    assert_eq!(retry(who("accept"), state, json!({"a": 1})).await["error"]["code"], -32602);
    assert_eq!(retry(who("accept"), &json!("1.2.3"), json!({})).await["error"]["code"], -32602);
    client.clock.advance(Duration::from_mins(11));
    assert_eq!(retry(who("accept"), state, json!({})).await["error"]["code"], -32602);
}

/// spec: TR-63, TR-64
#[tokio::test(start_paused = true)]
async fn progress_and_logs_come_only_to_who_asked_for_them() {
    let client = Client::new();
    let call = |meta: Value| json!({"name": "count_slowly", "arguments": {"seconds": 3, "steps": 2}, "_meta": meta});
    let methods = |messages: &[Value]| -> Vec<String> {
        messages.iter().map(|message| message["method"].as_str().unwrap_or("result").to_owned()).collect()
    };

    let silent = client.modern("tools/call", call(json!({})), json!({})).await.json().await;
    assert_eq!(text(&silent["result"]), "Counted to 2 in 3 seconds.");

    let reply = client.modern("tools/call", call(json!({"progressToken": "t"})), json!({})).await;
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    let messages = reply.messages().await;
    assert_eq!(methods(&messages), ["notifications/progress", "notifications/progress", "result"]);
    assert_eq!(messages[1]["params"], json!({"progressToken": "t", "progress": 2, "total": 2, "message": "2 of 2"}));
    assert_eq!(messages[2]["id"], "q1");

    let level = |level: &str| json!({"io.modelcontextprotocol/logLevel": level});
    let messages = client.modern("tools/call", call(level("info")), json!({})).await.messages().await;
    assert_eq!(methods(&messages), ["notifications/message", "notifications/message", "result"]);
    let quiet = client.modern("tools/call", call(level("error")), json!({})).await.json().await;
    assert_eq!(quiet["result"]["resultType"], "complete");
}

/// spec: TR-61
#[tokio::test(start_paused = true)]
async fn who_hangs_up_cancels() {
    let client = Client::new();
    let alive = || Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let started = Instant::now();
    for meta in [json!({"progressToken": 1}), json!({})] {
        let call = json!({"name": "count_slowly", "arguments": {"seconds": 60, "steps": 60}, "_meta": meta});
        let answer = tokio::time::timeout(Duration::from_secs(2), async {
            let mut reply = client.modern("tools/call", call, json!({})).await;
            while reply.message().await.is_some() {}
        });
        assert!(answer.await.is_err(), "the call takes longer than its caller waits");
        while alive() > before {
            assert!(started.elapsed() < Duration::from_secs(10), "the work goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// spec: TR-65, TR-66, TR-67, TR-68
#[tokio::test]
async fn subscription_gives_what_was_asked_for_until_the_server_closes() {
    let client = Client::new();
    let listen = async |filter: Value| {
        let mut reply = client.modern("subscriptions/listen", json!({"notifications": filter}), json!({})).await;
        let first = reply.message().await.unwrap();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(first["params"]["_meta"][SUBSCRIPTION], "q1");
        (reply, first["params"]["notifications"].clone())
    };
    let (mut lists, honoured) = listen(json!({"resourcesListChanged": true, "toolsListChanged": true})).await;
    assert_eq!(honoured, json!({"resourcesListChanged": true}));
    let (mut notes, honoured) = listen(json!({"resourceSubscriptions": ["note:///4"]})).await;
    assert_eq!(honoured, json!({"resourceSubscriptions": ["note:///4"]}));
    let (mut nothing, _) = listen(json!({})).await;

    let add = json!({"name": "add_note", "arguments": {"title": "t", "text": ""}});
    client.ask("tools/call", add.clone()).await;
    client.ask("tools/call", add).await;
    for _ in 0..2 {
        let changed = lists.message().await.unwrap();
        assert_eq!(changed["method"], "notifications/resources/list_changed");
        assert_eq!(changed["params"]["_meta"][SUBSCRIPTION], "q1");
    }
    let updated = notes.message().await.unwrap();
    assert_eq!(
        (&updated["method"], &updated["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!("note:///4"))
    );

    client.sample.close();
    for stream in [&mut lists, &mut notes, &mut nothing] {
        let last = stream.message().await.unwrap();
        assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!("q1"), &json!("complete")));
        assert_eq!(last["result"]["_meta"][SUBSCRIPTION], "q1");
        assert_eq!(stream.message().await, None);
    }
}

/// spec: TR-62
#[tokio::test]
async fn modern_answers_have_no_session_and_no_event_ids() {
    let client = Client::new();
    let call = json!({"name": "count_slowly", "arguments": {"seconds": 0, "steps": 1}, "_meta": {"progressToken": 1}});
    let mut reply = client.modern("tools/call", call, json!({})).await;
    assert_eq!(reply.header("mcp-session-id"), None);
    while let Some(event) = reply.event().await {
        assert_eq!(event.id, None);
    }
}
