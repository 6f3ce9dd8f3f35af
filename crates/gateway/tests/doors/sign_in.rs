//! Signing in and out, sessions, and the first start.

use std::time::Duration;

use http::StatusCode;
use portcullis_base::Digest;

use crate::house::{House, ISSUER, PASSWORD};

// spec: AS-135, T-4, T-7
#[tokio::test]
async fn signing_in_makes_a_new_session_each_time() {
    let house = House::new().await;
    house.person("ada").await;
    let mut browser = house.browser();
    let answer = browser.sign_in("ada", PASSWORD, "/").await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-portcullis="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
    let first = browser.cookie().unwrap().to_owned();
    let secret = first.split_once('=').unwrap().1;
    assert!(!house.database().contains(secret), "only its digest is stored");

    browser.sign_in("ada", PASSWORD, "/").await;
    assert_ne!(browser.cookie().unwrap(), first);
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    let old = house.browser().with_cookie(Some(&first));
    assert_eq!(old.get("/").await.status, StatusCode::SEE_OTHER, "the first session was ended");
}

// spec: T-4
#[tokio::test]
async fn two_cookies_of_one_name_are_both_refused() {
    let house = House::new().await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    let own = browser.cookie().unwrap();
    for planted in
        [format!("{own}; __Host-portcullis=x"), format!("__Host-portcullis=x; {own}"), format!("{own}; {own}")]
    {
        let answer = house.browser().with_cookie(Some(&planted)).get("/").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn sessions_end_when_they_are_idle_and_in_any_case_after_their_time() {
    let house = House::with("sessions: { idle: 8h, absolute: 24h }").await;
    house.person("ada").await;
    let browser = house.signed_in("ada").await;
    for _ in 0..3 {
        house.clock.advance(Duration::from_hours(7));
        assert_eq!(browser.get("/").await.status, StatusCode::OK);
    }
    house.clock.advance(Duration::from_hours(3));
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER, "absolute");
    let browser = house.signed_in("ada").await;
    house.clock.advance(Duration::from_hours(8));
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER, "idle");
}

// spec: T-13
#[tokio::test]
async fn sign_in_leads_to_our_own_pages_only() {
    let house = House::new().await;
    house.person("ada").await;
    for bad in
        ["//evil.example", "/\\evil.example", "https://evil.example", "/%09/evil.example/../..", "javascript:x", ""]
    {
        let answer = house.browser().sign_in("ada", PASSWORD, bad).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let location = answer.location();
        assert!(location.starts_with('/') && !location.starts_with("//") && !location.starts_with("/\\"), "{location}");
        let url = url::Url::parse(ISSUER).unwrap().join(location).unwrap();
        assert_eq!(url.origin().ascii_serialization(), ISSUER, "{bad}");
        let path: String = url::form_urlencoded::byte_serialize(bad.as_bytes()).collect();
        let signed_in = house.signed_in("ada").await.get(&format!("/login?return_to={path}")).await;
        let url = url::Url::parse(ISSUER).unwrap().join(signed_in.location()).unwrap();
        assert_eq!(url.origin().ascii_serialization(), ISSUER, "{bad}");
    }
}

// spec: T-7, T-94
#[tokio::test]
async fn nobody_is_signed_in_or_out_by_a_page_of_others() {
    let house = House::new().await;
    house.person("ada").await;
    let form = [("name", "ada"), ("password", PASSWORD)];
    for headers in [&[][..], &[("origin", "https://evil.example")][..], &[("origin", "null")][..]] {
        let answer = house.browser().post_from(headers, "/login", &form).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.header("set-cookie"), "");
    }
    let browser = house.signed_in("ada").await;
    let token = browser.get("/").await.field("form_token");
    let cross = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(browser.post_from(&cross, "/logout", &[("form_token", &token)]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.post("/logout", &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/logout").await.status, StatusCode::OK, "a link changes nothing");
    assert_eq!(browser.get("/").await.status, StatusCode::OK, "still signed in");

    let answer = browser.post("/logout", &[("form_token", &token)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER, "the session is gone, not just the cookie");
}

#[tokio::test]
async fn wrong_names_and_wrong_passwords_look_alike() {
    let house = House::new().await;
    house.person("ada").await;
    let mut answers = Vec::new();
    for (name, password) in [("ada", "wrong"), ("nobody", PASSWORD), ("", "")] {
        let answer = house.browser().sign_in(name, password, "/").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.text.contains("Name or password is wrong."));
        answers.push(answer.text.replace(&format!("value=\"{name}\""), ""));
    }
    let ada = house.person("grace").await;
    house.admin("root").await;
    house.app.store.disable_person(&ada.id, house.app.clock.now()).await.unwrap();
    assert_eq!(house.browser().sign_in("grace", PASSWORD, "/").await.status, StatusCode::UNAUTHORIZED);
}

// spec: T-102, SEC-75
#[tokio::test]
async fn guessing_is_slowed_down_and_locks_nobody_out() {
    let house = House::with("limits: { sign_ins_per_minute: 10 }").await;
    house.person("ada").await;
    let mut refused = 0;
    for _ in 0..20 {
        let answer = house.browser().at("192.0.2.66").sign_in("ada", "guess", "/").await;
        refused += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(refused, 10);
    let answer = house.browser().at("192.0.2.66").sign_in("ADA", PASSWORD, "/").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "the same name in other letters");
    // Ada herself sits elsewhere and does not notice.
    assert_eq!(house.browser().at("192.0.2.1").sign_in("ada", PASSWORD, "/").await.status, StatusCode::SEE_OTHER);
    // Many names from one address are slowed down too, and a whole /64 is one address.
    for at in 0..50 {
        house.browser().at(&format!("2001:db8::{at:x}")).sign_in(&format!("name{at}"), "guess", "/").await;
    }
    let answer = house.browser().at("2001:db8::ffff").sign_in("ada", PASSWORD, "/").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    house.clock.advance(Duration::from_mins(1));
    assert_eq!(house.browser().at("192.0.2.66").sign_in("ada", PASSWORD, "/").await.status, StatusCode::SEE_OTHER);
}

// spec: SEC-75
#[tokio::test]
async fn a_flood_at_the_doors_is_turned_away() {
    let house = House::new().await;
    let mut turned_away = 0;
    for _ in 0..1_200 {
        let answer = house.browser().at("192.0.2.9").get("/.well-known/oauth-authorization-server").await;
        turned_away += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(turned_away, 200);
    assert_eq!(house.browser().at("192.0.2.10").get("/login").await.status, StatusCode::OK);
}

const LINK: &str = "one-time-secret";

async fn invited(yaml: &str) -> House {
    let house = House::with(yaml).await;
    let now = house.app.clock.now();
    let hash = Digest::of(LINK.as_bytes());
    assert!(house.app.store.issue_invitation(&hash, now, now.plus(Duration::from_hours(1))).await.unwrap());
    house
}

// spec: T-95
#[tokio::test]
async fn the_administrator_link_works_once() {
    let house = invited("").await;
    let path = format!("/welcome/{LINK}");
    assert_eq!(house.get("/welcome/guess").await.status, StatusCode::NOT_FOUND);
    let page = house.get(&path).await;
    assert_eq!(page.status, StatusCode::OK);
    let mut browser = house.browser();
    for (name, password, again, words) in [
        ("root", "short", "short", "Use at least 8 characters."),
        ("root", "long enough password", "another password", "The two passwords are not the same."),
        ("ro ot", "long enough password", "long enough password", "Use 1 to 64 letters"),
        ("root", "zzzzzzzzzzzz", "zzzzzzzzzzzz", "too easy to guess"),
    ] {
        let answer = browser.post(&path, &[("name", name), ("password", password), ("again", again)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.text.contains(words), "{words}: {}", answer.text);
        assert!(!answer.text.contains(password), "a password is never sent back");
    }
    let form = [("name", "root"), ("password", PASSWORD), ("again", PASSWORD)];
    let foreign = browser.post_from(&[("origin", "https://evil.example")], &path, &form).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);

    let answer = browser.post(&path, &form).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/"));
    browser.keep_cookie(&answer);
    assert_eq!(browser.get("/").await.status, StatusCode::OK, "signed in at once");
    assert!(house.app.store.person_by_name("root").await.unwrap().unwrap().0.is_admin());

    assert_eq!(house.get(&path).await.status, StatusCode::NOT_FOUND);
    let second = [("name", "second"), ("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(house.browser().post(&path, &second).await.status, StatusCode::NOT_FOUND);
    assert!(house.app.store.person_by_name("second").await.unwrap().is_none());
}

// spec: T-95
#[tokio::test]
async fn the_administrator_link_expires_and_is_void_once_there_is_an_administrator() {
    let house = invited("").await;
    house.clock.advance(Duration::from_hours(1));
    assert_eq!(house.get(&format!("/welcome/{LINK}")).await.status, StatusCode::NOT_FOUND);

    let house = invited("").await;
    house.admin("root").await;
    assert_eq!(house.get(&format!("/welcome/{LINK}")).await.status, StatusCode::NOT_FOUND);
}

// spec: AS-149
#[tokio::test]
async fn a_token_signs_no_browser_in() {
    let house = House::new().await;
    house.person("ada").await;
    let client = house.public_client(&[crate::house::CALLBACK]).await;
    let browser = house.signed_in("ada").await;
    let tokens = house.tokens(&browser, &client, crate::house::CALLBACK).await;
    let token = tokens["access_token"].as_str().unwrap();
    let as_header = http::Request::get("/").header("authorization", format!("Bearer {token}"));
    let answer = house.send(as_header.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let as_cookie = house.browser().with_cookie(Some(&format!("__Host-portcullis={token}")));
    assert_eq!(as_cookie.get("/").await.status, StatusCode::SEE_OTHER);
}
