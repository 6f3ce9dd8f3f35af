//! One sitting: consent to a client, then the account at the server, then the code; and the code once.

use anyhow::{Context, Result};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    person::{Browser, Client, parameter},
};
use serde_json::json;
use url::Url;

use crate::{
    account_site::{Site, connect, send},
    visit::{consent_form, signed_in},
};

struct Story {
    house: TestGateway,
    site: Site,
    client: Client,
}

impl Story {
    async fn start() -> Result<Self> {
        let (house, site) = (TestGateway::with("limits: { sign_ins_per_minute: 1000 }").await?, Site::start().await?);
        site.protect(&house, "notes", json!({ "kind": "oauth" })).await?;
        let client = Client::register(&house.authority, "Notes").await?;
        Ok(Self { house, site, client })
    }

    /// The consent page is answered with yes: where that leads.
    async fn consent(&self, browser: &mut Browser) -> Result<String> {
        let page = browser.get(&self.client.authorize_target("notes")).await?;
        let answer = browser.submit(&consent_form(&page)?, &[("decision", "approve")]).await?;
        Ok(answer.header("location").with_context(|| format!("{} {}", answer.status, answer.text()))?.to_owned())
    }
}

/// Where "skip" or "go on" leads.
fn way_on(page: &str) -> Result<String> {
    let at = page.find("href=\"/oauth/authorize/finish").with_context(|| format!("no way on: {page}"))?;
    let path = page[at + 6..].split('"').next().context("an address")?;
    Ok(path.replace("&amp;", "&"))
}

fn code(location: &str) -> Result<String> {
    parameter(&Url::parse(location)?, "code").with_context(|| format!("no code: {location}"))
}

// spec: UP-67
#[tokio::test(flavor = "multi_thread")]
async fn who_agreed_may_connect_first_or_skip_and_gets_one_code_either_way() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    // Skipped.
    let offer = story.consent(&mut alice).await?;
    assert!(offer.starts_with("/connections/notes?return_to="), "{offer}");
    assert!(story.house.events("consent.granted").await?.is_empty(), "no code before the sitting is over");
    let page = alice.get(&offer).await?;
    assert!(page.text().contains("Skip for now"), "{}", page.text());
    let finish = way_on(&page.text())?;
    let answer = alice.get(&finish).await?;
    let first = code(answer.header("location").context("a redirect")?)?;
    story.client.redeem(&first).await?;
    // It was good once.
    let again = alice.get(&finish).await?;
    assert_eq!((again.status, again.header("location")), (400, None), "{}", again.text());

    // Connected.
    let offer = story.consent(&mut alice).await?;
    let page = alice.get(&offer).await?;
    let answer = send(&mut alice, &page, "/connect", &[]).await?;
    let authorize = Url::parse(answer.header("location").context("a redirect")?)?;
    let arrived = alice.get(&story.site.agree(&authorize, "alice@notes.example")?).await?;
    let policy = arrived.header("content-security-policy").context("a policy")?;
    assert!(policy.contains("form-action 'self' "), "the form may end at the client: {policy}");
    let done = send(&mut alice, &arrived, "/confirm", &[("decision", "connect")]).await?;
    let finish = done.header("location").context("a redirect")?.to_owned();
    assert!(finish.starts_with("/oauth/authorize/finish?t="), "{finish}");
    let answer = alice.get(&finish).await?;
    let second = code(answer.header("location").context("a redirect")?)?;
    assert_ne!(first, second);
    story.client.redeem(&second).await?;
    assert_eq!(story.house.events("consent.granted").await?.len(), 2);

    // Whoever is connected is not asked.
    code(&story.consent(&mut alice).await?)?;
    story.house.stop().await
}

// spec: UP-67, AS-131, T-3, T-6
#[tokio::test(flavor = "multi_thread")]
async fn t03_a_sitting_ends_in_the_browser_and_for_the_person_that_began_it() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    let mut bob = signed_in(&story.house, BOB).await?;
    let offer = story.consent(&mut alice).await?;
    let finish = way_on(&alice.get(&offer).await?.text())?;
    // His browser has nothing of it.
    assert_eq!(bob.get(&finish).await?.status, 400);
    // With her cookie in his browser he is asked himself, about himself, and she agreed to nothing for him.
    let waiting = alice.cookies.iter().find(|(name, _)| name.contains("-consent-")).context("a cookie")?.clone();
    let mut tossed = bob.clone();
    tossed.cookies.push(waiting);
    let answer = tossed.get(&finish).await?;
    assert_eq!((answer.status, answer.header("location")), (200, None));
    consent_form(&answer)?;
    assert!(story.house.events("consent.granted").await?.is_empty());
    // The way on is a path of ours that finishes an approval, or nothing.
    for evil in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2Flogout", "%2Faccount"] {
        let page = alice.get(&format!("/connections/notes?return_to={evil}")).await?;
        assert!(!page.text().contains("Skip for now") && !page.text().contains("evil.example"), "{evil}");
    }
    story.house.stop().await
}

// spec: UP-67
#[tokio::test(flavor = "multi_thread")]
async fn who_has_an_account_or_needs_none_is_offered_nothing() -> Result<()> {
    let story = Story::start().await?;
    let mut alice = signed_in(&story.house, ALICE).await?;
    connect(&story.site, &mut alice, "notes", "alice@notes.example").await?;
    code(&story.consent(&mut alice).await?)?;
    let page = alice.get(&story.client.authorize_target("sample")).await?;
    let answer = alice.submit(&consent_form(&page)?, &[("decision", "approve")]).await?;
    code(answer.header("location").context("a redirect")?)?;
    story.house.stop().await
}
