//! Whoever is turned away from a route is in the record: for each route of the code, whatever it is.

use anyhow::{Result, ensure};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    person::Browser,
};

use crate::{
    routes,
    walk::{house, id_of, send, signed_in},
};

fn filled(route: &str, person: &str) -> String {
    let known = [("{id}", person), ("{server}", "sample"), ("{name}", "sample"), ("{call}", "call_x")];
    known.into_iter().fold(route.to_owned(), |path, (place, value)| path.replace(place, value))
}

/// The reason of the one refusal that was written since there were `before` of them.
async fn told(house: &TestGateway, before: usize, route: &str) -> Result<String> {
    let events = house.events("request.refused").await?;
    ensure!(events.len() == before + 1, "{route}: {:#?}", &events[before..]);
    let event = &events[before];
    ensure!(event["details"]["route"] == route, "{route}: {event}");
    // Before the forms of visitors nobody looks who sends them.
    let named = event["person_name"] == ALICE.0
        || ["/login", "/welcome", "/oauth", "/authorize"].iter().any(|open| route.contains(open));
    ensure!(event["outcome"] == "denied" && named && event["request"].is_string(), "{event}");
    Ok(event["details"]["why"].as_str().unwrap_or_default().to_owned())
}

// spec: T-95, T-94
#[tokio::test(flavor = "multi_thread")]
async fn whoever_lacks_a_role_or_comes_from_a_foreign_page_is_in_the_record() -> Result<()> {
    let house = house("").await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let own = id_of(&house, ALICE.0).await?;
    let (mut count, mut roles, mut forms) = (0, 0, 0);
    for route in routes::all()? {
        let Some((method, pattern)) = route.split_once(' ') else { continue };
        let path = filled(pattern, &own);
        let is_api =
            ["/api/v1/access", "/api/v1/grants", "/api/v1/approvals"].iter().all(|open| !pattern.starts_with(open));
        if pattern.starts_with("/admin") || (pattern.starts_with("/api/v1") && is_api) {
            let status = match method {
                "GET" => alice.get(&path).await?.status,
                _ => {
                    send(&mut alice, &path, &[("groups", "x"), ("name", "x"), ("confirm", "x"), ("group", "x")])
                        .await?
                        .status
                }
            };
            if status == 400 {
                // The form is read before the role is asked, and this one is another form.
                ensure!(told(&house, count, &route).await? == "form.unreadable", "{route}");
            } else {
                ensure!(status == 403, "{route}: {status}");
                let why = told(&house, count, &route).await?;
                ensure!(["role.missing", "forbidden"].contains(&why.as_str()), "{route}: {why}");
                roles += 1;
            }
            count += 1;
        }
        if method == "POST" && is_form(pattern) {
            let blind = alice.request("POST", &path).header("sec-fetch-site", "same-site");
            let status = blind.form(&[("form_token", "x")]).send().await?.status;
            ensure!(status == 403, "{route}: {status}");
            let why = told(&house, count, &route).await?;
            ensure!(why == "form.foreign", "{route}: {why}");
            count += 1;
            forms += 1;
        }
    }
    ensure!(roles > 20 && forms > 30, "{roles} pages for roles and {forms} forms");
    house.stop().await
}

/// Whether only a page of ours may send it.
fn is_form(pattern: &str) -> bool {
    let programs = ["/oauth/token", "/oauth/register", "/oauth/revoke", "/oauth/introspect", "/token", "/register"];
    !(programs.contains(&pattern)
        || pattern.starts_with("/approvals/hooks/")
        || pattern.starts_with("/scim/")
        || pattern.starts_with("/mcp/")
        || pattern.ends_with("/back-channel"))
}

// spec: T-62
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_one_line_and_then_a_number_once_a_minute() -> Result<()> {
    let house = TestGateway::start().await?;
    let flood = async || -> Result<()> {
        for _ in 0..50 {
            ensure!(house.request("GET", "/mcp/sample").bearer("garbage").send().await?.status == 401);
        }
        Ok(())
    };
    flood().await?;
    let told = house.events("request.refused").await?;
    ensure!(told.len() == 1 && told[0]["details"]["times"] == 1, "{told:#?}");
    ensure!(told[0]["address"] == "127.0.0.1" && told[0]["person"].is_null(), "{told:#?}");
    // Another reason is another line.
    house.request("GET", "/mcp/sample").bearer("garbage").host(Some("evil.example")).send().await?;
    ensure!(house.events("request.refused").await?.len() == 2);
    house.advance(std::time::Duration::from_secs(60)).await?;
    house.app.refusals.round();
    let told = house.events("request.refused").await?;
    ensure!(told.len() == 3 && told[2]["details"]["times"] == 49, "{told:#?}");
    // What is counted when the gateway stops is written then.
    flood().await?;
    let folder = house.data().to_owned();
    let node = std::fs::read_to_string(folder.join("node"))?;
    let segment = folder.join("journal").join(node.trim());
    let lines = || -> Result<usize> {
        let mut count = 0;
        for file in std::fs::read_dir(&segment)?.flatten() {
            if file.path().extension().is_some_and(|extension| extension == "jsonl") {
                count += std::fs::read_to_string(file.path())?.matches("\"request.refused\"").count();
            }
        }
        Ok(count)
    };
    let before = lines()?;
    let stopped = house;
    stop_and_keep(stopped, || {
        let after = lines()?;
        ensure!(after > before, "{before} lines before the end, and {after} after it");
        Ok(())
    })
    .await
}

async fn stop_and_keep(house: TestGateway, look: impl Fn() -> Result<()>) -> Result<()> {
    house.app.refusals.close();
    house.app.journal.stop().await?;
    look()?;
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_somebody_may_open_and_that_change_nothing_leave_nothing() -> Result<()> {
    let house = house("").await?;
    let mut alice: Browser = signed_in(&house, ALICE).await?;
    let before = house.journal().await?.len();
    for path in ["/", "/account", "/grants", "/approvals", "/connections", "/access/sample"] {
        ensure!(alice.get(path).await?.status == 200, "{path}");
    }
    ensure!(house.journal().await?.len() == before, "{:#?}", &house.journal().await?[before..]);
    house.stop().await
}
