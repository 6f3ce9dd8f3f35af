//! Calls that wait for people, rights for a time, words that are lent.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    person::Browser,
};
use serde_json::json;

use crate::{
    asked::{AT_ONCE, Desk, Shop, ask, made},
    behind::Behind,
    tour::{Row, Tour},
    walk::{ROOT, send, signed_in},
};

/// Rows of this part.
pub const ROWS: &[Row] = &[
    ("POST /mcp/{name}", "asks", "approval.asked", "success"),
    ("POST /mcp/{name}", "asks", "call.decided", "denied"),
    ("POST /approvals/{id}", "yes", "approval.voted", "success"),
    ("POST /approvals/{id}", "yes", "approval.granted", "success"),
    ("POST /mcp/{name}", "what was approved", "call.ended", "success"),
    ("POST /approvals/{id}", "no", "approval.refused", "denied"),
    ("POST /approvals/{id}", "yes, and ahead", "approval.standing", "success"),
    ("POST /grants/standing/revoke", "one of theirs", "approval.standing_revoked", "success"),
    ("POST /grants/standing/revoke", "one that there is not", "request.refused", "denied"),
    ("POST /approvals/{id}/withdraw", "their own", "approval.withdrawn", "success"),
    ("POST /approvals/{id}", "with a token", "request.refused", "denied"),
    ("POST /approvals/{id}", "an old sign-in", "request.refused", "denied"),
    ("by itself", "a call waits too long", "approval.expired", "timeout"),
    ("POST /approvals/hooks/{name}", "a bad signature", "approval.not_counted", "denied"),
    ("POST /approvals/hooks/slack", "a bad signature", "approval.not_counted", "denied"),
    ("POST /access/{name}", "asked for", "access.requested", "success"),
    ("POST /approvals/access/{id}", "given", "access.granted", "success"),
    ("POST /grants/access/revoke", "given back", "access.revoked", "success"),
    ("POST /approvals/access/{id}", "not given", "access.refused", "denied"),
    ("POST /approvals/access/{id}/withdraw", "not wanted any more", "access.withdrawn", "success"),
    ("POST /access/{name}/break-glass", "in an emergency", "access.break_glass", "success"),
    ("POST /access/{name}/break-glass", "by who may not", "request.refused", "denied"),
    ("POST /grants/delegations", "lent", "delegation.made", "success"),
    ("POST /grants/delegations/revoke", "taken back", "delegation.revoked", "success"),
];

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const DECIDES: &str = "whsec_dGhlIHNlY3JldCBvZiB0aGUgZGVjaXNpb25z";

pub async fn play() -> Result<()> {
    let (shop, pager) = (Shop::start().await?, Behind::start().await?);
    let folder = tempfile::tempdir()?;
    let secret = |name: &str, text: &str| -> Result<String> {
        let file = folder.path().join(name);
        fs::write(&file, text)?;
        Ok(format!("file:{}", file.display()))
    };
    let hook = json!({ "name": "pager", "url": format!("http://{}/hook", pager.at), "secret": secret("a", KEY)?,
        "decision_secret": secret("b", DECIDES)? });
    let slack = json!({ "bot_token": secret("c", "xoxb-1")?, "channel": "C1", "signing_secret": secret("d", "8f742231b10e8888abcd99")?,
        "api_url": format!("http://{}/api", pager.at), "arguments": true, "people": { "U0ALICE": "alice" } });
    let settings = format!(
        "{AT_ONCE}limits: {{ sign_ins_per_minute: 1000 }}\noutbound: {{ private_hosts: ['{}'] }}\n\
         notify: {{ webhooks: [{hook}], slack: {slack} }}\n\
         break_glass: {{ who: [group:leads], servers: [shop], lasts: 30m }}\n",
        pager.at
    );
    let house = shop.house(&settings).await?;
    house.person(ROOT, true, &[]).await?;
    let mut tour = Tour::new(house, ROWS);
    approvals(&mut tour).await?;
    hooks(&mut tour).await?;
    rights(&mut tour).await?;
    late(&mut tour).await?;
    tour.finish().await
}

async fn approvals(tour: &mut Tour) -> Result<()> {
    let (_, tokens) = tour.house.client("shop", ALICE).await?;
    let token = tokens.access.as_str();
    let mut alice = Desk::of(&tour.house, ALICE).await?;
    tour.house.modern("shop", token, 1, "tools/list", json!({})).send().await?;
    tour.meanwhile().await?;
    let note =
        |house: &TestGateway, id: i64| house.call("shop", token, "update_order", json!({ "id": id, "note": "a" }));
    ask(note(&tour.house, 1)).await?;
    tour.done("POST /mcp/{name}", "asks").await?;
    let id = alice.own().await?;
    alice.approve(&id).await?;
    tour.done("POST /approvals/{id}", "yes").await?;
    ensure!(made(&note(&tour.house, 1).send().await?.json()));
    tour.done("POST /mcp/{name}", "what was approved").await?;

    ask(note(&tour.house, 2)).await?;
    let id = alice.own().await?;
    alice.refuse(&id, "no").await?;
    tour.done("POST /approvals/{id}", "no").await?;
    ask(note(&tour.house, 3)).await?;
    let id = alice.own().await?;
    alice.say(&id, &[("word", "approve"), ("ahead", "5-times"), ("same", "id")]).await?;
    tour.done("POST /approvals/{id}", "yes, and ahead").await?;
    let page = alice.browser.get("/grants").await?.text();
    let (_, after) = page.split_once("name=\"standing\" value=\"").context("one ahead")?;
    let standing = after.split('"').next().unwrap_or_default().to_owned();
    send(&mut alice.browser, "/grants/standing/revoke", &[("standing", "apg_x")]).await?;
    tour.done("POST /grants/standing/revoke", "one that there is not").await?;
    send(&mut alice.browser, "/grants/standing/revoke", &[("standing", &standing)]).await?;
    tour.done("POST /grants/standing/revoke", "one of theirs").await?;

    ask(note(&tour.house, 4)).await?;
    let id = alice.own().await?;
    let path = format!("/approvals/{id}");
    tour.house.request("POST", &path).bearer(token).form(&[("word", "approve")]).send().await?;
    tour.refused("POST /approvals/{id}", "with a token", "approval.token").await?;
    send(&mut alice.browser, &format!("{path}/withdraw"), &[]).await?;
    tour.done("POST /approvals/{id}/withdraw", "their own").await.map(drop)
}

/// An approval after half an hour without a sign-in, and one that nobody gave in time.
async fn late(tour: &mut Tour) -> Result<()> {
    let (_, tokens) = tour.house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&tour.house, ALICE).await?;
    ask(tour.house.call("shop", &tokens.access, "update_order", json!({ "id": 9, "note": "z" }))).await?;
    let id = alice.own().await?;
    tour.house.advance(Duration::from_secs(6 * 60)).await?;
    tour.meanwhile().await?;
    alice.say(&id, &[("word", "approve")]).await?;
    tour.refused("POST /approvals/{id}", "an old sign-in", "session.not_recent").await?;
    tour.house.advance(Duration::from_secs(2 * 24 * 60 * 60)).await?;
    tour.house.app.approvals.expire().await?;
    tour.done("by itself", "a call waits too long").await.map(drop)
}

async fn hooks(tour: &mut Tour) -> Result<()> {
    let forged = tour.house.request("POST", "/approvals/hooks/pager").header("content-type", "application/json");
    let forged = forged.header("webhook-id", "m").header("webhook-timestamp", "1800000000");
    forged.header("webhook-signature", "v1,AAAA").body("{}").send().await?;
    tour.done("POST /approvals/hooks/{name}", "a bad signature").await?;
    let forged = tour.house.request("POST", "/approvals/hooks/slack").form(&[("payload", "{}")]);
    forged.header("x-slack-request-timestamp", "1800000000").header("x-slack-signature", "v0=00").send().await?;
    tour.done("POST /approvals/hooks/slack", "a bad signature").await.map(drop)
}

/// The value of a field on a page.
async fn field(browser: &mut Browser, page: &str, name: &str) -> Result<String> {
    let text = browser.get(page).await?.text();
    let (_, after) =
        text.split_once(&format!("name=\"{name}\" value=\"")).with_context(|| format!("{name}: {text}"))?;
    Ok(after.split('"').next().unwrap_or_default().to_owned())
}

async fn rights(tour: &mut Tour) -> Result<()> {
    tour.house.protect_as(json!({ "name": "vault", "url": "http://127.0.0.1:9/mcp", "access": ["treasury"] })).await?;
    let (mut bob, mut root) = (signed_in(&tour.house, BOB).await?, signed_in(&tour.house, ROOT).await?);
    let mut carol = signed_in(&tour.house, crate::asked::CAROL).await?;
    tour.meanwhile().await?;
    let wish = [("lasts", "8h"), ("why", "the quarter ends"), ("read", "yes")];
    let give = [("word", "give"), ("lasts", "1h")];
    send(&mut bob, "/access/vault", &wish).await?;
    tour.done("POST /access/{name}", "asked for").await?;
    send(&mut root, &open(&tour.house).await?, &give).await?;
    tour.done("POST /approvals/access/{id}", "given").await?;
    let right = field(&mut bob, "/grants", "right").await?;
    send(&mut bob, "/grants/access/revoke", &[("right", &right)]).await?;
    tour.done("POST /grants/access/revoke", "given back").await?;
    send(&mut bob, "/access/vault", &wish).await?;
    send(&mut root, &open(&tour.house).await?, &[("word", "refuse"), ("why", "no")]).await?;
    tour.done("POST /approvals/access/{id}", "not given").await?;
    send(&mut bob, "/access/vault", &wish).await?;
    send(&mut bob, &format!("{}/withdraw", open(&tour.house).await?), &[]).await?;
    tour.done("POST /approvals/access/{id}/withdraw", "not wanted any more").await?;

    let glass = "/access/shop/break-glass";
    send(&mut bob, glass, &[("right", "acg_AAAAAAAAAAAAAAAAAAAAAA"), ("why", "fire")]).await?;
    tour.done("POST /access/{name}/break-glass", "by who may not").await?;
    let right = field(&mut carol, glass, "right").await?;
    send(&mut carol, glass, &[("right", &right), ("why", "fire")]).await?;
    tour.done("POST /access/{name}/break-glass", "in an emergency").await?;

    let lent = [("delegate", "bob"), ("lasts", "8h"), ("why", "holidays")];
    let answer = send(&mut carol, "/grants/delegations", &lent).await?;
    ensure!(answer.status == 303, "{} {}", answer.status, answer.text());
    tour.done("POST /grants/delegations", "lent").await?;
    let delegation = field(&mut carol, "/grants", "delegation").await?;
    send(&mut carol, "/grants/delegations/revoke", &[("delegation", &delegation)]).await?;
    tour.done("POST /grants/delegations/revoke", "taken back").await.map(drop)
}

/// The page of the one wish that nobody has answered.
async fn open(house: &TestGateway) -> Result<String> {
    let open = house.app.store.open_access_requests(9, house.app.clock.now()).await?;
    Ok(format!("/approvals/access/{}", open.first().context("a wish")?.id))
}
