//! Consent where people sign in at a provider that asks them nothing: the page comes before the provider, and what it was
//! answered counts for one client in one browser.

use anyhow::{Context, Result};
use portcullis_house::person::Client;
use serde_json::json;

use crate::{
    company::{Company, code, is_signed_in, refuses},
    visit::{self, WEB},
};

// spec: T-1, AS-130, AS-136
#[tokio::test(flavor = "multi_thread")]
async fn t01_the_first_page_is_ours_and_the_provider_has_not_heard_of_it() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let evil = "https://collect.evil.example/callback";
    let client = visit::public_client(house, "Notes", &[evil]).await?;
    // The victim has a session at the provider, which asks nothing and knows our only client identifier since long.
    let mut browser = company.signed_in("alice").await?;
    provider.knows(Some("alice")).await?;
    browser.lose(|name| name.starts_with("__Host-"));
    provider.forget().await?;

    let page = browser.open(&visit::target(house, &client, evil)).await?;
    assert!(page.asks(), "{} {}", page.answer.status, page.text());
    assert!(page.text().contains("collect.evil.example"), "{}", page.text());
    assert_eq!(provider.contacts().await?, 0);
    // Nothing that a callback could be believed by is in the browser before the person has agreed.
    assert!(browser.cookies().iter().all(|(name, _)| name == "__Host-portcullis-visit"), "{:?}", browser.cookies());
    // Refusing ends it there, still without the provider.
    let refused = browser.submit(&page, &[("decision", "deny")]).await?;
    let refused = browser.follow(refused).await?;
    assert!(!refused.leads_to().is_some_and(|url| url.as_str().contains("code=")), "{:?}", refused.leads_to());
    assert_eq!(provider.contacts().await?, 0);

    // A link that begins at the provider ends at the page too, also with a way back to the request.
    let request = visit::target(house, &client, evil);
    let way: String = url::form_urlencoded::byte_serialize(request.as_bytes()).collect();
    for link in [format!("/login/company?return_to={way}"), format!("/login?return_to={way}")] {
        let page = browser.come("https://evil.example/", &link).await?;
        let page = browser.follow(page).await?;
        assert!(page.leads_to().is_none(), "{link}: {:?}", page.leads_to());
        assert!(!page.text().contains("code="), "{link}: {}", page.text());
    }
    assert_eq!(house.events("consent.granted").await?.len(), 0);
    assert_eq!(house.events("token.issued").await?.len(), 0);

    // Whoever does agree gets there, without any other question.
    let mut browser = company.browser()?;
    let page = browser.open(&request).await?;
    let approved = browser.submit(&page, &[("decision", "approve")]).await?;
    let page = browser.follow(approved).await?;
    assert!(code(&page).is_ok(), "{:?}", page.leads_to());
    assert!(provider.seen("/token").await? >= 1);
    company.house.stop().await
}

// spec: T-2
#[tokio::test(flavor = "multi_thread")]
async fn t02_nobody_else_answers_the_page_of_a_visitor() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let client = visit::public_client(house, "Notes", &[WEB]).await?;
    let target = visit::target(house, &client, WEB);
    provider.knows(Some("alice")).await?;
    let mut victim = company.browser()?;
    let mut attacker = company.browser()?;
    let foreign = attacker.open(&target).await?.form()?;
    let token = |form: &portcullis_house::person::Form| {
        form.fields.iter().find(|(name, _)| name == "form_token").map(|(_, value)| value.clone()).context("form_token")
    };
    let foreign = token(&foreign)?;
    provider.forget().await?;
    for wrong in [None, Some(""), Some("x"), Some(foreign.as_str())] {
        let page = victim.open(&target).await?;
        let mut form = page.form()?;
        form.fields.retain(|(name, _)| name != "form_token");
        form.fields.extend(wrong.map(|value| ("form_token".to_owned(), value.to_owned())));
        let forged = victim.send_form(&page, &form, &[("decision", "approve")]).await?;
        assert!(refuses(&forged, 403), "{wrong:?}: {} {:?}", forged.answer.status, forged.leads_to());
    }
    // The attacker's own page, sent by the victim's browser; the victim's, sent from a page of the attacker.
    let own = attacker.open(&target).await?;
    let planted = victim.send_form(&own, &own.form()?, &[("decision", "approve")]).await?;
    assert!(refuses(&planted, 403), "{} {:?}", planted.answer.status, planted.leads_to());
    let page = victim.open(&target).await?;
    let mut elsewhere = page.clone();
    elsewhere.url = url::Url::parse("https://evil.example/")?;
    let mut form = page.form()?;
    form.action = page.url.join(&form.action)?.to_string();
    let crossed = victim.send_form(&elsewhere, &form, &[("decision", "approve")]).await?;
    assert!(refuses(&crossed, 403), "{} {:?}", crossed.answer.status, crossed.leads_to());
    assert_eq!((provider.contacts().await?, house.events("consent.granted").await?.len()), (0, 0));
    // What was tampered with is good for nothing any more, also with the right token and whoever signs in.
    let page = victim.open(&target).await?;
    let mut form = page.form()?;
    form.fields.retain(|(name, _)| name != "form_token");
    assert!(refuses(&victim.send_form(&page, &form, &[("decision", "approve")]).await?, 403));
    let honest = victim.submit(&page, &[("decision", "approve")]).await?;
    let honest = victim.go_on(honest, "alice").await?;
    assert!(refuses(&honest, 400), "{} {:?} {}", honest.answer.status, honest.leads_to(), honest.text());
    assert_eq!(house.events("consent.granted").await?.len(), 0);
    let mut victim = company.browser()?;

    // Two windows do not disturb each other, and each answer is good once.
    let (first, second) = (victim.open(&target).await?, victim.open(&target).await?);
    for page in [&first, &second] {
        let approved = victim.submit(page, &[("decision", "approve")]).await?;
        let end = victim.follow(approved).await?;
        assert!(code(&end).is_ok(), "{} {}", end.url, end.text());
    }
    let again = victim.submit(&first, &[("decision", "approve")]).await?;
    let again = victim.follow(again).await?;
    assert!(code(&again).is_err() && again.answer.status >= 400, "{} {:?}", again.answer.status, again.leads_to());
    company.house.stop().await
}

// spec: T-5, AS-140
#[tokio::test(flavor = "multi_thread")]
async fn t05_a_session_at_the_provider_does_not_make_a_strangers_link_silent() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let house = &company.house;
    let client = visit::public_client(house, "Notes", &[WEB]).await?;
    let target = visit::target(house, &client, WEB);
    company.provider().knows(Some("alice")).await?;
    let mut browser = company.browser()?;
    let page = browser.open(&target).await?;
    let approved = browser.submit(&page, &[("remember", "yes"), ("decision", "approve")]).await?;
    let end = browser.follow(approved).await?;
    assert!(code(&end).is_ok(), "{} {}", end.url, end.text());

    // Remembered: silent for somebody who comes by themselves, and for nobody else.
    let mine = browser.open(&target).await?;
    assert!(code(&mine).is_ok(), "{} {}", mine.answer.status, mine.text());
    let strangers = browser.come("https://evil.example/", &target).await?;
    assert!(strangers.asks(), "{} {:?}", strangers.answer.status, strangers.leads_to());
    // Without our session there is a page before the provider and, for what is not the person's own doing, no silent one after.
    browser.lose(|name| name.starts_with("__Host-"));
    let page = browser.come("https://evil.example/", &target).await?;
    assert!(page.asks(), "{} {:?}", page.answer.status, page.leads_to());
    let way: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
    let page = browser.come("https://evil.example/", &format!("/login/company?return_to={way}")).await?;
    let page = browser.follow(page).await?;
    assert!(page.asks(), "{} {:?} {}", page.answer.status, page.leads_to(), page.text());
    company.house.stop().await
}

// spec: T-6, AS-135
#[tokio::test(flavor = "multi_thread")]
async fn t06_the_answer_given_before_the_sign_in_is_for_one_client_and_one_request() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let house = &company.house;
    let known = visit::public_client(house, "Notes", &[WEB]).await?;
    let twin = visit::public_client(house, "Notes", &[WEB]).await?;
    let mut browser = company.browser()?;
    let page = browser.open(&visit::target(house, &known, WEB)).await?;
    let approved = browser.submit(&page, &[("decision", "approve")]).await?;
    // Agreed, not yet signed in: the cookie that says so is in the browser, and is worth nothing to another client.
    assert!(browser.cookies().iter().any(|(name, _)| name.contains("consent")), "{:?}", browser.cookies());
    let other = browser.open(&visit::target(house, &twin, WEB)).await?;
    assert!(other.asks(), "{} {:?}", other.answer.status, other.leads_to());
    let end = browser.go_on(approved, "alice").await?;
    assert!(code(&end).is_ok(), "{} {}", end.url, end.text());
    let issued = house.events("consent.granted").await?;
    assert!(issued.len() == 1 && issued[0].to_string().contains(&known), "{issued:?}");
    let other = browser.open(&visit::target(house, &twin, WEB)).await?;
    assert!(other.asks(), "{} {:?}", other.answer.status, other.leads_to());
    company.house.stop().await
}

// spec: T-6, AS-131
#[tokio::test(flavor = "multi_thread")]
async fn t06_what_one_person_was_shown_is_no_answer_of_another() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let house = &company.house;
    let client = Client::register(&house.authority, "Notes").await?;
    // Shown to Alice, whose session ends before she answers; Bob signs in in her browser.
    let mut browser = company.signed_in("alice").await?;
    let page = browser.open(&client.authorize_target("sample")).await?;
    assert!(page.asks());
    browser.lose(|name| name == "__Host-portcullis");
    let answered = browser.submit(&page, &[("decision", "approve")]).await?;
    let end = browser.follow_until(answered, |url| url.path().starts_with("/login/")).await?;
    assert!(code(&end).is_err(), "{:?}", end.leads_to());
    let mut bob = company.signed_in("bob").await?;
    let answered = bob.send_form(&page, &page.form()?, &[("decision", "approve")]).await?;
    assert!(refuses(&answered, 403), "{} {:?}", answered.answer.status, answered.leads_to());
    assert_eq!(house.events("consent.granted").await?.len(), 0);
    // Asked himself, he can.
    let page = bob.open(&client.authorize_target("sample")).await?;
    let end = bob.go_on(page, "bob").await?;
    assert!(code(&end).is_ok(), "{} {}", end.url, end.text());
    assert!(is_signed_in(&mut bob).await?);
    company.house.stop().await
}

// spec: T-8, T-9
#[tokio::test(flavor = "multi_thread")]
async fn t08_a_code_after_a_sign_in_at_the_provider_is_as_bound_as_any() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let house = &company.house;
    let client = Client::register(&house.authority, "Notes").await?;
    let thief = Client::register(&house.authority, "Thief").await?;
    let mut browser = company.browser()?;
    let stolen = company.code(&mut browser, &client, "sample", "alice").await?;
    let foreign = portcullis_house::person::foreign_verifier();
    let elsewhere = format!("http://{}/mcp/elsewhere", house.authority);
    let other = |name: &'static str, value: &str| {
        let mut form: Vec<(String, String)> =
            client.redemption(&stolen).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        form.retain(|(known, _)| known != name);
        form.push((name.to_owned(), value.to_owned()));
        form
    };
    for (name, value) in [
        ("client_id", thief.id.as_str()),
        ("redirect_uri", "http://127.0.0.1:10/callback"),
        ("code_verifier", &foreign),
        ("resource", &elsewhere),
    ] {
        let form = other(name, value);
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = thief.token(&form).await?;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
    }
    // The provider's own code is none of ours.
    let provider = company.provider();
    let page = browser.open("/login/company?return_to=/").await?;
    let page = browser.go_on_until(page, "alice", |url| url.path().ends_with("/callback")).await?;
    let theirs = code(&page)?;
    let answer = client.token(&client.redemption(&theirs)).await?;
    assert_eq!(answer.status, 400, "{}", answer.text());
    provider.forget().await?;

    // The honest client gets its tokens, once; again, and they end.
    let code = company.code(&mut browser, &client, "sample", "alice").await?;
    let tokens = client.redeem(&code).await?;
    let call = |token: &str| house.call("sample", token, "echo", json!({ "message": "hello" }));
    assert_eq!(call(&tokens.access).send().await?.status, 200);
    let replay = client.token(&client.redemption(&code)).await?;
    assert_eq!((replay.status, replay.json()["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(call(&tokens.access).send().await?.status, 401);
    company.house.stop().await
}

// spec: T-9
#[tokio::test(flavor = "multi_thread")]
async fn t09_fifty_redemptions_after_a_sign_in_at_the_provider_give_one_token() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let client = Client::register(&company.house.authority, "Notes").await?;
    let code = company.code(&mut company.browser()?, &client, "sample", "alice").await?;
    let form = client.redemption(&code);
    let answers = futures_util::future::join_all((0..50).map(|_| client.token(&form))).await;
    let good = answers.into_iter().filter(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200)).count();
    assert_eq!(good, 1);
    company.house.stop().await
}
