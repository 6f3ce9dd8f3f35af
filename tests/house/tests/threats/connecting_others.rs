//! Every route there is, asked by others for what one person has connected.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_base::ServerName;
use portcullis_gateway::connect_link::Ask;
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::{Answer, Request},
    person::{Browser, form},
};
use portcullis_store::Connection;
use serde_json::json;

use crate::{
    account_site::{Site, begin, connect, send},
    routes::routes,
    visit::signed_in,
};

const HERS: &str = "alice@notes.example";
const KEY: &str = "sk_canary_of_alice";

/// What is Alice's, and by what names somebody could ask for it.
struct Hers {
    rows: Vec<Connection>,
    /// Identifiers for any place in a path.
    ids: Vec<String>,
    handle: String,
    callback: String,
    session: String,
}

async fn rows(house: &TestGateway) -> Result<Vec<Connection>> {
    let (alice, _) = house.app.store.person_by_name(ALICE.0).await?.context("alice")?;
    let mut rows = house.app.store.connections_of(&alice.id).await?;
    for row in &mut rows {
        // When she used it is hers to say, and nobody's secret.
        row.used_at = None;
    }
    Ok(rows)
}

/// Alice has an account at `notes`, a key at `keyed`, a sign-in under way, a link of a call and a session.
async fn hers(house: &TestGateway, site: &Site, token: &str) -> Result<Hers> {
    let mut alice = signed_in(house, ALICE).await?;
    connect(site, &mut alice, "notes", HERS).await?;
    let page = alice.get("/connections/keyed").await?;
    ensure!(send(&mut alice, &page, "/key", &[("key", KEY)]).await?.status == 303, "no key");
    let (person, _) = house.app.store.person_by_name(ALICE.0).await?.context("alice")?;
    let app = &house.app;
    let ask = Ask::new(person.id.clone(), ServerName::parse("notes")?, Vec::new(), app.clock.now(), &*app.rng);
    let authorize = begin(&mut alice, "/connections/notes").await?;
    let rows = rows(house).await?;
    ensure!(rows.len() == 2, "{rows:?}");
    let ids = rows.iter().map(|row| row.id.to_string()).chain([person.id.to_string(), ALICE.0.to_owned()]).collect();
    let session = house.session("notes", token).await?;
    let handle = ask.seal(&app.keys, &*app.rng);
    Ok(Hers { rows, ids, handle, callback: site.agree(&authorize, "mallory@notes.example")?, session })
}

/// A route with its place-holders filled so that it could be about what is hers.
fn filled(route: &str, hers: &Hers) -> Vec<String> {
    if route.contains("{issuer}") {
        return vec![hers.callback.clone()];
    }
    let mut paths = vec![String::new()];
    for segment in route.split('/').skip(1) {
        let values: Vec<&str> = match segment {
            "{server}" | "{name}" => vec!["notes", "keyed"],
            "{handle}" => vec![&hers.handle],
            held if held.starts_with('{') => hers.ids.iter().map(String::as_str).collect(),
            plain => vec![plain],
        };
        paths = paths.iter().flat_map(|path| values.iter().map(move |value| format!("{path}/{value}"))).collect();
    }
    paths
}

/// The token of this browser's forms, if it has any.
async fn form_token(browser: &mut Browser) -> Result<String> {
    let page = browser.get("/connections/notes").await?;
    let fields = form(&page.text()).map(|form| form.fields).unwrap_or_default();
    Ok(fields.into_iter().find(|(name, _)| name == "form_token").map(|(_, value)| value).unwrap_or_default())
}

/// Everything that a browser can send to `path`, with her names in whatever field could take them.
fn attempts(house: &TestGateway, browser: &Browser, token: &str, path: &str, hers: &Hers) -> Vec<Request> {
    let own = format!("http://{}", house.authority);
    let (id, person) = (hers.rows[0].id.as_str(), hers.ids[2].as_str());
    let names = [
        ("form_token", token),
        ("connection", id),
        ("id", id),
        ("holder", person),
        ("person", person),
        ("user", ALICE.0),
        ("server", "notes"),
        ("ask", &hers.handle),
        ("pending", "guessed"),
        ("decision", "connect"),
        ("key", "sk_of_the_attacker"),
        ("token", id),
        ("query", ALICE.0),
    ];
    let query: Vec<_> = names.iter().skip(1).map(|(name, value)| format!("&{name}={value}")).collect();
    let query = query.concat();
    let joint = if path.contains('?') { "" } else { "?" };
    let members = names.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    let body: serde_json::Map<_, _> = members.collect();
    let sent = |method: &str, target: &str| {
        browser.request(method, target).header("origin", &own).header("sec-fetch-site", "same-origin")
    };
    let mut all = vec![
        browser.request("GET", path).header("sec-fetch-site", "none"),
        browser.request("GET", &format!("{path}{joint}{query}")).header("accept", "application/json"),
        sent("POST", path).form(&names),
    ];
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        all.push(sent(method, path).json(&serde_json::Value::Object(body.clone())));
    }
    all
}

fn shows(answer: &Answer) -> bool {
    let head: String = answer.headers.iter().map(|(_, value)| value.as_str()).collect();
    [HERS, "canary"].into_iter().any(|secret| answer.text().contains(secret) || head.contains(secret))
}

// spec: UP-40, T-51, T-55
#[tokio::test(flavor = "multi_thread")]
async fn t51_no_route_lets_anybody_at_what_another_person_connected() -> Result<()> {
    let house = TestGateway::with("limits: { sign_ins_per_minute: 100000 }").await?;
    let site = Site::start().await?;
    site.protect(&house, "notes", json!({ "kind": "oauth" })).await?;
    site.protect(&house, "keyed", json!({ "kind": "header", "header": "X-Api-Key" })).await?;
    let (_, alice) = house.client("notes", ALICE).await?;
    let (_, bob) = house.client("notes", BOB).await?;
    let hers = hers(&house, &site, &alice.access).await?;
    let redeemed = site.redeemed();

    // Whoever signs out has nothing more to ask.
    let (last, first): (Vec<_>, Vec<_>) = routes()?.into_iter().partition(|route| route.contains("logout"));
    let mut answered = 0;
    for mut browser in [signed_in(&house, BOB).await?, Browser::new(&house.authority)] {
        let token = form_token(&mut browser).await?;
        for route in first.iter().chain(&last) {
            for path in filled(route, &hers) {
                // As many as the doors take from one address.
                house.clock.advance(Duration::from_millis(100));
                for request in attempts(&house, &browser, &token, &path, &hers) {
                    let answer = request.send().await.with_context(|| path.clone())?;
                    ensure!(!shows(&answer), "{path} shows it to somebody else: {}", answer.text());
                    // Machines' doors, which know nothing of sessions, have limits of their own.
                    let machines = ["/scim/", "/oauth/", "/register", "/token"];
                    let limited = machines.into_iter().any(|door| route.starts_with(door));
                    ensure!(answer.status != 429 || limited, "{path} was not tried");
                    answered += usize::from(answer.status < 400);
                    // What waits for one's own word, and one's own rights, are everybody's to ask for; they are looked at
                    // by what they show.
                    let mine = ["/api/v1/approvals", "/api/v1/access", "/api/v1/grants"];
                    let own = mine.into_iter().any(|mine| route.starts_with(mine));
                    let admin = route.starts_with("/admin/") || (route.starts_with("/api/") && !own);
                    ensure!(!admin || answer.status >= 300, "{path} let somebody in who is no administrator");
                }
                ensure!(rows(&house).await? == hers.rows, "{path} changed what is Alice's");
            }
        }
    }
    assert!(answered > 50, "doors that open for nobody: {answered}");
    assert_eq!(site.redeemed(), redeemed, "somebody else's browser ended her sign-in, or renewed her tokens");
    let given_back = site.revoked();
    assert!(given_back.is_empty(), "{given_back:?}");

    // The way of the calls: his own token, with her session or without, opens nothing of hers.
    let before = site.behind.seen().len();
    let call =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "who", "arguments": {} } });
    let with_hers = house.legacy("notes", &bob.access, &hers.session, &call).send().await?;
    assert!(with_hers.status == 404 && !shows(&with_hers), "{} {}", with_hers.status, with_hers.text());
    for (method, session) in [("GET", true), ("DELETE", true), ("GET", false)] {
        let request = house.request(method, "/mcp/notes").bearer(&bob.access).header("accept", "text/event-stream");
        let request = if session { request.header("mcp-session-id", &hers.session) } else { request };
        let answer = request.header("mcp-protocol-version", "2025-11-25").send().await?;
        assert!([400, 404].contains(&answer.status) && !shows(&answer), "{method}: {}", answer.text());
    }
    let own = house.call("notes", &bob.access, "who", json!({})).send().await?;
    assert!(own.text().contains("/connections/notes") && !shows(&own), "{}", own.text());
    let shown = site.behind.seen().split_off(before);
    assert!(!shown.iter().any(|seen| seen.text().contains("canary")), "a credential of hers was used for him");

    // She goes on as if nobody had been there.
    let hers = house.call("notes", &alice.access, "who", json!({})).send().await?;
    assert_eq!(hers.json()["result"]["content"][0]["text"], HERS, "{}", hers.text());
    house.stop().await
}
