//! Requests that a server left unfinished to ask for input, and who may finish them.

use std::{sync::Arc, time::Duration};

use portcullis_base::{ManualClock, Timestamp};
use serde_json::{Value, json};

use crate::{
    harness::{Client, Gateway, Setup, modern},
    upstream::{After, Reply, Seen, Speaks, Upstream, soon},
};

const STATE: &str = "the server's \"own\" state\u{e9}";

/// Asks for input at first, by JSON or by events, and tells back what state it got.
fn asks(seen: &Seen) -> Option<Reply> {
    let params = &seen.body["params"];
    if seen.rpc() != "tools/call" || !params["requestState"].is_null() {
        return None;
    }
    let wanted = seen.result(json!({ "resultType": "input_required", "requestState": STATE,
        "inputRequests": { "who": { "method": "elicitation/create", "params": { "message": "Who?" } } } }));
    Some(if params["name"] == "echo" { Reply::json(200, &wanted) } else { Reply::events(&[wanted], After::End) })
}

async fn gateway() -> (Upstream, Gateway, Arc<ManualClock>) {
    let upstream = Upstream::with(Speaks::Modern, asks).await;
    let servers = vec![("fake", upstream.at)];
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let gateway = Gateway::start(Setup { servers, clock: Some(clock.clone()), ..Setup::default() }).await;
    (upstream, gateway, clock)
}

fn params(tool: &str) -> Value {
    json!({ "name": tool, "arguments": { "a": 1, "b": { "c": "d", "e": 2.0 } }, "_meta": forms() })
}

fn forms() -> Value {
    json!({ "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} } })
}

/// The state that the client is given for an unfinished call.
async fn begun(client: &Client, tool: &str) -> Value {
    let message = if tool == "echo" {
        client.modern("tools/call", params(tool)).await.json()
    } else {
        soon(client.modern_stream("tools/call", params(tool)).await.message()).await.unwrap()
    };
    assert_eq!(message["result"]["resultType"], "input_required");
    assert!(message["result"]["inputRequests"]["who"].is_object());
    message["result"]["requestState"].clone()
}

async fn finished(client: &Client, mut params: Value, state: Value) -> (u16, i64) {
    params["requestState"] = state;
    params["inputResponses"] = json!({ "who": { "action": "accept", "content": {} } });
    let got = client.modern("tools/call", params).await;
    (got.status.as_u16(), got.code())
}

/// spec: BR-60, BR-61, SEC-20
#[tokio::test]
async fn the_state_of_a_server_travels_sealed_and_comes_back_exactly() {
    let (upstream, gateway, _) = gateway().await;
    let client = gateway.client("alice");
    for tool in ["echo", "streams"] {
        let state = begun(&client, tool).await;
        assert!(!state.as_str().unwrap().contains("state"), "{state}");
        assert_eq!(finished(&client, params(tool), state.clone()).await, (200, 0), "{tool}");
        let seen = upstream.calls("tools/call").pop().unwrap();
        assert_eq!(seen.body["params"]["requestState"], STATE);
        // The same arguments, written in another order.
        let turned = json!({ "arguments": { "b": { "e": 2.0, "c": "d" }, "a": 1 }, "name": tool, "_meta": forms() });
        assert_eq!(finished(&client, turned, begun(&client, tool).await).await, (200, 0), "{tool}");
        // spec: T-65, BR-62: an answer that was lost is no way to give a second one.
        let before = upstream.calls("tools/call").len();
        assert_eq!(finished(&client, params(tool), state).await, (400, -32602), "{tool}");
        assert_eq!(upstream.calls("tools/call").len(), before);
    }
}

/// spec: BR-60, BR-64, SEC-20, SEC-21
#[tokio::test]
async fn nobody_finishes_what_another_began_or_something_else() {
    let (upstream, gateway, clock) = gateway().await;
    let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
    let state = begun(&alice, "echo").await;
    let before = upstream.calls("tools/call").len();
    assert_eq!(finished(&bob, params("echo"), state.clone()).await, (400, -32602));
    assert_eq!(finished(&alice, params("regional"), state.clone()).await, (400, -32602));
    let mut other = params("echo");
    other["arguments"]["a"] = json!(2);
    assert_eq!(finished(&alice, other, state.clone()).await, (400, -32602));
    let mut touched = state.as_str().unwrap().to_owned().into_bytes();
    touched[20] ^= 1;
    assert_eq!(finished(&alice, params("echo"), json!(String::from_utf8(touched).unwrap())).await, (400, -32602));
    for foreign in [json!(STATE), json!(""), json!(1), Value::Null] {
        assert_eq!(finished(&alice, params("echo"), foreign).await, (400, -32602));
    }
    let (headers, mut body) = modern("tools/list", json!({}));
    body["params"]["requestState"] = state.clone();
    assert_eq!(alice.post(&crate::harness::borrowed(&headers), &body).await.status, 400);
    clock.advance(Duration::from_mins(15));
    assert_eq!(finished(&gateway.client("alice"), params("echo"), state).await, (400, -32602));
    assert_eq!(upstream.calls("tools/call").len(), before, "nothing of it was forwarded");
}

/// spec: BR-65
#[tokio::test]
async fn a_state_that_is_too_large_is_no_answer() {
    for size in [100_000, 2 << 20] {
        let upstream = Upstream::with(Speaks::Modern, move |seen| {
            let result =
                json!({ "resultType": "input_required", "requestState": "x".repeat(size), "inputRequests": {} });
            (seen.rpc() == "tools/call").then(|| Reply::json(200, &seen.result(result)))
        })
        .await;
        let gateway = Gateway::before(upstream.at).await;
        let got = gateway.client("alice").modern("tools/call", params("echo")).await;
        if size < 1 << 20 {
            let state = got.json()["result"]["requestState"].as_str().unwrap().to_owned();
            assert!(state.len() > size && !state.contains("xxxx"));
        } else {
            assert!(!String::from_utf8_lossy(&got.body).contains("xxxx"), "{got:?}");
        }
    }
}
