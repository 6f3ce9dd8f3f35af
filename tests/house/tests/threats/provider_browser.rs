//! The way to the provider and back belongs to one browser: begun in one and ended in another, twice, or with a planted
//! cookie, it comes to nothing.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_house::{
    person::Client,
    walk::{Page, Walker},
};
use serde_json::json;
use url::Url;

use crate::company::{Company, code, is_signed_in, refuses};

/// Approves a request in `browser`; gives the redirect to the provider, not followed.
async fn approved(browser: &mut Walker, client: &Client) -> Result<Page> {
    let page = browser.open(&client.authorize_target("sample")).await?;
    let page = browser.submit(&page, &[("decision", "approve")]).await?;
    browser.follow_until(page, |url| url.scheme() == "https").await
}

/// The address of the callback with everything the provider says in it, not opened.
async fn callback_of(browser: &mut Walker, page: Page, login: &str) -> Result<Url> {
    let page = browser.go_on_until(page, login, |url| url.path().ends_with("/callback")).await?;
    page.leads_to().with_context(|| format!("{}: {}", page.url, page.text()))
}

// spec: T-3, AS-137
#[tokio::test(flavor = "multi_thread")]
async fn t03_a_sign_in_carried_into_another_browser_is_burned() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let client = Client::register(&house.authority, "Notes").await?;
    let (mut attacker, mut victim) = (company.browser()?, company.browser()?);
    // The attacker agrees in his own browser and sends the victim, who has a session at the provider, the way on.
    let page = approved(&mut attacker, &client).await?;
    let to_provider = page.leads_to().context("a way to the provider")?;
    let arrived = victim.come("https://evil.example/", to_provider.as_str()).await?;
    let callback = callback_of(&mut victim, arrived, "alice").await?;
    provider.forget().await?;
    let end = victim.open(callback.as_str()).await?;
    assert!(refuses(&end, 403), "{} {:?} {}", end.answer.status, end.leads_to(), end.text());
    assert!(!is_signed_in(&mut victim).await?);
    assert_eq!(house.events("authz.browser_mismatch").await?.len(), 1);
    // The attacker cannot have it either: what was carried away is used up in his browser too.
    let end = attacker.open(callback.as_str()).await?;
    assert!(refuses(&end, 403), "{} {:?} {}", end.answer.status, end.leads_to(), end.text());
    assert!(!is_signed_in(&mut attacker).await?);
    assert_eq!((provider.seen("/token").await?, company.sign_ins().await?), (0, 0));
    assert_eq!(house.events("consent.granted").await?.len(), 0);

    // Who does it all in one browser gets there.
    let page = approved(&mut victim, &client).await?;
    let end = victim.go_on(page, "alice").await?;
    assert!(code(&end).is_ok(), "{} {}", end.url, end.text());
    assert_eq!((provider.seen("/token").await?, company.sign_ins().await?), (1, 1));
    company.house.stop().await
}

// spec: T-3, AS-136, AS-137
#[tokio::test(flavor = "multi_thread")]
async fn t03_a_callback_is_good_once_and_for_ten_minutes() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let client = Client::register(&house.authority, "Notes").await?;
    let mut browser = company.browser()?;
    let page = approved(&mut browser, &client).await?;
    let callback = callback_of(&mut browser, page, "alice").await?;
    let before = browser.clone();
    let end = browser.open(callback.as_str()).await?;
    let end = browser.follow(end).await?;
    assert!(code(&end).is_ok(), "{} {}", end.url, end.text());
    // Again, with the cookies of before and of after.
    for mut again in [browser, before] {
        let end = again.open(callback.as_str()).await?;
        assert!(refuses(&end, 403), "{} {:?}", end.answer.status, end.leads_to());
    }
    assert_eq!((provider.seen("/token").await?, company.sign_ins().await?), (1, 1));
    // Two at the same moment: one.
    let mut browser = company.browser()?;
    let page = approved(&mut browser, &client).await?;
    let callback = callback_of(&mut browser, page, "alice").await?;
    let mut twin = browser.clone();
    let (one, two) = tokio::try_join!(browser.open(callback.as_str()), twin.open(callback.as_str()))?;
    let onward = [&one, &two].iter().filter(|page| page.leads_to().is_some()).count();
    assert_eq!((onward, provider.seen("/token").await?), (1, 2), "{} {}", one.answer.status, two.answer.status);
    // Late.
    let mut browser = company.browser()?;
    let page = approved(&mut browser, &client).await?;
    let callback = callback_of(&mut browser, page, "alice").await?;
    company.advance(Duration::from_secs(601)).await?;
    let end = browser.open(callback.as_str()).await?;
    assert!(refuses(&end, 403), "{} {:?}", end.answer.status, end.leads_to());
    // A state that nobody gave out.
    for query in ["state=x&code=y", "code=y", "state=&code=y", "error=access_denied", ""] {
        let end = browser.open(&format!("/login/company/callback?{query}")).await?;
        assert!(refuses(&end, 403), "{query}: {} {:?}", end.answer.status, end.leads_to());
    }
    assert_eq!(provider.seen("/token").await?, 2);
    company.house.stop().await
}

// spec: T-4, AS-135
#[tokio::test(flavor = "multi_thread")]
async fn t04_two_cookies_of_one_name_are_none() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let client = Client::register(&house.authority, "Notes").await?;
    // The attacker's own sign-in, as far as the callback, with the cookies that belong to it.
    let mut attacker = company.browser()?;
    let page = approved(&mut attacker, &client).await?;
    let planted = callback_of(&mut attacker, page, "bob").await?;
    let cookies = attacker.cookies();
    let own = |part: &str| cookies.iter().find(|(name, _)| name.contains(part)).cloned().context("a cookie");
    let (login, consent) = (own("-login-")?, own("consent")?);
    for (name, value) in &cookies {
        assert!(name.starts_with("__Host-") && !value.is_empty(), "{name}");
    }
    provider.forget().await?;
    // Planted beside one of the same name, by somebody with a sibling host: neither is believed.
    let mut victim = company.browser()?;
    let page = approved(&mut victim, &client).await?;
    let callback = callback_of(&mut victim, page, "alice").await?;
    let name = victim.cookies().into_iter().find(|(name, _)| name.contains("-login-")).context("a cookie")?.0;
    let mut tossed = victim.clone();
    tossed.plant(&name, &login.1);
    let end = tossed.open(callback.as_str()).await?;
    assert!(refuses(&end, 400), "{} {:?} {}", end.answer.status, end.leads_to(), end.text());
    // Alone, but sealed for another state, or changed.
    for value in [login.1.clone(), format!("{}A", login.1), "x".into()] {
        let mut tossed = victim.clone();
        tossed.lose(|known| known == name);
        tossed.plant(&name, &value);
        let end = tossed.open(callback.as_str()).await?;
        assert!(refuses(&end, 403), "{} {:?}", end.answer.status, end.leads_to());
    }
    // The whole of the attacker's sign-in in another program of the victim's: its cookie is bound to his.
    let answer = victim
        .request("GET", &planted)
        .header("user-agent", "Mozilla/5.0 (another browser)")
        .header("cookie", &format!("{}={}; {}={}", login.0, login.1, consent.0, consent.1))
        .send()
        .await?;
    assert_eq!((answer.status, answer.header("location")), (403, None), "{}", answer.text());
    // The session's own cookie, twice.
    let mut alice = company.signed_in("alice").await?;
    alice.plant("__Host-portcullis", "x");
    let end = alice.open(&client.authorize_target("sample")).await?;
    assert!(refuses(&end, 400), "{} {:?}", end.answer.status, end.leads_to());
    assert_eq!(provider.seen("/token").await?, 1, "Alice's own sign-in only");

    // Honest, with one of each.
    let mut victim = company.browser()?;
    let page = approved(&mut victim, &client).await?;
    let end = victim.go_on(page, "alice").await?;
    assert!(code(&end).is_ok(), "{} {}", end.url, end.text());
    company.house.stop().await
}

// spec: T-7
#[tokio::test(flavor = "multi_thread")]
async fn t07_nobody_is_signed_in_as_somebody_else_by_a_foreign_answer() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let (house, provider) = (&company.house, company.provider());
    let mut attacker = company.browser()?;
    let start = attacker.open("/login/company?return_to=/").await?;
    let callback = callback_of(&mut attacker, start, "bob").await?;
    provider.forget().await?;
    // In a browser where nobody is signed in, and in one of somebody else.
    let mut stranger = company.browser()?;
    let mut alice = company.browser()?;
    alice.sign_in("company", "alice").await?;
    for victim in [&mut stranger, &mut alice] {
        let end = victim.come("https://evil.example/", callback.as_str()).await?;
        assert!(refuses(&end, 403), "{} {:?}", end.answer.status, end.leads_to());
    }
    assert!(!is_signed_in(&mut stranger).await?);
    assert!(alice.open("/").await?.text().contains("alice"));

    // The provider's answer to another request: its nonce is not this one's.
    for nonce in [json!("another"), json!(null), json!("")] {
        provider.fault(json!({ "claims": { "nonce": nonce } })).await?;
        let mut victim = company.browser()?;
        let page = victim.open("/login/company?return_to=/").await?;
        let end = victim.go_on(page, "alice").await?;
        assert!(refuses(&end, 403), "{nonce}: {} {:?}", end.answer.status, end.leads_to());
        assert!(!is_signed_in(&mut victim).await?);
    }
    provider.fault(json!({})).await?;
    assert_eq!(company.sign_ins().await?, 1);
    let mut honest = company.browser()?;
    honest.sign_in("company", "alice").await?;
    assert!(is_signed_in(&mut honest).await? && house.events("signin.failed").await?.len() >= 3);
    company.house.stop().await
}

// spec: T-7
#[tokio::test(flavor = "multi_thread")]
async fn t07_another_account_comes_in_only_if_the_person_says_so() -> Result<()> {
    let Some(company) = Company::start().await? else { return Ok(()) };
    let house = &company.house;
    let mut browser = company.signed_in("alice").await?;
    let session = |browser: &Walker| browser.cookies().into_iter().find(|(name, _)| name == "__Host-portcullis");
    let first = session(&browser);
    // Signing in again makes a new session of it.
    browser.sign_in("company", "alice").await?;
    let second = session(&browser);
    assert!(first.is_some() && second.is_some() && first != second);
    // The provider now knows Bob in this browser, and a link leads the browser there.
    browser.lose(|name| name.starts_with("company_"));
    for decision in ["stay", "switch"] {
        company.provider().knows(Some("bob")).await?;
        browser.lose(|name| name.starts_with("company_"));
        let page = browser.come("https://evil.example/", "/login/company?return_to=/").await?;
        let page = browser.follow(page).await?;
        let text = page.text();
        assert!(page.answer.status == 200 && text.contains("Which account?"), "{} {text}", page.answer.status);
        assert!(text.contains("alice") && text.contains("bob"), "{text}");
        assert!(browser.open("/").await?.text().contains("alice"));
        let chosen = browser.submit(&page, &[("decision", decision)]).await?;
        browser.follow(chosen).await?;
        let home = browser.open("/").await?.text();
        let expected = if decision == "stay" { "alice" } else { "bob" };
        assert!(home.contains(expected), "{decision}: {home}");
        // Its answer is used up.
        let again = browser.submit(&page, &[("decision", "switch")]).await?;
        assert!(refuses(&again, 403), "{} {:?}", again.answer.status, again.leads_to());
    }
    assert!(session(&browser) != second);
    assert_eq!(house.events("signin.succeeded").await?.len(), 3);
    company.house.stop().await
}
