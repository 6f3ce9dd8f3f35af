//! A call that humans have to agree to: it waits, and goes on when they do, once; or is told why not.

use std::{sync::Arc, time::Duration};

use portcullis_audit::Actor;
use portcullis_base::{ManualClock, PersonId, Timestamp};
use portcullis_gateway::{approvals::Voice, proxy::Settings};
use portcullis_policy::{
    Assurance, Bundle, Kind, Somebody, Source,
    approval::{Means, State, Voter, Word},
};
use portcullis_store::{ApprovalRow, Paging};
use serde_json::{Value, json};

use crate::{
    gate::{call_with_pages, oauth},
    harness::{Client, Gateway, Got, Setup, borrowed, call, modern},
    toolbox::names,
    upstream::{Reply, Speaks, Upstream, soon},
};

/// Calling `echo` is asked about.
pub const ASKS: &str = "- { rule: careful, who: '*', what: fake/echo, then: ask }\n";

/// A gateway before a server of this era where calling `echo` is asked about.
pub async fn careful(speaks: Speaks, settings: fn(&mut Settings)) -> (Gateway, Upstream) {
    let upstream = Upstream::start(speaks).await;
    let setup = Setup { servers: vec![("fake", upstream.at)], rules: ASKS, settings, ..Setup::default() };
    (Gateway::start(setup).await, upstream)
}

fn briefly(settings: &mut Settings) {
    settings.hold = Duration::from_millis(300);
}

fn at_once(settings: &mut Settings) {
    settings.hold = Duration::ZERO;
}

/// All that was ever asked of alice, newest first.
pub async fn asked(gateway: &Gateway) -> Vec<ApprovalRow> {
    gateway.store.approvals_of(&PersonId::new("alice"), Paging { take: 50, skip: 0 }).await.unwrap().items
}

/// What waits, as soon as something does.
pub async fn waiting(gateway: &Gateway) -> ApprovalRow {
    soon(async {
        loop {
            let found = asked(gateway).await.into_iter().find(|row| row.approval.state == State::Pending);
            match found {
                Some(row) => return row,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

/// What was asked last, as soon as it is in this state.
async fn become_of(gateway: &Gateway, state: State) -> ApprovalRow {
    soon(async {
        loop {
            match asked(gateway).await.into_iter().next() {
                Some(row) if row.approval.state == state => return row,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

/// `person` says `word` to it on a page.
pub async fn say(gateway: &Gateway, row: &ApprovalRow, person: &str, word: Word) {
    let id = PersonId::new(person);
    let somebody =
        Somebody { person: &id, name: person, kind: Kind::Person, groups: &[], roles: &["owner"], client: None };
    let means = Means::Session(gateway.now());
    let voter = Voter { somebody, means, surest: Assurance::Session, instead_of: &[] };
    gateway.approvals.say(&row.approval.id, &Voice { voter, actor: Actor::default() }, &word).await.unwrap();
}

/// Approves what waits, as soon as something does.
pub async fn approve(gateway: &Gateway) -> ApprovalRow {
    let row = waiting(gateway).await;
    say(gateway, &row, "alice", Word::Approve).await;
    row
}

async fn echo(client: &Client) -> Got {
    client.modern("tools/call", json!({ "name": "echo", "arguments": { "text": "hi" } })).await
}

/// The one answer in what came back, as a stream or not.
fn answer(got: &Got) -> Value {
    assert_eq!(got.status, 200, "{got:?}");
    if got.header("content-type") == "application/json" {
        return got.json();
    }
    let text = std::str::from_utf8(&got.body).unwrap();
    let data: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data:")).collect();
    serde_json::from_str(data.last().unwrap_or_else(|| panic!("{text}"))).unwrap()
}

/// What a model reads of a call that was not made.
fn unmade(answer: &Value) -> &str {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["content"][0]["text"].as_str().unwrap()
}

fn in_force(gateway: &Gateway, rules: &str) {
    let bundle = Arc::new(Bundle::load(&[Source { name: "rules.yaml", text: rules }]).unwrap());
    gateway.change(|snapshot| snapshot.bundle = bundle);
}

// spec: T-54, T-80, T-81
#[tokio::test]
async fn a_call_waits_on_its_stream_and_is_made_once_it_is_approved() {
    let (gateway, upstream) = careful(Speaks::Modern, |settings| {
        settings.streams.keep_alive = Duration::from_millis(20);
    })
    .await;
    let alice = gateway.client("alice");
    let params = json!({ "name": "echo", "arguments": { "text": "hi" }, "_meta": { "progressToken": "p" } });
    let mut stream = alice.modern_stream("tools/call", params).await;
    assert_eq!((stream.status.as_u16(), stream.headers["content-type"].as_bytes()), (200, &b"text/event-stream"[..]));
    let (one, two) = (soon(stream.message()).await.unwrap(), soon(stream.message()).await.unwrap());
    let row = waiting(&gateway).await;
    assert_eq!((&one["method"], &one["params"]["progressToken"]), (&json!("notifications/progress"), &json!("p")));
    assert!(one["params"]["message"].as_str().unwrap().ends_with(row.approval.id.as_str()), "{one}");
    assert!(one["params"]["progress"].as_f64() < two["params"]["progress"].as_f64());
    assert!(upstream.calls("tools/call").is_empty());

    say(&gateway, &row, "bob", Word::Approve).await;
    let told = soon(async {
        loop {
            let message = stream.message().await.unwrap();
            if message["id"] == 1 {
                return message;
            }
        }
    })
    .await;
    assert_eq!(told["result"]["content"][0]["text"], "done", "{told}");
    assert_eq!(soon(stream.message()).await, None);
    assert_eq!(upstream.calls("tools/call").len(), 1);
    let done = become_of(&gateway, State::Done).await;
    assert_eq!(done.outcome.as_deref(), Some("success"));

    let records = gateway.records().await;
    let decided: Vec<_> =
        records.iter().filter(|line| line["event"] == "call.decided" && line["method"] == "tools/call").collect();
    assert_eq!(decided.len(), 1, "{decided:?}");
    let details = &decided[0]["details"];
    assert_eq!((&decided[0]["effect"], &decided[0]["rule"]), (&json!("allow"), &json!("careful")));
    assert_eq!(details["approval"], row.approval.id.as_str());
    assert_eq!(details["approved_by"], "bob (session)", "{details}");
    assert!(records.iter().any(|line| line["event"] == "approval.asked"));
}

#[tokio::test]
async fn a_client_that_reads_no_streams_waits_for_its_json() {
    let (gateway, upstream) = careful(Speaks::Modern, |_| {}).await;
    let alice = gateway.client("alice");
    let (mut headers, body) = modern("tools/call", json!({ "name": "echo", "arguments": {} }));
    headers.push(("content-type".into(), "application/json".into()));
    headers.push(("accept".into(), "application/json".into()));
    let headers = borrowed(&headers);
    let called = alice.exchange(http::Method::POST, &headers, body.to_string());
    let (got, _) = tokio::join!(soon(called), approve(&gateway));
    assert_eq!((got.header("content-type"), &got.json()["id"]), ("application/json", &json!(1)));
    assert_eq!(upstream.calls("tools/call").len(), 1);
}

// spec: T-107, BR-50, BR-60
#[tokio::test]
async fn a_client_that_opens_pages_is_asked_to_and_waits_when_it_comes_back() {
    let (gateway, upstream) = careful(Speaks::Modern, briefly).await;
    let alice = gateway.client("alice");
    let first = call_with_pages(&alice, json!({})).await;
    let row = waiting(&gateway).await;
    let request = first["result"]["inputRequests"]["approve"].clone();
    assert_eq!((&first["result"]["resultType"], &request["params"]["mode"]), (&json!("input_required"), &json!("url")));
    let link = format!("{}/approvals/{}", gateway.public_url, row.approval.id);
    assert_eq!(request["params"]["url"], link.as_str(), "{first}");
    // That the client says its person agreed is no approval: it waits, and is asked again.
    let back = |told: &Value, action: &str| json!({ "requestState": told["result"]["requestState"], "inputResponses": { "approve": { "action": action } } });
    let again = crate::gate::sent_with_pages(&alice, back(&first, "accept")).await;
    let again = answer(&again);
    assert_eq!(again["result"]["resultType"], "input_required", "{again}");
    assert_eq!(asked(&gateway).await.len(), 1);
    assert!(upstream.calls("tools/call").is_empty());

    let comes = back(&again, "accept");
    let (told, ()) = tokio::join!(
        soon(crate::gate::sent_with_pages(&alice, comes.clone())),
        say(&gateway, &row, "alice", Word::Approve)
    );
    let told = answer(&told);
    assert_eq!(told["result"]["content"][0]["text"], "done", "{told}");
    let seen = upstream.calls("tools/call");
    assert_eq!(seen.len(), 1);
    for ours in ["requestState", "inputResponses"] {
        assert_eq!(seen[0].body["params"][ours], Value::Null, "{ours}");
    }
    // What was brought back once more makes nothing again.
    let told = answer(&crate::gate::sent_with_pages(&alice, comes).await);
    assert!(unmade(&told).contains("another request has made it"), "{told}");
    assert_eq!((upstream.calls("tools/call").len(), asked(&gateway).await.len()), (1, 1));
}

#[tokio::test]
async fn a_page_that_is_not_opened_ends_the_call_and_leaves_the_question_open() {
    let (gateway, upstream) = careful(Speaks::Modern, briefly).await;
    let alice = gateway.client("alice");
    let first = call_with_pages(&alice, json!({})).await;
    let declined = json!({ "requestState": first["result"]["requestState"],
        "inputResponses": { "approve": { "action": "decline" } } });
    let told = call_with_pages(&alice, declined).await;
    assert!(unmade(&told).contains("was not opened"), "{told}");
    assert_eq!(waiting(&gateway).await.approval.state, State::Pending);
    assert!(upstream.calls("tools/call").is_empty());
}

#[tokio::test]
async fn a_client_is_not_asked_for_the_same_page_for_ever() {
    let (gateway, _) = careful(Speaks::Modern, at_once).await;
    let alice = gateway.client("alice");
    let mut told = call_with_pages(&alice, json!({})).await;
    for round in 1..8 {
        let state = told["result"]["requestState"].clone();
        assert!(state.is_string(), "{round}: {told}");
        let back = json!({ "requestState": state, "inputResponses": { "approve": { "action": "accept" } } });
        told = call_with_pages(&alice, back).await;
    }
    let back = json!({ "requestState": told["result"]["requestState"], "inputResponses": {} });
    let told = call_with_pages(&alice, back).await;
    assert!(unmade(&told).contains("Nobody has decided yet"), "{told}");
}

#[tokio::test]
async fn a_call_that_was_held_long_enough_can_be_made_again_and_goes_on_then() {
    let (gateway, upstream) = careful(Speaks::Modern, at_once).await;
    let alice = gateway.client("alice");
    let told = answer(&echo(&alice).await);
    let row = waiting(&gateway).await;
    let text = unmade(&told);
    for part in ["careful", row.approval.id.as_str(), "UTC", "Make the same call again"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_eq!(told["result"]["resultType"], "complete");
    say(&gateway, &row, "alice", Word::Approve).await;
    assert_eq!(answer(&echo(&alice).await)["result"]["content"][0]["text"], "done");
    assert_eq!((upstream.calls("tools/call").len(), asked(&gateway).await.len()), (1, 1));
    // It was good once.
    assert!(unmade(&answer(&echo(&alice).await)).contains("Nobody has decided"));
    assert_eq!((upstream.calls("tools/call").len(), asked(&gateway).await.len()), (1, 2));
    let records = gateway.records().await;
    let effects: Vec<_> = records
        .iter()
        .filter(|line| line["event"] == "call.decided" && line["method"] == "tools/call")
        .map(|line| json!([line["effect"], line["outcome"], line["details"]["became"]]))
        .collect();
    let asks = json!(["ask", "denied", "pending"]);
    assert_eq!(effects, [asks.clone(), json!(["allow", null, null]), asks], "{effects:?}");
}

// spec: T-80
#[tokio::test]
async fn what_runs_is_what_was_approved_byte_by_byte() {
    for speaks in [Speaks::Modern, Speaks::Legacy] {
        let (gateway, upstream) = careful(speaks, at_once).await;
        let alice = gateway.client("alice");
        let session = if speaks == Speaks::Legacy { alice.initialize().await } else { String::new() };
        let called = async |arguments: &str| {
            let (mut headers, mut body) = modern("tools/call", json!({ "name": "echo", "arguments": "x" }));
            if speaks == Speaks::Legacy {
                headers = vec![("mcp-session-id".into(), session.clone())];
                body = call(1, "echo");
                body["params"]["arguments"] = "x".into();
            }
            headers.push(("content-type".into(), "application/json".into()));
            headers.push(("accept".into(), "application/json".into()));
            let body = body.to_string().replace("\"x\"", arguments);
            alice.exchange(http::Method::POST, &borrowed(&headers), body).await
        };
        let asked_for = r#"{"b":{"y":1,"x":2e2},"a":"\u00e9"}"#;
        unmade(&answer(&called(asked_for).await));
        approve(&gateway).await;
        let told = answer(&called(r#"{"a":"é", "b":{"x":200,"y":1.0}}"#).await);
        assert!(told["result"].is_object(), "{told}");
        let seen = upstream.calls("tools/call");
        assert_eq!(seen.len(), 1);
        let raw = std::str::from_utf8(&seen[0].raw).unwrap();
        assert!(raw.contains(asked_for), "{raw}");
        // Another argument is another call.
        unmade(&answer(&called(r#"{"a":"é","b":{"x":201,"y":1}}"#).await));
        assert_eq!((upstream.calls("tools/call").len(), asked(&gateway).await.len()), (1, 2));
    }
}

#[tokio::test]
async fn a_client_that_went_away_makes_nothing_happen_and_may_come_back() {
    let (gateway, upstream) = careful(Speaks::Modern, |_| {}).await;
    let alice = gateway.client("alice");
    let params = json!({ "name": "echo", "arguments": { "text": "hi" } });
    let stream = alice.modern_stream("tools/call", params).await;
    let row = waiting(&gateway).await;
    assert_eq!(gateway.approvals.waiters(), 1);
    drop(stream);
    soon(async {
        while gateway.approvals.waiters() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    say(&gateway, &row, "alice", Word::Approve).await;
    assert_eq!(asked(&gateway).await[0].approval.state, State::Granted);
    assert!(upstream.calls("tools/call").is_empty());
    assert_eq!(answer(&soon(echo(&alice)).await)["result"]["content"][0]["text"], "done");
    assert_eq!((upstream.calls("tools/call").len(), asked(&gateway).await.len()), (1, 1));
}

// spec: T-81, T-84
#[tokio::test]
async fn two_that_wait_for_one_approval_make_one_call() {
    let (gateway, upstream) = careful(Speaks::Modern, |_| {}).await;
    let alice = gateway.client("alice");
    let both = async { tokio::join!(soon(echo(&alice)), soon(echo(&alice))) };
    let approved = async {
        let row = waiting(&gateway).await;
        // Both are here before anybody answers.
        soon(async {
            while gateway.approvals.waiters() < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        say(&gateway, &row, "alice", Word::Approve).await;
    };
    let ((one, two), ()) = tokio::join!(both, approved);
    let answers = [answer(&one), answer(&two)];
    let made = answers.iter().filter(|answer| answer["result"]["isError"] != true).count();
    assert_eq!((made, upstream.calls("tools/call").len(), asked(&gateway).await.len()), (1, 1, 1), "{answers:?}");
    let other = answers.iter().find(|answer| answer["result"]["isError"] == true).unwrap();
    assert!(unmade(other).contains("another request has made it"), "{other}");
}

#[tokio::test]
async fn who_refused_and_why_is_told_and_the_same_is_not_asked_at_once() {
    let (gateway, upstream) = careful(Speaks::Modern, |_| {}).await;
    let alice = gateway.client("alice");
    let refused = async {
        let row = waiting(&gateway).await;
        say(&gateway, &row, "bob", Word::Refuse("too much".into())).await;
    };
    let (got, ()) = tokio::join!(soon(echo(&alice)), refused);
    let told = answer(&got);
    assert!(unmade(&told).contains("bob refused it: too much"), "{told}");
    let told = answer(&soon(echo(&alice)).await);
    assert!(unmade(&told).contains("refused a short while ago") && unmade(&told).contains("UTC"), "{told}");
    assert!(upstream.calls("tools/call").is_empty());
}

// spec: T-81
#[tokio::test]
async fn what_nobody_answers_in_time_ends_and_what_is_taken_back_too() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let (servers, time) = (vec![("fake", upstream.at)], Some(clock.clone()));
    let gateway = Gateway::start(Setup { servers, rules: ASKS, clock: time, ..Setup::default() }).await;
    let alice = gateway.client("alice");
    let late = async {
        waiting(&gateway).await;
        clock.advance(Duration::from_mins(16));
        gateway.approvals.expire().await.unwrap();
    };
    let (got, ()) = tokio::join!(soon(echo(&alice)), late);
    assert!(unmade(&answer(&got)).contains("Nobody approved it in time"), "{got:?}");
    let back = async {
        let row = waiting(&gateway).await;
        gateway.approvals.withdraw(&row.approval.id, &PersonId::new("alice"), Actor::default()).await.unwrap();
    };
    let alice = gateway.client("alice");
    let (got, ()) = tokio::join!(soon(echo(&alice)), back);
    assert!(unmade(&answer(&got)).contains("took it back"), "{got:?}");
    assert!(upstream.calls("tools/call").is_empty());
}

// spec: T-80, T-96
#[tokio::test]
async fn the_rules_of_the_moment_decide_whether_what_was_approved_is_made() {
    let (gateway, upstream) = careful(Speaks::Modern, |_| {}).await;
    let alice = gateway.client("alice");
    // Forbidden meanwhile.
    let changed = async {
        let row = waiting(&gateway).await;
        in_force(&gateway, "- { rule: never, who: '*', what: fake/echo, then: deny }\n");
        say(&gateway, &row, "alice", Word::Approve).await;
    };
    let (got, ()) = tokio::join!(soon(echo(&alice)), changed);
    let told = answer(&got);
    assert_eq!(told["error"]["code"], -32602, "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("never"), "{told}");
    assert!(upstream.calls("tools/call").is_empty());
    assert_eq!(asked(&gateway).await[0].approval.state, State::Granted);

    // Somebody else has to agree meanwhile: what was said does not count for that.
    in_force(
        &gateway,
        "- { rule: careful, who: '*', what: fake/echo, then: ask, ask: { approvers: ['person:bob'] } }\n",
    );
    let agreed = async {
        let row = waiting(&gateway).await;
        say(&gateway, &row, "bob", Word::Approve).await;
    };
    let (got, ()) = tokio::join!(soon(echo(&alice)), agreed);
    assert_eq!(answer(&got)["result"]["content"][0]["text"], "done", "{got:?}");
    assert_eq!(asked(&gateway).await.len(), 2);

    // Made stricter while it waits: it goes on waiting, for that.
    in_force(&gateway, ASKS);
    let stricter = async {
        let row = waiting(&gateway).await;
        in_force(
            &gateway,
            "- { rule: more, who: '*', what: fake/echo, then: ask, ask: { approvers: ['person:bob'] } }\n",
        );
        say(&gateway, &row, "alice", Word::Approve).await;
        let next = waiting(&gateway).await;
        assert_eq!(&*next.rule, "more");
        assert_eq!(upstream.calls("tools/call").len(), 1);
        say(&gateway, &next, "bob", Word::Approve).await;
    };
    let call = alice.modern("tools/call", json!({ "name": "echo", "arguments": { "text": "other" } }));
    let (got, ()) = tokio::join!(soon(call), stricter);
    assert_eq!(answer(&got)["result"]["content"][0]["text"], "done", "{got:?}");
    assert_eq!(upstream.calls("tools/call").len(), 2);
}

// spec: T-53, RS-25
#[tokio::test]
async fn whoever_loses_their_access_or_is_here_when_the_gateway_stops_waits_no_longer() {
    let (gateway, upstream) = careful(Speaks::Modern, |_| {}).await;
    let alice = gateway.client("alice");
    let stopped = async {
        waiting(&gateway).await;
        gateway.ended.close();
    };
    let (got, ()) = tokio::join!(soon(echo(&alice)), stopped);
    let told = answer(&got);
    assert!(
        unmade(&told).contains("the gateway stops") && unmade(&told).contains("Make the same call again"),
        "{told}"
    );
    assert_eq!(waiting(&gateway).await.approval.state, State::Pending);

    let (gateway, _) = careful(Speaks::Modern, |_| {}).await;
    let alice = gateway.client("alice");
    let revoked = async {
        waiting(&gateway).await;
        gateway.ended.end_grants([crate::harness::grant("alice")], gateway.now());
    };
    let (got, ()) = tokio::join!(soon(echo(&alice)), revoked);
    assert!(unmade(&answer(&got)).contains("access was revoked"), "{got:?}");
    assert!(upstream.calls("tools/call").is_empty());
}

// spec: T-87
#[tokio::test]
async fn a_run_has_an_end_however_it_ends() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        (seen.rpc() == "tools/call").then(|| match seen.body["params"]["arguments"]["text"].as_str() {
            Some("breaks") => Reply::status(500),
            Some("silent") => Reply::Silence,
            _ => Reply::json(200, &seen.result(json!({ "isError": true, "content": [] }))),
        })
    })
    .await;
    let gateway = Gateway::start(Setup { servers: vec![("fake", upstream.at)], rules: ASKS, ..Setup::default() }).await;
    let alice = gateway.client("alice");
    for text in ["breaks", "says no"] {
        let params = json!({ "name": "echo", "arguments": { "text": text } });
        let (_, _) = tokio::join!(soon(alice.modern("tools/call", params)), approve(&gateway));
        assert_eq!(become_of(&gateway, State::Done).await.outcome.as_deref(), Some("failure"), "{text}");
    }
    // Whoever goes away in the middle of it has it end too.
    let params = json!({ "name": "echo", "arguments": { "text": "silent" } });
    let stream = alice.modern_stream("tools/call", params).await;
    approve(&gateway).await;
    soon(async {
        while upstream.calls("tools/call").len() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(stream);
    assert_eq!(become_of(&gateway, State::Done).await.outcome.as_deref(), Some("unknown"));
}

#[tokio::test]
async fn what_is_asked_about_is_listed_and_nobody_is_asked_about_what_cannot_be_made() {
    let (gateway, upstream) = careful(Speaks::Modern, |_| {}).await;
    let listed = gateway.client("alice").modern("tools/list", json!({})).await;
    assert!(names(&listed, "tools", "name").contains(&"echo".to_owned()), "{listed:?}");
    drop(upstream);

    let upstream = Upstream::start(Speaks::Modern).await;
    let servers = vec![("fake", upstream.at)];
    let gateway = Gateway::start(Setup { servers, rules: ASKS, credential: oauth(), ..Setup::default() }).await;
    let told = answer(&soon(echo(&gateway.client("alice"))).await);
    assert!(unmade(&told).contains("connect"), "{told}");
    assert!(asked(&gateway).await.is_empty());
}
