//! The corridor works at all; without this, an attack that fails proves nothing.

use anyhow::Result;
use portcullis_house::gateway::{ALICE, TestGateway};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn signed_in_client_calls_a_tool_in_both_eras() -> Result<()> {
    let house = TestGateway::start().await?;
    let (client, tokens) = house.client("sample", ALICE).await?;
    let answer = house.call("sample", &tokens.access, "echo", json!({ "message": "hello" })).send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("hello"), "{}", answer.text());

    let session = house.session("sample", &tokens.access).await?;
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "echo", "arguments": { "message": "again" } } });
    let answer = house.legacy("sample", &tokens.access, &session, &call).send().await?;
    assert!(answer.text().contains("again"), "{} {}", answer.status, answer.text());

    let refreshed = client.refresh(tokens.refresh.as_deref().unwrap_or_default()).await?;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
    house.stop().await
}
