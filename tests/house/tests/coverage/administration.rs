//! Administration: what is changed there, who looks at what, what is taken away.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    person::Browser,
};
use serde_json::json;

use crate::{
    tour::{Row, Tour},
    walk::{AUDITOR, ROOT, house, id_of, send, signed_in},
};

/// Rows of this part.
pub const ROWS: &[Row] = &[
    ("POST /admin/people/{id}/groups", "changed", "person.changed", "success"),
    ("POST /admin/people/{id}/administrator", "given", "person.changed", "success"),
    ("POST /admin/people/{id}/administrator", "the last one", "person.changed", "failure"),
    ("POST /admin/people/{id}/sessions/end", "ended", "person.changed", "success"),
    ("POST /admin/people/{id}/offboard", "ended", "offboard.started", "success"),
    ("POST /admin/people/{id}/offboard", "ended", "person.disabled", "success"),
    ("POST /admin/people/{id}/offboard", "ended", "grant.revoked", "success"),
    ("POST /admin/people/{id}/offboard", "ended", "offboard.finished", "success"),
    ("POST /admin/people/{id}/offboard", "another name", "request.refused", "denied"),
    ("POST /admin/people/{id}/enable", "again", "person.changed", "success"),
    ("GET /admin/offboarding/{id}/report.json", "taken away", "audit.exported", "success"),
    ("POST /admin/servers/{name}/access", "changed", "server.access", "success"),
    ("POST /admin/servers/{name}/check", "looked at", "server.examined", "success"),
    ("POST /admin/service-accounts", "made", "service_account.created", "success"),
    ("POST /oauth/token", "a service account", "token.issued", "success"),
    ("POST /admin/service-accounts/{id}/change", "changed", "service_account.changed", "success"),
    ("POST /admin/service-accounts/{id}/rotate", "another secret", "service_account.changed", "success"),
    ("POST /admin/service-accounts/{id}/disable", "switched off", "service_account.disabled", "success"),
    ("POST /admin/connections/{server}/disconnect", "one that there is not", "request.refused", "denied"),
    ("GET /admin/audit/calls/{call}", "with arguments", "audit.viewed", "success"),
    ("GET /admin/audit/calls/{call}", "by who may not read them", "request.refused", "denied"),
    ("GET /api/v1/audit", "with arguments", "audit.viewed", "success"),
    ("GET /api/v1/audit/calls/{call}", "with arguments", "audit.viewed", "success"),
    ("POST /admin/people/{id}/groups", "an old sign-in", "request.refused", "denied"),
];

pub async fn play() -> Result<()> {
    let mut tour = Tour::new(house("").await?, ROWS);
    let mut root = signed_in(&tour.house, ROOT).await?;
    looks(&mut tour).await?;
    people(&mut tour, &mut root).await?;
    servers(&mut tour, &mut root).await?;
    machines(&mut tour, &mut root).await?;
    tour.house.advance(std::time::Duration::from_secs(31 * 60)).await?;
    tour.meanwhile().await?;
    let path = format!("/admin/people/{}/groups", id_of(&tour.house, BOB.0).await?);
    send(&mut root, &path, &[("groups", "x")]).await?;
    tour.refused("POST /admin/people/{id}/groups", "an old sign-in", "session.not_recent").await?;
    tour.finish().await
}

/// The call of Alice's program, once it is in the index.
async fn call(house: &TestGateway) -> Result<String> {
    let (_, tokens) = house.client("sample", ALICE).await?;
    house.call("sample", &tokens.access, "echo", json!({ "message": "x" })).send().await?;
    let decided = house.events("call.decided").await?.pop().context("a call")?;
    let head = house.journal().await?.len() as i64;
    let node = decided["node"].as_str().unwrap_or_default().to_owned();
    for _ in 0..1000 {
        if house.app.store.audit_cursor(&node).await?.is_some_and(|cursor| cursor.seq >= head) {
            return Ok(decided["call"].as_str().context("a name")?.to_owned());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    anyhow::bail!("the index does not catch up")
}

async fn looks(tour: &mut Tour) -> Result<()> {
    let call = call(&tour.house).await?;
    let (mut auditor, mut root) = (signed_in(&tour.house, AUDITOR).await?, signed_in(&tour.house, ROOT).await?);
    tour.meanwhile().await?;
    root.get(&format!("/admin/audit/calls/{call}?arguments=yes")).await?;
    tour.done("GET /admin/audit/calls/{call}", "by who may not read them").await?;
    for (route, path) in [
        ("GET /admin/audit/calls/{call}", format!("/admin/audit/calls/{call}?arguments=yes")),
        ("GET /api/v1/audit", "/api/v1/audit?arguments=yes".to_owned()),
        ("GET /api/v1/audit/calls/{call}", format!("/api/v1/audit/calls/{call}?arguments=yes")),
    ] {
        ensure!(auditor.get(&path).await?.status == 200, "{path}");
        tour.done(route, "with arguments").await?;
    }
    Ok(())
}

async fn people(tour: &mut Tour, root: &mut Browser) -> Result<()> {
    let (bob, own) = (id_of(&tour.house, BOB.0).await?, id_of(&tour.house, ROOT.0).await?);
    let path = |what: &str| format!("/admin/people/{bob}/{what}");
    tour.house.client("sample", BOB).await?;
    signed_in(&tour.house, BOB).await?;
    tour.meanwhile().await?;
    send(root, &path("groups"), &[("groups", "treasury")]).await?;
    tour.done("POST /admin/people/{id}/groups", "changed").await?;
    send(root, &format!("/admin/people/{own}/administrator"), &[("give", "no")]).await?;
    tour.done("POST /admin/people/{id}/administrator", "the last one").await?;
    send(root, &path("administrator"), &[("give", "yes")]).await?;
    tour.done("POST /admin/people/{id}/administrator", "given").await?;
    send(root, &path("sessions/end"), &[]).await?;
    tour.done("POST /admin/people/{id}/sessions/end", "ended").await?;
    send(root, &path("offboard"), &[("confirm", "alice")]).await?;
    tour.done("POST /admin/people/{id}/offboard", "another name").await?;
    let answer = send(root, &path("offboard"), &[("confirm", "bob")]).await?;
    let report = answer.header("location").context("a report")?.split('?').next().unwrap_or_default().to_owned();
    tour.done("POST /admin/people/{id}/offboard", "ended").await?;
    root.get(&format!("{report}/report.json")).await?;
    tour.done("GET /admin/offboarding/{id}/report.json", "taken away").await?;
    send(root, &path("enable"), &[]).await?;
    tour.done("POST /admin/people/{id}/enable", "again").await.map(drop)
}

async fn servers(tour: &mut Tour, root: &mut Browser) -> Result<()> {
    tour.house.protect_as(json!({ "name": "kept", "url": "http://127.0.0.1:9/mcp" })).await?;
    let classes = ["read", "write", "destructive", "execute", "egress", "financial", "unknown"];
    let fields: Vec<_> = [("group", "readers")].into_iter().chain(classes.map(|class| (class, "ask"))).collect();
    send(root, "/admin/servers/kept/access", &fields).await?;
    tour.done("POST /admin/servers/{name}/access", "changed").await?;
    send(root, "/admin/servers/kept/check", &[]).await?;
    tour.done("POST /admin/servers/{name}/check", "looked at").await?;
    send(root, "/admin/connections/kept/disconnect", &[("connection", "con_x")]).await?;
    tour.done("POST /admin/connections/{server}/disconnect", "one that there is not").await.map(drop)
}

/// The text of the element with this id.
fn shown(page: &str, id: &str) -> Result<String> {
    let (_, after) = page.split_once(&format!("id=\"{id}\">")).with_context(|| format!("no {id} on {page}"))?;
    Ok(after.split('<').next().unwrap_or_default().to_owned())
}

async fn machines(tour: &mut Tour, root: &mut Browser) -> Result<()> {
    let page = send(root, "/admin/service-accounts", &[("name", "nightly"), ("owner", "alice")]).await?.text();
    tour.done("POST /admin/service-accounts", "made").await?;
    let (id, secret) = (shown(&page, "client-id")?, shown(&page, "client-secret")?);
    let resource = format!("http://{}/mcp/sample", tour.house.authority);
    let form = [("grant_type", "client_credentials"), ("resource", resource.as_str())];
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    tour.house.request("POST", "/oauth/token").header("authorization", &basic).form(&form).send().await?;
    tour.done("POST /oauth/token", "a service account").await?;
    for (what, case, fields) in [
        ("change", "changed", &[("owner", "alice"), ("groups", "robots")][..]),
        ("rotate", "another secret", &[]),
        ("disable", "switched off", &[]),
    ] {
        send(root, &format!("/admin/service-accounts/{id}/{what}"), fields).await?;
        tour.done(&format!("POST /admin/service-accounts/{{id}}/{what}"), case).await?;
    }
    Ok(())
}
