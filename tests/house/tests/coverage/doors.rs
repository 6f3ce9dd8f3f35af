//! Signing in and out, applications and their tokens, a person's own account.

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Answer,
    person::{Browser, Client, REDIRECT, authorize_target, form},
};
use serde_json::{Value, json};

use crate::{
    tour::{Row, Tour},
    walk::{form_token, house, send, signed_in},
};

/// Rows of this part.
pub const ROWS: &[Row] = &[
    ("start", "of the gateway", "journal.started", ""),
    ("start", "of the gateway", "key.rotated", "success"),
    ("start", "of the gateway", "settings.loaded", ""),
    ("POST /login", "a wrong password", "signin.failed", "failure"),
    ("POST /login", "the right password", "signin.succeeded", "success"),
    ("POST /login", "from a page of somebody else", "request.refused", "denied"),
    ("POST /login/choose", "from a page of somebody else", "request.refused", "denied"),
    ("POST /oauth/register", "a good description", "client.registered", "success"),
    ("POST /oauth/register", "a bad description", "request.refused", "denied"),
    ("POST /register", "a good description", "client.registered", "success"),
    ("GET /oauth/authorize", "to a foreign address", "authz.refused", "denied"),
    ("GET /authorize", "to a foreign address", "authz.refused", "denied"),
    ("GET /oauth/authorize/continue", "to a foreign address", "authz.refused", "denied"),
    ("GET /oauth/authorize/finish", "of nothing", "request.refused", "denied"),
    ("POST /oauth/authorize/look", "from a page of somebody else", "request.refused", "denied"),
    ("POST /oauth/authorize", "no", "consent.denied", "denied"),
    ("POST /oauth/authorize", "yes", "consent.granted", "success"),
    ("POST /oauth/authorize", "from a page of somebody else", "request.refused", "denied"),
    ("POST /authorize", "from a page of somebody else", "request.refused", "denied"),
    ("POST /oauth/token", "a code", "token.issued", "success"),
    ("POST /oauth/token", "a refresh token", "token.refreshed", "success"),
    ("POST /oauth/token", "the same refresh token at once", "token.redelivered", "success"),
    ("POST /oauth/token", "a refresh token that was followed", "token.replayed", "denied"),
    ("POST /oauth/token", "a refresh token that was followed", "grant.revoked", "success"),
    ("POST /oauth/token", "a code again", "token.replayed", "denied"),
    ("POST /oauth/token", "garbage", "token.refused", "denied"),
    ("POST /oauth/token", "of a client that is unknown", "token.refused", "denied"),
    ("POST /oauth/token", "no form", "request.refused", "denied"),
    ("POST /token", "garbage", "token.refused", "denied"),
    ("POST /oauth/introspect", "of a client that proves itself", "token.introspected", "success"),
    ("POST /oauth/introspect", "of a client that cannot", "request.refused", "denied"),
    ("POST /oauth/revoke", "a token", "token.revoked", "success"),
    ("POST /oauth/revoke", "a token", "grant.revoked", "success"),
    ("POST /oauth/revoke", "no token", "request.refused", "denied"),
    ("POST /grants/revoke", "an application of theirs", "grant.revoked", "success"),
    ("POST /account/keys", "a key", "access_key.created", "success"),
    ("POST /account/keys/revoke", "a key of theirs", "access_key.revoked", "success"),
    ("POST /account/keys/revoke", "a key of somebody else", "request.refused", "denied"),
    ("POST /account/passkeys", "what no authenticator made", "request.refused", "denied"),
    ("POST /account/passkeys/remove", "one that there is not", "request.refused", "denied"),
    ("POST /sessions/{id}/end", "another browser of theirs", "session.ended", "success"),
    ("POST /sessions/end-others", "all other browsers", "session.ended", "success"),
    ("POST /logout", "on purpose", "signout", "success"),
    ("GET /welcome/{token}", "a wrong link, with a session", "request.refused", "denied"),
    ("POST /welcome/{token}", "the first administrator", "person.created", "success"),
    ("POST /welcome/{token}", "the first administrator", "signin.succeeded", "success"),
    ("POST /login/fresh", "yes", "grant.fresh", "success"),
    ("POST /login/fresh", "a link that was changed", "request.refused", "denied"),
    ("GET /login/fresh", "a link that was changed", "request.refused", "denied"),
];

const FRESH: &str =
    "rules: [{ rule: fresh, who: ['*'], what: [sample/echo], then: step_up, step_up: { max_age: 5m } }]";

pub async fn play() -> Result<()> {
    let mut tour = Tour::new(house("access_keys: { enabled: true }").await?, ROWS);
    tour.done("start", "of the gateway").await?;
    sign_in(&mut tour).await?;
    let (client, browser) = applications(&mut tour).await?;
    tokens(&mut tour, &client, browser).await?;
    account(&mut tour).await?;
    let mut tour = tour.moves(TestGateway::without_people("").await?).await?;
    welcome(&mut tour).await?;
    let mut tour = tour.moves(TestGateway::with(FRESH).await?).await?;
    fresh(&mut tour).await?;
    tour.finish().await
}

async fn sign_in(tour: &mut Tour) -> Result<()> {
    let mut browser = Browser::new(&tour.house.authority);
    browser.sign_in(ALICE.0, "wrong").await?;
    tour.done("POST /login", "a wrong password").await?;
    browser.sign_in(ALICE.0, ALICE.1).await?;
    tour.done("POST /login", "the right password").await?;
    for path in ["/login", "/login/choose", "/oauth/authorize", "/authorize", "/oauth/authorize/look"] {
        let request = tour.house.request("POST", path).header("sec-fetch-site", "cross-site");
        request.form(&[("name", "alice"), ("password", "x")]).send().await?;
        tour.refused(&format!("POST {path}"), "from a page of somebody else", "form.foreign").await?;
    }
    Ok(())
}

async fn registered(tour: &Tour, path: &str, description: &Value) -> Result<Answer> {
    tour.house.request("POST", path).json(description).send().await
}

async fn applications(tour: &mut Tour) -> Result<(Client, Browser)> {
    let authority = tour.house.authority.clone();
    let client = Client::register(&authority, "A test client").await?;
    tour.done("POST /oauth/register", "a good description").await?;
    registered(tour, "/oauth/register", &json!({ "redirect_uris": ["javascript:alert(1)"] })).await?;
    tour.refused("POST /oauth/register", "a bad description", "invalid_redirect_uri").await?;
    registered(tour, "/register", &json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" }))
        .await?;
    tour.done("POST /register", "a good description").await?;

    let mut browser = signed_in(&tour.house, ALICE).await?;
    let mut astray = client.parameters("sample");
    astray.retain(|(name, _)| name != "redirect_uri");
    astray.push(("redirect_uri".into(), "https://evil.example/cb".into()));
    let query = authorize_target(&astray);
    for path in ["/oauth/authorize", "/authorize", "/oauth/authorize/continue"] {
        browser.get(&query.replace("/oauth/authorize", path)).await?;
        tour.done(&format!("GET {path}"), "to a foreign address").await?;
    }
    browser.get("/oauth/authorize/finish?t=x").await?;
    tour.done("GET /oauth/authorize/finish", "of nothing").await?;
    browser.authorize(&client.authorize_target("sample"), ALICE, "deny").await?;
    tour.done("POST /oauth/authorize", "no").await?;
    Ok((client, browser))
}

async fn tokens(tour: &mut Tour, client: &Client, mut browser: Browser) -> Result<()> {
    let code = client.code(&mut browser, "sample", ALICE).await?;
    tour.done("POST /oauth/authorize", "yes").await?;
    let first = client.redeem(&code).await?;
    tour.done("POST /oauth/token", "a code").await?;
    let refresh = first.refresh.context("a refresh token")?;
    let second = client.refresh(&refresh).await?.json();
    tour.done("POST /oauth/token", "a refresh token").await?;
    client.refresh(&refresh).await?;
    tour.done("POST /oauth/token", "the same refresh token at once").await?;
    client.refresh(second["refresh_token"].as_str().context("a refresh token")?).await?;
    tour.meanwhile().await?;
    client.refresh(&refresh).await?;
    tour.done("POST /oauth/token", "a refresh token that was followed").await?;
    let code = client.code(&mut browser, "sample", ALICE).await?;
    client.redeem(&code).await?;
    tour.meanwhile().await?;
    client.token(&client.redemption(&code)).await?;
    tour.done("POST /oauth/token", "a code again").await?;
    client.refresh("garbage").await?;
    tour.done("POST /oauth/token", "garbage").await?;
    client.token(&[("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", "nobody")]).await?;
    tour.done("POST /oauth/token", "of a client that is unknown").await?;
    tour.house.request("POST", "/oauth/token").json(&json!({})).send().await?;
    tour.refused("POST /oauth/token", "no form", "invalid_request").await?;
    let form = [("grant_type", "refresh_token"), ("refresh_token", "garbage"), ("client_id", client.id.as_str())];
    tour.house.request("POST", "/token").form(&form).send().await?;
    tour.done("POST /token", "garbage").await?;

    let description = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_post" });
    let made = registered(tour, "/oauth/register", &description).await?.json();
    let (id, secret) = (made["client_id"].as_str().context("id")?, made["client_secret"].as_str().context("secret")?);
    let asked = [("token", "x"), ("client_id", id), ("client_secret", secret)];
    let answer = tour.house.request("POST", "/oauth/introspect").form(&asked).send().await?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    tour.done("POST /oauth/introspect", "of a client that proves itself").await?;
    tour.house.request("POST", "/oauth/introspect").form(&[("token", "x"), ("client_id", &client.id)]).send().await?;
    tour.refused("POST /oauth/introspect", "of a client that cannot", "invalid_client").await?;

    let code = client.code(&mut browser, "sample", ALICE).await?;
    let tokens = client.redeem(&code).await?;
    tour.meanwhile().await?;
    let form = [("token", tokens.access.as_str()), ("client_id", client.id.as_str())];
    tour.house.request("POST", "/oauth/revoke").form(&form).send().await?;
    tour.done("POST /oauth/revoke", "a token").await?;
    tour.house.request("POST", "/oauth/revoke").form(&[("client_id", &client.id)]).send().await?;
    tour.refused("POST /oauth/revoke", "no token", "invalid_request").await?;

    let code = client.code(&mut browser, "sample", ALICE).await?;
    client.redeem(&code).await?;
    let home = browser.get("/").await?.text();
    let (_, after) = home.split_once("name=\"grant\" value=\"").context("an application")?;
    let grant = after.split('"').next().unwrap_or_default().to_owned();
    tour.meanwhile().await?;
    send(&mut browser, "/grants/revoke", &[("grant", &grant)]).await?;
    tour.done("POST /grants/revoke", "an application of theirs").await.map(drop)
}

async fn account(tour: &mut Tour) -> Result<()> {
    let (mut alice, mut bob) = (signed_in(&tour.house, ALICE).await?, signed_in(&tour.house, BOB).await?);
    tour.meanwhile().await?;
    let wanted = [("name", "k"), ("server", "sample"), ("scope", "mcp:read"), ("days", "1")];
    send(&mut alice, "/account/keys", &wanted).await?;
    tour.done("POST /account/keys", "a key").await?;
    let page = alice.get("/account").await?.text();
    let (_, after) = page.split_once("name=\"grant\" value=\"").context("a key")?;
    let key = after.split('"').next().unwrap_or_default().to_owned();
    send(&mut bob, "/account/keys/revoke", &[("grant", &key)]).await?;
    tour.done("POST /account/keys/revoke", "a key of somebody else").await?;
    send(&mut alice, "/account/keys/revoke", &[("grant", &key)]).await?;
    tour.done("POST /account/keys/revoke", "a key of theirs").await?;
    send(&mut alice, "/account/passkeys", &[("name", "k"), ("ticket", "x"), ("assertion", "x")]).await?;
    tour.done("POST /account/passkeys", "what no authenticator made").await?;
    send(&mut alice, "/account/passkeys/remove", &[("passkey", "pk_x")]).await?;
    tour.done("POST /account/passkeys/remove", "one that there is not").await?;

    signed_in(&tour.house, ALICE).await?;
    signed_in(&tour.house, ALICE).await?;
    tour.meanwhile().await?;
    let page = alice.get("/account").await?.text();
    // The first is the one that asks.
    let (before, _) = page.rsplit_once("/end\"").context("another session")?;
    let action = format!("{}/end", before.rsplit('"').next().unwrap_or_default());
    send(&mut alice, &action, &[]).await?;
    tour.done("POST /sessions/{id}/end", "another browser of theirs").await?;
    send(&mut alice, "/sessions/end-others", &[]).await?;
    tour.done("POST /sessions/end-others", "all other browsers").await?;
    alice.get("/welcome/x").await?;
    tour.done("GET /welcome/{token}", "a wrong link, with a session").await?;
    let token = form_token(&mut alice).await?;
    ensure!(!token.is_empty(), "no token");
    send(&mut alice, "/logout", &[]).await?;
    tour.done("POST /logout", "on purpose").await.map(drop)
}

async fn welcome(tour: &mut Tour) -> Result<()> {
    let link = format!("/welcome/{}", tour.house.invitation.as_deref().context("an invitation")?);
    let mut browser = Browser::new(&tour.house.authority);
    let page = browser.get(&link).await?;
    tour.meanwhile().await?;
    let form = form(&page.text()).context("a form")?;
    let password = "a gate of oak and iron";
    let answer = browser.submit(&form, &[("name", "carol"), ("password", password), ("again", password)]).await?;
    ensure!(answer.status == 303, "{} {}", answer.status, answer.text());
    tour.done("POST /welcome/{token}", "the first administrator").await.map(drop)
}

async fn fresh(tour: &mut Tour) -> Result<()> {
    let (_, tokens) = tour.house.client("sample", ALICE).await?;
    tour.house.advance(std::time::Duration::from_secs(301)).await?;
    let answer = tour.house.call("sample", &tokens.access, "echo", json!({ "message": "x" })).send().await?.text();
    let at = answer.find("/login/fresh?grant=").context("a link")?;
    let link = answer[at..].split([' ', '"', '\\']).next().unwrap_or_default().to_owned();
    let mut browser = signed_in(&tour.house, ALICE).await?;
    tour.meanwhile().await?;
    browser.get(&format!("{link}x")).await?;
    tour.done("GET /login/fresh", "a link that was changed").await?;
    send(&mut browser, "/login/fresh", &[("grant", "x")]).await?;
    tour.done("POST /login/fresh", "a link that was changed").await?;
    let page = browser.get(&link).await?;
    let form = form(&page.text()).with_context(|| page.text())?;
    browser.submit(&form, &[]).await?;
    tour.done("POST /login/fresh", "yes").await.map(drop)
}
