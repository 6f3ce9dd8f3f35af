//! What administrators do about connections: for everybody, for one person, and looking at how a server signs people in.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_base::{Holder, ServerName};
use portcullis_gateway::extract::RECENT;
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Answer,
    person::{Browser, form},
};
use serde_json::json;

use crate::{
    account_site::{Site, connect, send},
    visit::signed_in,
};

const ROOT: (&str, &str) = ("root", ALICE.1);

async fn house() -> Result<TestGateway> {
    let house = TestGateway::with("limits: { sign_ins_per_minute: 1000 }").await?;
    house.person(ROOT, true, &[]).await?;
    Ok(house)
}

async fn account(house: &TestGateway, holder: Holder) -> Result<Option<String>> {
    let notes = ServerName::parse("notes").context("a name")?;
    Ok(house.app.store.connection(&holder, &notes).await?.and_then(|row| row.account))
}

/// Sends the form of a page to another address.
async fn misuse(browser: &mut Browser, page: &Answer, action: &str, extra: &[(&str, &str)]) -> Result<Answer> {
    let mut form = form(&page.text()).context("a form")?;
    action.clone_into(&mut form.action);
    browser.submit(&form, extra).await
}

// spec: UP-40, T-95
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_for_everybody_is_made_and_ended_by_administrators_signed_in_recently() -> Result<()> {
    let (house, site) = (house().await?, Site::start().await?);
    site.protect(&house, "notes", json!({ "kind": "oauth", "shared": true })).await?;
    site.protect(&house, "mine", json!({ "kind": "oauth" })).await?;
    let mut bob = signed_in(&house, BOB).await?;
    let page = bob.get("/connections/notes").await?;
    assert!(page.status == 200 && !page.text().contains("/connections/notes/connect"), "{}", page.text());
    let own = bob.get("/connections/mine").await?;
    for verb in ["connect", "disconnect"] {
        let answer = misuse(&mut bob, &own, &format!("/connections/notes/{verb}"), &[]).await?;
        assert_eq!(answer.status, 403, "{verb}");
    }

    let mut root = signed_in(&house, ROOT).await?;
    connect(&site, &mut root, "notes", "everybody@notes.example").await?;
    assert_eq!(account(&house, Holder::Shared).await?.as_deref(), Some("everybody@notes.example"));
    // Everybody sees as whom they act, and only an administrator can end it.
    let page = bob.get("/connections").await?.text();
    assert!(page.contains("everybody@notes.example") && page.contains("Shared"), "{page}");
    assert_eq!(misuse(&mut bob, &own, "/connections/notes/disconnect", &[]).await?.status, 403);
    house.advance(RECENT + Duration::from_secs(1)).await?;
    let page = root.get("/connections/notes").await?;
    for verb in ["connect", "disconnect"] {
        let answer = misuse(&mut root, &page, &format!("/connections/notes/{verb}"), &[]).await?;
        assert!(answer.status == 403 && answer.text().contains("session.not_recent"), "{verb}: {}", answer.text());
    }
    assert_eq!(account(&house, Holder::Shared).await?.as_deref(), Some("everybody@notes.example"));
    house.stop().await
}

// spec: UP-47, T-95
#[tokio::test(flavor = "multi_thread")]
async fn administrators_find_and_end_connections_and_see_no_secret() -> Result<()> {
    let (house, site) = (house().await?, Site::start().await?);
    site.protect(&house, "notes", json!({ "kind": "oauth" })).await?;
    for (login, name) in [(ALICE, "alice@notes.example"), (BOB, "bob@notes.example")] {
        let mut browser = signed_in(&house, login).await?;
        connect(&site, &mut browser, "notes", name).await?;
    }
    let mut root = signed_in(&house, ROOT).await?;
    for (path, alice, bob) in [
        ("/admin/connections", true, true),
        ("/admin/connections?server=notes", true, true),
        ("/admin/connections?server=sample", false, false),
        ("/admin/connections?person=alice", true, false),
        ("/admin/connections?person=bob&server=notes", false, true),
        ("/admin/connections?person=nobody", false, false),
        ("/admin/connections/notes", true, true),
        ("/api/v1/connections", true, true),
        ("/api/v1/connections?person=bob", false, true),
    ] {
        let text = root.get(path).await?.text();
        assert_eq!(text.contains("alice@notes.example"), alice, "{path}: {text}");
        assert_eq!(text.contains("bob@notes.example"), bob, "{path}: {text}");
        assert!(!text.contains("canary") && !text.contains("sealed\""), "{path}: {text}");
    }
    let page = root.get("/admin/connections?person=bob").await?;
    let answer = send(&mut root, &page, "/admin/connections/notes/disconnect", &[]).await?;
    assert!(answer.status == 200 && answer.text().contains("was told"), "{}", answer.text());
    let id =
        async |name: &str| -> Result<_> { Ok(house.app.store.person_by_name(name).await?.context("nobody")?.0.id) };
    assert_eq!(account(&house, Holder::Person(id("bob").await?)).await?, None);
    assert!(account(&house, Holder::Person(id("alice").await?)).await?.is_some());
    house.stop().await
}

// spec: T-33
#[tokio::test(flavor = "multi_thread")]
async fn t33_a_server_is_checked_by_administrators_by_its_name_and_by_a_form() -> Result<()> {
    let (house, site) = (house().await?, Site::start().await?);
    site.protect(&house, "notes", json!({ "kind": "oauth" })).await?;
    let mut root = signed_in(&house, ROOT).await?;
    let check = "/admin/servers/notes/check";
    // Looking at the page asks nobody anything.
    let before = site.behind.seen().len();
    let page = root.get(check).await?;
    assert_eq!((page.status, site.behind.seen().len()), (200, before));
    // An address or a command in the form is no address or command.
    let extra = [("url", "http://169.254.169.254/"), ("command", "id")];
    let answer = send(&mut root, &page, "/check", &extra).await?;
    assert!(answer.status == 200 && answer.text().contains("oauth-protected-resource"), "{}", answer.text());
    assert!(!answer.text().contains("169.254"), "{}", answer.text());
    assert!(site.behind.seen().len() > before);
    assert!(!site.behind.seen().iter().any(|seen| seen.line.starts_with("POST /register")), "nothing is registered");
    assert_eq!(house.events("server.examined").await?.len(), 1);
    // Programs get the same as JSON.
    let form = form(&page.text()).context("a form")?;
    let fields: Vec<_> = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = root.request("POST", check).header("origin", &format!("http://{}", house.authority));
    let answer = request.header("accept", "application/json").form(&fields).send().await?;
    assert!(answer.json()["steps"].as_array().is_some_and(|steps| steps.len() > 2), "{}", answer.text());
    // Names that are none, and people who may not.
    for name in ["nothing", "127.0.0.1", "http:%2F%2F169.254.169.254", "..%2Fnotes"] {
        let answer = misuse(&mut root, &page, &format!("/admin/servers/{name}/check"), &[]).await?;
        assert_eq!(answer.status, 404, "{name}");
    }
    let mut bob = signed_in(&house, BOB).await?;
    let own = bob.get("/connections/notes").await?;
    assert_eq!(misuse(&mut bob, &own, check, &[]).await?.status, 403);
    house.advance(RECENT + Duration::from_secs(1)).await?;
    assert_eq!(misuse(&mut root, &page, check, &[]).await?.status, 403);
    house.stop().await
}
