//! Which groups there are, and which are only thought to be.

use anyhow::Result;

use crate::walk::{AUDITOR, house, signed_in};

const RULES: &str = "rules:
  - rule: helpers
    who: [group:platform, group:suport]
    what: [sample/*]
    then: allow
";

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_a_rule_names_and_nobody_has_is_shown_with_its_place() -> Result<()> {
    let house = house(RULES).await?;
    let mut auditor = signed_in(&house, AUDITOR).await?;
    let page = auditor.get("/admin/groups").await?.text();
    let (stale, known) = page.split_once("<table").expect("a table of groups");
    assert!(stale.contains("suport") && stale.contains("rule helpers (portcullis.yaml:"), "{page}");
    assert!(!known.contains("suport"), "{page}");
    let platform = known.split("<tr").find(|row| row.contains("platform")).expect("a row");
    assert!(platform.contains("given here") && platform.contains("role admin") && platform.contains("rule helpers"));

    house.person(("sue", crate::walk::ROOT.1), false, &["suport"]).await?;
    let page = auditor.get("/admin/groups").await?.text();
    let (stale, known) = page.split_once("<table").expect("a table of groups");
    assert!(!stale.contains("suport") && known.contains("suport"), "{page}");
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_used_without_asking_anybody_are_shown() -> Result<()> {
    let settings = "servers:
  - { name: wide, url: https://wide.example.com/mcp, access: [{ group: platform, allow: [read, destructive] }] }
  - { name: mild, url: https://mild.example.com/mcp, access: [{ group: platform, allow: [read, write] }] }
";
    let house = house(settings).await?;
    let page = signed_in(&house, AUDITOR).await?.get("/admin/groups").await?.text();
    let (_, notice) = page.split_once("id=\"unasked\"").expect("a notice");
    let (notice, _) = notice.split_once("</div>").expect("its end");
    assert!(
        notice.contains("wide") && notice.contains("group:platform may call tools that are destructive"),
        "{notice}"
    );
    assert!(!notice.contains("mild"), "{notice}");
    house.stop().await
}
