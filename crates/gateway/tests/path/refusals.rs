//! What does not get through, in the order in which it is refused.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Gateway, Setup, borrowed, call, grant, initialize, modern, nobodys_access},
    upstream::{Speaks, Upstream},
};

const JSON: (&str, &str) = ("content-type", "application/json");

/// spec: RS-9, RS-10, RS-12, RS-16, RS-17, RS-18, RS-19, RS-20, RS-24, T-34, T-36
#[tokio::test]
async fn without_a_good_token_nothing_is_read_and_nothing_is_sent() {
    let upstream = Upstream::start(Speaks::Both).await;
    let servers = vec![("fake", upstream.at), ("other", upstream.at)];
    let gateway = Gateway::start(Setup { servers, ..Setup::default() }).await;
    let client = gateway.client("alice");
    let metadata =
        format!("resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp/fake\"", gateway.public_url);
    let minute = Duration::from_mins(1);
    let bad = [
        None,
        Some("nonsense".to_owned()),
        Some(gateway.token_for("alice", "other", "mcp:read mcp:call", minute)),
        Some(gateway.token_for("alice", "fake", "mcp:read mcp:call", Duration::ZERO)),
        Some(gateway.token_for("nobody", "fake", "mcp:read mcp:call", minute)),
        Some(format!("{}x", gateway.token("alice"))),
    ];
    for token in bad {
        let sent = token.is_some();
        let client = crate::harness::Client { token, ..client.clone() };
        for method in [Method::POST, Method::GET, Method::DELETE] {
            let got = client.exchange(method.clone(), &[JSON, ("mcp-session-id", "x")], "not json").await;
            assert_eq!(got.status, 401, "{method} {client:?}", client = client.token);
            let challenge = got.header("www-authenticate");
            assert!(challenge.starts_with("Bearer ") && challenge.contains(&metadata), "{challenge}");
            assert!(challenge.contains("scope=\"mcp:read mcp:call\""), "{challenge}");
            assert_eq!(challenge.contains("error=\"invalid_token\""), sent, "{challenge}");
        }
    }
    let twice = client.exchange(Method::POST, &[JSON, ("authorization", "Bearer x")], "{}").await;
    assert_eq!(twice.status, 400);
    assert!(twice.header("www-authenticate").contains("error=\"invalid_request\""));
    let in_url = format!("/mcp/fake?access_token={}", gateway.token("alice"));
    assert_eq!(client.without_token().to(&in_url).post(&[], &initialize("2025-11-25")).await.status, 401);
    assert!(upstream.seen().is_empty(), "nothing reached the upstream");

    let (headers, body) = modern("tools/list", json!({}));
    let odd = format!("bEaReR {}", gateway.token("alice"));
    let mut headers = borrowed(&headers);
    headers.push(("authorization", &odd));
    assert_eq!(client.without_token().post(&headers, &body).await.status, 200);
}

/// spec: AS-89, T-37
#[tokio::test]
async fn a_revoked_grant_and_a_disabled_person_are_refused_at_once() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = Gateway::before(upstream.at).await;
    let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
    assert_eq!(alice.modern("tools/list", json!({})).await.status, 200);
    gateway.ended.end_grants([grant("alice")], portcullis_base::Timestamp::from_secs(0));
    assert_eq!(alice.modern("tools/list", json!({})).await.status, 401);
    assert_eq!(bob.modern("tools/list", json!({})).await.status, 200);
    gateway.disable("bob");
    assert_eq!(bob.modern("tools/list", json!({})).await.status, 401);
}

/// spec: T-30, TR-1, RS-23
#[tokio::test]
async fn host_and_origin_come_before_the_token() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = Gateway::before(upstream.at).await;
    for client in [gateway.client("alice"), gateway.client("alice").without_token()] {
        for method in [Method::POST, Method::GET, Method::DELETE, Method::OPTIONS] {
            let evil = client.exchange(method.clone(), &[JSON, ("origin", "https://evil.example")], "{}").await;
            assert_eq!(evil.status, 403, "{method}");
            assert!(!evil.headers.contains_key("access-control-allow-origin"));
            let misdirected = client.exchange(method.clone(), &[JSON, ("host", "evil.example")], "{}").await;
            assert_eq!(misdirected.status, 421, "{method}");
        }
    }
    assert!(upstream.seen().is_empty());
}

/// spec: TR-15
#[tokio::test]
async fn pages_of_allowed_origins_get_their_preflight_and_read_the_challenge() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice").without_token();
    let asked = "authorization, mcp-protocol-version, mcp-param-region";
    let page = ("origin", "https://app.example");
    let got = client.exchange(Method::OPTIONS, &[page, ("access-control-request-headers", asked)], "").await;
    assert_eq!(got.status, 204);
    assert_eq!(got.header("access-control-allow-origin"), "https://app.example");
    assert_eq!(got.header("access-control-allow-headers"), asked);
    let refused = client.exchange(Method::POST, &[page, JSON], "{}").await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("access-control-allow-origin"), "https://app.example");
    assert!(refused.header("access-control-expose-headers").contains("WWW-Authenticate"));
    assert_eq!(refused.headers.get_all("vary").iter().collect::<Vec<_>>(), ["Authorization", "Origin"]);
}

/// spec: T-55
#[tokio::test]
async fn a_forbidden_server_looks_like_one_that_does_not_exist() {
    let upstream = Upstream::start(Speaks::Both).await;
    let servers = vec![("fake", upstream.at)];
    let gateway = Gateway::start(Setup { servers, access: nobodys_access(), ..Setup::default() }).await;
    let minute = Duration::from_mins(1);
    let mut bodies = Vec::new();
    for name in ["fake", "lost"] {
        let token = gateway.token_for("alice", name, "mcp:read mcp:call", minute);
        let client = gateway.client("alice").with_token(&token).to(&format!("/mcp/{name}"));
        let got = client.post(&[], &initialize("2025-11-25")).await;
        assert_eq!(got.status, 404);
        let mut headers: Vec<_> = got.headers.iter().filter(|(name, _)| *name != "date").collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        // Both are told where to ask, by the name that they came with.
        let text = String::from_utf8(got.body.to_vec()).unwrap();
        assert!(text.contains(&format!("{}/access/{name}", gateway.public_url)), "{text}");
        bodies.push(format!("{headers:?} {text}").replace(name, "NAME"));
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(client.exchange(method, &[("mcp-session-id", "x")], "").await.status, 404);
        }
    }
    assert_eq!(bodies[0], bodies[1]);
    assert!(upstream.seen().is_empty());
}

/// spec: RS-13, RS-14, RS-15
#[tokio::test]
async fn a_token_for_reading_does_not_call() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = Gateway::before(upstream.at).await;
    let minute = Duration::from_mins(1);
    let reader = gateway.client("alice").with_token(&gateway.token_for("alice", "fake", "mcp:read", minute));
    assert_eq!(reader.modern("tools/list", json!({})).await.status, 200);
    let got = reader.modern("tools/call", json!({ "name": "echo", "arguments": {} })).await;
    assert_eq!(got.status, 403);
    let challenge = got.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"mcp:call\""),
        "{challenge}"
    );
    assert!(challenge.contains("resource_metadata="), "{challenge}");
    assert!(upstream.calls("tools/call").is_empty());
    let caller = gateway.client("alice").with_token(&gateway.token_for("alice", "fake", "mcp:call", minute));
    assert_eq!(caller.modern("tools/list", json!({})).await.status, 200);
}

/// spec: TR-4, TR-5, T-57, T-58, T-59, T-60, TR-13, TR-69, TR-97, RS-23
#[tokio::test]
async fn what_is_not_one_strict_message_goes_nowhere() {
    let upstream = Upstream::start(Speaks::Both).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    assert_eq!(client.modern("tools/list", json!({})).await.status, 200);
    let before = upstream.seen().len();
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{}}}}}"#, "[".repeat(100_000));
    let call = call(1, "echo").to_string();
    let table: Vec<(Vec<u8>, u16, i64)> = vec![
        (b"not json".to_vec(), 400, -32700),
        (b"\xff\xfe".to_vec(), 400, -32700),
        (format!("\u{feff}{call}").into(), 400, -32700),
        (format!("{call} trailing").into(), 400, -32700),
        (
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","name":"delete"}}"#.to_vec(),
            400,
            -32700,
        ),
        (br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1e400}}"#.to_vec(), 400, -32700),
        (br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\ud800"}}"#.to_vec(), 400, -32700),
        (deep.into(), 400, -32700),
        (b"{}".to_vec(), 400, -32600),
        (b"[]".to_vec(), 400, -32600),
        (format!("[{call}]").into(), 400, -32600),
        (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.to_vec(), 400, -32600),
        (br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#.to_vec(), 400, -32600),
    ];
    for (body, status, code) in table {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let got = client.exchange(Method::POST, &[JSON], body).await;
        assert_eq!((got.status.as_u16(), got.code()), (status, code), "{shown}");
    }
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":"{}"}}}}"#, "x".repeat(5 << 20));
    assert_eq!(client.exchange(Method::POST, &[JSON], large).await.status, 413);
    assert_eq!(client.exchange(Method::POST, &[("content-type", "text/plain")], call.clone()).await.status, 415);
    let packed = [JSON, ("content-encoding", "gzip")];
    assert_eq!(client.exchange(Method::POST, &packed, call.clone()).await.status, 415);
    assert_eq!(upstream.seen().len(), before, "nothing of it reached the upstream");
}

/// spec: T-56, T-69, TR-21, TR-23, TR-24, TR-25, TR-26, TR-40, TR-41, TR-42, TR-56
#[tokio::test]
async fn headers_that_differ_from_the_body_are_refused_before_anything_is_sent() {
    let upstream = Upstream::start(Speaks::Both).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let (headers, body) = modern("tools/call", json!({ "name": "echo", "arguments": {} }));
    let with = |change: &[(&'static str, Option<&'static str>)]| {
        let mut headers = headers.clone();
        for (name, value) in change {
            headers.retain(|(known, _)| known != name);
            headers.extend(value.map(|value| ((*name).to_owned(), value.to_owned())));
        }
        headers
    };
    let table = [
        (with(&[("mcp-method", Some("tools/list"))]), 400, -32020),
        (with(&[("mcp-method", None)]), 400, -32020),
        (with(&[("mcp-method", Some("TOOLS/CALL"))]), 400, -32020),
        (with(&[("mcp-name", Some("delete"))]), 400, -32020),
        (with(&[("mcp-name", None)]), 400, -32020),
        (with(&[("mcp-name", Some("=?base64?ZGVsZXRl?="))]), 400, -32020),
        (with(&[("mcp-name", Some("=?base64?***?="))]), 400, -32020),
        (with(&[("mcp-protocol-version", None)]), 400, -32020),
        (with(&[("mcp-protocol-version", Some("2025-11-25"))]), 400, -32020),
    ];
    for (headers, status, code) in table {
        let got = client.post(&borrowed(&headers), &body).await;
        assert_eq!((got.status.as_u16(), got.code()), (status, code), "{headers:?}");
        assert_eq!(got.json()["id"], 1);
    }
    let mut twice = headers.clone();
    twice.push(("mcp-name".into(), "echo".into()));
    assert_eq!(client.post(&borrowed(&twice), &body).await.code(), -32020);

    let refused = async |method: &str| client.modern(method, json!({})).await;
    for method in ["initialize", "ping", "logging/setLevel", "no/such"] {
        let got = refused(method).await;
        assert_eq!((got.status.as_u16(), got.code()), (404, -32601), "{method}");
    }
    let bare = client.post(&[], &call(1, "echo")).await;
    assert_eq!(bare.status, 400);
    let unknown = client.post(&[("mcp-protocol-version", "1999-01-01")], &call(1, "echo")).await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (400, -32022));
    assert_eq!(unknown.json()["error"]["data"]["requested"], "1999-01-01");
    assert!(upstream.calls("tools/call").is_empty() && upstream.calls("no/such").is_empty());
}

/// spec: TR-46, TR-127, SEC-72
#[tokio::test]
async fn parameter_headers_are_held_against_the_servers_own_definition() {
    let upstream = Upstream::start(Speaks::Modern).await;
    let gateway = Gateway::before(upstream.at).await;
    let client = gateway.client("alice");
    let call = async |region: Value, header: Option<&str>| {
        let (headers, body) = modern("tools/call", json!({ "name": "regional", "arguments": { "region": region } }));
        let mut headers = borrowed(&headers);
        headers.extend(header.map(|value| ("mcp-param-region", value)));
        headers.push(("mcp-param-made-up", "x"));
        client.post(&headers, &body).await
    };
    assert_eq!(call(json!("eu"), Some("us")).await.code(), -32020);
    assert_eq!(call(json!("eu"), None).await.code(), -32020);
    assert_eq!(call(Value::Null, Some("eu")).await.code(), -32020);
    assert!(upstream.calls("tools/call").is_empty());
    assert_eq!(call(Value::Null, None).await.status, 200);
    assert_eq!(call(json!("eu"), Some("eu")).await.status, 200);
    assert_eq!(call(json!("zürich"), Some("=?base64?esO8cmljaA==?=")).await.status, 200);
    let seen = upstream.calls("tools/call");
    assert!(!seen[0].headers.contains_key("mcp-param-region"));
    assert_eq!(seen[1].header("mcp-param-region"), "eu");
    assert_eq!(seen[2].header("mcp-param-region"), "=?base64?esO8cmljaA==?=");
    assert!(seen.iter().all(|seen| !seen.headers.contains_key("mcp-param-made-up")));
}

/// spec: TR-28, TR-29, T-54
#[tokio::test]
async fn every_endpoint_serves_every_revision_and_names_them() {
    for speaks in [Speaks::Legacy, Speaks::Modern, Speaks::Both] {
        let upstream = Upstream::start(speaks).await;
        let gateway = Gateway::before(upstream.at).await;
        let client = gateway.client("alice");
        let (mut headers, mut body) = modern("server/discover", json!({}));
        body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2099-01-01".into();
        headers[0].1 = "2099-01-01".into();
        let got = client.post(&borrowed(&headers), &body).await;
        assert_eq!((got.status.as_u16(), got.code()), (400, -32022), "{got:?}");
        let served = json!(["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"]);
        assert_eq!(got.json()["error"]["data"]["supported"], served);
        for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
            let got = client.post(&[], &initialize(version)).await;
            assert_eq!(
                (got.status.as_u16(), &got.json()["result"]["protocolVersion"]),
                (200, &json!(version)),
                "{got:?}"
            );
        }
        for method in [Method::GET, Method::DELETE] {
            let got = client.exchange(method, &[("mcp-session-id", "x"), ("accept", "text/event-stream")], "").await;
            assert_eq!(got.status, 404);
        }
    }
}
