//! Programs that call for themselves: service accounts, workloads, personal access keys.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_audit::Actor;
use portcullis_base::{PersonId, Secret, ServerName};
use portcullis_gateway::{
    access_keys::{self, NewKey},
    service_accounts::{self, Made, New, Proof},
};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::{Answer, Request},
};
use portcullis_oauth::scope::Scopes;
use serde_json::{Value, json};

use crate::{
    behind::Behind,
    issuer::{Issuer, claims, key, with},
};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A service account that Alice answers for.
async fn account(house: &TestGateway, name: &str, proof: Proof) -> Result<Made> {
    let alice = house.app.store.person_by_name(ALICE.0).await?.context("Alice")?.0.id;
    let new = New { name, owner: &alice, groups: vec!["ops".into()], proof };
    let made = service_accounts::create(&house.app.desk(Actor::default()), new).await?;
    house.app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))?;
    Ok(made)
}

fn credentials(house: &TestGateway, made: &Made, form: &[(&str, &str)]) -> Request {
    let secret = made.secret.as_ref().map_or("", |secret| secret.reveal());
    let basic = STANDARD.encode(format!("{}:{secret}", made.id));
    house.request("POST", "/oauth/token").header("authorization", &format!("Basic {basic}")).form(form)
}

fn endpoint(house: &TestGateway, server: &str) -> String {
    format!("http://{}/mcp/{server}", house.authority)
}

async fn calls(house: &TestGateway, server: &str, token: &str) -> Result<u16> {
    Ok(house.call(server, token, "echo", json!({ "message": "x" })).send().await?.status)
}

fn refused(answer: &Answer, status: u16, error: &str, why: &str) {
    assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{why}: {}", answer.text());
}

// spec: AS-160, AS-161, AS-162, AS-163
#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_gets_tokens_for_itself_and_nobody_else_does() -> Result<()> {
    let house = TestGateway::start().await?;
    let behind = Behind::start().await?;
    house.protect("wiki", behind.at).await?;
    house
        .protect_as(json!({ "name": "vault", "url": format!("http://{}/mcp", behind.at), "access": ["board"] }))
        .await?;
    let metadata = "/.well-known/oauth-authorization-server";
    let grants = || async {
        Ok::<_, anyhow::Error>(house.request("GET", metadata).send().await?.json()["grant_types_supported"].clone())
    };
    assert_eq!(grants().await?, json!(["authorization_code", "refresh_token"]));
    let made = account(&house, "deploy", Proof::Secret).await?;
    assert_eq!(grants().await?, json!(["authorization_code", "refresh_token", "client_credentials"]));

    let wiki = endpoint(&house, "wiki");
    let right = [("grant_type", "client_credentials"), ("resource", wiki.as_str())];
    let answer = credentials(&house, &made, &right).send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["refresh_token"], Value::Null);
    let token = answer.json()["access_token"].as_str().context("a token")?.to_owned();
    let said = claims(&token);
    assert_eq!(
        [&said["sub"], &said["client_id"], &said["aud"]],
        [&json!(made.id.as_str()), &json!(made.id.as_str()), &json!(wiki)]
    );
    assert_eq!(calls(&house, "wiki", &token).await?, 200);
    assert_eq!(calls(&house, "sample", &token).await?, 401);
    let discovered = house.modern("wiki", &token, 1, "server/discover", json!({})).send().await?;
    let extensions = &discovered.json()["result"]["capabilities"]["extensions"];
    assert_eq!(extensions["io.modelcontextprotocol/oauth-client-credentials"], json!({}), "{}", discovered.text());

    // A narrower token cannot do more than it says, and nothing beyond what an endpoint has is given.
    let read = credentials(&house, &made, &[right[0], right[1], ("scope", "mcp:read")]).send().await?;
    assert_eq!(read.json()["scope"], "mcp:read");
    assert_eq!(calls(&house, "wiki", read.json()["access_token"].as_str().unwrap_or_default()).await?, 403);
    let vault = endpoint(&house, "vault");
    for (changed, error) in [
        (("resource", vault.as_str()), "invalid_target"),
        (("resource", "https://elsewhere.example/mcp"), "invalid_target"),
        (("scope", "mcp:everything"), "invalid_scope"),
    ] {
        let mut form: Vec<_> = right.iter().copied().filter(|(name, _)| *name != changed.0).collect();
        form.push(changed);
        refused(&credentials(&house, &made, &form).send().await?, 400, error, changed.1);
    }
    let none = credentials(&house, &made, &right[..1]).send().await?;
    refused(&none, 400, "invalid_target", "no resource");

    // Who registered itself is nobody's machine, with a secret or without.
    for method in ["none", "client_secret_post"] {
        let body = json!({ "client_name": "x", "redirect_uris": ["http://127.0.0.1:9/c"],
            "token_endpoint_auth_method": method });
        let client = house.request("POST", "/oauth/register").json(&body).send().await?.json();
        let id = client["client_id"].as_str().unwrap_or_default();
        let mut form = vec![right[0], right[1], ("client_id", id)];
        let secret = client["client_secret"].as_str();
        form.extend(secret.map(|secret| ("client_secret", secret)));
        let answer = house.request("POST", "/oauth/token").form(&form).send().await?;
        refused(&answer, 400, "unauthorized_client", method);
    }
    let wrong = Made { id: made.id.clone(), secret: Some(Secret::new("x".into())) };
    refused(&credentials(&house, &wrong, &right).send().await?, 401, "invalid_client", "wrong secret");
    house.stop().await
}

// spec: AS-163, T-53
#[tokio::test(flavor = "multi_thread")]
async fn t53_a_service_account_that_was_switched_off_or_got_another_secret_is_out_at_once() -> Result<()> {
    let house = TestGateway::start().await?;
    let made = account(&house, "deploy", Proof::Secret).await?;
    let sample = endpoint(&house, "sample");
    let form = [("grant_type", "client_credentials"), ("resource", sample.as_str())];
    let token = |answer: &Answer| answer.json()["access_token"].as_str().unwrap_or_default().to_owned();
    let first = token(&credentials(&house, &made, &form).send().await?);
    assert_eq!(calls(&house, "sample", &first).await?, 200);

    let rotated = service_accounts::rotate(&house.app.desk(Actor::default()), &made.id, Proof::Secret).await?;
    house.app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))?;
    assert_eq!(calls(&house, "sample", &first).await?, 401);
    refused(&credentials(&house, &made, &form).send().await?, 401, "invalid_client", "the old secret");
    let second = token(&credentials(&house, &rotated, &form).send().await?);
    assert_eq!(calls(&house, "sample", &second).await?, 200);

    service_accounts::disable(&house.app.desk(Actor::default()), &made.id).await?;
    house.app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))?;
    assert_eq!(calls(&house, "sample", &second).await?, 401);
    refused(&credentials(&house, &rotated, &form).send().await?, 400, "unauthorized_client", "switched off");
    for (kind, count) in
        [("service_account.created", 1), ("service_account.changed", 1), ("service_account.disabled", 1)]
    {
        assert_eq!(house.events(kind).await?.len(), count, "{kind}");
    }
    for secret in [&made, &rotated] {
        let secret = secret.secret.as_ref().context("a secret")?.reveal().as_bytes();
        assert!(!house.written().windows(secret.len()).any(|window| window == secret), "the secret was written down");
    }
    house.stop().await
}

// spec: AS-161, AS-63
#[tokio::test(flavor = "multi_thread")]
async fn t46_a_service_account_proves_itself_by_its_key_and_each_proof_is_good_once() -> Result<()> {
    let house = TestGateway::start().await?;
    let own = key()?;
    let made = account(&house, "deploy", Proof::Keys(json!({ "keys": [own.public().to_jwk()] }))).await?;
    assert!(made.secret.is_none());
    let (issuer, sample) = (format!("http://{}", house.authority), endpoint(&house, "sample"));
    let now = house.app.clock.now().as_secs();
    let id = made.id.as_str();
    let right = json!({ "iss": id, "sub": id, "aud": issuer, "iat": now, "exp": now + 60, "jti": "one" });
    let present = |assertion: &str| {
        house.request("POST", "/oauth/token").form(&[
            ("grant_type", "client_credentials"),
            ("resource", &sample),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ])
    };
    let header = json!({ "typ": "JWT", "alg": "ES256", "kid": own.kid() });
    let sign = |claims: &Value| crate::issuer::assemble(&header, claims, |text| own.sign(text).unwrap_or_default());
    for (n, changes) in [
        json!({ "iss": "somebody" }),
        json!({ "sub": "somebody" }),
        json!({ "aud": "https://elsewhere.example" }),
        json!({ "aud": [issuer, "https://elsewhere.example"] }),
        json!({ "aud": null }),
        json!({ "exp": null }),
        json!({ "exp": now - 61 }),
        json!({ "exp": now + 3600 }),
        json!({ "iat": now + 120 }),
        json!({ "nbf": now + 120 }),
        json!({ "jti": null }),
    ]
    .iter()
    .enumerate()
    {
        let claims = with(&with(&right, &json!({ "jti": format!("bad-{n}") })), changes);
        refused(&present(&sign(&claims)).send().await?, 401, "invalid_client", &changes.to_string());
    }
    let stranger = key()?;
    let foreign = crate::issuer::assemble(&header, &right, |text| stranger.sign(text).unwrap_or_default());
    refused(&present(&foreign).send().await?, 401, "invalid_client", "somebody else's key");
    // A secret is not what this account registered.
    let basic = Made { id: made.id.clone(), secret: Some(Secret::new("x".into())) };
    let form = [("grant_type", "client_credentials"), ("resource", sample.as_str())];
    refused(&credentials(&house, &basic, &form).send().await?, 401, "invalid_client", "a secret");

    let assertion = sign(&right);
    let answer = present(&assertion).send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json()["access_token"].as_str().context("a token")?.to_owned();
    assert_eq!(calls(&house, "sample", &token).await?, 200);
    refused(&present(&assertion).send().await?, 401, "invalid_client", "again");
    house.stop().await
}

async fn access_key(
    house: &TestGateway,
    server: &str,
    scopes: &str,
    lifetime: Duration,
) -> Result<access_keys::MadeKey> {
    let alice = house.app.store.person_by_name(ALICE.0).await?.context("Alice")?.0.id;
    let new = NewKey {
        person: &alice,
        name: "my editor",
        server: &ServerName::parse(server).map_err(|error| anyhow!("{error}"))?,
        resource: endpoint(house, server),
        scopes: Scopes::parse(scopes)?,
        lifetime,
        sign_in: None,
    };
    let made =
        access_keys::create(&house.app.desk(Actor::default()), new, house.app.config.access_keys.longest).await?;
    house.app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))?;
    Ok(made)
}

// spec: RS-35, T-34, T-36
#[tokio::test(flavor = "multi_thread")]
async fn t34_an_access_key_opens_its_endpoint_from_the_header_until_its_end() -> Result<()> {
    let house = TestGateway::with("access_keys: { enabled: true, longest: 2d }").await?;
    let behind = Behind::start().await?;
    house.protect("wiki", behind.at).await?;
    let day = Duration::from_hours(24);
    let made = access_key(&house, "wiki", "mcp:call", day).await?;
    let key = made.key.reveal();
    assert!(key.starts_with("pck_") && key.len() == 47, "{}", key.len());
    assert_eq!(calls(&house, "wiki", key).await?, 200);
    assert_eq!(calls(&house, "sample", key).await?, 401);
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} } } });
    for (target, header) in
        [(format!("/mcp/wiki?access_token={key}"), None), ("/mcp/wiki".to_owned(), Some("x-api-key"))]
    {
        let mut request = house.request("POST", &target).header("mcp-protocol-version", "2026-07-28");
        if let Some(header) = header {
            request = request.header(header, key);
        }
        assert_eq!(request.header("mcp-method", "tools/list").json(&body).send().await?.status, 401, "{target}");
    }
    let read = access_key(&house, "wiki", "mcp:read", day).await?;
    assert_eq!(calls(&house, "wiki", read.key.reveal()).await?, 403);
    assert!(access_key(&house, "wiki", "mcp:read", 3 * day).await.is_err(), "longer than the settings allow");
    assert!(access_key(&house, "wiki", "admin", day).await.is_err(), "a scope that there is not");
    // Somebody else's attempt to end it does nothing; its owner's does at once.
    let bob = house.app.store.person_by_name(BOB.0).await?.context("Bob")?.0.id;
    let alice = house.app.store.person_by_name(ALICE.0).await?.context("Alice")?.0.id;
    let desk = house.app.desk(Actor::default());
    assert!(!access_keys::revoke(&desk, &bob, &made.grant).await?);
    assert_eq!(calls(&house, "wiki", key).await?, 200);
    assert!(access_keys::revoke(&desk, &alice, &made.grant).await?);
    house.app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))?;
    assert_eq!(calls(&house, "wiki", key).await?, 401);
    // The other one ends by itself; while it lives it says when it was used.
    assert_eq!(house.modern("wiki", read.key.reveal(), 1, "tools/list", json!({})).send().await?.status, 200);
    house.advance(Duration::from_secs(24 * 60 * 60 - 1)).await?;
    assert_eq!(house.modern("wiki", read.key.reveal(), 1, "tools/list", json!({})).send().await?.status, 200);
    assert!(house.app.access_keys.take_used().iter().any(|(grant, _)| *grant == read.grant));
    house.advance(Duration::from_secs(1)).await?;
    assert_eq!(house.modern("wiki", read.key.reveal(), 1, "tools/list", json!({})).send().await?.status, 401);
    house.journal().await?;
    assert!(!house.written().windows(key.len()).any(|window| window == key.as_bytes()), "the key was written down");
    assert_eq!(
        (house.events("access_key.created").await?.len(), house.events("access_key.revoked").await?.len()),
        (2, 1)
    );
    house.stop().await
}

// spec: RS-35, T-53
#[tokio::test(flavor = "multi_thread")]
async fn t53_access_keys_end_with_their_person_and_open_nothing_while_they_are_switched_off() -> Result<()> {
    let house = TestGateway::start().await?;
    let made = access_key(&house, "sample", "mcp:call", Duration::from_hours(1)).await?;
    assert_eq!(calls(&house, "sample", made.key.reveal()).await?, 401, "switched off");
    house.stop().await?;

    let house = TestGateway::with("access_keys: { enabled: true, longest: 2d }").await?;
    let made = access_key(&house, "sample", "mcp:call", Duration::from_hours(1)).await?;
    assert_eq!(calls(&house, "sample", made.key.reveal()).await?, 200);
    let alice = house.app.store.person_by_name(ALICE.0).await?.context("Alice")?.0.id;
    house.app.store.disable_person(&alice, house.app.clock.now()).await?;
    house.app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))?;
    assert_eq!(calls(&house, "sample", made.key.reveal()).await?, 401);
    assert!(access_key(&house, "sample", "mcp:call", Duration::from_hours(1)).await.is_err());
    house.stop().await
}

/// A gateway that trusts `issuer` for workloads of `acme/app`.
async fn federated(issuer: &Issuer) -> Result<TestGateway> {
    let settings = format!(
        "outbound: {{ private_hosts: ['{}'] }}
identity:
  workloads:
    - id: ci
      issuer: {}
      allow:
        - service_account: deploy
          claims: {{ repository: acme/app, ref: 'refs/heads/*' }}
          servers: [sample]
        - service_account: alice
          claims: {{ repository: acme/people }}
          servers: [sample]",
        issuer.authority(),
        issuer.url()
    );
    TestGateway::with(&settings).await
}

// spec: AS-182, AS-183, AS-184, T-46
#[tokio::test(flavor = "multi_thread")]
async fn t46_a_workload_is_let_in_once_by_the_rule_that_fits_and_by_nothing_else() -> Result<()> {
    let issuer = Issuer::start().await?;
    let house = federated(&issuer).await?;
    let behind = Behind::start().await?;
    house.protect("wiki", behind.at).await?;
    let made = account(&house, "deploy", Proof::Secret).await?;
    let (us, sample) = (format!("http://{}", house.authority), endpoint(&house, "sample"));
    let metadata = house.request("GET", "/.well-known/oauth-authorization-server").send().await?.json();
    assert!(metadata["grant_types_supported"].to_string().contains(JWT_BEARER), "{metadata}");
    assert_eq!(metadata["authorization_grant_profiles_supported"], Value::Null);
    let now = house.app.clock.now().as_secs();
    let right = json!({ "iss": issuer.url(), "sub": "repo:acme/app:ref:refs/heads/main", "aud": us, "iat": now,
        "exp": now + 300, "jti": "one", "repository": "acme/app", "ref": "refs/heads/main" });
    let present = |assertion: String, more: Vec<(&'static str, String)>| {
        let mut form = vec![("grant_type", JWT_BEARER.to_owned()), ("assertion", assertion)];
        form.extend(more);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        house.request("POST", "/oauth/token").form(&form)
    };
    let here = || vec![("resource", sample.clone())];

    let mut wrong: Vec<(String, String)> = Vec::new();
    for (n, changes) in [
        json!({ "iss": "https://token.elsewhere.example" }),
        json!({ "iss": null }),
        json!({ "sub": null }),
        json!({ "aud": "https://elsewhere.example" }),
        json!({ "aud": [us, "https://elsewhere.example"] }),
        json!({ "aud": null }),
        json!({ "exp": null }),
        json!({ "exp": now - 61 }),
        json!({ "exp": now + 90_000 }),
        json!({ "iat": null }),
        json!({ "iat": now + 120 }),
        json!({ "nbf": now + 120 }),
        json!({ "jti": null }),
        json!({ "repository": "acme/app2" }),
        json!({ "repository": null }),
        json!({ "ref": "refs/tags/v1" }),
        json!({ "repository": "acme/people" }),
    ]
    .iter()
    .enumerate()
    {
        let claims = with(&with(&right, &json!({ "jti": format!("bad-{n}") })), changes);
        wrong.push((changes.to_string(), issuer.sign("JWT", &claims)));
    }
    for typ in ["at+jwt", "id_token+jwt", "oauth-id-jag", "client-authentication+jwt", "logout+jwt", "dpop+jwt"] {
        wrong.push((typ.to_owned(), issuer.sign(typ, &right)));
    }
    let stranger = key()?;
    wrong.push((
        "a stranger's key".into(),
        crate::issuer::assemble(&issuer.header("JWT"), &right, |text| stranger.sign(text).unwrap_or_default()),
    ));
    wrong.push(("alg none".into(), crate::issuer::assemble(&json!({ "alg": "none" }), &right, |_| Vec::new())));
    wrong.push(("garbage".into(), "x.y.z".into()));
    for (why, assertion) in &wrong {
        refused(&present(assertion.clone(), here()).send().await?, 400, "invalid_grant", why);
    }
    // A person's assertion needs a client, whoever signed it.
    let jag = issuer.sign("oauth-id-jag+jwt", &right);
    refused(&present(jag, here()).send().await?, 401, "invalid_client", "an identity assertion");
    // The rule is for one server.
    let elsewhere = issuer.sign("JWT", &with(&right, &json!({ "jti": "elsewhere" })));
    let answer = present(elsewhere, vec![("resource", endpoint(&house, "wiki"))]).send().await?;
    refused(&answer, 400, "invalid_target", "another server");

    let assertion = issuer.sign("JWT", &right);
    let answer = present(assertion.clone(), here()).send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["refresh_token"], Value::Null);
    let token = answer.json()["access_token"].as_str().context("a token")?.to_owned();
    assert_eq!([&claims(&token)["sub"], &claims(&token)["client_id"]], [made.id.as_str(), made.id.as_str()]);
    assert_eq!(calls(&house, "sample", &token).await?, 200);
    refused(&present(assertion, here()).send().await?, 400, "invalid_grant", "again");
    // An assertion in the URL is not looked at.
    let another = issuer.sign("JWT", &with(&right, &json!({ "jti": "two" })));
    let target = format!("/oauth/token?grant_type={JWT_BEARER}&assertion={another}");
    let answer = house.request("POST", &target).form(&[("resource", &sample)]).send().await?;
    assert_eq!(answer.status, 400, "{}", answer.text());
    // The token endpoint is a name of ours too.
    let to_endpoint = with(&right, &json!({ "jti": "three", "aud": format!("{us}/oauth/token") }));
    assert_eq!(present(issuer.sign("JWT", &to_endpoint), here()).send().await?.status, 200);
    house.stop().await
}

// spec: AS-183, T-38
#[tokio::test(flavor = "multi_thread")]
async fn t38_keys_of_a_platform_are_followed_when_they_turn_and_not_fetched_for_strangers() -> Result<()> {
    let mut issuer = Issuer::start().await?;
    let house = federated(&issuer).await?;
    account(&house, "deploy", Proof::Secret).await?;
    let (us, sample) = (format!("http://{}", house.authority), endpoint(&house, "sample"));
    let present = |assertion: String| {
        let form = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str()), ("resource", sample.as_str())];
        house.request("POST", "/oauth/token").form(&form)
    };
    let claims = |jti: &str, now: i64| {
        json!({ "iss": issuer.url(), "sub": "x", "aud": us, "iat": now, "exp": now + 300, "jti": jti,
            "repository": "acme/app", "ref": "refs/heads/main" })
    };
    let now = house.app.clock.now().as_secs();
    assert_eq!(present(issuer.sign("JWT", &claims("1", now))).send().await?.status, 200);
    let before = issuer.asked("/jwks");
    for n in 0..50 {
        let header = json!({ "typ": "JWT", "alg": "ES256", "kid": format!("random-{n}") });
        let answer = present(issuer.sign_with(&header, &claims("2", now))).send().await?;
        assert!([400, 429].contains(&answer.status), "{}", answer.text());
    }
    assert!(issuer.asked("/jwks") - before <= 1, "{} fetches", issuer.asked("/jwks") - before);
    house.advance(Duration::from_secs(61)).await?;
    let old = issuer.sign("JWT", &claims("3", now + 61));
    let said = claims("4", now + 61);
    issuer.rotate()?;
    assert_eq!(present(issuer.sign("JWT", &said)).send().await?.status, 200);
    refused(&present(old).send().await?, 400, "invalid_grant", "a key that was withdrawn");
    house.stop().await
}

/// Nobody can be a service account by name alone. spec: AS-163
#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_needs_a_person_and_a_proof_that_can_be_used() -> Result<()> {
    let house = TestGateway::start().await?;
    let desk = house.app.desk(Actor::default());
    let alice = house.app.store.person_by_name(ALICE.0).await?.context("Alice")?.0.id;
    let nobody = PersonId::new("usr_nobody");
    let made = account(&house, "deploy", Proof::Secret).await?;
    let new = |name: &'static str, owner, proof| New { name, owner, groups: Vec::new(), proof };
    for (why, new) in [
        ("no owner", new("a", &nobody, Proof::Secret)),
        ("a machine as owner", new("b", &made.id, Proof::Secret)),
        ("a name that is taken", new("deploy", &alice, Proof::Secret)),
        ("a name that is none", new("a b", &alice, Proof::Secret)),
        ("no keys", new("c", &alice, Proof::Keys(json!({ "keys": [] })))),
        ("a private key", new("d", &alice, Proof::Keys(json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] })))),
        ("plain http", new("e", &alice, Proof::KeysAt("http://keys.example/jwks".into()))),
    ] {
        assert!(service_accounts::create(&desk, new).await.is_err(), "{why}");
    }
    assert!(service_accounts::disable(&desk, &alice).await.is_err(), "a person is no service account");
    assert_eq!(house.events("service_account.created").await?.len(), 1);
    house.stop().await
}
