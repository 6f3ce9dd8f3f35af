//! Credentials of other kinds, and permissions that are missing at first.

use anyhow::Result;
use portcullis_house::{
    gateway::{ALICE, BOB},
    person::form_to,
};
use serde_json::{Value, json};

use crate::town::Town;

/// A secret in a file, as the settings name it.
fn secret(folder: &tempfile::TempDir, text: &str) -> Result<String> {
    let file = folder.path().join("secret");
    std::fs::write(&file, text)?;
    Ok(format!("file:{}", file.display()))
}

fn call(text: &str) -> Value {
    json!({ "text": text })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_of_the_settings_serves_everybody() -> Result<()> {
    let servers =
        json!({ "keyed": { "kind": "key", "header": "x-api-key", "keys": { "canary-key": "the key of the house" } } });
    let folder = tempfile::tempdir()?;
    let credential =
        json!({ "kind": "header", "header": "X-Api-Key", "prefix": "", "value": secret(&folder, "canary-key")? });
    let Some(town) = Town::start(json!({}), servers, &[("keyed", credential)], "").await? else { return Ok(()) };
    for login in [ALICE, BOB] {
        let token = town.token("keyed", login).await?;
        assert_eq!(town.seen_as("keyed", &token).await?, "the key of the house at keyed");
    }
    assert!(!town.house.written().windows(10).any(|window| window == b"canary-key"), "the key was written down");
    town.house.stop().await
}

// spec: UP-66
#[tokio::test(flavor = "multi_thread")]
async fn everybody_types_a_key_of_their_own() -> Result<()> {
    let keys = json!({ "canary-of-alice": "alice", "canary-of-bob": "bob" });
    let servers = json!({ "keyed": { "kind": "key", "keys": keys } });
    let credential = json!({ "kind": "header", "label": "Access token", "pattern": "^canary-[a-z-]+$" });
    let Some(town) = Town::start(json!({}), servers, &[("keyed", credential)], "").await? else { return Ok(()) };
    for login in [ALICE, BOB] {
        let token = town.token("keyed", login).await?;
        let told = town.whoami("keyed", &token).await?.text();
        assert!(told.contains("/connections/keyed"), "{told}");
        let mut browser = town.browser()?;
        let page = browser.connect("keyed", login).await?;
        let form = form_to(&page.text(), "/key").ok_or_else(|| anyhow::anyhow!("no form: {}", page.said()))?;
        let wrong = browser.send_form(&page, &form, &[("key", "canary of nobody")]).await?;
        assert!(wrong.leads_to().is_none(), "a key of another shape was taken");
        let done = browser.send_form(&page, &form, &[("key", &format!("canary-of-{}", login.0))]).await?;
        assert!(done.leads_to().is_some(), "{}", done.said());
        assert_eq!(town.seen_as("keyed", &token).await?, format!("{} at keyed", login.0));
    }
    assert!(!town.house.written().windows(9).any(|window| window == b"canary-of"), "a key was written down");
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_is_one_for_all() -> Result<()> {
    let servers = json!({ "notes": { "authority": "acme", "tls": true } });
    let Some(town) = Town::start(json!({ "acme": {} }), servers, &[], "").await? else { return Ok(()) };
    let (acme, folder) = (town.at("acme"), tempfile::tempdir()?);
    acme.client(json!({ "client_id": "the-house", "client_secret": "canary-of-the-house", "redirect_uris": [],
        "response_types": [], "grant_types": ["client_credentials"] }))
        .await?;
    let credential = json!({ "kind": "client_credentials", "issuer": acme.issuer(), "client_id": "the-house",
        "client_secret": secret(&folder, "canary-of-the-house")?, "scopes": ["notes:read"] });
    town.protect("notes", credential).await?;
    for login in [ALICE, BOB, ALICE] {
        let token = town.token("notes", login).await?;
        assert_eq!(town.seen_as("notes", &token).await?, "the-house at notes");
    }
    assert_eq!(acme.grants("client_credentials").await?, 1, "the token is kept while it is good");
    town.advance(std::time::Duration::from_secs(3_700)).await?;
    let token = town.token("notes", ALICE).await?;
    assert_eq!(town.seen_as("notes", &token).await?, "the-house at notes");
    assert_eq!(acme.grants("client_credentials").await?, 2);
    town.house.stop().await
}

// spec: UP-46
#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_missing_is_asked_for_beside_those_there_are() -> Result<()> {
    let servers = json!({ "notes": { "authority": "acme", "tls": true, "stepUp": true } });
    let Some(town) = Town::start(json!({ "acme": {} }), servers, &[("notes", json!("auto"))], "").await? else {
        return Ok(());
    };
    town.connect("notes", ALICE).await?;
    let token = town.token("notes", ALICE).await?;
    let write = async || town.house.call("notes", &token, "write_note", call("milk")).send().await;
    let told = write().await?.text();
    assert!(told.contains("/connections/") && !told.contains("kept"), "{told}");
    // Reading goes on with what there is.
    assert_eq!(town.seen_as("notes", &token).await?, "alice at notes");
    town.at("acme").forget().await?;
    town.connect("notes", ALICE).await?;
    let asked = town.at("acme").requests().await?;
    let asked: Vec<_> =
        asked.iter().filter_map(|request| request["url"].as_str()).filter(|url| url.contains("/auth?")).collect();
    assert!(asked.iter().all(|url| url.contains("notes%3Aread") && url.contains("notes%3Awrite")), "{asked:?}");
    let kept = write().await?.text();
    assert!(kept.contains("kept milk for alice at notes"), "{kept}");
    town.house.stop().await
}

/// Nobody has to guess which servers want an account: one that asked once is offered to everybody who may use it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_asked_is_among_everybodys_connections() -> Result<()> {
    let Some(town) = Town::with_notes(json!({})).await? else { return Ok(()) };
    let offered = async |login| -> Result<bool> {
        let mut browser = town.browser()?;
        let page = browser.open("/connections").await?;
        let list = browser.connect_from(page, login).await?;
        assert!(list.text().contains("My connections"), "{}", list.text());
        Ok(list.text().contains("/connections/notes"))
    };
    assert!(!offered(BOB).await?, "nothing is known of it yet");
    let token = town.token("notes", ALICE).await?;
    town.whoami("notes", &token).await?;
    assert!(offered(BOB).await?);
    town.house.stop().await
}
