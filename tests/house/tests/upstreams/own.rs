//! Servers of one's own, which are told who calls. They read what they are told with a library of their own, `jose`, and
//! the keys that the gateway publishes.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_house::gateway::{ALICE, BOB};
use serde_json::{Value, json};

use crate::town::Town;

const HEADER: &str = "portcullis-identity";

/// Two servers of one's own, `own` and `other`.
async fn town() -> Result<Option<Town>> {
    let kind = json!({ "kind": "own", "header": HEADER });
    let credential = json!({ "kind": "assertion", "header": HEADER, "claims": ["name"] });
    let servers = json!({ "own": kind, "other": kind });
    let credentials = [("own", credential.clone()), ("other", credential)];
    let Some(town) = Town::start(json!({}), servers, &credentials, "").await? else { return Ok(None) };
    let jwks = format!("http://{}/oauth/jwks", town.house.authority);
    for server in ["own", "other"] {
        town.at(server).set(json!({ "jwks": jwks })).await?;
    }
    Ok(Some(town))
}

/// What `own` was last told.
async fn told(town: &Town) -> Result<String> {
    let requests = town.at("own").requests().await?;
    let last = requests.iter().rev().find_map(|request| request["headers"][HEADER].as_str());
    last.map(str::to_owned).context("nothing was told")
}

fn part(token: &str, at: usize) -> Result<Value> {
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(at).context("a part")?)?)?)
}

/// What `server` answers to somebody who shows it this statement, not through the gateway.
async fn shown(town: &Town, server: &str, statement: &str) -> Result<u16> {
    let url = url::Url::parse(town.at(server).url())?;
    let host = url.host_str().zip(url.port()).map(|(host, port)| format!("{host}:{port}")).context("a host")?;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let request = portcullis_house::http::request(&host, "POST", url.path())
        .header(HEADER, statement)
        .header("accept", "application/json, text/event-stream");
    Ok(request.json(&call).send().await?.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_our_own_is_told_who_calls_and_nothing_else() -> Result<()> {
    let Some(town) = town().await? else { return Ok(()) };
    for login in [ALICE, BOB] {
        let token = town.token("own", login).await?;
        assert_eq!(town.seen_as("own", &token).await?, format!("{} at own", login.0));
        let (head, mut said) = (part(&told(&town).await?, 0)?, part(&told(&town).await?, 1)?);
        assert_eq!((&head["typ"], &head["alg"]), (&json!("portcullis-identity+jwt"), &json!("ES256")));
        assert_eq!(said["exp"].as_i64().zip(said["iat"].as_i64()).map(|(exp, iat)| exp - iat), Some(60));
        let said = said.as_object_mut().context("claims")?;
        assert!(["sub", "iat", "exp", "jti"].iter().all(|claim| said.remove(*claim).is_some()), "{said:?}");
        let iss = town.house.app.config.public_url.as_str();
        let expected = json!({ "iss": iss, "aud": town.at("own").url(), "kind": "person", "name": login.0 });
        assert_eq!(Value::Object(said.clone()), expected);
    }
    assert!(!town.house.written().windows(9).any(|window| window == b"eyJ0eXAiO"), "a statement was written down");
    town.house.stop().await
}

// spec: T-35: what one server is told is of no use at another, nor to who finds it a minute later.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_is_told_is_of_no_use_at_another_or_later() -> Result<()> {
    let Some(town) = town().await? else { return Ok(()) };
    let token = town.token("own", ALICE).await?;
    assert_eq!(town.seen_as("own", &token).await?, "alice at own");
    let statement = told(&town).await?;
    assert_ne!(shown(&town, "own", &statement).await?, 401, "the statement is a good one");
    assert_eq!(shown(&town, "other", &statement).await?, 401);
    assert_ne!(
        town.house.call("own", &statement, "whoami", json!({})).send().await?.status,
        200,
        "nor at our own door"
    );
    town.advance(Duration::from_secs(61)).await?;
    assert_eq!(shown(&town, "own", &statement).await?, 401);
    // The gateway says it anew.
    assert_eq!(town.seen_as("own", &token).await?, "alice at own");
    assert_ne!(told(&town).await?, statement);
    town.house.stop().await
}

// spec: AS-74: nobody who reads statements sees that keys are changed.
#[tokio::test(flavor = "multi_thread")]
async fn keys_change_and_no_call_fails_by_it() -> Result<()> {
    let Some(town) = town().await? else { return Ok(()) };
    let mut kids = Vec::new();
    // Past the day on which a successor is published, until after it signs.
    for hours in [0, 30 * 24, 12, 11, 2, 24] {
        town.advance(Duration::from_hours(hours)).await?;
        let token = town.token("own", ALICE).await?;
        assert_eq!(town.seen_as("own", &token).await?, "alice at own");
        let statement = told(&town).await?;
        town.advance(Duration::from_secs(50)).await?;
        assert_ne!(shown(&town, "own", &statement).await?, 401, "the old key is there for what it signed last");
        kids.push(part(&statement, 0)?["kid"].as_str().unwrap_or_default().to_owned());
    }
    kids.dedup();
    assert_eq!(kids.len(), 2, "{kids:?}");
    town.house.stop().await
}
