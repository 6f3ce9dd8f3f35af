//! What an administrator changes about people.

use anyhow::Result;
use portcullis_house::gateway::{ALICE, BOB};
use serde_json::json;

use crate::walk::{AUDITOR, ROOT, house, id_of, send, signed_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_given_on_the_page_opens_a_server_and_is_in_the_record() -> Result<()> {
    let house = house("").await?;
    let entry = json!({ "name": "vault", "url": "http://127.0.0.1:9/mcp", "access": ["treasury"] });
    house.protect_as(entry).await?;
    let (mut root, mut bob) = (signed_in(&house, ROOT).await?, signed_in(&house, BOB).await?);
    let id = id_of(&house, BOB.0).await?;
    assert!(!bob.get("/").await?.text().contains("mcp/vault"));

    let answer =
        send(&mut root, &format!("/admin/people/{id}/groups"), &[("groups", " treasury , treasury,b")]).await?;
    assert_eq!(answer.header("location"), Some(format!("/admin/people/{id}?done=groups").as_str()));
    assert!(bob.get("/").await?.text().contains("mcp/vault"));
    let events = house.events("person.changed").await?;
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["person_name"], &events[0]["outcome"]), (&json!("root"), &json!("success")));
    assert_eq!(events[0]["details"]["groups"], json!(["b", "treasury"]), "{}", events[0]);

    let page = root.get(&format!("/admin/people/{id}")).await?.text();
    assert!(page.contains("value=\"b, treasury\""), "{page}");
    // `*` is everybody and no group.
    let answer = send(&mut root, &format!("/admin/people/{id}/groups"), &[("groups", "*")]).await?;
    assert_eq!(answer.status, 422);
    send(&mut root, &format!("/admin/people/{id}/groups"), &[("groups", "")]).await?;
    assert!(!bob.get("/").await?.text().contains("mcp/vault"));
    house.stop().await
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn t95_administrators_are_made_and_unmade_but_never_the_last() -> Result<()> {
    let house = house("").await?;
    let mut root = signed_in(&house, ROOT).await?;
    let (root_id, bob_id) = (id_of(&house, ROOT.0).await?, id_of(&house, BOB.0).await?);
    let rights = |id: &str| format!("/admin/people/{id}/administrator");
    let refused = send(&mut root, &rights(&root_id), &[("give", "no")]).await?;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("last administrator"), "{}", refused.text());
    let events = house.events("person.changed").await?;
    assert_eq!(events.last().map(|event| &event["outcome"]), Some(&json!("failure")));

    let mut bob = signed_in(&house, BOB).await?;
    assert_eq!(bob.get("/admin/people").await?.status, 403);
    assert_eq!(send(&mut root, &rights(&bob_id), &[("give", "yes")]).await?.status, 303);
    assert_eq!(bob.get("/admin/people").await?.status, 200);
    assert_eq!(send(&mut bob, &rights(&root_id), &[("give", "no")]).await?.status, 303);
    // At once, in the session that is open.
    assert_eq!(root.get("/admin/people").await?.status, 403);
    assert_eq!(send(&mut root, &rights(&bob_id), &[("give", "no")]).await?.status, 403);
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_finds_people_by_name_and_group_a_page_at_a_time() -> Result<()> {
    let house = house("").await?;
    for n in 0..60 {
        house.person((&format!("crowd-{n:02}"), ALICE.1), false, &["crowd"]).await?;
    }
    let mut auditor = signed_in(&house, AUDITOR).await?;
    let mut get = async |query: &str| anyhow::Ok(auditor.get(&format!("/admin/people{query}")).await?.text());
    let first = get("").await?;
    assert!(first.contains("65 people") && first.contains("Page 1 of 2") && first.contains("alice"), "{first}");
    assert!(!first.contains("crowd-59") && get("?page=2").await?.contains("crowd-59"));
    let found = get("?q=CROWD&page=2").await?;
    assert!(found.contains("60 people") && found.contains("crowd-59") && !found.contains("alice"), "{found}");
    assert!(found.contains("/admin/people?q=CROWD&amp;page=1"), "{found}");
    assert!(get("?q=platform").await?.contains("1 person"));
    assert!(get("?q=nobody-has-this").await?.contains("0 people"));
    for page in ["0", "9", "-1", "x", "99999999999999999999"] {
        assert!(get(&format!("?page={page}")).await?.contains("65 people"), "{page}");
    }
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_signs_somebody_out_everywhere() -> Result<()> {
    let house = house("").await?;
    let (mut root, mut bob) = (signed_in(&house, ROOT).await?, signed_in(&house, BOB).await?);
    let id = id_of(&house, BOB.0).await?;
    let answer = send(&mut root, &format!("/admin/people/{id}/sessions/end"), &[]).await?;
    assert_eq!(answer.status, 303);
    assert!(bob.get("/account").await?.header("location").is_some_and(|to| to.starts_with("/login")));
    assert_eq!(house.events("person.changed").await?.len(), 1);
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_who_they_are_and_where_they_are_signed_in() -> Result<()> {
    let house = house("").await?;
    let mut chief = signed_in(&house, crate::walk::CHIEF).await?;
    let page = chief.get("/account").await?.text();
    for needed in ["chief", "platform", "admin", "This browser", "Access keys are switched off"] {
        assert!(page.contains(needed), "{needed}: {page}");
    }
    assert!(!page.contains("End all others"));
    signed_in(&house, crate::walk::CHIEF).await?;
    let page = chief.get("/account").await?.text();
    assert_eq!(page.matches("This browser").count(), 1);
    assert!(page.contains("End all others"));
    // Nobody else's browsers are on it.
    assert!(!signed_in(&house, BOB).await?.get("/account").await?.text().contains("End all others"));
    house.stop().await
}
