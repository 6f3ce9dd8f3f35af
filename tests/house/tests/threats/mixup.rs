//! Two providers at one gateway: what one of them says is never taken for the other's word.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_house::{
    provider::Providers,
    walk::{Page, Walker},
};
use serde_json::{Value, json};
use url::Url;

use crate::company::{Company, is_signed_in, refuses};

/// A sign-in as far as the answer of the provider; gives that answer, not opened.
async fn answer_of(browser: &mut Walker, provider: &str) -> Result<Url> {
    let page = browser.open(&format!("/login/{provider}?return_to=/")).await?;
    let page = browser.go_on_until(page, "alice", |url| url.path().ends_with("/callback")).await?;
    page.leads_to().with_context(|| format!("{}: {}", page.url, page.text()))
}

async fn token_requests(company: &Company) -> Result<u64> {
    Ok(company.provider().seen("/token").await? + company.partner().seen("/token").await?)
}

// spec: T-17, AS-142, RFC9207#2.4
#[tokio::test(flavor = "multi_thread")]
async fn t17_an_answer_under_another_name_is_not_redeemed_anywhere() -> Result<()> {
    let Some(company) = Company::and_partner().await? else { return Ok(()) };
    let partner = company.partner().issuer().to_owned();
    let own = company.provider().issuer().to_owned();
    // Swapped, nearly the same, empty, and missing although the provider says that it always says so.
    let wrong: [Value; 6] = [
        json!(partner),
        json!(format!("{own}/")),
        json!(own.to_uppercase()),
        json!(""),
        json!("https://evil.example"),
        json!(null),
    ];
    for issuer in &wrong {
        company.provider().fault(json!({ "redirect": { "iss": issuer } })).await?;
        let mut browser = company.browser()?;
        let answer = answer_of(&mut browser, "company").await?;
        let end = browser.open(answer.as_str()).await?;
        assert!(is_refused(&end), "{issuer}: {} {:?} {}", end.answer.status, end.leads_to(), end.text());
        assert!(!is_signed_in(&mut browser).await?, "{issuer}");
    }
    // Twice is not once.
    company.provider().fault(json!({})).await?;
    let mut browser = company.browser()?;
    let answer = answer_of(&mut browser, "company").await?;
    let end = browser.open(&format!("{answer}&iss={partner}")).await?;
    assert!(is_refused(&end), "{} {:?}", end.answer.status, end.leads_to());
    assert_eq!((token_requests(&company).await?, company.sign_ins().await?), (0, 0));

    for id in ["company", "partner"] {
        let mut browser = company.browser()?;
        browser.sign_in(id, "alice").await?;
        assert!(is_signed_in(&mut browser).await?, "{id}");
    }
    assert_eq!((token_requests(&company).await?, company.sign_ins().await?), (2, 2));
    company.house.stop().await
}

// spec: T-17, AS-147
#[tokio::test(flavor = "multi_thread")]
async fn t17_the_answer_of_one_provider_is_none_at_the_others_address() -> Result<()> {
    let Some(company) = Company::and_partner().await? else { return Ok(()) };
    let moved = |answer: &Url, to: &str| {
        let mut answer = answer.clone();
        answer.set_path(&format!("/login/{to}/callback"));
        answer
    };
    for (at, elsewhere) in [("company", "partner"), ("partner", "company")] {
        let mut browser = company.browser()?;
        let answer = answer_of(&mut browser, at).await?;
        let end = browser.open(moved(&answer, elsewhere).as_str()).await?;
        assert!(is_refused(&end), "{at}: {} {:?}", end.answer.status, end.leads_to());
        // A sign-in that is under way there does not help it.
        let mut browser = company.browser()?;
        let answer = answer_of(&mut browser, at).await?;
        let other = answer_of(&mut browser, elsewhere).await?;
        let state =
            |url: &Url| url.query_pairs().find(|(name, _)| name == "state").map(|(_, state)| state.into_owned());
        let mut mixed = moved(&answer, elsewhere);
        let pairs: Vec<(String, String)> = answer
            .query_pairs()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .map(
                |(name, value)| if name == "state" { (name, state(&other).unwrap_or_default()) } else { (name, value) },
            )
            .collect();
        mixed.query_pairs_mut().clear().extend_pairs(pairs);
        let end = browser.open(mixed.as_str()).await?;
        assert!(is_refused(&end), "{at}: {} {:?}", end.answer.status, end.leads_to());
        // The honest answer beside it still works.
        let end = browser.open(answer.as_str()).await?;
        browser.follow(end).await?;
        assert!(is_signed_in(&mut browser).await?, "{at}");
    }
    assert_eq!((token_requests(&company).await?, company.sign_ins().await?), (2, 2));
    company.house.stop().await
}

// spec: T-17, AS-142
#[tokio::test(flavor = "multi_thread")]
async fn t17_a_document_that_speaks_for_another_issuer_is_not_believed() -> Result<()> {
    let makes = json!({ "company": {}, "partner": { "kind": "keycloak" } });
    let Some(providers) = Providers::start(makes).await? else { return Ok(()) };
    let issuers = ["company", "partner"].map(|id| providers.get(id).issuer().to_owned());
    let [own, partner] = issuers;
    // Before anything honest was heard of it.
    providers.get("company").fault(json!({ "discovery": { "issuer": partner } })).await?;
    let company = Company::with(providers, "oidc", json!({}), "").await?;
    for issuer in [partner.as_str(), &format!("{own}/"), "https://evil.example"] {
        company.provider().fault(json!({ "discovery": { "issuer": issuer } })).await?;
        company.advance(Duration::from_mins(2)).await?;
        let mut browser = company.browser()?;
        let page = browser.open("/login/company?return_to=/").await?;
        let refused = page.leads_to().is_none() && page.answer.status >= 500;
        assert!(refused, "{issuer}: {} {:?}", page.answer.status, page.leads_to());
    }
    // What the administrator has to know is in the record: what was expected, and what came.
    let failed = company.house.events("signin.failed").await?;
    let told = failed.iter().any(|event| event.to_string().contains(&own) && event.to_string().contains(&partner));
    assert!(told, "{failed:?}");
    // When it is set right, people get in.
    company.provider().fault(json!({})).await?;
    company.advance(Duration::from_mins(2)).await?;
    let mut browser = company.browser()?;
    browser.sign_in("company", "alice").await?;
    assert!(is_signed_in(&mut browser).await?);
    company.house.stop().await
}

fn is_refused(page: &Page) -> bool {
    refuses(page, 403) || refuses(page, 400) || refuses(page, 502)
}
