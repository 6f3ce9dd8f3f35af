use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client::{Client, Reply, request};

/// A client in a session.
struct Session {
    client: Client,
    id: String,
    version: &'static str,
}

async fn open(version: &'static str) -> Session {
    open_with(version, json!({"elicitation": {}})).await
}

async fn open_with(version: &'static str, capabilities: Value) -> Session {
    let client = Client::new();
    let params =
        json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}});
    let reply = client.post(&[], &request("initialize", params)).await;
    assert_eq!(reply.status, StatusCode::OK);
    let id = reply.header("mcp-session-id").expect("a session has an id").to_owned();
    assert!(id.len() >= 22 && id.bytes().all(|byte| byte.is_ascii_graphic()));
    let result = reply.json().await["result"].take();
    assert_eq!(result["protocolVersion"], version);
    assert_eq!(result.get("resultType"), None);
    let session = Session { client, id, version };
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(session.post(&initialized).await.status, StatusCode::ACCEPTED);
    session
}

impl Session {
    async fn post(&self, body: &Value) -> Reply {
        self.client.post(&[("mcp-session-id", &self.id), ("mcp-protocol-version", self.version)], body).await
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        self.post(&request(method, params)).await.json().await["result"].take()
    }

    async fn bare(&self, method: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::builder().method(method).uri("/mcp").header("host", "sample");
        for (name, value) in
            [("mcp-session-id", self.id.as_str()), ("accept", "text/event-stream")].iter().chain(headers)
        {
            request = request.header(*name, *value);
        }
        self.client.send(request.body(Full::<Bytes>::default()).expect("a request")).await
    }
}

const LEGACY: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

#[tokio::test]
async fn session_of_every_revision_lists_reads_calls_and_ends() {
    for version in LEGACY {
        let session = open(version).await;
        assert_eq!(session.ask("ping", json!({})).await, json!({}));
        let tools = session.ask("tools/list", json!({})).await;
        assert_eq!(tools["tools"].as_array().map(Vec::len), Some(15), "{version}");
        assert!(tools.get("ttlMs").is_none() && tools.get("_meta").is_none(), "{version}");
        let echoed =
            session.ask("tools/call", json!({"name": "echo", "arguments": {"message": "hi", "times": 2}})).await;
        assert_eq!(echoed, json!({"content": [{"type": "text", "text": "hi\nhi"}]}));
        assert_eq!(session.ask("resources/list", json!({})).await["resources"][0]["uri"], "note:///1");

        assert_eq!(session.bare("DELETE", &[]).await.status, StatusCode::NO_CONTENT);
        for method in ["DELETE", "GET"] {
            assert_eq!(session.bare(method, &[]).await.status, StatusCode::NOT_FOUND, "{version} {method}");
        }
        assert_eq!(session.post(&request("ping", json!({}))).await.status, StatusCode::NOT_FOUND);
    }
}

/// spec: TR-84
#[tokio::test]
async fn foreign_and_missing_sessions_are_told_apart() {
    let client = Client::new();
    let list = request("tools/list", json!({}));
    assert_eq!(client.post(&[("mcp-session-id", "unheard-of")], &list).await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.post(&[], &list).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(client.post(&[("mcp-protocol-version", "2025-11-25")], &list).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn errors_in_a_session_are_answers() {
    let session = open("2025-11-25").await;
    for (method, params, code) in [
        ("resources/read", json!({"uri": "note:///9"}), -32002),
        ("tools/call", json!({"name": "no_such"}), -32602),
        ("server/discover", json!({}), -32601),
        ("tasks/list", json!({}), -32601),
        ("logging/setLevel", json!({"level": "loud"}), -32602),
    ] {
        let reply = session.post(&request(method, params)).await;
        assert_eq!(reply.status, StatusCode::OK, "{method}");
        assert_eq!(reply.code().await, code, "{method}");
    }
}

#[tokio::test]
async fn form_is_asked_for_on_the_stream_of_the_call() {
    for (version, mode) in [("2025-06-18", json!(null)), ("2025-11-25", json!("form"))] {
        let session = open(version).await;
        let mut stream = session.post(&request("tools/call", json!({"name": "greet"}))).await;
        let asked = stream.message().await.unwrap();
        assert_eq!(asked["method"], "elicitation/create");
        assert_eq!(asked["params"]["mode"], mode, "{version}");
        let answer =
            json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"name": "Ada"}}});
        assert_eq!(session.post(&answer).await.status, StatusCode::ACCEPTED);
        let last = stream.message().await.unwrap();
        assert_eq!(last["result"]["content"][0]["text"], "Hello, Ada.");
        assert_eq!(stream.message().await, None);
    }
}

#[tokio::test]
async fn refused_form_ends_the_call_without_a_greeting() {
    let session = open("2025-11-25").await;
    let mut stream = session.post(&request("tools/call", json!({"name": "greet"}))).await;
    let asked = stream.message().await.unwrap();
    let error = json!({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -1, "message": "no"}});
    assert_eq!(session.post(&error).await.status, StatusCode::ACCEPTED);
    assert_eq!(stream.message().await.unwrap()["result"]["content"][0]["text"], "Nobody wanted to be greeted.");
}

#[tokio::test]
async fn client_without_forms_is_not_asked() {
    for (version, capabilities) in [
        ("2025-03-26", json!({"elicitation": {}})),
        ("2025-11-25", json!({})),
        ("2025-11-25", json!({"elicitation": {"url": {}}})),
    ] {
        let session = open_with(version, capabilities).await;
        let messages = session.post(&request("tools/call", json!({"name": "greet"}))).await.messages().await;
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0]["error"]["code"], -32602, "{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn progress_and_logs_travel_on_the_stream_of_the_call() {
    let session = open("2025-06-18").await;
    assert_eq!(session.ask("logging/setLevel", json!({"level": "debug"})).await, json!({}));
    let call = json!({"name": "count_slowly", "arguments": {"steps": 1}, "_meta": {"progressToken": 5}});
    let messages = session.post(&request("tools/call", call)).await.messages().await;
    let methods: Vec<_> = messages.iter().map(|message| message["method"].as_str().unwrap_or("result")).collect();
    assert_eq!(methods, ["notifications/message", "notifications/progress", "result"]);
    assert_eq!(messages[1]["params"]["progressToken"], 5);
}

#[tokio::test(start_paused = true)]
async fn client_that_takes_only_json_gets_the_answer_in_one_piece() {
    let session = open("2025-11-25").await;
    let body = request("tools/call", json!({"name": "count_slowly", "_meta": {"progressToken": 5}})).to_string();
    let request = Request::post("/mcp")
        .header("host", "sample")
        .header("content-type", "application/json; charset=utf-8")
        .header("accept", "application/json")
        .header("mcp-session-id", &session.id)
        .body(Full::from(body))
        .unwrap();
    let answer = session.client.send(request).await.json().await;
    assert_eq!(answer["result"]["content"][0]["text"], "Counted to 5 in 5 seconds.");
}

/// spec: TR-90, TR-91, TR-92
#[tokio::test(start_paused = true)]
async fn broken_stream_is_taken_up_where_it_broke() {
    let session = open("2025-11-25").await;
    let call = json!({"name": "count_slowly", "arguments": {"seconds": 30, "steps": 3}, "_meta": {"progressToken": 5}});
    let mut stream = session.post(&request("tools/call", call)).await;
    let first = stream.event().await.unwrap();
    assert_eq!((first.data.as_deref(), first.id.is_some()), (Some(""), true));
    let one = stream.event().await.unwrap();
    assert!(one.data.unwrap().contains("1 of 3"));
    drop(stream);
    tokio::time::sleep(Duration::from_secs(15)).await;

    let resumed = session.bare("GET", &[("last-event-id", &one.id.unwrap())]).await;
    let messages = resumed.messages().await;
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[0]["params"]["message"], "2 of 3");
    assert_eq!(messages[2]["result"]["content"][0]["text"], "Counted to 3 in 30 seconds.");
}

/// spec: TR-92
#[tokio::test(start_paused = true)]
async fn cancelled_call_ends_without_an_answer() {
    let session = open("2025-11-25").await;
    let call = json!({"name": "count_slowly", "arguments": {"seconds": 60}, "_meta": {"progressToken": 5}});
    let mut stream = session.post(&request("tools/call", call)).await;
    stream.message().await.unwrap();
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "q1"}});
    assert_eq!(session.post(&cancel).await.status, StatusCode::ACCEPTED);
    assert_eq!(stream.message().await, None);
}

#[tokio::test]
async fn news_come_once_on_the_stream_that_belongs_to_no_request() {
    let session = open("2025-11-25").await;
    session.ask("resources/subscribe", json!({"uri": "note:///4"})).await;
    session.ask("resources/subscribe", json!({"uri": "note:///5"})).await;
    session.ask("resources/unsubscribe", json!({"uri": "note:///5"})).await;
    let add = json!({"name": "add_note", "arguments": {"title": "t", "text": ""}});
    session.ask("tools/call", add.clone()).await;
    session.ask("tools/call", add).await;

    let mut first = session.bare("GET", &[]).await;
    let mut methods = Vec::new();
    for _ in 0..3 {
        methods.push(first.message().await.unwrap()["method"].as_str().unwrap().to_owned());
    }
    let changed = "notifications/resources/list_changed";
    assert_eq!(methods, [changed, "notifications/resources/updated", changed]);

    // A second reader takes over, and nothing is said twice.
    let mut second = session.bare("GET", &[]).await;
    assert_eq!(first.message().await, None);
    session.ask("tools/call", json!({"name": "delete_note", "arguments": {"id": "1"}})).await;
    assert_eq!(second.message().await.unwrap()["method"], changed);
    session.client.sample.close();
    assert_eq!(second.message().await, None);
}

#[tokio::test]
async fn sessions_are_bounded_and_the_idlest_goes_first() {
    let first = open("2025-11-25").await;
    let initialize = request("initialize", json!({"protocolVersion": "2025-11-25", "capabilities": {}}));
    for _ in 0..256 {
        first.client.clock.advance(Duration::from_millis(1));
        assert_eq!(first.client.post(&[], &initialize).await.status, StatusCode::OK);
    }
    assert_eq!(first.post(&request("ping", json!({}))).await.status, StatusCode::NOT_FOUND);
}

/// spec: TR-98
#[tokio::test]
async fn idle_sessions_are_forgotten_unless_somebody_listens() {
    let session = open("2025-11-25").await;
    let stream = session.bare("GET", &[]).await;
    session.client.clock.advance(Duration::from_mins(31));
    assert_eq!(session.post(&request("ping", json!({}))).await.status, StatusCode::OK);
    drop(stream);
    // The sample notices the loss of a connection a little later.
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
    session.client.clock.advance(Duration::from_mins(31));
    assert_eq!(session.post(&request("ping", json!({}))).await.status, StatusCode::NOT_FOUND);
}
