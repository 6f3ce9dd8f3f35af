//! Tokens for a person on the strength of their sign-in (RFC 8693, on-behalf-of).

use std::time::Duration;

use futures_util::future::join_all;
use portcullis_base::Clock;
use portcullis_gateway::{
    authority::{MintError, Whom},
    config::{Credential, Exchange, OnBehalfOf, ResourceParameter, SubjectToken},
};
use portcullis_store::PersonKind;
use serde_json::json;

use super::{
    company::{Company, exchanged},
    street::{Answer, Street, authority, refusal, tickets},
};
use crate::house::House;

fn exchange(subject: SubjectToken) -> Credential {
    Credential::Exchange(Exchange {
        provider: "company".into(),
        audience: None,
        resource: ResourceParameter::Exact,
        scopes: vec!["read".into()],
        subject,
        token_endpoint: None,
    })
}

async fn mint(house: &House, whom: &Whom) -> Result<String, MintError> {
    let minted = authority(house).mint(&tickets(house), whom).await?;
    Ok(minted.access.reveal().to_owned())
}

fn told(outcome: &Result<String, MintError>) -> String {
    match outcome {
        Err(MintError::Refused { public, .. } | MintError::SignIn { public, .. }) => public.clone(),
        other => panic!("{other:?}"),
    }
}

/// spec: RFC8693#2.1, AS-144
#[tokio::test]
async fn a_persons_token_is_exchanged_for_one_of_the_server() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, exchange(SubjectToken::AccessToken)).await;
    let ada = company.ada(&house).await;
    company.gives(&house, exchanged("access_token", "Bearer", "for-tickets"));
    let minted = authority(&house).mint(&tickets(&house), &ada).await.unwrap();
    assert_eq!(minted.access.reveal(), "for-tickets");
    assert_eq!(minted.expires_at, Some(house.clock.now().plus(Duration::from_mins(10))));

    let asked = company.street.asked("POST /token");
    assert_eq!(asked[0].form("refresh_token").as_deref(), Some("left-1"));
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", "company-access"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("scope", "read"),
        ("resource", &street.url("/mcp")),
    ] {
        assert_eq!(asked[1].form(name).as_deref(), Some(value), "{name}");
    }
    assert!(asked[1].authorization.starts_with("Basic "), "with the proof of who we are");
    assert_eq!(company.left(&house, &ada).await, "left-2", "the successor is kept");
    assert_eq!(street.lines(), [""; 0], "nothing of the provider goes to the server");

    company.street.on("POST /token", exchanged("access_token", "Bearer", "for-tickets-2"));
    mint(&house, &ada).await.unwrap();
    let asked = company.street.asked("POST /token");
    assert_eq!(asked.len(), 1, "the person's token is alive and not asked for again");
}

#[tokio::test]
async fn the_settings_say_what_is_exchanged_and_for_whom() {
    let (company, street) = (Company::new().await, Street::new().await);
    let settings = Exchange {
        provider: "company".into(),
        audience: Some("tickets".into()),
        resource: ResourceParameter::Exact,
        scopes: Vec::new(),
        subject: SubjectToken::IdToken,
        token_endpoint: Some(company.street.url("/exchange")),
    };
    let house = company.house(&street, Credential::Exchange(settings)).await;
    let ada = company.ada(&house).await;
    company.street.on("POST /token", company.fresh(&house, None, super::company::SUBJECT));
    company.street.on("POST /exchange", exchanged("access_token", "Bearer", "for-tickets"));
    mint(&house, &ada).await.unwrap();
    let asked = company.street.asked("POST /exchange").remove(0);
    assert_eq!(asked.form("subject_token_type").as_deref(), Some("urn:ietf:params:oauth:token-type:id_token"));
    assert_eq!((asked.form("audience").as_deref(), asked.form("resource")), (Some("tickets"), None));
    assert_eq!(company.left(&house, &ada).await, "left-1");
}

/// spec: UP-43: one refresh token is spent once, however many need what it gives.
#[tokio::test]
async fn many_who_need_a_persons_token_ask_for_it_once() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, exchange(SubjectToken::AccessToken)).await;
    let ada = company.ada(&house).await;
    company.gives(&house, exchanged("access_token", "Bearer", "for-tickets"));
    let all = join_all((0..20).map(|_| mint(&house, &ada))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let asked = company.street.asked("POST /token");
    assert_eq!(asked.iter().filter(|one| one.body.contains("refresh_token=left")).count(), 1);
}

/// spec: RFC8693#2.2.1: what is no access token is not sent to anybody.
#[tokio::test]
async fn a_token_of_another_kind_is_not_used() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, exchange(SubjectToken::AccessToken)).await;
    let ada = company.ada(&house).await;
    company.gives(&house, exchanged("id_token", "N_A", "an-id-token"));
    assert!(matches!(mint(&house, &ada).await, Err(MintError::Refused { .. })));
}

#[tokio::test]
async fn a_refusal_says_who_can_help() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, exchange(SubjectToken::AccessToken)).await;
    let ada = company.ada(&house).await;
    company.street.on("POST /token", company.fresh(&house, None, super::company::SUBJECT));
    company.street.then("POST /token", refusal("access_denied"));
    let outcome = mint(&house, &ada).await;
    assert_eq!(
        told(&outcome),
        "Example Corp does not let you use the server tickets. Ask the administrator of Example Corp to give you access to it."
    );
    for (code, words) in [
        ("invalid_target", "to register it there"),
        ("invalid_scope", "what the gateway asks for at the server tickets (read)"),
        ("unauthorized_client", "allow the exchange of tokens"),
        ("something_new", "the reason is in the gateway's log"),
    ] {
        company.street.on("POST /token", refusal(code));
        let outcome = mint(&house, &ada).await;
        assert!(told(&outcome).contains(words), "{code}: {}", told(&outcome));
        assert!(!told(&outcome).contains("because"), "what they wrote is for the log");
        let Err(MintError::Refused { detail, .. }) = outcome else { panic!("{outcome:?}") };
        assert!(detail.contains(code) && !detail.contains("company-access"), "{detail}");
    }
    for code in ["invalid_grant", "interaction_required"] {
        company.street.on("POST /token", refusal(code));
        let outcome = mint(&house, &ada).await;
        assert!(matches!(&outcome, Err(MintError::SignIn { provider, .. }) if provider == "company"));
        assert!(told(&outcome).contains("sign in there with Example Corp again"), "{}", told(&outcome));
    }
    company.street.on("POST /token", Answer::json(&json!({})).status(503));
    assert!(matches!(mint(&house, &ada).await, Err(MintError::Unavailable(_))));
}

#[tokio::test]
async fn who_has_no_sign_in_there_is_told_to_sign_in() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, exchange(SubjectToken::AccessToken)).await;
    let bob = house.person("bob").await;
    let bob = Whom { person: bob.id, kind: PersonKind::Person, name: "bob".into(), groups: [].into() };
    let outcome = mint(&house, &bob).await;
    assert!(told(&outcome).contains("you did not sign in to the gateway with Example Corp"), "{}", told(&outcome));
    let robot = Whom { kind: PersonKind::Service, ..bob };
    let outcome = mint(&house, &robot).await;
    assert!(told(&outcome).contains("a service account has none"));
    let ada = company.signs_in(&house, None).await;
    let outcome = mint(&house, &ada).await;
    assert!(matches!(outcome, Err(MintError::SignIn { .. })), "the provider gave nothing to ask with");
    assert!(
        told(&outcome).contains("/login/company") && told(&outcome).contains("must give the gateway refresh tokens")
    );
    assert_eq!(company.street.times("POST /token"), 0);
}

/// spec: AS-86, T-53: a plain word of the provider ends the sign-in whatever it was asked for; silence does not.
#[tokio::test]
async fn a_provider_that_ends_a_sign_in_ends_it_here() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, exchange(SubjectToken::AccessToken)).await;
    let ada = company.ada(&house).await;
    company.street.on("POST /token", Answer::json(&json!({})).status(503));
    assert!(matches!(mint(&house, &ada).await, Err(MintError::Unavailable(_))));
    assert!(house.app.store.identities_of(&ada.person).await.unwrap()[0].ended_at.is_none());
    company.street.on("POST /token", refusal("invalid_grant"));
    assert!(matches!(mint(&house, &ada).await, Err(MintError::SignIn { .. })));
    assert!(house.app.store.identities_of(&ada.person).await.unwrap()[0].ended_at.is_some());
    assert!(house.events().contains(&"identity.ended".to_owned()));
}

/// spec: T-52: what is used in somebody's name is theirs.
#[tokio::test]
async fn a_provider_that_answers_for_somebody_else_is_not_believed() {
    let (company, street) = (Company::new().await, Street::new().await);
    let house = company.house(&street, exchange(SubjectToken::AccessToken)).await;
    let ada = company.ada(&house).await;
    company.street.on("POST /token", company.fresh(&house, Some("left-9"), "somebody-else"));
    assert!(mint(&house, &ada).await.is_err());
    assert_eq!(company.street.asked("POST /token").len(), 1, "nothing is exchanged");
}

#[tokio::test]
async fn entra_is_asked_in_its_own_words() {
    let (company, street) = (Company::new().await, Street::new().await);
    let settings = OnBehalfOf {
        provider: "company".into(),
        scopes: vec!["api://tickets/.default".into()],
        subject_scope: "api://portcullis/access".into(),
    };
    let house = company.house(&street, Credential::OnBehalfOf(settings)).await;
    let ada = company.ada(&house).await;
    let answer = json!({ "access_token": "for-tickets", "token_type": "Bearer", "expires_in": 600 });
    company.gives(&house, Answer::json(&answer));
    assert_eq!(mint(&house, &ada).await.unwrap(), "for-tickets");
    let asked = company.street.asked("POST /token");
    assert_eq!(asked[0].form("scope").as_deref(), Some("api://portcullis/access"), "a token for us first");
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("requested_token_use", "on_behalf_of"),
        ("assertion", "company-access"),
        ("scope", "api://tickets/.default"),
    ] {
        assert_eq!(asked[1].form(name).as_deref(), Some(value), "{name}");
    }
    // A scope that is not given says nothing of the sign-in.
    house.clock.advance(Duration::from_hours(1));
    company.street.on("POST /token", refusal("invalid_grant"));
    assert!(matches!(mint(&house, &ada).await, Err(MintError::SignIn { .. })));
    assert!(house.app.store.identities_of(&ada.person).await.unwrap()[0].ended_at.is_none());
}
