//! Stories of 2025-03-26 to 2025-11-25.

use std::{sync::Arc, time::Duration};

use http::Method;
use portcullis_base::{ManualClock, Timestamp};
use portcullis_gateway::{proxy::Settings, upstream::Limits};
use serde_json::{Value, json};

use crate::{
    harness::{Gateway, Setup, call, initialize},
    upstream::{After, Reply, Seen, Speaks, Upstream, soon},
};

/// spec: TR-22, TR-81, TR-133, TR-6, TR-85, TR-84
#[tokio::test]
async fn a_session_is_opened_used_and_closed() {
    let upstream = Upstream::start(Speaks::Legacy).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    assert!(session.len() > 40 && session.bytes().all(|b| b.is_ascii_graphic()), "{session}");
    assert!(!session.contains("upstream-session"));

    let told = client.within(&session, &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    assert_eq!((told.status.as_u16(), told.body.len()), (202, 0));
    let answered = client.within(&session, &json!({ "jsonrpc": "2.0", "id": 9, "result": {} })).await;
    assert_eq!((answered.status.as_u16(), answered.body.len()), (202, 0));
    let got = client.within(&session, &call("x", "echo")).await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(got.json()["id"], "x");
    let seen = upstream.calls("tools/call").pop().unwrap();
    assert_eq!(seen.header("mcp-session-id"), "upstream-session");
    assert_eq!(seen.header("mcp-protocol-version"), "2025-11-25");

    let closed = client.exchange(Method::DELETE, &[("mcp-session-id", &session)], "").await;
    assert_eq!(closed.status, 204);
    assert_eq!(upstream.seen().last().unwrap().method, Method::DELETE);
    assert_eq!(client.within(&session, &call(1, "echo")).await.status, 404);
    assert_eq!(client.exchange(Method::GET, &[("mcp-session-id", &session)], "").await.status, 404);
    assert_eq!(client.exchange(Method::DELETE, &[("mcp-session-id", &session)], "").await.status, 404);
}

/// spec: T-48, SEC-20, TR-82
#[tokio::test]
async fn a_session_id_is_worth_nothing_to_anybody_else() {
    let upstream = Upstream::start(Speaks::Legacy).await;
    let gateway = Gateway::before(upstream.at).await;
    let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
    let session = alice.initialize().await;
    assert_eq!(bob.within(&session, &call(1, "echo")).await.status, 404);
    assert_eq!(alice.without_token().within(&session, &call(1, "echo")).await.status, 401);
    let mut forged = session.clone().into_bytes();
    *forged.last_mut().unwrap() ^= 1;
    let forged = String::from_utf8(forged).unwrap();
    assert_eq!(alice.within(&forged, &call(1, "echo")).await.status, 404);
    assert_eq!(alice.within("upstream-session", &call(1, "echo")).await.status, 404);
    assert_eq!(alice.within(&session, &call(1, "echo")).await.status, 200);
    assert_eq!(upstream.calls("tools/call").len(), 1);
}

/// spec: TR-88, T-48, SEC-22
#[tokio::test]
async fn event_ids_lead_back_into_their_own_session_only() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.method == Method::GET).then(|| {
            let event = "id: up-1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";
            Reply::Events(Vec::new(), vec![event.into()], After::End)
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let (first, second) = (client.initialize().await, client.initialize().await);
    let listen = async |session: &str, last: Option<&str>| {
        let mut headers = vec![("accept", "text/event-stream"), ("mcp-session-id", session)];
        headers.extend(last.map(|last| ("last-event-id", last)));
        let mut stream = client.send(Method::GET, &headers, "").await;
        assert_eq!(stream.status, 200);
        let event = soon(stream.next()).await.unwrap();
        event.lines().find_map(|line| line.strip_prefix("id:")).unwrap().trim().to_owned()
    };
    let id = listen(&first, None).await;
    assert_ne!(id, "up-1");
    listen(&first, Some(&id)).await;
    assert_eq!(upstream.seen().last().unwrap().header("last-event-id"), "up-1");
    listen(&second, Some(&id)).await;
    assert_eq!(upstream.seen().last().unwrap().header("last-event-id"), "", "foreign event id was passed on");
    listen(&second, Some("up-1")).await;
    assert_eq!(upstream.seen().last().unwrap().header("last-event-id"), "");
}

/// spec: TR-80, TR-30, TR-136, TR-135, T-69
#[tokio::test]
async fn a_session_is_of_the_revision_that_both_sides_agreed_on() {
    let upstream = Upstream::start(Speaks::Legacy).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    for (asked, forwarded) in [
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2026-07-28", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let got = client.post(&[], &initialize(asked)).await;
        assert_eq!(got.json()["result"]["protocolVersion"], forwarded, "{asked}");
        assert_eq!(upstream.calls("initialize").pop().unwrap().body["params"]["protocolVersion"], forwarded);
    }
    let differs = client.post(&[("mcp-protocol-version", "2025-06-18")], &initialize("2025-11-25")).await;
    assert_eq!(differs.status, 400);

    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        let asked = seen.body["params"]["clientInfo"]["name"] == "test";
        asked.then(|| Reply::json(200, &seen.result(json!({ "protocolVersion": "2024-11-05", "capabilities": {} }))))
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let got = gateway.client("alice").post(&[], &initialize("2025-11-25")).await;
    // That is not what was asked for: the session is bridged, and the upstream's is left.
    assert_eq!(got.json()["result"]["protocolVersion"], "2025-11-25", "{got:?}");
    assert!(got.headers.contains_key("mcp-session-id"));

    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        let result = json!({ "protocolVersion": "1999-01-01", "capabilities": {} });
        (seen.rpc() == "initialize").then(|| Reply::json(200, &seen.result(result)))
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let got = gateway.client("alice").post(&[], &initialize("2025-11-25")).await;
    assert_eq!(got.code(), -32603, "{got:?}");
    assert!(!got.headers.contains_key("mcp-session-id"));
}

/// spec: TR-83, TR-86, TR-87, TR-133, TR-94, T-54
#[tokio::test]
async fn within_a_session_its_revision_rules() {
    let upstream = Upstream::start(Speaks::Legacy).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = client.post(&[], &initialize("2025-03-26")).await.header("mcp-session-id").to_owned();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    for (version, status) in
        [(None, 200), (Some("2025-03-26"), 200), (Some("2025-11-25"), 200), (Some("1999-01-01"), 400)]
    {
        let mut headers = vec![("mcp-session-id", session.as_str())];
        headers.extend(version.map(|version| ("mcp-protocol-version", version)));
        assert_eq!(client.post(&headers, &ping).await.status, status, "{version:?}");
    }
    let seen = upstream.calls("ping");
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter().all(|seen| !seen.headers.contains_key("mcp-protocol-version")),
        "2025-03-26 has no such header"
    );
    assert_eq!(client.post(&[], &ping).await.status, 400);
    for method in ["server/discover", "subscriptions/listen", "made/up", "elicitation/create"] {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": {} });
        let got = client.post(&[("mcp-session-id", &session)], &body).await;
        assert_eq!((got.status.as_u16(), got.code()), (200, -32601), "{method}");
    }
    assert!(upstream.seen().iter().all(|seen| !["made/up", "subscriptions/listen"].contains(&seen.rpc())));
}

/// spec: TR-88, TR-90, TR-134, T-49
#[tokio::test]
async fn a_stream_of_a_session_carries_questions_and_its_own_answer() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.rpc() == "tools/call").then(|| {
            let question = json!({ "jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {} });
            let foreign = json!({ "jsonrpc": "2.0", "id": "not-mine", "result": {} });
            let answer = seen.result(json!({ "content": [] }));
            let pieces = vec![
                "id: 0\ndata:\nretry: 500\n\n".to_owned(),
                format!("event: message\nid: 1\ndata: {question}\n\n"),
                format!("data: {foreign}\n\n"),
                format!("event: other\ndata: {answer}\n\n"),
                format!("id: 2\ndata: {answer}\n\n"),
            ];
            Reply::Events(Vec::new(), pieces, After::End)
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    let headers = [("mcp-session-id", session.as_str())];
    let mut stream = client.stream(&headers, &call("mine", "echo")).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let first = soon(stream.next()).await.unwrap();
    assert!(first.contains("id: ") && first.contains("retry: 500"), "{first}");
    assert_eq!(soon(stream.message()).await.unwrap()["method"], "elicitation/create");
    assert_eq!(soon(stream.message()).await.unwrap()["id"], "mine");
    assert_eq!(soon(stream.next()).await, None);

    let only_json = [("content-type", "application/json"), ("accept", "application/json"), headers[0]];
    let got = client.exchange(Method::POST, &only_json, call("mine", "echo").to_string()).await;
    assert_eq!((got.header("content-type"), &got.json()["id"]), ("application/json", &json!("mine")));
    let neither = [("content-type", "application/json"), ("accept", "text/html"), headers[0]];
    assert_eq!(client.exchange(Method::POST, &neither, call("mine", "echo").to_string()).await.status, 406);
}

/// The answers that the upstream got to its own requests, once there are `count` of them.
async fn refusals(upstream: &Upstream, count: usize) -> Vec<Seen> {
    loop {
        let is_refusal = |seen: &Seen| seen.body["error"].is_object() || seen.body["result"]["action"] == "cancel";
        let refused: Vec<_> = upstream.seen().into_iter().filter(is_refusal).collect();
        if refused.len() >= count {
            return refused;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn question(id: &str, method: &str, field: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": { "message": "Say",
        "requestedSchema": { "type": "object", "properties": { field: { "type": "string" } } } } })
}

/// spec: T-64, BR-66, BR-76
#[tokio::test]
async fn a_question_that_may_not_be_asked_is_answered_here() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.rpc() == "tools/call").then(|| {
            let secret = question("q1", "elicitation/create", "apiKey");
            let model = question("q2", "sampling/createMessage", "x");
            let fine = question("q3", "elicitation/create", "colour");
            let ping = json!({ "jsonrpc": "2.0", "id": "q4", "method": "ping" });
            Reply::events(&[secret, model, fine, ping, seen.result(json!({ "content": [] }))], After::End)
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    let mut stream = client.stream(&[("mcp-session-id", session.as_str())], &call("mine", "echo")).await;
    let asked = soon(stream.message()).await.unwrap();
    assert_eq!((&asked["id"], &asked["params"]["message"]), (&json!("q3"), &json!("fake: Say")), "{asked}");
    assert_eq!(soon(stream.message()).await.unwrap()["id"], "q4");
    assert_eq!(soon(stream.message()).await.unwrap()["id"], "mine");
    let mut refused = soon(refusals(&upstream, 2)).await;
    refused.sort_by_key(|seen| seen.body["id"].to_string());
    let answers: Vec<_> = refused.iter().map(|seen| (&seen.body["id"], seen.header("mcp-session-id"))).collect();
    assert_eq!(answers, [(&json!("q1"), "upstream-session"), (&json!("q2"), "upstream-session")]);
    // spec: BR-50
    assert_eq!(refused[0].body["result"], json!({ "action": "cancel" }));
    assert_eq!(refused[1].body["error"]["code"], -32601);
}

/// spec: T-64, BR-51
#[tokio::test]
async fn a_question_beside_a_call_belongs_to_a_call_that_is_under_way() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| match seen.method.as_str() {
        "GET" => Some(Reply::events(&[question("q", "elicitation/create", "colour")], After::Hang)),
        _ if seen.rpc() == "tools/call" => Some(Reply::events(&[], After::Hang)),
        _ => None,
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    let headers = [("mcp-session-id", session.as_str()), ("accept", "text/event-stream")];
    let mut idle = client.send(Method::GET, &headers, "").await;
    let polled = idle.next();
    tokio::select! {
        said = polled => panic!("nobody asked for anything: {said:?}"),
        refused = soon(refusals(&upstream, 1)) => assert_eq!(refused[0].body["id"], "q"),
    }
    drop(idle);
    let _calling = client.stream(&headers[..1], &call("mine", "echo")).await;
    let mut stream = client.send(Method::GET, &headers, "").await;
    assert_eq!(soon(stream.message()).await.unwrap()["id"], "q");
}

/// spec: TR-81, TR-7
#[tokio::test]
async fn a_session_opened_by_a_stream_has_its_id_all_the_same() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.rpc() == "initialize").then(|| {
            let answer = seen.result(json!({ "protocolVersion": "2025-11-25", "capabilities": {} }));
            Reply::events(&[answer], After::Hang).with("mcp-session-id", "upstream-session")
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = soon(client.initialize()).await;
    assert_eq!(client.within(&session, &call(1, "echo")).await.status, 200);
}

/// spec: TR-84, RS-22
#[tokio::test]
async fn an_upstream_that_lost_its_session_ends_the_clients_too() {
    let upstream =
        Upstream::with(Speaks::Legacy, |seen| (seen.rpc() == "tools/call").then(|| Reply::status(404))).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    assert_eq!(client.within(&session, &call(1, "echo")).await.status, 404);
}

/// spec: TR-14, TR-92, TR-93
#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_upstream_and_one_whose_client_left_is_not() {
    let mut upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.rpc() == "tools/call").then(|| match seen.body["params"]["name"].as_str() {
            Some("silent") => Reply::Silence,
            _ => Reply::events(&[], After::Hang),
        })
    })
    .await;
    let tenth = std::time::Duration::from_millis(100);
    let limits = Limits { head: 4 * tenth, idle: 4 * tenth, total: 20 * tenth, ..Limits::default() };
    let settings: fn(&mut Settings) = |settings| settings.streams.keep_alive = std::time::Duration::from_millis(100);
    let servers = vec![("fake", upstream.at)];
    let gateway = Gateway::start(Setup { servers, limits, settings, ..Setup::default() }).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    drop(client.stream(&[("mcp-session-id", &session)], &call("left", "echo")).await);
    soon(upstream.a_drop()).await;
    let got = soon(client.within(&session, &call("silent", "silent"))).await;
    assert_eq!((got.status.as_u16(), got.code()), (200, -32603));
    let mut stream = client.stream(&[("mcp-session-id", &session)], &call("hangs", "echo")).await;
    assert_eq!(soon(stream.message()).await.unwrap()["error"]["code"], -32603);
    let cancelled = soon(async {
        loop {
            let cancelled = upstream.calls("notifications/cancelled");
            if cancelled.len() >= 2 {
                return cancelled;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let ids: Vec<_> = cancelled.iter().map(|seen| seen.body["params"]["requestId"].clone()).collect();
    assert_eq!(ids, [json!("silent"), json!("hangs")]);
    assert!(cancelled.iter().all(|seen| seen.header("mcp-session-id") == "upstream-session"));
}

/// spec: RS-25
#[tokio::test]
async fn a_listening_stream_ends_with_its_token() {
    let mut upstream =
        Upstream::with(Speaks::Legacy, |seen| (seen.method == Method::GET).then(|| Reply::events(&[], After::Hang)))
            .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    let token = gateway.token_for("alice", "fake", "mcp:read", std::time::Duration::from_secs(2));
    let headers = [("accept", "text/event-stream"), ("mcp-session-id", session.as_str())];
    let mut stream = client.with_token(&token).send(Method::GET, &headers, "").await;
    assert_eq!(stream.status, 200);
    assert_eq!(soon(stream.next()).await, None);
    soon(upstream.a_drop()).await;
    assert_eq!(client.with_token(&token).send(Method::GET, &headers, "").await.status, 401);
    let mut stream = client.send(Method::GET, &headers, "").await;
    gateway.ended.close();
    assert_eq!(soon(stream.next()).await, None, "nor does it hold up a stop");
}

/// spec: SEC-21, TR-81
#[tokio::test]
async fn session_ids_are_never_the_same_and_do_not_last_for_ever() {
    let upstream = Upstream::start(Speaks::Legacy).await;
    let servers = vec![("fake", upstream.at)];
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let gateway = Gateway::start(Setup { servers, clock: Some(clock.clone()), ..Setup::default() }).await;
    let client = gateway.client("alice");
    let (first, second) = (client.initialize().await, client.initialize().await);
    assert_ne!(first, second);
    let day = std::time::Duration::from_hours(24);
    clock.advance(6 * day);
    assert_eq!(gateway.client("alice").within(&first, &call(1, "echo")).await.status, 200);
    clock.advance(day);
    assert_eq!(gateway.client("alice").within(&first, &call(1, "echo")).await.status, 404);
}
