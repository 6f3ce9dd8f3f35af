//! What clients see of a server while their person has nothing there, and what they hear when that changes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http::Method;
use portcullis_base::{Holder, PersonId, ServerName};
use portcullis_gateway::config::ToolList;
use serde_json::{Value, json};

use crate::{
    gate::{Gate, auto, behind, clocked, guarded, initialize_with, oauth},
    harness::{Gateway, Setup, borrowed, modern},
    upstream::{Reply, Speaks, Upstream, soon},
};

/// spec: T-50, UP-68, BR-90, BR-92, AG-16
#[tokio::test]
async fn tools_stay_listed_when_a_grant_ends_and_are_shown_to_nobody_else() {
    let (upstream, gate) = guarded(Speaks::Modern, &["alice-at-fake"]).await;
    let gateway = behind(&upstream, auto()).await;
    gateway.connect("alice", "alice-at-fake").await;
    let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
    let names = |listed: &Value| -> Vec<String> {
        let tools = listed["result"]["tools"].as_array().unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    let listed = alice.modern("tools/list", json!({})).await;
    assert_eq!(names(&listed.json()), ["echo", "regional"]);
    assert_eq!(listed.json()["result"]["cacheScope"], "private");
    assert_eq!((listed.header("cache-control"), listed.header("vary")), ("no-store", "Authorization"));
    let written = async {
        let holder = Holder::Person(PersonId::new("alice"));
        let server = ServerName::parse("fake").unwrap();
        while gateway.store.tool_list(&server, Some(&holder)).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    soon(written).await;

    gate.let_in(&[]);
    gateway.issuer.ended.store(true, Ordering::SeqCst);
    let listed = alice.modern("tools/list", json!({})).await;
    assert_eq!(names(&listed.json()), ["echo", "regional"], "{listed:?}");
    assert_eq!(listed.json()["result"]["ttlMs"], 0);
    let listed = bob.modern("tools/list", json!({})).await;
    assert!(names(&listed.json()).is_empty(), "{listed:?}");
    let discovered = bob.modern("server/discover", json!({})).await.json();
    assert!(discovered["result"]["instructions"].as_str().unwrap().contains("/connections/fake"), "{discovered}");
    assert_eq!(discovered["result"]["cacheScope"], "private");
}

/// spec: UP-68
#[tokio::test]
async fn a_public_list_is_shown_to_whoever_may_use_the_server() {
    let (upstream, _gate) = guarded(Speaks::Modern, &["alice-at-fake"]).await;
    let setup = Setup {
        servers: vec![("fake", upstream.at)],
        credential: oauth(),
        tools: ToolList::Public,
        ..Setup::default()
    };
    let gateway = Gateway::start(setup).await;
    gateway.connect("alice", "alice-at-fake").await;
    gateway.client("alice").modern("tools/list", json!({})).await;
    let bob = gateway.client("bob");
    let shown = async {
        while bob.modern("tools/list", json!({})).await.json()["result"]["tools"][0]["name"] != "echo" {
            tokio::task::yield_now().await;
        }
    };
    soon(shown).await;
}

/// spec: TR-65, TR-68
#[tokio::test]
async fn a_listener_hears_that_its_person_has_connected() {
    let (upstream, _gate) = guarded(Speaks::Modern, &["alice-at-fake"]).await;
    let gateway = behind(&upstream, oauth()).await;
    let client = gateway.client("alice");
    let params = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = client.modern_stream("subscriptions/listen", params).await;
    let first = soon(stream.message()).await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    assert_eq!(first["params"]["notifications"], json!({ "toolsListChanged": true }));
    gateway.connect("alice", "alice-at-fake").await;
    let changed = soon(stream.message()).await.unwrap();
    assert_eq!(changed["method"], "notifications/tools/list_changed");
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    let last = soon(stream.message()).await.unwrap();
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(1), &json!("complete")), "{last}");
    assert_eq!(soon(stream.next()).await, None);
}

/// spec: TR-125
#[tokio::test]
async fn a_restart_knows_what_a_server_speaks() {
    let (upstream, _gate) = guarded(Speaks::Modern, &["alice-at-fake"]).await;
    let gateway = behind(&upstream, oauth()).await;
    gateway.connect("alice", "alice-at-fake").await;
    gateway.client("alice").initialize().await;
    let server = ServerName::parse("fake").unwrap();
    let written = async {
        while gateway.store.server_facts(&server).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    soon(written).await;
    let setup = Setup {
        servers: vec![("fake", upstream.at)],
        credential: oauth(),
        data: Some(gateway.data.clone()),
        ..Setup::default()
    };
    let again = Gateway::start(setup).await;
    // Bob has nothing there, so nobody could ask: it is known all the same that this server keeps no subscriptions of a
    // session, and that they are kept here.
    let client = again.client("bob");
    let session = client.initialize().await;
    let subscribe = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": { "uri": "x:y" } });
    let got = client.within(&session, &subscribe).await;
    assert_eq!(got.json()["result"], json!({}), "{got:?}");
}

/// spec: TR-8
#[tokio::test]
async fn who_reads_no_streams_is_given_none() {
    let (upstream, _gate) = guarded(Speaks::Modern, &[]).await;
    let gateway = behind(&upstream, oauth()).await;
    let (headers, body) = modern("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let mut headers = borrowed(&headers);
    headers.extend([("content-type", "application/json"), ("accept", "application/json")]);
    let got = soon(gateway.client("alice").exchange(Method::POST, &headers, body.to_string())).await;
    assert_eq!(got.status, 406, "{got:?}");
}

/// spec: UP-68
#[tokio::test]
async fn a_client_that_says_much_of_itself_has_a_session_all_the_same() {
    let (upstream, _gate) = guarded(Speaks::Legacy, &[]).await;
    let gateway = behind(&upstream, oauth()).await;
    let client = gateway.client("alice");
    let mut opening = initialize_with(&json!({ "experimental": { "x": "\"".repeat(580) } }));
    opening["params"]["clientInfo"]["name"] = "\"".repeat(280).into();
    let opened = client.post(&[], &opening).await;
    let session = opened.header("mcp-session-id");
    assert!(!session.is_empty() && session.len() <= 4096, "{}", session.len());
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    assert_eq!(client.within(session, &ping).await.status, 200);
}

/// spec: TR-122
#[tokio::test]
async fn a_server_that_wants_a_sign_in_is_not_asked_again_for_everybody_who_has_none() {
    let (upstream, _gate) = guarded(Speaks::Both, &["alice-at-fake"]).await;
    let gateway = behind(&upstream, auto()).await;
    let bob = gateway.client("bob");
    join_all((0..20).map(|_| bob.modern("tools/list", json!({})))).await;
    let asked = upstream.calls("server/discover").len();
    assert!((1..10).contains(&asked), "{asked}");
    // Somebody who has one learns it at once.
    gateway.connect("alice", "alice-at-fake").await;
    let listed = gateway.client("alice").modern("tools/list", json!({})).await;
    assert_eq!(listed.json()["result"]["tools"][0]["name"], "echo", "{listed:?}");
    assert_eq!(upstream.calls("initialize").len(), 1);
}

/// spec: UP-68
#[tokio::test]
async fn tools_that_a_server_has_no_more_are_not_remembered_for_it() {
    let (has_tools, lets_in) = (Arc::new(AtomicBool::new(true)), Gate::default());
    lets_in.let_in(&["first"]);
    let (tools, judge) = (has_tools.clone(), lets_in.clone());
    let upstream = Upstream::with(Speaks::Legacy, move |seen| {
        judge.judge(seen).or_else(|| {
            let without = seen.rpc() == "initialize" && !tools.load(Ordering::SeqCst);
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
                "serverInfo": { "name": "fake", "version": "2" } });
            without.then(|| Reply::json(200, &seen.result(result)).with("mcp-session-id", "upstream-session"))
        })
    })
    .await;
    let gateway = behind(&upstream, oauth()).await;
    gateway.connect("alice", "first").await;
    let client = gateway.client("alice");
    let list = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/list" });
    let names = async |session: &str| {
        let listed = client.within(session, &list).await.json();
        listed["result"]["tools"].as_array().unwrap().len()
    };
    assert_eq!(names(&client.initialize().await).await, 2);

    lets_in.let_in(&["second"]);
    gateway.issuer.ended.store(true, Ordering::SeqCst);
    let session = client.initialize().await;
    let remembered = async {
        while names(&session).await != 2 {
            tokio::task::yield_now().await;
        }
    };
    soon(remembered).await;
    has_tools.store(false, Ordering::SeqCst);
    gateway.connect("alice", "second").await;
    assert_eq!(names(&session).await, 0);
}

#[tokio::test]
async fn a_list_that_is_never_the_same_is_written_down_now_and_then() {
    let times = AtomicUsize::new(0);
    let upstream = Upstream::with(Speaks::Modern, move |seen| {
        (seen.rpc() == "tools/list").then(|| {
            let name = format!("tool-{}", times.fetch_add(1, Ordering::SeqCst));
            let tools = json!([{ "name": name, "inputSchema": { "type": "object" } }]);
            Reply::json(200, &seen.result(json!({ "resultType": "complete", "tools": tools })))
        })
    })
    .await;
    let (gateway, clock) = clocked(&upstream).await;
    let server = ServerName::parse("fake").unwrap();
    let written = async |person: &str| {
        let holder = Holder::Person(PersonId::new(person));
        let list = gateway.store.tool_list(&server, Some(&holder)).await.unwrap()?;
        let tools: Value = serde_json::from_str(&list.list).unwrap();
        Some(tools[0]["name"].to_string())
    };
    let listed = async |person: &str| {
        let listed = gateway.client(person).modern("tools/list", json!({})).await.json();
        listed["result"]["tools"][0]["name"].to_string()
    };
    let is_written = async |person: &str, list: String| {
        let there = async {
            while written(person).await.as_ref() != Some(&list) {
                tokio::task::yield_now().await;
            }
        };
        soon(there).await;
    };
    gateway.connect("alice", "alice-at-fake").await;
    gateway.connect("bob", "bob-at-fake").await;
    let first = listed("alice").await;
    is_written("alice", first.clone()).await;
    clock.advance(Duration::from_secs(10));
    listed("alice").await;
    // Bob's is written after whatever was to be written of Alice's.
    is_written("bob", listed("bob").await).await;
    assert_eq!(written("alice").await, Some(first));
    clock.advance(Duration::from_secs(51));
    is_written("alice", listed("alice").await).await;
}
