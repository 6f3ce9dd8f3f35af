//! Requests that a hostile page makes a signed-in browser send.

use anyhow::{Context, Result};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    person::Browser,
};
use serde_json::json;

use crate::{
    html,
    visit::{WEB, public_client, signed_in, target},
};

/// Headers or fields.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// The form token and the first grant on somebody's home page.
async fn home(browser: &mut Browser) -> Result<(String, String)> {
    let elements = html::elements(&browser.get("/").await?.text());
    let value = |name: &str| {
        let found = elements.iter().find(|element| element.attribute("name") == Some(name));
        found.and_then(|element| element.attribute("value")).map(str::to_owned).context("field")
    };
    Ok((value("form_token")?, value("grant")?))
}

// spec: T-94
#[tokio::test(flavor = "multi_thread")]
async fn t94_nothing_changes_by_a_form_that_is_not_ours() -> Result<()> {
    let house = TestGateway::with("limits: { sign_ins_per_minute: 1000 }").await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let (token, grant) = home(&mut alice).await?;
    let ours = format!("http://{}", house.authority);
    // The token of another session of the same person is not this session's.
    let elsewhere = home(&mut signed_in(&house, ALICE).await?).await?.0;
    let good = [("form_token", token.as_str()), ("grant", &grant)];
    let bad = [("form_token", elsewhere.as_str()), ("grant", &grant)];
    let evil = ("origin", "https://evil.example");
    let same = ("origin", ours.as_str());
    let arrivals: [(Pairs<'_>, Pairs<'_>); 9] = [
        (&[evil, ("sec-fetch-site", "cross-site")], &good),
        (&[evil], &good),
        (&[("origin", "null")], &good),
        (&[("sec-fetch-site", "cross-site")], &good),
        (&[same, ("sec-fetch-site", "same-site")], &good),
        (&[], &good),
        (&[same], &bad),
        (&[same], &good[1..]),
        (&[same, evil], &good),
    ];
    for path in ["/grants/revoke", "/logout"] {
        for (headers, fields) in arrivals {
            let request = headers.iter().fold(alice.request("POST", path), |request, (n, v)| request.header(n, v));
            let answer = request.form(fields).send().await?;
            assert_eq!(answer.status, 403, "{path} {headers:?} {fields:?}");
            assert_eq!(answer.header("set-cookie"), None);
        }
        // The kinds of body that a page can send without asking, and JSON.
        let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(good).finish();
        for kind in ["text/plain", "multipart/form-data; boundary=x", "application/json"] {
            let request = alice.request("POST", path).header("origin", &ours).header("content-type", kind);
            let answer = request.body(text.clone()).send().await?;
            assert!([400, 403, 415].contains(&answer.status), "{path} {kind}: {}", answer.status);
        }
        // By a link.
        let answer = alice.get(&format!("{path}?{text}")).await?;
        assert!([200, 405].contains(&answer.status), "{path}: {}", answer.status);
        for method in ["PUT", "DELETE", "PATCH"] {
            let answer = alice.request(method, &format!("{path}?{text}")).header("connection", "close").send().await?;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    // Nothing of that did anything: the session and the access are still there.
    let (token, grant) = home(&mut alice).await?;
    let call = || house.call("sample", &tokens.access, "echo", json!({ "message": "hi" }));
    assert_eq!(call().send().await?.status, 200);
    let form = [("form_token", token.as_str()), ("grant", &grant)];
    let answer = alice.request("POST", "/grants/revoke").header("origin", &ours).form(&form).send().await?;
    assert_eq!(answer.status, 303);
    assert_eq!(call().send().await?.status, 401);
    // A sign-in is a change too: nobody is signed in as somebody else by a foreign page.
    let form = [("name", ALICE.0), ("password", ALICE.1)];
    for (name, value) in [evil, ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        let answer = house.request("POST", "/login").header(name, value).form(&form).send().await?;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{name}: {value}");
    }
    house.stop().await
}

// spec: T-94
#[tokio::test(flavor = "multi_thread")]
async fn t94_other_origins_read_public_documents_and_nothing_else() -> Result<()> {
    let house = TestGateway::start().await?;
    let client = public_client(&house, "A", &[WEB]).await?;
    let mut alice = signed_in(&house, ALICE).await?;
    let allowed = |answer: &portcullis_house::http::Answer| {
        (
            answer.header("access-control-allow-origin").map(str::to_owned),
            answer.header("access-control-allow-credentials").map(str::to_owned),
        )
    };
    let consent = target(&house, &client, WEB);
    for path in ["/", "/login", "/logout", "/nowhere", "/grants/revoke", consent.as_str(), "/welcome/x"] {
        for origin in ["https://evil.example", "null", "http://localhost:1"] {
            for method in ["GET", "OPTIONS", "POST"] {
                let request = alice.request(method, path).header("origin", origin);
                let answer = request.header("access-control-request-method", "POST").send().await?;
                assert_eq!(allowed(&answer), (None, None), "{method} {path} {origin}");
                assert_eq!(answer.status, 403, "{method} {path} {origin}");
            }
        }
        assert_eq!(allowed(&alice.get(path).await?), (None, None), "{path}");
    }
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource/mcp/sample",
        "/oauth/jwks",
    ] {
        let answer = alice.request("GET", path).header("origin", "https://inspector.example").send().await?;
        // A wildcard, which no browser honours together with cookies; never the origin itself.
        assert_eq!((answer.status, allowed(&answer)), (200, (Some("*".into()), None)), "{path}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    house.stop().await
}

// spec: T-94
#[tokio::test(flavor = "multi_thread")]
async fn t94_the_session_cookie_is_bound_to_this_origin() -> Result<()> {
    let house = TestGateway::start().await?;
    let mut browser = Browser::new(&house.authority);
    let answer = browser.sign_in(ALICE.0, ALICE.1).await?;
    let cookies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, v)| v).collect();
    assert_eq!(cookies.len(), 1);
    let (value, attributes) = cookies[0].split_once(';').context("attributes")?;
    assert!(value.starts_with("__Host-"), "{value}");
    let attributes: Vec<_> = attributes.split(';').map(str::trim).collect();
    // Lax and not Strict: clients send people here from other sites, and they should not have to sign in each time.
    for expected in ["Secure", "HttpOnly", "Path=/", "SameSite=Lax"] {
        assert!(attributes.contains(&expected), "{attributes:?}");
    }
    assert!(!attributes.iter().any(|attribute| attribute.starts_with("Domain")));
    house.stop().await
}
