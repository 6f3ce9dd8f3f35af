//! What is said unasked to clients of older revisions, batches, and the transport of 2024-11-05.

use std::sync::{Arc, Mutex};

use http::Method;
use portcullis_gateway::{
    config::{Allow, LegacySse},
    proxy::Settings,
};
use serde_json::{Value, json};

use crate::{
    harness::{Client, Gateway, Setup, Stream, call, initialize},
    older::{able, answer, asked, done, form, reply, unfinished},
    upstream::{Reply, Speaks, Upstream, event, saying, soon},
};

type Mouth = tokio::sync::mpsc::UnboundedSender<String>;

/// A server whose subscriptions stay open, and what is said on each of them.
async fn listening() -> (Upstream, Arc<Mutex<Vec<(Value, Mouth)>>>) {
    let open = Arc::new(Mutex::new(Vec::new()));
    let kept = open.clone();
    let upstream = Upstream::with(Speaks::Modern, move |seen| {
        (seen.rpc() == "subscriptions/listen").then(|| {
            let (mouth, after) = saying();
            let wants = seen.body["params"]["notifications"].clone();
            let acknowledged = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": { "notifications": wants,
                    "_meta": { "io.modelcontextprotocol/subscriptionId": seen.body["id"] } } });
            kept.lock().unwrap().push((seen.body.clone(), mouth));
            Reply::events(&[acknowledged], after)
        })
    })
    .await;
    (upstream, open)
}

fn tell(open: &Mutex<Vec<(Value, Mouth)>>, method: &str, mut params: Value) {
    let open = open.lock().unwrap();
    let (listened, mouth) = open.last().unwrap();
    params["_meta"] = json!({ "io.modelcontextprotocol/subscriptionId": listened["id"] });
    mouth.send(event(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))).unwrap();
}

async fn listen(client: &Client, session: &str) -> Stream {
    let stream = client.send(Method::GET, &[("accept", "text/event-stream"), ("mcp-session-id", session)], "").await;
    assert_eq!(stream.status, 200);
    stream
}

/// Waits until the server was listened to for these URIs.
async fn wanted(open: &Mutex<Vec<(Value, Mouth)>>, uris: &Value) {
    let last = || open.lock().unwrap().last().map(|(body, _)| body["params"]["notifications"].clone());
    soon(async {
        while last().is_none_or(|last| last["resourceSubscriptions"] != *uris || last["toolsListChanged"] != true) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// spec: BR-71, BR-72, BR-79, BR-5, TR-88, BR-73
#[tokio::test]
async fn what_a_server_says_unasked_comes_on_the_stream_of_the_session() {
    let (upstream, open) = listening().await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    let subscribe = async |method: &str, uri: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "uri": uri } });
        assert_eq!(client.within(&session, &body).await.json()["result"], json!({}));
    };
    subscribe("resources/subscribe", "x:1").await;
    assert!(upstream.calls("subscriptions/listen").is_empty(), "nobody reads yet");
    let mut first = listen(&client, &session).await;
    wanted(&open, &json!(["x:1"])).await;
    tell(&open, "notifications/resources/updated", json!({ "uri": "x:1" }));
    let told = soon(first.message()).await.unwrap();
    assert_eq!(
        (&told["method"], &told["params"]),
        (&json!("notifications/resources/updated"), &json!({ "uri": "x:1" }))
    );
    subscribe("resources/subscribe", "x:2").await;
    wanted(&open, &json!(["x:1", "x:2"])).await;
    subscribe("resources/unsubscribe", "x:1").await;
    wanted(&open, &json!(["x:2"])).await;
    // With two streams each thing is said on one of them.
    let mut second = listen(&client, &session).await;
    for _ in 0..3 {
        tell(&open, "notifications/tools/list_changed", json!({}));
    }
    let mut heard = 0;
    while heard < 3 {
        let told = soon(async {
            tokio::select! { told = first.message() => told, told = second.message() => told }
        })
        .await;
        assert_eq!(told.unwrap()["method"], "notifications/tools/list_changed");
        heard += 1;
    }
    for method in ["resources/subscribe", "resources/unsubscribe"] {
        assert!(upstream.calls(method).is_empty());
    }
    let closed = client.exchange(Method::DELETE, &[("mcp-session-id", &session)], "").await;
    assert_eq!(closed.status, 204);
    assert_eq!(soon(first.next()).await, None);
}

/// spec: TR-68
#[tokio::test]
async fn who_only_listens_holds_up_no_stop() {
    let (upstream, _open) = listening().await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let mut stream = listen(&client, &client.initialize().await).await;
    gateway.ended.close();
    assert_eq!(soon(stream.next()).await, None);
}

/// spec: T-48, TR-91, SEC-22
#[tokio::test]
async fn an_event_id_of_another_session_leads_nowhere() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/call").then(|| unfinished(seen, &json!({ "k": form("secret?") }), "s"))
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let (mine, other) = (able(&client, "2025-11-25").await, able(&client, "2025-11-25").await);
    let mut stream = client.stream(&[("mcp-session-id", &mine)], &call(1, "echo")).await;
    let primed = soon(stream.next()).await.unwrap();
    let last = primed.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    asked(&mut stream).await;
    let resume = async |session: &str, last: &str| {
        let headers = [("accept", "text/event-stream"), ("mcp-session-id", session), ("last-event-id", last)];
        client.send(Method::GET, &headers, "").await
    };
    // It is a stream of its own, on which nothing of the other session comes.
    let mut foreign = resume(&other, &last).await;
    assert_eq!(foreign.status, 200);
    let mut own = resume(&mine, &last).await;
    assert_eq!(asked(&mut own).await["params"]["message"], "fake: secret?");
    let closed = client.exchange(Method::DELETE, &[("mcp-session-id", &other)], "").await;
    assert_eq!(closed.status, 204);
    assert_eq!(soon(foreign.message()).await, None);
}

/// spec: TR-98
#[tokio::test]
async fn a_session_that_kept_something_here_and_is_not_used_ends() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let clock = Arc::new(portcullis_base::ManualClock::new(portcullis_base::Timestamp::from_secs(1_800_000_000)));
    let setup = Setup { servers: vec![("fake", upstream.at)], clock: Some(clock.clone()), ..Setup::default() };
    let gateway = Gateway::start(setup).await;
    let client = gateway.client("alice");
    let (level, plain) = (client.initialize().await, client.initialize().await);
    let set = json!({ "jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": { "level": "debug" } });
    assert_eq!(client.within(&level, &set).await.status, 200);
    assert_eq!(client.within(&plain, &call(1, "echo")).await.status, 200);
    clock.advance(std::time::Duration::from_mins(31));
    let client = gateway.client("alice");
    // Whoever kept nothing here has lost nothing.
    assert_eq!(client.within(&plain, &call(2, "echo")).await.status, 200);
    assert_eq!(client.within(&level, &call(2, "echo")).await.status, 404);
}

fn notified() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })
}

/// spec: TR-96, TR-97, TR-69, BR-35, T-59
#[tokio::test]
async fn a_batch_is_its_messages_one_by_one_in_the_one_revision_that_has_it() {
    for speaks in [Speaks::Modern, Speaks::Legacy] {
        let upstream = Upstream::start(speaks).await;
        let gateway = Gateway::before(upstream.at).await;
        let client = gateway.client("alice");
        let session = client.post(&[], &initialize("2025-03-26")).await.header("mcp-session-id").to_owned();
        let batch = async |body: Value| client.post(&[("mcp-session-id", &session)], &body).await;
        let ping = json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" });
        let odd = json!({ "jsonrpc": "2.0", "id": "o", "method": "made/up" });
        let got = batch(json!([call(1, "echo"), notified(), ping, odd])).await;
        assert_eq!(got.status, 200, "{got:?}");
        let answers = got.json();
        assert_eq!(answers.as_array().unwrap().len(), 3, "{answers}");
        assert_eq!((&answers[0]["id"], &answers[0]["result"]["content"][0]["text"]), (&json!(1), &json!("done")));
        assert_eq!((&answers[1]["id"], &answers[2]["error"]["code"]), (&json!("p"), &json!(-32601)));
        assert_eq!(upstream.calls("tools/call").len(), 1);
        let told = batch(json!([notified(), notified()])).await;
        assert_eq!((told.status.as_u16(), told.body.len()), (202, 0));
        let answered = batch(json!([{ "jsonrpc": "2.0", "id": 9, "result": {} }])).await;
        assert_eq!((answered.status.as_u16(), answered.body.len()), (202, 0));
        let events =
            [("content-type", "application/json"), ("accept", "text/event-stream"), ("mcp-session-id", &session)];
        let mut stream =
            client.send(Method::POST, &events, json!([call(2, "echo"), call(3, "echo")]).to_string()).await;
        let ids =
            [soon(stream.message()).await.unwrap()["id"].clone(), soon(stream.message()).await.unwrap()["id"].clone()];
        assert_eq!((ids, soon(stream.next()).await), ([json!(2), json!(3)], None));

        let mut modern = call(1, "echo");
        modern["params"]["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
        let many: Vec<_> = (0..51).map(|id| call(id, "echo")).collect();
        for refused in [
            json!([]),
            json!([initialize("2025-03-26"), call(1, "echo")]),
            json!([modern]),
            json!([call(1, "echo"), call(1, "echo")]),
            json!([call(1, "echo"), { "jsonrpc": "2.0", "id": 9, "result": {} }]),
            json!(many),
        ] {
            let got = batch(refused.clone()).await;
            assert_eq!((got.status.as_u16(), got.code()), (400, -32600), "{refused}");
        }
        for version in ["2025-06-18", "2025-11-25"] {
            let session = client.post(&[], &initialize(version)).await.header("mcp-session-id").to_owned();
            let got = client.post(&[("mcp-session-id", &session)], &json!([call(1, "echo")])).await;
            assert_eq!((got.status.as_u16(), got.code()), (400, -32600));
        }
        assert_eq!(client.post(&[], &json!([call(1, "echo")])).await.code(), -32600);
        assert_eq!(upstream.calls("tools/call").len(), 3);
    }
}

async fn old_gateway(upstream: &Upstream) -> Gateway {
    let settings: fn(&mut Settings) = |settings| settings.legacy_sse = LegacySse::Served;
    let allow = Allow { files: false, ..Allow::LOCAL };
    let rules = "- { rule: no-secrets, who: '*', what: fake/resource:x:secret, then: deny }";
    Gateway::start(Setup { servers: vec![("fake", upstream.at)], settings, allow, rules, ..Setup::default() }).await
}

async fn open_old(client: &Client) -> (Stream, String) {
    let mut stream = client.send(Method::GET, &[("accept", "text/event-stream")], "").await;
    assert_eq!(stream.status, 200);
    let first = soon(stream.next()).await.unwrap();
    assert!(first.starts_with("event: endpoint\n"), "{first}");
    let endpoint = first.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
    (stream, endpoint)
}

/// spec: TR-110, TR-111, TR-112, TR-113, TR-114, TR-95, TR-80, BR-1, BR-29, BR-75
#[tokio::test]
async fn a_client_of_the_first_revision_is_served_on_its_own_transport() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let params = &seen.body["params"];
        (seen.rpc() == "tools/call" && params["name"] == "asks").then(|| match params["requestState"].as_str() {
            None => unfinished(seen, &json!({ "k": { "method": "roots/list" } }), "s"),
            Some(_) => done(seen, params["inputResponses"]["k"]["roots"][0]["uri"].as_str().unwrap()),
        })
    })
    .await;
    let off = Gateway::before(upstream.at).await.client("alice").to("/mcp/fake/sse");
    assert_eq!(off.send(Method::GET, &[("accept", "text/event-stream")], "").await.status, 404);

    let gateway = old_gateway(&upstream).await;
    for path in ["/mcp/fake/sse", "/mcp/fake"] {
        let client = gateway.client("alice").to(path);
        assert_eq!(client.without_token().send(Method::GET, &[("accept", "text/event-stream")], "").await.status, 401);
        let evil = [("accept", "text/event-stream"), ("origin", "https://evil.example")];
        assert_eq!(client.send(Method::GET, &evil, "").await.status, 403);
        let (mut stream, endpoint) = open_old(&client).await;
        assert!(endpoint.starts_with("/mcp/fake/messages?session=") && endpoint.len() > 80, "{endpoint}");
        let door = client.to(&endpoint);
        let say = async |body: Value| {
            let got = door.post(&[], &body).await;
            assert_eq!((got.status.as_u16(), got.body.len()), (202, 0), "{got:?}");
        };
        assert_eq!(door.post(&[], &call(0, "echo")).await.status, 400, "before initialize");
        let mut opening = initialize("2024-11-05");
        opening["params"]["capabilities"] = json!({ "roots": {}, "elicitation": {} });
        say(opening).await;
        let event = soon(stream.next()).await.unwrap();
        assert!(event.starts_with("event: message\ndata: {") && !event.contains("\nid:"), "{event}");
        let opened: Value = serde_json::from_str(event.rsplit_once("data: ").unwrap().1).unwrap();
        assert_eq!(opened["result"]["protocolVersion"], "2024-11-05", "{opened}");
        say(notified()).await;
        say(json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await;
        assert_eq!(answer(&mut stream).await, json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
        let uri = json!({ "uri": "x:secret" });
        say(json!({ "jsonrpc": "2.0", "id": 2, "method": "resources/subscribe", "params": uri })).await;
        let refused = answer(&mut stream).await;
        assert!(refused["error"]["message"].as_str().unwrap().contains("\"no-secrets\""), "{refused}");
        say(call("c", "asks")).await;
        let question = asked(&mut stream).await;
        assert_eq!(question["method"], "roots/list");
        say(json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "roots": [{ "uri": "file:///r" }, { "uri": "https://r" }] } })).await;
        let told = answer(&mut stream).await;
        assert_eq!((&told["id"], &told["result"]["content"][0]["text"]), (&json!("c"), &json!("https://r")), "{told}");
        let seen = upstream.calls("tools/call").pop().unwrap();
        let declared = &seen.body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
        assert_eq!((&declared["elicitation"], &declared["roots"]), (&Value::Null, &json!({})));

        // The address is for the one who opened the stream, and for as long as it is open.
        let bobs = gateway.client("bob").to(&endpoint);
        assert_eq!(bobs.post(&[], &call(9, "echo")).await.status, 404);
        assert_eq!(door.without_token().post(&[], &call(9, "echo")).await.status, 401);
        let evil = [("origin", "https://evil.example")];
        assert_eq!(door.post(&evil, &call(9, "echo")).await.status, 403);
        assert_eq!(client.to("/mcp/fake/messages?session=x").post(&[], &call(9, "echo")).await.status, 404);
        assert_eq!(door.post(&[], &json!([call(9, "echo")])).await.code(), -32600);
        drop(stream);
        soon(async { while door.post(&[], &notified()).await.status != 404 {} }).await;
    }
    // A session of Streamable HTTP listens as ever.
    let client = gateway.client("alice");
    let session = client.initialize().await;
    let mut stream = listen(&client, &session).await;
    let closed = client.exchange(Method::DELETE, &[("mcp-session-id", &session)], "").await;
    assert_eq!((closed.status.as_u16(), soon(stream.message()).await), (204, None));
    let forged = client.to(&format!("/mcp/fake/messages?session={session}"));
    assert_eq!(forged.post(&[], &call(9, "echo")).await.status, 404);
}

/// spec: TR-85, T-49
#[tokio::test]
async fn an_answer_counts_in_the_session_that_was_asked() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let params = &seen.body["params"];
        (seen.rpc() == "tools/call").then(|| match params["requestState"].as_str() {
            None => unfinished(seen, &json!({ "k": form("Who?") }), "s"),
            Some(_) => done(seen, params["inputResponses"]["k"]["content"]["name"].as_str().unwrap()),
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let (mine, other) = (able(&client, "2025-11-25").await, able(&client, "2025-11-25").await);
    let mut stream = client.stream(&[("mcp-session-id", &mine)], &call(1, "echo")).await;
    let question = asked(&mut stream).await;
    let named = |name: &str| json!({ "action": "accept", "content": { "name": name } });
    reply(&client, &other, &question["id"], named("a stranger")).await;
    reply(&client, &mine, &json!("made up"), named("nobody")).await;
    reply(&client, &mine, &question["id"], named("Ada")).await;
    assert_eq!(answer(&mut stream).await["result"]["content"][0]["text"], "Ada");
}
