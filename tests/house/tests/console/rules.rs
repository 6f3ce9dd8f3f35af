//! Rules with what they did, calls explained, and tools with what says what they are.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::{Result, ensure};
use portcullis_house::gateway::{ALICE, TestGateway};
use serde_json::json;

use crate::walk::{AUDITOR, ROOT, house, send, signed_in};

const RULES: &str = "rules:
  - rule: no-deletes
    who: '*'
    what: sample/delete_*
    then: deny
  - rule: long-notes
    who: [group:writers]
    what: sample/add_note
    when: size(args.text) > 100
    then: deny
  - rule: draft
    who: '*'
    what: sample/list_notes
    then: deny
    shadow: true
  - rule: misspelt
    who: [group:writers]
    what: sample/ad_note
    then: deny
  - rule: nowhere
    who: '*'
    what: elsewhere/x
    then: deny
";

/// Waits until the index has caught up with the journal.
pub async fn indexed(house: &TestGateway) -> Result<()> {
    let head = house.journal().await?.len() as i64;
    for _ in 0..1000 {
        let cursor = house.app.store.audit_cursor(&node(house).await?).await?;
        if cursor.is_some_and(|cursor| cursor.seq >= head) && house.app.index_lag.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("the index does not catch up")
}

/// Waits until the rules were held against the tools that were listed.
async fn inspected(house: &TestGateway) -> Result<()> {
    let app = &house.app;
    for _ in 0..1000 {
        app.inspection.round(&app.store, &app.snapshot.load_full(), &app.upstreams).await?;
        if app.inspection.findings().iter().any(|finding| finding.error.message.contains("ad_note")) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("the tools that were listed are not known")
}

async fn node(house: &TestGateway) -> Result<String> {
    let lines = house.journal().await?;
    Ok(lines[0]["node"].as_str().unwrap_or_default().to_owned())
}

/// A house in which Alice's client listed notes twice and tried to delete one.
async fn busy() -> Result<TestGateway> {
    let house = house(RULES).await?;
    let (_, tokens) = house.client_of(&["sample"], ALICE).await?;
    let token = &tokens[0].access;
    let answer = house.modern("sample", token, 1, "tools/list", json!({})).send().await?;
    ensure!(answer.status == 200, "{}", answer.text());
    for _ in 0..2 {
        house.call("sample", token, "list_notes", json!({})).send().await?;
    }
    house.call("sample", token, "delete_note", json!({ "id": "1" })).send().await?;
    indexed(&house).await?;
    inspected(&house).await?;
    Ok(house)
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_shown_with_their_place_what_they_did_and_what_shadows_would_have() -> Result<()> {
    let house = busy().await?;
    let mut auditor = signed_in(&house, AUDITOR).await?;
    let page = auditor.get("/admin/rules").await?.text();
    let row = |name: &str| page.split("<tr").find(|row| row.contains(&format!("<b>{name}</b>"))).unwrap_or_default();
    assert!(row("no-deletes").contains("portcullis.yaml:") && row("no-deletes").contains("1 denied"), "{page}");
    assert!(row("no-deletes").contains("Just now"), "{page}");
    assert!(row("long-notes").contains("size(args.text) &gt; 100") && row("long-notes").contains("Not in this time"));
    assert!(row("Access lists").contains("allowed"), "{page}");
    let (_, shadows) = page.split_once("id=\"shadows\"").expect("a chapter of shadows");
    assert!(shadows.contains("applied to 2 calls") && shadows.contains("<b>2</b> of them"), "{shadows}");
    assert!(shadows.contains("sample/list_notes") && shadows.contains(ALICE.0), "{shadows}");
    assert!(page.contains("There is no server &quot;elsewhere&quot;."), "{page}");
    // As the sample was seen to define its tools.
    assert!(page.contains("did you mean &quot;sample/add_note&quot;?"), "{page}");

    let mut root = signed_in(&house, ROOT).await?;
    let told = root.get("/api/v1/rules?days=1").await?.json();
    assert_eq!((&told["rules"][0]["rule"], &told["rules"][0]["hits"]["deny"]), (&json!("no-deletes"), &json!(1)));
    assert_eq!(told["shadows"][0]["would_have_changed"], 2);
    // What is older than was asked for is not counted.
    house.advance(Duration::from_hours(25)).await?;
    let mut root = signed_in(&house, ROOT).await?;
    assert_eq!(root.get("/api/v1/rules?days=1").await?.json()["rules"][0]["hits"]["deny"], 0);
    assert_eq!(root.get("/api/v1/rules?days=7").await?.json()["rules"][0]["hits"]["deny"], 1);
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_explained_and_nothing_comes_of_it() -> Result<()> {
    let house = busy().await?;
    house.person(("wendy", ALICE.1), false, &["writers"]).await?;
    let mut root = signed_in(&house, ROOT).await?;
    let before = house.events("call.decided").await?.len();
    let ask = |person: &'static str, tool: &'static str, arguments: &'static str| {
        [("person", person), ("server", "sample"), ("tool", tool), ("arguments", arguments)]
    };
    let denied = send(&mut root, "/admin/explain", &ask(ALICE.0, "delete_note", "")).await?;
    let page = denied.text();
    assert_eq!(denied.status, 200, "{page}");
    assert!(page.contains("It would be denied") && page.contains("<b>no-deletes</b> decides"), "{page}");
    assert!(page.contains("It is not shown") && page.contains("destroys") || page.contains("destructive"), "{page}");
    let long = format!("{{\"title\": \"t\", \"text\": \"{}\"}}", "x".repeat(101));
    let fields = [("person", "wendy"), ("server", "sample"), ("tool", "add_note"), ("arguments", long.as_str())];
    let page = send(&mut root, "/admin/explain", &fields).await?.text();
    assert!(page.contains("<b>long-notes</b> decides") && page.contains("its condition holds"), "{page}");
    let page = send(&mut root, "/admin/explain", &ask(ALICE.0, "add_note", "{}")).await?.text();
    assert!(page.contains("It does not concern the caller"), "{page}");
    for (fields, why) in [
        (ask("nobody", "add_note", ""), "There is no account of this name."),
        (ask("alice", "add_note", "[1]"), "The arguments are no JSON object"),
        (ask("alice", "add_note", "<script>alert(1)</script>"), "The arguments are no JSON object"),
    ] {
        let page = send(&mut root, "/admin/explain", &fields).await?.text();
        assert!(page.contains(why) && !page.contains("<script>alert"), "{why}: {page}");
    }
    let told = root.get("/api/v1/explain?person=alice&server=sample&tool=delete_note").await?.json();
    assert_eq!(
        (&told["explanations"][0]["effect"], &told["explanations"][0]["rule"]),
        (&json!("deny"), &json!("no-deletes"))
    );
    assert_eq!(root.get("/api/v1/explain?person=x&server=sample").await?.status, 422);
    assert_eq!(house.events("call.decided").await?.len(), before, "asking about a call is none");
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_shown_with_what_they_may_do_and_why() -> Result<()> {
    let settings = "servers:\n  - name: empty\n    url: http://127.0.0.1:9/mcp\n    access: ['*']\n";
    let house = house(settings).await?;
    let (_, tokens) = house.client_of(&["sample"], ALICE).await?;
    let answer = house.modern("sample", &tokens[0].access, 1, "tools/list", json!({})).send().await?;
    ensure!(answer.status == 200, "{}", answer.text());
    let mut auditor = signed_in(&house, AUDITOR).await?;
    let page = auditor.get("/admin/tools?server=sample").await?.text();
    let row = |name: &str| page.split("<tr").find(|row| row.contains(&format!("\">{name}</b>"))).unwrap_or_default();
    assert!(row("delete_note").contains("destroys") && row("delete_note").contains("It may destroy"), "{page}");
    assert!(row("delete_note").contains("The name begins with “delete”"), "{page}");
    assert!(row("list_notes").contains("reads") && row("list_notes").contains("It only reads"), "{page}");
    let empty = auditor.get("/admin/tools?server=empty").await?.text();
    assert!(empty.contains("Nobody was shown the tools of this server yet"), "{empty}");
    assert_eq!(auditor.get("/admin/tools?server=nowhere").await?.status, 404);
    let mut root = signed_in(&house, ROOT).await?;
    let told = root.get("/api/v1/tools?server=sample").await?.json();
    let tools = told["tools"].as_array().cloned().unwrap_or_default();
    let tool = tools.iter().find(|tool| tool["name"] == "delete_note").cloned().unwrap_or_default();
    assert_eq!((&told["list"], &tool["hints"]["destructiveHint"]), (&json!("public"), &json!(true)));
    assert_eq!(root.get("/api/v1/tools?server=nowhere").await?.status, 404);
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_let_in_on_the_page_and_only_where_the_list_is_not_in_the_file() -> Result<()> {
    let settings = "servers:\n  - name: filed\n    url: http://127.0.0.1:9/mcp\n    access: ['*']\n";
    let house = house(settings).await?;
    house
        .protect_as(json!({ "name": "kept", "url": "http://127.0.0.1:9/mcp", "access": ["writers"], "private": true }))
        .await?;
    let mut root = signed_in(&house, ROOT).await?;
    let page = root.get("/admin/rules").await?.text();
    assert!(page.contains("/admin/servers/kept/access") && page.contains("/admin/servers/filed/access"), "{page}");
    let page = root.get("/admin/servers/kept/access").await?.text();
    assert!(page.contains("<b>writers</b>") && page.contains("action=\"/admin/servers/kept/access\""), "{page}");

    let classes = |read: &'static str, write: &'static str| {
        let rest = ["unknown", "egress", "execute", "destructive", "financial"].map(|class| (class, "deny"));
        [[("read", read), ("write", write)].to_vec(), rest.to_vec()].concat()
    };
    let fields = [vec![("group", "readers")], classes("allow", "ask")].concat();
    let answer = send(&mut root, "/admin/servers/kept/access", &fields).await?;
    assert!(answer.status == 200 && answer.text().contains("The group readers may use it"), "{}", answer.text());
    let access = || {
        let snapshot = house.app.snapshot.load_full();
        snapshot.servers.iter().find(|(name, _)| name.as_str() == "kept").map(|(_, server)| server.access.clone())
    };
    let known = access().expect("the server is there");
    let groups: Vec<_> = known.entries.iter().map(|entry| (&*entry.group, entry.allow, entry.ask)).collect();
    assert_eq!(groups.len(), 2, "{groups:?}");
    assert_eq!(groups[1], ("readers", portcullis_base::Class::Read.into(), portcullis_base::Class::Write.into()));
    let events = house.events("server.access").await?;
    assert_eq!((&events[0]["details"]["group"], &events[0]["details"]["ask"]), (&json!("readers"), &json!("write")));

    // What says nothing of a class changes nothing.
    let answer = send(&mut root, "/admin/servers/kept/access", &[("group", "x"), ("read", "allow")]).await?;
    assert_eq!(answer.status, 422, "{}", answer.text());
    for server in ["filed", "sample"] {
        let fields = [vec![("group", "x")], classes("allow", "allow")].concat();
        let answer = send(&mut root, &format!("/admin/servers/{server}/access"), &fields).await?;
        assert_eq!(answer.status, 409, "{}", answer.text());
        let page = root.get(&format!("/admin/servers/{server}/access")).await?.text();
        assert!(!page.contains("name=\"remove\""), "{page}");
    }
    for group in ["writers", "readers"] {
        send(&mut root, "/admin/servers/kept/access", &[("group", group), ("remove", "yes")]).await?;
    }
    assert!(access().expect("the server is there").entries.is_empty());
    assert!(root.get("/admin/servers/kept/access").await?.text().contains("Nobody may use it."));
    house.stop().await
}
