//! A decision point of the company, which is asked before calls go on: what it is told, what its answers do, and that nothing
//! goes on without one.

use std::{sync::Arc, time::Duration};

use portcullis_base::{Clock, ManualClock, Secret, Timestamp};
use portcullis_gateway::{
    config::{self, SentArguments, Tls},
    decision_point::DecisionPoint,
    outbound::{AddressPolicy, Dialer, Outbound},
};
use portcullis_policy::Access;
use serde_json::{Value, json};
use url::Url;

use crate::{
    harness::{Client, Gateway, Setup},
    upstream::{After, Reply, Seen, Speaks, Upstream, soon},
};

/// A decision point that says what `says` says.
async fn point(says: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Upstream {
    Upstream::with(Speaks::Modern, move |seen| Some(says(seen))).await
}

fn yes() -> Reply {
    Reply::json(200, &json!({ "decision": true, "new": [1] }))
}

/// What the settings say of `at`, if `change` says nothing else.
fn settings(at: &str, change: impl FnOnce(&mut config::DecisionPoint)) -> config::DecisionPoint {
    let mut settings = config::DecisionPoint {
        url: Url::parse(&format!("http://{at}")).unwrap(),
        token: Some(Secret::new("for-the-decision-point".into())),
        tls: Tls::default(),
        timeout: Duration::from_secs(5),
        cache: Duration::from_secs(10),
        arguments: SentArguments::Nothing,
        servers: None,
    };
    change(&mut settings);
    settings
}

struct Scene {
    gateway: Gateway,
    fake: Upstream,
    clock: Arc<ManualClock>,
}

/// A gateway that asks `settings`, before a server `fake` that does everything.
async fn scene(settings: &config::DecisionPoint, setup: Setup) -> Scene {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let at = format!("127.0.0.1:{}", settings.url.port().unwrap());
    let outbound = Outbound::new(Dialer::new([]).unwrap(), AddressPolicy::naming([at.as_str()]).unwrap());
    let asked: Arc<dyn Clock> = clock.clone();
    let decision_point = Arc::new(DecisionPoint::new(Some(settings), &outbound, &asked).unwrap());
    let fake = Upstream::start(Speaks::Modern).await;
    let servers = vec![("fake", fake.at)];
    let setup = Setup { servers, decision_point, clock: Some(clock.clone()), ..setup };
    Scene { gateway: Gateway::start(setup).await, fake, clock }
}

/// What a call comes to: `done`, or what is said of it.
async fn called(client: &Client, tool: &str, arguments: Value) -> Value {
    let got = client.modern("tools/call", json!({ "name": tool, "arguments": arguments })).await.json();
    if got["result"].is_object() { "done".into() } else { got["error"]["message"].clone() }
}

/// The rule and the reason of the last decision about a tool.
async fn recorded(gateway: &Gateway) -> (Value, Value) {
    let records = gateway.records().await;
    let mut decided = records.iter().filter(|line| line["event"] == "call.decided" && line["method"] == "tools/call");
    let last = decided.next_back().unwrap();
    (last["rule"].clone(), last["details"]["reason"].clone())
}

// spec: AUTHZEN#access-evaluation-request, AUTHZEN#security-json
#[tokio::test]
async fn a_question_says_who_wants_what_and_its_answer_decides() {
    let point = point(|seen| match seen.body["resource"]["properties"]["name"].as_str() {
        Some("echo") => yes(),
        Some("plain") => Reply::json(200, &json!({ "decision": false })),
        _ => Reply::json(
            200,
            &json!({ "decision": false, "context": { "reason_admin": { "403": "policy 7" }, "reason_user": { "403": "Ask \u{7}Ana." } } }),
        ),
    })
    .await;
    let Scene { gateway, fake, .. } = scene(&settings(&point.at.to_string(), |_| {}), Setup::default()).await;
    let alice = gateway.client("alice");
    assert!(alice.modern("tools/list", json!({})).await.json()["result"]["tools"].is_array());
    assert!(point.seen().is_empty(), "lists are not asked about");

    assert_eq!(called(&alice, "echo", json!({ "message": "not for others" })).await, "done");
    let [asked] = &point.seen()[..] else { panic!("one question") };
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/access/v1/evaluation"));
    assert_eq!(asked.header("content-type"), "application/json");
    assert_eq!(asked.header("authorization"), "Bearer for-the-decision-point");
    let mut question = asked.body.clone();
    let time = question["context"]["time"].take();
    assert!(time.as_str().unwrap().starts_with("2027-01-15T"), "{time}");
    let agent = question["context"]["agent"].take();
    assert!(agent.is_string());
    let properties = json!({ "server": "fake", "name": "echo",
        "classes": question["resource"]["properties"]["classes"].clone(), "labels": question["resource"]["properties"]["labels"].clone() });
    assert_eq!(
        question,
        json!({
            "subject": { "type": "user", "id": "alice", "properties": { "name": "alice", "groups": ["staff"],
                "roles": question["subject"]["properties"]["roles"].clone() } },
            "action": { "name": "tools/call" },
            "resource": { "type": "tool", "id": "fake/echo", "properties": properties },
            "context": { "agent": null, "time": null, "ip": "127.0.0.1" },
        })
    );
    assert!(!asked.raw.windows(14).any(|window| window == b"not for others"));

    assert_eq!(called(&alice, "plain", json!({})).await, "The decision point of this gateway denies it.");
    assert_eq!(recorded(&gateway).await, ("decision_point".into(), "denied".into()));
    let told = called(&alice, "other", json!({})).await;
    assert!(told.as_str().unwrap().starts_with("The decision point of this gateway denies it: Ask "), "{told}");
    assert!(!told.as_str().unwrap().contains('\u{7}') && !told.as_str().unwrap().contains("policy 7"), "{told}");
    assert_eq!(recorded(&gateway).await, ("decision_point".into(), "policy 7".into()));
    assert_eq!(fake.calls("tools/call").len(), 1);
}

/// What is said to a question.
type Says = Box<dyn Fn() -> Reply + Send + Sync>;

// spec: AUTHZEN#decision, AUTHZEN#transport-https-json
#[tokio::test]
async fn nothing_goes_on_without_a_plain_yes() {
    let text = |body: String| Reply::Whole(200, vec![("content-type", "application/json".into())], body.into());
    let large = format!(r#"{{"decision":true,"context":{{"x":"{}"}}}}"#, "x".repeat(70_000));
    let cases: Vec<(&str, Says)> = vec![
        ("an error", Box::new(|| Reply::json(500, &json!({ "decision": true })))),
        ("its token is refused", Box::new(|| Reply::json(401, &json!({ "decision": true })))),
        ("made, not answered", Box::new(|| Reply::json(201, &json!({ "decision": true })))),
        ("elsewhere", Box::new(|| Reply::json(307, &json!({ "decision": true })).with("location", "/yes"))),
        (
            "a page",
            Box::new(|| Reply::Whole(200, vec![("content-type", "text/html".into())], "{\"decision\":true}".into())),
        ),
        ("packed", Box::new(|| yes().with("content-encoding", "gzip"))),
        ("no JSON", Box::new(move || text("yes".into()))),
        ("no object", Box::new(move || text("true".into()))),
        ("nothing said", Box::new(move || text("{}".into()))),
        ("a text", Box::new(move || text(r#"{"decision":"true"}"#.into()))),
        ("a number", Box::new(move || text(r#"{"decision":1}"#.into()))),
        ("both", Box::new(move || text(r#"{"decision":false,"decision":true}"#.into()))),
        ("more than fits", Box::new(move || text(large.clone()))),
        (
            "broken off",
            Box::new(|| {
                Reply::Events(vec![("content-length", "900".into())], vec![r#"{"decision":true}"#.into()], After::Break)
            }),
        ),
        ("silence", Box::new(|| Reply::Silence)),
    ];
    for (name, says) in cases {
        let point = point(move |_| says()).await;
        let impatient = |settings: &mut config::DecisionPoint| settings.timeout = Duration::from_millis(500);
        let Scene { gateway, fake, .. } = scene(&settings(&point.at.to_string(), impatient), Setup::default()).await;
        let told = soon(called(&gateway.client("alice"), "echo", json!({}))).await;
        assert!(told.as_str().unwrap().contains("gives no answer"), "{name}: {told}");
        let (rule, reason) = recorded(&gateway).await;
        assert_eq!(rule, "decision_point", "{name}");
        assert!(reason.as_str().unwrap().starts_with("no answer: "), "{name}: {reason}");
        assert!(fake.calls("tools/call").is_empty() && !point.seen().is_empty(), "{name}");
    }
    // Nobody is there.
    let gone = Scene { ..scene(&settings("127.0.0.1:1", |_| {}), Setup::default()).await };
    let told = called(&gone.gateway.client("alice"), "echo", json!({})).await;
    assert!(told.as_str().unwrap().contains("gives no answer"), "{told}");
    assert!(gone.fake.calls("tools/call").is_empty());
}

// spec: AUTHZEN#decision
#[tokio::test]
async fn a_yes_gives_nothing_that_the_rules_do_not() {
    let point = point(|_| yes()).await;
    let rules = "- { rule: no-purge, who: '*', what: fake/purge, then: deny }\n";
    let setup = Setup { rules, access: Access::default(), ..Setup::default() };
    let Scene { gateway, fake, .. } = scene(&settings(&point.at.to_string(), |_| {}), setup).await;
    let alice = gateway.client("alice");
    assert!(called(&alice, "purge", json!({})).await.as_str().unwrap().contains("no-purge"));
    assert!(point.seen().is_empty(), "what is denied here is not put to it");
    let asks = called(&alice, "frobnicate", json!({}));
    tokio::pin!(asks);
    loop {
        tokio::select! {
            said = &mut asks => break assert_ne!(said, "done"),
            () = tokio::time::sleep(Duration::from_millis(20)) => if !point.seen().is_empty() { break },
        }
    }
    assert!(fake.calls("tools/call").is_empty(), "it still waits for a human");
}

#[tokio::test]
async fn a_no_keeps_humans_from_being_asked() {
    let point = point(|_| Reply::json(200, &json!({ "decision": false }))).await;
    let setup = Setup { access: Access::default(), ..Setup::default() };
    let Scene { gateway, .. } = scene(&settings(&point.at.to_string(), |_| {}), setup).await;
    let told = soon(called(&gateway.client("alice"), "frobnicate", json!({}))).await;
    assert_eq!(told, "The decision point of this gateway denies it.");
    assert_eq!(recorded(&gateway).await.0, "decision_point");
}

#[tokio::test]
async fn answers_are_remembered_for_a_while_and_for_the_same_question_only() {
    let point = point(|seen| match seen.body["resource"]["properties"]["name"].as_str() {
        Some("now") => yes().with("cache-control", "no-store"),
        _ => yes(),
    })
    .await;
    let whole = |settings: &mut config::DecisionPoint| settings.arguments = SentArguments::Whole;
    let Scene { gateway, clock, .. } = scene(&settings(&point.at.to_string(), whole), Setup::default()).await;
    let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
    let one = json!({ "amount": 1.50 });
    let (first, second) = tokio::join!(called(&alice, "echo", one.clone()), called(&alice, "echo", one.clone()));
    assert_eq!((first, second), ("done".into(), "done".into()));
    let asked = || point.seen().len();
    assert_eq!(asked(), 1);
    assert_eq!(point.seen()[0].body["action"], json!({ "name": "tools/call", "properties": { "arguments": one } }));
    assert_eq!(called(&alice, "echo", json!({ "amount": 2 })).await, "done");
    assert_eq!(called(&bob, "echo", one.clone()).await, "done");
    assert_eq!(called(&alice, "other", one.clone()).await, "done");
    assert_eq!(asked(), 4);
    clock.advance(Duration::from_secs(9));
    assert_eq!(called(&alice, "echo", one.clone()).await, "done");
    assert_eq!(asked(), 4);
    clock.advance(Duration::from_secs(1));
    assert_eq!(called(&alice, "echo", one.clone()).await, "done");
    assert_eq!(asked(), 5);
    for more in 6..8 {
        assert_eq!(called(&alice, "now", json!({})).await, "done");
        assert_eq!(asked(), more, "it said that its answer is not to be kept");
    }
}

#[tokio::test]
async fn it_is_asked_about_the_servers_that_are_named() {
    let point = point(|_| Reply::status(500)).await;
    let elsewhere = |settings: &mut config::DecisionPoint| {
        settings.servers = Some(vec![portcullis_base::ServerName::parse("other").unwrap()]);
    };
    let Scene { gateway, .. } = scene(&settings(&point.at.to_string(), elsewhere), Setup::default()).await;
    assert_eq!(called(&gateway.client("alice"), "echo", json!({})).await, "done");
    assert!(point.seen().is_empty());
}
