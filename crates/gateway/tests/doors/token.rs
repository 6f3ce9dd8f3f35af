//! The token endpoint: codes, refresh tokens, and those who present them a second time.

use std::time::Duration;

use axum::body::Body;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode};
use portcullis_base::GrantId;
use serde_json::json;

use crate::house::{CALLBACK, House, SAMPLE, VERIFIER, authorize, claims, encode};

// spec: AS-65, AS-66, AS-68, T-8, T-10
#[tokio::test]
async fn a_code_is_bound_to_everything_it_was_given_for() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let other = house.public_client(&[CALLBACK]).await;
    let code = house.code(&browser, &client, CALLBACK).await;
    let right = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client),
        ("code", &*code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("resource", SAMPLE),
    ];
    let wrong = [
        ("client_id", &*other, "invalid_grant"),
        ("code", "garbage", "invalid_grant"),
        ("redirect_uri", "http://127.0.0.1:5001/callback", "invalid_grant"),
        ("code_verifier", "wrong-verifier-wrong-verifier-wrong-verifier", "invalid_grant"),
        ("code_verifier", "short", "invalid_grant"),
        ("code_verifier", "", "invalid_grant"),
        ("code_verifier", crate::house::CHALLENGE, "invalid_grant"),
        ("resource", "http://127.0.0.1:7878/mcp/other", "invalid_target"),
        ("code", "", "invalid_request"),
        ("grant_type", "password", "unsupported_grant_type"),
        ("grant_type", "client_credentials", "unauthorized_client"),
        ("grant_type", "", "invalid_request"),
    ];
    for (name, value, error) in wrong {
        let form: Vec<_> =
            right.iter().map(|(known, old)| (*known, if *known == name { value } else { *old })).collect();
        let answer = house.post("/oauth/token", &form).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, error), "{name}={value}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    // None of these attempts has cost the rightful client its code.
    assert_eq!(house.post("/oauth/token", &right).await.status, StatusCode::OK);
}

// spec: AS-67, T-9
#[tokio::test]
async fn a_replayed_code_ends_the_grant_and_a_forged_one_does_not() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let code = house.code(&browser, &client, CALLBACK).await;
    let tokens = house.redeem(&client, CALLBACK, &code).await.json();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let grant = GrantId::new(claims(tokens["access_token"].as_str().unwrap())["gid"].as_str().unwrap());

    let other = house.public_client(&[CALLBACK]).await;
    assert_eq!(house.redeem(&other, CALLBACK, &code).await.error(), "invalid_grant");
    let form =
        [("grant_type", "authorization_code"), ("client_id", &*client), ("code", &*code), ("code_verifier", "x")];
    assert_eq!(house.post("/oauth/token", &form).await.error(), "invalid_grant");
    assert!(!house.app.ended.has_grant(&grant));
    let answer = house.refresh(&client, refresh).await;
    assert_eq!(answer.status, StatusCode::OK, "forged replays end nothing");
    let refresh = answer.json()["refresh_token"].as_str().unwrap().to_owned();

    assert_eq!(house.redeem(&client, CALLBACK, &code).await.error(), "invalid_grant");
    assert!(house.app.ended.has_grant(&grant), "at once, for this node's own calls");
    assert_eq!(house.refresh(&client, &refresh).await.error(), "invalid_grant");
}

// spec: AS-67, T-9
#[tokio::test]
async fn of_fifty_redemptions_at_once_one_succeeds() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let code = house.code(&browser, &client, CALLBACK).await;
    let answers = join_all((0..50).map(|_| house.redeem(&client, CALLBACK, &code))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == StatusCode::OK).count(), 1);
}

// spec: AS-45
#[tokio::test]
async fn a_code_lives_for_a_minute() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let code = house.code(&browser, &client, CALLBACK).await;
    assert!(code.len() >= 43 && !house.database().contains(&code));
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(house.redeem(&client, CALLBACK, &code).await.error(), "invalid_grant");
}

// spec: AS-80, AS-82, AS-87, T-40
#[tokio::test]
async fn refreshes_rotate_and_a_lost_answer_is_given_again() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let tokens = house.tokens(&browser, &client, CALLBACK).await;
    let first = tokens["refresh_token"].as_str().unwrap().to_owned();
    let answers = join_all((0..50).map(|_| house.refresh(&client, &first))).await;
    let successors: std::collections::HashSet<String> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, StatusCode::OK, "nobody is signed out: {}", answer.text);
            answer.json()["refresh_token"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(successors.len(), 1);
    let second = successors.into_iter().next().unwrap();
    assert_ne!(second, first);
    for secret in [&first, &second] {
        assert!(!house.database().contains(secret));
    }
}

// spec: AS-81, T-40, AS-89
#[tokio::test]
async fn a_stolen_refresh_token_ends_the_family() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let tokens = house.tokens(&browser, &client, CALLBACK).await;
    let first = tokens["refresh_token"].as_str().unwrap();
    let grant = GrantId::new(claims(tokens["access_token"].as_str().unwrap())["gid"].as_str().unwrap());
    let second = house.refresh(&client, first).await.json()["refresh_token"].as_str().unwrap().to_owned();
    house.clock.advance(Duration::from_secs(11));
    assert_eq!(house.refresh(&client, first).await.error(), "invalid_grant");
    assert!(house.app.ended.has_grant(&grant));
    assert_eq!(house.refresh(&client, &second).await.error(), "invalid_grant", "the thief's and the victim's alike");
}

// spec: AS-82
#[tokio::test]
async fn giving_again_can_be_switched_off() {
    let house = House::with("tokens: { refresh_grace: 0s }").await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let tokens = house.tokens(&browser, &client, CALLBACK).await;
    let first = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(house.refresh(&client, first).await.status, StatusCode::OK);
    assert_eq!(house.refresh(&client, first).await.error(), "invalid_grant");
}

// spec: AS-83, T-41, AS-68
#[tokio::test]
async fn a_refresh_may_narrow_and_never_widen() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let other = house.public_client(&[CALLBACK]).await;
    let page = browser.get(&authorize(&client, CALLBACK, &[("scope", "mcp:read")])).await;
    let code = browser.approve(&page).await.location_parameter("code").unwrap();
    let tokens = house.redeem(&client, CALLBACK, &code).await.json();
    assert_eq!(tokens["scope"], "mcp:read");
    let token = tokens["refresh_token"].as_str().unwrap();
    let refresh = async |client: &str, more: (&str, &str)| {
        let form = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token), more];
        house.post("/oauth/token", &form).await
    };
    assert_eq!(refresh(&client, ("scope", "mcp:read mcp:call")).await.error(), "invalid_scope");
    let elsewhere = ("resource", "http://127.0.0.1:7878/mcp/other");
    assert_eq!(refresh(&client, elsewhere).await.error(), "invalid_target");
    assert_eq!(refresh(&other, ("scope", "mcp:read")).await.error(), "invalid_grant");
    let answer = refresh(&client, ("scope", "mcp:read")).await;
    assert_eq!((answer.status, &answer.json()["scope"]), (StatusCode::OK, &json!("mcp:read")));
}

// spec: AS-84, AS-16
#[tokio::test]
async fn refresh_tokens_go_to_those_who_registered_for_them_or_ask() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let body = json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none" });
    let client = house.register(body).await["client_id"].as_str().unwrap().to_owned();
    let tokens = house.tokens(&browser, &client, CALLBACK).await;
    assert_eq!(tokens.get("refresh_token"), None);
    let page = browser.get(&authorize(&client, CALLBACK, &[("scope", "mcp:read offline_access")])).await;
    let code = browser.approve(&page).await.location_parameter("code").unwrap();
    let tokens = house.redeem(&client, CALLBACK, &code).await.json();
    assert!(house.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await.status.is_success());
}

// spec: AS-85
#[tokio::test]
async fn refresh_tokens_end_of_disuse_and_of_age() {
    let house = House::with("tokens: { refresh_idle: 10d, refresh_absolute: 20d }").await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let tokens = house.tokens(&house.signed_in("ada").await, &client, CALLBACK).await;
    house.clock.advance(Duration::from_hours(10 * 24));
    let answer = house.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.error(), "invalid_grant", "disuse");

    let tokens = house.tokens(&house.signed_in("ada").await, &client, CALLBACK).await;
    let mut token = tokens["refresh_token"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        house.clock.advance(Duration::from_hours(9 * 24));
        token = house.refresh(&client, &token).await.json()["refresh_token"].as_str().unwrap().to_owned();
    }
    house.clock.advance(Duration::from_hours(2 * 24));
    assert_eq!(house.refresh(&client, &token).await.error(), "invalid_grant", "age");
}

// spec: AS-86, AS-89
#[tokio::test]
async fn a_disabled_person_gets_no_more_tokens() {
    let house = House::new().await;
    house.admin("root").await;
    let ada = house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let tokens = house.tokens(&browser, &client, CALLBACK).await;
    let code = house.code(&browser, &client, CALLBACK).await;
    house.app.store.disable_person(&ada.id, house.app.clock.now()).await.unwrap();
    let answer = house.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.error(), "invalid_grant");
    assert_eq!(house.redeem(&client, CALLBACK, &code).await.error(), "invalid_grant");
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER);
}

// spec: AS-60, T-36
#[tokio::test]
async fn only_a_posted_form_counts() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let code = house.code(&browser, &client, CALLBACK).await;
    let form = encode(&[
        ("grant_type", "authorization_code"),
        ("client_id", &client),
        ("code", &code),
        ("code_verifier", VERIFIER),
    ]);
    let query = format!("/oauth/token?{form}");
    assert_eq!(house.get(&query).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(house.post(&query, &[]).await.error(), "invalid_request");
    for media_type in ["application/json", "text/plain", ""] {
        let request = Request::builder().method(Method::POST).uri("/oauth/token").header("content-type", media_type);
        let answer = house.send(request.body(Body::from(form.clone())).unwrap()).await;
        assert_eq!(answer.error(), "invalid_request", "{media_type}");
    }
    assert_eq!(house.post("/oauth/token", &[("client_id", "a"), ("client_id", "b")]).await.error(), "invalid_request");
    let extra = format!("{form}&unknown=1");
    let request =
        Request::post("/oauth/token").header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    let answer = house.send(request.body(Body::from(extra)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

// spec: AS-61, AS-62, AS-64
#[tokio::test]
async fn clients_prove_themselves_as_they_registered() {
    let house = House::new().await;
    let mut clients = Vec::new();
    for method in ["none", "client_secret_basic", "client_secret_post"] {
        let body = json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": method });
        let client = house.register(body).await;
        let id = client["client_id"].as_str().unwrap().to_owned();
        clients.push((method, id, client["client_secret"].as_str().unwrap_or("none-at-all").to_owned()));
    }
    let form = [("grant_type", "authorization_code"), ("code", "x"), ("code_verifier", VERIFIER)];
    for (registered, id, secret) in &clients {
        for used in ["none", "client_secret_basic", "client_secret_post"] {
            let mut form = form.to_vec();
            let answer = if used == "client_secret_basic" {
                house.post_basic("/oauth/token", id, secret, &form).await
            } else {
                form.push(("client_id", id));
                if used == "client_secret_post" {
                    form.push(("client_secret", secret));
                }
                house.post("/oauth/token", &form).await
            };
            let expected = if registered == &used { "invalid_grant" } else { "invalid_client" };
            assert_eq!(answer.error(), expected, "registered {registered}, used {used}");
            if expected == "invalid_client" {
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
                assert_eq!(answer.header("www-authenticate").starts_with("Basic"), used == "client_secret_basic");
            }
        }
    }
    let (_, id, secret) = &clients[1];
    let mut twice = form.to_vec();
    twice.push(("client_secret", secret));
    assert_eq!(house.post_basic("/oauth/token", id, secret, &twice).await.error(), "invalid_request");
    let answer = house.post_basic("/oauth/token", id, "wrong", &form).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, "invalid_client"));
}

// spec: AS-75, SEC-75, T-102
#[tokio::test]
async fn bad_attempts_are_throttled_where_they_come_from() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let mut throttled = 0;
    for _ in 0..100 {
        let request = Request::post("/oauth/token").header("content-type", "application/x-www-form-urlencoded");
        let peer: std::net::SocketAddr = "192.0.2.66:1".parse().unwrap();
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &client),
            ("code", "guess"),
            ("code_verifier", VERIFIER),
        ];
        let request = request.extension(axum::extract::ConnectInfo(peer));
        let answer = house.send(request.body(Body::from(encode(&form))).unwrap()).await;
        throttled += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(throttled >= 40, "{throttled}");
    // The client itself, somewhere else, does not notice.
    let tokens = house.tokens(&house.signed_in("ada").await, &client, CALLBACK).await;
    assert!(tokens["access_token"].is_string());
}

// spec: AS-69, AS-70, AS-74
#[tokio::test]
async fn access_tokens_are_short_lived_and_for_one_endpoint() {
    let house = House::with("tokens: { access: 1h }").await;
    house.person("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    let tokens = house.tokens(&house.signed_in("ada").await, &client, CALLBACK).await;
    assert_eq!(tokens["expires_in"], 3600);
    let access = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(access["aud"], SAMPLE);
    assert_eq!(access["client_id"], client);
    for claim in ["iss", "sub", "iat", "exp", "jti", "scope", "gid"] {
        assert!(!access[claim].is_null(), "{claim}");
    }
}

// spec: AS-50, AS-51
#[tokio::test]
async fn a_step_up_asks_again_and_gives_the_whole() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let client = house.public_client(&[CALLBACK]).await;
    for scope in ["mcp:read", "mcp:read mcp:call"] {
        let page = browser.get(&authorize(&client, CALLBACK, &[("scope", scope)])).await;
        let code = browser.approve(&page).await.location_parameter("code").unwrap();
        assert_eq!(house.redeem(&client, CALLBACK, &code).await.json()["scope"], scope);
    }
}
