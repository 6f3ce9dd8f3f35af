//! What single people were given for a while, as calls meet it; and the way to it that a refusal tells.

use std::{sync::Arc, time::Duration};

use portcullis_base::{AccessGrantId, Class, Classes, ManualClock, PersonId, Timestamp};
use portcullis_policy::{Access, Origin, Right};
use serde_json::{Value, json};

use crate::{
    classes::{listing, orders},
    harness::{Client, Gateway, Setup, nobodys_access},
    toolbox::names,
    upstream::{Speaks, Upstream},
};

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_hours(1);

/// Alice has these classes for an hour, and nobody else has anything.
fn given(classes: Classes, tool: Option<&str>, origin: Origin) -> Access {
    let right = Right {
        id: AccessGrantId::new("acg_1"),
        person: PersonId::new("alice"),
        classes,
        tool: tool.map(Into::into),
        origin,
        ends_at: START.plus(HOUR),
    };
    Access { rights: vec![right], ..nobodys_access() }
}

async fn gateway(upstream: &Upstream, access: Access, rules: &'static str) -> (Gateway, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    let servers = vec![("fake", upstream.at)];
    let setup = Setup { servers, access, rules, clock: Some(clock.clone()), ..Setup::default() };
    (Gateway::start(setup).await, clock)
}

async fn call(client: &Client, tool: &str) -> (u16, Value) {
    let got = client.modern("tools/call", json!({ "name": tool, "arguments": {} })).await;
    (got.status.as_u16(), got.json())
}

/// spec: T-55, T-53
#[tokio::test]
async fn right_lets_one_person_in_and_ends_without_a_word_of_anybody() {
    let upstream = listing(Speaks::Modern, |_| orders()).await;
    let (gateway, clock) = gateway(&upstream, given(Class::Read.into(), None, Origin::Request), "").await;
    let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
    let got = alice.modern("tools/list", json!({})).await;
    assert_eq!(names(&got, "tools", "name"), ["get_order"], "and no more than they were given");
    assert!(call(&alice, "get_order").await.1["result"].is_object());
    let (status, refused) = call(&bob, "get_order").await;
    let text = refused["error"]["message"].as_str().unwrap();
    assert!(status == 404 && text.ends_with(&format!("{}/access/fake", gateway.public_url)), "{text}");

    // A class that is not in the lists: the refusal says where to ask for it, whether there is such a tool or not.
    let mut told = Vec::new();
    for tool in ["delete_order", "delete_cloud"] {
        let (status, refused) = call(&alice, tool).await;
        let text = refused["error"]["message"].as_str().unwrap().to_owned();
        assert!(text.ends_with(&format!("{}/access/fake?tool={tool}", gateway.public_url)), "{text}");
        told.push((status, refused["error"]["code"].clone(), text.replace(tool, "TOOL")));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(upstream.calls("tools/call").len(), 1);
    let records = gateway.records().await;
    let decided = records.iter().filter(|line| line["event"] == "call.decided");
    assert!(decided.clone().count() > 1);
    for line in decided {
        assert_eq!(
            (&line["details"]["right"], &line["details"]["break_glass"]),
            (&json!("acg_1"), &Value::Null),
            "{line}"
        );
    }

    clock.advance(HOUR);
    // With a token of that moment, so that only the right is over.
    let alice = gateway.client("alice");
    assert_eq!(call(&alice, "get_order").await.0, 404);
    assert_eq!(alice.modern("tools/list", json!({})).await.status, 404);
}

/// spec: T-60
#[tokio::test]
async fn broken_glass_lets_through_what_no_rule_denies_and_every_call_says_so() {
    let rules = "
- {rule: no-deletes, who: ['*'], what: ['fake/delete_order'], then: deny}
";
    let upstream = listing(Speaks::Modern, |_| {
        let mut tools = orders();
        tools.as_array_mut().unwrap().push(json!({ "name": "drop_table", "description": "Drops a table.",
            "inputSchema": { "type": "object" } }));
        tools
    })
    .await;
    let every: Classes = Class::ALL.iter().copied().collect();
    let (gateway, _) = gateway(&upstream, given(every, None, Origin::BreakGlass), rules).await;
    let alice = gateway.client("alice");
    assert!(call(&alice, "drop_table").await.1["result"].is_object());
    let (_, refused) = call(&alice, "delete_order").await;
    let text = refused["error"]["message"].as_str().unwrap();
    // What a rule denies is not to be asked for.
    assert!(text.contains("no-deletes") && !text.contains("/access/"), "{text}");
    let records = gateway.records().await;
    let decided: Vec<_> = records.iter().filter(|line| line["event"] == "call.decided").collect();
    assert!(decided.len() > 1 && decided.iter().all(|line| line["details"]["break_glass"] == "acg_1"), "{decided:?}");
}

/// spec: T-75
#[tokio::test]
async fn right_to_one_tool_opens_no_other() {
    let upstream = listing(Speaks::Modern, |_| orders()).await;
    let (gateway, _) = gateway(&upstream, given(Class::Read.into(), Some("get_order"), Origin::Request), "").await;
    let alice = gateway.client("alice");
    assert!(call(&alice, "get_order").await.1["result"].is_object());
    assert_eq!(call(&alice, "delete_order").await.1["error"]["code"], -32602);
    // Of the classes of that tool, but not that tool.
    assert_eq!(call(&alice, "get_orders").await.1["error"]["code"], -32602);
    assert_eq!(names(&alice.modern("tools/list", json!({})).await, "tools", "name"), ["get_order"]);
    assert_eq!(upstream.calls("tools/call").len(), 1);
}
