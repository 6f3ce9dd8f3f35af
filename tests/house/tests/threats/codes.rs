//! Authorization codes: stolen, replayed, or asked for without proof of possession.

use anyhow::{Context, Result};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use futures_util::future::try_join_all;
use portcullis_base::Digest;
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Answer,
    person::{Browser, Client, REDIRECT, VERIFIER, foreign_verifier, parameter, tokens},
};
use serde_json::{Value, json};

use crate::visit::{
    WEB, approve_and_remember, asks, changed, consent_form, leaves_for, public_client, register, signed_in,
};

fn refused(answer: &Answer, error: &str) -> bool {
    answer.status == 400 && answer.json()["error"] == error && answer.json().get("access_token").is_none()
}

/// A redemption with some of its fields replaced, or with `None` left out.
async fn redeem_with(client: &Client, code: &str, changes: &[(&str, Option<&str>)]) -> Result<Answer> {
    let mut form = client.redemption(code);
    for (name, value) in changes {
        form.retain(|(known, _)| known != name);
        form.extend(value.map(|value| (*name, value)));
    }
    client.token(&form).await
}

async fn calls(house: &TestGateway, token: &str) -> Result<u16> {
    Ok(house.call("sample", token, "echo", json!({ "message": "hi" })).send().await?.status)
}

// spec: T-8
#[tokio::test(flavor = "multi_thread")]
async fn t08_a_stolen_code_fits_no_other_client_verifier_address_or_server() -> Result<()> {
    let house = TestGateway::start().await?;
    house.protect("other", "127.0.0.1:9".parse()?).await?;
    let client = Client::register(&house.authority, "A").await?;
    let thief = Client::register(&house.authority, "B").await?;
    let code = client.code(&mut Browser::new(&house.authority), "sample", ALICE).await?;
    let other = format!("http://{}/mcp/other", house.authority);
    let foreign = foreign_verifier();

    // In the session of the attacker's own client, with everything else right.
    assert!(refused(&thief.token(&thief.redemption(&code)).await?, "invalid_grant"));
    for (changes, error) in [
        (("client_id", Some(thief.id.as_str())), "invalid_grant"),
        (("code_verifier", Some(foreign.as_str())), "invalid_grant"),
        (("code_verifier", None), "invalid_grant"),
        (("redirect_uri", Some("http://127.0.0.1:10/callback")), "invalid_grant"),
        (("redirect_uri", Some("https://evil.example/callback")), "invalid_grant"),
        (("resource", Some(other.as_str())), "invalid_target"),
    ] {
        let answer = redeem_with(&client, &code, &[changes]).await?;
        assert!(refused(&answer, error), "{changes:?}: {} {}", answer.status, answer.text());
    }
    // Nothing of that used it up, and it stands for the person who agreed.
    let tokens = client.redeem(&code).await?;
    assert_eq!(calls(&house, &tokens.access).await?, 200);
    let claims = tokens.access.split('.').nth(1).context("claims")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let alice = house.app.store.person_by_name(ALICE.0).await?.context("alice")?.0;
    assert_eq!(claims["sub"], alice.id.as_str());
    assert_eq!(claims["client_id"], client.id);
    house.stop().await
}

// spec: T-8
#[tokio::test(flavor = "multi_thread")]
async fn t08_confidential_clients_need_proof_of_possession_too() -> Result<()> {
    let house = TestGateway::start().await?;
    let mut metadata = crate::visit::public("Report", &[REDIRECT]);
    metadata["token_endpoint_auth_method"] = "client_secret_basic".into();
    let registered = register(&house, &metadata).await?;
    let (id, secret) = (registered["client_id"].as_str().unwrap(), registered["client_secret"].as_str().unwrap());
    let mut alice = signed_in(&house, ALICE).await?;
    let answer = alice.get(&changed(&house, id, REDIRECT, &[("code_challenge", None)])).await?;
    let back = leaves_for(&answer).context("an error for the client")?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("invalid_request"));

    let back = alice.authorize(&changed(&house, id, REDIRECT, &[]), ALICE, "approve").await?;
    let code = parameter(&back, "code").context("code")?;
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let redeem = |verifier: Option<&'static str>| {
        let mut form = vec![("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", REDIRECT)];
        form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        house.request("POST", "/oauth/token").header("authorization", &basic).form(&form)
    };
    assert!(refused(&redeem(None).send().await?, "invalid_grant"));
    assert_eq!(redeem(Some(VERIFIER)).send().await?.status, 200);
    house.stop().await
}

// spec: T-9
#[tokio::test(flavor = "multi_thread")]
async fn t09_of_fifty_redemptions_at_once_one_succeeds() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = Client::register(&house.authority, "A").await?;
    let code = client.code(&mut Browser::new(&house.authority), "sample", ALICE).await?;
    let form = client.redemption(&code);
    let answers = try_join_all((0..50).map(|_| client.token(&form))).await?;
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(good.len(), 1);
    assert!(bad.iter().all(|answer| refused(answer, "invalid_grant")), "{bad:?}");
    // The others came from the client itself with the right verifier: what was issued has ended.
    let issued = tokens(&good[0])?;
    assert_eq!(calls(&house, &issued.access).await?, 401);
    assert_eq!(client.refresh(issued.refresh.as_deref().unwrap_or_default()).await?.status, 400);
    assert_eq!(house.events("grant.revoked").await?.len(), 1);
    house.stop().await
}

// spec: T-9
#[tokio::test(flavor = "multi_thread")]
async fn t09_code_replay_ends_the_grant_but_a_forged_one_does_not() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = Client::register(&house.authority, "A").await?;
    let stranger = Client::register(&house.authority, "B").await?;
    let code = client.code(&mut Browser::new(&house.authority), "sample", ALICE).await?;
    let issued = client.redeem(&code).await?;
    let foreign = foreign_verifier();

    for suffix in ["x", "=", "%00", ".", &code] {
        assert!(refused(&client.token(&client.redemption(&format!("{code}{suffix}"))).await?, "invalid_grant"));
    }
    assert!(refused(&client.token(&client.redemption(&code[1..])).await?, "invalid_grant"));
    assert!(refused(&stranger.token(&stranger.redemption(&code)).await?, "invalid_grant"));
    for changes in [("code_verifier", Some(foreign.as_str())), ("code_verifier", None), ("redirect_uri", Some(WEB))] {
        assert!(refused(&redeem_with(&client, &code, &[changes]).await?, "invalid_grant"), "{changes:?}");
    }
    assert_eq!(calls(&house, &issued.access).await?, 200, "a forged code must not end a grant");

    assert!(refused(&client.token(&client.redemption(&code)).await?, "invalid_grant"));
    assert_eq!(calls(&house, &issued.access).await?, 401);
    let refreshed = client.refresh(issued.refresh.as_deref().context("refresh token")?).await?;
    assert!(refused(&refreshed, "invalid_grant"));
    assert_eq!(house.events("token.replayed").await?.len(), 1);
    house.stop().await
}

// spec: T-9
#[tokio::test(flavor = "multi_thread")]
async fn t09_a_code_lives_a_minute_and_is_nowhere_in_what_is_stored() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = Client::register(&house.authority, "A").await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let (late, timely) =
        (client.code(&mut alice, "sample", ALICE).await?, client.code(&mut alice, "sample", BOB).await?);
    for code in [&late, &timely] {
        let needle = code.as_bytes();
        assert!(!house.written().windows(needle.len()).any(|window| window == needle));
    }
    house.clock.advance(std::time::Duration::from_secs(59));
    assert_eq!(client.token(&client.redemption(&timely)).await?.status, 200);
    house.clock.advance(std::time::Duration::from_secs(1));
    assert!(refused(&client.token(&client.redemption(&late)).await?, "invalid_grant"));
    house.stop().await
}

// spec: T-10
#[tokio::test(flavor = "multi_thread")]
async fn t10_no_code_without_an_s256_challenge() -> Result<()> {
    let house = TestGateway::start().await?;
    let local = public_client(&house, "A", &[REDIRECT]).await?;
    let web = public_client(&house, "B", &[WEB]).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    // Also where consent was remembered: a downgrade must not slip past the page.
    assert!(leaves_for(&approve_and_remember(&mut alice, &changed(&house, &web, WEB, &[])).await?).is_some());
    let (short, long) = ("a".repeat(42), "a".repeat(129));
    let cases: [&[(&str, Option<&str>)]; 11] = [
        &[("code_challenge", None), ("code_challenge_method", None)],
        &[("code_challenge", None)],
        &[("code_challenge", Some(""))],
        &[("code_challenge_method", None)],
        &[("code_challenge_method", Some("plain"))],
        &[("code_challenge_method", Some("s256"))],
        &[("code_challenge_method", Some("S512"))],
        &[("code_challenge_method", Some("S256 plain"))],
        &[("code_challenge", Some(&short))],
        &[("code_challenge", Some(&long))],
        &[("code_challenge", Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw/cM"))],
    ];
    for changes in cases {
        let answer = alice.get(&changed(&house, &local, REDIRECT, changes)).await?;
        let back = leaves_for(&answer).with_context(|| format!("{changes:?}: {}", answer.status))?;
        assert!(back.as_str().starts_with(REDIRECT), "{back}");
        assert_eq!(parameter(&back, "error").as_deref(), Some("invalid_request"), "{changes:?}");
        assert_eq!(parameter(&back, "state").as_deref(), Some("xyz"));
        assert_eq!(parameter(&back, "iss"), Some(format!("http://{}", house.authority)));
        assert_eq!(parameter(&back, "code"), None);
        // At an address that a stranger registered the person goes back by choice; there is no code either.
        let answer = alice.get(&changed(&house, &web, WEB, changes)).await?;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{changes:?}");
        assert!(answer.text().contains("error=invalid_request"), "{changes:?}");
    }
    let page = alice.get(&changed(&house, &local, REDIRECT, &[])).await?;
    assert!(asks(&page));
    consent_form(&page).map(drop)?;
    house.stop().await
}

// spec: T-10
#[tokio::test(flavor = "multi_thread")]
async fn t10_a_code_needs_the_verifier_it_was_bound_to() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = Client::register(&house.authority, "A").await?;
    let code = client.code(&mut Browser::new(&house.authority), "sample", ALICE).await?;
    let challenge = Digest::of(VERIFIER.as_bytes()).to_base64url();
    let (short, long) = (&VERIFIER[..42], "a".repeat(129));
    let padded = format!("{VERIFIER}=");
    for verifier in [
        None,
        Some(""),
        Some(challenge.as_str()),
        Some(short),
        Some(long.as_str()),
        Some(padded.as_str()),
        Some("dBjftJeZ4CVP mB92K27uhbUJU1p1r wW1gFWFOEjXk"),
        Some(&VERIFIER.to_lowercase()),
    ] {
        let answer = redeem_with(&client, &code, &[("code_verifier", verifier)]).await?;
        assert!(refused(&answer, "invalid_grant"), "{verifier:?}: {} {}", answer.status, answer.text());
    }
    client.redeem(&code).await?;
    house.stop().await
}
