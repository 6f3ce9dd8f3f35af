//! Calls that humans have to agree to, on every road: sessions of older revisions, passed on and bridged, toolboxes,
//! searching tools, batches, prompts and resources.

use std::time::Duration;

use http::Method;
use portcullis_base::PersonId;
use portcullis_gateway::{config::LegacySse, proxy::Settings};
use portcullis_policy::approval::{State, Word};
use serde_json::{Value, json};

use crate::{
    approvals::{ASKS, approve, asked as asked_of_people, careful, say, waiting},
    harness::{Client, Gateway, Setup, call, initialize},
    older::{able, answer, asked, reply, streamed},
    toolbox::{offering, tool},
    upstream::{Speaks, Upstream, soon},
};

/// A session of a client that says it can do nothing.
async fn plain(client: &Client, version: &str) -> String {
    client.post(&[], &initialize(version)).await.header("mcp-session-id").to_owned()
}

fn done(told: &Value) {
    assert_eq!(told["result"]["content"][0]["text"], "done", "{told}");
    assert_eq!(told["result"]["isError"], Value::Null, "{told}");
}

// spec: T-54, BR-1
#[tokio::test]
async fn a_call_of_any_older_session_waits_on_its_stream() {
    for speaks in [Speaks::Legacy, Speaks::Modern] {
        for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
            let (gateway, upstream) = careful(speaks, |_| {}).await;
            let alice = gateway.client("alice");
            let session = plain(&alice, version).await;
            let mut body = call("c", "echo");
            body["params"]["_meta"] = json!({ "progressToken": "p" });
            let mut stream = streamed(&alice, &session, &body).await;
            let step = soon(async {
                loop {
                    let message = stream.message().await.unwrap();
                    if message["method"] == "notifications/progress" {
                        return message;
                    }
                }
            });
            assert_eq!(step.await["params"]["progressToken"], "p");
            approve(&gateway).await;
            let told = answer(&mut stream).await;
            done(&told);
            assert_eq!(told["id"], "c");
            assert_eq!(upstream.calls("tools/call").len(), 1, "{version}");
        }
    }
}

// spec: T-107, T-49
#[tokio::test]
async fn a_session_whose_client_opens_pages_is_asked_on_the_stream_and_its_yes_approves_nothing() {
    for speaks in [Speaks::Legacy, Speaks::Modern] {
        let (gateway, upstream) = careful(speaks, |_| {}).await;
        let alice = gateway.client("alice");
        let session = able(&alice, "2025-11-25").await;
        let mut stream = streamed(&alice, &session, &call("c", "echo")).await;
        let question = asked(&mut stream).await;
        let row = waiting(&gateway).await;
        assert_eq!((&question["method"], &question["params"]["mode"]), (&json!("elicitation/create"), &json!("url")));
        assert!(question["params"]["url"].as_str().unwrap().ends_with(row.approval.id.as_str()), "{question}");
        let seen = upstream.seen().len();
        reply(&alice, &session, &question["id"], json!({ "action": "accept" })).await;
        assert_eq!(upstream.seen().len(), seen, "it was not the server that asked");
        assert_eq!(waiting(&gateway).await.approval.state, State::Pending);
        assert!(upstream.calls("tools/call").is_empty());
        say(&gateway, &row, "alice", Word::Approve).await;
        let complete = soon(async {
            loop {
                let message = stream.message().await.unwrap();
                if message["method"] == "notifications/elicitation/complete" {
                    return message;
                }
            }
        });
        assert_eq!(complete.await["params"]["elicitationId"], question["params"]["elicitationId"]);
        done(&answer(&mut stream).await);
        assert_eq!(upstream.calls("tools/call").len(), 1);

        // One that says no ends its call, and nothing else.
        let mut other = call("d", "echo");
        other["params"]["arguments"] = json!({ "text": "other" });
        let mut stream = streamed(&alice, &session, &other).await;
        let question = asked(&mut stream).await;
        reply(&alice, &session, &question["id"], json!({ "action": "decline" })).await;
        let told = answer(&mut stream).await;
        assert_eq!((&told["id"], &told["result"]["isError"]), (&json!("d"), &json!(true)), "{told}");
        assert_eq!(waiting(&gateway).await.approval.state, State::Pending);
        assert_eq!(upstream.calls("tools/call").len(), 1);
    }
}

// spec: T-59
#[tokio::test]
async fn what_comes_in_a_batch_waits_like_everything_else() {
    for speaks in [Speaks::Legacy, Speaks::Modern] {
        let (gateway, upstream) = careful(speaks, |_| {}).await;
        let alice = gateway.client("alice");
        let session = plain(&alice, "2025-03-26").await;
        let batch = json!([call(1, "regional"), call(2, "echo")]);
        let headers = [("mcp-session-id", session.as_str())];
        let mut stream = alice.stream(&headers, &batch).await;
        approve(&gateway).await;
        let told = soon(stream.message()).await.unwrap();
        let answers = told.as_array().unwrap_or_else(|| panic!("{told}"));
        assert_eq!(answers.len(), 2, "{told}");
        assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(1), &json!(2)));
        done(&answers[1]);
        assert_eq!(upstream.calls("tools/call").len(), 2);
    }
}

#[tokio::test]
async fn a_client_of_2024_waits_on_its_one_stream() {
    let (gateway, upstream) = careful(Speaks::Modern, |settings| settings.legacy_sse = LegacySse::Served).await;
    let alice = gateway.client("alice");
    let mut stream = alice.to("/mcp/fake/sse").send(Method::GET, &[("accept", "text/event-stream")], "").await;
    let opened = soon(stream.next()).await.unwrap();
    let at = opened.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let post = alice.to(at.strip_prefix(&gateway.public_url).unwrap_or(at));
    assert_eq!(post.post(&[], &initialize("2024-11-05")).await.status, 202);
    assert!(answer(&mut stream).await["result"].is_object());
    assert_eq!(post.post(&[], &call("c", "echo")).await.status, 202);
    approve(&gateway).await;
    let told = answer(&mut stream).await;
    done(&told);
    assert_eq!((&told["id"], upstream.calls("tools/call").len()), (&json!("c"), 1));
}

// spec: T-105
#[tokio::test]
async fn a_tool_of_a_toolbox_waits_under_its_own_name() {
    let upstream = offering(json!({ "tools": [tool("echo")] })).await;
    let (servers, rules) = (vec![("fake", upstream.at)], ASKS);
    let toolboxes = "  - { name: found, search: on, tools: [{ server: fake }] }\n  - { name: renamed, tools: [{ server: fake, rename: { echo: shout }, fixed: { echo: { loud: true } } }] }\n";
    let gateway = Gateway::start(Setup { servers, toolboxes, rules, ..Setup::default() }).await;
    for (at, name, arguments) in [
        ("all", "fake__echo", json!({})),
        ("found", "call_tool", json!({ "name": "fake__echo", "arguments": { "n": 1 } })),
        ("renamed", "shout", json!({ "n": 2 })),
    ] {
        let before = upstream.calls("tools/call").len();
        let alice = gateway.client_at("alice", at);
        let mut stream = alice.modern_stream("tools/call", json!({ "name": name, "arguments": arguments })).await;
        let row = approve(&gateway).await;
        assert_eq!((row.approval.server.as_str(), row.target.as_str()), ("fake", "echo"));
        assert_eq!(gateway.approvals.stored(&row).unwrap().through.as_deref(), Some(at));
        let told = answer(&mut stream).await;
        assert!(told["result"]["isError"].is_null(), "{told}");
        let seen = upstream.calls("tools/call");
        assert_eq!(seen.len(), before + 1, "{at}");
        if at == "renamed" {
            assert_eq!(seen[before].body["params"]["arguments"], json!({ "n": 2, "loud": true }));
            let stored = gateway.approvals.stored(&row).unwrap().arguments.unwrap();
            assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), json!({ "n": 2, "loud": true }));
        }
    }
}

#[tokio::test]
async fn prompts_and_resources_wait_too_and_other_requests_do_not() {
    let rules = "- { rule: words, who: '*', what: 'fake/prompt:hello', then: ask }\n\
                 - { rule: files, who: '*', what: 'fake/resource:file:///a', then: ask }\n\
                 - { rule: lists, who: '*', what: fake, when: 'method == \"tools/list\"', then: ask }\n";
    let held = |settings: &mut Settings| settings.hold = Duration::from_mins(5);
    let upstream = offering(json!({ "tools": [], "capabilities": { "prompts": {}, "resources": {} } })).await;
    let setup = Setup { servers: vec![("fake", upstream.at)], rules, settings: held, ..Setup::default() };
    let gateway = Gateway::start(setup).await;
    let alice = gateway.client("alice");
    for (method, params, member) in [
        ("prompts/get", json!({ "name": "hello" }), "messages"),
        ("resources/read", json!({ "uri": "file:///a" }), "contents"),
    ] {
        let mut stream = alice.modern_stream(method, params.clone()).await;
        approve(&gateway).await;
        let told = answer(&mut stream).await;
        assert!(told["result"][member].is_array(), "{told}");
        assert_eq!(upstream.calls(method).len(), 1);
        // Once more, refused: an error of the call.
        let mut stream = alice.modern_stream(method, params).await;
        say(&gateway, &waiting(&gateway).await, "bob", Word::Refuse("no".into())).await;
        let told = answer(&mut stream).await;
        assert_eq!(told["error"]["code"], -32602, "{told}");
        assert!(told["error"]["message"].as_str().unwrap().contains("bob refused it: no"), "{told}");
        assert_eq!(upstream.calls(method).len(), 1);
    }
    let told = alice.modern("tools/list", json!({})).await;
    assert_eq!(told.code(), -32602, "{told:?}");
    assert!(told.json()["error"]["message"].as_str().unwrap().contains("Nobody can be asked"), "{told:?}");
    assert_eq!(asked_of_people(&gateway).await.len(), 4);
}

// spec: T-62
#[tokio::test]
async fn what_waits_has_a_place_of_its_person_and_no_other() {
    let (gateway, _upstream) = careful(Speaks::Modern, |settings| settings.calls_per_person = 1).await;
    let alice = gateway.client("alice");
    let params = json!({ "name": "echo", "arguments": {} });
    let mut stream = alice.modern_stream("tools/call", params).await;
    let row = waiting(&gateway).await;
    let other = alice.modern("tools/call", json!({ "name": "regional", "arguments": {} })).await;
    assert_eq!(other.status, 429, "{other:?}");
    assert_eq!(gateway.client("bob").modern("tools/list", json!({})).await.status, 200);
    say(&gateway, &row, "alice", Word::Approve).await;
    // It goes on from the place that it has.
    done(&answer(&mut stream).await);
    assert_eq!(row.approval.person, PersonId::new("alice"));
}

// spec: T-79
#[tokio::test]
async fn a_limit_that_is_reached_uses_nothing_up() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let rules = "- { rule: careful, who: '*', what: fake/echo, then: ask }\n\
                 - { rule: few, who: '*', what: fake/*, quota: { per: [person], calls: 1, window: 1h } }\n";
    let settings = |settings: &mut Settings| settings.hold = Duration::ZERO;
    let gateway =
        Gateway::start(Setup { servers: vec![("fake", upstream.at)], rules, settings, ..Setup::default() }).await;
    let alice = gateway.client("alice");
    let echo = || alice.modern("tools/call", json!({ "name": "echo", "arguments": {} }));
    assert_eq!(echo().await.json()["result"]["isError"], true);
    approve(&gateway).await;
    let regional = alice.modern("tools/call", json!({ "name": "regional", "arguments": {} })).await;
    assert!(regional.json()["result"].is_object(), "{regional:?}");
    let told = echo().await.json();
    assert!(told["error"]["message"].as_str().unwrap().contains("few"), "{told}");
    assert_eq!(asked_of_people(&gateway).await[0].approval.state, State::Granted);
    assert_eq!(upstream.calls("tools/call").len(), 1);
}
