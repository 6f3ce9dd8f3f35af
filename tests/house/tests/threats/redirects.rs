//! Where a browser may be sent: to an address that is the client's byte for byte, or to a page of ours.

use anyhow::{Context, Result};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::Answer,
    person::{Browser, authorize_target, form},
};

use crate::visit::{MANY_CLIENTS, WEB, asks, changed, parameters, public, public_client, signed_in, target};

const LOCAL: &str = "http://127.0.0.1/cb";

/// Variants of `https://app.example/callback`, `https://app.example/q?a=b`, `http://127.0.0.1/cb` and
/// `http://localhost:8080/cb` that some comparison somewhere took for the registered one.
const VARIANTS: [&str; 66] = [
    // Longer, shorter, elsewhere.
    "https://app.example/callback/",
    "https://app.example/callback/evil",
    "https://app.example/callbackevil",
    "https://app.example/callbac",
    "https://app.example/",
    "https://app.example",
    "https://evil.example/callback",
    "https://app.example.evil.example/callback",
    "https://evil-app.example/callback",
    "https://sub.app.example/callback",
    "https://example/callback",
    // Dot segments and escapes.
    "https://app.example/callback/../callback",
    "https://app.example/callback/..",
    "https://app.example/./callback",
    "https://app.example/x/../callback",
    "https://app.example/callback/%2e%2e/evil",
    "https://app.example/%63allback",
    "https://app.example/callback%2F..%2Fevil",
    "https://app.example/callback%00",
    "https://app.example/callback%0d%0aLocation:%20https://evil.example",
    "https://app.example/callback%20",
    "https://app.example//callback",
    "https://app.example/callback;evil",
    // User names, backslashes, and what parsers make of them.
    "https://app.example@evil.example/callback",
    "https://user@app.example/callback",
    "https://user:pass@app.example/callback",
    "https://@app.example/callback",
    "https://evil.example\\@app.example/callback",
    "https://app.example\\@evil.example/callback",
    "https:\\\\app.example\\callback",
    "https://evil.example#@app.example/callback",
    "https://evil.example?@app.example/callback",
    "https:/app.example/callback",
    "https:app.example/callback",
    "//app.example/callback",
    "/callback",
    "callback",
    // Letters, dots, ports, other alphabets.
    "https://APP.example/callback",
    "HTTPS://app.example/callback",
    "https://app.example/Callback",
    "https://app.example./callback",
    "https://app.example:443/callback",
    "https://app.example:8443/callback",
    "https://app.example:/callback",
    "https://аpp.example/callback",
    "https://xn--pp-6kc.example/callback",
    "https://app。example/callback",
    "https://app.example／callback",
    // Queries and fragments.
    "https://app.example/callback?",
    "https://app.example/callback?x=1",
    "https://app.example/callback#",
    "https://app.example/callback#fragment",
    "https://app.example/q?a=b&c=d",
    "https://app.example/q?a=c",
    "https://app.example/q",
    "https://app.example/q?a=b&redirect_uri=https://evil.example",
    // Blanks, schemes, loopback.
    " https://app.example/callback",
    "https://app.example/callback\t",
    "http://app.example/callback",
    "javascript://app.example/callback",
    "http://127.0.0.1:80:80/cb",
    "http://127.0.0.1:99999/cb",
    "http://127.0.0.1.evil.example/cb",
    "http://127.0.0.1:5000@evil.example/cb",
    "http://127.0.0.2/cb",
    "https://127.0.0.1/cb",
];

/// More of them about loopback alone, where a port is free and nothing else is.
const LOCAL_VARIANTS: [&str; 10] = [
    "http://localhost/cb",
    "http://[::1]/cb",
    "http://127.1/cb",
    "http://2130706433/cb",
    "http://0x7f.0.0.1/cb",
    "http://127.0.0.1/cb/",
    "http://127.0.0.1:5000/CB",
    "http://127.0.0.1:5000/cb?x=1",
    "http://127.0.0.1:5000/cb#x",
    "http://127.0.0.1:05000/cb",
];

fn is_page_without_a_way_out(answer: &Answer) -> bool {
    answer.status == 400
        && answer.header("location").is_none()
        && answer.header("refresh").is_none()
        && answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"))
        && !answer.text().to_ascii_lowercase().contains("http-equiv")
}

// spec: T-11
#[tokio::test(flavor = "multi_thread")]
async fn t11_an_address_that_only_resembles_the_clients_gets_a_page() -> Result<()> {
    let house = TestGateway::with(MANY_CLIENTS).await?;
    let client = public_client(&house, "A", &[WEB, "https://app.example/q?a=b", LOCAL]).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let mut nobody = Browser::new(&house.authority);
    for variant in VARIANTS.into_iter().chain(LOCAL_VARIANTS) {
        let link = target(&house, &client, variant);
        for (who, browser) in [("alice", &mut alice), ("nobody", &mut nobody)] {
            let answer = browser.get(&link).await?;
            assert!(is_page_without_a_way_out(&answer), "{who} {variant}: {} {:?}", answer.status, answer.headers);
            crate::html::assert_harmless(&answer.text(), None);
        }
    }
    for own in [WEB, "https://app.example/q?a=b", LOCAL, "http://127.0.0.1:53121/cb"] {
        let page = alice.get(&target(&house, &client, own)).await?;
        assert!(asks(&page), "{own}: {}", page.status);
    }
    house.stop().await
}

// spec: T-11
#[tokio::test(flavor = "multi_thread")]
async fn t11_a_parameter_that_comes_twice_is_answered_with_a_page() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = public_client(&house, "A", &[WEB]).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let good = parameters(&house, &client, WEB);
    for (name, second) in [
        ("redirect_uri", "https://evil.example/callback"),
        ("redirect_uri", WEB),
        ("redirect_uri", ""),
        ("client_id", "other"),
        ("state", "other"),
        ("response_type", "code"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "plain"),
        ("scope", "mcp:read"),
    ] {
        for first in [true, false] {
            let mut parameters = good.clone();
            if !parameters.iter().any(|(known, _)| known == name) {
                parameters.push((name.to_owned(), "mcp:call".to_owned()));
            }
            parameters.insert(if first { 0 } else { parameters.len() }, (name.to_owned(), second.to_owned()));
            let answer = alice.get(&authorize_target(&parameters)).await?;
            assert!(is_page_without_a_way_out(&answer), "{name}={second}: {}", answer.status);
        }
    }
    // An escaped name is the same name.
    let answer = alice.get(&format!("{}&redirect%5Furi=https%3A%2F%2Fevil.example", authorize_target(&good))).await?;
    assert!(is_page_without_a_way_out(&answer), "{}", answer.status);
    assert!(asks(&alice.get(&authorize_target(&good)).await?));
    house.stop().await
}

// spec: T-11
#[tokio::test(flavor = "multi_thread")]
async fn t11_addresses_with_two_readings_cannot_be_registered() -> Result<()> {
    let house = TestGateway::with(MANY_CLIENTS).await?;
    let register = |uris: &[&str]| house.request("POST", "/oauth/register").json(&public("A", uris));
    for uri in [
        "https://*.example/callback",
        "https://*/callback",
        "https://app.example/*",
        "https://app.example/callback#fragment",
        "https://app.example/callback#",
        "https://user@app.example/callback",
        "https://user:pass@app.example/callback",
        "https://app.example/a/../callback",
        "https://app.example/./callback",
        "https://app.example/%2e%2e/callback",
        "https://app.example/%2E./callback",
        "https://app.example\\@evil.example/",
        "https://app.example/call back",
        "https://app.example/callback\n",
        "https://APP.example/callback",
        "https://app.example./callback",
        "https://аpp.example/callback",
        "https://2130706433/callback",
        "https://0x7f000001/callback",
        "https://app.example:0443/callback",
        "https://",
        "https:///callback",
        "//app.example/callback",
        "/callback",
        "",
        "http://app.example/callback",
        "http://192.168.1.2/callback",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "http://127.0.0.1@evil.example/",
    ] {
        let answer = register(&[uri]).send().await?;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_redirect_uri")), "{uri:?}");
        // One bad one spoils the good ones.
        assert_eq!(register(&[WEB, uri]).send().await?.status, 400, "{uri:?}");
    }
    let eleven: Vec<String> = (0..11).map(|n| format!("https://app.example/{n}")).collect();
    let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
    assert_eq!(register(&eleven).send().await?.status, 400);
    assert_eq!(register(&eleven[..10]).send().await?.status, 201);
    house.stop().await
}

// spec: T-13
#[tokio::test(flavor = "multi_thread")]
async fn t13_no_link_of_ours_leads_a_browser_to_a_stranger() -> Result<()> {
    let house = TestGateway::with("limits: { sign_ins_per_minute: 1000 }").await?;
    let ours = url::Url::parse(&format!("http://{}", house.authority))?;
    let stays = |answer: &Answer| {
        answer.header("location").is_none_or(|to| ours.join(to).is_ok_and(|url| url.origin() == ours.origin()))
    };
    let ways = [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " https://evil.example",
        "https://evil.example",
        "https:evil.example",
        "HTTPS://evil.example/",
        "http://127.0.0.1@evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "evil.example",
        "@evil.example",
        ".evil.example",
        ":80/evil",
        "/%0d%0aLocation:%20https://evil.example",
        "/\r\nLocation: https://evil.example",
        "/..//evil.example",
        "/login/../..//evil.example",
        "/../\\evil.example",
        "/\u{2215}evil.example",
        "",
    ];
    let alice = signed_in(&house, ALICE).await?;
    for way in ways {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", way).finish();
        // Before sign-in, as a hidden field of the form; after it, by the answer to the form.
        let mut browser = Browser::new(&house.authority);
        let page = browser.get(&format!("/login?{query}")).await?;
        assert_eq!(page.status, 200, "{way:?}");
        crate::html::assert_harmless(&page.text(), None);
        let login = form(&page.text()).context("sign-in form")?;
        let mut tampered = login.clone();
        tampered.fields = vec![("return_to".into(), way.into())];
        for form in [login, tampered] {
            let answer = browser.clone().submit(&form, &[("name", ALICE.0), ("password", ALICE.1)]).await?;
            assert_eq!(answer.status, 303, "{way:?}");
            assert!(stays(&answer), "{way:?}: {:?}", answer.header("location"));
            assert!(
                !answer.headers.iter().any(|(_, value)| value.contains("evil"))
                    || answer.header("location").is_some_and(|to| to.starts_with('/') && !to.starts_with("//")),
                "{way:?}"
            );
        }
        // Somebody who is signed in already is sent on at once.
        let answer = alice.clone().get(&format!("/login?{query}")).await?;
        assert!(answer.status == 303 && stays(&answer), "{way:?}: {:?}", answer.header("location"));
    }
    for target in [
        "/logout?post_logout_redirect_uri=https%3A%2F%2Fevil.example",
        "/logout?return_to=%2F%2Fevil.example",
        "//evil.example/",
        "//evil.example/%2e%2e",
        "/\\evil.example/",
        "/?return_to=//evil.example&done=//evil.example",
        "/login//evil.example",
    ] {
        for host in [house.authority.clone(), house.authority.replace("127.0.0.1", "localhost")] {
            for request in [alice.request("GET", target), house.request("GET", target)] {
                let answer = request.host(Some(&host)).send().await?;
                assert!(stays(&answer), "{host} {target}: {:?}", answer.header("location"));
            }
        }
    }
    house.stop().await
}

// spec: T-13
#[tokio::test(flavor = "multi_thread")]
async fn t13_nobody_is_sent_on_before_client_and_address_are_proved() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = public_client(&house, "A", &[WEB]).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let mut nobody = Browser::new(&house.authority);
    for browser in [&mut alice, &mut nobody] {
        for (id, uri) in
            [("unknown", "https://evil.example/"), ("unknown", WEB), (client.as_str(), "https://evil.example/")]
        {
            // Also with something wrong besides, which a client would be told by a redirect.
            for changes in [&[][..], &[("response_type", Some("token"))], &[("scope", Some("everything"))]] {
                let answer = browser.get(&changed(&house, id, uri, changes)).await?;
                assert!(is_page_without_a_way_out(&answer), "{id} {uri} {changes:?}: {}", answer.status);
                crate::html::assert_harmless(&answer.text(), None);
            }
        }
    }
    // A stranger registers an address and sends a link with a mistake in it: no bounce, the person decides.
    let broken = changed(&house, &client, WEB, &[("scope", Some("everything"))]);
    let answer = nobody.get(&broken).await?;
    assert!(answer.header("location").is_some_and(|to| to.starts_with("/login")), "{}", answer.status);
    let answer = alice.get(&broken).await?;
    assert_eq!((answer.status, answer.header("location")), (400, None));
    crate::html::assert_harmless(&answer.text(), Some(WEB));
    house.stop().await
}
