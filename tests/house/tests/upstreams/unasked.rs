//! Credentials for which nobody is asked: the company's provider vouches for its people, and says no in words they can read.

use anyhow::Result;
use serde_json::{Value, json};

use crate::office::{Office, claims};

fn with(mut credential: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().into_iter().flatten() {
        credential[name] = value.clone();
    }
    credential
}

// spec: UP-80, UP-81, UP-82, UP-84
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_assertion_lets_everybody_in_as_themselves() -> Result<()> {
    let servers = json!({ "notes": { "authority": "acme", "tls": true } });
    let Some(office) = Office::start("oidc", servers).await? else { return Ok(()) };
    let client = office.client_at_acme().await?;
    let credential = json!({ "kind": "id_jag", "provider": "company", "scopes": ["notes:read"], "fallback": "none" });
    office.protect("notes", with(credential, &client)).await?;
    for login in ["alice", "bob"] {
        let token = office.token("notes", login).await?;
        assert_eq!(office.said("notes", &token).await?, format!("{login} at notes"));
        assert_eq!(office.said("notes", &token).await?, format!("{login} at notes"));
    }
    // What it says, and what came of it: that person, that server, what the settings allow.
    let sent = office.assertions().await?;
    for (login, assertion) in ["alice", "bob"].iter().zip(&sent) {
        let said = claims(Some(assertion))?;
        let acme = office.at("acme").issuer();
        assert_eq!((&said["aud"], &said["client_id"]), (&json!(acme), &json!("at-acme")));
        assert_eq!((&said["resource"], &said["scope"]), (&json!(office.at("notes").url()), &json!("notes:read")));
        assert_eq!(said["sub"], format!("company-{login}"));
    }
    let used = office.called("notes").await?;
    assert_eq!(used.iter().collect::<std::collections::BTreeSet<_>>().len(), 2, "one token for each of them");
    // Kept for as long as it is good: one assertion each.
    assert_eq!(sent.len(), 2);
    assert_eq!(office.at("acme").grants("urn:ietf:params:oauth:grant-type:jwt-bearer").await?, 2);
    office.house.stop().await
}

// spec: UP-81, UP-82, UP-84
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_assertion_is_explained_to_the_person() -> Result<()> {
    let servers = json!({ "notes": { "authority": "acme", "tls": true } });
    let Some(office) = Office::start("oidc", servers).await? else { return Ok(()) };
    let client = office.client_at_acme().await?;
    let clients = json!({ office.at("acme").issuer(): "at-acme" });
    let credential = json!({ "kind": "id_jag", "provider": "company", "scopes": ["notes:read"], "fallback": "none" });
    office.protect("notes", with(credential, &client)).await?;
    let refusals = [
        (
            "the provider's policy",
            json!({ "refuse": { "error": "access_denied", "error_description": "Ask your manager" } }),
        ),
        (
            "another kind of token",
            json!({ "clients": clients, "issued": "urn:ietf:params:oauth:token-type:access_token" }),
        ),
        ("another client in it", json!({ "clients": { office.at("acme").issuer(): "somebody" } })),
    ];
    for (what, exchange) in refusals {
        office.company().set(json!({ "exchange": exchange })).await?;
        let token = office.token("notes", "alice").await?;
        let said = office.said("notes", &token).await?;
        assert!(!said.contains("alice at notes"), "{what}: {said}");
        assert!(said.contains("notes") && !said.contains("eyJ"), "{what} is not explained: {said}");
        office.advance(std::time::Duration::from_mins(2)).await?;
    }
    // Nobody there has the address.
    office.company().set(json!({ "exchange": { "clients": clients } })).await?;
    office.at("acme").account("bob", json!({ "disabled": true })).await?;
    let token = office.token("notes", "bob").await?;
    let said = office.said("notes", &token).await?;
    assert!(!said.contains("bob at notes") && said.contains("notes"), "{said}");
    // spec: UP-84: what was sent is nowhere.
    let assertions = office.assertions().await?;
    assert!(!assertions.is_empty());
    let written = office.house.written();
    for assertion in assertions {
        let tail = assertion.rsplit('.').next().unwrap_or_default().as_bytes();
        assert!(!written.windows(tail.len()).any(|window| window == tail), "an assertion was kept");
    }
    office.house.stop().await
}

// spec: RFC8693#2.1
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_exchanged_for_one_that_names_the_person() -> Result<()> {
    let servers = json!({ "wiki": { "kind": "exchange", "issuer": "$issuer", "jwks": "$jwks", "tls": true } });
    let Some(office) = Office::start("oidc", servers).await? else { return Ok(()) };
    let url = office.at("wiki").url();
    for subject in ["access_token", "id_token"] {
        office
            .protect(
                "wiki",
                json!({ "kind": "exchange", "provider": "company", "audience": url, "resource": url,
                "scopes": ["wiki:read"], "subject": subject }),
            )
            .await?;
        for login in ["alice", "bob"] {
            let token = office.token("wiki", login).await?;
            assert_eq!(office.said("wiki", &token).await?, format!("{login} at wiki"), "{subject}");
            let claims = claims(office.called("wiki").await?.last())?;
            assert_eq!((&claims["aud"], &claims["sub"]), (&json!(url), &json!(format!("company-{login}"))));
            assert_eq!((&claims["scope"], &claims["act"]), (&json!("wiki:read"), &json!({ "sub": "portcullis" })));
        }
    }
    let refuse = json!({ "refuse": { "error": "access_denied", "error_description": "Not for visitors" } });
    office.company().set(json!({ "exchange": refuse })).await?;
    office.company().account("carol", json!({ "email": "carol@example.com" })).await?;
    let token = office.token("wiki", "carol").await?;
    let said = office.said("wiki", &token).await?;
    assert!(said.contains("wiki") && !said.contains("carol at wiki"), "{said}");
    office.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_answers_on_somebodys_behalf() -> Result<()> {
    let audience = "api://wiki";
    let servers = json!({ "wiki": { "kind": "exchange", "issuer": "$issuer", "jwks": "$jwks", "tls": true, "audience": audience } });
    let Some(office) = Office::start("entra", servers).await? else { return Ok(()) };
    let credential = json!({ "kind": "on_behalf_of", "provider": "company", "scopes": [format!("{audience}/.default")],
        "subject_scope": "api://portcullis/access" });
    office.protect("wiki", credential).await?;
    for login in ["alice", "bob"] {
        let token = office.token("wiki", login).await?;
        assert_eq!(office.said("wiki", &token).await?, format!("{login} at wiki"));
        let claims = claims(office.called("wiki").await?.last())?;
        assert_eq!((&claims["aud"], &claims["sub"]), (&json!(audience), &json!(format!("company-{login}"))));
        assert_eq!(claims["azp"], "portcullis");
    }
    office.house.stop().await
}
