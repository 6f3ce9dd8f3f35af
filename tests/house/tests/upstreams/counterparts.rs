//! The counterparts are what the other tests take them for: strict about rotation, exact about whom a token is for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    http::{Answer, Request, Trust, request},
    person::VERIFIER,
    provider::Providers,
    upstream::Upstreams,
    walk::Walker,
};
use serde_json::{Value, json};
use url::Url;

const BACK: &str = "http://127.0.0.1:9/callback";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const TYPE: &str = "urn:ietf:params:oauth:token-type:";

fn at(url: &str, method: &str, trust: &Trust) -> Result<Request> {
    let url = Url::parse(url)?;
    let host = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(443));
    let request = request(&host, method, url.path());
    Ok(if url.scheme() == "https" { request.over(trust) } else { request })
}

async fn token(issuer: &str, trust: &Trust, form: &[(&str, &str)]) -> Result<Answer> {
    at(&format!("{issuer}/token"), "POST", trust)?.form(form).send().await
}

/// Tokens of `login` at `acme` for a resource, by a client that registers itself.
async fn connected(upstreams: &Upstreams, login: &str, resource: &str) -> Result<(String, Value)> {
    let (trust, issuer) = (upstreams.trust()?, upstreams.get("acme").issuer().to_owned());
    let metadata = json!({ "redirect_uris": [BACK], "token_endpoint_auth_method": "none", "client_name": "By hand",
        "application_type": "native", "grant_types": ["authorization_code", "refresh_token"] });
    let registered = at(&format!("{issuer}/reg"), "POST", &trust)?.json(&metadata).send().await?;
    ensure!(registered.status == 201, "{}", registered.text());
    let id = registered.json()["client_id"].as_str().context("an id")?.to_owned();
    let mut url = Url::parse(&format!("{issuer}/auth"))?;
    url.query_pairs_mut().extend_pairs([
        ("client_id", id.as_str()),
        ("redirect_uri", BACK),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("scope", "notes:read"),
        ("resource", resource),
        ("state", "x"),
    ]);
    let mut browser = Walker::at("127.0.0.1:9", trust.clone());
    let page = browser.open(url.as_str()).await?;
    let end = browser.go_on_until(page, login, |url| url.as_str().starts_with(BACK)).await?;
    let back = end.leads_to().with_context(|| end.text())?;
    let code = back.query_pairs().find(|(name, _)| name == "code").with_context(|| back.to_string())?.1.into_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", BACK),
        ("client_id", &id),
        ("code_verifier", VERIFIER),
        ("resource", resource),
    ];
    let answer = token(&issuer, &trust, &form).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok((id, answer.json()))
}

async fn whoami(url: &str, trust: &Trust, token: &str) -> Result<Answer> {
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "house", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {} });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "whoami", "_meta": meta, "arguments": {} } });
    at(url, "POST", trust)?
        .bearer(token)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "whoami")
        .json(&body)
        .send()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_whose_it_is_and_where_it_is_good() -> Result<()> {
    let servers = json!({ "notes": { "authority": "acme" }, "other": { "authority": "acme" } });
    let Some(upstreams) = Upstreams::start(json!({ "acme": {} }), servers).await? else { return Ok(()) };
    let trust = upstreams.trust()?;
    let url = upstreams.get("notes").url();
    let stranger = whoami(url, &trust, "x").await?;
    assert_eq!(stranger.status, 401);
    assert!(stranger.header("www-authenticate").is_some_and(|value| value.contains("resource_metadata=")));
    for login in ["alice", "bob"] {
        let (_, tokens) = connected(&upstreams, login, url).await?;
        let access = tokens["access_token"].as_str().context("a token")?;
        let said = whoami(url, &trust, access).await?;
        assert!(said.status == 200 && said.text().contains(&format!("{login} at notes")), "{}", said.text());
        assert_eq!(whoami(upstreams.get("other").url(), &trust, access).await?.status, 401);
        upstreams.advance(Duration::from_secs(3601)).await?;
        assert_eq!(whoami(url, &trust, access).await?.status, 401, "an hour is over");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_good_once_unless_its_provider_is_lenient() -> Result<()> {
    let servers = json!({ "notes": { "authority": "acme" } });
    let Some(upstreams) = Upstreams::start(json!({ "acme": {} }), servers).await? else { return Ok(()) };
    let (trust, acme) = (upstreams.trust()?, upstreams.get("acme"));
    for (grace, second) in [(0, 400), (60, 200)] {
        acme.set(json!({ "grace": grace })).await?;
        let (id, tokens) = connected(&upstreams, "alice", upstreams.get("notes").url()).await?;
        let refresh = tokens["refresh_token"].as_str().context("a refresh token")?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", &id)];
        let first = token(acme.issuer(), &trust, &form).await?;
        assert_eq!(first.status, 200, "{}", first.text());
        assert_ne!(first.json()["refresh_token"], tokens["refresh_token"]);
        upstreams.advance(Duration::from_secs(30)).await?;
        assert_eq!(token(acme.issuer(), &trust, &form).await?.status, second);
        // Whoever was strict has ended everything by now.
        let next = first.json()["refresh_token"].as_str().context("a successor")?.to_owned();
        let form = [("grant_type", "refresh_token"), ("refresh_token", next.as_str()), ("client_id", &id)];
        assert_eq!(token(acme.issuer(), &trust, &form).await?.status, second);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_was_done_and_a_lost_request_was_not() -> Result<()> {
    let servers = json!({ "notes": { "authority": "acme" } });
    let Some(upstreams) = Upstreams::start(json!({ "acme": { "grace": 60 } }), servers).await? else { return Ok(()) };
    let (trust, acme) = (upstreams.trust()?, upstreams.get("acme"));
    let (id, tokens) = connected(&upstreams, "alice", upstreams.get("notes").url()).await?;
    let refresh = tokens["refresh_token"].as_str().context("a refresh token")?;
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", &id)];
    let before = acme.tokens("alice").await?;
    for (act, access) in [("drop", before.1), ("lose", before.1 + 1)] {
        acme.faults(&[json!({ "path": "/token", "times": 1, "act": act })]).await?;
        assert!(token(acme.issuer(), &trust, &form).await.is_err(), "{act}");
        assert_eq!(acme.tokens("alice").await?.1, access, "{act}");
    }
    assert_eq!(token(acme.issuer(), &trust, &form).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_speaks_for_its_people() -> Result<()> {
    let Some(providers) = Providers::company("oidc").await? else { return Ok(()) };
    let company = providers.get("company");
    let (acme, servers) = (json!({ "acme": {} }), json!({ "notes": { "authority": "acme" } }));
    let Some(upstreams) = Upstreams::beside(&providers, acme, servers).await? else { return Ok(()) };
    let (trust, acme, url) = (upstreams.trust()?, upstreams.get("acme"), upstreams.get("notes").url());
    let exchange = format!("{}grant-type:token-exchange", "urn:ietf:params:oauth:");
    let bearer = format!("{}grant-type:jwt-bearer", "urn:ietf:params:oauth:");
    company.client(json!({ "redirect_uris": [BACK], "grant_types": ["authorization_code", exchange] })).await?;
    acme.client(json!({ "client_id": "at-acme", "client_secret": "s", "redirect_uris": [BACK], "grant_types": ["authorization_code", bearer],
        "token_endpoint_auth_method": "client_secret_post" }))
    .await?;
    company.set(json!({ "exchange": { "clients": { acme.issuer(): "at-acme" } } })).await?;
    let jwks = at(&format!("{}/jwks", company.issuer()), "GET", &trust)?.send().await?.json();
    acme.set(json!({ "trusts": { company.issuer(): jwks } })).await?;

    let subject = company.sign(json!({}), json!({ "sub": "company-alice", "aud": "portcullis" })).await?;
    let (id_token, id_jag) = (format!("{TYPE}id_token"), format!("{TYPE}id-jag"));
    let asked = [
        ("grant_type", exchange.as_str()),
        ("requested_token_type", &id_jag),
        ("subject_token", &subject),
        ("subject_token_type", &id_token),
        ("audience", acme.issuer()),
        ("resource", url),
        ("scope", "notes:read"),
        ("client_id", "portcullis"),
        ("client_secret", "portcullis-secret"),
    ];
    let basic = |pairs: &[(&str, &str)]| token_with_basic(company.issuer(), &trust, pairs);
    let given = basic(&asked)?.send().await?;
    assert_eq!((given.status, &given.json()["issued_token_type"]), (200, &json!(id_jag)), "{}", given.text());
    let assertion = given.json()["access_token"].as_str().context("an assertion")?.to_owned();
    let form =
        [("grant_type", bearer.as_str()), ("assertion", &assertion), ("client_id", "at-acme"), ("client_secret", "s")];
    let tokens = token(acme.issuer(), &trust, &form).await?;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    let said = whoami(url, &trust, tokens.json()["access_token"].as_str().unwrap_or_default()).await?;
    assert!(said.text().contains("alice at notes"), "{}", said.text());
    assert_eq!(token(acme.issuer(), &trust, &form).await?.json()["error"], "invalid_grant", "once");

    company
        .set(json!({ "exchange": { "refuse": { "error": "access_denied", "error_description": "Ask your manager" } } }))
        .await?;
    let refused = basic(&asked)?.send().await?;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("access_denied")));
    Ok(())
}

fn token_with_basic(issuer: &str, trust: &Trust, form: &[(&str, &str)]) -> Result<Request> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let without: Vec<_> = form.iter().copied().filter(|(name, _)| !name.starts_with("client_")).collect();
    let value = STANDARD.encode("portcullis:portcullis-secret");
    Ok(at(&format!("{issuer}/token"), "POST", trust)?.header("authorization", &format!("Basic {value}")).form(&without))
}
