//! Keys of others: how often they can make us ask for them.

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use portcullis_base::ClientId;
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    person::{Client, REDIRECT},
};
use portcullis_oauth::client::{AuthMethod, Client as Known, ClientKind};
use serde_json::json;

use crate::behind::{Behind, Reply};

// spec: T-38
#[tokio::test(flavor = "multi_thread")]
async fn t38_unknown_key_names_make_us_fetch_nothing_twice() -> Result<()> {
    // The canary answers with a key set of more than 256 KiB, or with one that is no use.
    let huge = json!({ "keys": [], "padding": "x".repeat(300 << 10) }).to_string();
    let publisher = Behind::with(move |seen| {
        let body = if seen.line.contains("huge") { huge.clone() } else { r#"{"keys":[]}"#.to_owned() };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/jwk-set+json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Some(Reply::Raw([head.into_bytes(), body.into_bytes()].concat()))
    })
    .await?;
    let settings = format!("outbound: {{ private_hosts: ['{}'] }}", publisher.at);
    let house = TestGateway::with(&settings).await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    let mut ids = Vec::new();
    for set in ["small", "huge"] {
        let registered = Client::register(&house.authority, set).await?;
        let stored = house.app.store.client(&ClientId::new(registered.id.as_str())).await?.context("registered")?;
        let mut metadata = stored.client.metadata;
        metadata.token_endpoint_auth_method = AuthMethod::PrivateKeyJwt;
        metadata.jwks_uri = Some(format!("http://{}/{set}", publisher.at));
        let id = ClientId::new(format!("client-{set}"));
        let client = Known::new(id.clone(), ClientKind::Registered, metadata, None, house.app.clock.now());
        house.app.store.put_registered(&client, 100, house.app.clock.now()).await?;
        ids.push(id);
    }
    // At an endpoint: only our own keys count, whatever is asked.
    for n in 0..200 {
        let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": format!("random-{n}") }).to_string();
        let payload = tokens.access.split('.').nth(1).unwrap_or_default();
        let token = format!("{}.{payload}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode([7; 64]));
        assert_eq!(house.call("sample", &token, "echo", json!({})).send().await?.status, 401);
    }
    assert!(publisher.seen().is_empty());
    // At the token endpoint: the client's own set, once a minute at most, also when many ask at the same moment.
    let issuer = format!("http://{}", house.authority);
    let now = house.app.clock.now().as_secs();
    for id in &ids {
        let before = publisher.seen().len();
        let ask = |n: usize| {
            let header = json!({ "typ": "JWT", "alg": "ES256", "kid": format!("random-{n}") }).to_string();
            let claims = json!({ "iss": id.as_str(), "sub": id.as_str(), "aud": issuer, "iat": now, "exp": now + 60, "jti": n.to_string() });
            let assertion = format!(
                "{}.{}.{}",
                URL_SAFE_NO_PAD.encode(header),
                URL_SAFE_NO_PAD.encode(claims.to_string()),
                URL_SAFE_NO_PAD.encode([7; 64])
            );
            house.request("POST", "/oauth/token").form(&[
                ("grant_type", "authorization_code"),
                ("code", "x"),
                ("redirect_uri", REDIRECT),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &assertion),
            ])
        };
        let requests: Vec<_> = (0..40).map(ask).collect();
        for answer in join_all(requests.iter().map(portcullis_house::http::Request::send)).await {
            let answer = answer?;
            assert!([401, 429].contains(&answer.status), "{} {}", answer.status, answer.text());
        }
        assert_eq!(publisher.seen().len() - before, 1, "fetches for {id:?}");
        for n in 100..115 {
            assert!([401, 429].contains(&ask(n).send().await?.status));
        }
        assert_eq!(publisher.seen().len() - before, 1, "fetches for {id:?}");
    }
    house.stop().await
}
