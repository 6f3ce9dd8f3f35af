//! Stories of calls that need something of their person at the server behind: shown, renewed, asked for, never another's.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use http::Method;
use portcullis_base::Timestamp;
use portcullis_gateway::{config::Credential, upstream::Limits};
use serde_json::{Value, json};

use crate::{
    gate::{Gate, auto, behind, call_with_pages, clocked, decided, guarded, initialize_with, oauth, sent_with_pages},
    harness::{Gateway, Setup, borrowed, call, grant, modern},
    upstream::{After, Reply, Speaks, Upstream, soon},
};

/// spec: UP-42, RS-22, T-35
#[tokio::test]
async fn every_request_to_a_server_shows_what_the_person_has_there() {
    let (upstream, _gate) = guarded(Speaks::Legacy, &["alice-at-fake"]).await;
    let gateway = behind(&upstream, oauth()).await;
    gateway.connect("alice", "alice-at-fake").await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    client.within(&session, &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    assert_eq!(client.within(&session, &call(1, "echo")).await.status, 200);
    let headers = [("accept", "text/event-stream"), ("mcp-session-id", session.as_str())];
    client.exchange(Method::GET, &headers, "").await;
    client.exchange(Method::DELETE, &[("mcp-session-id", &session)], "").await;
    let seen = upstream.seen();
    let methods: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert!(methods.contains(&"GET") && methods.contains(&"DELETE"), "{methods:?}");
    let token = client.token.unwrap();
    for seen in seen {
        assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
        assert_eq!(seen.header("authorization"), "Bearer alice-at-fake", "{seen:?}");
        assert!(!format!("{seen:?}").contains(&token));
    }
}

/// spec: UP-45, RS-22
#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_made_once_more() {
    let (upstream, gate) = guarded(Speaks::Modern, &["first"]).await;
    let (gateway, clock) = clocked(&upstream).await;
    gateway.connect("alice", "first").await;
    let echo = async || {
        let (renewed, sent) = (gateway.issuer.asked.load(Ordering::SeqCst), upstream.calls("tools/call").len());
        let got = gateway.client("alice").modern("tools/call", json!({ "name": "echo", "arguments": {} })).await;
        assert_eq!(got.status, 200, "an upstream's refusal is never the client's 401");
        assert!(got.headers.get("www-authenticate").is_none());
        let renewed = gateway.issuer.asked.load(Ordering::SeqCst) - renewed;
        (got.json()["result"].clone(), renewed, upstream.calls("tools/call").len() - sent)
    };
    let (made, ..) = echo().await;
    assert_eq!(made["content"][0]["text"], "done", "{made}");
    gate.let_in(&["renewed-1"]);
    let (made, renewed, sent) = echo().await;
    assert_eq!(made["content"][0]["text"], "done", "{made}");
    assert_eq!((renewed, sent), (1, 2), "refused once, made once");

    // Whatever is renewed is refused: it is renewed once, and then the person is asked.
    gate.let_in(&[]);
    let (told, renewed, sent) = echo().await;
    assert_eq!((&told["isError"], renewed, sent), (&json!(true), 1, 2), "{told}");
    // Nothing is renewed for each call that meets this.
    let (told, renewed, sent) = echo().await;
    assert_eq!((&told["isError"], renewed, sent), (&json!(true), 0, 1), "{told}");
    // Later it is tried again, once, and then the person is asked.
    clock.advance(Duration::from_mins(6));
    let (told, renewed, sent) = echo().await;
    assert_eq!((&told["isError"], renewed, sent), (&json!(true), 1, 2), "{told}");
}

/// spec: UP-61, UP-60, UP-62, BR-50, BR-60, BR-61
#[tokio::test]
async fn a_modern_client_is_asked_for_a_page_and_its_retry_is_the_call() {
    let (upstream, _gate) = guarded(Speaks::Modern, &["alice-at-fake"]).await;
    let gateway = behind(&upstream, auto()).await;
    let client = gateway.client("alice");
    let asked = call_with_pages(&client, json!({})).await;
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required", "{asked}");
    let requests = result["inputRequests"].as_object().unwrap();
    assert_eq!(requests.len(), 1);
    let request = requests.values().next().unwrap();
    assert_eq!((&request["method"], &request["params"]["mode"]), (&json!("elicitation/create"), &json!("url")));
    let url = request["params"]["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{}/connections/-/open/", gateway.public_url)), "{url}");
    assert!(request["params"].get("elicitationId").is_none());
    let state = result["requestState"].clone();

    let answered = json!({ "requestState": state, "inputResponses": { "connect": { "action": "accept" } } });
    let retry = call_with_pages(&client, answered.clone());
    let connect = async {
        // The retry waits for this.
        decided(&gateway, 2).await;
        gateway.connect("alice", "alice-at-fake").await;
    };
    let (made, ()) = Box::pin(soon(async { tokio::join!(retry, connect) })).await;
    assert_eq!(made["result"]["content"][0]["text"], "done", "{made}");
    let seen = upstream.calls("tools/call").pop().unwrap();
    let params = seen.body["params"].as_object().unwrap();
    assert!(!params.contains_key("requestState") && !params.contains_key("inputResponses"), "{params:?}");
    assert_eq!(params["arguments"], json!({ "text": "hi" }));

    // Nobody else, and no other call, can take it up.
    let bob = gateway.client("bob");
    let (headers, body) = modern("tools/call", {
        let mut params = json!({ "name": "echo", "arguments": { "text": "hi" } });
        params["requestState"] = state.clone();
        params
    });
    assert_eq!(bob.post(&borrowed(&headers), &body).await.code(), -32602);
    let (headers, body) =
        modern("tools/call", json!({ "name": "echo", "arguments": { "text": "other" }, "requestState": state }));
    assert_eq!(client.post(&borrowed(&headers), &body).await.code(), -32602);
}

/// spec: BR-60, SEC-20
#[tokio::test]
async fn what_a_call_waits_with_is_of_that_call_and_not_for_ever() {
    let (upstream, _gate) = guarded(Speaks::Modern, &["alice-at-fake"]).await;
    let (gateway, clock) = clocked(&upstream).await;
    let asked = call_with_pages(&gateway.client("alice"), json!({})).await;
    gateway.connect("alice", "alice-at-fake").await;
    let state = asked["result"]["requestState"].as_str().unwrap().to_owned();
    let taken_up = async |more: Value| {
        let got = sent_with_pages(&gateway.client("alice"), more).await;
        (got.status.as_u16(), got.code())
    };
    assert_eq!(taken_up(json!({ "requestState": state })).await, (200, 0));
    assert_eq!(taken_up(json!({ "requestState": state, "name": "regional" })).await, (400, -32602));
    let middle = state.len() / 2;
    let other = if state.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let touched = format!("{}{other}{}", &state[..middle], &state[middle + 1..]);
    assert_eq!(taken_up(json!({ "requestState": touched })).await, (400, -32602));
    clock.advance(Duration::from_hours(1));
    assert_eq!(taken_up(json!({ "requestState": state })).await, (400, -32602));
    assert_eq!(upstream.calls("tools/call").len(), 1);
}

/// spec: TR-26, TR-28
#[tokio::test]
async fn who_connected_is_served_by_a_server_of_another_revision() {
    let (upstream, _gate) = guarded(Speaks::Legacy, &["alice-at-fake"]).await;
    let gateway = behind(&upstream, oauth()).await;
    let client = gateway.client("alice");
    // Nobody can know yet what it speaks.
    let asked = call_with_pages(&client, json!({})).await;
    let answered = json!({ "requestState": asked["result"]["requestState"],
        "inputResponses": { "connect": { "action": "accept" } } });
    let connect = async {
        decided(&gateway, 2).await;
        gateway.connect("alice", "alice-at-fake").await;
    };
    let (told, ()) = Box::pin(soon(async { tokio::join!(sent_with_pages(&client, answered), connect) })).await;
    assert_eq!((told.status.as_u16(), &told.json()["result"]["resultType"]), (200, &json!("complete")), "{told:?}");
    let called = upstream.calls("tools/call");
    assert!(called.len() == 1 && called[0].header("mcp-session-id") == "upstream-session", "{called:?}");
}

/// spec: BR-90, T-50
#[tokio::test]
async fn a_resource_that_was_read_as_somebody_is_theirs() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let uri = seen.body["params"]["uri"].as_str().filter(|_| seen.rpc() == "resources/read")?;
        let text = if uri == "x:large" { "x".repeat(1 << 20) } else { "small".to_owned() };
        let read = seen.result(json!({ "resultType": "complete", "cacheScope": "public", "ttlMs": 60_000,
            "contents": [{ "uri": uri, "text": text }] }));
        Some(if uri == "x:streamed" { Reply::events(&[read], After::End) } else { Reply::json(200, &read) })
    })
    .await;
    let scope = async |gateway: &Gateway, uri: &str| {
        let params = json!({ "uri": uri });
        let client = gateway.client("alice");
        let read = match uri {
            "x:streamed" => soon(client.modern_stream("resources/read", params).await.message()).await.unwrap(),
            _ => client.modern("resources/read", params).await.json(),
        };
        assert_eq!(read["result"]["contents"][0]["uri"], uri, "{read}");
        read["result"]["cacheScope"].clone()
    };
    let open = behind(&upstream, Credential::None).await;
    let theirs = behind(&upstream, oauth()).await;
    theirs.connect("alice", "alice-at-fake").await;
    for uri in ["x:small", "x:large", "x:streamed"] {
        assert_eq!(scope(&open, uri).await, "public", "{uri}");
        assert_eq!(scope(&theirs, uri).await, "private", "{uri}");
    }
}

/// spec: UP-61
#[tokio::test]
async fn who_declines_is_told_and_not_waited_for() {
    let (upstream, _gate) = guarded(Speaks::Modern, &[]).await;
    let gateway = behind(&upstream, oauth()).await;
    let client = gateway.client("alice");
    let asked = call_with_pages(&client, json!({})).await;
    let declined = json!({ "requestState": asked["result"]["requestState"],
        "inputResponses": { "connect": { "action": "decline" } } });
    let told = soon(call_with_pages(&client, declined)).await;
    assert_eq!(told["result"]["isError"], true, "{told}");
    assert_eq!(upstream.seen().len(), 0, "nothing was to be shown, so nothing was sent");
}

/// spec: UP-64, UP-65, UP-66, RS-22, BR-111
#[tokio::test]
async fn a_client_without_pages_gets_the_link_as_text() {
    let (upstream, _gate) = guarded(Speaks::Both, &[]).await;
    let gateway = behind(&upstream, auto()).await;
    let client = gateway.client("alice");
    let page = format!("{}/connections/fake", gateway.public_url);
    let got = client.modern("tools/call", json!({ "name": "echo", "arguments": {} })).await;
    assert_eq!((got.status.as_u16(), &got.json()["result"]["isError"]), (200, &json!(true)), "{got:?}");
    assert_eq!(got.json()["result"]["resultType"], "complete");
    assert!(got.json()["result"]["content"][0]["text"].as_str().unwrap().contains(&page), "{got:?}");
    let got = client.modern("prompts/get", json!({ "name": "p" })).await;
    assert_eq!(got.code(), -32021, "{got:?}");
    assert_eq!(got.json()["error"]["data"]["requiredCapabilities"], json!({ "elicitation": { "url": {} } }));

    let session = client.initialize().await;
    let got = client.within(&session, &call(1, "echo")).await;
    assert_eq!((got.status.as_u16(), &got.json()["result"]["isError"]), (200, &json!(true)), "{got:?}");
    assert!(got.json()["result"]["content"][0]["text"].as_str().unwrap().contains(&page), "{got:?}");
    assert!(got.json()["result"].get("resultType").is_none());
    assert_eq!(gateway.client("alice").without_token().modern("tools/list", json!({})).await.status, 401);
}

/// spec: UP-63, UP-68, TR-133
#[tokio::test]
async fn a_session_opened_before_its_person_connected_goes_on_afterwards() {
    let (upstream, _gate) = guarded(Speaks::Legacy, &["alice-at-fake"]).await;
    let gateway = behind(&upstream, auto()).await;
    let client = gateway.client("alice");
    let opened = client.post(&[], &initialize_with(&json!({ "elicitation": { "url": {} } }))).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let note = opened.json()["result"]["instructions"].as_str().unwrap().to_owned();
    assert!(note.contains("/connections/fake"), "{note}");
    assert_eq!(opened.json()["result"]["protocolVersion"], "2025-11-25");
    let session = opened.header("mcp-session-id").to_owned();
    let told = client.within(&session, &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    assert_eq!(told.status, 202);
    let list = |method: &str| json!({ "jsonrpc": "2.0", "id": 5, "method": method });
    for (method, member) in [("tools/list", "tools"), ("prompts/list", "prompts"), ("resources/list", "resources")] {
        let listed = client.within(&session, &list(method)).await;
        assert_eq!(listed.json()["result"], json!({ member: [] }), "{listed:?}");
    }
    assert_eq!(client.within(&session, &list("ping")).await.json()["result"], json!({}));

    let headers = [("accept", "text/event-stream"), ("mcp-session-id", session.as_str())];
    let mut stream = client.send(Method::GET, &headers, "").await;
    assert_eq!(stream.status, 200);
    let refused = client.within(&session, &call(1, "echo")).await;
    assert_eq!(refused.code(), -32042, "{refused:?}");
    let asked = &refused.json()["error"]["data"]["elicitations"][0];
    assert_eq!(asked["mode"], "url");
    let url = asked["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{}/connections/-/open/", gateway.public_url)), "{url}");

    gateway.connect("alice", "alice-at-fake").await;
    let done = soon(stream.message()).await.unwrap();
    assert_eq!(done["method"], "notifications/elicitation/complete");
    assert_eq!(done["params"]["elicitationId"], asked["elicitationId"]);
    assert_eq!(soon(stream.message()).await.unwrap()["method"], "notifications/tools/list_changed");
    while soon(stream.next()).await.is_some() {}

    let made = client.within(&session, &call(2, "echo")).await;
    assert_eq!(made.json()["result"]["content"][0]["text"], "done", "{made:?}");
    let told = upstream.calls("initialize").pop().unwrap();
    assert_eq!(told.body["params"]["capabilities"], json!({ "elicitation": { "url": {} } }), "what the client said");
    assert_eq!(told.body["params"]["clientInfo"], json!({ "name": "test", "version": "7" }));
    let accepted = |rpc: &str| {
        let calls = upstream.calls(rpc).into_iter();
        calls.filter(|seen| seen.header("authorization") == "Bearer alice-at-fake").count()
    };
    assert_eq!(accepted("notifications/initialized"), accepted("initialize"));
    assert_eq!(client.within(&session, &list("tools/list")).await.json()["result"]["tools"][0]["name"], "echo");
    // Its upstream said that it has none.
    assert_eq!(client.within(&session, &list("prompts/list")).await.json()["result"], json!({ "prompts": [] }));
    assert!(upstream.calls("prompts/list").is_empty());
}

/// spec: BR-57
#[tokio::test]
async fn the_upstreams_side_of_such_a_session_is_opened_again_when_it_is_lost() {
    let lost = Arc::new(Mutex::new(None::<String>));
    let sessions = lost.clone();
    let upstream = Upstream::with(Speaks::Legacy, move |seen| {
        if seen.header("authorization") != "Bearer alice-at-fake" {
            return Some(Reply::status(401));
        }
        if seen.rpc() == "initialize" {
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "fake", "version": "1" } });
            let id = format!("s{}", seen.body["id"]);
            return Some(Reply::json(200, &seen.result(result)).with("mcp-session-id", id));
        }
        let session = seen.header("mcp-session-id").to_owned();
        if sessions.lock().unwrap().as_ref() == Some(&session) {
            return Some(Reply::status(404));
        }
        (seen.rpc() == "tools/call")
            .then(|| Reply::json(200, &seen.result(json!({ "content": [{ "type": "text", "text": session }] }))))
    })
    .await;
    // All that it may be given at one time is one request: none waits for another of the same call.
    let limits = Limits { concurrent: 1, ..Setup::default().limits };
    let servers = vec![("fake", upstream.at)];
    let gateway = Gateway::start(Setup { servers, credential: oauth(), limits, ..Setup::default() }).await;
    let client = gateway.client("alice");
    let session = client.initialize().await;
    gateway.connect("alice", "alice-at-fake").await;
    let made = client.within(&session, &call(1, "echo")).await.json();
    let first = made["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    *lost.lock().unwrap() = Some(first.clone());
    let made = client.within(&session, &call(2, "echo")).await;
    let second = made.json()["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert_ne!(first, second, "{made:?}");
    let closed = client.exchange(Method::DELETE, &[("mcp-session-id", &session)], "").await;
    assert_eq!(closed.status, 204);
    assert_eq!(upstream.seen().last().unwrap().header("mcp-session-id"), second);
}

/// spec: T-50
#[tokio::test]
async fn what_tools_want_as_headers_is_known_for_whoever_saw_them_only() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let header = match seen.header("authorization") {
            "Bearer a" => "Alpha",
            "Bearer b" => "Beta",
            _ => return Some(Reply::status(401)),
        };
        (seen.rpc() == "tools/list").then(|| {
            let properties = json!({ "region": { "type": "string", "x-mcp-header": header } });
            let tool = json!({ "name": "regional", "inputSchema": { "type": "object", "properties": properties } });
            Reply::json(200, &seen.result(json!({ "resultType": "complete", "tools": [tool] })))
        })
    })
    .await;
    let gateway = behind(&upstream, oauth()).await;
    for (person, token, header) in [("alice", "a", "mcp-param-alpha"), ("bob", "b", "mcp-param-beta")] {
        gateway.connect(person, token).await;
        let (headers, body) = modern("tools/call", json!({ "name": "regional", "arguments": { "region": "eu" } }));
        let mut headers = borrowed(&headers);
        headers.push((header, "eu"));
        let got = gateway.client(person).post(&headers, &body).await;
        assert_eq!(got.status, 200, "{got:?}");
        assert_eq!(upstream.calls("tools/call").pop().unwrap().header(header), "eu");
    }
}

/// spec: UP-46, T-42, UP-62
#[tokio::test]
async fn more_scope_is_asked_for_a_bounded_number_of_times() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/call").then(|| {
            let wanted = "Bearer error=\"insufficient_scope\", scope=\"write admin\"";
            Reply::status(403).with("www-authenticate", wanted)
        })
    })
    .await;
    let (gateway, clock) = clocked(&upstream).await;
    gateway.connect("alice", "first").await;
    let client = gateway.client("alice");
    let mut asked = call_with_pages(&client, json!({})).await;
    let mut times = 0;
    while asked["result"]["resultType"] == "input_required" {
        times += 1;
        assert!(times < 5, "without end");
        let text = asked["result"]["inputRequests"]["connect"]["params"]["message"].as_str().unwrap();
        assert!(text.contains("write") && text.contains("read"), "the union: {text}");
        clock.advance(Duration::from_secs(5));
        gateway.connect("alice", &format!("again-{times}")).await;
        let retry = json!({ "requestState": asked["result"]["requestState"],
            "inputResponses": { "connect": { "action": "accept" } } });
        asked = soon(call_with_pages(&client, retry)).await;
    }
    assert_eq!(asked["result"]["isError"], true, "{asked}");
    assert_eq!(times, 2);
}

/// spec: T-29, UP-41
#[tokio::test]
async fn a_credential_follows_no_redirect() {
    let canary = Upstream::start(Speaks::Modern).await;
    let at = format!("http://{}/mcp", canary.at);
    let upstream = Upstream::with(Speaks::Modern, move |seen| {
        (seen.rpc() == "tools/call").then(|| Reply::status(307).with("location", at.clone()))
    })
    .await;
    let gateway = behind(&upstream, oauth()).await;
    gateway.connect("alice", "alice-at-fake").await;
    let got = gateway.client("alice").modern("tools/call", json!({ "name": "echo", "arguments": {} })).await;
    assert_eq!(got.status, 502, "{got:?}");
    assert!(canary.seen().is_empty());
}

/// spec: UP-63
#[tokio::test]
async fn a_session_with_its_own_stream_hears_of_a_new_connection_too() {
    let gate = Gate::default();
    gate.let_in(&["old"]);
    let judge = gate.clone();
    let upstream = Upstream::with(Speaks::Legacy, move |seen| {
        judge.judge(seen).or_else(|| {
            (seen.method == Method::GET).then(|| Reply::Events(Vec::new(), vec![": hello\n\n".into()], After::Hang))
        })
    })
    .await;
    let gateway = behind(&upstream, oauth()).await;
    gateway.connect("alice", "old").await;
    let client = gateway.client("alice");
    let opened = client.post(&[], &initialize_with(&json!({ "elicitation": { "url": {} } }))).await;
    let session = opened.header("mcp-session-id").to_owned();
    let headers = [("accept", "text/event-stream"), ("mcp-session-id", session.as_str())];
    let mut stream = client.send(Method::GET, &headers, "").await;
    gate.let_in(&["new"]);
    gateway.issuer.ended.store(true, Ordering::SeqCst);
    let refused = client.within(&session, &call(1, "echo")).await;
    assert_eq!(refused.code(), -32042, "{refused:?}");
    gateway.connect("alice", "new").await;
    let done = soon(stream.message()).await.unwrap();
    assert_eq!(done["method"], "notifications/elicitation/complete", "{done}");
    assert_eq!(client.within(&session, &call(2, "echo")).await.json()["result"]["content"][0]["text"], "done");
}

/// spec: T-54, UP-65
#[tokio::test]
async fn a_denied_call_leads_to_no_page_and_to_no_server() {
    let (upstream, _gate) = guarded(Speaks::Both, &[]).await;
    let rules = "- { rule: no-echo, who: '*', what: fake/echo, then: deny }\n";
    let setup = Setup { servers: vec![("fake", upstream.at)], credential: auto(), rules, ..Setup::default() };
    let gateway = Gateway::start(setup).await;
    let client = gateway.client("alice");
    let denied = call_with_pages(&client, json!({})).await;
    assert_eq!(denied["error"]["code"], -32602, "{denied}");
    assert!(denied.to_string().contains("no-echo") && !denied.to_string().contains("/connections/"), "{denied}");
    assert!(upstream.calls("tools/call").is_empty());
}

/// spec: RS-25
#[tokio::test]
async fn who_loses_their_access_while_they_connect_makes_no_call() {
    let (upstream, _gate) = guarded(Speaks::Modern, &["alice-at-fake"]).await;
    let gateway = behind(&upstream, oauth()).await;
    let client = gateway.client("alice");
    let asked = call_with_pages(&client, json!({})).await;
    let answered = json!({ "requestState": asked["result"]["requestState"],
        "inputResponses": { "connect": { "action": "accept" } } });
    let ended = async {
        decided(&gateway, 2).await;
        gateway.ended.end_grants([grant("alice")], Timestamp::from_secs(0));
    };
    let (told, ()) = soon(async { tokio::join!(call_with_pages(&client, answered), ended) }).await;
    assert!(told["error"]["message"].as_str().unwrap().contains("revoked"), "{told}");
    assert!(upstream.seen().is_empty());
}
