//! Identity assertions outbound (UP-80 to UP-84).

use portcullis_gateway::{
    authority::{MintError, Whom},
    config::{Credential, Fallback, IdJagCredential, SubjectToken},
};
use portcullis_store::PersonKind;
use serde_json::json;

use super::{
    company::{Company, SUBJECT, exchanged},
    street::{Street, authority, configured, refusal, secret, tickets},
};
use crate::house::House;

const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

fn credential(street: &Street, subject: SubjectToken, fallback: Fallback) -> Credential {
    Credential::IdJag(IdJagCredential {
        provider: "company".into(),
        subject,
        fallback,
        oauth: configured(&street.url(""), secret()),
    })
}

async fn mint(house: &House, whom: &Whom) -> Result<String, MintError> {
    let minted = authority(house).mint(&tickets(house), whom).await?;
    Ok(minted.access.reveal().to_owned())
}

/// spec: UP-80, UP-81, UP-82
#[tokio::test]
async fn an_assertion_of_the_provider_becomes_a_token_of_the_server() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, credential(&street, SubjectToken::IdToken, Fallback::None)).await;
    let ada = company.ada(&house).await;
    company.gives(&house, exchanged("id-jag", "N_A", "the-assertion"));
    assert_eq!(mint(&house, &ada).await.unwrap(), "access-1");

    let asked = company.street.asked("POST /token");
    let exchange = &asked[1];
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", ID_JAG),
        ("audience", &street.url("")),
        ("resource", &street.url("/mcp")),
        ("scope", "read write"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
    ] {
        assert_eq!(exchange.form(name).as_deref(), Some(value), "{name}");
    }
    assert!(exchange.authorization.starts_with("Basic "));
    let redeemed = street.asked("POST /token").remove(0);
    assert_eq!(redeemed.form("grant_type").as_deref(), Some("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    assert_eq!(redeemed.form("assertion").as_deref(), Some("the-assertion"));
    assert_ne!(redeemed.authorization, exchange.authorization, "each knows us by another name");
    assert_eq!(street.times("POST /register"), 0);
    // spec: UP-84
    let journal = serde_json::to_string(&house.journal()).unwrap();
    assert!(!journal.contains("the-assertion"));
}

/// spec: UP-81
#[tokio::test]
async fn a_refresh_token_is_shown_and_not_spent() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, credential(&street, SubjectToken::RefreshToken, Fallback::None)).await;
    let ada = company.ada(&house).await;
    company.street.on("POST /token", exchanged("id-jag", "N_A", "the-assertion"));
    mint(&house, &ada).await.unwrap();
    let asked = company.street.asked("POST /token");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].form("subject_token").as_deref(), Some("left-1"));
    assert_eq!(asked[0].form("subject_token_type").as_deref(), Some("urn:ietf:params:oauth:token-type:refresh_token"));
}

/// spec: UP-82: "Wrong issued type aborts."
#[tokio::test]
async fn what_is_no_assertion_is_not_redeemed() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, credential(&street, SubjectToken::IdToken, Fallback::None)).await;
    let ada = company.ada(&house).await;
    for answer in [exchanged("access_token", "Bearer", "x"), exchanged("id-jag", "Bearer", "x")] {
        company.gives(&house, answer);
        assert!(matches!(mint(&house, &ada).await, Err(MintError::Refused { .. })));
    }
    assert_eq!(street.times("POST /token"), 0);
}

/// spec: UP-83
#[tokio::test]
async fn people_connect_by_hand_where_one_side_does_not_do_this_and_the_settings_allow_it() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, credential(&street, SubjectToken::IdToken, Fallback::OAuth)).await;
    let ada = company.ada(&house).await;
    let interactive = |outcome: Result<String, MintError>| matches!(outcome, Err(MintError::Interactive(_)));
    assert!(interactive(mint(&house, &ada).await), "neither says that it does this");
    let profile = json!({ "authorization_grant_profiles_supported": ["urn:ietf:params:oauth:grant-profile:id-jag"] });
    street.serves("", &profile);
    company.describe(&json!({ "identity_chaining_requested_token_types_supported": [ID_JAG] }));
    let house = company.house(&street, credential(&street, SubjectToken::IdToken, Fallback::OAuth)).await;
    let ada = company.ada(&house).await;
    company.gives(&house, exchanged("id-jag", "N_A", "the-assertion"));
    assert_eq!(mint(&house, &ada).await.unwrap(), "access-1");
    street.on("POST /token", refusal("invalid_grant"));
    company.street.on("POST /token", exchanged("id-jag", "N_A", "the-assertion"));
    assert!(interactive(mint(&house, &ada).await), "the server does not take it");
    assert!(authority(&house).begin(&tickets(&house), &[]).await.is_ok(), "and a person can go there");
    let bob = house.person("bob").await;
    let bob = Whom { person: bob.id, kind: PersonKind::Person, name: "bob".into(), groups: [].into() };
    assert!(interactive(mint(&house, &bob).await), "who has no account at the company");
}

/// An authorization server that refuses us is not flooded with registrations, however often people call.
#[tokio::test]
async fn a_client_that_is_refused_is_not_registered_again_and_again() {
    let (company, street) = (Company::new().await, Street::new().await);
    let mut credential = credential(&street, SubjectToken::RefreshToken, Fallback::None);
    let Credential::IdJag(settings) = &mut credential else { unreachable!() };
    settings.oauth.client = None;
    let house = company.house(&street, credential).await;
    let ada = company.ada(&house).await;
    company.street.on("POST /token", exchanged("id-jag", "N_A", "the-assertion"));
    for (code, registrations) in [("unauthorized_client", 1), ("invalid_client", 0)] {
        street.on("POST /token", refusal(code));
        for _ in 0..3 {
            assert!(mint(&house, &ada).await.is_err());
        }
        assert_eq!(street.times("POST /register"), registrations, "{code}");
    }
    // Forgotten for real: one more.
    house.clock.advance(std::time::Duration::from_mins(2));
    for _ in 0..3 {
        assert!(mint(&house, &ada).await.is_err());
    }
    assert_eq!(street.times("POST /register"), 1);
}

#[tokio::test]
async fn a_refusal_of_either_side_says_who_can_help() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, credential(&street, SubjectToken::RefreshToken, Fallback::None)).await;
    let ada = company.ada(&house).await;
    company.street.on("POST /token", exchanged("id-jag", "N_A", "the-assertion"));
    for (code, words) in [
        ("invalid_grant", "does not accept what Example Corp says of you"),
        ("access_denied", "does not let you in although Example Corp vouches for you"),
        ("invalid_scope", "compare the scopes"),
        ("invalid_client", "`portcullis server check tickets`"),
    ] {
        street.on("POST /token", refusal(code));
        match mint(&house, &ada).await {
            Err(MintError::Refused { public, detail }) => {
                assert!(public.contains(words), "{code}: {public}");
                assert!(!detail.contains("the-assertion"), "spec: UP-84: {detail}");
            }
            other => panic!("{code}: {other:?}"),
        }
    }
    company.street.on("POST /token", refusal("access_denied"));
    let outcome = mint(&house, &ada).await;
    assert!(
        matches!(outcome, Err(MintError::Refused { public, .. }) if public.contains("Example Corp does not let you"))
    );
}

/// A provider that gives no ID token without the person can still be asked with the refresh token; that is said.
#[tokio::test]
async fn an_id_token_that_is_not_given_is_explained_to_administrators() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, credential(&street, SubjectToken::IdToken, Fallback::None)).await;
    let ada = company.ada(&house).await;
    let mut bare = company.fresh(&house, None, SUBJECT);
    bare.body = json!({ "access_token": "a", "token_type": "Bearer", "expires_in": 300 }).to_string();
    company.street.on("POST /token", bare);
    match mint(&house, &ada).await {
        Err(MintError::Refused { detail, .. }) => assert!(detail.contains("subject: refresh_token"), "{detail}"),
        other => panic!("{other:?}"),
    }
}
