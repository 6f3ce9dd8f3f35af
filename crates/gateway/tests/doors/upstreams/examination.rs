//! The way of somebody who connects, shown step by step.

use portcullis_gateway::{
    check::{CheckState, Step},
    config::{Credential, Fallback, IdJagCredential, OAuth, ResourceParameter, SubjectToken},
};
use serde_json::json;

use super::{
    company::Company,
    street::{Answer, Street, authority, configured, connected, oauth, refusal, secret, tickets},
};
use crate::house::House;

async fn examine(house: &House) -> Vec<Step> {
    authority(house).examine(&tickets(house)).await
}

fn worst(steps: &[Step]) -> CheckState {
    let all = || steps.iter().flat_map(|step| &step.checks);
    if all().any(|check| check.state == CheckState::Bad) {
        CheckState::Bad
    } else if all().any(|check| check.state == CheckState::Warning) {
        CheckState::Warning
    } else {
        CheckState::Good
    }
}

fn told(steps: &[Step]) -> String {
    format!("{steps:#?}")
}

#[tokio::test]
async fn every_step_shows_request_answer_and_rules() {
    let street = Street::new().await;
    let said = format!("Bearer resource_metadata=\"{}\"", street.url("/.well-known/oauth-protected-resource/mcp"));
    street.on("POST /mcp", Answer::json(&json!({})).status(401).header("www-authenticate", said));
    let house = street.house(oauth()).await;
    let steps = examine(&house).await;
    assert_eq!(worst(&steps), CheckState::Good, "{}", told(&steps));
    let requests: Vec<_> = steps.iter().filter_map(|step| step.request.clone()).collect();
    let expected = [
        format!("POST {}", street.url("/mcp")),
        format!("GET {}", street.url("/.well-known/oauth-protected-resource/mcp")),
        format!("GET {}", street.url("/.well-known/oauth-authorization-server")),
    ];
    assert_eq!(requests, expected);
    assert!(steps[1].answer.as_ref().unwrap().contains("\"scopes_supported\""));
    assert!(told(&steps).contains("/connections/-/callback/"), "what is to be registered");
    assert_eq!(street.times("POST /register"), 0, "to look is not to register");
    assert_eq!(house.app.store.upstream_clients().await.unwrap(), []);
    assert!(!examine(&house).await.is_empty());
    assert!(street.lines().len() >= 6, "nothing comes from a cache");
}

#[tokio::test]
async fn the_rule_that_is_broken_is_named() {
    let street = Street::new().await;
    for (member, value, rule) in [
        ("issuer", json!("https://evil.example"), "Issuer (RFC 8414 §3.3)"),
        ("token_endpoint", json!("https://evil.example/token"), "Addresses"),
        ("code_challenge_methods_supported", json!(null), "PKCE (RFC 7636)"),
        ("revocation_endpoint", json!("javascript:alert(1)"), "Addresses (RFC 8414 §2)"),
    ] {
        street.serves("", &json!({ member: value }));
        let house = street.house(oauth()).await;
        let steps = examine(&house).await;
        let bad: Vec<_> =
            steps.iter().flat_map(|step| &step.checks).filter(|check| check.state == CheckState::Bad).collect();
        assert_eq!((bad.len(), bad[0].name), (1, rule), "{}", told(&steps));
        assert!(bad[0].advice.is_some(), "what to do: {}", told(&steps));
        // Our own names for rules mean nothing to whoever reads this.
        let named: Vec<_> = steps.iter().flat_map(|step| &step.checks).map(|check| check.name).collect();
        assert!(!named.iter().any(|rule| rule.starts_with("UP-") || rule.starts_with("T-")), "{named:?}");
    }
    let house = Street::empty().await.house(oauth()).await;
    assert_eq!(worst(&examine(&house).await), CheckState::Bad, "nobody is there to ask");
}

/// Most servers ask for nothing, and `auto` is for them too.
#[tokio::test]
async fn nothing_is_wrong_with_a_server_that_asks_for_nothing() {
    let street = Street::empty().await;
    let house = street.house(Credential::default()).await;
    for (status, fine) in [(200, true), (400, true), (405, true), (401, false), (404, false), (503, false)] {
        street.on("POST /mcp", Answer::json(&json!({})).status(status));
        let steps = examine(&house).await;
        assert_eq!(worst(&steps) != CheckState::Bad, fine, "{status}: {}", told(&steps));
    }
    street.on("POST /mcp", Answer::json(&json!({})));
    let house = street.house(oauth()).await;
    assert_eq!(worst(&examine(&house).await), CheckState::Bad, "nobody can connect where the settings want it");
}

/// Who refuses a made-up code has accepted who we are.
#[tokio::test]
async fn our_credentials_are_tried_and_never_shown() {
    let street = Street::new().await;
    let house = street.house(Credential::OAuth(configured(&street.url(""), secret()))).await;
    street.on("POST /token", refusal("invalid_grant"));
    let steps = examine(&house).await;
    assert!(told(&steps).contains("accepted; the code was refused"), "{}", told(&steps));
    street.on("POST /token", refusal("invalid_client").status(401));
    let steps = examine(&house).await;
    assert_eq!(worst(&steps), CheckState::Bad);
    assert!(!told(&steps).contains("s3cret"));

    street.gives("access-of-nobody", Some("refresh-of-nobody"));
    let house = street.house(oauth()).await;
    connected(&house).await;
    let steps = examine(&house).await;
    assert_eq!(worst(&steps), CheckState::Bad, "tokens for a made-up code");
    assert!(!told(&steps).contains("of-nobody") && !told(&steps).contains("s3cret"), "{}", told(&steps));
}

#[tokio::test]
async fn tolerances_are_named() {
    let street = Street::new().await;
    let loose = OAuth { resource: ResourceParameter::None, ..OAuth::default() };
    let house = street.house(Credential::OAuth(loose)).await;
    let steps = examine(&house).await;
    assert!(told(&steps).contains("no `resource` is sent"), "spec: UP-31: {}", told(&steps));
}

/// spec: UP-83
#[tokio::test]
async fn the_provider_behind_a_server_is_looked_at_too() {
    let (company, street) = (Company::new().await, Street::new().await);
    let credential = |provider: &str| {
        Credential::IdJag(IdJagCredential {
            provider: provider.into(),
            subject: SubjectToken::IdToken,
            fallback: Fallback::None,
            oauth: configured(&street.url(""), secret()),
        })
    };
    street.on("POST /token", refusal("invalid_grant"));
    let house = company.house(&street, credential("company")).await;
    let steps = examine(&house).await;
    assert_eq!(worst(&steps), CheckState::Warning, "{}", told(&steps));
    assert!(told(&steps).contains("does not say that it gives identity assertions"));
    let house = company.house(&street, credential("nobody")).await;
    assert_eq!(worst(&examine(&house).await), CheckState::Bad);
}
