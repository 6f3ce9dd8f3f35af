//! Signing in at a company's identity provider, and being signed out by it.

use anyhow::{Context, Result};
use portcullis_house::{provider::Providers, walk::Walker};
use serde_json::json;

use crate::tour::{Row, Tour};

/// Rows of this part.
pub const ROWS: &[Row] = &[
    ("GET /login/{provider}/callback", "somebody new", "person.created", "success"),
    ("GET /login/{provider}/callback", "somebody new", "signin.succeeded", "success"),
    ("GET /login/{provider}/callback", "a state that is none", "signin.failed", "denied"),
    ("GET /login/{provider}/callback", "in another browser", "authz.browser_mismatch", "denied"),
    ("GET /login/{provider}/callback", "whom a directory announced", "identity.linked", "success"),
    ("POST /login/switch", "what was never asked", "request.refused", "denied"),
    ("POST /login/{provider}/back-channel", "a token that is none", "request.refused", "denied"),
    ("POST /login/{provider}/back-channel", "signed out there", "offboard.finished", "success"),
];

const TOKEN: &str = "token of the company's directory";

/// Whether it was played: without a program for providers it cannot be.
pub async fn play() -> Result<()> {
    let Some(providers) = Providers::company("oidc").await? else { return Ok(()) };
    let file = providers.folder().join("directory");
    std::fs::write(&file, TOKEN)?;
    let scim = json!({ "token": format!("file:{}", file.display()) });
    let members = json!({ "kind": "oidc", "scim": scim, "link": "verified_email",
        "scopes": ["openid", "profile", "email", "groups", "offline_access"] });
    let mut tour = Tour::new(providers.gateway(members).await?, ROWS);
    tour.meanwhile().await?;
    let company = providers.get("company");
    let mut bob = Walker::new(&tour.house, &providers)?;
    bob.sign_in("company", "bob").await?;
    tour.done("GET /login/{provider}/callback", "somebody new").await?;
    bob.open("/login/company/callback?state=x&code=y").await?;
    tour.done("GET /login/{provider}/callback", "a state that is none").await?;

    let mut other = Walker::new(&tour.house, &providers)?;
    let page = other.open("/login/company?return_to=/").await?;
    let back = other.go_on_until(page, "alice", |url| url.path().ends_with("/callback")).await?;
    let back = back.leads_to().context("back to the gateway")?;
    Walker::new(&tour.house, &providers)?.open(back.as_str()).await?;
    tour.done("GET /login/{provider}/callback", "in another browser").await?;

    company.account("alice", json!({ "email": "alice@example.com", "email_verified": true })).await?;
    let body = json!({ "userName": "alice@example.com", "displayName": "Alice", "active": true,
        "emails": [{ "value": "alice@example.com", "type": "work", "primary": true }] });
    tour.house.request("POST", "/scim/v2/Users").bearer(TOKEN).json(&body).send().await?;
    Walker::new(&tour.house, &providers)?.sign_in("company", "alice").await?;
    tour.done("GET /login/{provider}/callback", "whom a directory announced").await?;

    let page = bob.open("/account").await?;
    let mut form = page.form()?;
    form.action = "/login/switch".into();
    bob.send_form(&page, &form, &[("pending", "x"), ("decision", "stay")]).await?;
    tour.refused("POST /login/switch", "what was never asked", "form.foreign").await?;

    let told = |token: &str| tour.house.request("POST", "/login/company/back-channel").form(&[("logout_token", token)]);
    told("x").send().await?;
    tour.done("POST /login/{provider}/back-channel", "a token that is none").await?;
    company.logout("alice").await?;
    tour.done("POST /login/{provider}/back-channel", "signed out there").await?;
    tour.finish().await
}
