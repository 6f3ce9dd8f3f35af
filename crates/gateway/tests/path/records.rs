//! What stands in the journal of what was done.

use std::time::Duration;

use portcullis_gateway::proxy::Settings;
use serde_json::{Value, json};

use crate::{
    harness::{Gateway, Setup, call},
    upstream::{After, Reply, Speaks, Upstream, error, soon},
};

fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["event"] == kind).collect()
}

/// The ends of calls, once there are `count` of them.
async fn ends(gateway: &Gateway, count: usize) -> Vec<Value> {
    soon(async {
        loop {
            let records = gateway.records().await;
            if of_kind(&records, "call.ended").len() >= count {
                return records;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// spec: SEC-62, SEC-63, RS-26
#[tokio::test]
async fn every_call_is_decided_before_and_ended_after() {
    let upstream = Upstream::with(Speaks::Both, |seen| match seen.header("mcp-name") {
        "tool-fails" => Some(Reply::json(200, &seen.result(json!({ "isError": true, "content": [] })))),
        "call-fails" => Some(Reply::json(200, &error(seen, -32602))),
        "streams" => Some(Reply::events(&[seen.result(json!({ "content": [] }))], After::End)),
        "breaks" => Some(Reply::status(500)),
        _ => None,
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let tools = [
        ("echo", "success"),
        ("tool-fails", "failure"),
        ("call-fails", "failure"),
        ("streams", "success"),
        ("breaks", "failure"),
    ];
    for (tool, _) in tools {
        let arguments = json!({ "text": "hello", "password": "canary-secret" });
        let params = json!({ "name": tool, "arguments": arguments,
            "_meta": { "io.modelcontextprotocol/clientInfo": { "name": "somebody-else", "version": "1" } } });
        client.modern("tools/call", params).await;
    }
    let records = ends(&gateway, tools.len()).await;
    let (decided, ended) = (of_kind(&records, "call.decided"), of_kind(&records, "call.ended"));
    assert_eq!((decided.len(), ended.len()), (tools.len(), tools.len()));
    for (decided, (tool, outcome)) in decided.iter().zip(tools) {
        let ended =
            ended.iter().find(|ended| ended["call"] == decided["call"]).unwrap_or_else(|| panic!("{tool} ended"));
        assert_eq!(ended["outcome"], outcome, "{tool}: {ended}");
        assert!(decided["seq"].as_u64() < ended["seq"].as_u64());
        let text = decided.to_string();
        for part in [tool, "alice", "https://client.example/id", "fake", "tools/call", "access", "hello"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(!text.contains("canary-secret") && !text.contains("somebody-else"), "{text}");
    }
}

/// spec: T-54, RS-23
#[tokio::test]
async fn what_a_rule_forbids_is_recorded_and_not_forwarded() {
    let upstream = Upstream::start(Speaks::Both).await;
    let rules = "- { rule: no-echo, who: '*', what: fake/echo, then: deny }\n- { rule: ask-first, who: '*', what: fake/regional, then: ask }\n";
    let servers = vec![("fake", upstream.at)];
    let settings = |settings: &mut Settings| settings.hold = Duration::ZERO;
    let gateway = Gateway::start(Setup { servers, rules, settings, ..Setup::default() }).await;
    let client = gateway.client("alice");
    let got = client.modern("tools/call", json!({ "name": "echo", "arguments": {} })).await;
    assert_eq!((got.status.as_u16(), got.code(), got.json()["id"].as_i64()), (200, -32602, Some(1)));
    assert!(got.json()["error"]["message"].as_str().unwrap().contains("no-echo"));
    let session = client.initialize().await;
    assert_eq!(client.within(&session, &call(7, "echo")).await.code(), -32602);
    assert!(upstream.calls("tools/call").is_empty());
    let asked = client.modern("tools/call", json!({ "name": "regional", "arguments": {} })).await;
    assert_eq!(asked.json()["result"]["isError"], true, "{asked:?}");
    assert!(asked.json()["result"]["content"][0]["text"].as_str().unwrap().contains("ask-first"), "{asked:?}");
    assert!(upstream.calls("tools/call").is_empty());
    let records = gateway.records().await;
    let denied: Vec<_> = records.iter().filter(|record| record["outcome"] == "denied").collect();
    let rules: Vec<_> = denied.iter().map(|record| record["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["no-echo", "no-echo", "ask-first"]);
    assert!(denied.iter().all(|record| record["event"] == "call.decided"));
}

/// spec: RS-27, BR-90
#[tokio::test]
async fn lists_leave_out_what_their_reader_may_not_use() {
    let streams = |seen: &crate::upstream::Seen| {
        let tools = json!([{ "name": "echo", "inputSchema": {} }, { "name": "regional", "inputSchema": {} }]);
        let result = json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "public", "tools": tools });
        let listing = seen.rpc() == "tools/list" && seen.body["params"]["cursor"] == "streamed";
        listing.then(|| Reply::events(&[seen.result(result)], After::End))
    };
    let upstream = Upstream::with(Speaks::Both, streams).await;
    let rules = "- { rule: no-echo, who: 'person:alice', what: fake/echo, then: deny }\n";
    let servers = vec![("fake", upstream.at)];
    let gateway = Gateway::start(Setup { servers, rules, ..Setup::default() }).await;
    let names = |message: &Value| -> Vec<String> {
        let tools = message["result"]["tools"].as_array().unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    for (person, expected) in [("alice", vec!["regional"]), ("bob", vec!["echo", "regional"])] {
        let client = gateway.client(person);
        let got = client.modern("tools/list", json!({})).await.json();
        assert_eq!(names(&got), expected, "{person}");
        assert_eq!((&got["result"]["cacheScope"], &got["id"]), (&json!("private"), &json!(1)));
        let mut stream = client.modern_stream("tools/list", json!({ "cursor": "streamed" })).await;
        assert_eq!(names(&soon(stream.message()).await.unwrap()), expected, "{person}");
        let session = client.initialize().await;
        for cursor in ["plain", "streamed"] {
            let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "cursor": cursor } });
            let headers = [
                ("mcp-session-id", session.as_str()),
                ("accept", "application/json"),
                ("content-type", "application/json"),
            ];
            let got = client.exchange(http::Method::POST, &headers, list.to_string()).await;
            assert_eq!(names(&got.json()), expected, "{person}, {cursor}");
        }
    }
}

/// spec: RS-28
#[tokio::test]
async fn a_missing_scope_and_a_forbidden_server_are_recorded() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = Gateway::before(upstream.at).await;
    let minute = std::time::Duration::from_mins(1);
    let reader = gateway.client("alice").with_token(&gateway.token_for("alice", "fake", "mcp:read", minute));
    reader.modern("tools/call", json!({ "name": "echo", "arguments": {} })).await;
    let lost = gateway.token_for("bob", "missing", "mcp:read", minute);
    gateway.client("bob").with_token(&lost).to("/mcp/missing").modern("tools/list", json!({})).await;
    let records = gateway.records().await;
    let refused = of_kind(&records, "request.refused");
    assert_eq!(refused.len(), 2, "{records:#?}");
    assert!(refused[0].to_string().contains("insufficient_scope") && refused[0].to_string().contains("mcp:call"));
    assert!(refused[1].to_string().contains("missing") && refused[1].to_string().contains("bob"));
}

/// spec: TR-61
#[tokio::test]
async fn a_call_whose_client_leaves_ends_as_unknown() {
    let mut upstream = Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/call").then(|| match seen.header("mcp-name") {
            "echo" => Reply::events(&[], After::Hang),
            _ => Reply::Silence,
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    drop(client.modern_stream("tools/call", json!({ "name": "echo", "arguments": {} })).await);
    soon(upstream.a_drop()).await;
    let records = ends(&gateway, 1).await;
    assert_eq!(of_kind(&records, "call.ended")[0]["outcome"], "unknown");

    let waiting = client.clone();
    let waiting =
        tokio::spawn(async move { waiting.modern("tools/call", json!({ "name": "silent", "arguments": {} })).await });
    soon(async {
        while upstream.calls("tools/call").len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    waiting.abort();
    assert_eq!(ends(&gateway, 2).await.iter().filter(|record| record["outcome"] == "unknown").count(), 2);
}

/// spec: SEC-62, BR-20
#[tokio::test]
async fn what_an_older_client_did_is_recorded_in_its_own_words() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = Gateway::before(upstream.at).await;
    gateway.client("alice").initialize().await;
    let records = ends(&gateway, 1).await;
    for kind in ["call.decided", "call.ended"] {
        let methods: Vec<_> = of_kind(&records, kind).iter().map(|record| &record["method"]).collect();
        assert_eq!(methods, ["initialize"], "{kind}: {records:#?}");
    }
}
