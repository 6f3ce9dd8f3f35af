//! Connecting that does not go straight on: answered twice, left alone, begun again, signed out on the way.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_base::{Holder, ServerName};
use portcullis_gateway::{connect_link::Ask, connecting};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Answer,
    person::Browser,
};
use serde_json::json;

use crate::{
    account_site::{Manners, Site, begin, connect, send},
    visit::signed_in,
};

/// The settings under which a person may try as often as a test does.
const PATIENT: &str = "limits: { sign_ins_per_minute: 1000 }";
/// Longer than a page may be open.
const TOO_LONG: Duration = Duration::from_mins(11);

struct Story {
    house: TestGateway,
    site: Site,
}

impl Story {
    async fn start() -> Result<Self> {
        let (house, site) = (TestGateway::with(PATIENT).await?, Site::with(Manners::default()).await?);
        site.protect(&house, "notes", json!({ "kind": "oauth" })).await?;
        Ok(Self { house, site })
    }

    async fn account_at(&self, server: &str, name: &str) -> Result<Option<String>> {
        let (person, _) = self.house.app.store.person_by_name(name).await?.context("no such person")?;
        let row = self.house.app.store.connection(&Holder::Person(person.id), &ServerName::parse(server)?).await?;
        Ok(row.and_then(|row| row.account))
    }

    /// Back from the provider with this account, and not agreed to.
    async fn arrive(&self, browser: &mut Browser, account: &str) -> Result<Answer> {
        let authorize = begin(browser, "/connections/notes").await?;
        browser.get(&self.site.agree(&authorize, account)?).await
    }
}

// spec: UP-47
#[tokio::test(flavor = "multi_thread")]
async fn who_thinks_better_of_a_second_sign_in_keeps_the_connection() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    connect(&story.site, &mut alice, "notes", "alice@notes.example").await?;
    // Providers end all of one agreement with one token of it, so the same account is not given back.
    let arrived = story.arrive(&mut alice, "alice@notes.example").await?;
    let answer = send(&mut alice, &arrived, "/confirm", &[("decision", "decline")]).await?;
    assert!(answer.text().contains("stays as it was"), "{}", answer.text());
    assert_eq!(story.site.revoked(), Vec::<String>::new());
    // Nor by closing the page.
    story.arrive(&mut alice, "alice@notes.example").await?;
    story.house.advance(TOO_LONG).await?;
    connecting::sweep(&story.house.app).await?;
    assert_eq!(story.site.revoked(), Vec::<String>::new());
    assert_eq!(story.account_at("notes", "alice").await?.as_deref(), Some("alice@notes.example"));
    // Another account there is another agreement.
    let arrived = story.arrive(&mut alice, "other@notes.example").await?;
    let answer = send(&mut alice, &arrived, "/confirm", &[("decision", "decline")]).await?;
    assert!(answer.text().contains("was told"), "{}", answer.text());
    assert!(story.site.revoked().iter().all(|token| token.contains("other@")), "{:?}", story.site.revoked());
    assert!(!story.site.revoked().is_empty());
    story.house.stop().await
}

// spec: UP-47
#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_and_nobody_agreed_to_is_given_back() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    let arrived = story.arrive(&mut alice, "alice@notes.example").await?;
    connecting::sweep(&story.house.app).await?;
    assert_eq!(story.site.revoked(), Vec::<String>::new(), "she may still answer");
    story.house.advance(TOO_LONG).await?;
    let late = send(&mut alice, &arrived, "/confirm", &[("decision", "connect")]).await?;
    assert_eq!(late.status, 403);
    connecting::sweep(&story.house.app).await?;
    let revoked = story.site.revoked();
    assert!(revoked.iter().any(|token| token.starts_with("canary-refresh")), "{revoked:?}");
    connecting::sweep(&story.house.app).await?;
    assert_eq!(story.site.revoked(), revoked, "once");
    assert_eq!(story.account_at("notes", "alice").await?, None);
    story.house.stop().await
}

// spec: UP-36
#[tokio::test(flavor = "multi_thread")]
async fn a_second_click_does_not_say_that_nothing_was_connected() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    let arrived = story.arrive(&mut alice, "alice@notes.example").await?;
    let first = send(&mut alice, &arrived, "/confirm", &[("decision", "connect")]).await?;
    assert_eq!(first.status, 303);
    let done = alice.get(first.header("location").context("a place")?).await?;
    assert!(done.text().contains("notes is connected."), "{}", done.text());
    let second = send(&mut alice, &arrived, "/confirm", &[("decision", "connect")]).await?.text();
    assert!(second.contains("answered already") && !second.contains("Nothing was connected"), "{second}");
    // What the address says is shown only if it is so.
    for other in ["/connections?done=connected&server=%3Cb%3E", "/connections?done=connected&server=nowhere"] {
        assert!(!alice.get(other).await?.text().contains("is connected"), "{other}");
    }
    story.house.stop().await
}

// spec: T-3, T-4
#[tokio::test(flavor = "multi_thread")]
async fn whose_session_ended_on_the_way_is_led_on_and_nothing_is_connected() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    let way_on = "href=\"/connections/notes\"";
    let signed_out = |browser: &mut Browser| {
        browser.cookies.retain(|(name, _)| name.contains("-connect-"));
    };
    for (who, words, leads_on) in [
        (None, "Your session here ended", true),
        (Some(ALICE), "Your session here ended", true),
        (Some(BOB), "Another account is signed in", false),
    ] {
        let mut browser = alice.clone();
        let authorize = begin(&mut browser, "/connections/notes").await?;
        signed_out(&mut browser);
        if let Some(login) = who {
            browser.cookies.extend(signed_in(&story.house, login).await?.cookies);
        }
        let answer = browser.get(&story.site.agree(&authorize, "alice@notes.example")?).await?;
        let text = answer.text();
        assert_eq!(answer.status, 403);
        assert!(text.contains(words) && text.contains(way_on) == leads_on, "{who:?}: {text}");
        assert!(!text.contains("alice@notes.example"), "{who:?}: {text}");
    }
    // In another browser nothing is told of it.
    let authorize = begin(&mut alice, "/connections/notes").await?;
    let mut other = signed_in(&story.house, ALICE).await?;
    let text = other.get(&story.site.agree(&authorize, "alice@notes.example")?).await?.text();
    assert!(text.contains("cannot be finished here") && !text.contains(way_on), "{text}");
    assert_eq!((story.site.redeemed(), story.account_at("notes", "alice").await?), (0, None));
    story.house.stop().await
}

// spec: UP-62
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_not_spent_by_a_provider_that_is_away() -> Result<()> {
    let story = Story::start().await?;
    let app = &story.house.app;
    let away = json!({ "name": "away", "url": "http://127.0.0.1:9/mcp", "credential": { "kind": "oauth" } });
    story.house.protect_as(away).await?;
    let (person, _) = app.store.person_by_name("alice").await?.context("no such person")?;
    let ask = Ask::new(person.id, ServerName::parse("away")?, vec!["more".into()], app.clock.now(), &*app.rng);
    let link = ask.link(&app.keys, &*app.rng, "");
    let mut alice = signed_in(&story.house, ALICE).await?;
    for _ in 0..2 {
        let page = alice.get(&link).await?;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("A call of one of your applications needs your account here."), "what it is for");
        let answer = send(&mut alice, &page, "/connect", &[]).await?;
        assert!(answer.status == 502 && answer.text().contains(&format!("href=\"{link}\"")), "{}", answer.text());
    }
    story.house.stop().await
}

// spec: UP-27
#[tokio::test(flavor = "multi_thread")]
async fn no_name_of_a_server_takes_a_page_of_ours() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    for name in ["open", "callback", "connect", "confirm"] {
        story.site.protect(&story.house, name, json!({ "kind": "oauth" })).await?;
        let done = connect(&story.site, &mut alice, name, "alice@notes.example").await?;
        assert_eq!(done.status, 303, "{name}: {}", done.text());
        assert_eq!(story.account_at(name, "alice").await?.as_deref(), Some("alice@notes.example"), "{name}");
    }
    story.house.stop().await
}
