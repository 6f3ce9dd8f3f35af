//! Keys that people type on a page of ours.

use anyhow::{Context, Result};
use portcullis_base::{Holder, ServerName};
use portcullis_house::gateway::{ALICE, BOB, TestGateway};
use serde_json::json;

use crate::{account_site::send, behind::Behind, visit::signed_in};

// spec: UP-66, UP-89, T-44
#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_into_the_vault_and_onto_no_page() -> Result<()> {
    let (house, behind) = (TestGateway::start().await?, Behind::start().await?);
    let credential = json!({ "kind": "header", "header": "X-Api-Key", "label": "API key", "pattern": "sk_[a-z0-9]+" });
    let url = format!("http://{}/mcp", behind.at);
    house.protect_as(json!({ "name": "notes", "url": url, "credential": credential })).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let page = alice.get("/connections/notes").await?;
    assert!(page.text().contains("type=\"password\"") && page.text().contains("autocomplete=\"off\""));
    for bad in ["", "  ", "hunter2", "sk_abc!", "sk_a\r\nx: y", "sk_ä"] {
        let answer = send(&mut alice, &page, "/key", &[("key", bad)]).await?;
        assert_eq!(answer.status, 422, "{bad:?}: {}", answer.text());
        assert!(bad.trim().is_empty() || !answer.text().contains(bad.trim()), "a key comes back: {}", answer.text());
    }
    let done = send(&mut alice, &page, "/key", &[("key", " sk_canary1 ")]).await?;
    assert_eq!(done.header("location"), Some("/connections?done=connected&server=notes"), "{}", done.text());
    let notes = ServerName::parse("notes").context("a name")?;
    let id = house.app.store.person_by_name("alice").await?.context("alice")?.0.id;
    assert!(house.app.store.connection(&Holder::Person(id), &notes).await?.is_some());
    for path in ["/connections", "/connections/notes"] {
        assert!(!alice.get(path).await?.text().contains("sk_canary1"), "{path}");
    }
    let written = house.written();
    assert!(!written.windows(10).any(|window| window == b"sk_canary1"), "the key is on the disk");
    // Bob has none of it.
    let mut bob = signed_in(&house, BOB).await?;
    assert!(bob.get("/connections").await?.text().contains("Not connected"));
    // And it is no provider's to take back.
    let page = alice.get("/connections").await?;
    let ended = send(&mut alice, &page, "/notes/disconnect", &[]).await?;
    assert!(ended.text().contains("The key itself is still good"), "{}", ended.text());
    house.stop().await
}
