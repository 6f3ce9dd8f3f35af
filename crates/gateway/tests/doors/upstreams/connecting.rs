//! A person's way to an authorization server and back (UP-C).

use std::time::Duration;

use portcullis_base::{Clock, Digest};
use portcullis_gateway::{
    authority::{Begun, Held, Trouble},
    config::{Credential, OAuth},
};
use portcullis_oauth::upstream::challenge::Wanted;
use serde_json::json;

use super::street::{Answer, Street, authority, back, oauth, parameter, refusal, tickets};

/// spec: UP-30, UP-32, UP-33, T-17
#[tokio::test]
async fn a_person_is_sent_with_everything_that_binds_the_answer() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let (url, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    assert!(url.starts_with(&street.url("/authorize?")));
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "c-1"),
        ("scope", "read write"),
        ("code_challenge_method", "S256"),
        ("state", begun.state.reveal()),
    ] {
        assert_eq!(parameter(&url, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(parameter(&url, "resource"), Some(street.url("/mcp")));
    let (other, second) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    assert_ne!(parameter(&url, "code_challenge"), parameter(&other, "code_challenge"));
    assert_ne!(begun.state, second.state);
    assert!(!url.contains("s3cret-of-c-1"));

    let sealed = begun.to_sealed_text();
    assert_eq!(Begun::from_sealed_text(&sealed).as_ref(), Some(&begun));
    let printed = format!("{begun:?}");
    assert!(!printed.contains(begun.state.reveal()) && !printed.contains("s3cret"));
}

/// spec: UP-30, UP-39, UP-40
#[tokio::test]
async fn a_code_is_redeemed_where_the_entry_says_and_for_its_resource() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let answer = json!({
        "access_token": "access-1", "refresh_token": "refresh-1", "token_type": "bearer", "expires_in": 3600,
        "scope": "read", "email": "ada@example.com",
    });
    street.on("POST /token", Answer::json(&answer));
    let (url, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    // Meanwhile the server would like the code to go elsewhere.
    street.serves("", &json!({ "token_endpoint": street.url("/stolen") }));
    house.clock.advance(Duration::from_mins(2));
    authority(&house).discover_again(&tickets(&house)).await.unwrap();
    let held = authority(&house).redeem(&begun, &back(&begun)).await.unwrap();

    assert_eq!(street.times("POST /stolen"), 0);
    let asked = street.asked("POST /token").remove(0);
    assert_eq!(asked.form("grant_type").as_deref(), Some("authorization_code"));
    assert_eq!(asked.form("code").as_deref(), Some("c0de"));
    assert_eq!(asked.form("resource"), Some(street.url("/mcp")));
    assert_eq!(asked.form("redirect_uri"), parameter(&url, "redirect_uri"));
    let verifier = asked.form("code_verifier").unwrap();
    let challenge = Digest::of(verifier.as_bytes()).to_base64url();
    assert_eq!((verifier.len(), Some(challenge)), (43, parameter(&url, "code_challenge")));

    assert_eq!((held.access.reveal(), held.refresh.as_ref().unwrap().reveal()), ("access-1", "refresh-1"));
    assert_eq!((held.issuer(), held.scopes.join(" ")), (street.url("").as_str(), "read".to_owned()));
    assert_eq!(held.account.as_deref(), Some("ada@example.com"));
    assert_eq!(held.expires_at, Some(house.clock.now().plus(Duration::from_hours(1))));
    assert_eq!(Held::from_sealed_text(&held.to_sealed_text()), Some(held.clone()));
    assert!(!format!("{held:?}").contains("access-1"));
}

/// spec: UP-34, UP-35, T-17
#[tokio::test]
async fn an_answer_of_somebody_else_leads_to_no_token_request() {
    let street = Street::new().await;
    for (flag, iss, good) in [
        (true, Some(""), true),
        (true, None, false),
        (true, Some("https://evil.example"), false),
        (false, Some(""), true),
        (false, Some("/"), false),
        (false, None, true),
    ] {
        street.serves("", &json!({ "authorization_response_iss_parameter_supported": flag }));
        let house = street.house(oauth()).await;
        let (_, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
        street.lines();
        let iss = iss.map(|iss| if iss.starts_with("https") { iss.to_owned() } else { street.url(iss) });
        let iss = iss.map(|iss| format!("&iss={iss}")).unwrap_or_default();
        let outcome = authority(&house).redeem(&begun, &format!("{}{iss}", back(&begun))).await;
        assert_eq!(outcome.is_ok(), good, "{flag} {iss}");
        assert_eq!(street.times("POST /token"), usize::from(good), "{flag} {iss}");
        if !good {
            let told = format!("error=access_denied&error_description=call+me&state={}{iss}", begun.state.reveal());
            let error = authority(&house).redeem(&begun, &told).await.unwrap_err();
            assert_eq!(error.trouble, Trouble::Untrue);
            assert!(!error.public.contains("call me") && !error.detail.contains("call me"));
        }
    }
}

#[tokio::test]
async fn an_answer_with_another_state_is_nobodys() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let (_, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    let error = authority(&house).redeem(&begun, "code=c0de&state=other").await.unwrap_err();
    assert_eq!((error.trouble, street.times("POST /token")), (Trouble::Untrue, 0));
}

#[tokio::test]
async fn what_goes_wrong_is_told_by_who_can_help() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let declined = Trouble::Declined("access_denied".into());
    for (answer, trouble) in [
        (refusal("invalid_grant"), Trouble::Untrue),
        (refusal("access_denied"), declined.clone()),
        (refusal("invalid_target"), Trouble::Settings),
        (refusal("server_error"), Trouble::Unavailable),
        (Answer::json(&json!({})).status(503), Trouble::Unavailable),
        (Answer::json(&json!({ "access_token": "a", "token_type": "dpop" })), Trouble::Settings),
    ] {
        street.on("POST /token", answer.clone());
        let (_, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
        let error = authority(&house).redeem(&begun, &back(&begun)).await.unwrap_err();
        assert_eq!(error.trouble, trouble, "{answer:?}: {}", error.detail);
        assert!(!error.public.contains("because"), "what they wrote is for the log: {}", error.public);
    }
    let (_, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    let query = format!("error=access_denied&state={}", begun.state.reveal());
    assert_eq!(authority(&house).redeem(&begun, &query).await.unwrap_err().trouble, declined);
}

/// spec: UP-37, UP-38, UP-46
#[tokio::test]
async fn scopes_are_those_that_are_needed_and_allowed() {
    let street = Street::new().await;
    let scope = |url: &str| parameter(url, "scope");
    let house = street.house(oauth()).await;
    let (server, authority_) = (tickets(&house), authority(&house));
    let challenge = Wanted { scope: Some(vec!["read".into()]), ..Wanted::default() };
    authority_.discover(&server, Some(&challenge)).await.unwrap();
    assert_eq!(scope(&authority_.begin(&server, &[]).await.unwrap().0).as_deref(), Some("read"));
    let wanted = ["read".to_owned(), "admin".to_owned()];
    assert_eq!(scope(&authority_.begin(&server, &wanted).await.unwrap().0).as_deref(), Some("read admin"));

    let capped = Credential::OAuth(OAuth { scopes: Some(vec!["read".into()]), ..OAuth::default() });
    let house = street.house(capped).await;
    let (server, authority_) = (tickets(&house), authority(&house));
    assert_eq!(scope(&authority_.begin(&server, &wanted).await.unwrap().0).as_deref(), Some("read"));
    let error = authority_.begin(&server, &["admin".to_owned()]).await.unwrap_err();
    assert!(error.public.contains("administrator"), "{}", error.public);

    street.serves("", &json!({ "scopes_supported": ["read", "offline_access"] }));
    let house = street.house(oauth()).await;
    let url = authority(&house).begin(&tickets(&house), &[]).await.unwrap().0;
    assert_eq!(scope(&url).as_deref(), Some("read write offline_access"));
    assert_eq!(parameter(&url, "prompt").as_deref(), Some("consent"));
}

/// What a server wants is heard by whoever asks it, also where no call was refused before.
// spec: UP-37
#[tokio::test]
async fn scopes_are_those_that_the_server_names_when_it_is_asked() {
    let street = Street::new().await;
    let said = "Bearer scope=\"calendar\"";
    street.on("POST /mcp", Answer::json(&json!({})).status(401).header("www-authenticate", said));
    let house = street.house(oauth()).await;
    let (url, _) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    assert_eq!(parameter(&url, "scope").as_deref(), Some("calendar"));
}

/// spec: UP-12, UP-13
#[tokio::test]
async fn a_person_is_sent_to_where_the_server_is_now() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let (_, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    assert_eq!(begun.issuer(), street.url(""));
    street.protects(&street.url("/tenant"));
    street.serves("/tenant", &json!({}));
    house.clock.advance(Duration::from_secs(2));
    let (_, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    assert_eq!(begun.issuer(), street.url("/tenant"));
}
