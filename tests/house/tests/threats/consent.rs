//! The consent page: who may answer it, what an answer is good for, and what a person is told before giving one.

use anyhow::{Context, Result};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    person::{Browser, Form, REDIRECT, parameter},
};

use crate::{
    html,
    visit::{
        WEB, approve_and_remember, asks, changed, consent_form, leaves_for, public_client, register, signed_in, target,
    },
};

/// The same form with another value in one field, or with `None` without it.
fn with(form: &Form, field: &str, value: Option<&str>) -> Form {
    let mut form = form.clone();
    form.fields.retain(|(name, _)| name != field);
    form.fields.extend(value.map(|value| (field.to_owned(), value.to_owned())));
    form
}

// spec: T-2
#[tokio::test(flavor = "multi_thread")]
async fn t02_an_answer_without_the_token_of_its_session_is_refused_and_burns_the_page() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = public_client(&house, "Notes", &[WEB]).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let mut bob = signed_in(&house, BOB).await?;
    let of_bob = consent_form(&bob.get(&target(&house, &client, WEB)).await?)?;
    let foreign = of_bob.fields.iter().find(|(name, _)| name == "form_token").context("form_token")?.1.clone();

    for token in [None, Some(""), Some("x"), Some(foreign.as_str())] {
        let page = consent_form(&alice.get(&target(&house, &client, WEB)).await?)?;
        let forged = alice.submit(&with(&page, "form_token", token), &[("decision", "approve")]).await?;
        assert_eq!(forged.status, 403, "{token:?}");
        assert_eq!(forged.header("location"), None);
        assert!(forged.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
        // What was tampered with is good for nothing any more, even with the right token.
        let honest = alice.submit(&page, &[("decision", "approve")]).await?;
        assert_eq!((honest.status, honest.header("location")), (400, None), "{token:?}");
    }
    assert_eq!(house.events("consent.granted").await?.len(), 0);

    let page = consent_form(&alice.get(&target(&house, &client, WEB)).await?)?;
    let honest = alice.submit(&page, &[("decision", "approve")]).await?;
    assert!(leaves_for(&honest).and_then(|url| parameter(&url, "code")).is_some(), "{}", honest.text());
    house.stop().await
}

// spec: T-2
#[tokio::test(flavor = "multi_thread")]
async fn t02_a_hostile_page_cannot_answer_in_somebody_elses_browser() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = public_client(&house, "Notes", &[WEB]).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let mut mallory = signed_in(&house, BOB).await?;
    let ours = format!("http://{}", house.authority);

    // A form of the attacker's own session, sent by the browser of the victim.
    let planted = consent_form(&mallory.get(&target(&house, &client, WEB)).await?)?;
    let answer = alice.submit(&planted, &[("decision", "approve")]).await?;
    assert_eq!((answer.status, answer.header("location")), (403, None));
    // The same page with the token of the victim's session, and the victim's own page from another sitting.
    let own = consent_form(&alice.get(&target(&house, &client, WEB)).await?)?;
    let token = own.fields.iter().find(|(name, _)| name == "form_token").context("form_token")?.1.clone();
    let planted = consent_form(&mallory.get(&target(&house, &client, WEB)).await?)?;
    let elsewhere = consent_form(&signed_in(&house, ALICE).await?.get(&target(&house, &client, WEB)).await?)?;
    for page in [planted, elsewhere] {
        let answer = alice.submit(&with(&page, "form_token", Some(&token)), &[("decision", "approve")]).await?;
        assert_eq!((answer.status, answer.header("location")), (403, None));
    }

    // The victim's own form, however it was learnt, sent from a page of somebody else.
    let arrivals: [&[(&str, &str)]; 8] = [
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", &ours), ("sec-fetch-site", "cross-site")],
        &[("origin", &ours), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "none")],
        &[],
    ];
    for headers in arrivals {
        let form = consent_form(&alice.get(&target(&house, &client, WEB)).await?)?;
        let mut fields: Vec<_> = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.push(("decision", "approve"));
        let request = headers.iter().fold(alice.request("POST", &form.action), |request, (n, v)| request.header(n, v));
        let answer = request.form(&fields).send().await?;
        assert_eq!((answer.status, answer.header("location")), (403, None), "{headers:?}");
    }
    // Nor somebody whose browser is not signed in at all.
    let form = consent_form(&alice.get(&target(&house, &client, WEB)).await?)?;
    let answer = Browser::new(&house.authority).submit(&form, &[("decision", "approve")]).await?;
    assert_eq!((answer.status, answer.header("location")), (403, None));
    assert_eq!(house.events("consent.granted").await?.len(), 0);
    house.stop().await
}

// spec: T-2
#[tokio::test(flavor = "multi_thread")]
async fn t02_opening_the_page_twice_disturbs_nothing_and_each_is_answered_once() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = public_client(&house, "Notes", &[WEB]).await?;
    let alice = signed_in(&house, ALICE).await?;
    let link = target(&house, &client, WEB);
    let (mut one, mut two) = (alice.clone(), alice.clone());
    let (first, second) = tokio::try_join!(one.get(&link), two.get(&link))?;
    let (first, second) = (consent_form(&first)?, consent_form(&second)?);
    for (form, browser) in [(&first, &mut one), (&second, &mut two)] {
        let answer = browser.submit(form, &[("decision", "approve")]).await?;
        assert!(leaves_for(&answer).and_then(|url| parameter(&url, "code")).is_some(), "{}", answer.text());
    }
    // A second answer, also at the same time from both windows, gives nothing.
    let third = consent_form(&one.get(&link).await?)?;
    let (a, b) = tokio::try_join!(
        one.submit(&third, &[("decision", "approve")]),
        two.submit(&third, &[("decision", "approve")])
    )?;
    let codes = [&a, &b].iter().filter(|answer| leaves_for(answer).is_some()).count();
    assert_eq!(codes, 1, "{} {}", a.status, b.status);
    let again = one.submit(&first, &[("decision", "approve")]).await?;
    assert_eq!((again.status, again.header("location")), (400, None));
    // A page that stood open for more than ten minutes is no answer to anything.
    let stale = consent_form(&one.get(&link).await?)?;
    house.advance(std::time::Duration::from_secs(601)).await?;
    let late = one.submit(&stale, &[("decision", "approve")]).await?;
    assert_eq!((late.status, late.header("location")), (400, None));
    house.stop().await
}

// spec: T-5
#[tokio::test(flavor = "multi_thread")]
async fn t05_a_remembered_consent_answers_only_who_came_by_themselves() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = public_client(&house, "Notes", &[WEB]).await?;
    let link = target(&house, &client, WEB);
    let mut alice = signed_in(&house, ALICE).await?;
    let bob = signed_in(&house, BOB).await?;
    assert!(leaves_for(&approve_and_remember(&mut alice, &link).await?).is_some());

    for (site, silent) in [
        (None, false),
        (Some("none"), true),
        (Some("same-origin"), true),
        (Some("same-site"), false),
        (Some("cross-site"), false),
    ] {
        let visit = |browser: &Browser| {
            let request = browser.request("GET", &link);
            site.map_or(request.clone(), |site| request.header("sec-fetch-site", site))
        };
        let known = visit(&alice).send().await?;
        let code = leaves_for(&known).and_then(|url| parameter(&url, "code"));
        assert_eq!((code.is_some(), asks(&known)), (silent, !silent), "known, {site:?}: {}", known.status);
        let new = visit(&bob).send().await?;
        assert!(asks(&new), "new, {site:?}: {}", new.status);
    }
    house.stop().await
}

// spec: T-5
#[tokio::test(flavor = "multi_thread")]
async fn t05_sign_in_on_the_way_does_not_make_a_strangers_link_ones_own() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = public_client(&house, "Notes", &[WEB]).await?;
    let link = target(&house, &client, WEB);
    let mut alice = signed_in(&house, ALICE).await?;
    assert!(leaves_for(&approve_and_remember(&mut alice, &link).await?).is_some());

    let mut later = Browser::new(&house.authority);
    let first = later.get(&link).await?;
    let page = later.settle(first).await?;
    let form = portcullis_house::person::form(&page.text()).context("sign-in form")?;
    let answer = later.submit(&form, &[("name", ALICE.0), ("password", ALICE.1)]).await?;
    let after = later.settle(answer).await?;
    assert!(asks(&after), "{} {}", after.status, after.text());
    house.stop().await
}

// spec: T-5
#[tokio::test(flavor = "multi_thread")]
async fn t05_whatever_differs_from_the_remembered_request_is_asked_again() -> Result<()> {
    let house = TestGateway::start().await?;
    house.protect("other", "127.0.0.1:9".parse()?).await?;
    let elsewhere = "https://app.example/elsewhere";
    let client = public_client(&house, "Notes", &[WEB, elsewhere, REDIRECT]).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    assert!(leaves_for(&approve_and_remember(&mut alice, &target(&house, &client, WEB)).await?).is_some());

    let other = format!("http://{}/mcp/other", house.authority);
    for changes in [
        ("resource", Some(other.as_str())),
        ("redirect_uri", Some(elsewhere)),
        ("scope", Some("mcp:read")),
        ("scope", Some("mcp:read mcp:call offline_access")),
        ("prompt", Some("consent")),
    ] {
        let page = alice.get(&changed(&house, &client, WEB, &[changes])).await?;
        assert!(asks(&page), "{changes:?}: {} {}", page.status, page.text());
    }
    // The page says which server it is about.
    let page = alice.get(&changed(&house, &client, WEB, &[("resource", Some(&other))])).await?;
    assert!(html::text(&page.text()).contains(&other));
    // The one that was remembered still needs no page.
    let known = alice.get(&target(&house, &client, WEB)).await?;
    assert!(leaves_for(&known).is_some(), "{}", known.status);

    // For an address on this computer nothing is remembered, whatever the form says.
    let local = target(&house, &client, REDIRECT);
    assert!(!alice.get(&local).await?.text().contains("name=\"remember\""));
    assert!(leaves_for(&approve_and_remember(&mut alice, &local).await?).is_some());
    assert!(asks(&alice.get(&local).await?));
    house.stop().await
}

// spec: T-6
#[tokio::test(flavor = "multi_thread")]
async fn t06_consent_for_one_client_is_none_for_another() -> Result<()> {
    let house = TestGateway::start().await?;
    let known = public_client(&house, "Notes", &[WEB]).await?;
    let twin = public_client(&house, "Notes", &[WEB]).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    assert!(leaves_for(&approve_and_remember(&mut alice, &target(&house, &known, WEB)).await?).is_some());
    let silent = alice.get(&target(&house, &known, WEB)).await?;
    assert!(leaves_for(&silent).is_some(), "{}", silent.status);

    let page = alice.get(&target(&house, &twin, WEB)).await?;
    assert!(asks(&page), "{}", page.status);
    // Nor is there a cookie that says it: only the session's, which says nothing without the store.
    assert_eq!(alice.cookie_header().matches('=').count(), 1, "{}", alice.cookie_header());
    let planted = house
        .request("GET", &target(&house, &known, WEB))
        .header("cookie", &format!("consent={known}; __Host-consent={known}; approved_clients={known},{twin}"))
        .header("sec-fetch-site", "none")
        .send()
        .await?;
    assert!(planted.header("location").is_some_and(|to| to.starts_with("/login")), "{}", planted.status);
    // And somebody else in the same browser is asked.
    let mut bob = signed_in(&house, BOB).await?;
    assert!(asks(&bob.get(&target(&house, &known, WEB)).await?));
    house.stop().await
}

// spec: T-12
#[tokio::test(flavor = "multi_thread")]
async fn t12_an_address_on_this_computer_comes_with_a_warning_host_and_port() -> Result<()> {
    let house = TestGateway::start().await?;
    let uris = ["http://127.0.0.1/cb", "http://localhost/cb", "http://[::1]/cb"];
    let local = public_client(&house, "Notes", &uris).await?;
    let web = public_client(&house, "Notes", &[WEB]).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    for host in ["127.0.0.1:53121", "localhost:53121", "[::1]:53121"] {
        let page = alice.get(&target(&house, &local, &format!("http://{host}/cb"))).await?;
        assert!(asks(&page), "{host}: {}", page.status);
        let text = html::text(&page.text());
        assert!(text.contains("on this computer") && text.contains("can claim to be Notes"), "{host}: {text}");
        assert!(text.contains(host), "{host}: {text}");
        // Never silent, and without proof of possession a listener on that port has nothing of the code.
        assert!(!page.text().contains("name=\"remember\""));
    }
    let page = alice.get(&target(&house, &web, WEB)).await?;
    assert!(asks(&page) && !html::text(&page.text()).contains("on this computer"));

    // A name is no number: `localhost` may lead elsewhere than `127.0.0.1`, so one does not stand for the other.
    let only = public_client(&house, "Notes", &["http://127.0.0.1/cb"]).await?;
    let page = alice.get(&target(&house, &only, "http://localhost:53121/cb")).await?;
    assert_eq!((page.status, page.header("location")), (400, None));
    house.stop().await
}

// spec: T-21
#[tokio::test(flavor = "multi_thread")]
async fn t21_a_borrowed_name_is_unverified_and_warned_of() -> Result<()> {
    let house = TestGateway::with(
        "clients: { registration_limits: { per_minute: 1000 }, configured: [{ id: nightly, name: Claude nightly, \
         redirect_uris: [\"https://report.example/cb\"] }] }",
    )
    .await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let evil = "https://collect.evil.example/cb";
    for name in [
        "Claude",
        "Сlaude",
        "C l a u d e",
        "ＣＬＡＵＤＥ",
        "Cla\u{200b}ude",
        "Ꮯlaude",
        "ChatGPT",
        "Сursor",
        "Micr0soft",
    ] {
        let mut metadata = crate::visit::public(name, &[evil]);
        metadata["logo_uri"] = "https://claude.ai/logo.png".into();
        let id = register(&house, &metadata).await?["client_id"].as_str().context("client_id")?.to_owned();
        let page = alice.get(&target(&house, &id, evil)).await?;
        assert!(asks(&page), "{name}: {}", page.status);
        let text = html::text(&page.text());
        assert!(text.contains("This name looks like"), "{name}: {text}");
        assert!(text.contains("Unverified") && !text.contains("Known"), "{name}: {text}");
        let host = html::elements(&page.text()).iter().any(|element| element.attribute("class") == Some("host"));
        assert!(host && text.contains("collect.evil.example"), "{name}: {text}");
        html::assert_harmless(&page.text(), None);
    }
    // A name of its own is unverified too, but borrows nothing.
    let plain = public_client(&house, "Our notes", &[WEB]).await?;
    let text = html::text(&alice.get(&target(&house, &plain, WEB)).await?.text());
    assert!(text.contains("Unverified") && !text.contains("This name looks like"), "{text}");
    // What the administrator entered is known, and nothing else is.
    let text = html::text(&alice.get(&target(&house, "nightly", "https://report.example/cb")).await?.text());
    assert!(text.contains("Known") && !text.contains("Unverified"), "{text}");
    house.stop().await
}
