//! A directory ends somebody: what they run stops, and a report says so.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use portcullis_audit::PublicKeys;
use portcullis_gateway::offboard::{How, Report, ReportError};
use portcullis_house::gateway::ALICE;
use portcullis_store::{Extent, LinkBy, NewPeople, ProviderSignIn, SignInRefused, SignedIn};
use serde_json::json;

use crate::given::{Company, ISSUER, id, refused};

/// The public keys that lie beside the journals.
fn published(company: &Company) -> Result<PublicKeys> {
    let mut all = PublicKeys::default();
    for file in std::fs::read_dir(company.house.data().join("journal"))? {
        let path = file?.path();
        if path.to_string_lossy().ends_with(".pub.json") {
            all = PublicKeys::parse(&std::fs::read(path)?)?;
        }
    }
    Ok(all)
}

// spec: T-53, AS-89, RS-25
#[tokio::test(flavor = "multi_thread")]
async fn deactivation_stops_the_next_call_and_the_open_stream_and_the_report_verifies() -> Result<()> {
    let company = Company::start().await?;
    let user = company.user("ada").await?;
    let person = company.signed_in("ada").await?;
    let (client, tokens) = company.client_of(&person).await?;
    assert_eq!(company.call(&tokens.access).await?, 200);
    let session = company.house.session("sample", &tokens.access).await?;
    let slow = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "count_slowly", "arguments": { "to": 20, "delay_ms": 1000 }, "_meta": { "progressToken": "p" } } });
    let mut stream = company.house.legacy("sample", &tokens.access, &session, &slow).stream().await?;
    assert_eq!(stream.status, 200);
    stream.event().await?.context("the stream goes on")?;

    let begun = Instant::now();
    let off = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    let path = format!("/Users/{}", id(&user));
    let over = async {
        while stream.event().await.ok().flatten().is_some() {}
        begun.elapsed()
    };
    // The provider of this test cannot be reached; that may delay the answer, and nothing else.
    let (answer, over) = tokio::join!(company.patch(&path, off), over);
    let answer = answer?;
    assert!(over < Duration::from_secs(1), "{over:?}");
    assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(false)));
    assert_eq!(company.call(&tokens.access).await?, 401);
    assert_eq!(client.refresh(tokens.refresh.as_deref().context("refresh")?).await?.status, 400);

    let stored = company.house.app.store.reports().await?.pop().context("a report")?;
    let report = Report::verify(stored.report.as_bytes(), &published(&company)?)?;
    assert_eq!((&report.person, report.name.as_str(), report.account_closed), (&person, "ada@example.com", true));
    assert_eq!(report.by.how, How::Directory("company".into()));
    assert_eq!(report.ended.grants.len(), 1);
    assert_eq!(report.ended.grants[0].client, client.id);
    // What could not be given back to the provider is not passed over.
    assert!(report.left.iter().any(|left| left.what.contains(ISSUER)), "{:?}", report.left);
    let changed = stored.report.replace("\"account_closed\": true", "\"account_closed\": false");
    assert_ne!(changed, stored.report);
    assert!(matches!(Report::verify(changed.as_bytes(), &published(&company)?), Err(ReportError::Statement(_))));
    for kind in ["offboard.started", "person.disabled", "grant.revoked", "offboard.finished"] {
        let events = company.house.events(kind).await?;
        assert!(events.iter().any(|event| event.to_string().contains(person.as_str())), "{kind}: {events:?}");
    }
    company.house.stop().await
}

// spec: T-53
#[tokio::test(flavor = "multi_thread")]
async fn stream_and_calls_end_within_a_second_of_offboarding_also_on_another_node() -> Result<()> {
    let company = Company::start().await?;
    company.user("ada").await?;
    let store = &company.house.app.store;
    let person = store.person_by_name("ada@example.com").await?.context("ada")?.0;
    let (_, tokens) = company.client_of(&person.id).await?;
    let session = company.house.session("sample", &tokens.access).await?;
    let slow = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "count_slowly", "arguments": { "to": 20, "delay_ms": 1000 }, "_meta": { "progressToken": "p" } } });
    let mut stream = company.house.legacy("sample", &tokens.access, &session, &slow).stream().await?;
    stream.event().await?.context("the stream goes on")?;
    // As a command or another node does it: nothing but the database is told.
    let begun = Instant::now();
    store.offboard(&person.id, Extent::Account, company.house.app.clock.now()).await?.context("ada")?;
    while stream.event().await.ok().flatten().is_some() {}
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(company.call(&tokens.access).await?, 401);
    company.house.stop().await
}

// spec: T-53, T-52
#[tokio::test(flavor = "multi_thread")]
async fn deleted_user_cannot_sign_in_again_until_the_directory_announces_the_same_one() -> Result<()> {
    let company = Company::start().await?;
    let user = company.user("ada").await?;
    let person = company.signed_in("ada").await?;
    assert_eq!(company.request("DELETE", &format!("/Users/{}", id(&user))).send().await?.status, 204);
    let (store, now) = (&company.house.app.store, company.house.app.clock.now());
    let newcomer = portcullis_base::PersonId::new("usr_new");
    let sign_in = ProviderSignIn {
        provider: "company",
        issuer: ISSUER,
        subject: "ada",
        tenant: None,
        external_id: Some("ext-ada"),
        email: Some("ada@example.com"),
        names: &["ada".into()],
        display_name: "ada",
        groups: None,
        refresh_sealed: None,
        sign_up: NewPeople::Welcome,
        link: LinkBy::ExternalId,
        new_person: &newcomer,
    };
    let refused = SignedIn::Refused(SignInRefused::Disabled);
    assert_eq!(store.sign_in_identity(&sign_in, now).await?, refused);
    // Somebody else under the same name does not inherit the account.
    let reused = json!({ "userName": "ada@example.com", "externalId": "ext-other-ada" });
    assert_eq!(company.send("POST", "/Users", &reused).await?.status, 201);
    assert_eq!(store.sign_in_identity(&sign_in, now).await?, refused);
    assert_eq!(store.people().await?.iter().filter(|person| person.name.starts_with("ada@")).count(), 2);
    // Who comes back is who they were.
    let back = json!({ "userName": "ada.again@example.com", "externalId": "ext-ada" });
    assert_eq!(company.send("POST", "/Users", &back).await?.status, 201);
    let SignedIn::Known(known) = store.sign_in_identity(&sign_in, now).await? else { panic!("she is not let in") };
    assert_eq!(known.id, person);
    company.house.stop().await
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn last_administrator_is_not_deactivated() -> Result<()> {
    let company = Company::start().await?;
    let user = company.user("ada").await?;
    let store = &company.house.app.store;
    let person = store.person_by_name("ada@example.com").await?.context("ada")?.0;
    let now = company.house.app.clock.now();
    store.set_admin(&person.id, Some(now), now).await?;
    let path = format!("/Users/{}", id(&user));
    let off = company.patch(&path, json!([{ "op": "replace", "value": { "active": false } }])).await?;
    refused(&off, 409, "");
    assert!(off.text().contains("make another person administrator first"), "{}", off.text());
    refused(&company.request("DELETE", &path).send().await?, 409, "");
    assert_eq!(company.get(&path).await?.json()["active"], true);
    let denied = company.house.events("offboard.finished").await?;
    assert!(denied.iter().all(|event| event["outcome"] == "denied") && denied.len() == 2, "{denied:?}");

    let (alice, _) = store.person_by_name(ALICE.0).await?.context("alice")?;
    store.set_admin(&alice.id, Some(now), now).await?;
    assert_eq!(company.request("DELETE", &path).send().await?.status, 204);
    company.house.stop().await
}

// spec: T-53
#[tokio::test(flavor = "multi_thread")]
async fn group_that_is_taken_away_stops_the_next_call() -> Result<()> {
    // Nobody answers there: a call that is let through fails later.
    let books =
        "servers:\n  - name: books\n    url: http://127.0.0.1:1/mcp\n    access: [{ group: platform, allow: ['*'] }]\n";
    let company = Company::with(books).await?;
    let ada = company.user("ada").await?;
    let group = company.group("platform", &[id(&ada)]).await?;
    let store = &company.house.app.store;
    let person = store.person_by_name("ada@example.com").await?.context("ada")?.0;
    let (_, tokens) = company.client_at(&person.id, "books").await?;
    let call = async || company.house.call("books", &tokens.access, "read", json!({})).send().await;
    assert!(call().await?.text().contains("cannot be reached"));
    let out = json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", id(&ada)) }]);
    assert_eq!(company.patch(&format!("/Groups/{}", id(&group)), out).await?.status, 204);
    let answer = call().await?;
    assert_eq!(answer.status, 404, "{}", answer.text());
    company.house.stop().await
}
