//! What several servers say unasked, on one stream.

use std::sync::{Arc, Mutex};

use portcullis_policy::{Bundle, Source};
use serde_json::{Value, json};

use super::{
    harness::{Gateway, Setup, Stream},
    toolbox::{offered, tool, tools_of},
    upstream::{After, Reply, Speaks, Upstream, event, soon},
};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A server whose tools are those of `tools` and which says `news` on every stream that is opened.
async fn saying(tools: Arc<Mutex<Vec<&'static str>>>, news: &'static [(&'static str, &'static str)]) -> Upstream {
    Upstream::with(Speaks::Modern, move |seen| {
        if seen.rpc() != "subscriptions/listen" {
            let tools: Vec<_> = tools.lock().unwrap().iter().map(|name| tool(name)).collect();
            let resources = json!([{ "name": "r", "uri": "file:///readme" }]);
            return offered(&json!({ "tools": tools, "resources": resources, "resourceTemplates": [] }), seen);
        }
        let id = &seen.body["id"];
        let told = |method: &str, uri: &str| {
            let mut params = json!({ "_meta": { SUBSCRIPTION: id } });
            if !uri.is_empty() {
                params["uri"] = uri.into();
            }
            json!({ "jsonrpc": "2.0", "method": format!("notifications/{method}"), "params": params })
        };
        let mut messages = vec![told("subscriptions/acknowledged", "")];
        messages[0]["params"]["notifications"] = seen.body["params"]["notifications"].clone();
        messages.extend(news.iter().map(|(method, uri)| told(method, uri)));
        Some(Reply::events(&messages, After::Hang))
    })
    .await
}

const TOOLS_CHANGED: (&str, &str) = ("tools/list_changed", "");

async fn next(stream: &mut Stream) -> Value {
    soon(stream.message()).await.expect("a message")
}

// spec: AG-18, AG-19
#[tokio::test]
async fn changes_are_told_once_and_only_where_the_list_is_another() {
    let tools = Arc::new(Mutex::new(vec!["x"]));
    let a = saying(tools.clone(), &[TOOLS_CHANGED; 20]).await;
    let b = saying(Arc::default(), &[TOOLS_CHANGED; 20]).await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at), ("b", b.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    assert_eq!(tools_of(&client).await, ["a__x"]);
    let listed = a.calls("tools/list").len();
    let wants = json!({ "notifications": { "toolsListChanged": true, "promptsListChanged": false } });
    let mut stream = client.modern_stream("subscriptions/listen", wants).await;
    let first = next(&mut stream).await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], json!({ "toolsListChanged": true }));
    assert_eq!(first["params"]["_meta"][SUBSCRIPTION], 1);
    // Forty changes were told, and the list is what it was: it was looked at, and nothing is said.
    soon(async {
        while a.calls("tools/list").len() == listed {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Now what may be seen is another: it is told once, with the id of the listener.
    tools.lock().unwrap().push("y");
    gateway.change(|_| {});
    let told = next(&mut stream).await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    assert_eq!(told["params"]["_meta"][SUBSCRIPTION], 1);
    // Settings that take it all away are another list too, and nothing stands between the two.
    gateway.change(|snapshot| snapshot.servers.clear());
    let told = next(&mut stream).await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    assert!(tools_of(&client).await.is_empty());
}

// spec: AG-30, AG-33
#[tokio::test]
async fn updates_name_the_resource_as_it_was_asked_for() {
    let updated = |uri| ("resources/updated", uri);
    let said: &'static [_] =
        Box::leak(Box::new([updated("file:///other"), updated("file:///readme"), updated("file:///readme/part")]));
    let (a, b) = (saying(Arc::default(), said).await, saying(Arc::default(), &[]).await);
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at), ("b", b.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let ours = "portcullis.a+file:///readme";
    let wants = json!({ "notifications": { "resourceSubscriptions": [ours, "unheard://of", "file:///readme"] } });
    let mut stream = client.modern_stream("subscriptions/listen", wants).await;
    let first = next(&mut stream).await;
    assert_eq!(first["params"]["notifications"], json!({ "resourceSubscriptions": [ours] }), "{first}");
    for uri in [ours, "portcullis.a+file:///readme/part"] {
        let told = next(&mut stream).await;
        assert_eq!((&told["method"], &told["params"]["uri"]), (&json!("notifications/resources/updated"), &json!(uri)));
    }
    let asked = &a.calls("subscriptions/listen")[0].body["params"]["notifications"];
    assert_eq!(*asked, json!({ "resourceSubscriptions": ["file:///readme"] }));
}

// spec: AG-18, AG-28
#[tokio::test]
async fn nobody_is_told_of_changes_of_tools_that_are_searched() {
    let a = saying(Arc::default(), &[]).await;
    let toolboxes = "  - { name: wide, search: on, tools: [{ server: a }] }\n";
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], toolboxes, ..Setup::default() }).await;
    let wants = json!({ "notifications": { "toolsListChanged": true, "resourcesListChanged": true } });
    let mut stream = gateway.client_at("alice", "wide").modern_stream("subscriptions/listen", wants).await;
    let first = next(&mut stream).await;
    assert_eq!(first["params"]["notifications"], json!({ "resourcesListChanged": true }), "{first}");
}

const NO_SECRETS: &str = "- rule: no-secrets\n  who: [\"*\"]\n  what: [\"a/resource:file:///secret*\"]\n  then: deny\n";

// spec: T-54, T-105, T-108, TR-65
#[tokio::test]
async fn subscriptions_are_judged_like_reading_whichever_way_they_are_made() {
    let updated = |uri| ("resources/updated", uri);
    let said: &'static [_] = Box::leak(Box::new([updated("file:///secret/part"), updated("file:///readme")]));
    let a = saying(Arc::default(), said).await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], rules: NO_SECRETS, ..Setup::default() }).await;
    let written = |uri: &str| format!("portcullis.a+{uri}");
    for (endpoint, uris) in [
        ("a", ["file:///readme", "file:///secret"].map(str::to_owned)),
        ("all", ["file:///readme", "file:///secret"].map(written)),
    ] {
        let client = gateway.client_at("alice", endpoint);
        let wants = json!({ "notifications": { "resourceSubscriptions": uris } });
        let mut stream = client.modern_stream("subscriptions/listen", wants).await;
        let first = next(&mut stream).await;
        let agreed = json!({ "resourceSubscriptions": [uris[0]] });
        assert_eq!(first["params"]["notifications"], agreed, "{endpoint}: {first}");
        // A server that tells of it all the same tells nobody.
        let told = next(&mut stream).await;
        assert_eq!(told["params"]["uri"], *uris[0], "{endpoint}: {told}");
        let asked = a.calls("subscriptions/listen").pop().unwrap().body["params"]["notifications"].clone();
        assert_eq!(asked, json!({ "resourceSubscriptions": ["file:///readme"] }), "{endpoint}");
    }
    let records = gateway.records().await;
    let denied: Vec<_> =
        records.iter().filter(|r| r["name"] == "file:///secret" && r["rule"] == "no-secrets").collect();
    assert_eq!(denied.len(), 2, "{records:#?}");
    assert_eq!((&denied[1]["server"], &denied[1]["details"]["through"]), (&json!("a"), &json!("all")));
}

// spec: T-108
#[tokio::test]
async fn what_is_heard_is_judged_by_the_rules_of_that_moment() {
    let (mouth, after) = crate::upstream::saying();
    let after = Mutex::new(Some(after));
    let a = Upstream::with(Speaks::Modern, move |seen| {
        (seen.rpc() == "subscriptions/listen").then(|| {
            let params = json!({ "notifications": seen.body["params"]["notifications"], "_meta": { SUBSCRIPTION: seen.body["id"] } });
            let method = "notifications/subscriptions/acknowledged";
            let acknowledged = json!({ "jsonrpc": "2.0", "method": method, "params": params });
            Reply::events(&[acknowledged], after.lock().unwrap().take().unwrap_or(After::Hang))
        })
    })
    .await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], ..Setup::default() }).await;
    let wants = json!({ "notifications": { "resourceSubscriptions": ["file:///secret", "file:///readme"] } });
    let mut stream = gateway.client_at("alice", "a").modern_stream("subscriptions/listen", wants).await;
    next(&mut stream).await;
    let id = a.calls("subscriptions/listen")[0].body["id"].clone();
    let tell = |uri: &str| {
        let params = json!({ "uri": uri, "_meta": { SUBSCRIPTION: id } });
        let told = json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params });
        mouth.send(event(&told)).unwrap();
    };
    tell("file:///secret");
    assert_eq!(next(&mut stream).await["params"]["uri"], "file:///secret");
    let rules = Source { name: "rules.yaml", text: NO_SECRETS };
    gateway.change(|snapshot| snapshot.bundle = Arc::new(Bundle::load(&[rules]).unwrap()));
    tell("file:///secret");
    tell("file:///readme");
    assert_eq!(next(&mut stream).await["params"]["uri"], "file:///readme");
}

// spec: AG-34, T-105, BR-5
#[tokio::test]
async fn sessions_subscribe_at_a_toolbox_to_what_they_may_read() {
    let a = saying(Arc::default(), &[]).await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], rules: NO_SECRETS, ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let session = client.initialize().await;
    let within = async |method: &str, uri: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "uri": uri } });
        client.within(&session, &body).await
    };
    assert_eq!(within("resources/subscribe", "file:///readme").await.json()["result"], json!({}));
    for (method, uri, code) in [
        ("resources/subscribe", "portcullis.a+file:///secret", -32602),
        ("resources/read", "portcullis.a+file:///secret", -32602),
        ("resources/subscribe", "unheard://of", -32002),
        ("resources/read", "unheard://of", -32002),
    ] {
        let got = within(method, uri).await;
        assert_eq!(got.code(), code, "{method} {uri}: {got:?}");
    }
    let records = gateway.records().await;
    let decided: Vec<_> = records.iter().filter(|r| r["method"] == "resources/subscribe").collect();
    let told: Vec<_> = decided.iter().map(|r| (&r["name"], &r["outcome"])).collect();
    assert_eq!(decided[0]["server"], "a", "{told:?}");
    assert!(told.contains(&(&json!("file:///secret"), &json!("denied"))), "{told:?}");
}

// spec: TR-68, AG-18
#[tokio::test]
async fn servers_are_left_when_their_listener_goes() {
    let mut a = saying(Arc::default(), &[]).await;
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at)], ..Setup::default() }).await;
    let client = gateway.client_at("alice", "all");
    let wants = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = client.modern_stream("subscriptions/listen", wants).await;
    next(&mut stream).await;
    soon(async {
        while a.calls("subscriptions/listen").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(stream);
    soon(a.a_drop()).await;
}
