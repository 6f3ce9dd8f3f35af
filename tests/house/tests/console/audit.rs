//! The audit trail: found by what one knows, told as the story of a call, and who looked at what.

use anyhow::{Context, Result};
use portcullis_house::gateway::{ALICE, BOB, TestGateway};
use serde_json::{Value, json};

use crate::{
    rules::indexed,
    walk::{AUDITOR, ROOT, house, id_of, signed_in},
};

const HOSTILE: &str = "<script>alert(1)</script>";

/// A house in which Alice's client listed notes, was not let delete one, and called what is not there; the first call.
async fn busy() -> Result<(TestGateway, String)> {
    let house = house("rules: [{ rule: no-deletes, who: '*', what: sample/delete_*, then: deny }]").await?;
    let (_, tokens) = house.client_of(&["sample"], ALICE).await?;
    let token = &tokens[0].access;
    house.call("sample", token, "list_notes", json!({ "about": "secret-id" })).send().await?;
    house.call("sample", token, "delete_note", json!({ "id": "1" })).send().await?;
    house.call("sample", token, HOSTILE, json!({})).send().await?;
    indexed(&house).await?;
    let decided = house.events("call.decided").await?;
    let let_through = decided.iter().find(|event| event["name"] == "list_notes").context("the call")?;
    let call = let_through["call"].as_str().context("a call")?.to_owned();
    Ok((house, call))
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_what_one_knows_of_them_a_page_at_a_time() -> Result<()> {
    let (house, call) = busy().await?;
    let mut auditor = signed_in(&house, AUDITOR).await?;
    let alice = id_of(&house, ALICE.0).await?;
    for (query, has, has_not) in [
        ("kind=call.decided", vec!["delete_note", "list_notes"], vec!["signin."]),
        ("effect=deny&rule=no-deletes", vec!["delete_note"], vec!["list_notes"]),
        ("text=DELETE_", vec!["delete_note"], vec!["list_notes"]),
        ("name=list_notes", vec!["list_notes"], vec!["delete_note"]),
        ("person=nobody", vec!["Nothing was found."], vec!["<table"]),
        ("since=24h&until=2000-01-01", vec!["Nothing was found."], vec!["<table"]),
    ] {
        let page = auditor.get(&format!("/admin/audit?{query}")).await?;
        let text = page.text();
        assert_eq!(page.status, 200, "{query}");
        assert!(has.iter().all(|part| text.contains(part)), "{query}: {text}");
        let (_, table) = text.split_once("role=\"status\"").context("a count")?;
        assert!(has_not.iter().all(|part| !table.contains(part)), "{query}: {table}");
    }
    for everything in [format!("person={alice}"), "person=alice".to_owned(), format!("call={call}")] {
        let text = auditor.get(&format!("/admin/audit?{everything}")).await?.text();
        assert!(
            text.contains("list_notes") && text.contains(&format!("/admin/audit/calls/{call}")),
            "{everything}: {text}"
        );
    }
    // spec: T-93: what clients call things runs nowhere and turns nothing around.
    let text = auditor.get("/admin/audit").await?.text();
    assert!(text.contains("&lt;script&gt;") && !text.contains("<script>alert") && !text.contains('\u{202e}'), "{text}");
    let wrong = auditor.get("/admin/audit?since=yesterday").await?;
    assert!(wrong.status == 422 && wrong.text().contains("A time is written as"), "{}", wrong.text());
    let typed = auditor.get("/admin/audit?text=%22%3E%3Cscript%3Ealert(2)").await?.text();
    assert!(!typed.contains("<script>alert") && typed.contains("&quot;&gt;&lt;script&gt;"), "{typed}");

    // By pages, in the order of the journal read backwards, nothing left out and nothing twice.
    let (mut seqs, mut at) = (Vec::new(), String::new());
    loop {
        let told = auditor.get(&format!("/api/v1/audit?limit=7&cursor={at}")).await?.json();
        seqs.extend(told["events"].as_array().context("events")?.iter().filter_map(|event| event["seq"].as_i64()));
        match told["next"].as_str() {
            Some(next) => at = next.to_owned(),
            None => break,
        }
    }
    let mut expected: Vec<_> = seqs.clone();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(seqs.len(), expected.len());
    let journal = house.journal().await?;
    let events = journal.iter().filter(|line| line["event"] != "checkpoint").count();
    assert!(seqs.len() > 10 && seqs.len() <= events, "{} of {events}", seqs.len());
    for wrong in ["limit=0", "limit=501", "cursor=x", "since=soon"] {
        assert_eq!(auditor.get(&format!("/api/v1/audit?{wrong}")).await?.status, 422, "{wrong}");
    }
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_shown_to_auditors_who_ask_and_that_they_looked_is_recorded() -> Result<()> {
    let (house, call) = busy().await?;
    let (mut auditor, mut root) = (signed_in(&house, AUDITOR).await?, signed_in(&house, ROOT).await?);
    let page = format!("/admin/audit/calls/{call}");
    let viewed = async || -> Result<Vec<Value>> { house.events("audit.viewed").await };

    // An administrator reads the story without what was said.
    let text = root.get(&page).await?.text();
    assert!(
        text.contains("call.ended") && text.contains("call.decided") && text.contains("They are shown to auditors"),
        "{text}"
    );
    assert!(!text.contains("secret-id") && !root.get("/admin/audit").await?.text().contains("secret-id"));
    for path in [format!("{page}?arguments=yes"), format!("/api/v1{}?arguments=yes", page.trim_start_matches("/admin"))]
    {
        let refused = root.get(&path).await?;
        assert!(refused.status == 403 && !refused.text().contains("secret-id"), "{path}: {}", refused.text());
    }
    // An auditor does too, until they ask for it.
    let text = auditor.get(&page).await?.text();
    assert!(text.contains("Show them") && !text.contains("secret-id"), "{text}");
    assert!(!auditor.get("/api/v1/audit").await?.text().contains("secret-id"));
    assert_eq!(viewed().await?, Vec::<Value>::new());
    let text = auditor.get(&format!("{page}?arguments=yes")).await?.text();
    assert!(text.contains("secret-id") && text.contains("you looked is recorded"), "{text}");
    let told = auditor.get("/api/v1/audit?kind=call.decided&name=list_notes&arguments=yes").await?.json();
    assert_eq!(told["events"][0]["details"]["arguments"]["about"], "secret-id", "{told}");
    let seen = viewed().await?;
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!((&seen[0]["person_name"], &seen[0]["name"]), (&json!(AUDITOR.0), &json!(call)));
    assert_eq!(seen[1]["details"]["filter"], "name=list_notes kind=call.decided");
    let mut bob = signed_in(&house, BOB).await?;
    assert_eq!(bob.get(&page).await?.status, 403);
    assert_eq!(auditor.get("/admin/audit/calls/call_none").await?.status, 404);
    house.stop().await
}
