//! Servers whose documents lead somewhere else.

use anyhow::{Context, Result};
use portcullis_house::gateway::{ALICE, TestGateway};
use serde_json::{Value, json};
use url::Url;

use crate::{
    hostile_site::{Lies, RESOURCE, SERVER, Story},
    origin_server::Canary,
};

/// The members of an authorization server's document that hold an address we go by.
const ENDPOINTS: [&str; 5] =
    ["authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint", "jwks_uri"];

/// Those that nobody here goes by: honest providers have them on other sites.
const UNUSED: [&str; 2] = ["introspection_endpoint", "userinfo_endpoint"];

/// What a server is made to say.
type Lie = Box<dyn Fn(&mut Lies)>;

/// A call of Alice's through the gate: whatever it says, it must not lead to the canary.
async fn call(house: &TestGateway) -> Result<String> {
    let (_, tokens) = house.client("shady", ALICE).await?;
    let answer = house.call("shady", &tokens.access, "echo", json!({ "text": "x" })).send().await?;
    Ok(format!("{} {}", answer.status, answer.text()))
}

/// Alice is not sent anywhere, is told nothing from the other side, and nothing was asked of the canary.
async fn is_refused(story: &mut Story, canary: &Canary, what: &str) -> Result<()> {
    let (answer, leads) = story.set_out().await?;
    assert_eq!(leads, None, "{what}");
    assert!(answer.status >= 400, "{what}: {}", answer.status);
    let text = answer.text();
    assert!(!text.contains(&canary.port.to_string()) && !text.contains("evil"), "{what}: {text}");
    assert_eq!(canary.touched(), 0, "{what}");
    assert!(!story.is_connected().await?, "{what}");
    assert_eq!((story.site.asked("/register"), story.site.asked("/token")), (0, 0), "{what}");
    Ok(())
}

// spec: T-28
#[tokio::test(flavor = "multi_thread")]
async fn t28_no_word_of_a_server_makes_us_ask_another() -> Result<()> {
    let canary = Canary::new()?;
    let at = |host: &str| format!("http://{host}:{}", canary.port);
    for place in
        [at("127.0.0.1"), at("localhost"), at("[::1]"), at("0.0.0.0"), at("[::ffff:127.0.0.1]"), at("2130706433")]
    {
        let mut lies: Vec<(String, Lie)> = Vec::new();
        let challenge = format!("Bearer resource_metadata=\"{place}/m\"");
        lies.push(("resource_metadata".into(), Box::new(move |lies| lies.challenge = Some(challenge.clone()))));
        let issuer = place.clone();
        lies.push((
            "authorization_servers".into(),
            Box::new(move |lies| lies.resource.push(("authorization_servers", json!([issuer])))),
        ));
        let resource = format!("{place}/mcp");
        lies.push(("resource".into(), Box::new(move |lies| lies.resource.push(("resource", json!(resource))))));
        let issuer = place.clone();
        lies.push(("issuer".into(), Box::new(move |lies| lies.server.push(("issuer", json!(issuer))))));
        for path in [RESOURCE, SERVER] {
            for status in [302, 307] {
                let to = format!("{place}{path}");
                let lie = move |lies: &mut Lies| drop(lies.elsewhere.insert(path, (status, to.clone())));
                lies.push((format!("{path} {status}"), Box::new(lie)));
            }
        }
        for (what, lie) in lies {
            let mut story = Story::start().await?;
            lie(&mut story.site.lies());
            call(&story.house).await?;
            is_refused(&mut story, &canary, &format!("{what} at {place}")).await?;
            story.house.stop().await?;
        }
    }
    Ok(())
}

// spec: T-18, T-28
#[tokio::test(flavor = "multi_thread")]
async fn t18_endpoints_of_another_site_end_the_connecting_before_it_begins() -> Result<()> {
    let canary = Canary::new()?;
    for member in ENDPOINTS {
        for url in [
            format!("http://localhost:{}/x", canary.port),
            "https://login.honest.example/x".to_owned(),
            "https://127.0.0.1.evil.example/x".to_owned(),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "http://10.0.0.1/x".to_owned(),
            "file:///etc/passwd".to_owned(),
            "javascript:alert(1)".to_owned(),
        ] {
            let mut story = Story::start().await?;
            story.site.lies().server.push((member, json!(url)));
            is_refused(&mut story, &canary, &format!("{member} {url}")).await?;
            story.house.stop().await?;
        }
    }
    for member in UNUSED {
        let mut story = Story::start().await?;
        story.site.lies().server.push((member, json!(format!("http://localhost:{}/x", canary.port))));
        let leads = story.set_out().await?.1.context(member)?;
        assert_eq!((leads.port(), leads.path()), (Some(story.site.behind.at.port()), "/authorize"), "{member}");
        assert_eq!(canary.touched(), 0, "{member}");
        story.house.stop().await?;
    }
    Ok(())
}

// spec: T-18
#[tokio::test(flavor = "multi_thread")]
async fn t18_hosts_that_an_administrator_names_are_the_only_exception() -> Result<()> {
    let mut story = Story::with(json!({ "kind": "oauth", "endpoints": ["localhost"] })).await?;
    let port = story.site.behind.at.port();
    story.site.lies().server.push(("authorization_endpoint", json!(format!("http://localhost:{port}/authorize"))));
    let (answer, leads) = story.set_out().await?;
    let leads = leads.with_context(|| answer.text())?;
    assert_eq!((leads.host_str(), leads.path()), (Some("localhost"), "/authorize"));
    let mut other = Story::with(json!({ "kind": "oauth", "endpoints": ["other.example"] })).await?;
    other.site.lies().server.push(("authorization_endpoint", json!(format!("http://localhost:{port}/authorize"))));
    assert_eq!(other.set_out().await?.1, None);
    story.house.stop().await?;
    other.house.stop().await
}

// spec: T-18, UP-4
#[tokio::test(flavor = "multi_thread")]
async fn t18_the_issuer_of_another_site_needs_an_administrator() -> Result<()> {
    let canary = Canary::new()?;
    for issuer in ["https://login.honest.example".to_owned(), format!("http://localhost:{}", canary.port)] {
        let mut story = Story::start().await?;
        story.site.lies().resource.push(("authorization_servers", json!([issuer])));
        is_refused(&mut story, &canary, &issuer).await?;
        // Beside one of its own it is not the one that is taken.
        let own = story.site.origin();
        story.site.lies().resource.push(("authorization_servers", json!([issuer, own])));
        story.house.advance(std::time::Duration::from_secs(3600)).await?;
        story.alice = crate::visit::signed_in(&story.house, ALICE).await?;
        let (answer, leads) = story.set_out().await?;
        let leads = leads.with_context(|| answer.text())?;
        assert!(leads.as_str().starts_with(&format!("{own}/authorize?")), "{leads}");
        story.house.stop().await?;
    }
    Ok(())
}

// spec: T-28, T-29, UP-41
#[tokio::test(flavor = "multi_thread")]
async fn t29_registrations_codes_and_tokens_are_sent_to_no_other_place() -> Result<()> {
    let canary = Canary::new()?;
    let to = format!("http://127.0.0.1:{}/taken", canary.port);
    for status in [301, 302, 303, 307, 308] {
        for path in ["/register", "/token"] {
            let mut story = Story::start().await?;
            story.site.lies().elsewhere.insert(path, (status, to.clone()));
            let (answer, leads) = story.set_out().await?;
            assert_eq!(leads.is_some(), path == "/token", "{path} {status}: {}", answer.text());
            if let Some(authorize) = leads {
                let arrived = story.come_back(&authorize).await?;
                assert!(arrived.status >= 400, "{path} {status}: {}", arrived.status);
            }
            assert!(story.site.asked(path) > 0, "{path} was not asked at all");
            assert_eq!(canary.touched(), 0, "{path} {status}");
            assert!(!story.is_connected().await?, "{path} {status}");
            story.house.stop().await?;
        }
    }
    Ok(())
}

// spec: T-28
#[tokio::test(flavor = "multi_thread")]
async fn t28_an_endpoint_at_another_port_of_the_same_host_is_not_asked() -> Result<()> {
    // Whatever a private server says, it opens its own origin and no neighbour's.
    let canary = Canary::new()?;
    for member in ENDPOINTS.into_iter().filter(|member| *member != "authorization_endpoint") {
        let mut story = Story::start().await?;
        story.site.lies().server.push((member, json!(format!("http://127.0.0.1:{}/x", canary.port))));
        let (_, leads) = story.set_out().await?;
        let mut connected = false;
        if let Some(authorize) = leads {
            let arrived = story.come_back(&authorize).await?;
            if arrived.status == 200 {
                crate::account_site::send(&mut story.alice, &arrived, "/confirm", &[("decision", "connect")]).await?;
                connected = story.is_connected().await?;
            }
        }
        assert!(!connected || !["token_endpoint", "registration_endpoint"].contains(&member), "{member}");
        if connected {
            let page = story.alice.get("/connections").await?;
            crate::account_site::send(&mut story.alice, &page, "/shady/disconnect", &[]).await?;
            assert!(!story.is_connected().await?, "{member}: what is given up is gone, whoever hears of it");
        }
        assert_eq!(canary.touched(), 0, "{member}");
        story.house.stop().await?;
    }
    Ok(())
}

// spec: T-17, UP-39
#[tokio::test(flavor = "multi_thread")]
async fn t17_a_code_goes_to_the_token_endpoint_that_was_written_down() -> Result<()> {
    let mut story = Story::start().await?;
    let (answer, leads) = story.set_out().await?;
    let authorize = leads.with_context(|| answer.text())?;
    let canary = Canary::new()?;
    story.site.lies().server.push(("token_endpoint", json!(format!("http://127.0.0.1:{}/token", canary.port))));
    story.house.advance(std::time::Duration::from_secs(60)).await?;
    let arrived = story.come_back(&authorize).await?;
    assert_eq!(arrived.status, 200, "{}", arrived.text());
    assert_eq!((story.site.asked("/token"), canary.touched()), (1, 0));
    let sent =
        story.site.behind.seen().into_iter().find(|seen| seen.line.starts_with("POST /token")).context("a request")?;
    assert!(sent.text().contains("code=canary-code"));
    story.house.stop().await
}

// spec: T-17, UP-7
#[tokio::test(flavor = "multi_thread")]
async fn t17_metadata_under_another_name_is_not_used() -> Result<()> {
    let canary = Canary::new()?;
    let own = |story: &Story| story.site.origin();
    let names: [&dyn Fn(&Story) -> Value; 5] = [
        &|story| json!(format!("{}/", own(story))),
        &|story| json!(own(story).to_uppercase()),
        &|_| json!("https://evil.example"),
        &|_| json!(""),
        &|_| Value::Null,
    ];
    for name in names {
        let mut story = Story::start().await?;
        let lie = name(&story);
        story.site.lies().server.push(("issuer", lie.clone()));
        is_refused(&mut story, &canary, &format!("issuer {lie}")).await?;
        story.house.stop().await?;
    }
    Ok(())
}

// spec: UP-9
#[tokio::test(flavor = "multi_thread")]
async fn t10_a_server_without_pkce_gets_no_code_from_us() -> Result<()> {
    let canary = Canary::new()?;
    for methods in [json!(["plain"]), json!([]), Value::Null] {
        let mut story = Story::start().await?;
        story.site.lies().server.push(("code_challenge_methods_supported", methods.clone()));
        is_refused(&mut story, &canary, &methods.to_string()).await?;
        story.house.stop().await?;
    }
    let mut story = Story::start().await?;
    let (answer, leads) = story.set_out().await?;
    let leads: Url = leads.with_context(|| answer.text())?;
    let challenge =
        |url: &Url| url.query_pairs().find(|(name, _)| name == "code_challenge").map(|(_, value)| value.into_owned());
    let (again, other) = (challenge(&leads), story.set_out().await?.1.as_ref().and_then(challenge));
    assert!(again.is_some() && again != other, "a verifier was used twice");
    story.house.stop().await
}
