//! People's accounts at servers: connected, refused, used, renewed, lost and ended.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_house::gateway::{ALICE, BOB, TestGateway};
use serde_json::json;

use crate::{
    account_site::{Manners, Site, begin, connect, send},
    tour::{Row, Tour},
    walk::{send as submit, signed_in},
};

/// Rows of this part.
pub const ROWS: &[Row] = &[
    ("POST /connections/{server}/connect", "begun", "connection.begun", "success"),
    ("POST /connections/{server}/connect", "for the first time", "upstream.client_registered", "success"),
    ("GET /connections/-/callback/{issuer}", "refused there", "connection.failed", "denied"),
    ("GET /connections/-/callback/{issuer}", "in another browser", "authz.browser_mismatch", "denied"),
    ("POST /connections/{server}/confirm", "no", "connection.failed", "denied"),
    ("POST /connections/{server}/confirm", "yes", "connection.made", "success"),
    ("POST /connections/{server}/confirm", "what was never asked", "connection.failed", "denied"),
    ("GET /connections/-/open/{handle}", "a link that is none", "request.refused", "denied"),
    ("by itself", "a connection is renewed", "connection.refreshed", "success"),
    ("POST /connections/{server}/disconnect", "theirs", "connection.disconnected", "success"),
    ("POST /connections/{server}/key", "a key of theirs", "connection.made", "success"),
];

pub async fn play() -> Result<()> {
    let site = Site::with(Manners::default()).await?;
    let house = TestGateway::with("limits: { sign_ins_per_minute: 1000 }").await?;
    site.protect(&house, "notes", json!({ "kind": "oauth" })).await?;
    site.protect(&house, "keyed", json!({ "kind": "header", "header": "X-Api-Key" })).await?;
    let mut tour = Tour::new(house, ROWS);
    connecting(&mut tour, &site).await?;
    tour.finish().await
}

async fn connecting(tour: &mut Tour, site: &Site) -> Result<()> {
    let mut alice = signed_in(&tour.house, ALICE).await?;
    tour.meanwhile().await?;
    let authorize = begin(&mut alice, "/connections/notes").await?;
    tour.done("POST /connections/{server}/connect", "for the first time").await?;
    let mut back = site.back(&authorize)?;
    back.query_pairs_mut().append_pair("error", "access_denied");
    alice.get(&back[url::Position::BeforePath..]).await?;
    tour.done("GET /connections/-/callback/{issuer}", "refused there").await?;
    let authorize = begin(&mut alice, "/connections/notes").await?;
    tour.done("POST /connections/{server}/connect", "begun").await?;
    let mut bob = signed_in(&tour.house, BOB).await?;
    tour.meanwhile().await?;
    bob.get(&site.agree(&authorize, "alice@notes.example")?).await?;
    tour.done("GET /connections/-/callback/{issuer}", "in another browser").await?;

    let authorize = begin(&mut alice, "/connections/notes").await?;
    let arrived = alice.get(&site.agree(&authorize, "alice@notes.example")?).await?;
    send(&mut alice, &arrived, "/confirm", &[("decision", "decline")]).await?;
    tour.done("POST /connections/{server}/confirm", "no").await?;
    submit(&mut alice, "/connections/notes/confirm", &[("pending", "x"), ("decision", "connect")]).await?;
    tour.done("POST /connections/{server}/confirm", "what was never asked").await?;
    alice.get("/connections/-/open/x").await?;
    tour.done("GET /connections/-/open/{handle}", "a link that is none").await?;
    connect(site, &mut alice, "notes", "alice@notes.example").await?;
    tour.done("POST /connections/{server}/confirm", "yes").await?;

    let (client, tokens) = tour.house.client("notes", ALICE).await?;
    tour.house.advance(Duration::from_secs(3599)).await?;
    tour.house.renew_connections().await?;
    tour.house.rest().await?;
    tour.done("by itself", "a connection is renewed").await?;
    ensure!(tokens.refresh.is_some(), "no refresh token");
    let fresh = client.refresh(tokens.refresh.as_deref().context("a refresh token")?).await?.json();
    let token = fresh["access_token"].as_str().context("a token")?.to_owned();
    let answer = tour.house.call("notes", &token, "whoami", json!({})).send().await?;
    ensure!(answer.text().contains("alice@notes.example"), "{}", answer.text());
    tour.meanwhile().await?;
    submit(&mut alice, "/connections/notes/disconnect", &[]).await?;
    tour.done("POST /connections/{server}/disconnect", "theirs").await?;
    submit(&mut alice, "/connections/keyed/key", &[("key", "k-1")]).await?;
    tour.done("POST /connections/{server}/key", "a key of theirs").await.map(drop)
}
