//! Offboarding from the page, and its report.

use std::fs;

use anyhow::{Context, Result};
use portcullis_audit::PublicKeys;
use portcullis_gateway::offboard::Report;
use portcullis_house::gateway::BOB;
use serde_json::json;

use crate::walk::{AUDITOR, ROOT, house, id_of, send, signed_in};

// spec: T-53
#[tokio::test(flavor = "multi_thread")]
async fn t53_offboarding_on_the_page_ends_everything_and_shows_the_report() -> Result<()> {
    let house = house("").await?;
    let (_, tokens) = house.client("sample", BOB).await?;
    let call = || house.call("sample", &tokens.access, "echo", json!({ "message": "hi" }));
    assert_eq!(call().send().await?.status, 200);
    let (mut root, mut bob) = (signed_in(&house, ROOT).await?, signed_in(&house, BOB).await?);
    let address = format!("/admin/people/{}/offboard", id_of(&house, BOB.0).await?);
    let page = root.get(&address).await?.text();
    for needed in ["Offboard bob?", "signed-in browsers", "<b>1</b> applications with access"] {
        assert!(page.contains(needed), "{needed}: {page}");
    }
    let refused = send(&mut root, &address, &[("confirm", "alice")]).await?;
    assert_eq!((refused.status, call().send().await?.status), (422, 200), "{}", refused.text());

    let answer = send(&mut root, &address, &[("confirm", "Bob")]).await?;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(call().send().await?.status, 401);
    assert_eq!(bob.get("/").await?.status, 303);
    let report = answer.header("location").context("report")?.split('?').next().unwrap_or_default().to_owned();

    let mut auditor = signed_in(&house, AUDITOR).await?;
    let page = auditor.get(&report).await?.text();
    for needed in ["Report on bob", "root, on a page", "The account", "signed-in browser", "The access of"] {
        assert!(page.contains(needed), "{needed}: {page}");
    }
    assert!(auditor.get("/admin/offboarding").await?.text().contains(&report));
    let file = auditor.get(&format!("{report}/report.json")).await?;
    assert_eq!(file.header("content-type"), Some("application/json"));
    assert!(file.header("content-disposition").is_some_and(|value| value.starts_with("attachment;")));
    assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    // Whoever has the public keys of the journal can check it.
    let journal = house.data().join("journal");
    let mut keys = fs::read_dir(&journal)?.flatten().map(|entry| entry.path());
    let keys = keys.find(|path| path.to_string_lossy().ends_with(".pub.json")).context("public keys")?;
    let keys = PublicKeys::parse(&fs::read(keys)?)?;
    assert_eq!(Report::verify(&file.body, &keys)?.name, "bob");
    let altered = file.text().replace("bob", "eve");
    assert!(Report::verify(altered.as_bytes(), &keys).is_err());
    house.stop().await
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn t95_the_last_administrator_cannot_be_offboarded_on_the_page() -> Result<()> {
    let house = house("").await?;
    let mut root = signed_in(&house, ROOT).await?;
    let address = format!("/admin/people/{}/offboard", id_of(&house, ROOT.0).await?);
    let answer = send(&mut root, &address, &[("confirm", "root")]).await?;
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("last administrator"), "{}", answer.text());
    assert_eq!(root.get("/admin/people").await?.status, 200);
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_offboarded_is_switched_on_again_with_nothing() -> Result<()> {
    let house = house("").await?;
    let (_, tokens) = house.client("sample", BOB).await?;
    let mut root = signed_in(&house, ROOT).await?;
    let id = id_of(&house, BOB.0).await?;
    send(&mut root, &format!("/admin/people/{id}/offboard"), &[("confirm", "bob")]).await?;
    assert!(signed_in(&house, BOB).await.is_err());
    let page = root.get(&format!("/admin/people/{id}")).await?.text();
    assert!(page.contains("Switched off") && page.contains("Switch on again"), "{page}");
    assert_eq!(send(&mut root, &format!("/admin/people/{id}/enable"), &[]).await?.status, 303);
    assert!(signed_in(&house, BOB).await.is_ok());
    let call = house.call("sample", &tokens.access, "echo", json!({ "message": "hi" }));
    assert_eq!(call.send().await?.status, 401);
    house.stop().await
}
