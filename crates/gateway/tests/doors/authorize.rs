//! What the authorization endpoint takes, refuses on a page of its own, and tells the client.

use http::StatusCode;
use serde_json::json;

use crate::house::{CALLBACK, CHALLENGE, House, ISSUER, SAMPLE, WEB_CALLBACK, authorize};

// spec: AS-33, T-13
#[tokio::test]
async fn an_unproved_redirect_is_a_page_and_never_a_redirect() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[WEB_CALLBACK]).await;
    let two = house.public_client(&[WEB_CALLBACK, "https://app.example/other"]).await;
    let signed_in = house.signed_in("ada").await;
    for (name, url) in [
        ("unknown client", authorize("mcp_nobody", WEB_CALLBACK, &[])),
        ("no client", authorize("", WEB_CALLBACK, &[("client_id", "")])),
        ("foreign redirect", authorize(&client, "https://evil.example/callback", &[])),
        ("no redirect of two", authorize(&two, "", &[("redirect_uri", "")])),
        ("bad encoding", format!("{}&x=%zz", authorize(&client, WEB_CALLBACK, &[]))),
    ] {
        for browser in [&house.browser(), &signed_in] {
            let answer = browser.get(&url).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}");
            assert_eq!(answer.location(), "", "{name}");
            assert!(answer.text.contains("<h1>"), "{name}");
        }
    }
}

// spec: AS-34, T-11
#[tokio::test]
async fn near_misses_of_a_redirect_are_all_refused() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[WEB_CALLBACK, CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    for presented in [
        "https://app.example/callback/",
        "https://app.example/callback/x",
        "https://app.example/Callback",
        "https://APP.example/callback",
        "https://app.example:443/callback",
        "https://app.example./callback",
        "https://app.example/callback?x=1",
        "https://app.example/callback#x",
        "https://app.example/callback%2f",
        "https://app.example/./callback",
        "https://app.example/x/../callback",
        "https://app.example/%2e%2e/callback",
        "https://app.example@evil.example/callback",
        "https://user@app.example/callback",
        "https://app.example\\@evil.example/callback",
        "https://evil.example/https://app.example/callback",
        "https://app.example.evil.example/callback",
        " https://app.example/callback",
        "https://app.example/callback ",
        "http://app.example/callback",
        "//app.example/callback",
        "https:/app.example/callback",
        "javascript:alert(1)",
        "http://localhost:5000/callback",
        "http://127.0.0.1:5000/callback/",
        "http://127.0.0.1:5000/other",
        "http://127.0.0.1.evil.example:5000/callback",
        "http://127.0.0.2:5000/callback",
        "http://127.0.0.1:5000@evil.example/callback",
        "http://127.1:5000/callback",
        "http://[::1]:5000/callback",
        "https://127.0.0.1:5000/callback",
    ] {
        let answer = browser.get(&authorize(&client, presented, &[])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{presented}");
        assert_eq!(answer.location(), "", "{presented}");
    }
}

// spec: AS-35, AS-36
#[tokio::test]
async fn any_port_on_loopback_is_the_clients_own() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK, "http://localhost/callback", "http://[::1]:1/callback"]).await;
    let browser = house.signed_in("ada").await;
    for presented in
        ["http://127.0.0.1:51004/callback", "http://localhost:33418/callback", "http://[::1]:9/callback", CALLBACK]
    {
        let answer = browser.get(&authorize(&client, presented, &[])).await;
        assert_eq!(answer.status, StatusCode::OK, "{presented}");
        let answer = browser.approve(&answer).await;
        assert!(answer.location().starts_with(&format!("{presented}?code=")), "{}", answer.location());
    }
}

// spec: AS-41, T-11
#[tokio::test]
async fn repeated_parameters_are_refused_on_a_page() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    for more in ["scope=a", "redirect_uri=https://evil.example", "client_id=x", "state=2", "code_challenge=x"] {
        let answer = browser.get(&format!("{}&{more}", authorize(&client, CALLBACK, &[]))).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, ""), "{more}");
    }
    // The same resource twice is one resource, and an empty parameter is none.
    let answer = browser.get(&format!("{}&resource={SAMPLE}&nonce=", authorize(&client, CALLBACK, &[]))).await;
    assert_eq!(answer.status, StatusCode::OK);
}

// spec: AS-2, AS-30, AS-31, AS-32, AS-39, AS-40, AS-42, AS-46, AS-48, AS-49, AS-50, T-10, T-41
#[tokio::test]
async fn what_the_client_may_know_goes_to_the_client() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "s256")], "invalid_request"),
        (&[("code_challenge", &CHALLENGE[1..])], "invalid_request"),
        (&[("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM")], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_type", "")], "invalid_request"),
        (&[("scope", "mcp:read admin")], "invalid_scope"),
        (&[("scope", "mcp:*")], "invalid_scope"),
        (&[("resource", "http://127.0.0.1:7878/mcp/nowhere")], "invalid_target"),
        (&[("resource", "/mcp/sample")], "invalid_target"),
        (&[("resource", "http://127.0.0.1:7878/mcp/sample#x")], "invalid_target"),
        (&[("resource", "http://127.0.0.1:7878")], "invalid_target"),
        (&[("resource", "")], "invalid_target"),
        (&[("request", "eyJ")], "invalid_request"),
    ];
    for (changes, error) in cases {
        let answer = browser.get(&authorize(&client, CALLBACK, changes)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{changes:?} {}", answer.text);
        assert!(answer.location().starts_with(CALLBACK), "{}", answer.location());
        assert_eq!(answer.location_parameter("error").as_deref(), Some(*error), "{changes:?}");
        assert_eq!(answer.location_parameter("state").as_deref(), Some("st4te"), "{changes:?}");
        assert_eq!(answer.location_parameter("iss").as_deref(), Some(ISSUER), "{changes:?}");
        assert_eq!(answer.location_parameter("code"), None, "{changes:?}");
    }
    let several = format!("{}&resource=http://127.0.0.1:7878/mcp/other", authorize(&client, CALLBACK, &[]));
    assert_eq!(browser.get(&several).await.location_parameter("error").as_deref(), Some("invalid_target"));
}

// spec: AS-39
#[tokio::test]
async fn state_comes_back_unchanged_or_not_at_all() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let state = "a b&c=d/é?%#+\"<>".repeat(32);
    for (sent, expected) in [(state.as_str(), Some(state.clone())), ("", None)] {
        let page = browser.get(&authorize(&client, CALLBACK, &[("state", sent)])).await;
        assert_eq!(browser.approve(&page).await.location_parameter("state"), expected);
        let page = browser.get(&authorize(&client, CALLBACK, &[("state", sent)])).await;
        let answer = browser.decide(&page, "deny", &[]).await;
        assert_eq!(answer.location_parameter("state"), expected);
        assert_eq!(answer.location_parameter("error").as_deref(), Some("access_denied"));
        assert_eq!(answer.location_parameter("iss").as_deref(), Some(ISSUER));
    }
}

// spec: AS-47
#[tokio::test]
async fn a_resource_is_recognised_in_its_common_spellings() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    for spelling in ["HTTP://127.0.0.1:7878/mcp/sample", "http://127.0.0.1:7878/mcp/sample/"] {
        let answer = browser.get(&authorize(&client, CALLBACK, &[("resource", spelling)])).await;
        assert_eq!(answer.status, StatusCode::OK, "{spelling}");
        assert!(answer.text.contains(SAMPLE));
    }
}

// spec: AS-49
#[tokio::test]
async fn clients_that_name_no_resource_get_the_default_one_if_there_is_one() {
    let house = House::with("default_resource: sample").await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let page = browser.get(&authorize(&client, CALLBACK, &[("resource", "")])).await;
    assert!(page.text.contains(SAMPLE), "{}", page.text);
}

// spec: AS-43, T-13
#[tokio::test]
async fn nobody_is_sent_to_a_strangers_address_by_a_link_of_ours() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[WEB_CALLBACK]).await;
    let bad = authorize(&client, WEB_CALLBACK, &[("scope", "nonsense")]);

    let answer = house.get(&bad).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.location().starts_with("/login?"), "{}", answer.location());

    let answer = house.signed_in("ada").await.get(&bad).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, ""));
    let way_on = "href=\"https://app.example/callback?error=invalid_scope";
    assert!(answer.text.contains(way_on), "{}", answer.text);
    assert!(answer.text.contains("iss=http%3A%2F%2F127.0.0.1%3A7878"), "{}", answer.text);
}

const REPORT: &str = "
clients:
  configured:
    - id: report
      name: Nightly report
      redirect_uris: [https://report.example/callback]
      secret: env:REPORT_SECRET
";

// spec: AS-100, AS-43
#[tokio::test]
async fn a_configured_client_is_told_at_once_and_works() {
    let house = House::with(REPORT).await;
    house.person("ada").await;
    let redirect = "https://report.example/callback";
    let answer = house.get(&authorize("report", redirect, &[("scope", "nonsense")])).await;
    assert!(answer.location().starts_with("https://report.example/callback?error=invalid_scope"));

    let browser = house.signed_in("ada").await;
    let page = browser.get(&authorize("report", redirect, &[])).await;
    assert!(page.text.contains("Set up by the administrator"), "{}", page.text);
    let code = browser.approve(&page).await.location_parameter("code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", crate::house::VERIFIER),
        ("redirect_uri", redirect),
    ];
    let answer = house.post_basic("/oauth/token", "report", "s3cret-of-the-report", &form).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

#[tokio::test]
async fn a_client_that_left_the_settings_is_gone() {
    let house = House::with(REPORT).await;
    house.person("ada").await;
    let mut app = std::sync::Arc::into_inner(house.into_app()).unwrap();
    app.config.clients.configured.clear();
    portcullis_gateway::authorization::configured::settle(&app).await.unwrap();
    assert_eq!(app.store.client(&portcullis_base::ClientId::new("report")).await.unwrap(), None);
}

// spec: AS-19, AS-18
#[tokio::test]
async fn old_clients_find_the_default_paths() {
    let house = House::new().await;
    house.person("ada").await;
    let body = json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none" });
    let answer = house.post_json("/register", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let client = answer.json()["client_id"].as_str().unwrap().to_owned();
    let browser = house.signed_in("ada").await;
    let url = authorize(&client, CALLBACK, &[]).replace("/oauth/authorize", "/authorize");
    let page = browser.get(&url).await;
    let code = browser.approve(&page).await.location_parameter("code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client),
        ("code", &*code),
        ("code_verifier", crate::house::VERIFIER),
    ];
    assert_eq!(house.post("/token", &form).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_person_without_access_is_told_and_cannot_consent() {
    let house = House::new().await;
    house.person("ada").await;
    house.person_with("grace", None, &["ops"]).await;
    let client = house.public_client(&[CALLBACK]).await;
    let url = authorize(&client, CALLBACK, &[("resource", "http://127.0.0.1:7878/mcp/vault")]);
    let answer = house.signed_in("ada").await.get(&url).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("error=access_denied"), "{}", answer.text);
    assert_eq!(house.signed_in("grace").await.get(&url).await.status, StatusCode::OK);
}
