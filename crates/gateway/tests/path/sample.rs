//! The sample server through the gateway, inside one process and in both eras.

use serde_json::json;

use crate::{
    harness::{Client, Gateway, Setup},
    upstream::soon,
};

async fn client() -> (Gateway, Client) {
    let gateway = Gateway::start(Setup { sample: true, ..Setup::default() }).await;
    let minute = std::time::Duration::from_mins(1);
    let token = gateway.token_for("alice", "sample", "mcp:read mcp:call", minute);
    let client = gateway.client("alice").with_token(&token).to("/mcp/sample");
    (gateway, client)
}

/// spec: TR-52, TR-20
#[tokio::test]
async fn the_stateless_revision() {
    let (_gateway, client) = client().await;
    let discovered = client.modern("server/discover", json!({})).await;
    assert_eq!(discovered.json()["result"]["supportedVersions"][0], "2026-07-28", "{discovered:?}");
    let listed = client.modern("tools/list", json!({})).await;
    assert!(listed.json()["result"]["tools"].as_array().unwrap().len() >= 7);
    let params = json!({ "name": "list_notes", "arguments": {} });
    assert!(client.modern("tools/call", params).await.json()["result"]["content"].is_array());
    let slow = json!({ "name": "count_slowly", "arguments": { "seconds": 0.1, "steps": 3 }, "_meta": { "progressToken": "t" } });
    let mut stream = client.modern_stream("tools/call", slow).await;
    let mut seen = Vec::new();
    while let Some(message) = soon(stream.message()).await {
        seen.push(message);
    }
    let (answer, progress) = seen.split_last().unwrap();
    assert!(answer["result"]["content"].is_array() && answer["id"] == 1, "{seen:?}");
    assert!(
        !progress.is_empty() && progress.iter().all(|message| message["params"]["progressToken"] == "t"),
        "{seen:?}"
    );
}

/// spec: TR-20, TR-22
#[tokio::test]
async fn sessions() {
    let (_gateway, client) = client().await;
    let session = client.initialize().await;
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(client.within(&session, &initialized).await.status, 202);
    let params = json!({ "name": "list_notes", "arguments": {} });
    let body = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params });
    let got = client.within(&session, &body).await;
    assert_eq!((got.status.as_u16(), got.json()["id"].as_i64()), (200, Some(5)), "{got:?}");
    assert!(got.json()["result"]["content"].is_array());
    let headers = [("accept", "text/event-stream"), ("mcp-session-id", session.as_str())];
    let stream = client.send(http::Method::GET, &headers, "").await;
    assert_eq!((stream.status.as_u16(), stream.headers["content-type"].to_str().unwrap()), (200, "text/event-stream"));
    let closed = client.exchange(http::Method::DELETE, &[("mcp-session-id", &session)], "").await;
    assert_eq!(closed.status, 204);
}
