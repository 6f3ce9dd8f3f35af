//! Who gets through which door.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use portcullis_gateway::extract::RECENT;
use portcullis_house::{
    gateway::{ALICE, BOB},
    person::Browser,
};

use crate::{
    api::{API, AUDIT},
    walk::{AUDITOR, CHIEF, ROOT, form_token, house, id_of, send, signed_in},
};

/// Who may open a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opens {
    Auditor,
    Admin,
}

/// Every page of administration, as the routes name it.
const PAGES: [(&str, Opens); 21] = [
    ("/admin", Opens::Auditor),
    ("/admin/people", Opens::Auditor),
    ("/admin/people/{id}", Opens::Auditor),
    ("/admin/people/{id}/offboard", Opens::Admin),
    ("/admin/groups", Opens::Auditor),
    ("/admin/roles", Opens::Auditor),
    ("/admin/rules", Opens::Auditor),
    ("/admin/explain", Opens::Admin),
    ("/admin/tools", Opens::Auditor),
    ("/admin/providers", Opens::Admin),
    ("/admin/connections", Opens::Admin),
    ("/admin/connections/{server}", Opens::Admin),
    ("/admin/servers/{name}/check", Opens::Admin),
    ("/admin/servers/{name}/access", Opens::Admin),
    ("/admin/service-accounts", Opens::Admin),
    ("/admin/insight", Opens::Auditor),
    ("/admin/audit", Opens::Auditor),
    ("/admin/audit/calls/{call}", Opens::Auditor),
    ("/admin/offboarding", Opens::Auditor),
    ("/admin/offboarding/{id}", Opens::Auditor),
    ("/admin/offboarding/{id}/report.json", Opens::Auditor),
];

/// Every form of administration, with fields that it would accept.
const FORMS: [(&str, &[(&str, &str)]); 14] = [
    ("/admin/people/{id}/groups", &[("groups", "treasury")]),
    ("/admin/people/{id}/administrator", &[("give", "yes")]),
    ("/admin/people/{id}/enable", &[]),
    ("/admin/people/{id}/sessions/end", &[]),
    ("/admin/people/{id}/offboard", &[("confirm", "bob")]),
    ("/admin/providers/{id}/check", &[]),
    ("/admin/connections/{server}/disconnect", &[("connection", "con_x")]),
    ("/admin/servers/{name}/check", &[]),
    ("/admin/servers/{name}/access", &[("group", "treasury"), ("remove", "yes")]),
    ("/admin/explain", &[("person", "bob"), ("server", "sample"), ("tool", "echo")]),
    ("/admin/service-accounts", &[("name", "robot"), ("owner", "bob")]),
    ("/admin/service-accounts/{id}/change", &[("owner", "bob")]),
    ("/admin/service-accounts/{id}/rotate", &[]),
    ("/admin/service-accounts/{id}/disable", &[]),
];

/// A route with somebody, and a server that is there, in its place-holders.
fn filled(route: &str, person: &str) -> String {
    route.replace("{id}", person).replace("{server}", "sample").replace("{name}", "sample")
}

/// The routes that the doors of administration have in the code.
fn routes() -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/gateway/src/admin");
    let mut routes = Vec::new();
    for entry in fs::read_dir(folder)? {
        let text = fs::read_to_string(entry?.path())?;
        for after in text.split(".route(\"").skip(1) {
            routes.push(after.split('"').next().context("a route")?.to_owned());
        }
    }
    routes.sort();
    Ok(routes)
}

#[test]
fn every_route_of_administration_is_tried_below() -> Result<()> {
    let pages = PAGES.iter().map(|(path, _)| *path).chain(API.iter().chain(&AUDIT).map(|(path, _)| *path));
    let known: Vec<_> = pages.chain(FORMS.iter().map(|(path, _)| *path)).collect();
    let tried = |route: &String| known.contains(&route.as_str());
    let routes = routes()?;
    assert!(routes.len() > 12, "{routes:?}");
    let missing: Vec<_> = routes.iter().filter(|route| !tried(route)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    Ok(())
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn t95_pages_of_administration_open_by_role_alone() -> Result<()> {
    let house = house("").await?;
    let bob = id_of(&house, BOB.0).await?;
    let mut nobody = Browser::new(&house.authority);
    let mut member = signed_in(&house, ALICE).await?;
    let mut auditor = signed_in(&house, AUDITOR).await?;
    let mut chief = signed_in(&house, CHIEF).await?;
    let mut root = signed_in(&house, ROOT).await?;
    for (route, opens) in PAGES {
        let path = filled(route, &bob);
        let answer = nobody.get(&path).await?;
        assert!(answer.header("location").is_some_and(|to| to.starts_with("/login")), "{path}: {answer:?}");
        assert_eq!(member.get(&path).await?.status, 403, "{path}");
        // There is no such report or call, and whoever may look is told so.
        let there = if route.contains("offboarding/{id}") || route.contains("{call}") {
            404
        } else if route == "/admin" {
            303
        } else {
            200
        };
        let to_auditor = if opens == Opens::Auditor { there } else { 403 };
        assert_eq!(auditor.get(&path).await?.status, to_auditor, "{path}");
        for admin in [&mut chief, &mut root] {
            assert_eq!(admin.get(&path).await?.status, there, "{path}");
        }
    }
    // Claims that a browser makes about itself change nothing.
    let answer =
        member.request("GET", "/admin/people").header("x-user", "root").header("x-role", "admin").send().await?;
    assert_eq!(answer.status, 403);
    // Only whoever may go there is shown the way.
    assert!(!member.get("/").await?.text().contains("href=\"/admin\""));
    assert!(auditor.get("/").await?.text().contains("href=\"/admin\""));
    house.stop().await
}

// spec: T-94, T-95
#[tokio::test(flavor = "multi_thread")]
async fn t94_forms_of_administration_are_sent_by_administrators_from_our_pages_alone() -> Result<()> {
    let house = house("").await?;
    let bob = id_of(&house, BOB.0).await?;
    let before = house.app.store.people().await?;
    let mut member = signed_in(&house, ALICE).await?;
    let mut auditor = signed_in(&house, AUDITOR).await?;
    let mut root = signed_in(&house, ROOT).await?;
    let token = form_token(&mut root).await?;
    let own = format!("http://{}", house.authority);
    for (route, fields) in FORMS {
        let path = filled(route, &bob);
        let answer = house.request("POST", &path).header("origin", &own).form(fields).send().await?;
        assert_eq!(answer.status, 401, "{path}");
        for browser in [&mut member, &mut auditor] {
            assert_eq!(send(browser, &path, fields).await?.status, 403, "{path}");
        }
        let with_token: Vec<_> = fields.iter().copied().chain([("form_token", token.as_str())]).collect();
        // From elsewhere, or without the value that only our page knows.
        for (origin, site, fields) in [
            ("https://evil.example", "cross-site", with_token.as_slice()),
            ("null", "cross-site", with_token.as_slice()),
            (own.as_str(), "same-site", with_token.as_slice()),
            (own.as_str(), "same-origin", fields),
        ] {
            let request = root.request("POST", &path).header("origin", origin).header("sec-fetch-site", site);
            assert_eq!(request.form(fields).send().await?.status, 403, "{path} from {origin}");
        }
        // A text that some script might send without asking first.
        let plain = root.request("POST", &path).header("origin", &own).header("content-type", "text/plain");
        assert_eq!(plain.body("form_token=x").send().await?.status, 400, "{path}");
        // Nothing changes because somebody follows a link.
        let got = root.get(&path).await?.status;
        assert!([200, 405].contains(&got), "{path}: {got}");
    }
    assert_eq!(house.app.store.people().await?, before);
    assert!(house.events("person.changed").await?.is_empty());
    house.stop().await
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn t95_changes_ask_for_a_sign_in_of_the_last_half_hour() -> Result<()> {
    let house = house("access_keys: { enabled: true }").await?;
    let bob = id_of(&house, BOB.0).await?;
    let mut root = signed_in(&house, ROOT).await?;
    house.advance(RECENT + std::time::Duration::from_secs(1)).await?;
    let before = house.app.store.people().await?;
    let key = ("/account/keys", &[("name", "k"), ("server", "sample"), ("scope", "mcp:read"), ("days", "1")][..]);
    for (route, fields) in FORMS.into_iter().chain([key]) {
        let path = filled(route, &bob);
        let answer = send(&mut root, &path, fields).await?;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("session.not_recent"), "{path}: {}", answer.text());
    }
    assert_eq!(house.app.store.people().await?, before);
    // Looking is not changing; and the way that is offered leads to a fresh sign-in and back.
    assert_eq!(root.get(&format!("/admin/people/{bob}")).await?.status, 200);
    let answer = send(&mut root, &format!("/admin/people/{bob}/groups"), &[("groups", "treasury")]).await?;
    let again = format!("/login?return_to=%2Fadmin%2Fpeople%2F{bob}&amp;max_age=1800");
    assert!(answer.text().contains(&again), "{}", answer.text());
    let page = root.get(&again.replace("&amp;", "&")).await?;
    let form = portcullis_house::person::form(&page.text()).context("sign-in form")?;
    let answer = root.submit(&form, &[("name", ROOT.0), ("password", ROOT.1)]).await?;
    assert_eq!(answer.header("location"), Some(format!("/admin/people/{bob}").as_str()), "{}", answer.text());
    let answer = send(&mut root, &format!("/admin/people/{bob}/groups"), &[("groups", "treasury")]).await?;
    assert_eq!(answer.status, 303, "{}", answer.text());
    house.stop().await
}
