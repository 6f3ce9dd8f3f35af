//! A connection lives for as long as nobody ends it: past the hour, past restarts, past bad days of its provider.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use portcullis_base::{Holder, ServerName};
use portcullis_house::{
    gateway::{ALICE, BOB},
    person::Client,
};
use serde_json::{Value, json};

use crate::town::Town;

const HOUR: Duration = Duration::from_hours(1);

// spec: UP-40
#[tokio::test(flavor = "multi_thread")]
async fn two_people_on_one_server_are_themselves() -> Result<()> {
    let Some(town) = Town::with_notes(json!({})).await? else { return Ok(()) };
    for login in [ALICE, BOB] {
        town.connect("notes", login).await?;
        // spec: T-3: the provider was asked whose account it is.
        let (person, _) = town.house.app.store.person_by_name(login.0).await?.context("a person")?;
        let server = ServerName::parse("notes").context("a name")?;
        let row = town.house.app.store.connection(&Holder::Person(person.id), &server).await?;
        assert_eq!(row.context("a connection")?.account, Some(format!("{}@example.com", login.0)));
    }
    for login in [BOB, ALICE, BOB] {
        let token = town.token("notes", login).await?;
        assert_eq!(town.seen_as("notes", &token).await?, format!("{} at notes", login.0));
    }
    town.house.stop().await
}

// spec: UP-43, UP-44
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_at_the_end_of_an_hour_are_one_refresh() -> Result<()> {
    let Some(town) = Town::with_notes(json!({})).await? else { return Ok(()) };
    town.connect("notes", ALICE).await?;
    let before = town.token("notes", ALICE).await?;
    assert_eq!(town.seen_as("notes", &before).await?, "alice at notes");
    town.advance(HOUR + Duration::from_secs(60)).await?;
    let token = town.token("notes", ALICE).await?;
    town.at("acme").forget().await?;
    let said = try_join_all((0..100).map(|_| town.seen_as("notes", &token))).await?;
    assert!(said.iter().all(|said| said == "alice at notes"), "{said:?}");
    assert_eq!(town.at("acme").grants("refresh_token").await?, 1);
    town.house.stop().await
}

// spec: UP-43
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_again_while_the_provider_is_lenient() -> Result<()> {
    let Some(town) = Town::with_notes(json!({ "grace": 60 })).await? else { return Ok(()) };
    town.connect("notes", ALICE).await?;
    town.advance(HOUR + Duration::from_secs(60)).await?;
    let token = town.token("notes", ALICE).await?;
    let refresh = json!({ "grant_type": "refresh_token" });
    town.at("acme").faults(&[json!({ "path": "/token", "form": refresh, "times": 1, "act": "lose" })]).await?;
    // The first may be told that the provider cannot be reached; nobody is told to sign in again.
    let first = town.whoami("notes", &token).await?;
    assert!(!first.text().contains("/connections/"), "{}", first.text());
    assert_eq!(town.seen_as("notes", &token).await?, "alice at notes");
    town.house.stop().await
}

// spec: UP-43
#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_has_ended_needs_a_sign_in_and_keeps_its_place() -> Result<()> {
    let Some(town) = Town::with_notes(json!({})).await? else { return Ok(()) };
    town.connect("notes", ALICE).await?;
    town.connect("notes", BOB).await?;
    let tools = async |token: &str| {
        let answer = town.house.modern("notes", token, 1, "tools/list", json!({})).send().await?;
        anyhow::Ok(answer.text().contains("whoami"))
    };
    assert!(tools(&town.token("notes", ALICE).await?).await?);
    town.at("acme").end("alice").await?;
    town.advance(HOUR + Duration::from_secs(60)).await?;
    let token = town.token("notes", ALICE).await?;
    let told = town.whoami("notes", &token).await?.text();
    assert!(told.contains("/connections/notes"), "{told}");
    assert!(tools(&token).await?, "the tools vanished");
    let bob = town.token("notes", BOB).await?;
    assert_eq!(town.seen_as("notes", &bob).await?, "bob at notes");
    // The link leads to where one sign-in repairs it, without a delete before it.
    town.connect("notes", ALICE).await?;
    assert_eq!(town.seen_as("notes", &token).await?, "alice at notes");
    town.house.stop().await
}

// spec: UP-47
#[tokio::test(flavor = "multi_thread")]
async fn disconnecting_gives_the_tokens_back() -> Result<()> {
    let Some(town) = Town::with_notes(json!({})).await? else { return Ok(()) };
    town.connect("notes", ALICE).await?;
    assert_eq!(town.at("acme").tokens("alice").await?.0, 1);
    let mut browser = town.browser()?;
    browser.connect("notes", ALICE).await?;
    let page = browser.open("/connections/notes").await?;
    let form = portcullis_house::person::form_to(&page.text(), "/disconnect").context("a way to disconnect")?;
    let end = browser.send_form(&page, &form, &[]).await?;
    assert!([200, 303].contains(&end.answer.status), "{}", end.text());
    assert_eq!(town.at("acme").tokens("alice").await?.0, 0, "a refresh token is still good");
    town.house.stop().await
}

/// Whether answers of the provider get lost after it has done its work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    Arrive,
    AreLost,
}

/// What goes wrong in an hour of the month; most hours are good ones.
fn weather(hour: u32, answers: Answers) -> Option<Value> {
    let refresh = json!({ "grant_type": "refresh_token" });
    let once = |act: Value| {
        let mut fault = json!({ "path": "/token", "form": refresh, "times": 1 });
        fault.as_object_mut().expect("an object").extend(act.as_object().cloned().unwrap_or_default());
        fault
    };
    match hour % 24 {
        3 if answers == Answers::AreLost => Some(once(json!({ "act": "lose" }))),
        7 => Some(once(json!({ "act": "drop" }))),
        9 => Some(once(json!({ "act": "status", "status": 500, "body": "upset" }))),
        11 => Some(once(json!({ "act": "status", "status": 503, "headers": { "retry-after": "1" }, "body": {} }))),
        13 => Some(once(json!({ "act": "status", "status": 429, "body": { "error": "slow_down" } }))),
        15 => Some(once(json!({ "act": "status", "status": 200, "body": "<html>Welcome" }))),
        17 => Some(once(json!({ "act": "redirect", "to": "http://169.254.169.254/latest" }))),
        19 => Some(json!({ "path": ".well-known/oauth-authorization-server", "act": "members",
            "members": { "issuer": "https://elsewhere.example" } })),
        21 => Some(once(json!({ "act": "slow", "milliseconds": 200 }))),
        _ => None,
    }
}

/// Somebody with an application that stays signed in at the gateway.
struct Visitor {
    name: &'static str,
    client: Client,
    refresh: String,
}

impl Visitor {
    async fn new(town: &Town, login: (&'static str, &str)) -> Result<Self> {
        town.connect("notes", login).await?;
        let (client, tokens) = town.house.client("notes", login).await?;
        Ok(Self { name: login.0, client, refresh: tokens.refresh.context("a refresh token")? })
    }

    async fn token(&mut self) -> Result<String> {
        let answer = self.client.refresh(&self.refresh).await?;
        let text = |member: &str| answer.json()[member].as_str().map(str::to_owned);
        self.refresh = text("refresh_token").with_context(|| answer.text())?;
        text("access_token").with_context(|| answer.text())
    }
}

/// Thirty days with an hour for each access token, restarts, and a provider of these manners that has bad hours and days.
/// Alice works all day, whatever the weather; Bob comes back once in five days.
async fn month(manners: Value, answers: Answers) -> Result<()> {
    let Some(mut town) = Town::with_notes(manners).await? else { return Ok(()) };
    let (mut alice, mut bob) = (Visitor::new(&town, ALICE).await?, Visitor::new(&town, BOB).await?);
    let mut answered = 0;
    for hour in 0..30 * 24 {
        town.advance(HOUR).await?;
        // Now and then it is gone for a while, or we are.
        if hour % 100 == 40 {
            town.at("acme").becomes("down").await?;
        }
        if hour % 100 == 43 {
            town.at("acme").becomes("up").await?;
        }
        if hour % 90 == 45 {
            town.house.rest().await?;
            town.house = town.house.restart().await?;
        }
        let faults: Vec<_> = weather(hour, answers).into_iter().collect();
        town.at("acme").faults(&faults).await?;
        town.house.renew_connections().await?;
        let visitor = if hour % 120 == 119 { &mut bob } else { &mut alice };
        if !faults.is_empty() || hour % 3 == 2 {
            let token = visitor.token().await?;
            let first = town.whoami("notes", &token).await?;
            assert!(!first.text().contains("/connections/"), "in hour {hour}: {}", first.text());
            if !(40..43).contains(&(hour % 100)) {
                town.at("acme").faults(&[]).await?;
                assert_eq!(
                    town.seen_as("notes", &token).await?,
                    format!("{} at notes", visitor.name),
                    "in hour {hour}"
                );
                answered += 1;
            }
        }
    }
    assert!(answered > 100, "{answered}");
    assert!(town.at("acme").grants("refresh_token").await? > 300, "the tokens did not expire");
    for login in [ALICE, BOB] {
        let (person, _) = town.house.app.store.person_by_name(login.0).await?.context("a person")?;
        let server = ServerName::parse("notes").context("a name")?;
        let row = town.house.app.store.connection(&Holder::Person(person.id), &server).await?.context("it is lost")?;
        assert_eq!(row.why, None, "{} needs a sign-in", login.0);
    }
    town.house.stop().await
}

// spec: UP-43, UP-44, UP-12
#[tokio::test(flavor = "multi_thread")]
async fn thirty_days_of_hourly_tokens_lose_no_connection() -> Result<()> {
    Box::pin(month(json!({ "grace": 60, "lives": 3 * 86_400 }), Answers::AreLost)).await
}

/// Nothing is ever shown twice that is good once.
// spec: UP-43
#[tokio::test(flavor = "multi_thread")]
async fn thirty_days_at_a_provider_that_forgives_nothing() -> Result<()> {
    Box::pin(month(json!({ "grace": 0, "lives": 3 * 86_400 }), Answers::Arrive)).await
}

/// A refresh token that is never replaced has an end of its own, which is beyond this month.
// spec: UP-43
#[tokio::test(flavor = "multi_thread")]
async fn thirty_days_at_a_provider_whose_refresh_tokens_stay_the_same() -> Result<()> {
    Box::pin(month(json!({ "rotates": false, "lives": 60 * 86_400 }), Answers::AreLost)).await
}
