//! Servers that misbehave, and what the client sees of it.

use std::time::Duration;

use portcullis_gateway::upstream::Limits;
use serde_json::json;

use crate::{
    harness::{Gateway, Setup, call, grant},
    upstream::{After, Reply, Seen, Speaks, Upstream, soon},
};

fn on_call(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> impl Fn(&Seen) -> Option<Reply> + Send + Sync {
    move |seen| (seen.rpc() == "tools/call").then(|| reply(seen))
}

fn echo() -> serde_json::Value {
    json!({ "name": "echo", "arguments": {} })
}

type Play = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// spec: T-29, T-61, RS-22, BR-10, BR-8
#[tokio::test]
async fn no_failure_of_a_server_looks_like_a_refusal_of_the_client() {
    let canary = Upstream::start(Speaks::Modern).await;
    let elsewhere = format!("http://{}/mcp", canary.at);
    let redirect = |status| {
        let elsewhere = elsewhere.clone();
        move |_: &Seen| Reply::status(status).with("location", elsewhere.clone())
    };
    let table: Vec<(&str, Play, u16)> = vec![
        ("302", Box::new(redirect(302)), 502),
        ("307", Box::new(redirect(307)), 502),
        ("308", Box::new(redirect(308)), 502),
        ("500", Box::new(|_| Reply::status(500)), 200),
        ("503 with json", Box::new(|seen| Reply::json(503, &seen.result(json!({})))), 200),
        ("gzip", Box::new(|seen| Reply::json(200, &seen.result(json!({}))).with("content-encoding", "gzip")), 502),
        ("html", Box::new(|_| Reply::Whole(200, vec![("content-type", "text/html".into())], "<p>".into())), 502),
        (
            "not json",
            Box::new(|_| Reply::Whole(200, vec![("content-type", "application/json".into())], "{\"id".into())),
            502,
        ),
        ("batch", Box::new(|seen| Reply::json(200, &json!([seen.result(json!({}))]))), 502),
        ("wrong id", Box::new(|_| Reply::json(200, &json!({ "jsonrpc": "2.0", "id": 99_999, "result": {} }))), 502),
        ("no answer", Box::new(|_| Reply::status(202)), 502),
    ];
    for (name, play, status) in table {
        let upstream = Upstream::with(Speaks::Modern, on_call(play)).await;
        let gateway = Gateway::before(upstream.at).await;
        let got = gateway.client("alice").modern("tools/call", echo()).await;
        assert_eq!((got.status.as_u16(), got.code()), (status, -32603), "{name}: {got:?}");
        assert_eq!(got.json()["id"], 1, "{name}");
        let message = got.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("The server fake "), "{name}: {message}");
        assert!(!message.contains("127.0.0.1") && !got.headers.contains_key("www-authenticate"), "{name}: {message}");
    }
    assert!(canary.seen().is_empty(), "a redirect was followed");
}

/// spec: RS-22, BR-10
#[tokio::test]
async fn a_server_that_refuses_the_gateway_does_not_refuse_its_client() {
    for status in [401, 403, 407] {
        let refusal = move |_: &Seen| Reply::status(status).with("www-authenticate", "Bearer error=\"invalid_token\"");
        let upstream = Upstream::with(Speaks::Modern, on_call(Box::new(refusal))).await;
        let gateway = Gateway::before(upstream.at).await;
        let got = gateway.client("alice").modern("tools/call", echo()).await;
        assert_eq!((got.status.as_u16(), &got.json()["result"]["isError"]), (200, &json!(true)), "{status}: {got:?}");
        assert_eq!(got.json()["id"], 1);
        let told = got.json()["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        assert!(told.starts_with("fake does not ") && !told.contains("127.0.0.1"), "{told}");
        assert!(!got.headers.contains_key("www-authenticate"));
        assert_eq!(upstream.calls("tools/call").len(), 1);
    }
}

/// spec: BR-8
#[tokio::test]
async fn errors_of_tools_and_of_the_protocol_stay_what_they_are() {
    let upstream = Upstream::with(
        Speaks::Modern,
        on_call(|seen| match seen.header("mcp-name") {
            "echo" => {
                Reply::json(200, &seen.result(json!({ "resultType": "complete", "isError": true, "content": [] })))
            }
            _ => Reply::json(
                400,
                &json!({ "jsonrpc": "2.0", "error": { "code": -32602, "message": "no such", "data": { "x": 1 } } }),
            ),
        }),
    )
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let got = client.modern("tools/call", echo()).await;
    assert_eq!((got.status.as_u16(), got.json()["result"]["isError"].as_bool()), (200, Some(true)));
    let got = client.modern("tools/call", json!({ "name": "gone", "arguments": {} })).await;
    assert_eq!((got.status.as_u16(), got.code()), (400, -32602));
    assert_eq!((&got.json()["id"], &got.json()["error"]["data"]["x"]), (&json!(1), &json!(1)));
}

/// spec: TR-14
#[tokio::test]
async fn a_silent_server_is_given_up() {
    let tenth = Duration::from_millis(100);
    let upstream = Upstream::with(
        Speaks::Modern,
        on_call(|seen| match seen.header("mcp-name") {
            "echo" => Reply::Silence,
            _ => Reply::events(&[], After::Hang),
        }),
    )
    .await;
    let limits = Limits { head: 3 * tenth, idle: 3 * tenth, total: 10 * tenth, ..Limits::default() };
    let servers = vec![("fake", upstream.at)];
    let settings: fn(&mut portcullis_gateway::proxy::Settings) =
        |settings| settings.streams.keep_alive = Duration::from_millis(100);
    let gateway = Gateway::start(Setup { servers, limits, settings, ..Setup::default() }).await;
    let client = gateway.client("alice");
    let got = soon(client.modern("tools/call", echo())).await;
    assert_eq!((got.status.as_u16(), got.code()), (200, -32603));
    let mut stream = client.modern_stream("tools/call", json!({ "name": "hang", "arguments": {} })).await;
    // spec: TR-10: signs of life while there is hope.
    assert!(soon(stream.next()).await.unwrap().starts_with(':'));
    let last = soon(stream.message()).await.unwrap();
    assert_eq!((&last["id"], &last["error"]["code"]), (&json!(1), &json!(-32603)));
    assert_eq!(soon(stream.next()).await, None);
}

/// spec: T-63
#[tokio::test]
async fn floods_are_cut_off() {
    let floods: Vec<(&str, Vec<String>, After)> = vec![
        ("a line without end", vec!["data: ".into()], After::Repeat("x".repeat(65_536))),
        ("an event without end", Vec::new(), After::Repeat(format!("data: {}\n", "x".repeat(65_536)))),
        ("events without end", Vec::new(), After::Repeat("data: {}\n\n".repeat(500))),
        ("a huge id", vec!["id: ".into()], After::Repeat("x".repeat(65_536))),
        ("comments without end", Vec::new(), After::Repeat(format!(":{}\n", "x".repeat(60_000)))),
    ];
    for (name, pieces, after) in floods {
        let upstream =
            Upstream::with(Speaks::Modern, on_call(move |_| Reply::Events(Vec::new(), pieces.clone(), after.clone())))
                .await;
        let servers = vec![("fake", upstream.at)];
        let settings: fn(&mut portcullis_gateway::proxy::Settings) = |settings| settings.streams.bytes = 32 << 20;
        let gateway = Gateway::start(Setup { servers, settings, ..Setup::default() }).await;
        let mut stream = gateway.client("alice").modern_stream("tools/call", echo()).await;
        let last = soon(stream.message()).await.unwrap();
        assert_eq!(last["error"]["code"], -32603, "{name}");
        assert_eq!(soon(stream.next()).await, None, "{name}");
    }
}

/// spec: TR-58
#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_of_its_own() {
    for after in [After::Break, After::End] {
        let upstream = Upstream::with(
            Speaks::Modern,
            on_call(move |seen| {
                let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                "params": { "progressToken": seen.body["id"], "progress": 1 } });
                Reply::events(&[progress], after.clone())
            }),
        )
        .await;
        let gateway = Gateway::before(upstream.at).await;
        let params = json!({ "name": "echo", "arguments": {}, "_meta": { "progressToken": 5 } });
        let mut stream = gateway.client("alice").modern_stream("tools/call", params).await;
        assert_eq!(soon(stream.message()).await.unwrap()["params"]["progressToken"], 5);
        assert_eq!(soon(stream.message()).await.unwrap()["error"]["code"], -32603);
        assert_eq!(soon(stream.next()).await, None);
    }
}

/// spec: AG-36
#[tokio::test]
async fn large_results_pass_without_being_gathered() {
    let large = "x".repeat(8 << 20);
    let upstream = Upstream::with(
        Speaks::Both,
        on_call(move |seen| Reply::json(200, &seen.result(json!({ "content": [{ "type": "text", "text": large }] })))),
    )
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let got = client.modern("tools/call", echo()).await;
    assert_eq!((got.status.as_u16(), got.json()["id"].as_i64()), (200, Some(1)));
    assert_eq!(got.json()["result"]["content"][0]["text"].as_str().unwrap().len(), 8 << 20);
    let session = client.initialize().await;
    let got = client.within(&session, &call("a", "echo")).await;
    assert_eq!(got.json()["id"], "a");
    assert!(got.body.len() > 8 << 20);
}

/// spec: TR-61, TR-92
#[tokio::test]
async fn a_client_that_leaves_takes_its_call_with_it() {
    let mut upstream = Upstream::with(
        Speaks::Modern,
        on_call(|seen| {
            let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
            "params": { "progressToken": seen.body["id"], "progress": 1 } });
            Reply::events(&[progress], After::Hang)
        }),
    )
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let params = json!({ "name": "echo", "arguments": {}, "_meta": { "progressToken": 5 } });
    let mut stream = gateway.client("alice").modern_stream("tools/call", params).await;
    soon(stream.message()).await.unwrap();
    drop(stream);
    soon(upstream.a_drop()).await;
}

/// spec: T-49
#[tokio::test]
async fn a_hundred_callers_with_one_id_get_their_own_answers() {
    let upstream = Upstream::start(Speaks::Both).await;
    let gateway = Gateway::before(upstream.at).await;
    let session = gateway.client("bob").initialize().await;
    let calls = (0..100).map(|n| {
        let (alice, bob, session) = (gateway.client("alice"), gateway.client("bob"), session.clone());
        async move {
            let mine = json!({ "name": "echo", "arguments": { "text": n } });
            let got = if n % 2 == 0 {
                alice.modern("tools/call", mine).await
            } else {
                let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": mine });
                bob.within(&session, &body).await
            };
            assert_eq!(got.json()["id"], 1);
            assert_eq!(got.json()["result"]["structuredContent"]["params"]["arguments"]["text"], n);
        }
    });
    futures_util::future::join_all(calls).await;
    let mut ids: Vec<u64> = upstream.calls("tools/call").iter().filter_map(|seen| seen.body["id"].as_u64()).collect();
    ids.retain(|id| *id != 1);
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((all, ids.len()), (50, 50), "modern calls have ids of their own upstream");
}

/// spec: RS-25
#[tokio::test]
async fn streams_end_with_their_token_and_with_their_grant() {
    let listening = |seen: &Seen| {
        (seen.rpc() == "subscriptions/listen").then(|| {
            let acknowledged = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": { "_meta": { "io.modelcontextprotocol/subscriptionId": seen.body["id"] } } });
            Reply::events(&[acknowledged], After::Hang)
        })
    };
    let mut upstream = Upstream::with(Speaks::Modern, listening).await;
    let gateway = Gateway::before(upstream.at).await;
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let short = gateway.token_for("alice", "fake", "mcp:read", Duration::from_secs(2));
    let mut expiring =
        gateway.client("alice").with_token(&short).modern_stream("subscriptions/listen", listen.clone()).await;
    let acknowledged = soon(expiring.message()).await.unwrap();
    assert_eq!(acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    let last = soon(expiring.message()).await.unwrap();
    assert_eq!(last["result"]["resultType"], "complete");
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert_eq!(soon(expiring.next()).await, None);

    let mut revoked = gateway.client("bob").modern_stream("subscriptions/listen", listen.clone()).await;
    soon(revoked.message()).await.unwrap();
    gateway.ended.end_grants([grant("bob")], portcullis_base::Timestamp::from_secs(0));
    assert_eq!(soon(revoked.message()).await.unwrap()["result"]["resultType"], "complete");
    soon(upstream.a_drop()).await;

    // spec: TR-68: "On shutdown end each subscription with its result"
    let mut left = gateway.client("alice").modern_stream("subscriptions/listen", listen).await;
    soon(left.message()).await.unwrap();
    gateway.ended.close();
    assert_eq!(soon(left.message()).await.unwrap()["result"]["resultType"], "complete");
    assert_eq!(soon(left.next()).await, None);
    soon(upstream.a_drop()).await;
}

/// spec: T-62
#[tokio::test]
async fn a_person_has_only_so_many_calls_in_flight() {
    let upstream = Upstream::with(Speaks::Modern, on_call(|_| Reply::events(&[], After::Hang))).await;
    let servers = vec![("fake", upstream.at)];
    let settings: fn(&mut portcullis_gateway::proxy::Settings) = |settings| settings.calls_per_person = 2;
    let gateway = Gateway::start(Setup { servers, settings, ..Setup::default() }).await;
    let client = gateway.client("alice");
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(client.modern_stream("tools/call", echo()).await);
    }
    assert_eq!(client.modern("tools/call", echo()).await.status, 429);
    let bob = gateway.client("bob").modern_stream("tools/call", echo()).await;
    assert_eq!(bob.status, 200);
}
