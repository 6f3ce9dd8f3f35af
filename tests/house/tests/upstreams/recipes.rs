//! The recipes of docs/guides/upstreams.md as they stand there, with the addresses of real servers and their accounts put
//! in. A recipe that is not played here is not in the guide.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use portcullis_base::ServerName;
use portcullis_gateway::{
    check::CheckState,
    config::{Config, Sources},
};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::request,
    person::form_to,
    upstream::Upstreams,
};
use portcullis_oauth::upstream::issuer_id;
use serde_json::{Value, json};

use crate::{office::Office, town::Town};

const GUIDE: &str = include_str!("../../../../docs/guides/upstreams.md");
const ROOT: (&str, &str) = ("root", ALICE.1);

/// The sections of the guide by their headings.
fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    GUIDE.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'))
}

fn block(section: &'static str, language: &str) -> Option<&'static str> {
    section.split(&format!("```{language}\n")).nth(1)?.split("```").next()
}

/// The settings under a heading, for the server that they name, with what is the reader's own put in.
fn recipe(heading: &str, upstreams: &Upstreams, own: &[(&str, &str)]) -> Result<String> {
    let (_, section) =
        sections().find(|(title, _)| *title == heading).with_context(|| format!("no recipe {heading}"))?;
    let block = block(section, "yaml").with_context(|| format!("no settings under {heading}"))?;
    let mut settings: String =
        block.lines().flat_map(|line| [line.split(" #").next().unwrap_or_default(), "\n"]).collect();
    let name = settings.split("name: ").nth(1).and_then(|rest| rest.lines().next()).context("a name")?.to_owned();
    let origin = upstreams.get(&name).url().strip_suffix("/mcp").context("a URL")?;
    let server = (format!("https://{name}.example.com"), origin);
    for (theirs, ours) in own.iter().copied().chain([(server.0.as_str(), server.1)]) {
        ensure!(settings.contains(theirs), "{heading}: nothing says {theirs} any more");
        settings = settings.replace(theirs, ours);
    }
    ensure!(!settings.contains("example.") && !settings.contains("env:"), "{heading}: something is left: {settings}");
    Ok(settings)
}

/// Servers and a gateway whose settings are those of a recipe, and nothing else.
async fn town(
    authorities: Value,
    servers: Value,
    settings: impl FnOnce(&Upstreams) -> Result<String>,
) -> Result<Option<Town>> {
    let Some(upstreams) = Upstreams::start(authorities, servers).await? else { return Ok(None) };
    let settings = format!("{}{}", upstreams.outbound(), settings(&upstreams)?);
    let house = TestGateway::with(&settings).await.with_context(|| settings)?;
    Ok(Some(Town { house, upstreams }))
}

/// A secret in a file, as the settings name it.
fn secret(folder: &Path, text: &str) -> Result<String> {
    fs::write(folder.join("secret"), text)?;
    Ok(format!("file:{}", folder.join("secret").display()))
}

/// What `portcullis server check` would say.
async fn passes_the_check(house: &TestGateway, name: &str) -> Result<()> {
    let server = house.app.snapshot.load().servers.get(&ServerName::parse(name)?).cloned().context("the server")?;
    let steps = house.app.authority.examine(&server).await;
    ensure!(!steps.is_empty(), "nothing was looked at");
    let bad: Vec<_> =
        steps.iter().flat_map(|step| &step.checks).filter(|check| check.state == CheckState::Bad).collect();
    ensure!(bad.is_empty(), "{bad:?}");
    Ok(())
}

/// Everybody is seen as who they should be.
async fn seen(town: &Town, server: &str, alice: &str, bob: &str) -> Result<()> {
    for (login, account) in [(ALICE, alice), (BOB, bob)] {
        let token = town.token(server, login).await?;
        let said = town.seen_as(server, &token).await?;
        ensure!(said == format!("{account} at {server}"), "{} is seen as {said}", login.0);
    }
    Ok(())
}

/// Both connect through the pages, where the first call sends them, and act as themselves.
async fn both_connect(town: &Town, server: &str) -> Result<()> {
    for login in [ALICE, BOB] {
        let token = town.token(server, login).await?;
        let told = town.whoami(server, &token).await?.text();
        ensure!(told.contains(&format!("/connections/{server}")), "no link: {told}");
        town.connect(server, login).await?;
    }
    seen(town, server, "alice", "bob").await
}

#[test]
fn every_recipe_of_the_guide_is_played() {
    let this = include_str!("recipes.rs");
    let recipes: Vec<_> = sections().filter(|(_, text)| block(text, "yaml").is_some()).collect();
    assert!(recipes.len() > 12, "the recipes are not found any more");
    for (heading, text) in recipes {
        assert!(this.contains(&format!("recipe(\"{heading}\"")), "{heading} has no test");
        assert_eq!(text.matches("```yaml").count(), 1, "{heading}: one recipe under one heading");
    }
}

#[test]
fn links_within_the_guide_lead_somewhere() {
    let slug = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let there: Vec<_> = sections().map(|(heading, _)| slug(heading)).collect();
    let links: Vec<_> = GUIDE.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 20, "the links are not found any more");
    for link in links {
        assert!(there.iter().any(|slug| slug == link), "{link} leads nowhere");
    }
}

#[test]
fn exceptions_of_the_guide_are_settings() {
    let (_, text) = sections().find(|(heading, _)| *heading == "Exceptions").expect("the section");
    let keys: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|line| line.split('`').next()).collect();
    assert!(keys.len() > 6, "the exceptions are not found any more");
    for key in keys {
        let text = format!(
            "servers:\n  - name: tickets\n    url: https://tickets.example.com/mcp\n    credential:\n      kind: oauth\n      {key}\n"
        );
        let sources = Sources { file: Some(("portcullis.yaml".into(), text)), ..Sources::default() };
        if let Err(problems) = Config::load(&sources) {
            panic!("{key}: {problems}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_person_connects_their_account() -> Result<()> {
    let servers = json!({ "tickets": { "authority": "acme", "tls": true } });
    let settings = |upstreams: &Upstreams| recipe("Each person connects their account", upstreams, &[]);
    let Some(town) = town(json!({ "acme": {} }), servers, settings).await? else { return Ok(()) };
    passes_the_check(&town.house, "tickets").await?;
    both_connect(&town, "tickets").await?;
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_somebody_registered() -> Result<()> {
    let servers = json!({ "tickets": { "authority": "acme", "tls": true } });
    let folder = tempfile::tempdir()?;
    let reference = secret(folder.path(), "a secret of acme")?;
    let settings = |upstreams: &Upstreams| {
        let own = [
            ("https://login.example.net", upstreams.get("acme").issuer()),
            ("env:TICKETS_SECRET", &reference),
            ("tickets:read", "notes:read"),
        ];
        recipe("A client that you registered", upstreams, &own)
    };
    // Whoever is not registered by hand gets nowhere.
    let authorities = json!({ "acme": { "registration": false } });
    let Some(town) = town(authorities, servers, settings).await? else { return Ok(()) };
    let callback =
        format!("http://{}/connections/-/callback/{}", town.house.authority, issuer_id(town.at("acme").issuer()));
    let client = json!({ "client_id": "portcullis", "client_secret": "a secret of acme", "redirect_uris": [callback] });
    town.at("acme").client(client).await?;
    passes_the_check(&town.house, "tickets").await?;
    both_connect(&town, "tickets").await?;
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_the_key_of_the_gateway() -> Result<()> {
    let servers = json!({ "tickets": { "authority": "acme", "tls": true } });
    let settings = |upstreams: &Upstreams| {
        let own = [("https://login.example.net", upstreams.get("acme").issuer())];
        recipe("A client with a key instead of a secret", upstreams, &own)
    };
    let authorities = json!({ "acme": { "registration": false } });
    let Some(town) = town(authorities, servers, settings).await? else { return Ok(()) };
    let callback =
        format!("http://{}/connections/-/callback/{}", town.house.authority, issuer_id(town.at("acme").issuer()));
    let keys = request(&town.house.authority, "GET", "/oauth/client/jwks.json").send().await?.json();
    let client = json!({ "client_id": "portcullis", "redirect_uris": [callback], "jwks": keys,
        "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256" });
    town.at("acme").client(client).await?;
    passes_the_check(&town.house, "tickets").await?;
    both_connect(&town, "tickets").await?;
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_person_brings_a_key() -> Result<()> {
    let keys = json!({ "sk-of-alice": "alice", "sk-of-bob": "bob" });
    let servers = json!({ "search": { "kind": "key", "header": "x-api-key", "keys": keys } });
    let settings = |upstreams: &Upstreams| recipe("Each person brings an API key", upstreams, &[]);
    let Some(town) = town(json!({}), servers, settings).await? else { return Ok(()) };
    passes_the_check(&town.house, "search").await?;
    for login in [ALICE, BOB] {
        let mut browser = town.browser()?;
        let page = browser.connect("search", login).await?;
        ensure!(page.said().contains("/settings/keys"), "where keys are made: {}", page.said());
        let form = form_to(&page.text(), "/key").with_context(|| page.said())?;
        let wrong = browser.send_form(&page, &form, &[("key", "mistyped")]).await?;
        ensure!(wrong.leads_to().is_none(), "a key of another shape was taken");
        let done = browser.send_form(&page, &form, &[("key", &format!("sk-of-{}", login.0))]).await?;
        ensure!(done.leads_to().is_some(), "{}", done.said());
    }
    seen(&town, "search", "alice", "bob").await?;
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_for_everybody() -> Result<()> {
    let servers = json!({ "search": { "kind": "key", "header": "x-api-key", "keys": { "sk-of-all": "the house" } } });
    let folder = tempfile::tempdir()?;
    let reference = secret(folder.path(), "sk-of-all")?;
    let settings =
        |upstreams: &Upstreams| recipe("One API key for everybody", upstreams, &[("env:SEARCH_KEY", &reference)]);
    let Some(town) = town(json!({}), servers, settings).await? else { return Ok(()) };
    passes_the_check(&town.house, "search").await?;
    seen(&town, "search", "the house", "the house").await?;
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_for_everybody() -> Result<()> {
    let servers = json!({ "metrics": { "authority": "acme", "tls": true } });
    let settings = |upstreams: &Upstreams| recipe("One connection for everybody", upstreams, &[]);
    let Some(town) = town(json!({ "acme": {} }), servers, settings).await? else { return Ok(()) };
    passes_the_check(&town.house, "metrics").await?;
    town.house.person(ROOT, true, &[]).await?;
    town.at("acme").account(ROOT.0, json!({ "email": "team@example.com" })).await?;
    let token = town.token("metrics", ALICE).await?;
    let told = town.whoami("metrics", &token).await?.text();
    ensure!(told.contains("administrator"), "{told}");
    town.connect("metrics", ROOT).await?;
    seen(&town, "metrics", "root", "root").await?;
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_of_the_gateway() -> Result<()> {
    let servers = json!({ "metrics": { "authority": "acme", "tls": true } });
    let folder = tempfile::tempdir()?;
    let reference = secret(folder.path(), "a secret of acme")?;
    let settings = |upstreams: &Upstreams| {
        let own = [
            ("https://login.example.net", upstreams.get("acme").issuer()),
            ("env:METRICS_SECRET", &reference),
            ("metrics:read", "notes:read"),
        ];
        recipe("A service account", upstreams, &own)
    };
    let Some(town) = town(json!({ "acme": {} }), servers, settings).await? else { return Ok(()) };
    let client = json!({ "client_id": "portcullis", "client_secret": "a secret of acme", "redirect_uris": [],
        "response_types": [], "grant_types": ["client_credentials"] });
    town.at("acme").client(client).await?;
    passes_the_check(&town.house, "metrics").await?;
    seen(&town, "metrics", "portcullis", "portcullis").await?;
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_our_own() -> Result<()> {
    let servers = json!({ "inventory": { "kind": "own", "header": "portcullis-identity" } });
    let settings = |upstreams: &Upstreams| recipe("Your own servers", upstreams, &[]);
    let Some(town) = town(json!({}), servers, settings).await? else { return Ok(()) };
    let (_, text) = sections().find(|(heading, _)| *heading == "Your own servers").context("the recipe")?;
    let (keys, kind) = ("/oauth/jwks", "typ: 'portcullis-identity+jwt'");
    let verified = block(text, "js").context("how it is verified")?;
    ensure!(verified.contains(&format!("example.com{keys}'")) && verified.contains(kind), "{verified}");
    // It checks what the guide says, and nothing less (notes.mjs).
    ensure!(include_str!("../../../upstreams/notes.mjs").contains(kind), "the server is content with less");
    town.at("inventory").set(json!({ "jwks": format!("http://{}{keys}", town.house.authority) })).await?;
    passes_the_check(&town.house, "inventory").await?;
    seen(&town, "inventory", "alice", "bob").await?;
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_nothing() -> Result<()> {
    let servers = json!({ "weather": { "authority": "acme", "guests": true } });
    let settings = |upstreams: &Upstreams| recipe("A server that asks nothing", upstreams, &[]);
    let Some(town) = town(json!({ "acme": {} }), servers, settings).await? else { return Ok(()) };
    passes_the_check(&town.house, "weather").await?;
    seen(&town, "weather", "nobody", "nobody").await?;
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_on_both_sides() -> Result<()> {
    let servers = json!({ "inventory": { "authority": "acme", "guests": true, "tls": true, "callers": true } });
    let Some(upstreams) = Upstreams::start(json!({ "acme": {} }), servers).await? else { return Ok(()) };
    let folder = upstreams.authority().parent().context("a folder")?;
    let at = |name: &str| folder.join(name).display().to_string();
    let (authority, certificate, key) = (at("authority.pem"), at("caller.pem"), at("caller.key"));
    let own = [("company-ca.pem", authority.as_str()), ("gateway.pem", &certificate), ("gateway-key.pem", &key)];
    let settings = recipe("Certificates", &upstreams, &own)?;
    let without: String =
        settings.lines().filter(|line| !line.contains("client_")).flat_map(|line| [line, "\n"]).collect();
    let town = Town { house: TestGateway::with(&without).await?, upstreams };
    let token = town.token("inventory", ALICE).await?;
    ensure!(town.seen_as("inventory", &token).await.is_err(), "it lets everybody in");
    let Town { house, upstreams } = town;
    house.stop().await?;
    let town = Town { house: TestGateway::with(&settings).await?, upstreams };
    passes_the_check(&town.house, "inventory").await?;
    seen(&town, "inventory", "nobody", "nobody").await?;
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_a_public_list() -> Result<()> {
    let servers = json!({ "tickets": { "authority": "acme", "tls": true } });
    let settings = |upstreams: &Upstreams| recipe("Headers, limits and tool lists", upstreams, &[]);
    let Some(town) = town(json!({ "acme": {} }), servers, settings).await? else { return Ok(()) };
    town.connect("tickets", ALICE).await?;
    let token = town.token("tickets", ALICE).await?;
    let list = async |token: &str| -> Result<String> {
        let request = town.house.modern("tickets", token, 1, "tools/list", json!({}));
        Ok(request.header("accept-language", "cy").header("x-other", "no").send().await?.text())
    };
    let own = list(&token).await?;
    ensure!(own.contains("\"whoami\""), "{own}");
    let asked = town.at("tickets").requests().await?;
    let lists = |request: &&Value| request["body"].as_str().is_some_and(|body| body.contains("tools/list"));
    // The gateway has asked for the list by itself before.
    let headers = &asked.iter().rfind(lists).context("the list was asked for")?["headers"];
    ensure!(headers["x-team"] == "platform" && headers["accept-language"] == "cy", "{headers}");
    ensure!(headers.get("x-other").is_none(), "{headers}");
    // Bob is not connected, and sees what there is.
    let token = town.token("tickets", BOB).await?;
    let told = list(&token).await?;
    ensure!(told.contains("\"whoami\""), "{told}");
    town.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_provider_are_exchanged() -> Result<()> {
    let servers = json!({ "wiki": { "kind": "exchange", "issuer": "$issuer", "jwks": "$jwks", "tls": true, "audience": "wiki" } });
    let settings = |upstreams: &Upstreams| recipe("Token exchange", upstreams, &[("wiki:read", "mcp:read")]);
    let Some(office) = Office::with("oidc", servers, settings).await? else { return Ok(()) };
    each_as_themselves(&office, "wiki").await
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_acts_on_behalf_of_people() -> Result<()> {
    let servers = json!({ "wiki": { "kind": "exchange", "issuer": "$issuer", "jwks": "$jwks", "tls": true, "audience": "api://wiki" } });
    let settings =
        |upstreams: &Upstreams| recipe("Entra on-behalf-of", upstreams, &[("provider: entra", "provider: company")]);
    let Some(office) = Office::with("entra", servers, settings).await? else { return Ok(()) };
    each_as_themselves(&office, "wiki").await
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_assertions_of_the_provider() -> Result<()> {
    let servers = json!({ "tickets": { "authority": "acme", "tls": true } });
    let folder = tempfile::tempdir()?;
    let reference = secret(folder.path(), "secret-at-acme")?;
    let settings = |upstreams: &Upstreams| {
        let own = [
            ("https://login.example.net", upstreams.get("acme").issuer()),
            ("client_id: portcullis", "client_id: at-acme"),
            ("env:TICKETS_SECRET", &reference),
            ("tickets:read", "notes:read"),
        ];
        recipe("Identity assertions (ID-JAG)", upstreams, &own)
    };
    let Some(office) = Office::with("oidc", servers, settings).await? else { return Ok(()) };
    office.client_at_acme().await?;
    each_as_themselves(&office, "tickets").await
}

async fn each_as_themselves(office: &Office, server: &str) -> Result<()> {
    passes_the_check(&office.house, server).await?;
    for login in ["alice", "bob"] {
        let token = office.token(server, login).await?;
        let said = office.said(server, &token).await?;
        ensure!(said == format!("{login} at {server}"), "{login}: {said}");
    }
    Ok(())
}
