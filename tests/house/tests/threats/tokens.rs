//! Access tokens: for one endpoint, from us, in one place of a request, as long as they say.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::{Answer, Request},
    person::Browser,
};
use portcullis_oauth::{jwks::SigningKey, jwt};
use ring::{hmac, rand::SystemRandom};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::behind::Behind;

// spec: T-34
#[tokio::test(flavor = "multi_thread")]
async fn t34_token_for_one_endpoint_opens_no_other() -> Result<()> {
    let house = TestGateway::start().await?;
    let names = ["wiki", "payments", "mail", "wiki-2"];
    let behind = Behind::start().await?;
    for name in names {
        house.protect(name, behind.at).await?;
    }
    let (_, tokens) = house.client_of(&names, ALICE).await?;
    for (mine, token) in names.iter().zip(&tokens) {
        assert_eq!(claims(&token.access)?["aud"], format!("http://{}/mcp/{mine}", house.authority));
        for called in names {
            let before = behind.seen().len();
            let answers = [
                house.call(called, &token.access, "echo", json!({})).send().await?,
                opening(&house, called, &token.access).send().await?,
                house.request("DELETE", &format!("/mcp/{called}")).bearer(&token.access).send().await?,
                house.request("GET", &format!("/mcp/{called}")).bearer(&token.access).send().await?,
            ];
            if called == *mine {
                assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200, 400, 400], "{mine} at {called}");
                continue;
            }
            for answer in answers {
                refused(&answer, &format!("{mine} at {called}"));
                let metadata = format!("http://{}/.well-known/oauth-protected-resource/mcp/{called}", house.authority);
                let challenge = answer.header("www-authenticate").unwrap_or_default().to_owned();
                assert!(challenge.contains(&format!("resource_metadata=\"{metadata}\"")), "{challenge}");
            }
            assert_eq!(behind.seen().len(), before, "{mine} reached {called}");
        }
    }
    house.stop().await
}

// spec: T-34
#[tokio::test(flavor = "multi_thread")]
async fn t34_neither_code_nor_refresh_token_switches_the_endpoint() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::start().await?;
    house.protect("payments", behind.at).await?;
    let (client, tokens) = house.client("sample", ALICE).await?;
    let refresh = tokens.refresh.context("a refresh token")?;
    let here = format!("http://{}/mcp/sample", house.authority);
    let elsewhere = format!("http://{}/mcp/payments", house.authority);
    let with = |resource: &str| {
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", &refresh), ("client_id", &client.id)];
        let mut pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        pairs.push(("resource".into(), resource.into()));
        pairs
    };
    let wrong =
        [elsewhere.clone(), format!("{here}#x"), format!("{here}/x"), format!("{here}?x=1"), here.to_uppercase()];
    for wrong in &wrong {
        let pairs = with(wrong);
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = client.token(&pairs).await?;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_target")), "{wrong}");
    }
    let code = client.code(&mut Browser::new(&house.authority), "sample", ALICE).await?;
    let mut redemption = client.redemption(&code);
    redemption.push(("resource", &elsewhere));
    assert_eq!(client.token(&redemption).await?.json()["error"], "invalid_target");
    // Named right, or not named, it goes on.
    let pairs = with(&here);
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = client.token(&pairs).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(claims(answer.json()["access_token"].as_str().unwrap_or_default())?["aud"], here);
    house.stop().await
}

// spec: T-35
#[tokio::test(flavor = "multi_thread")]
async fn t35_no_byte_of_a_credential_travels_upstream() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::start().await?;
    house.protect("behind", behind.at).await?;
    let (_, tokens) = house.client("behind", ALICE).await?;
    let token = tokens.access.as_str();
    let secrets = [
        ("cookie", "__Host-portcullis=canary-cookie"),
        ("proxy-authorization", "Basic canary-proxy"),
        ("x-api-key", "canary-key"),
        ("dpop", "canary-dpop"),
        ("authentication-info", "canary-info"),
    ];
    let dress = |request: Request| secrets.iter().fold(request, |request, (name, value)| request.header(name, value));
    let answer = dress(house.call("behind", token, "echo", json!({ "text": "through" }))).send().await?;
    assert!(answer.status == 200 && answer.text().contains("through"), "{}", answer.text());
    let session = house.session("behind", token).await?;
    let call =
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "echo", "arguments": {} } });
    assert_eq!(dress(house.legacy("behind", token, &session, &call)).send().await?.status, 200);
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" });
    assert_eq!(dress(house.legacy("behind", token, &session, &note)).send().await?.status, 202);
    let listen = |method: &str| {
        let request = house.request(method, "/mcp/behind").bearer(token).header("accept", "text/event-stream");
        dress(request.header("mcp-session-id", &session).header("mcp-protocol-version", "2025-11-25"))
    };
    assert_eq!(listen("GET").stream().await?.status, 200);
    assert_eq!(listen("DELETE").send().await?.status, 204);

    let seen = behind.seen();
    assert!(seen.len() >= 8 && seen.iter().any(|seen| seen.line.starts_with("GET")), "{}", seen.len());
    let parts: Vec<&str> = token.split('.').chain([token]).collect();
    for request in seen {
        let text = request.text();
        assert!(!text.to_ascii_lowercase().contains("authorization"), "{text}");
        for secret in parts.iter().copied().chain([session.as_str(), "canary"]) {
            assert!(!text.contains(secret), "{secret} went upstream in {text}");
        }
    }
    house.stop().await
}

// spec: T-35
#[tokio::test(flavor = "multi_thread")]
async fn t35_tokens_of_others_are_no_tokens_here() -> Result<()> {
    let (house, other) = (TestGateway::start().await?, TestGateway::start().await?);
    let (_, tokens) = house.client("sample", ALICE).await?;
    let (_, foreign) = other.client("sample", ALICE).await?;
    let ours = claims(&tokens.access)?;
    let mut as_if_ours = ours.clone();
    as_if_ours["iss"] = "https://login.example".into();
    let tokens_of_others = [
        foreign.access.clone(),
        // An identity provider's token with our audience.
        signed(&stranger()?, "at+jwt", &as_if_ours)?,
        signed(&stranger()?, "JWT", &ours)?,
        tokens.refresh.clone().context("a refresh token")?,
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz".into(),
    ];
    for token in tokens_of_others {
        refused(&house.call("sample", &token, "echo", json!({ "message": "x" })).send().await?, &token);
    }
    let good = house.call("sample", &tokens.access, "echo", json!({ "message": "x" })).send().await?;
    assert_eq!(good.status, 200);
    house.stop().await?;
    other.stop().await
}

// spec: T-36
#[tokio::test(flavor = "multi_thread")]
async fn t36_a_token_in_the_url_or_the_body_is_not_used_and_not_kept() -> Result<()> {
    let house = TestGateway::start().await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    let token = tokens.access.as_str();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} } } });
    let to = |target: &str| {
        house
            .request("POST", target)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/list")
            .json(&body)
    };
    let in_query = format!("/mcp/sample?access_token={token}");
    for target in
        [in_query.clone(), format!("/mcp/sample?x=1&access_token={token}"), format!("{in_query}&{}", &in_query[12..])]
    {
        let answer = to(&target).send().await?;
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert!(answer.header("www-authenticate").is_some());
    }
    let form = house.request("POST", "/mcp/sample").form(&[("access_token", token)]).send().await?;
    assert_eq!(form.status, 401);
    // In both places it is refused too, so that nobody gets used to it.
    let both = to(&in_query).bearer(token).send().await?;
    let challenge = both.header("www-authenticate").unwrap_or_default().to_owned();
    assert_eq!((both.status, challenge.contains("invalid_request")), (400, true), "{challenge}");
    assert_eq!(to("/mcp/sample").bearer(token).send().await?.status, 200);
    // No page of ours puts one into a link, and none tells the next site where it came from.
    let mut browser = Browser::new(&house.authority);
    browser.sign_in(ALICE.0, ALICE.1).await?;
    let home = browser.get("/").await?;
    assert_eq!((home.status, home.header("referrer-policy")), (200, Some("no-referrer")));
    assert!(!home.text().contains("access_token"), "{}", home.text());
    house.journal().await?;
    let kept = house.written();
    let secret = token.rsplit('.').next().unwrap_or_default().as_bytes();
    assert!(!kept.windows(secret.len()).any(|window| window == secret), "the token was written down");
    house.stop().await
}

// spec: T-37
#[tokio::test(flavor = "multi_thread")]
async fn t37_forged_tokens_are_refused() -> Result<()> {
    let house = TestGateway::start().await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    let canary = TcpListener::bind("127.0.0.1:0").await?;
    let elsewhere = format!("http://{}/jwks", canary.local_addr()?);

    let published = house.request("GET", "/oauth/jwks").send().await?.json();
    let jwk = published["keys"][0].clone();
    let kid = jwk["kid"].as_str().context("kid")?.to_owned();
    let (header, payload) = (part(&tokens.access, 0)?, part(&tokens.access, 1)?);
    assert_eq!((header["kid"].as_str(), header["typ"].as_str()), (Some(kid.as_str()), Some("at+jwt")));
    let x = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap_or_default())?;
    let y = URL_SAFE_NO_PAD.decode(jwk["y"].as_str().unwrap_or_default())?;
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let key_set = house.app.signing.load_full();
    let ours = key_set.current(house.app.clock.now()).context("a key")?;
    let theirs = stranger()?;
    let right = |header: &str, payload: &str| assemble(header, payload, |text| ours.sign(text).unwrap_or_default());
    let plain = |header: &Value| right(&header.to_string(), &payload.to_string());
    let wrong_key = |header: &Value| {
        assemble(&header.to_string(), &payload.to_string(), |text| theirs.sign(text).unwrap_or_default())
    };
    // The tools work: what is put together right is taken.
    let control = house.call("sample", &plain(&header), "echo", json!({ "message": "x" })).send().await?;
    assert_eq!(control.status, 200, "{}", control.text());

    let mut corpus: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, token: String| corpus.push((name.to_owned(), token));
    let with = |name: &str, value: Value| {
        let mut changed = header.clone();
        changed[name] = value;
        changed
    };
    for alg in ["none", "None", "nOnE", "", "ES384", "es256", "RS256", "EdDSA"] {
        add(
            &format!("alg {alg}, no signature"),
            assemble(&with("alg", json!(alg)).to_string(), &payload.to_string(), |_| vec![]),
        );
        add(&format!("alg {alg}, our signature"), plain(&with("alg", json!(alg))));
    }
    let mut nothing = header.clone();
    nothing.as_object_mut().context("object")?.remove("alg");
    add("no alg", plain(&nothing));
    let secrets = [
        point.clone(),
        x.clone(),
        jwk.to_string().into_bytes(),
        published.to_string().into_bytes(),
        Vec::new(),
        kid.clone().into_bytes(),
    ];
    for (n, secret) in secrets.iter().enumerate() {
        for alg in ["HS256", "HS512"] {
            let algorithm = if alg == "HS256" { hmac::HMAC_SHA256 } else { hmac::HMAC_SHA512 };
            let key = hmac::Key::new(algorithm, secret);
            add(
                &format!("{alg} with public key, form {n}"),
                assemble(&with("alg", json!(alg)).to_string(), &payload.to_string(), |text| {
                    hmac::sign(&key, text).as_ref().to_vec()
                }),
            );
        }
    }
    let mut their_jwk = theirs.public().to_jwk();
    their_jwk["kid"] = json!(kid);
    for (name, value) in [
        ("jwk", their_jwk.clone()),
        ("jku", json!(elsewhere)),
        ("x5u", json!(elsewhere)),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
        ("epk", their_jwk.clone()),
        ("nonce", json!("x")),
    ] {
        add(&format!("{name}, their signature"), wrong_key(&with(name, value.clone())));
        add(&format!("{name}, our signature"), plain(&with(name, value)));
    }
    add("their signature", wrong_key(&header));
    for bad in [
        json!("../../root.key"),
        json!("/dev/null"),
        json!("' OR '1'='1"),
        json!(""),
        json!(null),
        json!([kid.clone()]),
        json!(0),
        json!(kid.to_uppercase()),
        json!(format!("{kid}\u{0}")),
        json!(format!(" {kid}")),
        json!("http://127.0.0.1/k"),
    ] {
        add(&format!("kid {bad}"), plain(&with("kid", bad)));
    }
    for typ in [
        json!("JWT"),
        json!("id_token+jwt"),
        json!("dpop+jwt"),
        json!("logout+jwt"),
        json!("token-introspection+jwt"),
        json!(""),
        json!(null),
        json!(7),
    ] {
        add(&format!("typ {typ}"), plain(&with("typ", typ)));
    }
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", json!(null)),
        ("iss", json!([payload["iss"]])),
        ("aud", json!([payload["aud"], "https://evil.example"])),
        ("aud", json!(payload["iss"])),
        ("aud", json!(null)),
        ("aud", json!(format!("{}/", payload["aud"].as_str().unwrap_or_default()))),
        ("sub", json!("")),
        ("sub", json!("nobody")),
        ("sub", json!(null)),
        ("client_id", json!(null)),
        ("gid", json!(null)),
        ("jti", json!(null)),
        ("scope", json!(null)),
        ("scope", json!(["mcp:call"])),
    ] {
        let mut changed = payload.clone();
        changed[name] = value.clone();
        add(&format!("claim {name} = {value}"), right(&header.to_string(), &changed.to_string()));
    }
    let doubled = payload.to_string().replacen(
        '{',
        &format!("{{\"aud\":\"https://evil.example\",\"sub\":{},", payload["sub"]),
        1,
    );
    add("claims twice", right(&header.to_string(), &doubled));
    add(
        "escaped claim twice",
        right(&header.to_string(), &payload.to_string().replacen('{', r#"{"\u0061ud":"x","#, 1)),
    );
    add("header twice", right(&header.to_string().replacen('{', r#"{"alg":"none","#, 1), &payload.to_string()));
    add("trailing data", right(&header.to_string(), &format!("{payload}{{}}")));
    add("byte order mark", right(&header.to_string(), &format!("\u{feff}{payload}")));
    add("claims are a list", right(&header.to_string(), &format!("[{payload}]")));
    add("nested", right(&with("cty", json!("JWT")).to_string(), &tokens.access));
    add("encrypted", format!("{}.AAAA.AAAA.AAAA.AAAA", URL_SAFE_NO_PAD.encode(r#"{"alg":"dir","enc":"A128GCM"}"#)));
    let mut large = payload.clone();
    large["padding"] = json!("x".repeat(9000));
    add("more than 8 KiB", right(&header.to_string(), &large.to_string()));
    let mut heavy = header.clone();
    heavy["padding"] = json!("x".repeat(5000));
    add("huge header", plain(&heavy));
    let (signed, signature) = tokens.access.rsplit_once('.').context("three parts")?;
    let bytes = URL_SAFE_NO_PAD.decode(signature)?;
    let sealed = |bytes: &[u8]| format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
    add("no signature", format!("{signed}."));
    add("zero signature", sealed(&[0; 64]));
    add("short signature", sealed(&bytes[..63]));
    add("long signature", sealed(&[bytes.as_slice(), &[0]].concat()));
    let mut flipped = bytes.clone();
    flipped[40] ^= 1;
    add("flipped signature", sealed(&flipped));
    add("padded", format!("{}==", tokens.access));
    add("four parts", format!("{}.x", tokens.access));
    add("two parts", signed.to_owned());
    let mut other_scope = payload.clone();
    other_scope["scope"] = json!("mcp:read mcp:call admin");
    add("changed claims", format!("{}.{}.{signature}", encode(&header.to_string()), encode(&other_scope.to_string())));

    assert!(corpus.len() > 90, "{}", corpus.len());
    for (name, token) in &corpus {
        refused(&house.call("sample", token, "echo", json!({ "message": "x" })).send().await?, name);
    }
    let asked = tokio::time::timeout(Duration::from_millis(200), canary.accept()).await;
    assert!(asked.is_err(), "a header made us fetch");
    let good = house.call("sample", &tokens.access, "echo", json!({ "message": "x" })).send().await?;
    assert_eq!(good.status, 200);
    house.stop().await
}

// spec: T-39
#[tokio::test(flavor = "multi_thread")]
async fn t39_a_token_is_good_for_its_time_and_not_a_second_more() -> Result<()> {
    let house = TestGateway::start().await?;
    let (client, tokens) = house.client("sample", ALICE).await?;
    let try_it = |token: String| {
        let request = house.call("sample", &token, "echo", json!({ "message": "x" }));
        async move { Ok::<_, anyhow::Error>(request.send().await?.status) }
    };
    let now = house.app.clock.now().as_secs();
    let ours = claims(&tokens.access)?;
    let life = ours["exp"].as_i64().unwrap_or_default() - ours["iat"].as_i64().unwrap_or_default();
    assert!((300..=900).contains(&life), "an access token lives {life} s");
    {
        let keys = house.app.signing.load_full();
        let key = keys.current(house.app.clock.now()).context("a key")?;
        let table: [(&str, Value, u16); 17] = [
            ("ends in a second", json!({ "exp": now + 1 }), 200),
            ("ends now", json!({ "exp": now }), 401),
            ("has ended", json!({ "iat": now - 600, "nbf": now - 600, "exp": now - 1 }), 401),
            ("no end", json!({ "exp": null }), 401),
            ("an end in words", json!({ "exp": (now + 60).to_string() }), 401),
            ("an end at the end of time", json!({ "exp": i64::MAX }), 401),
            ("an end beyond numbers", json!({ "exp": 1e300 }), 401),
            ("an end before time", json!({ "exp": -1 }), 401),
            ("two hours", json!({ "exp": now + 7200 }), 401),
            ("begins later", json!({ "nbf": now + 300 }), 401),
            ("no beginning", json!({ "iat": null }), 401),
            ("issued a little ahead", json!({ "iat": now + 59, "nbf": now + 59, "exp": now + 600 }), 200),
            ("issued tomorrow", json!({ "iat": now + 61, "nbf": now + 61, "exp": now + 600 }), 401),
            ("issued far ahead", json!({ "iat": now + 86_400, "nbf": now + 86_400, "exp": now + 87_000 }), 401),
            ("issued in words", json!({ "iat": "now" }), 401),
            ("ends before it begins", json!({ "exp": now - 10, "iat": now, "nbf": now }), 401),
            ("as it should be", json!({}), 200),
        ];
        for (name, changes, status) in table {
            let mut claims = ours.clone();
            for (key, value) in changes.as_object().context("object")? {
                claims[key] = value.clone();
                if value.is_null() {
                    claims.as_object_mut().context("object")?.remove(key);
                }
            }
            assert_eq!(try_it(signed(key, "at+jwt", &claims)?).await?, status, "{name}");
        }
    }
    // The gateway's own token, to the last moment, although it was seen and remembered before.
    assert_eq!(try_it(tokens.access.clone()).await?, 200);
    house.advance(Duration::from_millis(life as u64 * 1000 - 1)).await?;
    assert_eq!(try_it(tokens.access.clone()).await?, 200);
    house.advance(Duration::from_millis(1)).await?;
    assert_eq!(try_it(tokens.access.clone()).await?, 401);
    let refreshed = client.refresh(tokens.refresh.as_deref().unwrap_or_default()).await?;
    assert_eq!(try_it(refreshed.json()["access_token"].as_str().unwrap_or_default().to_owned()).await?, 200);
    house.stop().await
}

// spec: T-39
#[tokio::test(flavor = "multi_thread")]
async fn t39_settings_cannot_make_tokens_that_outlive_the_cap() -> Result<()> {
    assert!(TestGateway::with("tokens: { access: 2h }").await.is_err());
    let house = TestGateway::with("tokens: { access: 1h }").await?;
    let (_, tokens) = house.client("sample", BOB).await?;
    let ours = claims(&tokens.access)?;
    assert_eq!(ours["exp"].as_i64().unwrap_or_default() - ours["iat"].as_i64().unwrap_or_default(), 3600);
    house.stop().await
}

/// A 401 that calls for another token.
fn refused(answer: &Answer, name: &str) {
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert_eq!(answer.status, 401, "{name}: {}", answer.text());
    assert!(challenge.contains("error=\"invalid_token\""), "{name}: {challenge}");
}

fn opening(house: &TestGateway, server: &str, token: &str) -> Request {
    let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "house", "version": "1" } } });
    let request = house.request("POST", &format!("/mcp/{server}")).bearer(token);
    request.header("accept", "application/json, text/event-stream").json(&body)
}

fn part(token: &str, n: usize) -> Result<Value> {
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(n).context("part")?)?)?)
}

fn claims(token: &str) -> Result<Value> {
    part(token, 1)
}

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn assemble(header: &str, payload: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let text = format!("{}.{}", encode(header), encode(payload));
    let signature = sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn signed(key: &SigningKey, typ: &str, claims: &Value) -> Result<String> {
    jwt::sign(key, typ, claims).map_err(|error| anyhow::anyhow!("{error}"))
}

/// A key that is not the gateway's.
#[expect(clippy::disallowed_methods, reason = "signing keys are parsed with ring's own source of randomness")]
fn stranger() -> Result<SigningKey> {
    let random = SystemRandom::new();
    let bytes = SigningKey::generate(&random)?;
    let key = SigningKey::from_pkcs8(&bytes, random)?;
    ensure!(!key.kid().is_empty());
    Ok(key)
}
