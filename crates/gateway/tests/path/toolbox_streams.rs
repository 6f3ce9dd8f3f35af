//! What several servers say unasked, on one stream.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{
    harness::{Gateway, Setup, Stream},
    toolbox::{offered, tool, tools_of},
    upstream::{After, Reply, Speaks, Upstream, soon},
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
