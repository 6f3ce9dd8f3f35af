//! The gateway's own account at a server, at an authorization server that checks what it is shown.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_house::gateway::ALICE;
use serde_json::{Value, json};

use crate::town::Town;

async fn town() -> Result<Option<Town>> {
    let servers = json!({ "notes": { "authority": "acme", "tls": true, "required": ["notes:read"] } });
    Town::start(json!({ "acme": {} }), servers, &[], "").await
}

async fn register(town: &Town, client: &Value) -> Result<()> {
    let mut members = json!({ "redirect_uris": [], "response_types": [], "grant_types": ["client_credentials"] });
    for (name, value) in client.as_object().into_iter().flatten() {
        members[name] = value.clone();
    }
    town.at("acme").client(members).await
}

/// The forms that its token endpoint got, as pairs.
async fn forms(town: &Town) -> Result<Vec<Vec<(String, String)>>> {
    let requests = town.at("acme").requests().await?;
    let asked = requests.iter().filter(|one| one["url"].as_str().is_some_and(|url| url.ends_with("/token")));
    Ok(asked
        .filter_map(|one| one["body"].as_str())
        .map(|body| url::form_urlencoded::parse(body.as_bytes()).into_owned().collect())
        .collect())
}

fn field<'f>(form: &'f [(String, String)], name: &str) -> Option<&'f str> {
    form.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
}

fn part(token: &str, at: usize) -> Result<Value> {
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(at).context("a part")?)?)?)
}

// spec: UP-85, UP-30, RFC7523#3
#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_proves_itself_with_the_gateways_key() -> Result<()> {
    let Some(town) = town().await? else { return Ok(()) };
    let acme = town.at("acme");
    // The authorization server fetches the gateway's keys, also those that come later.
    let keys = format!("http://{}/oauth/client/jwks.json", town.house.authority);
    register(
        &town,
        &json!({ "client_id": "signs", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": keys,
        "token_endpoint_auth_signing_alg": "ES256" }),
    )
    .await?;
    let credential = json!({ "kind": "client_credentials", "issuer": acme.issuer(), "client_id": "signs",
        "client_auth": "private_key_jwt", "scopes": ["notes:read"] });
    town.protect("notes", credential).await?;
    let mut seen = Vec::new();
    for days in [0, 1, 31, 1] {
        town.advance(Duration::from_hours(24 * days)).await?;
        acme.forget().await?;
        let token = town.token("notes", ALICE).await?;
        assert_eq!(town.seen_as("notes", &token).await?, "signs at notes");
        let form = forms(&town).await?.pop().context("a request")?;
        let resource = town.at("notes").url();
        assert_eq!((field(&form, "scope"), field(&form, "resource")), (Some("notes:read"), Some(resource)));
        assert_eq!(field(&form, "client_secret"), None);
        let assertion = field(&form, "client_assertion").context("an assertion")?.to_owned();
        let (head, said) = (part(&assertion, 0)?, part(&assertion, 1)?);
        assert_eq!(
            (&said["iss"], &said["sub"], &said["aud"]),
            (&json!("signs"), &json!("signs"), &json!(acme.issuer()))
        );
        let now = portcullis_base::Clock::now(&*town.house.clock).as_secs();
        assert!(said["exp"].as_i64().is_some_and(|exp| (now..=now + 60).contains(&exp)), "{said}");
        assert!(said["iat"].as_i64().is_some_and(|iat| iat <= now), "{said}");
        // Once: also the authorization server sees to that, and no other takes it.
        let pairs: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let url = url::Url::parse(acme.issuer())?;
        let host = url.host_str().zip(url.port()).map(|(host, port)| format!("{host}:{port}")).context("a host")?;
        let again = portcullis_house::http::request(&host, "POST", "/token").over(&town.upstreams.trust()?);
        assert_eq!(again.form(&pairs).send().await?.json()["error"], "invalid_client", "shown twice");
        seen.push((head["kid"].clone(), said["jti"].clone()));
    }
    let jtis: std::collections::BTreeSet<_> = seen.iter().map(|(_, jti)| jti.to_string()).collect();
    assert_eq!(jtis.len(), 4, "{seen:?}");
    assert_ne!(seen[0].0, seen[3].0, "the keys have changed meanwhile");
    town.house.stop().await
}

// spec: RFC6749#2.3.1: "The client identifier is encoded using the \"application/x-www-form-urlencoded\" encoding algorithm"
#[tokio::test(flavor = "multi_thread")]
async fn names_and_secrets_of_any_characters_arrive_as_they_are() -> Result<()> {
    let Some(town) = town().await? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (acme, file) = (town.at("acme"), folder.path().join("secret"));
    for (at, (id, secret)) in
        [("the:house+1", "p:a+s%s w&o=r/d~*'\"\\"), ("a b%20c&d=e", "%2B%25:+:+"), ("~!*'()", "-._~ !*'() ")]
            .iter()
            .enumerate()
    {
        let secret = secret.trim_end();
        std::fs::write(&file, secret)?;
        for how in ["client_secret_basic", "client_secret_post"] {
            register(&town, &json!({ "client_id": id, "client_secret": secret, "token_endpoint_auth_method": how }))
                .await?;
            let credential = json!({ "kind": "client_credentials", "issuer": acme.issuer(), "client_id": id,
                "client_secret": format!("file:{}", file.display()), "client_auth": how, "scopes": ["notes:read"] });
            town.protect("notes", credential).await?;
            let token = town.token("notes", ALICE).await?;
            assert_eq!(town.seen_as("notes", &token).await?, format!("{id} at notes"), "{at} {how}");
        }
    }
    assert_eq!(acme.grants("client_credentials").await?, 6);
    town.house.stop().await
}
