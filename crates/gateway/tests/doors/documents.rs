//! Clients that are identified by the URL of their metadata document.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    house::{Answer, Browser, CALLBACK, House, WEB_CALLBACK, authorize},
    publisher::Publisher,
};

const PATH: &str = "/client.json";

fn document(publisher: &Publisher) -> Value {
    json!({
        "client_id": publisher.url(PATH),
        "client_name": "Published client",
        "redirect_uris": [WEB_CALLBACK, CALLBACK],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    })
}

async fn house(publisher: &Publisher, yaml: &str) -> House {
    let house = House::with_outbound(yaml, publisher.outbound()).await;
    house.person("ada").await;
    house
}

async fn ask(browser: &Browser<'_>, publisher: &Publisher) -> Answer {
    browser.get(&authorize(&publisher.url(PATH), WEB_CALLBACK, &[])).await
}

// spec: AS-100, AS-114, AS-139
#[tokio::test]
async fn a_document_is_fetched_only_for_somebody_who_is_signed_in() {
    let publisher = Publisher::new().await;
    publisher.publish(PATH, &document(&publisher));
    let house = house(&publisher, "").await;
    let answer = ask(&house.browser(), &publisher).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.location().starts_with("/login?"));
    assert_eq!(publisher.asked(PATH), 0, "an anonymous request makes the gateway fetch nothing");

    let browser = house.signed_in("ada").await;
    let page = ask(&browser, &publisher).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for needed in ["Published client", "Published by", "docs.example", "app.example"] {
        assert!(page.text.contains(needed), "{needed}: {}", page.text);
    }
    assert!(!page.text.contains("Unverified"));
    let code = browser.approve(&page).await.location_parameter("code").unwrap();
    let answer = house.redeem(&publisher.url(PATH), WEB_CALLBACK, &code).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(publisher.asked(PATH), 1);
    assert_eq!(house.events().iter().filter(|kind| *kind == "client.document").count(), 1);
}

// spec: AS-111
#[tokio::test]
async fn a_document_is_kept_as_long_as_its_headers_say_within_bounds() {
    let publisher = Publisher::new().await;
    let house = house(&publisher, "").await;
    let body = document(&publisher).to_string();
    for (cache, minutes) in [("max-age=600", 10), ("max-age=1", 5), ("no-store", 5), ("max-age=99999999", 24 * 60)] {
        let headers = format!("content-type: application/json; charset=utf-8\r\ncache-control: {cache}\r\n");
        publisher.answer(PATH, "200 OK", &headers, &body);
        house.clock.advance(Duration::from_hours(30));
        let browser = house.signed_in("ada").await;
        let before = publisher.asked(PATH);
        assert_eq!(ask(&browser, &publisher).await.status, StatusCode::OK);
        house.clock.advance(Duration::from_secs(minutes * 60 - 1));
        let browser = house.signed_in("ada").await;
        assert_eq!(ask(&browser, &publisher).await.status, StatusCode::OK);
        assert_eq!(publisher.asked(PATH), before + 1, "{cache}");
        house.clock.advance(Duration::from_secs(1));
        assert_eq!(ask(&browser, &publisher).await.status, StatusCode::OK);
        assert_eq!(publisher.asked(PATH), before + 2, "{cache}");
    }
}

// spec: AS-103, AS-104, AS-105, AS-106, AS-107, AS-110, AS-113, T-24, T-26
#[tokio::test]
async fn a_wrong_document_is_a_page_and_mending_it_helps_at_once() {
    let publisher = Publisher::new().await;
    let house = house(&publisher, "clients: { metadata_documents: { size: 5KiB } }").await;
    let browser = house.signed_in("ada").await;
    let good = document(&publisher);
    let with = |member: &str, value: Value| {
        let mut document = good.clone();
        document[member] = value;
        document.to_string()
    };
    let json = "content-type: application/json\r\n";
    let moved = format!("location: {}\r\n", publisher.url("/moved.json"));
    publisher.publish("/moved.json", &good);
    let invalid = StatusCode::BAD_REQUEST;
    let transient = StatusCode::SERVICE_UNAVAILABLE;
    for (status, headers, body, expected) in [
        ("404 Not Found", json, good.to_string(), invalid),
        ("204 No Content", json, String::new(), invalid),
        ("200 OK", "content-type: text/html\r\n", good.to_string(), invalid),
        ("200 OK", "", good.to_string(), invalid),
        ("200 OK", json, "not json".into(), invalid),
        ("200 OK", json, with("client_id", json!(format!("{}/", publisher.url(PATH)))), invalid),
        ("200 OK", json, with("client_id", json!("https://docs.example/other")), invalid),
        ("200 OK", json, with("client_secret", json!("s")), invalid),
        ("200 OK", json, with("token_endpoint_auth_method", json!("client_secret_basic")), invalid),
        ("200 OK", json, with("client_name", Value::Null), invalid),
        ("200 OK", json, with("redirect_uris", json!([])), invalid),
        ("200 OK", json, with("redirect_uris", json!(["javascript:alert(1)"])), invalid),
        ("200 OK", json, with("logo_uri", json!("data:x")), invalid),
        ("200 OK", json, with("jwks", json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] })), invalid),
        ("302 Found", moved.as_str(), String::new(), transient),
        ("200 OK", json, with("client_uri", json!(format!("https://a.example/{}", "x".repeat(6000)))), transient),
        ("403 Forbidden", json, String::new(), transient),
        ("500 Internal Server Error", json, String::new(), transient),
    ] {
        publisher.answer(PATH, status, headers, &body);
        let answer = ask(&browser, &publisher).await;
        assert_eq!((answer.status, answer.location()), (expected, ""), "{status} {headers} {body}");
        // spec: AS-112: the next document counts, not this one.
        house.clock.advance(Duration::from_secs(30));
    }
    assert_eq!(publisher.asked("/moved.json"), 0, "redirects are not followed");
    publisher.publish(PATH, &good);
    assert_eq!(ask(&browser, &publisher).await.status, StatusCode::OK);
}

// spec: T-26
#[tokio::test]
async fn the_last_good_copy_serves_while_the_host_does_not_answer() {
    let publisher = Publisher::new().await;
    publisher.publish(PATH, &document(&publisher));
    let house = house(&publisher, "").await;
    assert_eq!(ask(&house.signed_in("ada").await, &publisher).await.status, StatusCode::OK);
    publisher.answer(PATH, "403 Forbidden", "", "");
    house.clock.advance(Duration::from_hours(23));
    assert_eq!(ask(&house.signed_in("ada").await, &publisher).await.status, StatusCode::OK, "stale, but once good");
    publisher.answer(PATH, "200 OK", "content-type: application/json\r\n", "{}");
    let answer = ask(&house.signed_in("ada").await, &publisher).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "what answers wrongly is wrong now");
    publisher.answer(PATH, "500 Oh", "", "");
    house.clock.advance(Duration::from_hours(2));
    let answer = ask(&house.signed_in("ada").await, &publisher).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "no copy serves for ever");
}

// spec: T-25, AS-116
#[tokio::test]
async fn a_changed_document_is_asked_for_again() {
    let publisher = Publisher::new().await;
    let mut document = document(&publisher);
    publisher.publish(PATH, &document);
    let house = house(&publisher, "").await;
    let browser = house.signed_in("ada").await.coming_from(Some("none"));
    let page = ask(&browser, &publisher).await;
    browser.decide(&page, "approve", &[("remember", "yes")]).await;
    assert!(ask(&browser, &publisher).await.location_parameter("code").is_some(), "remembered");
    let open = browser.get(&authorize(&publisher.url(PATH), CALLBACK, &[])).await;

    // What a consent does not depend on may change.
    document["contacts"] = json!(["ada@docs.example"]);
    publisher.publish(PATH, &document);
    house.clock.advance(Duration::from_mins(11));
    assert!(ask(&browser, &publisher).await.location_parameter("code").is_some(), "still remembered");

    document["redirect_uris"] = json!([WEB_CALLBACK, CALLBACK, "https://evil.example/cb"]);
    publisher.publish(PATH, &document);
    house.clock.advance(Duration::from_mins(11));
    let page = ask(&browser, &publisher).await;
    assert_eq!(page.status, StatusCode::OK, "asked again");
    let changed = house.journal().into_iter().filter(|line| line.to_string().contains("\"changed\"")).count();
    assert_eq!(changed, 1);

    // A page that was open meanwhile showed something else.
    let fresh = ask(&browser, &publisher).await;
    document["client_name"] = json!("Another name");
    publisher.publish(PATH, &document);
    house.clock.advance(Duration::from_mins(9));
    house.clock.advance(Duration::from_mins(2));
    let again = ask(&browser, &publisher).await;
    assert!(again.text.contains("Another name"));
    for old in [&open, &fresh] {
        let answer = browser.approve(old).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, ""));
    }
}

// spec: T-25
#[tokio::test]
async fn a_page_of_a_client_that_changed_meanwhile_cannot_be_approved() {
    let publisher = Publisher::new().await;
    let mut document = document(&publisher);
    publisher.answer(PATH, "200 OK", "content-type: application/json\r\n", &document.to_string());
    let house = house(&publisher, "").await;
    let browser = house.signed_in("ada").await;
    let shown = ask(&browser, &publisher).await;
    house.clock.advance(Duration::from_mins(6));
    document["client_name"] = json!("Another name");
    publisher.publish(PATH, &document);
    assert!(ask(&browser, &publisher).await.text.contains("Another name"));
    let answer = browser.approve(&shown).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, ""));
    assert!(answer.text.contains("changed its description"), "{}", answer.text);
}

// spec: AS-115
#[tokio::test]
async fn hosts_that_are_not_trusted_are_never_asked() {
    for settings in [
        "clients: { metadata_documents: { enabled: false } }",
        "clients: { metadata_documents: { deny: [docs.example] } }",
        "clients: { metadata_documents: { deny: ['*.example'] } }",
        "clients: { metadata_documents: { allow: [claude.ai, '*.docs.example'] } }",
    ] {
        let publisher = Publisher::new().await;
        publisher.publish(PATH, &document(&publisher));
        let house = house(&publisher, settings).await;
        let answer = ask(&house.signed_in("ada").await, &publisher).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, ""), "{settings}");
        assert!(answer.text.contains("clients.metadata_documents.allow"), "says what an administrator can do");
        assert_eq!(publisher.asked(PATH), 0, "{settings}");
    }
    for settings in [
        "clients: { metadata_documents: { allow: ['*.example'] } }",
        "clients: { metadata_documents: { allow: [DOCS.example] } }",
    ] {
        let publisher = Publisher::new().await;
        publisher.publish(PATH, &document(&publisher));
        let house = house(&publisher, settings).await;
        assert_eq!(ask(&house.signed_in("ada").await, &publisher).await.status, StatusCode::OK, "{settings}");
    }
}

// spec: AS-114, SEC-75
#[tokio::test]
async fn a_person_cannot_make_the_gateway_fetch_without_end() {
    let publisher = Publisher::new().await;
    let house = house(&publisher, "").await;
    let browser = house.signed_in("ada").await;
    let mut throttled = 0;
    for at in 0..60 {
        let answer = browser.get(&authorize(&publisher.url(&format!("/{at}")), WEB_CALLBACK, &[])).await;
        throttled += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(throttled >= 30, "{throttled}");
}

// spec: AS-102, T-23, AS-108
#[tokio::test]
async fn addresses_that_are_no_document_are_not_fetched() {
    let publisher = Publisher::new().await;
    let house = house(&publisher, "").await;
    let browser = house.signed_in("ada").await;
    for id in [
        publisher.url("").as_str(),
        &publisher.url("/a/../client.json"),
        &publisher.url("/client.json#x"),
        &publisher.url("/client.json").replace("https://", "https://user@"),
        &publisher.url("/client.json").replace("https:", "http:"),
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://localhost/x",
        "https://2130706433/x",
    ] {
        let answer = browser.get(&authorize(id, WEB_CALLBACK, &[])).await;
        assert!(answer.status.is_client_error() || answer.status == StatusCode::SERVICE_UNAVAILABLE, "{id}");
        assert_eq!(answer.location(), "", "{id}");
    }
    assert_eq!(publisher.asked(PATH), 0);
}
