//! What people read when nobody vouches for them, and that nothing else is used instead.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_house::person::{Browser, Client, form};
use serde_json::{Value, json};

use crate::office::Office;

/// What a provider says, and what people read of it, with the provider's name.
const REFUSALS: [(&str, &str); 6] = [
    ("access_denied", "does not let you use the server wiki. Ask the administrator of {company}"),
    ("interaction_required", "/login/company, sign in there with {company} again"),
    ("invalid_target", "gives no access to the server wiki, to nobody. Ask your administrator"),
    ("invalid_scope", "does not give what the gateway asks for at the server wiki"),
    ("unauthorized_client", "does not let the gateway act for people at the server wiki. Ask your administrator"),
    ("temporarily_unavailable", "does not answer. Try again in a minute"),
];

/// `wiki`, which takes tokens that the company makes of those of a sign-in there, in the words of that provider.
async fn with_wiki(make: &str) -> Result<Option<Office>> {
    wiki_beside(json!({}), make).await
}

async fn wiki_beside(identity: Value, make: &str) -> Result<Option<Office>> {
    let kind =
        json!({ "kind": "exchange", "issuer": "$issuer", "jwks": "$jwks", "tls": true, "audience": "api://wiki" });
    let Some(office) = Office::beside(identity, make, json!({ "wiki": kind }), |_| Ok(String::new())).await? else {
        return Ok(None);
    };
    let credential = match make {
        "entra" => json!({ "kind": "on_behalf_of", "provider": "company", "scopes": ["api://wiki/.default"],
            "subject_scope": "api://portcullis/access" }),
        _ => json!({ "kind": "exchange", "provider": "company", "audience": "api://wiki", "scopes": ["wiki:read"] }),
    };
    office.protect("wiki", credential).await?;
    Ok(Some(office))
}

/// Longer than a refusal is remembered.
async fn a_while(office: &Office) -> Result<()> {
    office.advance(Duration::from_secs(20)).await
}

/// What its people call the provider.
fn name(make: &str) -> &'static str {
    if make == "entra" { "Microsoft" } else { "Company account" }
}

async fn refuse(office: &Office, code: &str) -> Result<()> {
    let refuse = json!({ "refuse": { "error": code, "error_description": "canary words of the provider" } });
    office.company().set(json!({ "exchange": refuse })).await
}

// spec: RFC8693#2.1
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_the_provider_is_told_in_words_that_help() -> Result<()> {
    for make in ["oidc", "entra"] {
        let Some(office) = with_wiki(make).await? else { return Ok(()) };
        let token = office.token("wiki", "alice").await?;
        for (code, words) in REFUSALS {
            refuse(&office, code).await?;
            let said = office.said("wiki", &token).await?;
            assert!(said.contains(&words.replace("{company}", name(make))), "{make} {code}: {said}");
            assert!(!said.contains("canary") && !said.contains("eyJ"), "{make} {code}: {said}");
            a_while(&office).await?;
        }
        assert_eq!(office.called("wiki").await?.len(), 0, "nothing else was used instead");
        office.company().set(json!({ "exchange": {} })).await?;
        assert_eq!(office.said("wiki", &token).await?, "alice at wiki");
        office.house.stop().await?;
    }
    Ok(())
}

// spec: UP-40
#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_not_somebody_else() -> Result<()> {
    let Some(office) = with_wiki("oidc").await? else { return Ok(()) };
    office.company().account("alice", json!({ "exchange": "no" })).await?;
    let (alice, bob) = (office.token("wiki", "alice").await?, office.token("wiki", "bob").await?);
    for _ in 0..2 {
        assert_eq!(office.said("wiki", &bob).await?, "bob at wiki");
        let said = office.said("wiki", &alice).await?;
        assert!(said.contains("does not let you use the server wiki"), "{said}");
        a_while(&office).await?;
    }
    office.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_told_apart_from_one_that_says_no() -> Result<()> {
    let Some(office) = with_wiki("oidc").await? else { return Ok(()) };
    let token = office.token("wiki", "alice").await?;
    office.company().becomes("down").await?;
    let said = office.said("wiki", &token).await?;
    assert!(said.contains("does not answer. Try again in a minute"), "{said}");
    office.company().becomes("up").await?;
    a_while(&office).await?;
    assert_eq!(office.said("wiki", &token).await?, "alice at wiki");
    office.house.stop().await
}

// spec: AS-86, T-53
#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_the_company_is_told_once_and_then_not_let_in() -> Result<()> {
    for make in ["oidc", "entra"] {
        let Some(office) = with_wiki(make).await? else { return Ok(()) };
        let token = office.token("wiki", "alice").await?;
        office.company().account("alice", json!({ "disabled": true })).await?;
        let said = office.said("wiki", &token).await?;
        let words = format!("/login/company, sign in there with {} again", name(make));
        assert!(said.contains(&words), "{make}: {said}");
        assert_eq!(office.called("wiki").await?.len(), 0);
        office.house.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_the_gateway_alone_has_nothing_to_exchange() -> Result<()> {
    const DORA: (&str, &str) = ("dora", "correct horse battery");
    let Some(office) = wiki_beside(json!({ "local_accounts": true }), "oidc").await? else { return Ok(()) };
    office.house.person(DORA, false, &[]).await?;
    let mut browser = Browser::new(&office.house.authority);
    let page = browser.get("/login?with=password").await?;
    let form = form(&page.text()).context("no sign-in form")?;
    browser.submit(&form, &[("name", DORA.0), ("password", DORA.1)]).await?;
    let client = Client::register(&office.house.authority, "A client").await?;
    let code = client.code(&mut browser, "wiki", DORA).await?;
    let said = office.said("wiki", &client.redeem(&code).await?.access).await?;
    assert!(said.contains("you did not sign in to the gateway with Company account"), "{said}");
    assert_eq!(office.called("wiki").await?.len(), 0);
    office.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_leaves_nothing_to_go_by_is_an_administrators_matter() -> Result<()> {
    let Some(office) = with_wiki("oidc").await? else { return Ok(()) };
    office.company().set(json!({ "offline": "no" })).await?;
    let token = office.token("wiki", "alice").await?;
    let said = office.said("wiki", &token).await?;
    assert!(said.contains("ask your administrator: Company account must give the gateway refresh tokens"), "{said}");
    office.house.stop().await
}

// spec: UP-80, UP-81, UP-82, UP-84
#[tokio::test(flavor = "multi_thread")]
async fn each_leg_of_an_identity_assertion_is_told_apart() -> Result<()> {
    let Some(office) = Office::start("oidc", json!({ "notes": { "authority": "acme", "tls": true } })).await? else {
        return Ok(());
    };
    let mut credential =
        json!({ "kind": "id_jag", "provider": "company", "scopes": ["notes:read"], "fallback": "none" });
    let client = office.client_at_acme().await?;
    for (name, value) in client.as_object().into_iter().flatten() {
        credential[name] = value.clone();
    }
    office.protect("notes", credential).await?;
    let token = office.token("notes", "alice").await?;
    let clients = json!({ office.at("acme").issuer(): "at-acme" });
    for (code, words) in REFUSALS {
        let refuse = json!({ "refuse": { "error": code }, "clients": clients });
        office.company().set(json!({ "exchange": refuse })).await?;
        let said = office.said("notes", &token).await?;
        let words = words.replace("wiki", "notes").replace("{company}", name("oidc"));
        assert!(said.contains(&words), "{code}: {said}");
        a_while(&office).await?;
    }
    assert_eq!(office.assertions().await?.len(), 0, "nothing was redeemed");
    office.company().set(json!({ "exchange": { "clients": clients } })).await?;
    let by_acme = [
        ("invalid_grant", "does not accept what {company} says of you"),
        ("access_denied", "does not let you in although {company} vouches for you"),
        ("interaction_required", "does not let you in although {company} vouches for you"),
        ("invalid_scope", "does not give what {company} lets the gateway ask for"),
        ("invalid_client", "`portcullis server check notes` says why"),
        ("invalid_target", "`portcullis server check notes` says why"),
    ];
    for (code, words) in by_acme {
        let refused: Value = json!({ "path": "/token", "act": "status", "status": 400, "body": { "error": code } });
        office.at("acme").faults(&[refused]).await?;
        let said = office.said("notes", &token).await?;
        let words = words.replace("{company}", name("oidc"));
        assert!(said.contains(&words) && !said.contains("eyJ") && !said.contains("/connections/"), "{code}: {said}");
        a_while(&office).await?;
    }
    office.at("acme").faults(&[json!({ "path": "/token", "act": "drop" })]).await?;
    let said = office.said("notes", &token).await?;
    assert!(said.contains("does not answer. Try again in a minute"), "{said}");
    a_while(&office).await?;
    assert_eq!(office.called("notes").await?.len(), 0, "nothing else was used instead");
    office.at("acme").faults(&[]).await?;
    assert_eq!(office.said("notes", &token).await?, "alice at notes");
    office.house.stop().await
}

// spec: UP-80, UP-83
#[tokio::test(flavor = "multi_thread")]
async fn people_connect_by_hand_where_the_settings_say_so_and_only_if_nobody_vouches_for_them() -> Result<()> {
    let Some(office) = Office::start("oidc", json!({ "notes": { "authority": "acme", "tls": true } })).await? else {
        return Ok(());
    };
    let client = office.client_at_acme().await?;
    // From the settings of a company whose provider and whose server both say that they do this.
    let profiles = json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    let document = json!({ "path": "/.well-known/openid-configuration", "act": "members",
        "members": { "authorization_grant_profiles_supported": profiles } });
    let no_other = json!({ "path": "/.well-known/oauth-authorization-server", "act": "status", "status": 404 });
    office.at("acme").faults(&[document, no_other]).await?;
    let mut credential =
        json!({ "kind": "id_jag", "provider": "company", "scopes": ["notes:read"], "fallback": "oauth" });
    for (name, value) in client.as_object().into_iter().flatten() {
        credential[name] = value.clone();
    }
    office.protect("notes", credential).await?;
    // Nobody is sent to a page: not before the code, and not at the call.
    let token = office.token("notes", "alice").await?;
    assert_eq!(office.said("notes", &token).await?, "alice at notes");
    // Bob is not vouched for: he is offered to connect before he gets his code.
    office.company().account("bob", json!({ "exchange": "no" })).await?;
    let offered = office.token("notes", "bob").await.map_err(|error| error.to_string());
    assert!(offered.is_err_and(|page| page.contains("/connections/notes") && page.contains("Connect notes")));
    // Alice is still herself, and no token of hers was used for him.
    assert_eq!(office.said("notes", &token).await?, "alice at notes");
    let used = office.called("notes").await?;
    assert_eq!(used.iter().collect::<std::collections::BTreeSet<_>>().len(), 1);
    office.house.stop().await
}
