//! Endpoints with an authorization server of the company in front: its tokens open them, for that very endpoint, as long as
//! they say, and no other token does.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use portcullis_base::PersonId;
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    person::Browser,
};
use portcullis_store::{LinkBy, NewPeople, ProviderSignIn, SignedIn};
use ring::hmac;
use serde_json::{Value, json};

use crate::{
    behind::{Behind, soon},
    issuer::{Issuer, assemble, key, with},
};

struct Setting {
    house: TestGateway,
    company: Issuer,
    behind: Behind,
}

/// A gateway whose servers `wiki` and `mail` take the company's tokens, beside others that take its own.
async fn setting(more: &str) -> Result<Setting> {
    let (company, behind) = (Issuer::start().await?, Behind::start().await?);
    let settings = format!(
        "outbound: {{ private_hosts: ['{}'] }}
roles: {{ auditor: [staff] }}
servers:
  - name: wiki
    url: 'http://{at}/mcp'
    access: [{{ group: staff, allow: ['*'] }}]
    authorization: {{ issuer: '{issuer}', algorithms: [ES256]{more} }}
  - name: mail
    url: 'http://{at}/mcp'
    authorization: {{ issuer: '{issuer}', algorithms: [ES256]{more} }}
  - name: plain
    url: 'http://{at}/mcp'",
        company.authority(),
        at = behind.at,
        issuer = company.url(),
    );
    Ok(Setting { house: TestGateway::with(&settings).await?, company, behind })
}

impl Setting {
    fn endpoint(&self, server: &str) -> String {
        format!("http://{}/mcp/{server}", self.house.authority)
    }

    /// What the company says of Carol for the wiki.
    fn right(&self) -> Value {
        let now = self.house.app.clock.now().as_secs();
        json!({ "iss": self.company.url(), "sub": "carol-1", "aud": self.endpoint("wiki"), "client_id": "desk",
            "iat": now, "exp": now + 600, "jti": "one", "preferred_username": "carol", "groups": ["staff"] })
    }

    async fn calls(&self, server: &str, token: &str) -> Result<u16> {
        Ok(self.house.call(server, token, "echo", json!({ "message": "x" })).send().await?.status)
    }
}

// spec: RS-3, RS-20, RS-21, T-34
#[tokio::test(flavor = "multi_thread")]
async fn t34_a_companys_token_opens_the_endpoint_that_it_is_for_and_no_other() -> Result<()> {
    let setting = setting("").await?;
    let house = &setting.house;
    let resource = |server: &str| format!("/.well-known/oauth-protected-resource/mcp/{server}");
    let wiki = house.request("GET", &resource("wiki")).send().await?.json();
    assert_eq!(wiki["authorization_servers"], json!([setting.company.url()]));
    assert_eq!(wiki["resource"], setting.endpoint("wiki"));
    let plain = house.request("GET", &resource("plain")).send().await?.json();
    assert_eq!(plain["authorization_servers"], json!([format!("http://{}", house.authority)]));

    let token = setting.company.sign("at+jwt", &setting.right());
    assert_eq!(setting.calls("wiki", &token).await?, 200);
    for elsewhere in ["mail", "plain", "sample"] {
        assert_eq!(setting.calls(elsewhere, &token).await?, 401, "{elsewhere}");
    }
    let challenge = house.call("mail", &token, "echo", json!({})).send().await?;
    let challenge = challenge.header("www-authenticate").unwrap_or_default().to_owned();
    let metadata = format!("resource_metadata=\"http://{}{}\"", house.authority, resource("mail"));
    assert!(challenge.contains(&metadata) && challenge.contains("invalid_token"), "{challenge}");
    // Our own tokens open our own endpoints, and none are made for the company's.
    let (client, tokens) = house.client("plain", ALICE).await?;
    assert_eq!(setting.calls("plain", &tokens.access).await?, 200);
    assert_eq!(setting.calls("wiki", &tokens.access).await?, 401);
    let mut browser = Browser::new(&house.authority);
    let told = browser.authorize(&client.authorize_target("wiki"), ALICE, "approve").await;
    assert!(told.is_err_and(|page| page.to_string().contains("error=invalid_target")), "no consent for the company's");
    // No byte of it travels on.
    let secret = token.rsplit('.').next().unwrap_or_default().to_owned();
    assert!(setting.behind.seen().iter().all(|seen| !seen.text().contains(&secret)));
    // The record knows who called.
    let decided = house.events("call.decided").await?;
    let of_carol = decided.iter().find(|line| line.to_string().contains("carol")).context("Carol's call")?;
    assert!(of_carol.to_string().contains("desk"), "{of_carol}");
    setting.house.stop().await
}

// spec: RS-21, T-37, T-39, AS-184
#[tokio::test(flavor = "multi_thread")]
async fn t37_forged_tokens_of_a_companys_server_are_refused() -> Result<()> {
    let setting = setting("").await?;
    let (company, right) = (&setting.company, setting.right());
    let now = setting.house.app.clock.now().as_secs();
    let mut wrong: Vec<(String, String)> = Vec::new();
    for changes in [
        json!({ "iss": "https://login.elsewhere.example" }),
        json!({ "iss": null }),
        json!({ "iss": format!("{}/", company.url()) }),
        json!({ "aud": "https://elsewhere.example" }),
        json!({ "aud": null }),
        json!({ "aud": [setting.endpoint("wiki"), "https://elsewhere.example"] }),
        json!({ "aud": format!("{}/", setting.endpoint("wiki")) }),
        json!({ "sub": null }),
        json!({ "exp": null }),
        json!({ "exp": now }),
        json!({ "exp": "tomorrow" }),
        json!({ "iat": now + 61 }),
        json!({ "nbf": now + 61 }),
        json!({ "cnf": { "jkt": "x" } }),
    ] {
        wrong.push((changes.to_string(), company.sign("at+jwt", &with(&right, &changes))));
    }
    for typ in ["id_token+jwt", "logout+jwt", "oauth-id-jag+jwt", "dpop+jwt", "client-authentication+jwt"] {
        wrong.push((format!("typ {typ}"), company.sign(typ, &right)));
    }
    for name in ["nonce", "at_hash", "c_hash", "events"] {
        wrong.push((format!("an ID token with {name}"), company.sign("JWT", &with(&right, &json!({ (name): "x" })))));
    }
    let header = company.header("at+jwt");
    let stranger = key()?;
    let foreign = |header: &Value| assemble(header, &right, |text| stranger.sign(text).unwrap_or_default());
    wrong.push(("a stranger's key".into(), foreign(&header)));
    wrong.push(("a key brought along".into(), foreign(&with(&header, &json!({ "jwk": stranger.public().to_jwk() })))));
    wrong.push(("a key elsewhere".into(), foreign(&with(&header, &json!({ "jku": "https://evil.example/jwks" })))));
    for alg in ["none", "None", "HS256", "RS256", "ES384", "EdDSA"] {
        let header = with(&header, &json!({ "alg": alg }));
        wrong.push((format!("alg {alg}"), company.sign_with(&header, &right)));
        wrong.push((format!("alg {alg}, unsigned"), assemble(&header, &right, |_| Vec::new())));
    }
    let hs256 = with(&header, &json!({ "alg": "HS256" }));
    let public = hmac::Key::new(hmac::HMAC_SHA256, company.jwk().to_string().as_bytes());
    wrong.push((
        "the public key as a secret".into(),
        assemble(&hs256, &right, |text| hmac::sign(&public, text).as_ref().to_vec()),
    ));
    for (name, value) in
        [("crit", json!(["exp"])), ("b64", json!(false)), ("zip", json!("DEF")), ("kid", json!("../key"))]
    {
        wrong.push((name.into(), company.sign_with(&with(&header, &json!({ (name): value })), &right)));
    }
    let before = setting.behind.calls("tools/call").len();
    for (why, token) in &wrong {
        assert_eq!(setting.calls("wiki", token).await?, 401, "{why}");
    }
    assert_eq!(setting.behind.calls("tools/call").len(), before, "a forged token reached the server");
    for typ in ["at+jwt", "JWT"] {
        assert_eq!(setting.calls("wiki", &company.sign(typ, &right)).await?, 200, "{typ}");
    }
    setting.house.stop().await
}

// spec: RS-19, T-39
#[tokio::test(flavor = "multi_thread")]
async fn t39_a_companys_token_is_good_for_its_time_and_not_a_second_more() -> Result<()> {
    let setting = setting("").await?;
    let now = setting.house.app.clock.now().as_secs();
    let token = |changes: Value| setting.company.sign("at+jwt", &with(&setting.right(), &changes));
    let brief = token(json!({ "exp": now + 30 }));
    for (why, token, status) in [
        ("ends now", token(json!({ "exp": now })), 401),
        ("ends in a second", token(json!({ "exp": now + 1 })), 200),
        ("ends soon", brief.clone(), 200),
        ("begins in a minute: their clock may be ahead", token(json!({ "nbf": now + 60 })), 200),
        ("begins later", token(json!({ "nbf": now + 61 })), 401),
        ("made in a minute", token(json!({ "iat": now + 60 })), 200),
        ("made later", token(json!({ "iat": now + 61 })), 401),
    ] {
        assert_eq!(setting.calls("wiki", &token).await?, status, "{why}");
    }
    setting.house.advance(Duration::from_secs(29)).await?;
    assert_eq!(setting.calls("wiki", &brief).await?, 200);
    setting.house.advance(Duration::from_secs(1)).await?;
    assert_eq!(setting.calls("wiki", &brief).await?, 401, "remembered, and over");
    setting.house.stop().await
}

// spec: T-38
#[tokio::test(flavor = "multi_thread")]
async fn t38_a_companys_keys_are_followed_when_they_turn_and_a_flood_fetches_nothing() -> Result<()> {
    let mut setting = setting("").await?;
    let right = setting.right();
    assert_eq!(setting.calls("wiki", &setting.company.sign("at+jwt", &right)).await?, 200);
    let (fetched, discovered) =
        (setting.company.asked("/jwks"), setting.company.asked("/.well-known/openid-configuration"));
    assert_eq!((fetched, discovered), (1, 1));
    for n in 0..200 {
        let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": format!("random-{n}") });
        assert_eq!(setting.calls("wiki", &setting.company.sign_with(&header, &right)).await?, 401);
    }
    assert!(setting.company.asked("/jwks") - fetched <= 1, "{} fetches", setting.company.asked("/jwks") - fetched);
    // A new key is found by its name, after a pause.
    setting.house.advance(Duration::from_secs(61)).await?;
    let old = setting.company.sign("at+jwt", &with(&right, &json!({ "jti": "old" })));
    setting.company.rotate()?;
    assert_eq!(setting.calls("wiki", &setting.company.sign("at+jwt", &right)).await?, 200);
    assert_eq!(setting.calls("wiki", &old).await?, 401, "a key that was withdrawn");
    setting.house.stop().await
}

// spec: RFC8414#3.3, RS-21
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_taken_from_metadata_that_is_somebody_elses() -> Result<()> {
    let (company, behind) = (Issuer::start().await?, Behind::start().await?);
    // The metadata found there names the issuer without the slash: another one.
    let issuer = format!("{}/", company.url());
    let settings = format!(
        "outbound: {{ private_hosts: ['{}'] }}
servers:
  - {{ name: wiki, url: 'http://{}/mcp', authorization: {{ issuer: '{issuer}' }} }}",
        company.authority(),
        behind.at,
    );
    let setting = Setting { house: TestGateway::with(&settings).await?, company, behind };
    let token = setting.company.sign("at+jwt", &with(&setting.right(), &json!({ "iss": issuer })));
    for _ in 0..3 {
        assert_eq!(setting.calls("wiki", &token).await?, 401);
    }
    assert_eq!(setting.company.asked("/jwks"), 0);
    assert_eq!(setting.company.asked("/.well-known/openid-configuration"), 1, "asked once, and then not for a while");
    setting.house.stop().await
}

// spec: T-53, RS-26
#[tokio::test(flavor = "multi_thread")]
async fn t53_a_companys_token_does_not_bring_back_whom_the_gateway_switched_off() -> Result<()> {
    let setting = setting("").await?;
    let house = &setting.house;
    let token = setting.company.sign("at+jwt", &setting.right());
    assert_eq!(setting.calls("wiki", &token).await?, 200);
    // A person without the group finds no such server.
    let outsider = setting.company.sign("at+jwt", &with(&setting.right(), &json!({ "sub": "dave-1", "groups": [] })));
    assert_eq!(setting.calls("wiki", &outsider).await?, 404);
    // From now on Carol has an account here.
    let issuer = setting.company.url();
    let id = PersonId::new("usr_carol");
    let sign_in = ProviderSignIn {
        provider: "company",
        issuer: &issuer,
        subject: "carol-1",
        tenant: None,
        external_id: None,
        email: None,
        names: &["carol".to_owned()],
        display_name: "Carol",
        groups: None,
        refresh_sealed: None,
        sign_up: NewPeople::Welcome,
        link: LinkBy::Nothing,
        new_person: &id,
    };
    let SignedIn::Created(carol) = house.app.store.sign_in_identity(&sign_in, house.app.clock.now()).await? else {
        anyhow::bail!("Carol is new");
    };
    house.app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))?;
    house.advance(Duration::from_secs(60)).await?;
    assert_eq!(setting.calls("wiki", &token).await?, 200);
    let decided = house.events("call.decided").await?;
    assert!(decided.last().is_some_and(|line| line.to_string().contains(carol.id.as_str())), "{:?}", decided.last());
    let session = house.session("wiki", &token).await?;
    let request = house.request("GET", "/mcp/wiki").bearer(&token).header("accept", "text/event-stream");
    let mut stream = request.header("mcp-session-id", &session).stream().await?;
    assert_eq!(stream.status, 200);
    house.app.store.disable_person(&carol.id, house.app.clock.now()).await?;
    house.app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))?;
    assert_eq!(setting.calls("wiki", &token).await?, 401);
    assert_eq!(soon(stream.event()).await??, None, "the open stream ends");
    let fresh = setting.company.sign("at+jwt", &with(&setting.right(), &json!({ "jti": "fresh" })));
    assert_eq!(setting.calls("wiki", &fresh).await?, 401);
    setting.house.stop().await
}

// spec: RS-20, RS-21, T-34, RFC7662#2.1, RFC7662#2.2
#[tokio::test(flavor = "multi_thread")]
async fn t34_tokens_that_only_their_server_can_read_are_asked_about_and_not_too_often() -> Result<()> {
    let (company, behind) = (Issuer::start().await?, Behind::start().await?);
    let secret = tempfile::NamedTempFile::new()?;
    std::fs::write(secret.path(), "s3cret:of the gateway")?;
    let settings = format!(
        "outbound: {{ private_hosts: ['{}'] }}
servers:
  - name: wiki
    url: 'http://{}/mcp'
    authorization:
      issuer: '{issuer}'
      introspection: {{ url: '{issuer}/introspect', client_id: gateway, client_secret: 'file:{secret}' }}",
        company.authority(),
        behind.at,
        issuer = company.url(),
        secret = secret.path().display(),
    );
    let setting = Setting { house: TestGateway::with(&settings).await?, company, behind };
    let now = setting.house.app.clock.now().as_secs();
    let right = with(&setting.right(), &json!({ "active": true, "exp": now + 90 }));
    let answers = right.clone();
    setting.company.says(move |token| match token {
        "good" => answers.clone(),
        "elsewhere" => with(&answers, &json!({ "aud": "https://elsewhere.example" })),
        "foreign" => with(&answers, &json!({ "iss": "https://login.elsewhere.example" })),
        "over" => with(&answers, &json!({ "exp": 1 })),
        "bound" => with(&answers, &json!({ "token_type": "DPoP" })),
        "vague" => json!({ "active": "true" }),
        _ => json!({ "active": false }),
    });
    for bad in ["unknown", "elsewhere", "foreign", "over", "bound", "vague"] {
        for _ in 0..3 {
            assert_eq!(setting.calls("wiki", bad).await?, 401, "{bad}");
        }
    }
    assert_eq!(setting.company.asked("/introspect"), 6, "each is asked about once");
    for _ in 0..3 {
        assert_eq!(setting.calls("wiki", "good").await?, 200);
    }
    assert_eq!(setting.company.asked("/introspect"), 7);
    let heard = setting.company.heard("/introspect").pop().context("a question")?;
    // `gateway:s3cret%3Aof+the+gateway`
    assert!(heard.contains("Basic Z2F0ZXdheTpzM2NyZXQlM0FvZit0aGUrZ2F0ZXdheQ=="), "{heard}");
    // What was found out counts for a minute: then the server may say something else.
    setting.house.advance(Duration::from_secs(59)).await?;
    assert_eq!(setting.calls("wiki", "good").await?, 200);
    assert_eq!(setting.company.asked("/introspect"), 7);
    setting.company.says(|_| json!({ "active": false }));
    setting.house.advance(Duration::from_secs(1)).await?;
    assert_eq!(setting.calls("wiki", "good").await?, 401);
    // And never longer than the token itself.
    setting.company.says(move |_| with(&right, &json!({ "exp": now + 70 })));
    assert_eq!(setting.calls("wiki", "short").await?, 200);
    setting.house.advance(Duration::from_secs(10)).await?;
    assert_eq!(setting.calls("wiki", "short").await?, 401);
    setting.house.stop().await
}
