//! Sessions that came from a provider: how fresh they are, how they end, and what people read when none begins.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_base::GrantId;
use portcullis_gateway::step_up::{Demand, LIFETIME};
use portcullis_house::{
    gateway::ALICE,
    person::{Client, Form, parameter},
    provider::Providers,
    walk::{Page, Walker},
};
use serde_json::json;

use crate::{
    company::{Company, code, is_signed_in, refuses},
    visit::{WEB, changed, public_client, target},
};

/// The form whose address ends in `action`, wherever on the page.
fn form_to(page: &Page, action: &str) -> Result<Form> {
    let html = page.text();
    let at = html.find(&format!("action=\"{action}\"")).with_context(|| format!("no form to {action}: {html}"))?;
    let start = html[..at].rfind("<form").context("a form")?;
    portcullis_house::person::form(&format!("<main>{}</main>", &html[start..])).context("a form")
}

async fn token_of_forms(browser: &mut Walker) -> Result<(Page, String)> {
    let page = browser.open("/").await?;
    let form = form_to(&page, "/logout")?;
    let token = form.fields.iter().find(|(name, _)| name == "form_token").context("form_token")?.1.clone();
    Ok((page, token))
}

/// The link of a call that was denied until somebody signs in freshly.
fn link(company: &Company, grant: &GrantId, max_age: Duration, acr: &[&str]) -> String {
    let app = &company.house.app;
    let demand = Demand {
        grant: grant.clone(),
        max_age: Some(max_age),
        acr: acr.iter().map(|acr| (*acr).to_owned()).collect(),
        expires_at: app.clock.now().plus(LIFETIME),
    };
    demand.link(&app.keys, &*app.rng, &format!("http://{}", company.house.authority))
}

async fn grant_of(company: &Company, name: &str) -> Result<GrantId> {
    let (app, person) = (&company.house.app, company.person(name).await?.context("a person")?);
    Ok(app.store.grants_of(&person.id, app.clock.now()).await?.first().context("a grant")?.id.clone())
}

// spec: RFC9470#5
#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_fresh_sign_in_that_it_demands() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let client = public_client(house, "Notes", &[WEB]).await?;
    // A provider says when somebody proved who they are if it is asked; before that nobody knows.
    let mut browser = company.browser()?;
    let page = browser.open("/login/company?return_to=/&max_age=3600").await?;
    browser.go_on(page, "alice").await?;
    company.advance(Duration::from_mins(20)).await?;
    let asks_for = |name: &str, value: &str| changed(house, &client, WEB, &[(name, Some(value))]);
    let grants = async || -> Result<Vec<portcullis_oauth::grant::Grant>> {
        let alice = company.person("alice").await?.context("alice")?;
        let mut grants = Vec::new();
        for row in house.app.store.grants_of(&alice.id, house.app.clock.now()).await? {
            grants.push(house.app.store.grant(&row.id).await?.context("a grant")?);
        }
        Ok(grants)
    };

    // Old enough for one, so nothing is asked of the provider.
    provider.forget().await?;
    let page = browser.open(&asks_for("max_age", "3600")).await?;
    code(&browser.go_on(page, "alice").await?)?;
    assert_eq!(provider.contacts().await?, 0);
    let authenticated_at = grants().await?[0].authenticated_at.context("when")?;
    assert_eq!(house.app.clock.now().since(authenticated_at), Duration::from_mins(20));

    // Too old for the other: our page first, then the form of the provider, which knows her well.
    for (name, value) in [("max_age", "60"), ("prompt", "login"), ("acr_values", "phr")] {
        company.advance(Duration::from_mins(20)).await?;
        let page = browser.open(&asks_for(name, value)).await?;
        assert!(page.asks(), "{name}: {}", page.text());
        let approved = browser.submit(&page, &[("decision", "approve")]).await?;
        let at_provider = browser.follow(approved).await?;
        assert!(at_provider.text().contains("name=\"login\""), "{name}: {}", at_provider.text());
        code(&browser.go_on(at_provider, "alice").await?)?;
        let newest = grants().await?.into_iter().max_by_key(|grant| grant.created_at).context("a grant")?;
        assert_eq!(newest.authenticated_at, Some(house.app.clock.now()), "{name}");
        assert_eq!(newest.acr.is_some(), name == "acr_values", "{name}: {:?}", newest.acr);
    }

    // A provider that is asked and does as if: no code, however often it is tried.
    company.advance(Duration::from_mins(20)).await?;
    provider.fault(json!({ "shift": { "auth_time": -600 } })).await?;
    let page = browser.open(&asks_for("prompt", "login")).await?;
    let end = browser.go_on(page, "alice").await?;
    assert!(refuses(&end, 403), "{} {} {:?}", end.url, end.answer.status, end.leads_to());
    company.house.stop().await
}

// spec: T-7, AS-131
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_asks_for_a_fresh_sign_in_gets_it_from_the_person_of_the_grant() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let house = &company.house;
    let mut alice = company.browser()?;
    let client = Client::register(&house.authority, "Notes").await?;
    company.code(&mut alice, &client, "sample", "alice").await?;
    let grant = grant_of(&company, "alice").await?;
    let authenticated_at =
        async || -> Result<_> { Ok(house.app.store.grant(&grant).await?.context("a grant")?.authenticated_at) };
    let before = authenticated_at().await?;
    company.advance(Duration::from_mins(30)).await?;

    let address = link(&company, &grant, Duration::from_mins(5), &[]);
    let page = alice.open(&address).await?;
    let page = alice.follow(page).await?;
    assert!(page.text().contains("name=\"login\""), "not asked again: {} {}", page.url, page.text());
    let page = alice.go_on(page, "alice").await?;
    assert!(page.text().contains("Notes") && page.text().contains("sample"), "{} {}", page.url, page.text());
    // To have looked is not to have agreed.
    assert_eq!((authenticated_at().await?, house.events("grant.fresh").await?.len()), (before, 0));
    let mut forged = form_to(&page, "/login/fresh")?;
    forged.fields.retain(|(name, _)| name != "form_token");
    assert!(refuses(&alice.send_form(&page, &forged, &[]).await?, 403));
    let done = alice.send_form(&page, &form_to(&page, "/login/fresh")?, &[]).await?;
    assert_eq!(done.answer.status, 200, "{}", done.text());
    assert_eq!(authenticated_at().await?, Some(house.app.clock.now()));
    assert_eq!(house.events("grant.fresh").await?.len(), 1);

    // Not for somebody else, not for a grant that ended, not by a link that is old or that nobody gave out.
    let mut bob = company.signed_in("bob").await?;
    let foreign = bob.open(&address).await?;
    assert!(refuses(&bob.follow(foreign).await?, 403));
    for bad in [format!("{address}A"), "/login/fresh?grant=x".to_owned()] {
        assert!(refuses(&alice.open(&bad).await?, 400), "{bad}");
    }
    // A strength that the provider does not reach is asked for once, and then refused.
    company.provider().account("alice", json!({ "acr": "pwd" })).await?;
    let strong = alice.open(&link(&company, &grant, Duration::from_mins(5), &["phr"])).await?;
    let end = alice.go_on(strong, "alice").await?;
    assert!(refuses(&end, 403), "{} {} {}", end.url, end.answer.status, end.text());
    house.advance(LIFETIME).await?;
    assert!(refuses(&alice.open(&address).await?, 400));
    company.house.stop().await
}

// spec: AS-146
#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_that_nobody_signed_in_and_nothing_of_why() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let local = Client::register(&house.authority, "On this computer").await?;
    let web = public_client(house, "Notes", &[WEB]).await?;
    provider.knows(Some("alice")).await?;
    let refused = json!({ "refuse": { "error": "access_denied", "error_description": "tenant 42 says no" } });
    provider.fault(refused).await?;

    let mut browser = company.browser()?;
    let page = browser.open(&local.authorize_target("sample")).await?;
    let end = browser.go_on(page, "alice").await?;
    let back = end.leads_to().with_context(|| format!("{} {}", end.url, end.text()))?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&back, "state").as_deref(), Some("xyz"));
    assert_eq!(parameter(&back, "iss").as_deref(), Some(format!("http://{}", house.authority).as_str()));
    assert!(!back.as_str().contains("tenant"), "{back}");

    // spec: AS-43: somebody who has not signed in goes to a stranger's address by choice only.
    for (error, status, told) in [
        ("access_denied", 403, "error=access_denied"),
        ("server_error", 503, "error=temporarily_unavailable"),
        ("unauthorized_client", 502, "error=server_error"),
    ] {
        provider.fault(json!({ "refuse": { "error": error, "error_description": "tenant 42" } })).await?;
        let page = browser.open(&target(house, &web, WEB)).await?;
        let end = browser.go_on(page, "alice").await?;
        assert!(refuses(&end, status), "{error}: {} {:?}", end.answer.status, end.leads_to());
        let text = end.text();
        assert!(text.contains(told) && !text.contains("tenant"), "{error}: {text}");
        // The request is not lost: the same page leads on when the provider is well again.
        provider.fault(json!({})).await?;
        let again = text.split("href=\"").find(|link| link.starts_with("/login/company?")).context("a way on")?;
        let again = again.split('"').next().unwrap_or_default().replace("&amp;", "&");
        let page = browser.open(&again).await?;
        code(&browser.go_on(page, "alice").await?).with_context(|| error.to_owned())?;
        browser.lose(|name| name == "__Host-portcullis");
    }
    let told = house.events("signin.failed").await?;
    assert!(told.len() == 4 && told.iter().all(|event| event.to_string().contains("tenant 42")), "{told:?}");
    company.house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_let_in_reads_why_and_gets_no_account() -> Result<()> {
    let Some(company) = Company::of("oidc", json!({ "sign_up": false }), "").await? else { return Ok(()) };
    let mut browser = company.browser()?;
    let page = browser.open("/login/company?return_to=/").await?;
    let end = browser.go_on(page, "alice").await?;
    assert!(refuses(&end, 403) && end.text().contains("signin.unknown"), "{} {}", end.answer.status, end.text());
    assert!(company.house.app.store.people().await?.is_empty() && !is_signed_in(&mut browser).await?);
    company.house.stop().await?;

    let Some(company) = Company::start().await? else { return Ok(()) };
    let mut browser = company.signed_in("alice").await?;
    let (app, alice) = (&company.house.app, company.person("alice").await?.context("alice")?);
    app.store.disable_person(&alice.id, app.clock.now()).await?;
    assert!(!is_signed_in(&mut browser).await?);
    let page = browser.open("/login/company?return_to=/").await?;
    let end = browser.go_on(page, "alice").await?;
    assert!(refuses(&end, 403) && end.text().contains("signin.disabled"), "{} {}", end.answer.status, end.text());
    company.house.stop().await
}

// spec: T-94, T-13
#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_our_session_first_and_then_leads_to_the_providers() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let mut browser = company.signed_in("alice").await?;
    assert!(is_signed_in(&mut browser).await?);
    let asked = browser.open("/logout").await?;
    assert!(is_signed_in(&mut browser).await?, "a link signs nobody out");
    let page = browser.send_form(&asked, &form_to(&asked, "/logout")?, &[]).await?;
    assert!(!is_signed_in(&mut browser).await?);
    assert_eq!((page.answer.status, page.leads_to()), (200, None));
    let text = page.text();
    let onward = text.split("href=\"").find(|link| link.starts_with("https://localhost")).context("a way on")?;
    let onward = url::Url::parse(&onward.split('"').next().unwrap_or_default().replace("&amp;", "&"))?;
    assert!(parameter(&onward, "id_token_hint").is_some_and(|token| token.split('.').count() == 3), "{onward}");
    let back = format!("http://{}/logout", company.house.authority);
    assert_eq!(parameter(&onward, "post_logout_redirect_uri"), Some(back.clone()));
    let there = browser.open(onward.as_str()).await?;
    let confirmed = form_to(&there, &format!("{}/session/end/confirm", company.provider().issuer()))
        .or_else(|_| there.form())
        .context("the provider's own page")?;
    let end = browser.send_form(&there, &confirmed, &[("logout", "yes")]).await?;
    let end = browser.follow(end).await?;
    assert!(end.url.as_str().starts_with(&back) && end.answer.status == 200, "{} {}", end.url, end.text());
    // Signed out there too: the form comes again.
    let page = browser.open("/login/company?return_to=/").await?;
    assert!(browser.follow(page).await?.text().contains("name=\"login\""));

    // A provider that is away keeps nobody signed in here.
    let mut browser = company.signed_in("bob").await?;
    company.provider().becomes("down").await?;
    let (page, token) = token_of_forms(&mut browser).await?;
    let form = Form { action: "/logout".into(), fields: vec![("form_token".into(), token)] };
    let left = browser.send_form(&page, &form, &[]).await?;
    assert!([200, 303].contains(&left.answer.status), "{}", left.text());
    assert!(!is_signed_in(&mut browser).await?);
    assert_eq!(company.house.events("signout").await?.len(), 2);
    company.house.stop().await
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn a_person_ends_their_own_sign_ins_elsewhere_and_nobody_elses() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let app = &company.house.app;
    let (mut here, mut phone, mut tablet) =
        (company.signed_in("alice").await?, company.signed_in("alice").await?, company.signed_in("alice").await?);
    let mut bob = company.signed_in("bob").await?;
    let alice = company.person("alice").await?.context("alice")?;
    let sessions = app.store.sessions_of(&alice.id, app.clock.now()).await?;
    assert_eq!(sessions.len(), 3);
    assert!(sessions.iter().all(|session| session.provider.as_deref() == Some("company")
        && session.agent.contains("Walker")
        && session.address.is_some()
        && session.sid.is_some()));

    let of_bob = company.person("bob").await?.context("bob")?;
    let of_bob = app.store.sessions_of(&of_bob.id, app.clock.now()).await?[0].id.clone();
    let (page, token) = token_of_forms(&mut here).await?;
    let end = |action: &str, token: &str| Form {
        action: action.to_owned(),
        fields: vec![("form_token".into(), token.to_owned())],
    };
    let theirs = here.send_form(&page, &end(&format!("/sessions/{of_bob}/end"), &token), &[]).await?;
    assert!(refuses(&theirs, 404) && is_signed_in(&mut bob).await?);
    for session in &sessions {
        let forged = here.send_form(&page, &end(&format!("/sessions/{}/end", session.id), "x"), &[]).await?;
        assert!(refuses(&forged, 403));
    }
    assert!(is_signed_in(&mut phone).await? && is_signed_in(&mut tablet).await?);
    let done = here.send_form(&page, &end("/sessions/end-others", &token), &[]).await?;
    assert_eq!(done.answer.status, 303);
    assert!(is_signed_in(&mut here).await? && is_signed_in(&mut bob).await?);
    assert!(!is_signed_in(&mut phone).await? && !is_signed_in(&mut tablet).await?);
    assert_eq!(company.house.events("session.ended").await?.len(), 2);

    let own = app.store.sessions_of(&alice.id, app.clock.now()).await?[0].id.clone();
    here.send_form(&page, &end(&format!("/sessions/{own}/end"), &token), &[]).await?;
    assert!(!is_signed_in(&mut here).await?);
    company.house.stop().await
}

// spec: AS-148, OIDCBCL#2.5, OIDCBCL#2.8
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_ends_as_much_as_the_settings_say() -> Result<()> {
    let settings = json!({ "back_channel_logout": "session" });
    let Some(company) = Company::of("oidc", settings, "").await? else { return Ok(()) };
    let (app, provider) = (&company.house.app, company.provider());
    let (mut one, mut other) = (company.signed_in("alice").await?, company.signed_in("alice").await?);
    let client = Client::register(&company.house.authority, "Notes").await?;
    let tokens = client.redeem(&company.code(&mut one, &client, "sample", "alice").await?).await?;
    let elsewhere = client.redeem(&company.code(&mut other, &client, "sample", "alice").await?).await?;
    let alice = company.person("alice").await?.context("alice")?;
    let sids: Vec<String> = app
        .store
        .sessions_of(&alice.id, app.clock.now())
        .await?
        .into_iter()
        .filter_map(|session| session.sid)
        .collect();
    assert!(sids.len() == 2 && sids[0] != sids[1], "{sids:?}");

    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let claims = json!({ "aud": "portcullis", "sub": "company-alice", "sid": sids[0], "events": event });
    let token = provider.sign(json!({ "typ": "logout+jwt" }), claims).await?;
    let request = || company.house.request("POST", "/login/company/back-channel");
    for bad in [request().json(&json!({ "logout_token": token })), request().form(&[("token", &token)])] {
        let answer = bad.send().await?;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_request")));
    }
    let answer = request().form(&[("logout_token", token.as_str()), ("more", "x")]).send().await?;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let still = [is_signed_in(&mut one).await?, is_signed_in(&mut other).await?];
    assert_eq!(still.iter().filter(|signed_in| **signed_in).count(), 1, "one of the two");
    let mut alive = 0;
    for tokens in [&tokens, &elsewhere] {
        let call = company.house.call("sample", &tokens.access, "echo", json!({ "message": "x" }));
        alive += usize::from(call.send().await?.status == 200);
    }
    assert_eq!(alive, 1, "what was granted in the other goes on");
    let again = request().form(&[("logout_token", &token)]).send().await?;
    assert_eq!((again.status, again.json()["error"].as_str()), (400, Some("invalid_request")));
    assert_eq!(company.house.request("POST", "/login/nobody/back-channel").send().await?.status, 404);
    assert_eq!(company.house.request("GET", "/login/company/back-channel").send().await?.status, 405);
    company.house.stop().await?;

    let Some(company) = Company::of("oidc", json!({ "back_channel_logout": "off" }), "").await? else { return Ok(()) };
    let mut browser = company.signed_in("alice").await?;
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let claims = json!({ "aud": "portcullis", "sub": "company-alice", "events": event });
    let token = company.provider().sign(json!({ "typ": "logout+jwt" }), claims).await?;
    let request = company.house.request("POST", "/login/company/back-channel");
    assert_eq!(request.form(&[("logout_token", &token)]).send().await?.status, 404);
    assert!(is_signed_in(&mut browser).await?);
    company.house.stop().await
}

// spec: AS-147, T-16
#[tokio::test(flavor = "multi_thread")]
async fn people_find_their_own_provider_or_their_local_account() -> Result<()> {
    let makes = json!({ "company": { "kind": "oidc" }, "partner": { "kind": "keycloak" } });
    let Some(providers) = Providers::start(makes).await? else { return Ok(()) };
    let each = [
        ("company", json!({ "kind": "oidc", "name": "Example Corp" })),
        ("partner", json!({ "kind": "keycloak", "domains": ["partner.example"] })),
    ];
    let house = providers.gateway_with(json!({ "local_accounts": true }), &each, "").await?;
    house.person(ALICE, false, &[]).await?;
    let company = Company { providers, house };
    let mut browser = company.browser()?;
    let page = browser.open("/login?return_to=/").await?;
    let text = page.text();
    assert!(
        text.contains("Example Corp") && text.contains("/login/partner?") && text.contains("with=password"),
        "{text}"
    );
    let choose = form_to(&page, "/login/choose")?;
    let chosen = browser.send_form(&page, &choose, &[("email", "zoe@PARTNER.example")]).await?;
    assert_eq!(chosen.answer.status, 303);
    let sent = browser.step(chosen).await?.leads_to().context("the provider")?;
    assert!(sent.as_str().starts_with(company.partner().issuer()), "{sent}");
    assert_eq!(parameter(&sent, "login_hint").as_deref(), Some("zoe@PARTNER.example"));
    let nobody = browser.send_form(&page, &choose, &[("email", "zoe@nowhere.example")]).await?;
    assert_eq!((nobody.answer.status, nobody.leads_to()), (200, None));

    // Whoever agreed as a visitor goes on with a password as well.
    let client = Client::register(&company.house.authority, "Notes").await?;
    let page = browser.open(&client.authorize_target("sample")).await?;
    assert!(page.asks());
    let approved = browser.submit(&page, &[("decision", "approve")]).await?;
    let page = browser.follow(approved).await?;
    let link = page.text();
    let link = link.split("href=\"").find(|link| link.starts_with("/login?with=password")).context("a link")?;
    let page = browser.open(&link.split('"').next().unwrap_or_default().replace("&amp;", "&")).await?;
    let policy = page.answer.header("content-security-policy").context("a policy")?;
    assert!(policy.contains("form-action 'self' http://127.0.0.1:9"), "{policy}");
    let signed_in = browser.submit(&page, &[("name", ALICE.0), ("password", ALICE.1)]).await?;
    let end = browser.follow(signed_in).await?;
    code(&end)?;
    company.house.stop().await
}

// spec: AS-114
#[tokio::test(flavor = "multi_thread")]
async fn a_visitors_link_fetches_no_description_before_they_ask_for_it() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let mut browser = company.browser()?;
    let id = "https://app.example/client.json";
    let page = browser.open(&target(&company.house, id, WEB)).await?;
    assert!(page.answer.status == 200 && page.text().contains("app.example") && !page.asks(), "{}", page.text());
    let mut foreign = page.clone();
    foreign.url = url::Url::parse("https://evil.example/")?;
    let mut form = form_to(&page, "/oauth/authorize/look")?;
    form.action = page.url.join(&form.action)?.to_string();
    assert!(refuses(&browser.send_form(&foreign, &form, &[]).await?, 403));
    // Asked for, it is looked for: there is nothing at that host.
    let looked = browser.send_form(&page, &form, &[]).await?;
    assert!(refuses(&looked, 503) && looked.text().contains("client.document_unreachable"), "{}", looked.text());
    company.house.stop().await
}
