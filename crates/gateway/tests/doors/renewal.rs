//! Living groups: what a provider says later takes effect without a new sign-in.

use std::time::Duration;

use http::StatusCode;
use portcullis_base::{Clock, Digest, PersonId, Secret};
use portcullis_gateway::identity::refresh::Round;
use portcullis_store::{Identity, LinkBy, NewPeople, NewSession, ProviderSignIn, SignedIn};
use serde_json::{Value, json};

use crate::{
    house::{CALLBACK, House},
    vouching::Voucher,
};

const SUBJECT: &str = "248289761001";
const ADA: &str = "per_ada";

/// Ada signed in at the provider, is an engineer, and has a browser session and a grant.
async fn arrived(voucher: &Voucher, house: &House, refresh: Option<&str>) -> PersonId {
    let (app, now) = (&house.app, house.clock.now());
    let issuer = voucher.issuer();
    let seal = |token: &str| app.keys.seal_provider_token(&issuer, SUBJECT, &Secret::new(token.into()), &*app.rng);
    let (groups, names) = (["engineers".to_owned()], ["ada".to_owned()]);
    let sealed = refresh.map(seal);
    let sign_in = ProviderSignIn {
        provider: "company",
        issuer: &issuer,
        subject: SUBJECT,
        tenant: None,
        external_id: None,
        email: None,
        names: &names,
        display_name: "Ada",
        groups: Some(&groups),
        refresh_sealed: sealed.as_deref(),
        sign_up: NewPeople::Welcome,
        link: LinkBy::Nothing,
        new_person: &PersonId::new(ADA),
    };
    let person = match app.store.sign_in_identity(&sign_in, now).await.unwrap() {
        SignedIn::Created(person) | SignedIn::Known(person) => person.id,
        other => panic!("{other:?}"),
    };
    let cookie = Digest::of(b"cookie-of-ada");
    let session = NewSession {
        hash: &cookie,
        id: "bse_ada",
        person: &person,
        provider: Some("company"),
        issuer: Some(&issuer),
        subject: Some(SUBJECT),
        sid: None,
        authenticated_at: now,
        acr: None,
        agent: "test",
        address: None,
        logout_hint: None,
        expires_at: now.plus(Duration::from_hours(12)),
    };
    app.store.start_session(&session, now).await.unwrap();
    app.feed.catch_up().await.unwrap();
    person
}

/// A client with tokens of Ada's, approved in her browser session.
async fn granted(house: &House) -> (String, Value) {
    let browser = house.browser().with_cookie(Some("__Host-portcullis=cookie-of-ada"));
    let client = house.public_client(&[CALLBACK]).await;
    let tokens = house.tokens(&browser, &client, CALLBACK).await;
    (client, tokens)
}

async fn identity(voucher: &Voucher, house: &House) -> Identity {
    house.app.store.identity(&voucher.issuer(), SUBJECT).await.unwrap().unwrap()
}

fn groups(house: &House, person: &PersonId) -> Vec<String> {
    house.app.snapshot.load().people[person].groups.iter().map(ToString::to_string).collect()
}

/// The tokens of a refresh, in which Ada is in `groups`.
fn says(voucher: &Voucher, house: &House, groups: &[&str], next: &str) {
    voucher.vouch(house, &json!({ "nonce": null, "groups": groups }), &json!({ "refresh_token": next }));
}

fn round(same: u32, changed: u32, ended: u32, unavailable: u32) -> Round {
    Round { same, changed, ended, unavailable }
}

/// spec: AS-145, T-53
#[tokio::test]
async fn a_group_that_was_taken_away_is_gone_within_the_interval_without_a_new_sign_in() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    let ada = arrived(&voucher, &house, Some("r-1")).await;
    says(&voucher, &house, &["readers"], "r-2");
    assert_eq!(house.app.renewal().round().await.unwrap(), Round::default(), "nobody is due yet");
    assert_eq!(voucher.times("/token"), 0);
    house.clock.advance(Duration::from_mins(10));
    says(&voucher, &house, &["readers"], "r-2");
    assert_eq!(house.app.renewal().round().await.unwrap(), round(0, 1, 0, 0));
    assert_eq!(groups(&house, &ada), ["readers"]);
    let line = house.journal().into_iter().rfind(|line| line["event"] == "person.changed").unwrap().to_string();
    assert!(line.contains("engineers") && line.contains("readers") && line.contains(ADA), "{line}");
    assert_eq!(voucher.asked("/token")[0].form("refresh_token").as_deref(), Some("r-1"));

    house.clock.advance(Duration::from_mins(10));
    says(&voucher, &house, &["readers"], "r-3");
    assert_eq!(house.app.renewal().round().await.unwrap(), round(1, 0, 0, 0));
    assert_eq!(voucher.asked("/token")[0].form("refresh_token").as_deref(), Some("r-2"), "the successor was kept");
    assert!(!house.database().contains("r-3"));
}

/// spec: T-53, AS-86
#[tokio::test]
async fn somebody_whom_the_provider_gave_up_has_nothing_left() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    arrived(&voucher, &house, Some("r-1")).await;
    let (client, tokens) = granted(&house).await;
    house.clock.advance(Duration::from_mins(10));
    voucher.fail("/token", StatusCode::BAD_REQUEST, &json!({ "error": "invalid_grant" }));
    assert_eq!(house.app.renewal().round().await.unwrap(), round(0, 0, 1, 0));
    assert!(identity(&voucher, &house).await.ended_at.is_some());
    let answer = house.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.error(), "invalid_grant");
    let gid = crate::house::claims(tokens["access_token"].as_str().unwrap())["gid"].as_str().unwrap().to_owned();
    assert!(house.app.ended.has_grant(&portcullis_base::GrantId::new(gid.as_str())), "the access token ends with it");
    let line = house.journal().into_iter().rfind(|line| line["event"] == "identity.ended").unwrap().to_string();
    assert!(line.contains(&gid) && line.contains("invalid_grant"), "{line}");
    assert_eq!(voucher.times("/token"), 1);
    house.clock.advance(Duration::from_mins(10));
    assert_eq!(house.app.renewal().round().await.unwrap(), Round::default(), "and nobody asks any more");
}

/// spec: AS-86, AS-145
#[tokio::test]
async fn a_refresh_asks_the_provider_first_if_that_is_due() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    let ada = arrived(&voucher, &house, Some("r-1")).await;
    let (client, tokens) = granted(&house).await;
    let first = tokens["refresh_token"].as_str().unwrap();
    let tokens = house.refresh(&client, first).await.json();
    assert_eq!(voucher.times("/token"), 0, "it vouched for her a moment ago");

    house.clock.advance(Duration::from_hours(24));
    says(&voucher, &house, &["readers"], "r-2");
    assert_eq!(
        house.refresh("somebody-else", tokens["refresh_token"].as_str().unwrap()).await.status.as_u16() / 100,
        4
    );
    assert_eq!(voucher.times("/token"), 0, "a stranger makes nobody ask");
    let answer = house.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!((answer.status, voucher.times("/token")), (StatusCode::OK, 1));
    assert_eq!(groups(&house, &ada), ["readers"]);

    house.clock.advance(Duration::from_mins(10));
    voucher.fail("/token", StatusCode::BAD_REQUEST, &json!({ "error": "invalid_grant" }));
    let answer = house.refresh(&client, answer.json()["refresh_token"].as_str().unwrap()).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));
}

#[tokio::test]
async fn a_provider_that_is_down_ends_nothing_for_a_day_and_nothing_is_lost_when_it_returns() {
    let voucher = Voucher::new().await;
    voucher.describe(&json!({ "userinfo_endpoint": voucher.url("/userinfo") }));
    let house = voucher.house("oidc", "").await;
    let ada = arrived(&voucher, &house, Some("r-1")).await;
    let (client, tokens) = granted(&house).await;
    house.clock.advance(Duration::from_mins(10));
    voucher.down("/token");
    assert_eq!(house.app.renewal().round().await.unwrap(), round(0, 0, 0, 1));
    assert_eq!(house.app.renewal().round().await.unwrap(), Round::default(), "not again before the lease is over");
    // The provider takes the token and then says nothing: the successor must survive that.
    house.clock.advance(Duration::from_mins(3));
    voucher.vouch(&house, &json!({}), &json!({ "id_token": null, "refresh_token": "r-2" }));
    voucher.down("/userinfo");
    assert_eq!(house.app.renewal().round().await.unwrap(), round(0, 0, 0, 1));
    let answer = house.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "she works on");
    assert_eq!(groups(&house, &ada), ["engineers"]);

    house.clock.advance(Duration::from_mins(3));
    voucher.asked("/token");
    says(&voucher, &house, &["engineers"], "r-3");
    assert_eq!(house.app.renewal().round().await.unwrap(), round(1, 0, 0, 0));
    assert_eq!(voucher.asked("/token")[0].form("refresh_token").as_deref(), Some("r-2"));
    assert_eq!(identity(&voucher, &house).await.failing_since, None);

    house.clock.advance(Duration::from_mins(10));
    voucher.down("/token");
    assert_eq!(house.app.renewal().round().await.unwrap(), round(0, 0, 0, 1));
    house.clock.advance(Duration::from_hours(24));
    let answer = house.refresh(&client, answer.json()["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.error(), "invalid_grant", "not for ever");
    assert!(identity(&voucher, &house).await.ended_at.is_some());
}

#[tokio::test]
async fn without_anything_to_ask_with_a_sign_in_lasts_as_long_as_with_a_provider_that_is_down() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    arrived(&voucher, &house, None).await;
    let (client, tokens) = granted(&house).await;
    house.clock.advance(Duration::from_hours(23));
    assert_eq!(house.app.renewal().round().await.unwrap(), Round::default());
    let answer = house.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    house.clock.advance(Duration::from_mins(61));
    assert_eq!(house.app.renewal().round().await.unwrap(), round(0, 0, 1, 0));
    assert_eq!(house.refresh(&client, answer.json()["refresh_token"].as_str().unwrap()).await.error(), "invalid_grant");
    assert_eq!(voucher.times("/token"), 0);
}

#[tokio::test]
async fn two_who_ask_at_once_spend_one_refresh_token() {
    let voucher = Voucher::new().await;
    let house = voucher.house("oidc", "").await;
    let ada = arrived(&voucher, &house, Some("r-1")).await;
    house.clock.advance(Duration::from_mins(10));
    says(&voucher, &house, &["engineers"], "r-2");
    let renewal = house.app.renewal();
    let (first, second, third) = tokio::join!(renewal.round(), renewal.renew_if_due(&ada), renewal.round());
    let (first, third) = (first.unwrap(), third.unwrap());
    second.unwrap();
    assert!(first.same + third.same <= 1);
    assert_eq!(voucher.times("/token"), 1);
}
