//! What a server asks of a client in the middle of a call, and whose its tasks are.

use portcullis_gateway::config::Allow;
use serde_json::{Value, json};

use crate::{
    harness::{Client, Gateway, Setup},
    upstream::{After, Reply, Seen, Speaks, Upstream, soon},
};

pub const ALL: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{},"extensions":{"io.modelcontextprotocol/tasks":{},"example.com/odd":{}}}"#;

pub fn declaring(mut params: Value, capabilities: &str) -> Value {
    let capabilities: Value = serde_json::from_str(capabilities).unwrap();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    params
}

/// Asks by JSON or by events, as the tool says, what the arguments say.
fn asks(seen: &Seen) -> Option<Reply> {
    let params = &seen.body["params"];
    if seen.rpc() != "tools/call" {
        return None;
    }
    let asked = json!({ "resultType": "input_required", "inputRequests": { "k": params["arguments"]["ask"] } });
    let asked = seen.result(asked);
    Some(if params["name"] == "echo" { Reply::json(200, &asked) } else { Reply::events(&[asked], After::End) })
}

async fn asked(client: &Client, tool: &str, ask: &Value, capabilities: &str) -> Value {
    let params = declaring(json!({ "name": tool, "arguments": { "ask": ask } }), capabilities);
    if tool == "echo" {
        client.modern("tools/call", params).await.json()
    } else {
        soon(client.modern_stream("tools/call", params).await.message()).await.unwrap()
    }
}

fn form(field: &str) -> Value {
    json!({ "method": "elicitation/create", "params": { "message": "Say", "requestedSchema":
        { "type": "object", "properties": { field: { "type": "string" } } } } })
}

/// spec: T-64, T-14, BR-50, BR-63, BR-66, BR-76, BR-111
#[tokio::test]
async fn a_server_asks_what_it_may_by_name_and_for_no_secret() {
    let upstream = Upstream::with(Speaks::Modern, asks).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let sampling = json!({ "method": "sampling/createMessage", "params": { "messages": [], "maxTokens": 1 } });
    let roots = json!({ "method": "roots/list" });
    let page = json!({ "method": "elicitation/create",
        "params": { "mode": "url", "url": "file:///bin/sh", "message": "Open" } });
    for tool in ["echo", "streams"] {
        let said = asked(&client, tool, &form("colour"), ALL).await;
        assert_eq!(said["result"]["inputRequests"]["k"]["params"]["message"], "fake: Say", "{said}");
        for (ask, capabilities, code, why) in [
            (&form("api_key"), ALL, -32603, "secret"),
            (&page, ALL, -32603, "https"),
            (&form("colour"), "{}", -32021, "no forms"),
            (&sampling, ALL, -32602, "`allow`"),
            (&roots, ALL, -32602, "`allow`"),
            (&json!({ "method": "tools/call" }), ALL, -32603, "no revision"),
            (&json!(7), ALL, -32603, "no revision"),
        ] {
            let said = asked(&client, tool, ask, capabilities).await;
            assert_eq!(said["error"]["code"], code, "{tool} {ask}: {said}");
            let message = said["error"]["message"].as_str().unwrap();
            assert!(message.contains("fake") && message.contains(why), "{tool} {ask}: {said}");
            assert!(said["result"].is_null());
        }
    }
    let notes: Vec<_> = soon(async {
        loop {
            let records = gateway.records().await;
            let ended: Vec<_> = records.iter().filter(|record| record["event"] == "call.ended").cloned().collect();
            if ended.len() == 16 {
                return ended.into_iter().filter(|record| record["outcome"] == "denied").collect();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(notes.len(), 14, "{notes:#?}");
    assert!(notes.iter().any(|record| record.to_string().contains("a form may not ask for a secret")), "{notes:#?}");
    let call = upstream.calls("tools/call").pop().unwrap();
    let told = &call.body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    // spec: BR-3, BR-117
    let through =
        json!({ "elicitation": { "form": {}, "url": {} }, "extensions": { "io.modelcontextprotocol/tasks": {} } });
    assert_eq!(told, &through);

    let servers = vec![("fake", upstream.at)];
    let gateway = Gateway::start(Setup { servers, allow: Allow::LOCAL, ..Setup::default() }).await;
    let client = gateway.client("alice");
    for ask in [sampling, roots] {
        let said = asked(&client, "echo", &ask, ALL).await;
        assert_eq!(said["result"]["inputRequests"]["k"], ask, "{said}");
        let said = asked(&client, "echo", &ask, r#"{"elicitation":{}}"#).await;
        assert_eq!(said["error"]["code"], -32021, "{said}");
    }
}

/// spec: TR-132, BR-64
#[tokio::test]
async fn a_kind_of_result_that_nobody_defines_is_no_answer() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let kind = if seen.rpc() == "tools/list" {
            json!("input_required")
        } else {
            seen.body["params"]["arguments"]["kind"].clone()
        };
        let asked = matches!(seen.rpc(), "tools/call" | "prompts/get") || seen.body["params"]["cursor"] == "odd";
        let result = json!({ "resultType": kind, "content": [], "tools": [], "taskId": "t" });
        asked.then(|| Reply::json(200, &seen.result(result)))
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    for kind in [json!("partial"), json!(1), json!("task"), Value::Null] {
        let params = json!({ "name": "echo", "arguments": { "kind": kind } });
        assert_eq!(client.modern("tools/call", params).await.code(), -32603, "{kind}");
    }
    assert_eq!(client.modern("tools/list", json!({ "cursor": "odd" })).await.code(), -32603);
}

/// A server whose calls become tasks, and which tells what it was asked of them.
pub fn works(seen: &Seen) -> Option<Reply> {
    let task = |status: &str| {
        json!({ "taskId": "task-7", "status": status, "createdAt": "2026-07-28T00:00:00Z",
            "lastUpdatedAt": "2026-07-28T00:00:00Z", "ttlMs": 60_000 })
    };
    let result = match seen.rpc() {
        "tools/call" => {
            let mut result = task("working");
            result["resultType"] = "task".into();
            result
        }
        "tasks/get" if seen.body["params"]["taskId"] == "task-7" => {
            let mut result = task("completed");
            result["resultType"] = "complete".into();
            result["result"] = json!({ "content": [], "taskId": "task-7" });
            result
        }
        "subscriptions/listen" => {
            let id = seen.body["id"].clone();
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
            let wanted = seen.body["params"]["notifications"].clone();
            let mut changed = task("completed");
            changed["_meta"] = meta.clone();
            let other = json!({ "taskId": "task-8", "status": "working", "_meta": meta });
            let say = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "method": method, "params": params });
            return Some(Reply::events(
                &[
                    say("notifications/subscriptions/acknowledged", json!({ "notifications": wanted, "_meta": meta })),
                    say("notifications/tasks", other),
                    say("notifications/tasks", changed),
                ],
                After::Hang,
            ));
        }
        _ => return None,
    };
    Some(Reply::json(200, &seen.result(result)))
}

/// spec: T-108, BR-81, BR-82, BR-84, BR-99, SEC-20
#[tokio::test]
async fn a_task_is_its_callers_and_goes_by_an_id_of_ours() {
    let upstream = Upstream::with(Speaks::Modern, works).await;
    let gateway = Gateway::before(upstream.at).await;
    let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
    let begun = alice.modern("tools/call", declaring(json!({ "name": "echo" }), ALL)).await.json();
    assert_eq!(begun["result"]["resultType"], "task");
    let task = begun["result"]["taskId"].as_str().unwrap().to_owned();
    assert!(!task.contains("task-7"));

    let named = |task: &str, capabilities: &str| declaring(json!({ "taskId": task }), capabilities);
    let got = alice.modern("tasks/get", named(&task, ALL)).await.json();
    assert_eq!((&got["result"]["taskId"], &got["result"]["status"]), (&json!(task), &json!("completed")), "{got}");
    assert_eq!(got["result"]["result"]["taskId"], "task-7", "what is inside a result is the tool's");
    let seen = upstream.calls("tasks/get").pop().unwrap();
    assert_eq!((seen.header("mcp-name"), &seen.body["params"]["taskId"]), ("task-7", &json!("task-7")));

    let before = upstream.seen().len();
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        assert_eq!(bob.modern(method, named(&task, ALL)).await.code(), -32602, "{method}");
        assert_eq!(alice.modern(method, named("task-7", ALL)).await.code(), -32602, "{method}");
        let got = alice.modern(method, named(&task, "{}")).await;
        assert_eq!((got.status.as_u16(), got.code()), (400, -32021), "{method}");
    }
    let listen =
        |task: &str, capabilities: &str| declaring(json!({ "notifications": { "taskIds": [task] } }), capabilities);
    assert_eq!(bob.modern("subscriptions/listen", listen(&task, ALL)).await.code(), -32602);
    assert_eq!(alice.modern("subscriptions/listen", listen(&task, "{}")).await.code(), -32021);
    assert_eq!(upstream.seen().len(), before, "nothing of it was forwarded");

    let mut stream = alice.modern_stream("subscriptions/listen", listen(&task, ALL)).await;
    let agreed = soon(stream.message()).await.unwrap();
    assert_eq!(agreed["params"]["notifications"]["taskIds"], json!([task]), "{agreed}");
    let changed = soon(stream.message()).await.unwrap();
    assert_eq!((&changed["method"], &changed["params"]["taskId"]), (&json!("notifications/tasks"), &json!(task)));
    assert_eq!(upstream.calls("subscriptions/listen")[0].body["params"]["notifications"]["taskIds"], json!(["task-7"]));
}
