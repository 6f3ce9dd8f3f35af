//! What goes on: numbers of real calls, notices about people who do what they never did, rights that nobody uses.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    person::{Browser, Client, form_to},
};
use serde_json::{Value, json};

use crate::{
    rules::indexed,
    walk::{AUDITOR, CHIEF, ROOT, house, id_of, signed_in},
};

const DAY: Duration = Duration::from_hours(24);
const HOSTILE: &str = "<script>alert(1)</script>\u{202e}";
const RULES: &str = "approvals: { hold: 0 }
rules:
  - rule: no-deletes
    who: '*'
    what: sample/delete_*
    then: deny
  - rule: notes-are-agreed-to
    who: '*'
    what: sample/add_note
    then: ask
    ask: { approvers: [group:platform] }
";

/// A fresh token of `client` for the sample server.
async fn token(house: &TestGateway, client: &Client, login: (&str, &str)) -> Result<String> {
    let code = client.code(&mut Browser::new(&house.authority), "sample", login).await?;
    Ok(client.redeem(&code).await?.access)
}

/// The audit pages that a part of the page leads to.
fn trails(part: &str) -> Vec<String> {
    let links = part.split("href=\"/admin/audit?").skip(1).filter_map(|rest| rest.split('"').next());
    links.map(|query| format!("/admin/audit?{}", query.replace("&amp;", "&"))).collect()
}

/// The section of the page with this heading.
fn section<'a>(page: &'a str, id: &str) -> Result<&'a str> {
    let (_, after) = page.split_once(&format!("aria-labelledby=\"{id}\"")).with_context(|| format!("{id}: {page}"))?;
    Ok(after.split("</section>").next().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_those_of_the_calls_that_were_made_and_lead_to_them() -> Result<()> {
    let house = house(RULES).await?;
    let client = Client::register(&house.authority, HOSTILE).await?;
    let access = token(&house, &client, ALICE).await?;
    let call = async |tool: &str, arguments: Value| house.call("sample", &access, tool, arguments).send().await;
    for _ in 0..3 {
        call("list_notes", json!({})).await?;
    }
    call("delete_note", json!({ "id": "1" })).await?;
    call("read_note", json!({})).await?;
    call(HOSTILE, json!({})).await?;
    let asked = call("add_note", json!({ "text": "x" })).await?.text();
    let (_, rest) = asked.split_once("/approvals/").with_context(|| format!("nobody was asked: {asked}"))?;
    let id: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
    let path = format!("/approvals/{id}");
    let mut chief = signed_in(&house, CHIEF).await?;
    let page = chief.get(&path).await?.text();
    let mut form = form_to(&page, &path).with_context(|| format!("no form: {page}"))?;
    form.fields.retain(|(name, _)| name == "form_token");
    let said = chief.submit(&form, &[("word", "approve")]).await?;
    ensure!(said.status == 303, "{} {}", said.status, said.text());
    indexed(&house).await?;

    // The same as somebody who reads the journal would count.
    let journal = house.journal().await?;
    let lines = |event: &str, of: &dyn Fn(&Value) -> bool| {
        journal.iter().filter(|line| line["event"] == event && of(line)).count()
    };
    let mut auditor = signed_in(&house, AUDITOR).await?;
    let told = auditor.get("/api/v1/insight").await?.json();
    let total = &told["total"];
    for (name, count) in [
        ("calls", lines("call.decided", &|_| true)),
        ("allowed", lines("call.decided", &|line| line["effect"] == "allow")),
        ("asked", lines("call.decided", &|line| line["effect"] == "ask")),
        ("denied", lines("call.decided", &|line| line["effect"] == "deny")),
        ("succeeded", lines("call.ended", &|line| line["outcome"] == "success")),
        ("errors", lines("call.ended", &|line| line["outcome"] != "success")),
        ("ended", lines("call.ended", &|_| true)),
        ("approvals_asked", lines("approval.asked", &|_| true)),
        ("approvals_granted", lines("approval.granted", &|_| true)),
    ] {
        assert_eq!(total[name], count, "{name}: {told}");
    }
    assert!(total["denied"] == 1 && total["approvals_granted"] == 1 && total["p99_us"].is_i64(), "{total}");
    assert!(total["succeeded"].as_i64() >= Some(3) && total["errors"].as_i64() >= Some(1), "{total}");
    let slots = told["over_time"].as_array().context("slots")?;
    let calls = slots.iter().filter_map(|slot| slot["calls"].as_i64()).sum::<i64>();
    assert!(slots.len() == 24 && total["calls"] == calls, "{told}");
    let top = |name: &str| told[name].as_array().cloned().unwrap_or_default();
    let first = json!({ "server": "sample", "name": "list_notes", "calls": 3 });
    assert!(first.as_object().into_iter().flatten().all(|(name, value)| top("tools")[0][name] == *value), "{told}");
    assert_eq!(top("people").iter().map(|one| &one["name"]).collect::<Vec<_>>(), [ALICE.0], "{told}");
    assert_eq!((&top("clients")[0]["client"], &top("clients")[0]["name"]), (&json!(client.id), &json!(HOSTILE)));
    assert!(top("servers")[0]["server"] == "sample" && top("servers")[0]["p50_us"].is_i64(), "{told}");
    assert_eq!(top("notices"), Vec::<Value>::new(), "everybody is new");

    // The page shows the same, and what it leads to is there.
    let page = auditor.get("/admin/insight").await?;
    let text = page.text();
    assert_eq!(page.status, 200, "{text}");
    for part in ["list_notes", "delete_note", "1 granted, 0 refused, 0 expired", "All times are UTC", "role=\"img\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // spec: T-93: names of others run nowhere and turn nothing around.
    assert!(text.contains("&lt;script&gt;") && !text.contains("<script>alert") && !text.contains('\u{202e}'), "{text}");
    // spec: SEC-34: the policy lets no style or script through that stands in the page.
    assert!(!text.contains(" style=") && !text.contains("<style") && !text.contains(" onclick"), "{text}");
    let most = section(&text, "most")?;
    assert!(trails(most).len() >= 6, "{most}");
    for trail in trails(&text) {
        let found = auditor.get(&trail).await?;
        assert_eq!(found.status, 200, "{trail}: {}", found.text());
    }
    for trail in trails(most) {
        let found = auditor.get(&trail).await?.text();
        assert!(found.contains("call.decided"), "{trail}: {found}");
    }
    // Other times are links; what cannot be read is said beside the fields.
    for query in ["range=7d", "range=30d", "from=2027-01-01", "from=2027-01-01&to=2027-01-15", "to=2027-01-15"] {
        let page = auditor.get(&format!("/admin/insight?{query}")).await?;
        let text = page.text();
        assert_eq!(page.status, 200, "{query}: {text}");
        assert!(text.contains("list_notes") && text.contains("aria-current=\"true\""), "{query}: {text}");
        assert_eq!(auditor.get(&format!("/api/v1/insight?{query}")).await?.json()["total"], *total, "{query}");
    }
    let past = auditor.get("/admin/insight?from=2026-12-01&to=2026-12-05").await?.text();
    assert!(past.contains("Nothing was called in this time") && !past.contains("role=\"img\""), "{past}");
    for query in ["range=1y", "from=yesterday", "from=2027-01-15&to=2027-01-14", "from=%22%3E%3Cscript%3Ealert(2)"] {
        let wrong = auditor.get(&format!("/admin/insight?{query}")).await?;
        assert!(wrong.status == 422 && wrong.text().contains("role=\"alert\""), "{query}: {}", wrong.text());
        assert!(!wrong.text().contains("<script>alert"), "{query}: {}", wrong.text());
        assert_eq!(auditor.get(&format!("/api/v1/insight?{query}")).await?.status, 422, "{query}");
    }
    // It counts what people do; it is no way to what they say.
    assert!(signed_in(&house, BOB).await?.get("/admin/insight").await?.status == 403);
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_do_what_they_never_did_are_noticed_and_not_stopped() -> Result<()> {
    let house = house("").await?;
    let (usual, other) =
        (Client::register(&house.authority, "Usual").await?, Client::register(&house.authority, "Another one").await?);
    for _ in 0..8 {
        let access = token(&house, &usual, ALICE).await?;
        for _ in 0..3 {
            house.call("sample", &access, "list_notes", json!({})).send().await?;
        }
        house.advance(DAY).await?;
    }
    // Bob is new and makes as many calls as Alice will.
    let (own, bobs) = (token(&house, &usual, ALICE).await?, token(&house, &usual, BOB).await?);
    let anothers = token(&house, &other, ALICE).await?;
    for access in [&own, &bobs] {
        for _ in 0..120 {
            let answer = house.call("sample", access, "list_notes", json!({})).send().await?;
            ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        }
    }
    for access in [&own, &anothers, &bobs] {
        let answer = house.call("sample", access, "echo", json!({ "message": "x" })).send().await?;
        assert!(answer.status == 200 && answer.json()["result"]["isError"] != true, "{}", answer.text());
    }
    indexed(&house).await?;

    let mut auditor = signed_in(&house, AUDITOR).await?;
    let alice = id_of(&house, ALICE.0).await?;
    let told = auditor.get("/api/v1/insight").await?.json();
    let notices = told["notices"].as_array().context("notices")?;
    assert!(notices.iter().all(|notice| notice["person"] == alice.as_str()), "{told}");
    let mut kinds: Vec<_> = notices.iter().filter_map(|notice| notice["kind"].as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["new_client", "new_tool", "volume"], "{told}");
    let of = |kind: &str| notices.iter().find(|notice| notice["kind"] == kind).cloned().unwrap_or_default();
    assert_eq!((&of("new_tool")["server"], &of("new_tool")["names"]), (&json!("sample"), &json!(["echo"])));
    assert_eq!(of("new_client")["names"], json!([other.id]));
    assert_eq!((&of("volume")["calls"], &of("volume")["usual"]), (&json!(122), &json!(3)));

    let text = auditor.get("/admin/insight").await?.text();
    let told = section(&text, "notices")?;
    for part in ["<b>echo</b> at sample", "<b>Another one</b>", "<b>122 calls</b> in a day", "nothing is blocked"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let trails = trails(told);
    assert_eq!(trails.len(), 3, "{told}");
    for trail in trails {
        let found = auditor.get(&trail).await?.text();
        assert!(found.contains("call.decided") && !found.contains("Nothing was found"), "{trail}: {found}");
    }
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_nobody_uses_are_shown_with_the_way_to_take_them_away() -> Result<()> {
    let house = house("").await?;
    let (used, idle) =
        (Client::register(&house.authority, "In use").await?, Client::register(&house.authority, HOSTILE).await?);
    token(&house, &idle, BOB).await?;
    let mut auditor = signed_in(&house, AUDITOR).await?;
    let text = auditor.get("/admin/insight").await?.text();
    assert!(section(&text, "unused")?.contains("There are none."), "made just now: {text}");
    assert!(text.contains("Nothing was called in this time") && text.contains("the home page"), "{text}");

    let code = used.code(&mut Browser::new(&house.authority), "sample", ALICE).await?;
    let refresh = used.redeem(&code).await?.refresh.context("a refresh token")?;
    house.advance(15 * DAY).await?;
    let answer = used.refresh(&refresh).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    let mut auditor = signed_in(&house, AUDITOR).await?;
    let told = auditor.get("/api/v1/insight").await?.json();
    let bob = id_of(&house, BOB.0).await?;
    let unused = told["unused"].as_array().context("unused")?;
    assert_eq!(unused.len(), 1, "{told}");
    assert_eq!((&unused[0]["kind"], &unused[0]["person"]), (&json!("client"), &json!(bob)), "{told}");
    let text = auditor.get("/admin/insight").await?.text();
    let unused = section(&text, "unused")?;
    assert!(unused.contains("&lt;script&gt;") && !unused.contains("<script>"), "{unused}");
    let way = format!("href=\"/admin/people/{bob}\"");
    assert!(unused.contains(&way), "{unused}");
    let mut root = signed_in(&house, ROOT).await?;
    let person = root.get(&format!("/admin/people/{bob}")).await?.text();
    assert!(person.contains("/grants/revoke"), "{person}");
    house.stop().await
}
