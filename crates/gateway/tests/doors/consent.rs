//! The consent page: what it says, who may answer it, how often, and when it is not shown.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::house::{Answer, Browser, CALLBACK, House, ISSUER, SAMPLE, WEB_CALLBACK, authorize};

async fn page(browser: &Browser<'_>, client: &str, redirect_uri: &str) -> Answer {
    let answer = browser.get(&authorize(client, redirect_uri, &[("scope", "mcp:read mcp:call offline_access")])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer
}

// spec: AS-133, AS-139, AS-125, AS-138, T-12
#[tokio::test]
async fn the_page_says_who_asks_for_what_and_where_the_answer_goes() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&["http://127.0.0.1/callback"]).await;
    let page = page(&house.signed_in("ada").await, &client, "http://127.0.0.1:51004/callback").await;
    for needed in [
        "Test client",
        "Unverified",
        "<p class=\"host\">127.0.0.1:51004</p>",
        "http://127.0.0.1:51004/callback",
        SAMPLE,
        "mcp:read",
        "mcp:call",
        "offline_access",
        "Stay signed in",
        "The answer goes to a program on this computer.",
        "Any program here can claim to be Test client",
        &client,
    ] {
        assert!(page.text.contains(needed), "{needed}: {}", page.text);
    }
    assert!(!page.text.contains("name=\"remember\""), "never offered for loopback");
}

// spec: AS-138, T-21
#[tokio::test]
async fn borrowed_names_and_new_hosts_are_pointed_out() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let body = json!({ "client_name": "Сlaude", "redirect_uris": ["https://evil.example/cb"],
        "token_endpoint_auth_method": "none" });
    let client = house.register(body).await["client_id"].as_str().unwrap().to_owned();
    let shown = page(&browser, &client, "https://evil.example/cb").await;
    assert!(shown.text.contains("This name looks like Claude"), "{}", shown.text);
    assert!(shown.text.contains("This is the first time that anyone here allows evil.example"), "{}", shown.text);
    browser.approve(&shown).await;
    let again = page(&browser, &client, "https://evil.example/cb").await;
    assert!(!again.text.contains("This is the first time"), "{}", again.text);
}

// spec: T-19, T-93, SEC-34
#[tokio::test]
async fn what_a_client_says_of_itself_is_shown_and_never_run() {
    let house = House::new().await;
    house.person("ada").await;
    let name = "\u{202e}<img src=x onerror=alert(1)>\"'><script>alert(1)</script>{{7*7}}";
    let body = json!({ "client_name": name, "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none" });
    let client = house.register(body).await["client_id"].as_str().unwrap().to_owned();
    let page = page(&house.signed_in("ada").await, &client, CALLBACK).await;
    assert!(!page.text.contains("<script>") && !page.text.contains("<img"), "{}", page.text);
    assert!(!page.text.contains('\u{202e}'));
    assert!(page.text.contains("&lt;img src=x"), "{}", page.text);
}

// spec: T-16, AS-134
#[tokio::test]
async fn every_html_answer_forbids_frames_and_scripts_of_others() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[WEB_CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let consent = browser.get(&authorize(&client, WEB_CALLBACK, &[])).await;
    let policy = consent.header("content-security-policy");
    assert!(policy.contains("; form-action 'self' https://app.example https: "), "{policy}");
    for answer in [
        consent,
        house.get("/login").await,
        house.get("/logout").await,
        browser.get("/").await,
        browser.get("/logout").await,
        house.get("/nowhere").await,
        house.get("/oauth/authorize").await,
        house.get("/welcome/nothing").await,
        house.browser().post_from(&[], "/login", &[]).await,
        browser.post_from(&[], "/oauth/authorize", &[]).await,
    ] {
        let policy = answer.header("content-security-policy");
        for needed in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(needed), "{needed}: {policy} {}", answer.text);
        }
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert!(answer.header("content-type").starts_with("text/html"));
        assert!(!answer.text.contains(" style=") && !answer.text.contains(" onclick"), "nothing inline");
    }
}

// spec: T-2
#[tokio::test]
async fn a_form_of_another_page_is_refused_and_spends_the_transaction() {
    let house = House::new().await;
    house.person("ada").await;
    house.person("eve").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let strange: &[&[(&str, &str)]] = &[
        &[],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "null")],
        &[("origin", ISSUER), ("sec-fetch-site", "cross-site")],
        &[("origin", "http://127.0.0.1:9999"), ("sec-fetch-site", "same-site")],
    ];
    for headers in strange {
        let shown = page(&browser, &client, CALLBACK).await;
        let (transaction, token) = (shown.field("transaction"), shown.field("form_token"));
        let form = [("transaction", &*transaction), ("form_token", &*token), ("decision", "approve")];
        let answer = browser.post_from(headers, "/oauth/authorize", &form).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::FORBIDDEN, ""), "{headers:?}");
        let answer = browser.post("/oauth/authorize", &form).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, ""), "{headers:?}");
    }
    // Right origin, wrong or missing token.
    for token in ["", "x", &house.signed_in("eve").await.get("/").await.field("form_token")] {
        let shown = page(&browser, &client, CALLBACK).await;
        let transaction = shown.field("transaction");
        let form = [("transaction", &*transaction), ("form_token", token), ("decision", "approve")];
        assert_eq!(browser.post("/oauth/authorize", &form).await.status, StatusCode::FORBIDDEN);
        assert_eq!(browser.approve(&shown).await.status, StatusCode::BAD_REQUEST, "spent");
    }
}

// spec: T-2, AS-131
#[tokio::test]
async fn a_page_is_answered_by_the_session_that_was_shown_it() {
    let house = House::new().await;
    house.person("ada").await;
    house.person("eve").await;
    let client = house.public_client(&[CALLBACK]).await;
    let (ada, eve) = (house.signed_in("ada").await, house.signed_in("eve").await);
    let transaction = page(&eve, &client, CALLBACK).await.field("transaction");
    let token = ada.get("/").await.field("form_token");
    let form = [("transaction", &*transaction), ("form_token", &*token), ("decision", "approve")];
    assert_eq!(ada.post("/oauth/authorize", &form).await.status, StatusCode::FORBIDDEN);

    let forged = format!("{}AAAA", &transaction[..transaction.len() - 4]);
    let form = [("transaction", &*forged), ("form_token", &*token), ("decision", "approve")];
    assert_eq!(ada.post("/oauth/authorize", &form).await.status, StatusCode::FORBIDDEN);

    let nobody = house.browser();
    let form = [("transaction", &*transaction), ("form_token", &*token), ("decision", "approve")];
    assert_eq!(nobody.post("/oauth/authorize", &form).await.status, StatusCode::FORBIDDEN);
}

// spec: T-2
#[tokio::test]
async fn parallel_pages_do_not_disturb_each_other_and_each_is_answered_once() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let (first, second) = tokio::join!(page(&browser, &client, CALLBACK), page(&browser, &client, CALLBACK));
    assert!(browser.approve(&first).await.location_parameter("code").is_some());
    assert!(browser.approve(&second).await.location_parameter("code").is_some());
    for page in [&first, &second] {
        for decision in ["approve", "deny"] {
            let answer = browser.decide(page, decision, &[]).await;
            assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, ""));
        }
    }
    let denied = page(&browser, &client, CALLBACK).await;
    browser.decide(&denied, "deny", &[]).await;
    assert_eq!(browser.approve(&denied).await.status, StatusCode::BAD_REQUEST);
}

// spec: T-2
#[tokio::test]
async fn of_fifty_answers_at_once_one_counts() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let shown = page(&browser, &client, CALLBACK).await;
    let answers = futures_util::future::join_all((0..50).map(|_| browser.approve(&shown))).await;
    let codes = answers.iter().filter(|answer| answer.location_parameter("code").is_some()).count();
    assert_eq!(codes, 1);
}

#[tokio::test]
async fn a_page_is_good_for_ten_minutes() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let shown = page(&browser, &client, CALLBACK).await;
    house.clock.advance(Duration::from_mins(10));
    let answer = browser.approve(&shown).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, ""));
    assert!(answer.text.contains("open for too long"));
}

/// Whether a second request of `client` is answered without the page.
async fn is_silent(browser: &Browser<'_>, url: &str) -> bool {
    let answer = browser.get(url).await;
    match answer.status {
        StatusCode::OK => false,
        StatusCode::SEE_OTHER => answer.location_parameter("code").is_some(),
        other => panic!("{other}: {}", answer.text),
    }
}

// spec: T-5, AS-140, AS-141
#[tokio::test]
async fn a_remembered_consent_answers_only_those_who_came_by_themselves() {
    let house = House::new().await;
    house.person("ada").await;
    let known = house.public_client(&[WEB_CALLBACK]).await;
    let new = house.public_client(&[WEB_CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let shown = page(&browser, &known, WEB_CALLBACK).await;
    assert!(browser.decide(&shown, "approve", &[("remember", "yes")]).await.location_parameter("code").is_some());
    let cookie = browser.cookie().unwrap().to_owned();
    let url = |client: &str| authorize(client, WEB_CALLBACK, &[("scope", "mcp:read mcp:call offline_access")]);
    for (site, silent) in [
        (None, false),
        (Some("none"), true),
        (Some("same-origin"), true),
        (Some("same-site"), false),
        (Some("cross-site"), false),
        (Some("nonsense"), false),
    ] {
        let browser = house.browser().with_cookie(Some(&cookie)).coming_from(site);
        assert_eq!(is_silent(&browser, &url(&known)).await, silent, "{site:?}");
        assert!(!is_silent(&browser, &url(&new)).await, "{site:?}: another client");
    }
    // Through our sign-in page everything looks same-origin; there the page is always shown.
    let browser = house.browser().with_cookie(Some(&cookie)).coming_from(Some("same-origin"));
    let again = url(&known).replace("/oauth/authorize?", "/oauth/authorize/continue?");
    assert!(!is_silent(&browser, &again).await);
    // The client may insist on the page.
    assert!(!is_silent(&browser, &format!("{}&prompt=consent", url(&known))).await);
}

// spec: T-5, T-6
#[tokio::test]
async fn a_remembered_consent_is_for_exactly_what_was_shown() {
    let house = House::new().await;
    house.person("ada").await;
    house.person("grace").await;
    let second = "https://app.example/second";
    let client = house.public_client(&[WEB_CALLBACK, second]).await;
    let browser = house.signed_in("ada").await.coming_from(Some("none"));
    let shown = browser.get(&authorize(&client, WEB_CALLBACK, &[])).await;
    browser.decide(&shown, "approve", &[("remember", "yes")]).await;
    assert!(is_silent(&browser, &authorize(&client, WEB_CALLBACK, &[])).await);
    for (redirect, changes) in [
        (second, &[][..]),
        (WEB_CALLBACK, &[("resource", "http://127.0.0.1:7878/mcp/other")][..]),
        (WEB_CALLBACK, &[("scope", "mcp:read")][..]),
        (WEB_CALLBACK, &[("scope", "mcp:read mcp:call offline_access")][..]),
    ] {
        assert!(!is_silent(&browser, &authorize(&client, redirect, changes)).await, "{redirect} {changes:?}");
    }
    let grace = house.signed_in("grace").await.coming_from(Some("none"));
    assert!(!is_silent(&grace, &authorize(&client, WEB_CALLBACK, &[])).await);
}

// spec: T-5, T-12
#[tokio::test]
async fn consent_for_this_computer_is_never_remembered() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await.coming_from(Some("none"));
    let shown = browser.get(&authorize(&client, CALLBACK, &[])).await;
    browser.decide(&shown, "approve", &[("remember", "yes")]).await;
    assert!(!is_silent(&browser, &authorize(&client, CALLBACK, &[])).await);
}

// spec: AS-89, AS-91
#[tokio::test]
async fn ending_access_also_forgets_the_consent() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[WEB_CALLBACK]).await;
    let browser = house.signed_in("ada").await.coming_from(Some("none"));
    let shown = browser.get(&authorize(&client, WEB_CALLBACK, &[])).await;
    browser.decide(&shown, "approve", &[("remember", "yes")]).await;
    let home = browser.get("/").await;
    let (grant, token) = (home.field("grant"), home.field("form_token"));
    let answer = browser.post("/grants/revoke", &[("grant", &grant), ("form_token", &token)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(!is_silent(&browser, &authorize(&client, WEB_CALLBACK, &[])).await);
}

// spec: T-1, AS-130
#[tokio::test]
async fn a_new_client_meets_the_page_before_anything_else() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await.coming_from(Some("none"));
    let client = house.public_client(&[WEB_CALLBACK]).await;
    let answer = browser.get(&authorize(&client, WEB_CALLBACK, &[])).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::OK, ""));
    assert!(answer.text.contains("name=\"transaction\""));
}
