//! Accounts at servers, while the program that renews their tokens is killed, or is two programs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use portcullis_house::{upstream::Upstreams, walk::Walker};
use portcullis_store::fixture::TestDatabase;
use serde_json::json;

use crate::{ADMIN, House};

/// The settings for `notes`, a server that asks for an account at `acme`.
fn notes(upstreams: &Upstreams) -> String {
    let server = json!({ "name": "notes", "url": upstreams.get("notes").url(), "credential": "auto",
        "tls": { "ca_file": upstreams.authority() } });
    format!("{}servers: [{server}]\n", upstreams.outbound())
}

async fn start(acme: serde_json::Value) -> Result<Option<Upstreams>> {
    let servers = json!({ "notes": { "authority": "acme", "tls": true } });
    let Some(upstreams) = Upstreams::now(json!({ "acme": acme }), servers).await? else { return Ok(None) };
    upstreams.get("acme").account(ADMIN.0, json!({ "email": "admin@example.com" })).await?;
    Ok(Some(upstreams))
}

async fn connect(house: &House, upstreams: &Upstreams) -> Result<()> {
    let end = Walker::at(&house.authority, upstreams.trust()?).connect("notes", ADMIN).await?;
    let done = end.leads_to().is_some_and(|url| url.query().is_some_and(|query| query.starts_with("done=connected&")));
    ensure!(done, "{}: {}", end.url, end.said());
    Ok(())
}

/// What a call of `whoami` says: the text of its result or of its error.
async fn whoami(house: &House, host: &str, token: &str) -> Result<String> {
    let answer = house.call_at("notes", token, "whoami", json!({})).host(Some(host)).send().await?.json();
    let text = answer["result"]["content"][0]["text"].as_str().or(answer["error"]["message"].as_str());
    text.map(str::to_owned).with_context(|| answer.to_string())
}

// spec: UP-43
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_refresh_nobody_signs_in_again() -> Result<()> {
    let Some(upstreams) = start(json!({ "grace": 60 })).await? else { return Ok(()) };
    let acme = upstreams.get("acme");
    let house = House::with("sqlite", &notes(&upstreams))?;
    let mut up = house.up()?;
    let (_, tokens) = house.sign_in_at(&up, "notes").await?;
    connect(&house, &upstreams).await?;
    assert_eq!(whoami(&house, &house.authority, &tokens.access).await?, "admin at notes");

    // The provider has given the new pair, the answer is on its way, and then we are gone.
    let refresh = json!({ "grant_type": "refresh_token" });
    acme.faults(&[json!({ "path": "/token", "form": refresh, "times": 1, "act": "hold", "after": true })]).await?;
    acme.expire(ADMIN.0).await?;
    let call = house.call_at("notes", &tokens.access, "whoami", json!({}));
    let caller = tokio::spawn(async move { drop(call.send().await) });
    let enough = Instant::now() + Duration::from_secs(20);
    while acme.held().await? == 0 {
        ensure!(Instant::now() < enough, "nothing was refreshed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    up.child.kill()?;
    up.child.wait()?;
    caller.await?;
    acme.release().await?;

    let _up = house.up()?;
    let enough = Instant::now() + Duration::from_secs(40);
    loop {
        let said = whoami(&house, &house.authority, &tokens.access).await?;
        if said == "admin at notes" {
            break;
        }
        ensure!(!said.contains("/connections/"), "somebody must sign in again: {said}");
        ensure!(Instant::now() < enough, "it does not go on: {said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(acme.grants("refresh_token").await?, 2);
    Ok(())
}

// spec: UP-43
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_refresh_at_once_ask_once() -> Result<()> {
    let Some(database) = TestDatabase::postgres().await else { return Ok(()) };
    // A second use of a refresh token would end everything.
    let Some(upstreams) = start(json!({ "grace": 0 })).await? else { return Ok(()) };
    let acme = upstreams.get("acme");
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("root.key");
    std::fs::write(&key, base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [7; 32]))?;
    let shared = format!("root_key: file:{}\n{}", key.display(), notes(&upstreams));
    let first = House::with(&database.url(), &shared)?;
    let url = format!("public_url: http://{}\n{shared}", first.authority);
    let second = House::with(&database.url(), &url)?;
    let up = first.up()?;
    let (_, tokens) = first.sign_in_at(&up, "notes").await?;
    connect(&first, &upstreams).await?;
    let _other = second.up()?;
    let nodes = [&first, &second];
    for round in 0..12 {
        acme.forget().await?;
        acme.expire(ADMIN.0).await?;
        let calls = (0..20).map(|n| whoami(nodes[n % 2], &first.authority, &tokens.access));
        let said = try_join_all(calls).await?;
        assert!(said.iter().all(|said| said == "admin at notes"), "in round {round}: {said:?}");
        assert_eq!(acme.grants("refresh_token").await?, 1, "in round {round}");
    }
    Ok(())
}
