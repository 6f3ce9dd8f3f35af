//! Who is meant, and who says so: `Host`, `Origin`, and headers that proxies write.

use anyhow::Result;
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Request,
};
use serde_json::json;

use crate::behind::Behind;

/// Every route of the public listener. The second part of the table may be read by any page, but only under our name.
const GUARDED: [(&str, &str); 20] = [
    ("POST", "/mcp/sample"),
    ("GET", "/mcp/sample"),
    ("DELETE", "/mcp/sample"),
    ("OPTIONS", "/mcp/sample"),
    ("POST", "/mcp/elsewhere"),
    ("GET", "/"),
    ("POST", "/grants/revoke"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/logout"),
    ("POST", "/logout"),
    ("GET", "/welcome/x"),
    ("POST", "/welcome/x"),
    ("GET", "/assets/x"),
    ("GET", "/oauth/authorize"),
    ("POST", "/oauth/authorize"),
    ("GET", "/authorize"),
    ("POST", "/authorize"),
    ("GET", "/nowhere"),
    ("POST", "/nowhere"),
];
const OPEN: [(&str, &str); 9] = [
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/.well-known/oauth-protected-resource/mcp/sample"),
    ("GET", "/oauth/jwks"),
    ("POST", "/oauth/token"),
    ("POST", "/oauth/register"),
    ("POST", "/oauth/revoke"),
    ("POST", "/oauth/introspect"),
    ("POST", "/register"),
];

// spec: T-30
#[tokio::test(flavor = "multi_thread")]
async fn t30_no_route_answers_under_a_foreign_host() -> Result<()> {
    let house = TestGateway::start().await?;
    let port = house.authority.rsplit(':').next().unwrap_or_default().to_owned();
    let (_, tokens) = house.client("sample", ALICE).await?;
    let before = processed(&house).await?;
    let foreign = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("127.0.0.1@evil.example:{port}"),
        format!("192.168.1.7:{port}"),
        format!("127.0.0.1:{port}x"),
        "127.0.0.1:1".to_owned(),
        String::new(),
    ];
    for (method, path) in GUARDED.into_iter().chain(OPEN) {
        for host in &foreign {
            let answer = house.request(method, path).host(Some(host)).bearer(&tokens.access).send().await?;
            // An authority that is none at all may be refused by the HTTP layer itself.
            let expected = if host.contains('@') || host.ends_with('x') { vec![400, 421] } else { vec![421] };
            assert!(expected.contains(&answer.status), "{method} {path} as {host:?}: {}", answer.status);
        }
        let answer = house.request(method, path).host(None).send().await?;
        assert!([400, 421].contains(&answer.status), "{method} {path} without Host: {}", answer.status);
        let two = house.request(method, path).header("host", "evil.example").send().await?;
        assert!([400, 421].contains(&two.status), "{method} {path} with two Hosts: {}", two.status);
        let absolute = format!("http://evil.example{path}");
        let answer = house.request(method, &absolute).send().await?;
        assert!([400, 421].contains(&answer.status), "{method} {absolute}: {}", answer.status);
    }
    assert_eq!(processed(&house).await?, before, "something was processed");
    for (method, path) in GUARDED.into_iter().chain(OPEN) {
        let ours = house.request(method, path).host(Some(&format!("localhost:{port}"))).send().await?;
        assert_ne!(ours.status, 421, "{method} {path} as localhost");
    }
    house.stop().await
}

// spec: T-30
#[tokio::test(flavor = "multi_thread")]
async fn t30_no_guarded_route_answers_a_page_of_a_foreign_origin() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::start().await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let session = house.session("behind", &tokens.access).await?;
    let ours = format!("http://{}", house.authority);
    let suffixed = format!("{ours}.evil.example");
    let origins = ["https://evil.example", "null", "http://127.0.0.1", "http://localhost", "", &suffixed];
    let before = behind.seen().len();
    for origin in origins {
        for (method, path) in GUARDED {
            let answer = house.request(method, path).header("origin", origin).send().await?;
            assert_eq!(answer.status, 403, "{method} {path} from {origin:?}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {path}");
        }
        // With a good token, in both eras: refused before anything is looked at.
        let call =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "echo", "arguments": {} } });
        let requests: [Request; 2] = [
            house.call("behind", &tokens.access, "echo", json!({})),
            house.legacy("behind", &tokens.access, &session, &call),
        ];
        for request in requests {
            let answer = request.header("origin", origin).send().await?;
            assert_eq!((answer.status, answer.header("www-authenticate")), (403, None), "{origin:?}");
        }
    }
    let doubled = house.call("behind", &tokens.access, "echo", json!({})).header("origin", &ours);
    assert_eq!(doubled.clone().header("origin", "https://evil.example").send().await?.status, 403);
    assert_eq!(behind.seen().len(), before, "a foreign page reached the server");
    // Our own pages may.
    let answer = doubled.send().await?;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(ours.as_str())));
    house.stop().await
}

// spec: T-30
#[tokio::test(flavor = "multi_thread")]
async fn t30_nothing_we_say_of_ourselves_comes_from_host() -> Result<()> {
    let house = TestGateway::start().await?;
    let port = house.authority.rsplit(':').next().unwrap_or_default().to_owned();
    let issuer = format!("http://{}", house.authority);
    let aliased = |method: &str, path: &str| house.request(method, path).host(Some(&format!("localhost:{port}")));
    let metadata = aliased("GET", "/.well-known/oauth-authorization-server").send().await?.json();
    assert_eq!(metadata["issuer"], issuer.as_str());
    assert!(!metadata.to_string().contains("localhost"), "{metadata}");
    let resource = aliased("GET", "/.well-known/oauth-protected-resource/mcp/sample").send().await?.json();
    assert_eq!(resource["resource"], format!("{issuer}/mcp/sample"));
    let challenge = aliased("POST", "/mcp/sample").json(&json!({})).send().await?;
    let challenge = challenge.header("www-authenticate").unwrap_or_default().to_owned();
    assert!(challenge.contains(&format!("{issuer}/.well-known/")), "{challenge}");
    house.stop().await
}

/// What a client might send in the hope that a proxy in front had sent it.
const SPOOFED: [(&str, &str); 14] = [
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-for", "198.51.100.66"),
    ("x-forwarded-server", "evil.example"),
    ("x-original-url", "/mcp/behind"),
    ("x-rewrite-url", "/mcp/behind"),
    ("forwarded", "for=198.51.100.66;host=evil.example;proto=https"),
    ("x-real-ip", "198.51.100.66"),
    ("x-user", "alice"),
    ("x-forwarded-user", "alice"),
    ("x-remote-user", "alice"),
    ("x-internal-key", "secret-api-key"),
    ("x-mcp-server", "sample"),
    ("x-portcullis-person", "alice"),
];

fn spoof(request: Request) -> Request {
    SPOOFED.iter().fold(request, |request, (name, value)| request.header(name, value))
}

// spec: T-32
#[tokio::test(flavor = "multi_thread")]
async fn t32_no_header_of_a_client_says_who_it_is_or_where() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::start().await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", BOB).await?;
    let issuer = format!("http://{}", house.authority);

    // They are no credential.
    let bare = house.call("behind", "x", "echo", json!({}));
    assert_eq!(spoof(bare).send().await?.status, 401);
    assert_eq!(spoof(house.request("GET", "/")).send().await?.status, house.request("GET", "/").send().await?.status);
    // They do not change what we call ourselves.
    let metadata = spoof(house.request("GET", "/.well-known/oauth-authorization-server")).send().await?.json();
    assert_eq!(metadata["issuer"], issuer.as_str());
    assert!(!metadata.to_string().contains("evil"), "{metadata}");

    // Beside a good token they change neither person nor address, and they go no further.
    let answer = spoof(house.call("behind", &tokens.access, "echo", json!({ "n": 1 }))).send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let decided = house.events("call.decided").await?;
    let last = decided.last().cloned().unwrap_or_default();
    assert_eq!((&last["person_name"], &last["address"]), (&json!("bob"), &json!("127.0.0.1")), "{last}");
    for seen in behind.seen() {
        let text = seen.text().to_ascii_lowercase();
        for (name, value) in SPOOFED {
            let travelled = seen.header(name).is_some() || (value.len() > 8 && text.contains(value));
            assert!(!travelled, "{name} went upstream: {text}");
        }
    }
    house.stop().await
}

// spec: T-32
#[tokio::test(flavor = "multi_thread")]
async fn t32_a_trusted_proxy_is_believed_about_the_address_and_nothing_else() -> Result<()> {
    let house = TestGateway::with("trusted_proxies: [127.0.0.1]").await?;
    let (_, tokens) = house.client("sample", BOB).await?;
    let request = house
        .call("sample", &tokens.access, "echo", json!({ "message": "x" }))
        .header("x-forwarded-for", "198.51.100.66, 203.0.113.7")
        .header("x-forwarded-host", "evil.example")
        .header("x-user", "alice");
    assert_eq!(request.send().await?.status, 200);
    let decided = house.events("call.decided").await?;
    let last = decided.last().cloned().unwrap_or_default();
    // The rightmost is what the proxy saw; what stands left of it is the client's own invention.
    assert_eq!((&last["person_name"], &last["address"]), (&json!("bob"), &json!("203.0.113.7")), "{last}");
    let metadata = house
        .request("GET", "/.well-known/oauth-authorization-server")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .send()
        .await?;
    assert_eq!(metadata.json()["issuer"], format!("http://{}", house.authority));
    house.stop().await
}

/// Lines of the record but for those that say that somebody was turned away.
async fn processed(house: &TestGateway) -> Result<usize> {
    Ok(house.journal().await?.iter().filter(|line| line["event"] != "request.refused").count())
}
