//! Stories of 2026-07-28.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use crate::{
    harness::{Gateway, borrowed, modern},
    upstream::{After, Reply, Speaks, Upstream, error, soon},
};

/// spec: RS-22, SEC-3, T-32, T-35, T-56, BR-2, TR-127
#[tokio::test]
async fn a_call_arrives_rebuilt_and_its_answer_comes_back_as_the_clients_own() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let (headers, mut body) = modern("tools/call", json!({ "name": "echo", "arguments": { "text": "hi" } }));
    body["id"] = json!("my-id");
    body["params"]["_meta"]["progressToken"] = json!("my-token");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (name, value) in [("traceparent", trace), ("tracestate", "no state"), ("baggage", "who=canary")] {
        body["params"]["_meta"][name] = json!(value);
    }
    let mut all: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    all.extend([
        ("cookie", "session=canary"),
        ("proxy-authorization", "Basic canary"),
        ("x-forwarded-host", "canary.example"),
        ("forwarded", "for=canary"),
        ("x-user", "canary"),
        ("x-mcp-server", "canary"),
        ("mcp-param-region", "canary"),
        ("dpop", "canary"),
        ("user-agent", "canary"),
    ]);
    let got = client.post(&all, &body).await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.header("cache-control"), "no-store");
    assert_eq!(got.json()["id"], "my-id");
    assert_eq!(got.json()["result"]["content"][0]["text"], "done");

    let calls = upstream.calls("tools/call");
    assert_eq!(calls.len(), 1);
    let seen = &calls[0];
    assert!(seen.body["id"].is_u64() && seen.body["params"]["_meta"]["progressToken"] == seen.body["id"], "{seen:?}");
    // spec: TR-73, BR-70
    let meta = &seen.body["params"]["_meta"];
    assert_eq!((&meta["traceparent"], meta.get("tracestate"), meta.get("baggage")), (&json!(trace), None, None));
    assert_eq!(seen.header("mcp-method"), "tools/call");
    assert_eq!(seen.header("mcp-name"), "echo");
    assert_eq!(seen.header("accept"), "application/json, text/event-stream");
    let everything = format!("{:?} {:?}", seen.headers, seen.raw);
    let token = client.token.unwrap();
    for secret in ["canary", "authorization", token.as_str(), token.rsplit('.').next().unwrap()] {
        assert!(!everything.contains(secret), "{secret} travelled upstream");
    }
}

/// spec: TR-11, TR-9, TR-60, RS-34, TR-62
#[tokio::test]
async fn events_pass_as_they_come_and_end_with_the_answer() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/call").then(|| {
            let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                "params": { "progressToken": seen.body["id"], "progress": 1 } });
            Reply::events(&[progress, seen.result(json!({ "resultType": "complete", "content": [] }))], After::End)
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let params = json!({ "name": "echo", "arguments": {}, "_meta": { "progressToken": "tok" } });
    let mut stream = gateway.client("alice").modern_stream("tools/call", params).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-store");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    let progress = soon(stream.message()).await.unwrap();
    assert_eq!(progress["params"]["progressToken"], "tok");
    let answer = soon(stream.next()).await.unwrap();
    assert!(answer.contains(r#""id":1"#) && !answer.contains("id:"), "{answer}");
    assert_eq!(soon(stream.next()).await, None);
}

/// spec: TR-129
#[tokio::test]
async fn a_call_refused_for_its_headers_is_made_once_more_when_the_definition_changed() {
    let changed = AtomicBool::new(false);
    let upstream = Upstream::with(Speaks::Modern, move |seen| match seen.rpc() {
        "tools/list" => {
            let header = if changed.load(Ordering::SeqCst) { "Place" } else { "Region" };
            let properties = json!({ "region": { "type": "string", "x-mcp-header": header } });
            let tool = json!({ "name": "regional", "inputSchema": { "type": "object", "properties": properties } });
            Some(Reply::json(200, &seen.result(json!({ "resultType": "complete", "tools": [tool] }))))
        }
        "tools/call" => {
            changed.store(true, Ordering::SeqCst);
            let good = seen.headers.contains_key("mcp-param-place");
            (!good).then(|| Reply::json(400, &error(seen, -32020)))
        }
        _ => None,
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let (headers, body) = modern("tools/call", json!({ "name": "regional", "arguments": { "region": "eu" } }));
    let mut headers = borrowed(&headers);
    headers.push(("mcp-param-region", "eu"));
    let got = client.post(&headers, &body).await;
    assert_eq!((got.status.as_u16(), got.json()["id"].as_i64()), (200, Some(1)), "{got:?}");
    let seen = upstream.calls("tools/call");
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].body["id"], seen[1].body["id"]);
    assert_eq!(seen[1].header("mcp-param-place"), "eu");
    headers.pop();
    headers.push(("mcp-param-place", "eu"));
    assert_eq!(client.post(&headers, &body).await.status, 200);
    assert_eq!(upstream.calls("tools/call").len(), 3);
}

/// spec: TR-44, TR-6, TR-8
#[tokio::test]
async fn notifications_and_odd_accepts_of_the_stateless_revision() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/call").then(|| {
            let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                "params": { "progressToken": seen.body["id"], "progress": 1 } });
            Reply::events(&[progress, seen.result(json!({ "resultType": "complete", "content": [] }))], After::End)
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let version = ("mcp-protocol-version", "2026-07-28");
    for method in ["notifications/progress", "notifications/cancelled", "notifications/of/a/vendor"] {
        let body = json!({ "jsonrpc": "2.0", "method": method, "params": { "progressToken": 1, "progress": 1, "requestId": 1 } });
        let got = client.post(&[version], &body).await;
        assert_eq!((got.status.as_u16(), got.body.len()), (202, 0), "{method}");
    }
    assert!(upstream.calls("notifications/cancelled").is_empty(), "our upstream knows other ids");
    assert!(upstream.calls("notifications/of/a/vendor").is_empty());
    let (headers, body) = modern("tools/call", json!({ "name": "echo", "arguments": {} }));
    let asks = async |accept: &str| {
        let mut all = borrowed(&headers);
        all.extend([("content-type", "application/json"), ("accept", accept)]);
        client.exchange(http::Method::POST, &all, body.to_string()).await
    };
    let got = asks("application/json").await;
    assert_eq!((got.header("content-type"), got.json()["id"].as_i64()), ("application/json", Some(1)));
    assert_eq!(asks("*/*").await.header("content-type"), "text/event-stream");
    assert_eq!(asks("text/html").await.status, 406);
}

/// spec: TR-125, TR-122
#[tokio::test]
async fn an_upstream_that_was_down_is_asked_again_and_nothing_is_concluded_from_it() {
    let down = Arc::new(AtomicBool::new(true));
    let switch = down.clone();
    let upstream =
        Upstream::with(Speaks::Modern, move |_| switch.load(Ordering::SeqCst).then(|| Reply::status(503))).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let got = client.modern("tools/list", json!({})).await;
    assert_eq!((got.status.as_u16(), got.code(), got.json()["id"].as_i64()), (200, -32603, Some(1)));
    down.store(false, Ordering::SeqCst);
    soon(async {
        while client.modern("tools/list", json!({})).await.json()["result"].is_null() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_server_are_kept() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    for _ in 0..100 {
        assert_eq!(client.modern("tools/list", json!({})).await.status, 200);
    }
    assert!(upstream.connections() <= 2, "{} connections for one call at a time", upstream.connections());
    for _ in 0..10 {
        futures_util::future::join_all((0..8).map(|_| client.modern("tools/list", json!({})))).await;
    }
    assert!(upstream.connections() <= 12, "{} connections for eight calls at a time", upstream.connections());
}

/// spec: TR-128, T-70
#[tokio::test]
async fn a_tool_whose_headers_cannot_be_followed_is_not_listed() {
    let upstream = Upstream::with(Speaks::Both, |seen| {
        let schema = |kind: &str, header: &str| json!({ "type": "object", "properties": { "a": { "type": kind, "x-mcp-header": header } } });
        let tools = json!([
            { "name": "good", "inputSchema": schema("string", "Region") },
            { "name": "empty", "inputSchema": schema("string", "") },
            { "name": "odd", "inputSchema": schema("string", "Re gion") },
            { "name": "number", "inputSchema": schema("number", "Region") },
            { "name": "plain", "inputSchema": { "type": "object" } },
        ]);
        let result = json!({ "resultType": "complete", "ttlMs": 5, "cacheScope": "public", "tools": tools });
        (seen.rpc() == "tools/list").then(|| Reply::json(200, &seen.result(result)))
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let names = |list: &serde_json::Value| -> Vec<String> {
        let tools = list["result"]["tools"].as_array().unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    let listed = client.modern("tools/list", json!({})).await.json();
    assert_eq!(
        (names(&listed), &listed["result"]["cacheScope"]),
        (vec!["good".into(), "plain".into()], &json!("public"))
    );
    // Older revisions have no such headers, and nothing that could be wrong with them.
    let session = client.initialize().await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    assert_eq!(names(&client.within(&session, &body).await.json()).len(), 5);
}
