//! Tasks that servers of a toolbox answer with.

use serde_json::{Value, json};

use super::{
    harness::{Gateway, Setup},
    older::able,
    questions::{ALL, declaring},
    toolbox::{offered, tool},
    upstream::{After, Reply, Seen, Speaks, Upstream, soon},
};

/// A server whose calls become tasks of the same id everywhere, done as soon as somebody asks.
fn works(seen: &Seen) -> Option<Reply> {
    let link = json!({ "type": "resource_link", "name": "l", "uri": "file:///made" });
    let task = |status: &str| {
        json!({ "taskId": "task-1", "status": status, "createdAt": "2026-07-28T00:00:00Z",
            "lastUpdatedAt": "2026-07-28T00:00:00Z", "ttlMs": 60_000, "pollIntervalMs": 50 })
    };
    let mut done = task("completed");
    done["result"] = json!({ "content": [link] });
    let result = match seen.rpc() {
        "tools/call" => {
            let mut begun = task("working");
            begun["resultType"] = "task".into();
            begun
        }
        "tasks/get" => {
            done["resultType"] = "complete".into();
            done
        }
        "tasks/update" | "tasks/cancel" => json!({ "resultType": "complete" }),
        "subscriptions/listen" => {
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": seen.body["id"] });
            let wanted = seen.body["params"]["notifications"].clone();
            done["_meta"] = meta.clone();
            let other = json!({ "taskId": "task-2", "status": "working", "_meta": meta });
            let say = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "method": method, "params": params });
            return Some(Reply::events(
                &[
                    say("notifications/subscriptions/acknowledged", json!({ "notifications": wanted, "_meta": meta })),
                    say("notifications/tasks", other),
                    say("notifications/tasks", done),
                ],
                After::Hang,
            ));
        }
        _ => return offered(&json!({ "tools": [tool("long")] }), seen),
    };
    Some(Reply::json(200, &seen.result(result)))
}

async fn two() -> (Upstream, Upstream, Gateway) {
    let (a, b) = (Upstream::with(Speaks::Modern, works).await, Upstream::with(Speaks::Modern, works).await);
    let gateway = Gateway::start(Setup { servers: vec![("a", a.at), ("b", b.at)], ..Setup::default() }).await;
    (a, b, gateway)
}

// spec: BR-81, BR-82, BR-84, BR-117, T-108
#[tokio::test]
async fn a_task_is_asked_about_at_the_server_that_has_it() {
    let (a, b, gateway) = two().await;
    let (alice, bob) = (gateway.client_at("alice", "all"), gateway.client_at("bob", "all"));
    let begun = alice.modern("tools/call", declaring(json!({ "name": "b__long", "arguments": {} }), ALL)).await.json();
    assert_eq!(begun["result"]["resultType"], "task", "{begun}");
    let task = begun["result"]["taskId"].as_str().unwrap().to_owned();
    assert!(!task.contains("task-1"));
    let named = |task: &str, capabilities: &str| declaring(json!({ "taskId": task }), capabilities);
    let got = alice.modern("tasks/get", named(&task, ALL)).await.json();
    assert_eq!((&got["result"]["taskId"], &got["result"]["status"]), (&json!(task), &json!("completed")), "{got}");
    assert_eq!(got["result"]["result"]["content"][0]["uri"], "portcullis.b+file:///made");
    for method in ["tasks/update", "tasks/cancel"] {
        assert_eq!(alice.modern(method, named(&task, ALL)).await.json()["result"]["resultType"], "complete");
    }
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let seen = &b.calls(method)[0];
        assert_eq!((seen.header("mcp-name"), &seen.body["params"]["taskId"]), ("task-1", &json!("task-1")), "{method}");
    }

    // It is nobody else's, at no other endpoint, and nothing to who knows no tasks.
    let before = b.seen().len();
    let elsewhere = gateway.client_at("alice", "b");
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        assert_eq!(bob.modern(method, named(&task, ALL)).await.code(), -32602, "{method}");
        assert_eq!(elsewhere.modern(method, named(&task, ALL)).await.code(), -32602, "{method}");
        assert_eq!(alice.modern(method, named("task-1", ALL)).await.code(), -32602, "{method}");
        assert_eq!(alice.modern(method, named(&task, "{}")).await.code(), -32021, "{method}");
    }
    assert_eq!(b.seen().len(), before, "nothing of it was forwarded");
    gateway.change(|snapshot| {
        snapshot.servers.retain(|name, _| name.as_str() == "a");
    });
    assert_eq!(alice.modern("tasks/get", named(&task, ALL)).await.code(), -32602);
    assert!(a.seen().iter().all(|seen| !seen.rpc().starts_with("tasks/")));
}

// spec: BR-82, BR-86, T-108
#[tokio::test]
async fn a_task_is_listened_for_at_the_server_that_has_it() {
    let (a, b, gateway) = two().await;
    let (alice, bob) = (gateway.client_at("alice", "all"), gateway.client_at("bob", "all"));
    let begun = alice.modern("tools/call", declaring(json!({ "name": "b__long", "arguments": {} }), ALL)).await.json();
    let task = begun["result"]["taskId"].clone();
    let listen = |capabilities: &str| declaring(json!({ "notifications": { "taskIds": [task] } }), capabilities);
    assert_eq!(bob.modern("subscriptions/listen", listen(ALL)).await.code(), -32602);
    assert_eq!(alice.modern("subscriptions/listen", listen("{}")).await.code(), -32021);
    let mut stream = alice.modern_stream("subscriptions/listen", listen(ALL)).await;
    let agreed = soon(stream.message()).await.unwrap();
    assert_eq!(agreed["params"]["notifications"], json!({ "taskIds": [task] }), "{agreed}");
    let told = soon(stream.message()).await.unwrap();
    assert_eq!((&told["method"], &told["params"]["taskId"]), (&json!("notifications/tasks"), &task), "{told}");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert_eq!(told["params"]["result"]["content"][0]["uri"], "portcullis.b+file:///made");
    let asked = &b.calls("subscriptions/listen")[0].body["params"]["notifications"];
    assert_eq!(*asked, json!({ "taskIds": ["task-1"] }));
    assert!(a.calls("subscriptions/listen").is_empty(), "nothing is wanted of it");
}

// spec: BR-87
#[tokio::test]
async fn a_task_of_a_toolbox_is_seen_through_for_an_older_client() {
    let (_, b, gateway) = two().await;
    let client = gateway.client_at("alice", "all");
    let session = able(&client, "2025-11-25").await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "b__long", "arguments": {} } });
    let told = client.within(&session, &call).await.json();
    assert_eq!(told["result"]["content"][0]["uri"], "portcullis.b+file:///made", "{told}");
    assert_eq!((b.calls("tools/call").len(), b.calls("tasks/get").len()), (1, 1));
}
