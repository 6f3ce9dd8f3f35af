//! What rules put on calls that go on: how many, how much, what is masked, what is cut, and what is remembered.

use std::{sync::Arc, time::Duration};

use portcullis_base::{ManualClock, Timestamp};
use serde_json::{Value, json};

use crate::{
    harness::{Client, Gateway, Got, Setup, call},
    upstream::{After, Reply, Speaks, Upstream, called, event, saying, soon},
};

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A gateway before `upstream` with `rules`, and the clock of both.
async fn under(upstream: &Upstream, rules: &'static str) -> (Gateway, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    let setup = Setup { servers: vec![("fake", upstream.at)], rules, clock: Some(clock.clone()), ..Setup::default() };
    (Gateway::start(setup).await, clock)
}

async fn tool(client: &Client, name: &str, arguments: Value) -> Got {
    client.modern("tools/call", json!({ "name": name, "arguments": arguments })).await
}

/// `"done"`, or the text of the refusal.
fn told(got: &Got) -> String {
    let got = got.json();
    let error = got["error"]["message"].as_str().map(str::to_owned);
    error.unwrap_or_else(|| got["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned())
}

async fn denials(gateway: &Gateway) -> Vec<Value> {
    let records = gateway.records().await;
    records.into_iter().filter(|line| line["event"] == "call.decided" && line["outcome"] == "denied").collect()
}

/// spec: T-62
#[tokio::test]
async fn so_many_calls_a_minute_and_then_it_is_said_when_to_come_back() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let rules = "- { rule: slowly, who: '*', what: [fake], quota: { per: [person, tool], calls: 2, window: 1m } }";
    let (gateway, clock) = under(&upstream, rules).await;
    let alice = gateway.client("alice");
    for _ in 0..2 {
        assert_eq!(told(&tool(&alice, "echo", json!({})).await), "done");
    }
    let over = tool(&alice, "echo", json!({ "text": "once more" })).await;
    let error = over.json()["error"].clone();
    assert_eq!((over.status.as_u16(), error["code"].as_i64()), (200, Some(-32602)), "{over:?}");
    let text = error["message"].as_str().unwrap();
    assert!(text.starts_with("Rule \"slowly\" allows at most 2 of these calls in 1m."), "{text}");
    assert_eq!(error["data"]["rule"], "slowly");
    let wait = error["data"]["retryAfterSeconds"].as_u64().unwrap();
    assert!((60..=65).contains(&wait), "{wait}");
    // Another tool, another person, and what is no call.
    assert_eq!(told(&tool(&alice, "regional", json!({})).await), "done");
    assert_eq!(told(&tool(&gateway.client("bob"), "echo", json!({})).await), "done");
    for _ in 0..5 {
        assert!(alice.modern("tools/list", json!({})).await.json()["result"]["tools"].is_array());
    }
    assert_eq!(upstream.calls("tools/call").len(), 4);
    let denied = denials(&gateway).await;
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert_eq!((&denied[0]["rule"], &denied[0]["effect"]), (&json!("slowly"), &json!("deny")), "{denied:?}");
    assert_eq!(denied[0]["details"]["arguments"]["text"], "once more");
    assert!(denied[0]["details"]["limit"].as_str().unwrap().starts_with("Rule \"slowly\""));
    clock.advance(Duration::from_secs(wait - 1));
    assert!(told(&tool(&alice, "echo", json!({})).await).starts_with("Rule"));
    clock.advance(Duration::from_secs(1));
    assert_eq!(told(&tool(&alice, "echo", json!({})).await), "done");
}

/// spec: T-62
#[tokio::test]
async fn so_many_calls_at_a_time_and_no_more_until_one_has_ended() {
    let (mouth, after) = saying();
    let upstream = Upstream::with(Speaks::Modern, move |seen| {
        let slow = seen.rpc() == "tools/call" && seen.body["params"]["arguments"]["slow"] == true;
        slow.then(|| Reply::Events(Vec::new(), vec![":\n\n".into()], after.clone()))
    })
    .await;
    let rules = "- { rule: one-by-one, who: '*', what: '*', quota: { concurrent: 1 } }";
    let (gateway, _) = under(&upstream, rules).await;
    let alice = gateway.client("alice");
    let mut slow = alice.modern_stream("tools/call", json!({ "name": "echo", "arguments": { "slow": true } })).await;
    let over = tool(&alice, "echo", json!({})).await;
    let text = told(&over);
    assert!(text.contains("at most 1 of these calls at a time"), "{text}");
    assert_eq!(over.json()["error"]["data"]["retryAfterSeconds"], 1);
    assert_eq!(told(&tool(&gateway.client("bob"), "echo", json!({})).await), "done");
    let id = upstream.calls("tools/call")[0].clone();
    mouth.send(event(&id.result(called(&id)))).unwrap();
    assert!(soon(slow.message()).await.unwrap()["result"].is_object());
    // Its answer is its end, whether or not the stream is still open.
    assert_eq!(told(&tool(&alice, "echo", json!({})).await), "done");
    drop(mouth);
}

const BUDGET: &str = "- rule: budget
  who: '*'
  what: [fake/echo]
  quota: { sum: args.amount, most: '500.00', unit: args.currency, window: 1d }";

/// spec: T-60, T-79
#[tokio::test]
async fn amounts_add_up_to_the_last_cent_and_one_that_cannot_be_told_is_refused() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let (gateway, clock) = under(&upstream, BUDGET).await;
    let alice = gateway.client("alice");
    let pay = async |arguments: Value| told(&tool(&alice, "echo", arguments).await);
    assert_eq!(pay(json!({ "amount": 300.1, "currency": "EUR" })).await, "done");
    let more = tool(&alice, "echo", json!({ "amount": 200, "currency": "eur" })).await;
    assert!(told(&more).contains("at most 500 eur in 1d, of which 199.9 eur are left"), "{more:?}");
    let wait = more.json()["error"]["data"]["retryAfterSeconds"].as_u64().unwrap();
    assert!((86_400..=90_000).contains(&wait), "{wait}");
    let never = tool(&alice, "echo", json!({ "amount": 500.01, "currency": "eur" })).await.json();
    assert!(never["error"]["message"].as_str().unwrap().contains("more than that by itself"), "{never}");
    assert!(never["error"]["data"].get("retryAfterSeconds").is_none(), "it is never possible: {never}");
    assert_eq!(pay(json!({ "amount": 500, "currency": "usd" })).await, "done", "each currency is counted apart");
    for (raw, why) in [
        (r#"{"currency":"eur"}"#, "args.amount is missing"),
        (r#"{"amount":null,"currency":"eur"}"#, "args.amount is not a number"),
        (r#"{"amount":"1","currency":"eur"}"#, "args.amount is not a number"),
        (r#"{"amount":-1,"currency":"eur"}"#, "args.amount is not a number"),
        (r#"{"amount":1e20,"currency":"eur"}"#, "args.amount is not a number"),
        (r#"{"amount":[1],"currency":"eur"}"#, "args.amount is not a number"),
        (r#"{"amount":1}"#, "args.currency is not one unit"),
        (r#"{"amount":1,"currency":"e u r"}"#, "args.currency is not one unit"),
    ] {
        let (headers, body) = crate::harness::modern("tools/call", json!({ "name": "echo", "arguments": "HERE" }));
        let body = body.to_string().replace("\"HERE\"", raw);
        let headers = crate::harness::borrowed(&headers);
        let mut all = vec![("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
        all.extend(headers);
        let got = alice.exchange(http::Method::POST, &all, body).await;
        let text = told(&got);
        assert!(text.contains(why) && text.contains("\"budget\""), "{raw}: {text}");
        assert_eq!(got.code(), -32602, "{raw}");
    }
    assert_eq!(upstream.calls("tools/call").len(), 2, "nothing of that arrived");
    assert_eq!(pay(json!({ "amount": 199.9, "currency": "Eur" })).await, "done", "nor was it counted");
    assert!(denials(&gateway).await.iter().all(|line| line["rule"] == "budget"));
    clock.advance(Duration::from_secs(wait));
    let alice = gateway.client("alice");
    assert_eq!(told(&tool(&alice, "echo", json!({ "amount": 300.1, "currency": "eur" })).await), "done");
}

/// spec: T-79
#[tokio::test]
async fn what_was_not_sent_is_given_back_and_what_was_counts_whatever_became_of_it() {
    // Nobody listens there any more.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = listener.local_addr().unwrap();
    drop(listener);
    let failing = Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/call").then(|| match seen.body["params"]["arguments"]["how"].as_str() {
            Some("fails") => Reply::status(500),
            Some("breaks") => Reply::events(&[], After::Break),
            _ => Reply::json(200, &seen.result(called(seen))),
        })
    })
    .await;
    let rules = "- { rule: budget, who: '*', what: [gone, fake], quota: { per: rule, calls: 3, window: 1d } }";
    let setup = Setup { servers: vec![("fake", failing.at), ("gone", nowhere)], rules, ..Setup::default() };
    let gateway = Gateway::start(setup).await;
    let (alice, gone) = (gateway.client("alice"), gateway.client_at("alice", "gone"));
    for _ in 0..6 {
        // Each time it has room again: what is given back is given back a moment later.
        soon(async {
            while told(&tool(&gone, "echo", json!({})).await).contains("at most 3") {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let calls = async |how: &str| tool(&alice, "echo", json!({ "how": how })).await;
    soon(async {
        while told(&calls("fails").await).contains("at most 3") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    calls("breaks").await;
    assert_eq!(told(&calls("works").await), "done");
    assert!(told(&calls("works").await).contains("at most 3 of these calls in 1d"));
    assert_eq!(failing.calls("tools/call").len(), 3);
}

/// spec: T-79
#[tokio::test]
async fn of_many_who_want_the_last_unit_one_gets_it() {
    let upstream = Upstream::start(Speaks::Both).await;
    for rules in [
        "- { rule: last, who: '*', what: [fake/echo], quota: { per: rule, calls: 1, window: 1m } }",
        "- { rule: last, who: '*', what: [fake/echo], quota: { per: rule, calls: 1, window: 7d } }",
        "- { rule: last, who: '*', what: [fake/echo], quota: { per: server, sum: args.n, most: 7, window: 30s } }",
    ] {
        let (gateway, _) = under(&upstream, rules).await;
        let before = upstream.calls("tools/call").len();
        let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
        let session = bob.initialize().await;
        let old = || {
            let mut old = call(2, "echo");
            old["params"]["arguments"] = json!({ "n": 7 });
            old
        };
        let mut all = Vec::new();
        for _ in 0..6 {
            let (alice, bob, session, old) = (alice.clone(), bob.clone(), session.clone(), old());
            all.push(tokio::spawn(async move { tool(&alice, "echo", json!({ "n": 7 })).await }));
            all.push(tokio::spawn(async move { bob.within(&session, &old).await }));
        }
        let mut done = 0;
        for one in all {
            let text = told(&soon(one).await.unwrap());
            assert!(text == "done" || text.starts_with("Rule \"last\" allows at most"), "{text}");
            done += usize::from(text == "done");
        }
        assert_eq!((done, upstream.calls("tools/call").len() - before), (1, 1), "{rules}");
    }
}

/// spec: T-59, T-105
#[tokio::test]
async fn calls_of_a_batch_and_through_a_toolbox_count_each() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let setup = Setup {
        servers: vec![("fake", upstream.at)],
        toolboxes: "  - { name: box, search: on, tools: [{ server: fake }] }\n",
        rules: "- { rule: four, who: '*', what: [fake/echo], quota: { calls: 4, window: 1h } }",
        ..Setup::default()
    };
    let gateway = Gateway::start(setup).await;
    let alice = gateway.client("alice");
    let got = alice.post(&[], &crate::harness::initialize("2025-03-26")).await;
    let session = got.header("mcp-session-id").to_owned();
    let batch = json!([call(1, "echo"), call(2, "echo")]);
    let got = alice.post(&[("mcp-session-id", &session)], &batch).await;
    assert_eq!(String::from_utf8_lossy(&got.body).matches("\"done\"").count(), 2, "{got:?}");
    let boxed = gateway.client_at("alice", "box");
    assert_eq!(told(&tool(&boxed, "fake__echo", json!({})).await), "done");
    let found = tool(&boxed, "call_tool", json!({ "name": "fake__echo", "arguments": {} })).await;
    assert_eq!(told(&found), "done", "{found:?}");
    for over in [tool(&boxed, "fake__echo", json!({})).await, tool(&alice, "echo", json!({})).await] {
        assert!(told(&over).starts_with("Rule \"four\" allows at most 4"), "{over:?}");
    }
    assert_eq!(upstream.calls("tools/call").len(), 4);
}

#[tokio::test]
async fn what_was_read_once_is_remembered_of_its_reader_in_other_sessions_and_on_other_nodes() {
    let upstream = Upstream::start(Speaks::Both).await;
    let rules = "- { rule: remember, who: '*', what: [fake/echo], label: [tainted] }
- rule: nothing-leaves
  who: '*'
  what: [fake/regional]
  when: \"'tainted' in session.labels\"
  then: deny";
    let (gateway, clock) = under(&upstream, rules).await;
    let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
    assert_eq!(told(&tool(&alice, "regional", json!({})).await), "done");
    assert_eq!(told(&tool(&alice, "echo", json!({})).await), "done");
    let denied = "Rule \"nothing-leaves\" does not allow this call.";
    assert_eq!(told(&tool(&alice, "regional", json!({})).await), denied);
    let listed = alice.modern("tools/list", json!({})).await;
    assert!(!listed.json().to_string().contains("regional"), "it is not shown either: {listed:?}");
    let session = alice.initialize().await;
    assert_eq!(told(&alice.within(&session, &call(2, "regional")).await), denied);
    assert_eq!(told(&tool(&bob, "regional", json!({})).await), "done");
    // Another node, which is also what this one is after a restart.
    let setup = Setup {
        servers: vec![("fake", upstream.at)],
        rules,
        clock: Some(clock.clone()),
        data: Some(gateway.data.clone()),
        ..Setup::default()
    };
    let other = Gateway::start(setup).await;
    assert_eq!(told(&tool(&other.client("alice"), "regional", json!({})).await), denied);
    assert_eq!(told(&tool(&other.client("bob"), "regional", json!({})).await), "done");
    clock.advance(Duration::from_hours(23));
    assert_eq!(told(&tool(&gateway.client("alice"), "echo", json!({})).await), "done");
    clock.advance(Duration::from_hours(23));
    assert_eq!(told(&tool(&gateway.client("alice"), "regional", json!({})).await), denied, "a day from the last");
    clock.advance(Duration::from_hours(1));
    assert_eq!(told(&tool(&gateway.client("alice"), "regional", json!({})).await), "done");
}
