//! Servers that send us elsewhere.

use anyhow::Result;
use portcullis_house::gateway::{ALICE, TestGateway};
use serde_json::json;

use crate::{
    behind::{Behind, Reply},
    origin_server::Canary,
};

// spec: T-29, UP-41
#[tokio::test(flavor = "multi_thread")]
async fn t29_no_call_follows_a_server_to_another_place() -> Result<()> {
    let house = TestGateway::start().await?;
    for status in [301, 302, 303, 307, 308] {
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let canary = Canary::new()?;
            let to = format!("http://{host}:{}/mcp", canary.port);
            let location = to.clone();
            let behind = Behind::with(move |_| {
                let head = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
                Some(Reply::Raw(head.into_bytes()))
            })
            .await?;
            let name = format!("s{status}-{}", canary.port);
            house.protect(&name, behind.at).await?;
            let (_, tokens) = house.client(&name, ALICE).await?;
            let answer = house.call(&name, &tokens.access, "echo", json!({ "text": "secret-words" })).send().await?;
            assert_eq!(answer.header("location"), None, "{status}");
            assert!(!answer.text().contains(&to), "{status}: {}", answer.text());
            assert!(answer.status >= 500 || answer.text().contains("error"), "{} {}", answer.status, answer.text());
            assert_eq!(canary.touched(), 0, "{status} to {host}");
            assert!(!behind.seen().is_empty(), "the server was not asked at all");
        }
    }
    house.stop().await
}

// spec: T-29
#[tokio::test(flavor = "multi_thread")]
async fn t29_a_server_that_sends_us_in_circles_is_left() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::with(|_| {
        Some(Reply::Raw(b"HTTP/1.1 307 Again\r\nlocation: /mcp\r\ncontent-length: 0\r\n\r\n".to_vec()))
    })
    .await?;
    house.protect("circle", behind.at).await?;
    let (_, tokens) = house.client("circle", ALICE).await?;
    let before = behind.seen().len();
    let answer = house.call("circle", &tokens.access, "echo", json!({})).send().await?;
    assert!(answer.status >= 500 || answer.text().contains("error"), "{} {}", answer.status, answer.text());
    let asked = behind.seen().len() - before;
    assert!(asked <= 4, "asked {asked} times for one call");
    house.stop().await
}
