//! A credential in every place in which a request can have one, in both eras: nothing of it reaches a server.

use anyhow::Result;
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::Request,
};
use serde_json::{Value, json};

use crate::{
    behind::{Behind, Reply, Then},
    visit::signed_in,
};

/// What the server is configured to get; no part of it is part of a canary.
const OWN: &str = "the-servers-own-key";

/// Headers by which somebody proves something, or by which a message of the protocol could carry it on.
const HEADERS: [(&str, &str); 30] = [
    ("proxy-authorization", "Basic canary-proxy"),
    ("x-authorization", "Bearer canary-x"),
    ("x-forwarded-authorization", "Bearer canary-x"),
    ("x-forwarded-access-token", "canary-x"),
    ("x-original-authorization", "canary-x"),
    ("x-api-key", "canary-key"),
    ("api-key", "canary-key"),
    ("apikey", "canary-key"),
    ("x-goog-api-key", "canary-key"),
    ("x-functions-key", "canary-key"),
    ("ocp-apim-subscription-key", "canary-key"),
    ("x-auth-token", "canary-token"),
    ("x-access-token", "canary-token"),
    ("x-gitlab-token", "canary-token"),
    ("private-token", "canary-token"),
    ("x-vault-token", "canary-token"),
    ("x-csrf-token", "canary-token"),
    ("x-amz-security-token", "canary-token"),
    ("x-ms-token-aad-access-token", "canary-token"),
    ("x-goog-iap-jwt-assertion", "canary-jwt"),
    ("cf-access-jwt-assertion", "canary-jwt"),
    ("x-session-id", "canary-session"),
    ("dpop", "canary-dpop"),
    ("signature", "canary-signature"),
    ("x-user", "canary-user"),
    ("remote-user", "canary-user"),
    ("authentication-info", "canary-info"),
    ("mcp-authorization", "Bearer canary-mcp"),
    ("last-event-id", "canary-event"),
    ("x-trace", "Bearer canary-named"),
];

/// Targets, each with a credential in its query.
const TARGETS: [&str; 4] = [
    "/mcp/behind?api_key=canary-query",
    "/mcp/behind?token=canary-query&key=canary-query",
    "/mcp/behind?authorization=Bearer%20canary-query",
    "/mcp/behind?%61pikey=canary-query",
];

/// Everything that can stand in `_meta` and prove something; what is `kept` does not.
fn proofs() -> Value {
    json!({
        "authorization": "canary-meta", "Authorization": "Bearer canary-meta", "Cookie": "sid=canary-meta",
        "com.example/apiKey": "canary-meta", "com.example/access_token": { "value": "canary-meta" },
        "X-Gitlab-Token": "canary-meta", "x-amz-security-token": "canary-meta", "note": "Bearer canary-meta",
        "headers": { "X-Api-Key": "canary-meta", "kept": "kept-meta" },
        "list": [{ "client_secret": "canary-meta" }, "Basic canary-meta", ["DPoP canary-meta"]],
        "io.modelcontextprotocol/authorization": "canary-meta",
        "io.modelcontextprotocol/oauth": { "refreshToken": "canary-meta" },
    })
}

/// `_meta` of the stateless revision with all of these in it.
fn modern_meta() -> Value {
    let mut meta = proofs();
    meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    meta["io.modelcontextprotocol/clientCapabilities"] =
        json!({ "experimental": { "token": "canary-meta" }, "elicitation": { "form": {} } });
    meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "house", "version": "1", "apiKey": "canary-meta" });
    meta
}

// spec: T-35, SEC-3, RS-22
#[tokio::test(flavor = "multi_thread")]
async fn t35_a_credential_in_any_place_of_any_request_stays_here() -> Result<()> {
    let key = tempfile::NamedTempFile::new()?;
    std::fs::write(key.path(), OWN)?;
    let house = TestGateway::start().await?;
    let behind = Behind::with(|seen| seen.line.starts_with("GET").then(|| Reply::events(&[], Then::Hang))).await?;
    let value = format!("file:{}", key.path().display());
    house
        .protect_as(json!({ "name": "behind", "url": format!("http://{}/mcp", behind.at),
            "credential": { "kind": "header", "value": value }, "request_headers": ["accept-language", "x-trace"] }))
        .await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let cookie = signed_in(&house, ALICE).await?.cookie_header();
    let token = tokens.access.as_str();
    let dress = |method: &str, target: &str| {
        let request = house.request(method, target).bearer(token).header("cookie", &cookie);
        let request = HEADERS.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.header("accept-language", "de-DE").header("accept", "application/json, text/event-stream")
    };
    let mut names = Vec::new();

    // The stateless revision: whatever it can ask for.
    for (turn, (method, params)) in [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("tools/call", json!({ "name": "echo", "arguments": { "text": "kept-argument" } })),
        (
            "tools/call",
            json!({ "name": "echo", "arguments": {},
            "inputResponses": { "a": { "action": "accept", "content": {}, "_meta": proofs() } } }),
        ),
        ("prompts/list", json!({})),
        ("prompts/get", json!({ "name": "p" })),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({ "uri": "file:///x" })),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "p" },
            "argument": { "name": "a", "value": "b" } }),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut params = params;
        params["_meta"] = modern_meta();
        let mut request = dress("POST", TARGETS[turn % TARGETS.len()])
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method)
            .header("mcp-session-id", "canary-session-of-another");
        if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
            request = request.header("mcp-name", name);
        }
        let body = json!({ "jsonrpc": "2.0", "id": turn, "method": method, "params": params });
        let before = behind.seen().len();
        let answer = request.json(&body).send().await?;
        assert!(behind.seen().len() > before, "{method} did not arrive: {} {}", answer.status, answer.text());
        names.push(method);
    }
    // What stands in a header of the protocol and nowhere in the message does not go on at all.
    for (name, value) in
        [("mcp-name", "Bearer canary-mcp"), ("mcp-method", "canary-mcp"), ("mcp-param-region", "canary-mcp")]
    {
        let mut request = dress("POST", TARGETS[0]).header("mcp-protocol-version", "2026-07-28");
        for (own, right) in [("mcp-name", "regional"), ("mcp-method", "tools/call")] {
            request = request.header(own, if own == name { value } else { right });
        }
        if name == "mcp-param-region" {
            request = request.header(name, value);
        }
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "regional", "arguments": { "region": "eu" }, "_meta": modern_meta() } });
        assert_eq!(request.json(&body).send().await?.status, 400, "{name}");
    }

    // The revision with sessions.
    let send = |session: Option<&str>, body: &Value| -> Request {
        let request = dress("POST", TARGETS[1]).header("mcp-protocol-version", "2025-11-25");
        let request = session.into_iter().fold(request, |request, id| request.header("mcp-session-id", id));
        request.json(body)
    };
    let opening = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} },
        "clientInfo": { "name": "house", "version": "1" }, "_meta": proofs() } });
    let answer = send(None, &opening).send().await?;
    let session = answer.header("mcp-session-id").unwrap_or_default().to_owned();
    assert!(answer.status == 200 && !session.is_empty(), "{} {}", answer.status, answer.text());
    for body in [
        json!({ "method": "notifications/initialized", "params": { "_meta": proofs() } }),
        json!({ "id": 1, "method": "ping", "params": { "_meta": proofs() } }),
        json!({ "id": 2, "method": "tools/list", "params": { "_meta": proofs() } }),
        json!({ "id": 3, "method": "tools/call", "params": { "name": "echo", "arguments": {}, "_meta": proofs() } }),
        json!({ "id": 4, "method": "prompts/list", "params": { "_meta": proofs() } }),
        json!({ "id": 5, "method": "resources/list", "params": { "_meta": proofs() } }),
        json!({ "id": 6, "method": "resources/read", "params": { "uri": "file:///x", "_meta": proofs() } }),
        json!({ "id": 7, "method": "logging/setLevel", "params": { "level": "debug", "_meta": proofs() } }),
        json!({ "method": "notifications/roots/list_changed", "params": { "_meta": proofs() } }),
        json!({ "id": "asked", "result": { "action": "accept", "content": {}, "_meta": proofs() } }),
    ] {
        let mut body = body;
        body["jsonrpc"] = "2.0".into();
        let before = behind.seen().len();
        let answer = send(Some(&session), &body).send().await?;
        assert!(behind.seen().len() > before, "{body} did not arrive: {} {}", answer.status, answer.text());
    }
    let listen = |method: &str| {
        dress(method, TARGETS[2]).header("mcp-session-id", &session).header("mcp-protocol-version", "2025-11-25")
    };
    let stream = listen("GET").stream().await?;
    assert_eq!((stream.status, listen("DELETE").send().await?.status), (200, 204));

    let seen = behind.seen();
    for method in names {
        assert!(seen.iter().any(|seen| seen.rpc() == method), "{method} was not tried");
    }
    let of_cookie = cookie.split("; ").filter_map(|pair| Some(pair.split_once('=')?.1));
    let refresh = tokens.refresh.as_deref().unwrap_or_default();
    let ours: Vec<&str> = token.split('.').chain([token, session.as_str(), refresh]).chain(of_cookie).collect();
    assert!(ours.iter().all(|secret| secret.len() > 12), "{ours:?}");
    for request in &seen {
        let text = request.text();
        let shown: Vec<_> = request.headers.iter().filter(|(name, _)| name == "authorization").collect();
        assert!(shown.len() == 1 && shown[0].1 == format!("Bearer {OWN}"), "{text}");
        for secret in ours.iter().copied().chain(["canary"]) {
            assert!(!text.contains(secret), "{secret} went upstream in {text}");
        }
    }
    // It is the credentials that were taken out, and nothing else.
    let whole = seen.iter().filter(|seen| seen.text().contains("kept-meta")).count();
    assert!(whole > 15, "{whole}");
    assert!(seen.iter().any(|seen| seen.text().contains("kept-argument")));
    assert!(seen.iter().any(|seen| seen.header("accept-language") == Some("de-DE")));
    // Two proofs in one place are none.
    let two = dress("POST", TARGETS[0]).bearer("canary-second").json(&opening).send().await?;
    assert!([400, 401].contains(&two.status), "{}", two.status);
    assert_eq!(behind.seen().len(), seen.len());
    house.stop().await
}
