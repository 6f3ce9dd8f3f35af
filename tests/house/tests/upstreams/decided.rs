//! A company that decides with Cedar: the official engine behind an AuthZEN door, asked by the gateway before calls go on.

use anyhow::{Context, Result};
use portcullis_house::{
    decisions::Decisions,
    gateway::{ALICE, BOB, TestGateway},
    person::Tokens,
};
use serde_json::{Value, json};

const TOKEN: &str = "what the gateway shows its decision point";

/// Everybody reads, Alice does everything, and nobody says a certain word.
const POLICIES: &str = r#"
permit(principal is user, action == Action::"tools/call", resource is tool) when { resource.classes == ["read"] };
permit(principal is user, action, resource) when { principal.name == "alice" };
forbid(principal, action, resource)
when { context has arguments && context.arguments has message && context.arguments.message like "*abracadabra*" };
"#;

async fn said(house: &TestGateway, tokens: &Tokens, tool: &str, arguments: Value) -> Result<String> {
    Ok(house.call("sample", &tokens.access, tool, arguments).send().await?.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_of_the_company_decides_in_addition() -> Result<()> {
    let Some(cedar) = Decisions::start(POLICIES, TOKEN).await? else { return Ok(()) };
    let at = cedar.authority();
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN)?;
    let settings = format!(
        "outbound: {{ private_hosts: [\"{at}\"] }}
decision_point: {{ url: \"http://{at}\", token: \"file:{}\", timeout: 10s, arguments: true }}
rules:
  - {{ rule: no-deletes, who: '*', what: sample/delete_note, then: deny }}
",
        token.display()
    );
    let house = TestGateway::with(&settings).await?;
    let (_, alice) = house.client("sample", ALICE).await?;
    let (_, bob) = house.client("sample", BOB).await?;
    let hello = json!({ "message": "hello" });
    for tokens in [&alice, &bob] {
        assert!(said(&house, tokens, "echo", hello.clone()).await?.contains("hello"), "everybody reads");
    }
    let note = json!({ "title": "milk", "text": "two bottles" });
    let denied = said(&house, &bob, "add_note", note.clone()).await?;
    assert!(denied.contains("The decision point of this gateway denies it: Ask the security team."), "{denied}");
    let added = said(&house, &alice, "add_note", note).await?;
    assert!(!added.contains("decision point"), "{added}");
    let word = said(&house, &alice, "echo", json!({ "message": "abracadabra" })).await?;
    assert!(word.contains("decision point") && !word.contains("abracadabra"), "{word}");

    let asked = cedar.seen().await?.len();
    let ours = said(&house, &alice, "delete_note", json!({ "id": "1" })).await?;
    assert!(ours.contains("no-deletes") || ours.contains("denied"), "{ours}");
    assert_eq!(cedar.seen().await?.len(), asked, "what is denied here is not put to it");

    let decided = house.events("call.decided").await?;
    let taken: Vec<_> = decided.iter().filter(|line| line["rule"] == "decision_point").collect();
    let told: Vec<_> = taken.iter().map(|line| (&line["name"], &line["details"]["reason"])).collect();
    assert_eq!(told, [(&json!("add_note"), &json!("by no policy")), (&json!("echo"), &json!("by policy2"))]);
    let id = decided.iter().find_map(|line| line["person"].as_str()).context("a person")?;
    assert!(
        cedar.seen().await?.iter().any(|question| question["subject"]["id"] == id),
        "it is told the same identifier"
    );
    assert!(
        !house.written().windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()),
        "its token was written down"
    );
    house.stop().await
}
