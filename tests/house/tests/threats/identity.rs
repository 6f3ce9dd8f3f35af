//! Sign-in through a company's provider, as the people it is made for meet it; without this, an attack that fails proves
//! nothing.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_gateway::check::CheckState;
use portcullis_house::{
    gateway::TestGateway,
    person::{Client, parameter},
    provider::Providers,
    walk::{Page, Walker},
};
use serde_json::json;
use url::Url;

use crate::company::{Company, code, is_signed_in, refuses};

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_signs_people_in_and_knows_who_they_are() -> Result<()> {
    let Some(providers) = Providers::company("oidc").await? else { return Ok(()) };
    let house = portcullis_house::gateway::TestGateway::without_people("").await?;
    let company = providers.get("company");
    company.introduce(&house).await?;
    company.account("alice", json!({ "groups": ["platform"] })).await?;
    let mut browser = Walker::new(&house, &providers)?;
    let back = format!("http://{}/login/company/callback", house.authority);
    let url = Url::parse_with_params(
        &format!("{}/auth", company.issuer()),
        [
            ("response_type", "code"),
            ("client_id", "portcullis"),
            ("redirect_uri", &back),
            ("scope", "openid email groups"),
            ("state", "x"),
            ("nonce", "n"),
        ],
    )?;
    let page = browser.open(url.as_str()).await?;
    let stop = back.clone();
    let page = browser.go_on_until(page, "alice", |url| url.as_str().starts_with(&stop)).await?;
    let answer = page.leads_to().context("an answer")?;
    let code = portcullis_house::person::parameter(&answer, "code").with_context(|| answer.to_string())?;
    let token = Url::parse(&format!("{}/token", company.issuer()))?;
    let redeemed = browser
        .request("POST", &token)
        .form(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &back),
            ("client_id", "portcullis"),
            ("client_secret", "portcullis-secret"),
        ])
        .send()
        .await?;
    ensure!(redeemed.status == 200, "{}", redeemed.text());
    let token = redeemed.json()["id_token"].as_str().context("an ID token")?.to_owned();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).context("a payload")?)?;
    let claims: serde_json::Value = serde_json::from_slice(&claims)?;
    assert_eq!(claims["iss"], company.issuer());
    assert_eq!(
        (&claims["sub"], &claims["groups"][0], &claims["nonce"]),
        (&json!("company-alice"), &json!("platform"), &json!("n"))
    );
    assert_eq!(company.seen("/token").await?, 1);
    house.stop().await
}

// spec: T-52, AS-143
#[tokio::test(flavor = "multi_thread")]
async fn t52_an_address_makes_nobody_somebody_else() -> Result<()> {
    let Some(company) = Company::and_partner().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let mut browser = company.signed_in("alice").await?;
    let alice = company.person("alice").await?.context("alice")?;
    assert!(browser.open("/").await?.text().contains("alice"));
    // Another subject with Alice's address, name and all; Alice's own subject at another issuer; other letters.
    provider
        .account("mallory", json!({ "sub": "company-ALICE", "email": "alice@example.com", "username": "alice" }))
        .await?;
    company.partner().account("alice", json!({ "sub": "company-alice", "email": "alice@example.com" })).await?;
    provider.account("bob", json!({ "email": "ALICE@example.com", "username": "Alice" })).await?;
    for (id, login) in [("company", "mallory"), ("partner", "alice"), ("company", "bob")] {
        let mut other = company.browser()?;
        let page = other.open(&format!("/login/{id}?return_to=/")).await?;
        other.go_on(page, login).await?;
    }
    let people = house.app.store.people().await?;
    let names: BTreeSet<_> = people.iter().map(|person| person.name.to_lowercase()).collect();
    assert!(people.len() >= 2 && names.len() == people.len(), "{names:?}");
    let own = house.app.store.identities_of(&alice.id).await?;
    assert_eq!(own.iter().map(|known| known.subject.as_str()).collect::<Vec<_>>(), ["company-alice"]);
    // A new address, and Alice is still Alice.
    provider.account("alice", json!({ "email": "alice.new@example.com" })).await?;
    company.signed_in("alice").await?;
    assert_eq!(house.app.store.people().await?.len(), people.len());
    let again = house.app.store.person(&alice.id).await?.context("alice")?;
    assert_eq!(again.email.as_deref(), Some("alice.new@example.com"));
    company.house.stop().await
}

// spec: T-52, AS-143
#[tokio::test(flavor = "multi_thread")]
async fn t52_an_address_that_nobody_verified_is_none() -> Result<()> {
    let settings = json!({ "domains": ["example.com"] });
    let Some(company) = Company::of("oidc", settings, "").await? else { return Ok(()) };
    let provider = company.provider();
    provider.account("alice", json!({ "email_verified": false })).await?;
    provider.account("bob", json!({ "email": "bob@elsewhere.example" })).await?;
    let mut browser = company.browser()?;
    let page = browser.open("/login/company?return_to=/").await?;
    browser.go_on(page, "alice").await?;
    let alice = company.person("alice").await?;
    assert!(alice.is_none_or(|alice| alice.email.is_none()));
    let mut browser = company.browser()?;
    let page = browser.open("/login/company?return_to=/").await?;
    let end = browser.go_on(page, "bob").await?;
    assert!(refuses(&end, 403), "{} {:?}", end.answer.status, end.leads_to());
    assert!(company.person("bob").await?.is_none());
    provider.account("alice", json!({ "email_verified": true })).await?;
    company.signed_in("alice").await?;
    let alice = company.person("alice").await?.context("alice")?;
    assert_eq!(alice.email.as_deref(), Some("alice@example.com"));
    company.house.stop().await
}

// spec: T-52
#[tokio::test(flavor = "multi_thread")]
async fn t52_groups_that_did_not_fit_are_fetched_or_nobody_comes_in() -> Result<()> {
    let Some(providers) = Providers::company("entra").await? else { return Ok(()) };
    let provider = providers.get("company");
    let graph = format!("https://{}/graph", provider.host());
    let house = providers.gateway(json!({ "kind": "entra", "api_url": graph })).await?;
    let groups = ["g-1", "g-2", "g-3", "g-4", "g-5", "g-6", "g-7"];
    provider.account("alice", json!({ "overage": true, "groups": groups })).await?;
    provider.fault(json!({ "directory": { "status": 403 } })).await?;
    let mut browser = Walker::new(&house, &providers)?;
    let page = browser.open("/login/company?return_to=/").await?;
    let end = browser.go_on(page, "alice").await?;
    assert!(end.leads_to().is_none() && end.answer.status >= 400, "{} {:?}", end.answer.status, end.leads_to());
    assert!(house.app.store.people().await?.is_empty());
    provider.fault(json!({})).await?;
    browser.sign_in("company", "alice").await?;
    let people = house.app.store.people().await?;
    assert_eq!((people.len(), people[0].groups.len()), (1, groups.len()), "{people:?}");
    house.stop().await
}

// spec: T-106
#[tokio::test(flavor = "multi_thread")]
async fn t106_there_is_no_sign_in_by_a_code_typed_elsewhere() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let house = &company.house;
    let client = Client::register(&house.authority, "Notes").await?;
    for path in ["/oauth/device", "/oauth/device_authorization", "/device", "/oauth/device/code", "/activate"] {
        for method in ["GET", "POST"] {
            let request = house.request(method, path).form(&[("client_id", &client.id), ("user_code", "ABCD-EFGH")]);
            let answer = request.send().await?;
            assert!([404, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
        }
    }
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let answer =
        client.token(&[("grant_type", grant), ("device_code", "x"), ("client_id", client.id.as_str())]).await?;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("unsupported_grant_type")));
    let metadata = house.request("GET", "/.well-known/oauth-authorization-server").send().await?.json();
    assert!(metadata["issuer"].is_string() && !metadata.to_string().contains("device"), "{metadata}");
    // The browser's way is the only one, and works.
    let code = company.code(&mut company.browser()?, &client, "sample", "alice").await?;
    assert!(client.redeem(&code).await?.refresh.is_some());
    company.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_stops_only_new_sign_ins() -> Result<()> {
    let Some(providers) = Providers::company("oidc").await? else { return Ok(()) };
    // Away before it was ever heard of: the person reads what happens, and nothing is lost.
    providers.get("company").becomes("down").await?;
    let company = Company::with(providers, "oidc", json!({}), "").await?;
    let (house, provider) = (&company.house, company.provider());
    let client = Client::register(&house.authority, "Notes").await?;
    let mut stranger = company.browser()?;
    let away = without_provider(&mut stranger, &client).await?;
    assert_eq!(away.answer.status, 503, "{}", away.text());
    for said in ["does not answer", "stays signed in", "Try again", "Go back to the application"] {
        assert!(away.text().contains(said), "{said}: {}", away.text());
    }
    provider.becomes("up").await?;
    company.advance(Duration::from_mins(1)).await?;
    let again = away
        .text()
        .split("href=\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|href| href.starts_with("/login/company?"))
        .map(|href| href.replace("&amp;", "&"));
    let page = stranger.come(away.url.as_str(), &again.context("a way to try again")?).await?;
    let end = stranger.go_on(page, "alice").await?;
    let tokens = client.redeem(&code(&end)?).await?;

    // Away while people are in: they stay in, and so do their clients.
    let call = |token: &str| house.call("sample", token, "echo", json!({ "message": "x" }));
    provider.becomes("down").await?;
    company.advance(Duration::from_mins(11)).await?;
    house.renew_groups().await?;
    assert!(is_signed_in(&mut stranger).await?);
    let tokens =
        portcullis_house::person::tokens(&client.refresh(tokens.refresh.as_deref().unwrap_or_default()).await?)?;
    assert_eq!(call(&tokens.access).send().await?.status, 200);
    // Whoever is on the way back while it goes away reads the same.
    provider.becomes("up").await?;
    let mut late = company.browser()?;
    let page = late.open("/login/company?return_to=/").await?;
    let page = late.go_on_until(page, "bob", |url| url.path().ends_with("/callback")).await?;
    provider.becomes("down").await?;
    let end = late.step(page).await?;
    assert!(end.answer.status == 503 && end.text().contains("does not answer"), "{} {}", end.answer.status, end.text());
    provider.becomes("up").await?;
    late.sign_in("company", "bob").await?;
    house.renew_groups().await?;
    assert_eq!(house.events("identity.ended").await?.len(), 0);

    // Nobody goes on for ever without an answer.
    provider.becomes("down").await?;
    for _ in 0..3 {
        company.advance(Duration::from_hours(12)).await?;
        house.renew_groups().await?;
    }
    assert!(!is_signed_in(&mut stranger).await?);
    provider.becomes("up").await?;
    company.house.stop().await
}

/// Agrees to a request and goes as far as it goes without anybody at the provider.
async fn without_provider(browser: &mut Walker, client: &Client) -> Result<Page> {
    let page = browser.open(&client.authorize_target("sample")).await?;
    assert!(page.asks(), "{} {}", page.answer.status, page.text());
    let approved = browser.submit(&page, &[("decision", "approve")]).await?;
    browser.follow(approved).await
}

// spec: AS-146
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_at_the_provider_reaches_the_client_without_its_words() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let client = Client::register(&house.authority, "Notes").await?;
    let secret = "internal-host-17.example";
    let cases = [
        (json!({ "refuse": { "error": "access_denied", "error_description": secret } }), "access_denied"),
        (json!({ "refuse": { "error": "server_error", "error_description": secret } }), ""),
        (json!({ "token": { "status": 500, "error": "server_error", "error_description": secret } }), ""),
        (json!({ "token": { "status": 400, "error": "invalid_client", "error_description": secret } }), ""),
    ];
    for (fault, expected) in cases {
        provider.fault(fault.clone()).await?;
        let mut browser = company.browser()?;
        let page = browser.open(&client.authorize_target("sample")).await?;
        let end = browser.go_on(page, "alice").await?;
        // By itself, or by a link of the page: the client of a stranger is gone to by choice.
        let links =
            end.text().split("href=\"").filter_map(|rest| rest.split('"').next()).map(unescaped).collect::<Vec<_>>();
        let back = end
            .leads_to()
            .or_else(|| links.iter().find_map(|link| Url::parse(link).ok().filter(|url| url.path() == "/callback")));
        let back = back.with_context(|| format!("{fault}: {} {}", end.answer.status, end.text()))?;
        let told = |name: &str| parameter(&back, name).unwrap_or_default();
        let known = ["access_denied", "server_error", "temporarily_unavailable"].contains(&told("error").as_str());
        assert!(known && (expected.is_empty() || told("error") == expected), "{fault}: {back}");
        assert_eq!((told("state"), told("iss")), ("xyz".into(), format!("http://{}", house.authority)));
        assert!(!back.as_str().contains(secret) && !end.text().contains(secret), "{fault}: {back} {}", end.text());
    }
    provider.fault(json!({})).await?;
    let code = company.code(&mut company.browser()?, &client, "sample", "alice").await?;
    assert!(client.redeem(&code).await.is_ok());
    company.house.stop().await
}

fn unescaped(text: &str) -> String {
    text.replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_here_goes_on_to_the_provider_and_comes_back() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let mut browser = company.signed_in("alice").await?;
    let page = browser.open("/logout").await?;
    let page = browser.submit(&page, &[]).await?;
    assert!(!is_signed_in(&mut browser).await?);
    let link = page
        .text()
        .split("href=\"")
        .filter_map(|rest| rest.split('"').next())
        .map(unescaped)
        .find(|link| link.starts_with(company.provider().issuer()));
    let page = browser.come(page.url.as_str(), &link.context("a link to the provider")?).await?;
    let there = browser.follow(page).await?;
    let page = browser.submit(&there, &[("logout", "yes")]).await?;
    let end = browser.follow(page).await?;
    assert_eq!((end.url.path(), end.answer.status), ("/logout", 200), "{} {}", end.url, end.text());
    // The provider has forgotten them as well: it asks again.
    let page = browser.open("/login/company?return_to=/").await?;
    let page = browser.follow(page).await?;
    assert!(page.text().contains("name=\"login\""), "{} {}", page.url, page.text());
    company.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_is_explained_with_what_was_expected_and_what_came() -> Result<()> {
    let Some(providers) = Providers::company("oidc").await? else { return Ok(()) };
    let issuer = providers.get("company").issuer().to_owned();
    let found = async |house: &TestGateway, name: &str| -> Result<(CheckState, String)> {
        let provider = house.app.providers.get("company").context("company")?;
        let checks = provider.examine().await;
        let check = checks.iter().find(|check| check.name == name).with_context(|| format!("{name}: {checks:?}"))?;
        Ok((check.state, format!("{} {}", check.text, check.advice.as_deref().unwrap_or_default())))
    };
    let house = providers.gateway(json!({ "kind": "oidc" })).await?;
    for (name, part) in [
        ("discovery", issuer.as_str()),
        ("issuer", &issuer),
        ("client credentials", "accepted"),
        ("clock", ""),
        ("redirect URI to register", &format!("http://{}/login/company/callback", house.authority)),
    ] {
        let (state, text) = found(&house, name).await?;
        assert!(state == CheckState::Good && text.contains(part), "{name}: {text}");
    }
    // The clock runs away, the secret is wrong, the document is another's, nobody is there.
    providers.advance(Duration::from_secs(200)).await?;
    let (state, text) = found(&house, "clock").await?;
    assert!(state != CheckState::Good && text.contains("200 s"), "{text}");
    providers.get("company").client(json!({ "client_secret": "changed at the provider" })).await?;
    let (state, text) = found(&house, "client credentials").await?;
    assert!(state == CheckState::Bad, "{text}");
    providers.get("company").fault(json!({ "discovery": { "issuer": format!("{issuer}/other") } })).await?;
    let checks = house.app.providers.get("company").context("company")?.examine().await;
    let wrong = checks
        .iter()
        .filter(|check| check.state == CheckState::Bad)
        .map(|check| check.text.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    assert!(wrong.contains(&format!("{issuer}/other")) && wrong.contains(&issuer), "{checks:?}");
    providers.get("company").becomes("down").await?;
    let (state, text) = found(&house, "discovery").await?;
    assert!(state == CheckState::Bad && text.contains(&issuer), "{text}");
    house.stop().await
}
