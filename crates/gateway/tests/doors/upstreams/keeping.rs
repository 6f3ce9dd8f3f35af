//! Keeping what is held alive, and giving it up.

use std::time::Duration;

use portcullis_base::Clock;
use portcullis_gateway::{
    authority::{RefreshError, Revocation},
    config::{Credential, OAuth},
};
use serde_json::json;

use super::street::{Answer, Street, authority, configured, connected, oauth, put, refusal, secret, tickets};

/// spec: UP-30, UP-43
#[tokio::test]
async fn fresh_tokens_are_for_the_same_resource_and_may_rotate_or_not() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let held = connected(&house).await;
    street.lines();
    street.gives("access-2", Some("refresh-2"));
    let rotated = authority(&house).refresh(&tickets(&house), &held).await.unwrap();
    let asked = street.asked("POST /token").remove(0);
    assert_eq!(asked.form("grant_type").as_deref(), Some("refresh_token"));
    assert_eq!(asked.form("refresh_token").as_deref(), Some("refresh-1"));
    assert_eq!(asked.form("resource"), Some(street.url("/mcp")));
    assert_eq!((rotated.access.reveal(), rotated.refresh.as_ref().unwrap().reveal()), ("access-2", "refresh-2"));
    assert_eq!(rotated.expires_at, Some(house.clock.now().plus(Duration::from_hours(1))));
    assert_eq!(street.lines(), [""; 0], "nothing else is asked for a refresh");

    street.gives("access-3", None);
    let kept = authority(&house).refresh(&tickets(&house), &rotated).await.unwrap();
    assert_eq!((kept.access.reveal(), kept.refresh.as_ref().unwrap().reveal()), ("access-3", "refresh-2"));
    assert_eq!(kept.scopes, held.scopes);
}

/// Only a plain word ends a grant.
#[tokio::test]
async fn what_a_failed_refresh_means_depends_on_what_was_said() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let held = connected(&house).await;
    let refresh = async |answer: Answer| {
        street.on("POST /token", answer);
        authority(&house).refresh(&tickets(&house), &held).await.unwrap_err()
    };
    for code in ["invalid_grant", "interaction_required", "token_expired"] {
        assert_eq!(refresh(refusal(code)).await, RefreshError::Ended(code.into()));
    }
    for answer in [
        Answer::json(&json!({})).status(500),
        Answer::json(&json!({})).status(429),
        refusal("temporarily_unavailable"),
        Answer { body: "<html>".into(), ..Answer::json(&json!({})) },
    ] {
        let error = refresh(answer.clone()).await;
        assert!(matches!(error, RefreshError::Unavailable(_)), "{answer:?}: {error}");
    }
    let error = refresh(refusal("invalid_client")).await;
    assert!(matches!(error, RefreshError::Forgotten(_)), "{error}");
    for code in ["unauthorized_client", "invalid_target", "something_new"] {
        let error = refresh(refusal(code)).await;
        assert!(matches!(error, RefreshError::Client(_)), "{code}: {error}");
        assert!(!error.to_string().contains("refresh-1"));
    }
}

/// spec: UP-12: `invalid_client` may mean that the authorization server has moved its endpoints.
#[tokio::test]
async fn a_refresh_follows_an_issuer_that_moved_its_token_endpoint() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let held = connected(&house).await;
    street.on("POST /token", refusal("invalid_client").status(401));
    street.serves("", &json!({ "token_endpoint": street.url("/oauth/token") }));
    let answer = json!({ "access_token": "access-2", "token_type": "Bearer" });
    street.on("POST /oauth/token", Answer::json(&answer));
    house.clock.advance(Duration::from_mins(2));
    let renewed = authority(&house).refresh(&tickets(&house), &held).await.unwrap();
    assert_eq!(renewed.access.reveal(), "access-2");
}

/// Metadata that cannot be read is no reason to lose a connection.
#[tokio::test]
async fn a_refresh_does_without_metadata() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let held = connected(&house).await;
    let metadata = "GET /.well-known/oauth-authorization-server";
    street.on(metadata, Answer::json(&json!({})).status(503));
    street.on("GET /.well-known/oauth-protected-resource/mcp", Answer::json(&json!({})).status(503));
    house.clock.advance(Duration::from_hours(48));
    assert!(authority(&house).refresh(&tickets(&house), &held).await.is_ok());
}

/// spec: UP-13
#[tokio::test]
async fn nothing_is_sent_when_the_settings_name_another_issuer() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let held = connected(&house).await;
    street.lines();
    let other = OAuth { issuer: Some("https://other.example".into()), ..OAuth::default() };
    let server = put(&house, street.server(Credential::OAuth(other)));
    let error = authority(&house).refresh(&server, &held).await.unwrap_err();
    assert_eq!(error, RefreshError::Ended("issuer_changed".into()));
    let server = put(&house, street.server(Credential::None));
    assert!(authority(&house).refresh(&server, &held).await.is_err());
    assert_eq!(street.lines(), [""; 0]);
}

/// A secret that an administrator has replaced is used at once.
#[tokio::test]
async fn a_configured_client_is_proved_with_the_secret_of_the_moment() {
    let street = Street::new().await;
    let house = street.house(Credential::OAuth(configured(&street.url(""), secret()))).await;
    let held = connected(&house).await;
    assert!(!held.to_sealed_text().reveal().contains("s3cret-of-ours"));
    let renamed = OAuth { client: None, ..configured(&street.url(""), secret()) };
    let server = put(&house, street.server(Credential::OAuth(renamed)));
    let error = authority(&house).refresh(&server, &held).await.unwrap_err();
    assert!(matches!(error, RefreshError::Client(_)), "{error}");
}

/// spec: UP-47
#[tokio::test]
async fn what_is_given_up_is_given_up_there_too() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let held = connected(&house).await;
    street.on("POST /revoke", Answer::json(&json!({})));
    assert_eq!(authority(&house).revoke(&held).await, Revocation::Done);
    let asked = street.asked("POST /revoke");
    let given: Vec<_> = asked.iter().map(|one| one.form("token").unwrap()).collect();
    assert_eq!(given, ["refresh-1", "access-1"]);
    assert!(asked[0].authorization.starts_with("Basic "));

    street.on("POST /revoke", Answer::json(&json!({})).status(503));
    assert!(matches!(authority(&house).revoke(&held).await, Revocation::Failed(_)));
    street.on("POST /revoke", refusal("unsupported_token_type"));
    let Revocation::Failed(why) = authority(&house).revoke(&held).await else { panic!("it was refused") };
    assert!(!why.contains("refresh-1"), "{why}");

    street.serves("", &json!({ "revocation_endpoint": null }));
    let house = street.house(oauth()).await;
    let held = connected(&house).await;
    assert_eq!(authority(&house).revoke(&held).await, Revocation::NotOffered);
}
