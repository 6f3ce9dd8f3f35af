//! Secrets at rest and in passing: what is written down, logged and answered holds none of them.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_gateway::root_key::RootKey;
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::Answer,
    overheard::{holds, overheard},
    person::{Browser, Client, REDIRECT, VERIFIER, form, parameter, tokens},
};
use serde_json::json;

use crate::behind::{Behind, Reply};

/// Everything that was secret in a run, and every answer that a client saw.
#[derive(Default)]
struct Run {
    secrets: Vec<(&'static str, String)>,
    answers: Vec<Answer>,
}

impl Run {
    fn secret(&mut self, name: &'static str, text: &str) {
        assert!(text.len() > 12, "{name} is too short to be looked for: {text}");
        self.secrets.push((name, text.to_owned()));
    }
}

/// The whole life of a sign-in, with mistakes and thefts in it.
async fn live(house: &TestGateway) -> Result<Run> {
    let mut run = Run::default();
    let behind = Behind::with(|seen| {
        (seen.body["params"]["name"] == "broken")
            .then(|| Reply::Raw(b"HTTP/1.1 500 canary-of-the-server\r\n\r\n".to_vec()))
    })
    .await?;
    house.protect("behind", behind.at).await?;
    run.secret("password", ALICE.1);
    if let Some(invitation) = &house.invitation {
        run.secret("invitation", invitation);
        let mut browser = Browser::new(&house.authority);
        let page = browser.get(&format!("/welcome/{invitation}")).await?;
        let form = form(&page.text()).context("a form")?;
        let first = "canary-password-of-the-administrator";
        run.secret("administrator's password", first);
        let extra = [("name", "root"), ("password", first), ("again", first)];
        run.answers.push(browser.submit(&form, &extra).await?);
    }
    // A confidential client.
    let body = json!({ "client_name": "Confidential", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"] });
    let registered = house.request("POST", "/oauth/register").json(&body).send().await?.json();
    let (id, secret) =
        (registered["client_id"].as_str().unwrap_or_default(), registered["client_secret"].as_str().context("secret")?);
    run.secret("client secret", secret);
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let ask = |secret: &str, pairs: &[(&str, &str)]| {
        house.request("POST", "/oauth/token").header("authorization", &basic(secret)).form(pairs)
    };
    run.secret("basic credentials", &STANDARD.encode(format!("{id}:{secret}")));

    // A public one: code, wrong and right redemption, refresh, replay.
    let client = Client::register(&house.authority, "Public").await?;
    let mut browser = Browser::new(&house.authority);
    let wrong = "canary-wrong-password";
    run.secret("wrong password", wrong);
    run.answers.push(browser.sign_in(ALICE.0, wrong).await?);
    let mut parameters = client.parameters("behind");
    for (name, value) in &mut parameters {
        if name == "state" {
            "canary-state-of-the-client".clone_into(value);
        }
    }
    let back = browser.authorize(&portcullis_house::person::authorize_target(&parameters), ALICE, "approve").await?;
    let code = parameter(&back, "code").context("a code")?;
    run.secret("code", &code);
    run.secret("state", "canary-state-of-the-client");
    run.secret("verifier", VERIFIER);
    let cookie = browser.cookie_header();
    run.secret(
        "cookie",
        cookie.split_once('=').map(|(_, value)| value).context("a cookie")?.split(';').next().unwrap_or_default(),
    );
    let mut redemption = client.redemption(&code);
    for pair in &mut redemption {
        if pair.0 == "code_verifier" {
            pair.1 = "canary-wrong-verifier-canary-wrong-verifier-x";
        }
    }
    run.secret("wrong verifier", "canary-wrong-verifier-canary-wrong-verifier-x");
    run.answers.push(client.token(&redemption).await?);
    let first = client.redeem(&code).await?;
    run.answers.push(ask("canary-wrong-secret", &client.redemption(&code)).send().await?);
    run.answers.push(ask(secret, &client.redemption(&code)).send().await?);
    run.secret("wrong secret", "canary-wrong-secret");
    run.secret("access token", first.access.rsplit('.').next().unwrap_or_default());
    let refresh = first.refresh.context("a refresh token")?;
    run.secret("refresh token", &refresh);
    let second = tokens(&client.refresh(&refresh).await?)?;
    run.secret("second refresh token", second.refresh.as_deref().unwrap_or_default());
    run.secret("second access token", second.access.rsplit('.').next().unwrap_or_default());

    // Calls: good, with secrets as arguments, with bad tokens, to a server that fails.
    let session = house.session("behind", &second.access).await?;
    run.secret("session id", &session);
    let arguments = json!({ "api_key": "canary-of-an-argument", "password": "canary-of-a-password", "note": "plain words",
        "header": "Bearer ghp_canary0123456789abcdefghijklmnopqr" });
    for canary in ["canary-of-an-argument", "canary-of-a-password", "ghp_canary0123456789abcdefghijklmnopqr"] {
        run.secret("argument", canary);
    }
    let call = house.call("behind", &second.access, "echo", arguments).send().await?;
    assert_eq!(call.status, 200, "{}", call.text());
    run.answers.push(house.call("behind", &second.access, "broken", json!({})).send().await?);
    run.answers.push(house.call("behind", "canary-bad-token", "echo", json!({})).send().await?);
    run.answers.push(house.request("POST", "/mcp/behind?access_token=canary-query-token").send().await?);
    run.answers.push(house.legacy("behind", &second.access, "canary-bad-session", &json!({})).send().await?);
    // The page to come back to is the browser's own; only the log must not know it.
    house.request("GET", "/?code=canary-query-code&state=x").send().await?;
    for canary in
        ["canary-bad-token", "canary-query-token", "canary-bad-session", "canary-query-code", "canary-of-the-server"]
    {
        run.secret("canary", canary);
    }
    run.answers.push(
        client
            .token(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", "canary-refresh-guess"),
                ("client_id", &client.id),
            ])
            .await?,
    );
    run.secret("guessed refresh token", "canary-refresh-guess");
    run.answers.push(
        house
            .request("POST", "/oauth/revoke")
            .form(&[("token", &second.access), ("client_id", &client.id)])
            .send()
            .await?,
    );
    house.advance(std::time::Duration::from_secs(60)).await?;
    run.answers.push(client.refresh(&refresh).await?);
    Ok(run)
}

// spec: T-44
#[tokio::test(flavor = "multi_thread")]
async fn t44_what_is_written_holds_no_token_code_or_secret() -> Result<()> {
    let house = TestGateway::start().await?;
    let run = live(&house).await?;
    let journal = house.journal().await?;
    assert!(journal.len() > 20, "{}", journal.len());
    let written = house.written();
    assert!(holds(&written, "alice") && holds(&written, "Confidential"), "the wrong place was searched");
    for (name, secret) in &run.secrets {
        assert!(!holds(&written, secret), "{name} was written down: {secret}");
    }
    house.stop().await
}

// spec: T-44
#[tokio::test(flavor = "multi_thread")]
async fn t44_the_root_key_is_its_owners_alone() -> Result<()> {
    let house = TestGateway::start().await?;
    let path = house.data().join("root.key");
    let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(std::fs::metadata(house.data())?.permissions().mode() & 0o077, 0);
    assert!(RootKey::read(&path)?.is_some());
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        assert!(RootKey::read(&path).is_err(), "{mode:o}");
    }
    house.stop().await
}

// spec: T-45
#[test]
fn t45_no_secret_reaches_logs_answers_or_pages_even_at_trace_level() -> Result<()> {
    overheard(async |log| {
        let house = TestGateway::without_people("").await?;
        house.person(ALICE, false, &[]).await?;
        let run = live(&house).await?;
        let metrics = portcullis_house::http::request(&house.app.config.operations.to_string(), "GET", "/metrics");
        let metrics = metrics.send().await?.text();
        let logged = log.bytes();
        assert!(holds(&logged, "behind") && logged.len() > 1_000, "nothing was logged: {}", logged.len());
        for (name, secret) in &run.secrets {
            if let Some(line) = String::from_utf8_lossy(&logged).lines().find(|line| line.contains(secret)) {
                panic!("{name} was logged: {line}");
            }
            assert!(!metrics.contains(secret), "{name} is in the metrics");
            let written = house.written();
            assert!(!holds(&written, secret), "{name} was written down");
            for answer in &run.answers {
                let headers: String = answer
                    .headers
                    .iter()
                    .filter(|(header, _)| header != "set-cookie")
                    .map(|(_, value)| value.as_str())
                    .collect();
                assert!(
                    !answer.text().contains(secret) && !headers.contains(secret),
                    "{name} was answered: {answer:?}"
                );
            }
        }
        house.stop().await
    })
}
