//! What rules mask and cut in what servers say, on every way that it can come back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Client, Gateway, Got, Setup, call},
    upstream::{After, Reply, Seen, Speaks, Upstream, soon},
};

const RULES: &str = r#"
- rule: customers-without-numbers
  who: "*"
  what: [fake/find]
  redact: [args.card, "result.structuredContent.iban", '/\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b/']
  cap: { bytes: 4KiB, items: 3 }
"#;
const IBAN: &str = "DE89370400440532013000";

fn found() -> Value {
    let all = json!({ "iban": "short", "note": format!("pays from {IBAN}"), "rows": [1, 2, 3, 4] });
    json!({ "resultType": "complete", "structuredContent": all, "content": [
        { "type": "text", "text": all.to_string() }, { "type": "text", "text": format!("{IBAN}!") }] })
}

/// What is left of it.
fn masked(got: &Value) {
    let text = got.to_string();
    assert!(!text.contains("DE89"), "{text}");
    let structured = json!({ "iban": "[redacted]", "note": "pays from [redacted]", "rows": [1, 2, 3] });
    assert_eq!(got["result"]["structuredContent"], structured, "{text}");
    let content = &got["result"]["content"];
    assert_eq!((&content[0]["text"], &content[1]["text"]), (&json!(structured.to_string()), &json!("[redacted]!")));
    assert!(content[2]["text"].as_str().unwrap().contains("cut after 3 items"), "{text}");
}

/// A server that answers `find` as its arguments say.
async fn finding(speaks: Speaks) -> Upstream {
    Upstream::with(speaks, |seen| {
        let params = &seen.body["params"];
        if seen.rpc() == "tools/list" {
            let list = json!([{ "name": "find", "inputSchema": { "type": "object" } }, { "name": "other",
                "inputSchema": { "type": "object" } }]);
            let list = json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "public", "tools": list });
            return Some(Reply::json(200, &seen.result(list)));
        }
        (seen.rpc() == "tools/call").then(|| how(seen, params["arguments"]["how"].as_str().unwrap_or_default()))
    })
    .await
}

fn how(seen: &Seen, how: &str) -> Reply {
    let said = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
        "params": { "progressToken": seen.body["params"]["_meta"]["progressToken"], "progress": 1, "message": IBAN } });
    let image = json!({ "type": "image", "data": "AAAA", "mimeType": "image/png" });
    let answer = |result: Value| Reply::json(200, &seen.result(result));
    match how {
        "events" => Reply::events(&[said, seen.result(found())], After::End),
        "image" => answer(json!({ "resultType": "complete", "content": [image] })),
        "large" => answer(json!({ "resultType": "complete",
            "content": [{ "type": "text", "text": "x".repeat(5000) }] })),
        "endless" => answer(json!({ "resultType": "complete",
            "content": [{ "type": "text", "text": "x".repeat(17 << 20) }] })),
        "error" => Reply::json(
            200,
            &json!({ "jsonrpc": "2.0", "id": seen.body["id"],
            "error": { "code": -32000, "message": format!("no {IBAN}"), "data": { "x": IBAN } } }),
        ),
        "twice" => {
            let text = seen.result(json!({ "resultType": "complete", "content": [] })).to_string();
            let twice = text.replace("\"content\":[]", &format!("\"content\":[],\"x\":1,\"x\":\"{IBAN}\""));
            Reply::Whole(200, vec![("content-type", "application/json".into())], twice.into())
        }
        _ => answer(found()),
    }
}

fn under(upstream: &Upstream) -> Setup {
    Setup { servers: vec![("fake", upstream.at)], rules: RULES, ..Setup::default() }
}

async fn veiled(upstream: &Upstream) -> Gateway {
    Gateway::start(under(upstream)).await
}

async fn find(client: &Client, how: &str) -> Got {
    client.modern("tools/call", json!({ "name": "find", "arguments": { "how": how, "card": "4111-canary" } })).await
}

/// spec: T-99
#[tokio::test]
async fn what_rules_mask_is_in_no_answer_and_in_no_record() {
    let upstream = finding(Speaks::Modern).await;
    let gateway = veiled(&upstream).await;
    let alice = gateway.client("alice");
    for how in ["json", "events"] {
        let mut stream = alice
            .modern_stream(
                "tools/call",
                json!({ "name": "find", "arguments": { "how": how, "card": "4111-canary" },
                "_meta": { "progressToken": "p" } }),
            )
            .await;
        if how == "events" {
            let said = soon(stream.message()).await.unwrap();
            assert_eq!(
                (&said["params"]["message"], &said["params"]["progressToken"], &said["params"]["progress"]),
                (&json!("[redacted]"), &json!("p"), &json!(1)),
                "{said}"
            );
            masked(&soon(stream.message()).await.unwrap());
        }
    }
    masked(&find(&alice, "json").await.json());
    // A client that reads no streams.
    let (headers, body) =
        crate::harness::modern("tools/call", json!({ "name": "find", "arguments": { "how": "events" } }));
    let mut all = vec![("content-type", "application/json"), ("accept", "application/json")];
    all.extend(crate::harness::borrowed(&headers));
    masked(&alice.exchange(Method::POST, &all, body.to_string()).await.json());
    let error = find(&alice, "error").await.json()["error"].clone();
    assert_eq!((&error["message"], &error["data"]["x"]), (&json!("no [redacted]"), &json!("[redacted]")));
    // What no rule speaks of is as it was.
    let other = alice.modern("tools/call", json!({ "name": "other", "arguments": {} })).await.json();
    assert_eq!(other["result"]["structuredContent"], found()["structuredContent"]);
    // The server got what it was sent; the record says what it may say, also of what was refused.
    assert_eq!(upstream.calls("tools/call")[0].body["params"]["arguments"]["card"], "4111-canary");
    gateway.change(|snapshot| {
        let deny = format!("{RULES}- {{ rule: no, who: '*', what: [fake/find], then: deny }}");
        let source = portcullis_policy::Source { name: "rules.yaml", text: &deny };
        snapshot.bundle = Arc::new(portcullis_policy::Bundle::load(&[source]).unwrap());
    });
    assert_eq!(find(&alice, "json").await.code(), -32602);
    let records = gateway.records().await;
    let decided: Vec<_> = records
        .iter()
        .filter(|line| line["event"] == "call.decided" && line["name"] == "find")
        .map(|line| line["details"]["arguments"]["card"].clone())
        .collect();
    assert!(decided.len() >= 6 && decided.iter().all(|card| card == "[redacted]" || card.is_null()), "{decided:?}");
    assert_eq!(decided.iter().filter(|card| **card == "[redacted]").count(), decided.len() - 1, "{decided:?}");
    let text = records.iter().map(Value::to_string).collect::<String>();
    assert!(!text.contains("4111-canary") && !text.contains("DE89"));
    // Nor in that of somebody who is not let in at all.
    let setup = Setup { access: crate::harness::nobodys_access(), ..under(&upstream) };
    let gateway = Gateway::start(setup).await;
    assert_eq!(find(&gateway.client("alice"), "json").await.status, 404);
    let text = gateway.records().await.iter().map(Value::to_string).collect::<String>();
    assert!(!text.contains("4111-canary"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_looked_through_or_is_too_large_is_held_back_with_a_reason() {
    let upstream = finding(Speaks::Modern).await;
    let gateway = veiled(&upstream).await;
    let alice = gateway.client("alice");
    for (how, why) in [
        ("image", "has parts that are no text"),
        ("twice", "can be read in more than one way"),
        ("large", "rules let 4096 through. Ask for less"),
        ("endless", "too large to be looked through"),
    ] {
        let got = find(&alice, how).await;
        assert_eq!(got.status, 200, "{how}");
        let result = got.json()["result"].clone();
        assert_eq!((&result["isError"], &result["resultType"]), (&json!(true), &json!("complete")), "{how}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("The call was made") && text.contains(why), "{how}: {text}");
    }
    let records = gateway.records().await;
    let ended = records.iter().filter(|line| line["event"] == "call.ended" && line["outcome"] == "failure");
    assert_eq!(ended.filter(|line| line["details"]["note"].as_str().unwrap().contains("held back")).count(), 4);
}

#[tokio::test]
async fn sessions_of_older_revisions_toolboxes_and_streams_taken_up_again_show_no_more() {
    for speaks in [Speaks::Legacy, Speaks::Modern] {
        let upstream = finding(speaks).await;
        let gateway = veiled(&upstream).await;
        let alice = gateway.client("alice");
        let session = alice.initialize().await;
        for how in ["json", "events"] {
            let mut body = call(3, "find");
            body["params"]["arguments"] = json!({ "how": how });
            let mut stream =
                alice.stream(&[("mcp-session-id", &session), ("mcp-protocol-version", "2025-11-25")], &body).await;
            if stream.headers["content-type"] == "application/json" {
                masked(&alice.within(&session, &body).await.json());
                continue;
            }
            let mut answer = soon(stream.message()).await.unwrap();
            if answer["method"].is_string() {
                assert_eq!(answer["params"]["message"], "[redacted]");
                answer = soon(stream.message()).await.unwrap();
            }
            masked(&answer);
        }
        let boxed = gateway.client_at("alice", "all");
        let got = boxed.modern("tools/call", json!({ "name": "fake__find", "arguments": {} })).await;
        masked(&got.json());
    }
}

#[tokio::test]
async fn what_is_said_when_a_broken_stream_is_taken_up_again_is_masked_too() {
    let resumed = Arc::new(AtomicBool::new(false));
    let seen_again = resumed.clone();
    let upstream = Upstream::with(Speaks::Legacy, move |seen| match (seen.method.as_str(), seen.rpc()) {
        ("POST", "tools/call") => {
            Some(Reply::Events(Vec::new(), vec!["id: 1\ndata:\nretry: 500\n\n".into()], After::End))
        }
        ("GET", _) if seen.header("last-event-id") == "1" => {
            seen_again.store(true, Ordering::SeqCst);
            let answer = json!({ "jsonrpc": "2.0", "id": 3, "result": found() });
            Some(Reply::events(&[answer], After::End))
        }
        _ => None,
    })
    .await;
    let gateway = veiled(&upstream).await;
    let alice = gateway.client("alice");
    let session = alice.initialize().await;
    let headers = [("mcp-session-id", session.as_str()), ("mcp-protocol-version", "2025-11-25")];
    let mut stream = alice.stream(&headers, &call(3, "find")).await;
    let event = soon(stream.next()).await.unwrap();
    let id = event.lines().find_map(|line| line.strip_prefix("id:")).unwrap().trim().to_owned();
    let mut again = headers.to_vec();
    again.extend([("accept", "text/event-stream"), ("last-event-id", &id)]);
    let mut stream = alice.send(Method::GET, &again, "").await;
    masked(&soon(stream.message()).await.unwrap());
    assert!(resumed.load(Ordering::SeqCst));
}
