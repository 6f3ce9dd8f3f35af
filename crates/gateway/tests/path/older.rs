//! Stories of clients of older revisions before a server of 2026-07-28.

use serde_json::{Value, json};

use crate::{
    harness::{Client, Gateway, Stream, call, initialize},
    upstream::{After, Reply, Seen, Speaks, Upstream, soon},
};

/// A client that says it can do everything, in a session of `version`.
pub async fn able(client: &Client, version: &str) -> String {
    let mut opening = initialize(version);
    opening["params"]["capabilities"] = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": { "tools": {} }, "roots": { "listChanged": true } });
    let got = client.post(&[], &opening).await;
    assert_eq!((got.status.as_u16(), &got.json()["result"]["protocolVersion"]), (200, &json!(version)), "{got:?}");
    got.header("mcp-session-id").to_owned()
}

/// What the tool says in the end.
pub fn done(seen: &Seen, text: &str) -> Reply {
    let content = json!([{ "type": "text", "text": text }]);
    Reply::json(200, &seen.result(json!({ "resultType": "complete", "content": content })))
}

/// The result of an unfinished request.
pub fn unfinished(seen: &Seen, requests: &Value, state: &str) -> Reply {
    let mut result = json!({ "resultType": "input_required", "inputRequests": requests });
    if !state.is_empty() {
        result["requestState"] = state.into();
    }
    Reply::json(200, &seen.result(result))
}

pub fn form(text: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    json!({ "method": "elicitation/create", "params": { "mode": "form", "message": text, "requestedSchema": schema } })
}

/// A call on a stream.
pub async fn streamed(client: &Client, session: &str, body: &Value) -> Stream {
    client.stream(&[("mcp-session-id", session)], body).await
}

/// The next message that is a request of the gateway's.
pub async fn asked(stream: &mut Stream) -> Value {
    loop {
        let message = soon(stream.message()).await.expect("a request");
        if !message["id"].is_null() && !message["method"].is_null() {
            return message;
        }
    }
}

/// The next message that is an answer.
pub async fn answer(stream: &mut Stream) -> Value {
    loop {
        let message = soon(stream.message()).await.expect("an answer");
        if !message["id"].is_null() && message["method"].is_null() {
            return message;
        }
    }
}

pub async fn reply(client: &Client, session: &str, id: &Value, result: Value) {
    let got = client.within(session, &json!({ "jsonrpc": "2.0", "id": id, "result": result })).await;
    assert_eq!((got.status.as_u16(), got.body.len()), (202, 0));
}

/// spec: BR-20, BR-21, BR-12, BR-23, BR-5, BR-1, TR-85
#[tokio::test]
async fn a_client_of_any_older_revision_is_served_by_a_modern_server() {
    for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
        let upstream = Upstream::start(Speaks::Modern).await;
        let gateway = Gateway::before(upstream.at).await;
        let client = gateway.client("alice");
        let got = client.post(&[], &initialize(version)).await;
        let opened = got.json()["result"].clone();
        assert_eq!((&opened["protocolVersion"], &opened["serverInfo"]["name"]), (&json!(version), &json!("fake")));
        assert_eq!(opened["capabilities"], json!({ "tools": {} }));
        let session = got.header("mcp-session-id").to_owned();
        let within = async |body: Value| client.post(&[("mcp-session-id", &session)], &body).await;
        let ready = within(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        assert_eq!((ready.status.as_u16(), ready.body.len()), (202, 0));
        for method in ["ping", "logging/setLevel"] {
            let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": { "level": "info" } });
            assert_eq!(within(body).await.json(), json!({ "jsonrpc": "2.0", "id": 7, "result": {} }));
        }
        let listed = within(json!({ "jsonrpc": "2.0", "id": "l", "method": "tools/list" })).await.json();
        assert_eq!(listed["id"], "l");
        assert_eq!(listed["result"]["tools"][0]["name"], "echo", "{listed}");
        for gone in ["resultType", "ttlMs", "cacheScope"] {
            assert_eq!(listed["result"][gone], Value::Null, "{gone}");
        }
        let got = within(call("x", "echo")).await;
        assert_eq!((got.header("content-type"), &got.json()["id"]), ("application/json", &json!("x")), "{got:?}");
        assert_eq!(got.json()["result"]["content"][0]["text"], "done");

        let seen = upstream.calls("tools/call").pop().unwrap();
        assert_eq!((seen.header("mcp-protocol-version"), seen.header("mcp-name")), ("2026-07-28", "echo"));
        assert!(!seen.headers.contains_key("mcp-session-id"));
        let meta = &seen.body["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "portcullis");
        assert_eq!(meta["io.modelcontextprotocol/logLevel"], "info");
        let local = ["ping", "logging/setLevel", "notifications/initialized"];
        assert!(local.iter().all(|method| upstream.calls(method).is_empty()));

        let closed = client.exchange(http::Method::DELETE, &[("mcp-session-id", &session)], "").await;
        assert_eq!(closed.status, 204);
        assert_eq!(within(call(1, "echo")).await.status, 404);
    }
}

/// spec: BR-24, BR-61, TR-131, T-49
#[tokio::test]
async fn a_call_that_wants_input_asks_the_client_and_is_put_again_with_the_answers() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let params = &seen.body["params"];
        (seen.rpc() == "tools/call").then(|| match params["requestState"].as_str() {
            None => unfinished(seen, &json!({ "first": form("Who?"), "second": form("Again?") }), "state-1"),
            Some("state-1") => {
                assert_eq!(params["inputResponses"]["first"]["content"]["name"], "Ada");
                assert_eq!(params["inputResponses"]["second"]["action"], "decline");
                unfinished(seen, &json!({ "third": form("Sure?") }), "state-2")
            }
            Some("state-2") => done(seen, params["inputResponses"]["third"]["action"].as_str().unwrap()),
            Some(other) => panic!("{other}"),
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-11-25").await;
    let mut stream = streamed(&client, &session, &call("c", "echo")).await;
    let (first, second) = (asked(&mut stream).await, asked(&mut stream).await);
    assert_eq!((&first["method"], &first["params"]["message"]), (&json!("elicitation/create"), &json!("fake: Who?")));
    assert_ne!(first["id"], second["id"]);
    assert!(first["id"].as_str().unwrap().len() >= 20);
    // In any order, on other connections.
    reply(&client, &session, &second["id"], json!({ "action": "decline" })).await;
    reply(&client, &session, &first["id"], json!({ "action": "accept", "content": { "name": "Ada" } })).await;
    let third = asked(&mut stream).await;
    reply(&client, &session, &third["id"], json!({ "action": "accept", "content": {} })).await;
    let told = answer(&mut stream).await;
    assert_eq!((&told["id"], &told["result"]["content"][0]["text"]), (&json!("c"), &json!("accept")), "{told}");
    assert_eq!(soon(stream.next()).await, None);
    let ids: Vec<_> = upstream.calls("tools/call").iter().map(|seen| seen.body["id"].clone()).collect();
    assert!(ids.len() == 3 && ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}

/// spec: BR-34, TR-92, TR-90, TR-91, BR-6
#[tokio::test]
async fn a_dropped_stream_goes_on_and_is_taken_up_where_it_broke() {
    let upstream = Upstream::with(Speaks::Modern, |seen| {
        let token = &seen.body["params"]["_meta"]["progressToken"];
        (seen.rpc() == "tools/call").then(|| match seen.body["params"]["requestState"].as_str() {
            None => {
                let at = |progress: u64| {
                    json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                        "params": { "progressToken": token, "progress": progress } })
                };
                let asks = json!({ "resultType": "input_required", "inputRequests": { "k": form("Who?") },
                    "requestState": "s" });
                Reply::events(&[at(1), at(2), at(2), seen.result(asks)], After::End)
            }
            Some(_) => done(seen, "once"),
        })
    })
    .await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-11-25").await;
    let mut body = call(5, "echo");
    body["params"]["_meta"] = json!({ "progressToken": "mine" });
    let mut stream = streamed(&client, &session, &body).await;
    let primed = soon(stream.next()).await.unwrap();
    assert!(primed.contains("id: ") && primed.ends_with("data: "), "{primed:?}");
    let first = soon(stream.next()).await.unwrap();
    let data = first.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let told: Value = serde_json::from_str(data).unwrap();
    assert_eq!((&told["params"]["progressToken"], &told["params"]["progress"]), (&json!("mine"), &json!(1)));
    let last = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(stream);

    let resume = async |session: &str, last: &str| {
        let headers = [("accept", "text/event-stream"), ("mcp-session-id", session), ("last-event-id", last)];
        client.send(http::Method::GET, &headers, "").await
    };
    let mut again = resume(&session, &last).await;
    let next = soon(again.message()).await.unwrap();
    assert_eq!(next["params"]["progress"], 2, "{next}");
    let question = asked(&mut again).await;
    reply(&client, &session, &question["id"], json!({ "action": "accept", "content": { "name": "Ada" } })).await;
    let told = answer(&mut again).await;
    assert_eq!(told["result"]["content"][0]["text"], "once", "{told}");
    assert_eq!(soon(again.next()).await, None);
    assert_eq!(upstream.calls("tools/call").len(), 2);
}
