//! Clients that register themselves, and how much of it.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::request,
    person::{Client, REDIRECT, VERIFIER, parameter},
};
use portcullis_oauth::client::ClientKind;
use portcullis_store::ClientLife;
use serde_json::json;
use tokio::task::JoinSet;

use crate::visit::{MANY_CLIENTS, WEB, asks, changed, public, public_client, register, signed_in, target};

// spec: T-14
#[tokio::test(flavor = "multi_thread")]
async fn t14_addresses_that_run_or_show_what_they_are_given_are_refused_in_every_field() -> Result<()> {
    let house = TestGateway::with(MANY_CLIENTS).await?;
    let dangerous = [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "javascript://app.example/%0aalert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:msgbox(1)",
        "file:///etc/passwd",
        "blob:https://app.example/1",
        "filesystem:https://app.example/temporary/1",
        "view-source:https://app.example/",
        "about:blank",
        "ftp://app.example/",
        "ws://app.example/",
        "http://app.example/",
        "//app.example/",
        "ms-msdt:/id",
        "search-ms:query=x",
        "intent://x#Intent;end",
    ];
    for field in ["client_uri", "logo_uri", "policy_uri", "tos_uri", "jwks_uri"] {
        for uri in dangerous {
            let mut metadata = public("A", &[WEB]);
            metadata[field] = uri.into();
            let answer = house.request("POST", "/oauth/register").json(&metadata).send().await?;
            let error = answer.json()["error"].clone();
            assert_eq!((answer.status, error.as_str()), (400, Some("invalid_client_metadata")), "{field} {uri}");
        }
        let mut metadata = public("A", &[WEB]);
        metadata[field] = "https://app.example/about".into();
        assert_eq!(house.request("POST", "/oauth/register").json(&metadata).send().await?.status, 201, "{field}");
    }
    for uri in dangerous.into_iter().chain(["myapp:/cb", "com.example.app:/cb"]) {
        let answer = house.request("POST", "/oauth/register").json(&public("A", &[uri])).send().await?;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_redirect_uri")), "{uri}");
    }
    house.stop().await
}

/// Sends `count` registrations, a few at a time; gives how many were taken and the rest.
async fn flood(
    house: &TestGateway,
    count: u32,
    from: impl Fn(u32) -> Option<Ipv4Addr> + Send + Sync + Copy + 'static,
) -> Result<(u32, Vec<(u16, bool)>)> {
    let authority: Arc<str> = house.authority.as_str().into();
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let authority = authority.clone();
        workers.spawn(async move {
            let mut seen = Vec::new();
            for n in (worker..count).step_by(8) {
                let post = request(&authority, "POST", "/oauth/register").json(&public(&format!("spam {n}"), &[WEB]));
                let post = from(n).map_or(post.clone(), |from| post.header("x-forwarded-for", &from.to_string()));
                let answer = post.send().await?;
                let waits = answer.header("retry-after").and_then(|value| value.parse().ok());
                seen.push((answer.status, waits.is_some_and(|seconds: u64| seconds > 0)));
            }
            anyhow::Ok(seen)
        });
    }
    let mut refused = Vec::new();
    while let Some(seen) = workers.join_next().await {
        refused.extend(seen??);
    }
    let all = refused.len();
    refused.retain(|(status, _)| *status != 201);
    Ok(((all - refused.len()) as u32, refused))
}

// spec: T-20
#[tokio::test(flavor = "multi_thread")]
async fn t20_ten_thousand_registrations_leave_a_bounded_number_of_clients() -> Result<()> {
    let settings = "trusted_proxies: [\"127.0.0.1\"]\nclients: { registration_limits: { per_minute: 10, total: 150 } }";
    let house = TestGateway::with(settings).await?;
    // All from one address: what its limit allows, and then a time to wait.
    let (taken, refused) = flood(&house, 2_000, |_| None).await?;
    assert_eq!(taken, 10);
    assert!(refused.iter().all(|answer| *answer == (429, true)), "{:?}", refused.first());
    // From a thousand addresses: what the limit of all allows.
    let (taken, refused) = flood(&house, 8_000, |n| Some(Ipv4Addr::from(0x0b00_0000 + n % 1_000))).await?;
    assert!(taken <= 150, "{taken}");
    assert!(refused.iter().all(|(status, _)| [429, 503].contains(status)), "{:?}", refused.first());
    let kept = house.app.store.count_clients(ClientKind::Registered).await?;
    assert!((10..=150).contains(&kept), "{kept}");
    house.stop().await
}

// spec: T-20
#[tokio::test(flavor = "multi_thread")]
async fn t20_a_full_store_gives_way_to_the_new_but_keeps_who_is_in_use() -> Result<()> {
    let house = TestGateway::with("clients: { registration_limits: { per_minute: 100000, total: 20 } }").await?;
    let (in_use, tokens) = house.client("sample", ALICE).await?;
    let (taken, refused) = flood(&house, 40, |_| None).await?;
    assert_eq!(taken, 19);
    assert!(refused.iter().all(|(status, _)| *status == 503), "{refused:?}");
    // A while later the spam, which nobody ever used, makes room; the client in use stays.
    house.advance(Duration::from_secs(11 * 60)).await?;
    let (taken, refused) = flood(&house, 19, |_| None).await?;
    assert_eq!((taken, refused.len()), (19, 0));
    assert_eq!(house.app.store.count_clients(ClientKind::Registered).await?, 20);
    let refreshed = in_use.refresh(tokens.refresh.as_deref().context("refresh token")?).await?;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
    // What was never used is gone after a day, as the housekeeping takes it away.
    house.advance(Duration::from_secs(24 * 3600 + 1)).await?;
    house.app.store.purge_clients(ClientLife::default(), house.app.clock.now()).await?;
    assert_eq!(house.app.store.count_clients(ClientKind::Registered).await?, 1);
    let page = signed_in(&house, ALICE).await?.get(&target(&house, &in_use.id, REDIRECT)).await?;
    assert!(asks(&page), "{}", page.status);
    house.stop().await
}

// spec: T-20
#[tokio::test(flavor = "multi_thread")]
async fn t20_registration_can_be_small_local_or_off() -> Result<()> {
    let house = TestGateway::start().await?;
    let mut large = public("A", &[WEB]);
    large["padding"] = "x".repeat(16 * 1024).into();
    let answer = house.request("POST", "/oauth/register").json(&large).send().await?;
    assert!([400, 413].contains(&answer.status), "{}", answer.status);
    large["padding"] = "x".repeat(256 * 1024).into();
    let answer = house.request("POST", "/oauth/register").json(&large).send().await?;
    assert!([400, 413].contains(&answer.status), "{}", answer.status);
    house.stop().await?;

    let local = TestGateway::with("trusted_proxies: [\"127.0.0.1\"]\nclients: { registration: loopback }").await?;
    let post = local.request("POST", "/oauth/register").json(&public("A", &[WEB]));
    assert_eq!(post.clone().header("x-forwarded-for", "203.0.113.7").send().await?.status, 403);
    assert_eq!(post.send().await?.status, 201);
    local.stop().await?;

    let off = TestGateway::with("clients: { registration: off }").await?;
    for path in ["/oauth/register", "/register"] {
        assert_eq!(off.request("POST", path).json(&public("A", &[WEB])).send().await?.status, 404);
    }
    let metadata = off.request("GET", "/.well-known/oauth-authorization-server").send().await?;
    assert_eq!(metadata.json().get("registration_endpoint"), None);
    off.stop().await
}

// spec: T-22
#[tokio::test(flavor = "multi_thread")]
async fn t22_a_client_gets_no_more_than_there_is_whatever_it_asks_for() -> Result<()> {
    let house = TestGateway::with(MANY_CLIENTS).await?;
    let mut metadata = public("A", &[REDIRECT]);
    metadata["grant_types"] = json!([
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "password",
        "implicit",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:device_code"
    ]);
    metadata["scope"] = "mcp:read admin admin:* * openid mcp:call".into();
    metadata["software_statement"] = "eyJhbGciOiJub25lIn0.eyJjbGllbnRfaWQiOiJhZG1pbiJ9.".into();
    metadata["client_id"] = "chosen".into();
    metadata["client_secret"] = "chosen-secret".into();
    metadata["kind"] = "configured".into();
    metadata["admin"] = true.into();
    metadata["client_secret_expires_at"] = 0.into();
    let registered = register(&house, &metadata).await?;
    assert_eq!(registered["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(registered["scope"], "mcp:read mcp:call");
    assert_ne!(registered["client_id"], "chosen");
    for absent in ["client_secret", "software_statement", "kind", "admin"] {
        assert_eq!(registered.get(absent), None, "{absent}");
    }
    let id = registered["client_id"].as_str().context("client_id")?;

    for grant in ["client_credentials", "password", "urn:ietf:params:oauth:grant-type:jwt-bearer", "implicit"] {
        let form = [
            ("grant_type", grant),
            ("client_id", id),
            ("username", ALICE.0),
            ("password", ALICE.1),
            ("assertion", "x"),
        ];
        let answer = house.request("POST", "/oauth/token").form(&form).send().await?;
        assert_eq!(answer.status, 400, "{grant}");
        // Client credentials are for service accounts; the others there are not.
        let error = if grant == "client_credentials" { "unauthorized_client" } else { "unsupported_grant_type" };
        assert_eq!(answer.json()["error"], error, "{grant}");
    }
    let mut alice = signed_in(&house, ALICE).await?;
    let back = alice.get(&changed(&house, id, REDIRECT, &[("scope", Some("mcp:read admin"))])).await?;
    let back = url::Url::parse(back.header("location").context("location")?)?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("invalid_scope"));
    // Grants that are no more than this gateway has are what it can use.
    assert!(asks(&alice.get(&target(&house, id, REDIRECT)).await?));
    house.stop().await
}

// spec: T-22
#[tokio::test(flavor = "multi_thread")]
async fn t22_the_registered_way_to_prove_oneself_is_the_only_one() -> Result<()> {
    let house = TestGateway::with(MANY_CLIENTS).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    for method in ["none", "client_secret_basic", "client_secret_post"] {
        let mut metadata = public("A", &[REDIRECT]);
        metadata["token_endpoint_auth_method"] = method.into();
        let registered = register(&house, &metadata).await?;
        let id = registered["client_id"].as_str().context("client_id")?;
        let secret = registered["client_secret"].as_str().unwrap_or("a-secret-of-its-own");
        let back = alice.authorize(&target(&house, id, REDIRECT), ALICE, "approve").await?;
        let code = parameter(&back, "code").context("code")?;
        let redeem = |used: &str| {
            let mut form = vec![
                ("grant_type", "authorization_code"),
                ("code", code.as_str()),
                ("redirect_uri", REDIRECT),
                ("code_verifier", VERIFIER),
                ("client_id", id),
            ];
            let post = house.request("POST", "/oauth/token");
            match used {
                "client_secret_basic" => post
                    .header("authorization", &format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
                    .form(&form),
                "client_secret_post" => {
                    form.push(("client_secret", secret));
                    post.form(&form)
                }
                "wrong secret" => post
                    .header("authorization", &format!("Basic {}", STANDARD.encode(format!("{id}:{secret}x"))))
                    .form(&form),
                _ => post.form(&form),
            }
        };
        for used in ["none", "client_secret_basic", "client_secret_post", "wrong secret"] {
            if used != method {
                let answer = redeem(used).send().await?;
                assert_eq!(answer.status, 401, "{method} registered, {used} used: {}", answer.text());
                assert_eq!(answer.json()["error"], "invalid_client");
            }
        }
        let answer = redeem(method).send().await?;
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
    }
    house.stop().await
}

// spec: T-27
#[tokio::test(flavor = "multi_thread")]
async fn t27_secrets_of_clients_are_shown_once_and_stored_nowhere() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report-secret");
    std::fs::write(&file, "the-secret-of-the-report-48151623")?;
    let settings = format!(
        "clients: {{ configured: [{{ id: report, name: Report, redirect_uris: [\"{WEB}\"], secret: \"file:{}\", \
         token_endpoint_auth_method: client_secret_basic }}, {{ id: plain, name: Plain, redirect_uris: [\"{REDIRECT}\"] }}] }}",
        file.display()
    );
    let house = TestGateway::with(&settings).await?;
    let mut metadata = public("A", &[WEB]);
    metadata["token_endpoint_auth_method"] = "client_secret_post".into();
    let registered = register(&house, &metadata).await?;
    let secret = registered["client_secret"].as_str().context("client_secret")?;
    assert!(secret.len() >= 43, "{secret}");
    // Both secrets work.
    let asks = |id: &str, secret: &str, in_form: bool| {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", "none"), ("client_id", id)];
        let post = house.request("POST", "/oauth/token");
        if in_form {
            form.push(("client_secret", secret));
            post.form(&form)
        } else {
            post.header("authorization", &format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))).form(&form)
        }
    };
    let id = registered["client_id"].as_str().context("client_id")?;
    for (proof, expected) in [
        (asks(id, secret, true), "invalid_grant"),
        (asks(id, "wrong", true), "invalid_client"),
        (asks("report", "the-secret-of-the-report-48151623", false), "invalid_grant"),
        (asks("report", "wrong", false), "invalid_client"),
    ] {
        let answer = proof.send().await?;
        assert_eq!(answer.json()["error"], expected, "{}", answer.text());
    }
    // And neither is in the database, its write-ahead log or the journal.
    house.journal().await?;
    let written = house.written();
    for secret in [secret, "the-secret-of-the-report-48151623"] {
        for needle in [secret.to_owned(), STANDARD.encode(secret)] {
            assert!(!written.windows(needle.len()).any(|window| window == needle.as_bytes()), "{needle}");
        }
    }
    // Without a word about it a configured client is public: it has no secret to lose, and proves itself by PKCE.
    let mut alice = signed_in(&house, ALICE).await?;
    let back = alice.authorize(&target(&house, "plain", REDIRECT), ALICE, "approve").await?;
    let code = parameter(&back, "code").context("code")?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("client_id", "plain"),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(house.request("POST", "/oauth/token").form(&form).send().await?.status, 200);
    // A registered public client is given none either.
    let none = register(&house, &public("B", &[WEB])).await?;
    assert_eq!(none.get("client_secret"), None);
    let _: (Client, _) = house.client("sample", ALICE).await?;
    public_client(&house, "C", &[WEB]).await.map(drop)?;
    house.stop().await
}
