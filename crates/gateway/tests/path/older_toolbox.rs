//! Clients of older revisions before several servers at one endpoint.

use std::sync::{Arc, Mutex};

use http::Method;
use portcullis_gateway::config::Allow;
use serde_json::{Value, json};

use crate::{
    harness::{Client, Gateway, Setup, borrowed, call, modern},
    older::{able, answer, asked, done, form, reply, streamed, unfinished},
    parked::{self, asking},
    toolbox::{offered, tool},
    upstream::{Reply, Speaks, Upstream, event, saying, soon},
};

type Mouth = tokio::sync::mpsc::UnboundedSender<String>;

/// A server that asks for a name in the middle of a call, and whose list may change.
async fn curious(tools: Arc<Mutex<Vec<&'static str>>>, open: Arc<Mutex<Vec<(Value, Mouth)>>>) -> Upstream {
    Upstream::with(Speaks::Modern, move |seen| match seen.rpc() {
        "tools/call" => Some(match seen.body["params"]["requestState"].as_str() {
            None => unfinished(seen, &json!({ "k": form("Who?") }), "s"),
            Some(_) => done(seen, seen.body["params"]["inputResponses"]["k"]["content"]["name"].as_str()?),
        }),
        "subscriptions/listen" => {
            let (mouth, after) = saying();
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": seen.body["id"] });
            let params = json!({ "notifications": seen.body["params"]["notifications"], "_meta": meta });
            let method = "notifications/subscriptions/acknowledged";
            open.lock().unwrap().push((seen.body["id"].clone(), mouth));
            Some(Reply::events(&[json!({ "jsonrpc": "2.0", "method": method, "params": params })], after))
        }
        _ => {
            let tools: Vec<_> = tools.lock().unwrap().iter().map(|name| tool(name)).collect();
            offered(&json!({ "tools": tools, "capabilities": { "tools": { "listChanged": true } } }), seen)
        }
    })
    .await
}

async fn listed(client: &Client, session: &str) -> Vec<String> {
    let got = client.within(session, &json!({ "jsonrpc": "2.0", "id": "l", "method": "tools/list" })).await.json();
    let tools = got["result"]["tools"].as_array().unwrap_or_else(|| panic!("{got}"));
    assert_eq!((&got["result"]["resultType"], &got["result"]["ttlMs"]), (&Value::Null, &Value::Null), "{got}");
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

// spec: BR-20, BR-24, BR-71, AG-1, AG-2, AG-18
#[tokio::test]
async fn an_older_client_uses_several_servers_of_two_eras_as_one() {
    for version in ["2025-11-25", "2025-06-18"] {
        let (tools, open) = (Arc::new(Mutex::new(vec!["greet"])), Arc::<Mutex<Vec<_>>>::default());
        let today = curious(tools.clone(), open.clone()).await;
        let (older, _) = asking(vec![parked::form("q")]).await;
        let servers = vec![("today", today.at), ("older", older.at)];
        let gateway = Gateway::start(Setup { servers, ..Setup::default() }).await;
        let client = gateway.client_at("alice", "all");
        let session = able(&client, version).await;
        assert_eq!(listed(&client, &session).await, ["today__greet", "older__echo", "older__regional"]);

        // Each server asks in its own era's way, in its own name, on the stream of the call.
        let mut stream = streamed(&client, &session, &call("t", "today__greet")).await;
        let question = asked(&mut stream).await;
        assert_eq!(question["params"]["message"], "today: Who?", "{question}");
        reply(&client, &session, &question["id"], json!({ "action": "accept", "content": { "name": "Ada" } })).await;
        let told = answer(&mut stream).await;
        assert_eq!((&told["id"], &told["result"]["content"][0]["text"]), (&json!("t"), &json!("Ada")), "{told}");

        let mut stream = streamed(&client, &session, &call("o", "older__echo")).await;
        let question = asked(&mut stream).await;
        assert_eq!(question["params"]["message"], "older: Who?", "{question}");
        reply(&client, &session, &question["id"], json!({ "action": "accept", "content": { "name": "Bea" } })).await;
        let told = answer(&mut stream).await;
        assert!(told["result"]["content"][0]["text"].as_str().unwrap().contains("Bea"), "{told}");
        assert_eq!((today.calls("tools/call").len(), older.calls("tools/call").len()), (2, 1));
        assert_eq!(today.calls("tools/call")[0].body["params"]["name"], "greet");
        assert_eq!(older.calls("tools/call")[0].body["params"]["name"], "echo");
        let unknown = client.within(&session, &call("u", "greet")).await;
        assert_eq!(unknown.code(), -32602, "{unknown:?}");

        // What one of them says unasked comes on the stream of the session.
        let get = [("accept", "text/event-stream"), ("mcp-session-id", session.as_str())];
        let mut unasked = client.send(Method::GET, &get, "").await;
        assert_eq!(unasked.status, 200);
        soon(async {
            while open.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        tools.lock().unwrap().push("part");
        {
            let open = open.lock().unwrap();
            let (id, mouth) = open.last().unwrap();
            let params = json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": id } });
            let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": params });
            mouth.send(event(&changed)).unwrap();
        }
        let told = soon(unasked.message()).await.unwrap();
        assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
        assert!(!told.to_string().contains("subscriptionId"), "{told}");
        assert!(listed(&client, &session).await.contains(&"today__part".to_owned()));
    }
}

// spec: BR-75
#[tokio::test]
async fn a_server_elsewhere_whose_revision_is_its_clients_sees_no_files_either() {
    let (upstream, _) = asking(vec![parked::roots("q")]).await;
    let allow = Allow { roots: true, ..Allow::REMOTE };
    let gateway = Gateway::start(Setup { servers: vec![("fake", upstream.at)], allow, ..Setup::default() }).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-11-25").await;
    let mut stream = streamed(&client, &session, &call("r", "echo")).await;
    let question = asked(&mut stream).await;
    let roots = json!({ "roots": [{ "uri": "file:///home/alice" }, { "uri": "https://example.com/r" }] });
    reply(&client, &session, &question["id"], roots).await;
    let told = answer(&mut stream).await.to_string();
    assert!(told.contains("example.com") && !told.contains("file:"), "{told}");
}

// spec: BR-75
#[tokio::test]
async fn a_server_elsewhere_sees_no_files_whoever_answers_it_and_where() {
    let upstream = Upstream::with(Speaks::Modern, |seen| match seen.rpc() {
        "tools/call" => Some(match seen.body["params"]["requestState"].as_str() {
            None => unfinished(seen, &json!({ "k": { "method": "roots/list" } }), "s"),
            Some(_) => done(seen, &seen.body["params"]["inputResponses"]["k"].to_string()),
        }),
        _ => offered(&json!({ "tools": [tool("look")] }), seen),
    })
    .await;
    let allow = Allow { roots: true, ..Allow::REMOTE };
    let gateway = Gateway::start(Setup { servers: vec![("far", upstream.at)], allow, ..Setup::default() }).await;
    let roots = json!({ "roots": [{ "uri": "file:///home/alice" }, { "uri": "https://example.com/r" }] });
    let seen = json!({ "roots": [{ "uri": "https://example.com/r" }] });
    for (endpoint, name) in [("all", "far__look"), ("far", "look")] {
        let client = gateway.client_at("alice", endpoint);
        let session = able(&client, "2025-11-25").await;
        let mut stream = streamed(&client, &session, &call("r", name)).await;
        let question = asked(&mut stream).await;
        assert_eq!(question["method"], "roots/list");
        reply(&client, &session, &question["id"], roots.clone()).await;
        let told = answer(&mut stream).await;
        assert_eq!(told["result"]["content"][0]["text"], seen.to_string(), "{endpoint}: {told}");

        let put = async |more: Value| {
            let mut params = json!({ "name": name, "arguments": {} });
            params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let (headers, mut body) = modern("tools/call", params);
            body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({ "roots": {} });
            client.post(&borrowed(&headers), &body).await.json()
        };
        let asked = put(json!({})).await;
        let state = &asked["result"]["requestState"];
        let told = put(json!({ "requestState": state, "inputResponses": { "k": roots } })).await;
        assert_eq!(told["result"]["content"][0]["text"], seen.to_string(), "{endpoint}: {told}");
    }
}
