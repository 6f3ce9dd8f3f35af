//! The known makes of providers, each with what it does differently, all at one gateway.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_house::{gateway::TestGateway, provider::Providers, walk::Walker};
use serde_json::{Value, json};

use crate::company::refuses;

const TENANT: &str = "8c2a6f0e-5b1d-4f0c-9d3e-2f6a7b8c9d0e";

/// A make: its settings, and what it calls two groups.
struct Make {
    id: &'static str,
    settings: Value,
    groups: [&'static str; 2],
}

async fn makes(providers: &Providers) -> Result<Vec<Make>> {
    let at = |id: &str, path: &str| format!("https://{}{path}", providers.get(id).host());
    let admin = providers.get("google").service_account().await?;
    let directory = json!({ "service_account": format!("file:{}", admin.display()), "admin": "admin@example.com" });
    let make = |id, settings, groups| Make { id, settings, groups };
    Ok(vec![
        make("okta", json!({ "kind": "okta" }), ["canteen", "platform"]),
        make("okta-custom", json!({ "kind": "okta" }), ["canteen", "platform"]),
        make("keycloak", json!({ "kind": "keycloak" }), ["canteen", "platform"]),
        make(
            "auth0",
            json!({ "kind": "auth0", "claims": { "groups": "https://example.com/groups" } }),
            ["canteen", "platform"],
        ),
        make("entra", json!({ "kind": "entra", "api_url": at("entra", "/graph") }), ["canteen", "platform"]),
        make(
            "entra-organizations",
            json!({ "kind": "entra", "tenant": "organizations", "tenants": [TENANT] }),
            ["canteen", "platform"],
        ),
        make(
            "google",
            json!({ "kind": "google", "hosted_domains": ["example.com"], "directory": directory,
            "api_url": at("google", "") }),
            ["canteen@example.com", "platform@example.com"],
        ),
        make("github", json!({ "kind": "github", "organizations": ["acme"] }), ["acme", "acme/platform"]),
    ])
}

async fn everybody() -> Result<Option<(Providers, TestGateway, Vec<Make>)>> {
    let kinds = ["okta", "okta-custom", "keycloak", "auth0", "entra", "entra-organizations", "google", "github"];
    let asked: Value = kinds
        .iter()
        // Pages of GitHub may be shorter than was asked for; a header says whether there are more.
        .map(|kind| ((*kind).to_owned(), json!({ "kind": kind, "page": 30 })))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let Some(providers) = Providers::start(asked).await? else { return Ok(None) };
    let makes = makes(&providers).await?;
    let each: Vec<_> = makes.iter().map(|make| (make.id, make.settings.clone())).collect();
    let house = providers.gateway_with(json!({}), &each, "").await?;
    for make in &makes {
        let groups = if make.id == "github" { json!(["acme"]) } else { json!(["canteen"]) };
        providers
            .get(make.id)
            .account("alice", json!({ "groups": groups, "hd": "example.com", "tid": TENANT }))
            .await?;
    }
    Ok(Some((providers, house, makes)))
}

/// The groups of whoever signed in at a provider.
async fn groups(house: &TestGateway, id: &str) -> Result<Vec<String>> {
    for person in house.app.store.people().await? {
        if house.app.store.identities_of(&person.id).await?.iter().any(|known| known.provider == id) {
            return Ok(person.groups);
        }
    }
    anyhow::bail!("nobody is known from {id}")
}

// spec: AS-145, AS-143
#[tokio::test(flavor = "multi_thread")]
async fn every_make_tells_who_somebody_is_and_what_became_of_their_groups() -> Result<()> {
    let Some((providers, house, makes)) = everybody().await? else { return Ok(()) };
    for make in &makes {
        let mut browser = Walker::new(&house, &providers)?;
        browser.sign_in(make.id, "alice").await.context(make.id)?;
        assert_eq!(groups(&house, make.id).await?, make.groups[..1], "{}", make.id);
    }
    // One person each: nobody is taken for another because of a name or an address.
    assert_eq!(house.app.store.people().await?.len(), makes.len());
    for make in &makes {
        let more = if make.id == "github" { json!(["acme", "acme/platform"]) } else { json!(["canteen", "platform"]) };
        providers.get(make.id).account("alice", json!({ "groups": more })).await?;
    }
    for round in 0..2 {
        providers.advance(Duration::from_mins(10)).await?;
        house.advance(Duration::from_mins(10)).await?;
        house.renew_groups().await?;
        for make in &makes {
            let mut found = groups(&house, make.id).await?;
            found.sort();
            assert_eq!(found, make.groups, "{} {round}", make.id);
        }
    }
    // Whoever goes, goes, at each of them.
    for make in &makes {
        providers.get(make.id).account("alice", json!({ "disabled": true })).await?;
    }
    providers.advance(Duration::from_mins(10)).await?;
    house.advance(Duration::from_mins(10)).await?;
    house.renew_groups().await?;
    let ended = house.events("identity.ended").await?;
    assert_eq!(ended.len(), makes.len(), "{ended:?}");
    house.stop().await
}

// spec: T-52
#[tokio::test(flavor = "multi_thread")]
async fn t52_a_stranger_of_a_public_provider_is_not_one_of_the_company() -> Result<()> {
    let Some((providers, house, _)) = everybody().await? else { return Ok(()) };
    let refused = async |id: &str, account: Value| -> Result<bool> {
        providers.get(id).account("bob", account).await?;
        let mut browser = Walker::new(&house, &providers)?;
        let page = browser.open(&format!("/login/{id}?return_to=/")).await?;
        let end = browser.go_on(page, "bob").await?;
        let answer = (end.answer.status, end.text());
        anyhow::ensure!([200, 403].contains(&answer.0), "{id} at {}: {answer:?}", end.url);
        Ok(refuses(&end, 403))
    };
    // Any Google account can have any address; only Google says in whose Workspace it is.
    assert!(refused("google", json!({ "hd": null })).await?);
    assert!(refused("google", json!({ "hd": "evil.example" })).await?);
    assert!(refused("github", json!({ "groups": ["other", "other/acme"] })).await?);
    assert!(refused("github", json!({ "groups": [] })).await?);
    assert!(refused("entra-organizations", json!({ "tid": "00000000-0000-0000-0000-000000000001" })).await?);
    assert!(house.app.store.people().await?.is_empty());
    assert!(!refused("google", json!({ "hd": "example.com" })).await?);
    // On the last page of many.
    let many: Vec<_> = (0..150).map(|n| format!("o{n}")).chain(["acme".to_owned()]).collect();
    assert!(!refused("github", json!({ "groups": many })).await?);
    assert!(!refused("entra-organizations", json!({ "tid": TENANT })).await?);
    assert_eq!(house.app.store.people().await?.len(), 3);
    house.stop().await
}
