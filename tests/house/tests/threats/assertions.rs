//! What an identity provider says of its people to clients (ID-JAG): accepted once, for whom and where it was meant.

use anyhow::{Context, Result};
use portcullis_base::{ClientId, Digest};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::{Answer, Request},
};
use portcullis_oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata};
use serde_json::{Value, json};

use crate::{
    behind::Behind,
    issuer::{Issuer, assemble, claims, key, with},
    origin_server::OriginServer,
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TYPE: &str = "oauth-id-jag+jwt";

struct Setting {
    house: TestGateway,
    company: Issuer,
    other: Issuer,
    _behind: Behind,
}

/// A gateway with two providers, of which the first may send people of its own to the client `desk`.
async fn setting(id_jag: &str) -> Result<Setting> {
    setting_with(id_jag, "").await
}

/// The same with more settings.
async fn setting_with(id_jag: &str, more: &str) -> Result<Setting> {
    let (company, other, behind) = (Issuer::start().await?, Issuer::start().await?, Behind::start().await?);
    let settings = format!(
        "outbound: {{ private_hosts: ['{}', '{}'] }}
identity:
  local_accounts: true
  providers:
    - {{ id: company, kind: oidc, issuer: '{}', client_id: portcullis, {id_jag} }}
    - {{ id: other, kind: oidc, issuer: '{}', client_id: portcullis }}
{more}",
        company.authority(),
        other.authority(),
        company.url(),
        other.url(),
    );
    let house = TestGateway::with(&settings).await?;
    house.protect("wiki", behind.at).await?;
    house
        .protect_as(json!({ "name": "vault", "url": format!("http://{}/mcp", behind.at), "access": ["board"] }))
        .await?;
    for (id, method) in
        [("desk", AuthMethod::ClientSecretPost), ("shop", AuthMethod::ClientSecretPost), ("public", AuthMethod::None)]
    {
        let metadata = ClientMetadata {
            token_endpoint_auth_method: method,
            ..ClientMetadata::public(vec!["http://127.0.0.1:9/callback".into()])
        };
        let secret = (method != AuthMethod::None).then(|| Digest::of(b"s3cret"));
        let client = Client::new(ClientId::new(id), ClientKind::Configured, metadata, secret, house.app.clock.now());
        house.app.store.put_configured(&client, house.app.clock.now()).await?;
    }
    Ok(Setting { house, company, other, _behind: behind })
}

impl Setting {
    fn endpoint(&self, server: &str) -> String {
        format!("http://{}/mcp/{server}", self.house.authority)
    }

    /// What the company says of Carol for the desk.
    fn right(&self, jti: &str) -> Value {
        let now = self.house.app.clock.now().as_secs();
        json!({ "iss": self.company.url(), "sub": "carol-1", "aud": format!("http://{}", self.house.authority),
            "client_id": "desk", "resource": self.endpoint("wiki"), "scope": "mcp:read mcp:call", "jti": jti,
            "iat": now, "exp": now + 300, "email": "carol@example.com", "email_verified": true,
            "preferred_username": "carol", "name": "Carol", "groups": ["staff"] })
    }

    fn present(&self, client: &str, assertion: &str, more: &[(&str, &str)]) -> Request {
        let mut form = vec![("grant_type", JWT_BEARER), ("assertion", assertion), ("client_id", client)];
        if client != "public" {
            form.push(("client_secret", "s3cret"));
        }
        form.extend(more);
        self.house.request("POST", "/oauth/token").form(&form)
    }

    async fn calls(&self, server: &str, token: &str) -> Result<u16> {
        Ok(self.house.call(server, token, "echo", json!({ "message": "x" })).send().await?.status)
    }
}

const TRUSTED: &str = "id_jag: { clients: [desk, public] }";

fn refused(answer: &Answer, error: &str, why: &str) {
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(error)), "{why}: {}", answer.text());
}

fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["access_token"].as_str().unwrap_or_default().to_owned()
}

// spec: AS-170, AS-171, AS-172, AS-173, AS-174, AS-175, AS-176, AS-178, AS-180, AS-181, T-46
#[tokio::test(flavor = "multi_thread")]
async fn t46_an_identity_assertion_is_accepted_once_and_makes_its_person_known() -> Result<()> {
    let setting = setting(TRUSTED).await?;
    let house = &setting.house;
    let metadata = house.request("GET", "/.well-known/oauth-authorization-server").send().await?.json();
    assert!(metadata["grant_types_supported"].to_string().contains(JWT_BEARER), "{metadata}");
    let profiles = &metadata["authorization_grant_profiles_supported"];
    assert_eq!(*profiles, json!(["urn:ietf:params:oauth:grant-profile:id-jag"]));

    let assertion = setting.company.sign(TYPE, &setting.right("one"));
    let answer = setting.present("desk", &assertion, &[]).send().await?;
    let access = token(&answer);
    assert_eq!(answer.json()["refresh_token"], Value::Null);
    let said = claims(&access);
    assert_eq!([&said["aud"], &said["client_id"]], [&json!(setting.endpoint("wiki")), &json!("desk")]);
    assert_eq!(setting.calls("wiki", &access).await?, 200);
    assert_eq!(setting.calls("sample", &access).await?, 401);
    let discovered = house.modern("wiki", &access, 1, "server/discover", json!({})).send().await?;
    let extensions = &discovered.json()["result"]["capabilities"]["extensions"];
    assert_eq!(extensions["io.modelcontextprotocol/enterprise-managed-authorization"], json!({}));
    let (carol, _) = house.app.store.person_by_name("carol").await?.context("Carol has an account")?;
    assert_eq!(
        (said["sub"].as_str(), carol.groups.as_slice()),
        (Some(carol.id.as_str()), ["staff".to_owned()].as_slice())
    );
    refused(&setting.present("desk", &assertion, &[]).send().await?, "invalid_grant", "again");
    // The same person again, not another one.
    let again = setting.company.sign(TYPE, &setting.right("two"));
    assert_eq!(claims(&token(&setting.present("desk", &again, &[]).send().await?))["sub"], carol.id.as_str());
    // Whom the other provider calls the same is somebody else, and that one is not trusted for this at all.
    let theirs = with(&setting.right("three"), &json!({ "iss": setting.other.url() }));
    let theirs = setting.other.sign(TYPE, &theirs);
    refused(&setting.present("desk", &theirs, &[]).send().await?, "invalid_grant", "an issuer that is not trusted");
    // Who was switched off stays out.
    house.app.store.disable_person(&carol.id, house.app.clock.now()).await?;
    house.app.feed.catch_up().await.map_err(|error| anyhow::anyhow!("{error}"))?;
    assert_eq!(setting.calls("wiki", &access).await?, 401);
    let late = setting.company.sign(TYPE, &setting.right("four"));
    refused(&setting.present("desk", &late, &[]).send().await?, "invalid_grant", "switched off");
    assert_eq!(house.events("person.created").await?.len(), 1);
    // spec: AS-179: no assertion is anywhere in what was written.
    house.journal().await?;
    let secret = assertion.rsplit('.').next().unwrap_or_default().as_bytes();
    assert!(!house.written().windows(secret.len()).any(|window| window == secret), "the assertion was written down");
    setting.house.stop().await
}

// spec: AS-172, AS-173, AS-174, AS-175, AS-184, T-37, T-39, T-46
#[tokio::test(flavor = "multi_thread")]
async fn t46_an_identity_assertion_that_differs_in_anything_is_refused() -> Result<()> {
    let setting = setting(TRUSTED).await?;
    let now = setting.house.app.clock.now().as_secs();
    let us = format!("http://{}", setting.house.authority);
    let mut wrong: Vec<(String, String)> = Vec::new();
    for (n, changes) in [
        json!({ "iss": "https://login.elsewhere.example" }),
        json!({ "iss": null }),
        json!({ "sub": null }),
        json!({ "aud": "https://elsewhere.example" }),
        json!({ "aud": [us, "https://elsewhere.example"] }),
        json!({ "aud": format!("{us}/oauth/token") }),
        json!({ "aud": null }),
        json!({ "client_id": "shop" }),
        json!({ "client_id": null }),
        json!({ "resource": "https://elsewhere.example/mcp" }),
        json!({ "resource": [setting.endpoint("wiki"), "https://elsewhere.example/mcp"] }),
        json!({ "resource": us }),
        json!({ "resource": 7 }),
        json!({ "exp": null }),
        json!({ "exp": now - 60 }),
        json!({ "exp": now + 90_000 }),
        json!({ "iat": null }),
        json!({ "iat": now + 61 }),
        json!({ "nbf": now + 61 }),
        json!({ "jti": null }),
        json!({ "cnf": { "jkt": "x" } }),
        json!({ "authorization_details": [{ "type": "x" }] }),
    ]
    .iter()
    .enumerate()
    {
        let claims = with(&with(&setting.right("x"), &json!({ "jti": format!("bad-{n}") })), changes);
        wrong.push((changes.to_string(), setting.company.sign(TYPE, &claims)));
    }
    let right = setting.right("kept");
    for typ in ["JWT", "at+jwt", "id_token+jwt", "oauth-id-jag", ""] {
        wrong.push((format!("typ {typ}"), setting.company.sign(typ, &right)));
    }
    let header = setting.company.header(TYPE);
    let stranger = key()?;
    let foreign = |header: &Value| assemble(header, &right, |text| stranger.sign(text).unwrap_or_default());
    wrong.push(("a stranger's key".into(), foreign(&header)));
    wrong.push(("a key brought along".into(), foreign(&with(&header, &json!({ "jwk": stranger.public().to_jwk() })))));
    wrong.push(("a key elsewhere".into(), foreign(&with(&header, &json!({ "jku": "https://evil.example/jwks" })))));
    for alg in ["none", "HS256", "RS256", "ES384"] {
        let header = with(&header, &json!({ "alg": alg }));
        wrong.push((format!("alg {alg}"), setting.company.sign_with(&header, &right)));
    }
    wrong.push(("crit".into(), setting.company.sign_with(&with(&header, &json!({ "crit": ["exp"] })), &right)));
    wrong.push((
        "cut off".into(),
        setting.company.sign(TYPE, &right).rsplit_once('.').map(|(a, _)| a.to_owned()).unwrap_or_default(),
    ));
    for (why, assertion) in &wrong {
        refused(&setting.present("desk", assertion, &[]).send().await?, "invalid_grant", why);
    }
    assert_eq!(setting.company.asked("/evil"), 0);
    // For the person who asks for another server than the assertion names.
    let assertion = setting.company.sign(TYPE, &setting.right("elsewhere"));
    let sample = setting.endpoint("sample");
    refused(
        &setting.present("desk", &assertion, &[("resource", &sample)]).send().await?,
        "invalid_grant",
        "another server",
    );
    // None of these has made anybody known, or spent what was right.
    assert!(setting.house.app.store.person_by_name("carol").await?.is_none() || !wrong.is_empty());
    token(&setting.present("desk", &setting.company.sign(TYPE, &right), &[]).send().await?);
    setting.house.stop().await
}

// spec: AS-178, AS-170, T-46
#[tokio::test(flavor = "multi_thread")]
async fn t46_identity_assertions_are_for_confidential_clients_that_the_provider_may_send_people_to() -> Result<()> {
    let setting = setting(TRUSTED).await?;
    let of = |client: &str, jti: &str| {
        setting.company.sign(TYPE, &with(&setting.right(jti), &json!({ "client_id": client })))
    };
    refused(
        &setting.present("public", &of("public", "1"), &[]).send().await?,
        "unauthorized_client",
        "a public client",
    );
    refused(
        &setting.present("shop", &of("shop", "2"), &[]).send().await?,
        "unauthorized_client",
        "not in the settings",
    );
    let wrong = [("grant_type", JWT_BEARER), ("client_id", "desk"), ("client_secret", "wrong")];
    let assertion = of("desk", "3");
    let mut form = wrong.to_vec();
    form.push(("assertion", &assertion));
    let answer = setting.house.request("POST", "/oauth/token").form(&form).send().await?;
    assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("invalid_client")));
    // In the URL it is not looked at.
    let target = format!("/oauth/token?assertion={assertion}");
    let form = [("grant_type", JWT_BEARER), ("client_id", "desk"), ("client_secret", "s3cret")];
    refused(&setting.house.request("POST", &target).form(&form).send().await?, "invalid_request", "in the URL");
    token(&setting.present("desk", &assertion, &[]).send().await?);
    setting.house.stop().await?;

    // Off until a provider is trusted for it.
    let off = self::setting("back_channel_logout: off").await?;
    let metadata = off.house.request("GET", "/.well-known/oauth-authorization-server").send().await?.json();
    assert_eq!(metadata["authorization_grant_profiles_supported"], Value::Null);
    let assertion = off.company.sign(TYPE, &off.right("1"));
    refused(&off.present("desk", &assertion, &[]).send().await?, "unsupported_grant_type", "nobody is trusted");
    off.house.stop().await
}

// spec: AS-175, AS-177
#[tokio::test(flavor = "multi_thread")]
async fn identity_assertions_give_what_assertion_request_and_rules_have_in_common() -> Result<()> {
    let setting = setting(TRUSTED).await?;
    for (n, (said, asked, given)) in [
        (Some("mcp:read mcp:call"), None, Ok("mcp:read mcp:call")),
        (Some("mcp:read"), None, Ok("mcp:read")),
        (Some("mcp:read mcp:call"), Some("mcp:read"), Ok("mcp:read")),
        (Some("mcp:read"), Some("mcp:call"), Ok("mcp:read")),
        (None, Some("mcp:call"), Ok("mcp:read mcp:call")),
        (Some("calendar"), None, Err("invalid_scope")),
        (Some("mcp:call"), Some("calendar"), Err("invalid_scope")),
    ]
    .into_iter()
    .enumerate()
    {
        let claims = with(&setting.right(&format!("scope-{n}")), &json!({ "scope": said }));
        let asked: Vec<_> = asked.map(|asked| ("scope", asked)).into_iter().collect();
        let answer = setting.present("desk", &setting.company.sign(TYPE, &claims), &asked).send().await?;
        match given {
            Ok(given) => assert_eq!(answer.json()["scope"], given, "{said:?} {asked:?}: {}", answer.text()),
            Err(error) => refused(&answer, error, &format!("{said:?} {asked:?}")),
        }
    }
    // Without a resource in the assertion the request says which; a server that the person may not use is none.
    let (sample, vault) = (setting.endpoint("sample"), setting.endpoint("vault"));
    let open = |jti: &str| setting.company.sign(TYPE, &with(&setting.right(jti), &json!({ "resource": null })));
    let answer = setting.present("desk", &open("open-1"), &[("resource", &sample)]).send().await?;
    assert_eq!(claims(&token(&answer))["aud"], sample);
    refused(&setting.present("desk", &open("open-2"), &[]).send().await?, "invalid_target", "no resource at all");
    refused(
        &setting.present("desk", &open("open-3"), &[("resource", &vault)]).send().await?,
        "invalid_target",
        "no access",
    );
    setting.house.stop().await
}

// spec: AS-180, T-52
#[tokio::test(flavor = "multi_thread")]
async fn t52_an_address_that_somebody_has_already_makes_nobody_that_person() -> Result<()> {
    let setting = setting(TRUSTED).await?;
    let claims = with(
        &setting.right("one"),
        &json!({ "sub": "mallory-1", "preferred_username": ALICE.0, "email": "alice@example.com" }),
    );
    let answer = setting.present("desk", &setting.company.sign(TYPE, &claims), &[]).send().await?;
    let somebody = crate::issuer::claims(&token(&answer))["sub"].clone();
    let (alice, _) = setting.house.app.store.person_by_name(ALICE.0).await?.context("Alice")?;
    assert_ne!(somebody, alice.id.as_str());
    setting.house.stop().await
}

// spec: AS-180, T-52
#[tokio::test(flavor = "multi_thread")]
async fn t52_groups_that_do_not_fit_and_people_without_a_role_get_no_token() -> Result<()> {
    let setting = setting_with(TRUSTED, "roles: { member: [staff] }").await?;
    let too_many = with(&setting.right("one"), &json!({ "groups": null, "_claim_names": { "groups": "src1" } }));
    refused(
        &setting.present("desk", &setting.company.sign(TYPE, &too_many), &[]).send().await?,
        "invalid_grant",
        "groups that are elsewhere",
    );
    let stranger = with(&setting.right("two"), &json!({ "groups": ["guests"] }));
    refused(
        &setting.present("desk", &setting.company.sign(TYPE, &stranger), &[]).send().await?,
        "invalid_grant",
        "no role",
    );
    let answer = setting.present("desk", &setting.company.sign(TYPE, &setting.right("three")), &[]).send().await?;
    assert_eq!(setting.calls("wiki", &token(&answer)).await?, 200);
    setting.house.stop().await
}

// spec: AS-178, AS-114, T-46
#[tokio::test(flavor = "multi_thread")]
async fn t46_a_client_known_by_its_document_is_met_if_an_administrator_named_it() -> Result<()> {
    let (company, origin) = (Issuer::start().await?, OriginServer::start().await?);
    let (named, unnamed) = (origin.url("/agent.json"), origin.url("/other.json"));
    let own = key()?;
    for (path, id) in [("/agent.json", &named), ("/other.json", &unnamed)] {
        origin.put_json(
            path,
            &json!({ "client_id": id, "client_name": "Agent",
            "redirect_uris": ["https://agent.example.com/callback"], "grant_types": ["authorization_code"],
            "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [own.public().to_jwk()] } }),
        );
    }
    let outbound = format!("private_hosts: ['{}'], ca_file", company.authority());
    let settings = format!(
        "{}
identity:
  local_accounts: true
  providers:
    - {{ id: company, kind: oidc, issuer: '{}', client_id: portcullis, id_jag: {{ clients: ['{named}', '*'] }} }}",
        origin.settings().replacen("ca_file", &outbound, 1),
        company.url(),
    );
    let house = TestGateway::with(&settings).await?;
    let us = format!("http://{}", house.authority);
    let now = house.app.clock.now().as_secs();
    let proof = |client: &str, jti: &str| {
        let claims = json!({ "iss": client, "sub": client, "aud": us, "iat": now, "exp": now + 60, "jti": jti });
        let header = json!({ "typ": "JWT", "alg": "ES256", "kid": own.kid() });
        assemble(&header, &claims, |text| own.sign(text).unwrap_or_default())
    };
    let present = |client: &str, jti: &str| {
        let claims = json!({ "iss": company.url(), "sub": "carol-1", "aud": us, "client_id": client, "jti": jti,
            "resource": format!("{us}/mcp/sample"), "iat": now, "exp": now + 300, "preferred_username": "carol" });
        house.request("POST", "/oauth/token").form(&[
            ("grant_type", JWT_BEARER),
            ("assertion", &company.sign(TYPE, &claims)),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &proof(client, jti)),
        ])
    };
    let access = token(&present(&named, "one").send().await?);
    let answer = house.call("sample", &access, "echo", json!({ "message": "x" })).send().await?;
    assert_eq!((answer.status, &claims(&access)["client_id"]), (200, &json!(named)));
    // Nobody makes us fetch what nobody named.
    let before = origin.requests().len();
    let answer = present(&unnamed, "two").send().await?;
    assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("invalid_client")));
    assert_eq!(origin.requests().len(), before);
    house.stop().await
}
