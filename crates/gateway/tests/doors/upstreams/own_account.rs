//! The gateway for itself: client credentials (UP-85).

use portcullis_base::{PersonId, Secret};
use portcullis_gateway::{
    authority::{MintError, Whom},
    config::{ClientCredentials, ClientKey, ClientProof, Credential, OAuth},
};
use portcullis_oauth::{jwks::PublicKey, jwt::Unverified};
use portcullis_store::PersonKind;
use serde_json::json;

use super::street::{Street, authority, configured, refusal, secret, tickets};
use crate::house::House;

/// An EC P-256 key as PKCS#8, made for these tests.
const KEY: &str = include_str!("client.key");

fn own(oauth: OAuth, token_endpoint: Option<String>) -> Credential {
    Credential::ClientCredentials(ClientCredentials { token_endpoint, oauth })
}

fn whom() -> Whom {
    Whom { person: PersonId::new("usr_a"), kind: PersonKind::Person, name: "ada".into(), groups: [].into() }
}

async fn mint(house: &House) -> Result<String, MintError> {
    let minted = authority(house).mint(&tickets(house), &whom()).await?;
    Ok(minted.access.reveal().to_owned())
}

/// spec: UP-85, UP-30
#[tokio::test]
async fn the_gateway_gets_a_token_of_its_own() {
    let street = Street::new().await;
    street.serves("", &json!({ "authorization_endpoint": null, "code_challenge_methods_supported": null }));
    let scoped = OAuth { scopes: Some(vec!["read".into()]), ..configured(&street.url(""), secret()) };
    let house = street.house(own(scoped.clone(), None)).await;
    assert_eq!(mint(&house).await.unwrap(), "access-1");
    let asked = street.asked("POST /token").remove(0);
    assert_eq!(asked.form("grant_type").as_deref(), Some("client_credentials"));
    assert_eq!((asked.form("scope").as_deref(), asked.form("resource")), (Some("read"), Some(street.url("/mcp"))));
    assert!(asked.authorization.starts_with("Basic "));

    // Where the settings name the place nobody is asked for it.
    let issuerless = OAuth { issuer: None, ..scoped };
    street.lines();
    let house = street.house(own(issuerless, Some(street.url("/token")))).await;
    assert_eq!(mint(&house).await.unwrap(), "access-1");
    assert_eq!(street.lines(), ["POST /token"]);

    street.on("POST /token", refusal("invalid_scope"));
    let Err(MintError::Refused { public, .. }) = mint(&house).await else { panic!("it was refused") };
    assert!(public.contains("The gateway's own account at the server tickets is refused"), "{public}");
}

/// spec: RFC7523#3, UP-26
#[tokio::test]
async fn it_may_prove_itself_with_a_key() {
    let street = Street::new().await;
    let claims = |assertion: &str, key: &PublicKey| {
        let claims = Unverified::split(assertion).unwrap().verify(key).unwrap().into_members();
        serde_json::Value::Object(claims)
    };
    let oauth = configured(&street.url(""), ClientProof::Key(ClientKey::Own));
    let house = street.house(own(oauth, None)).await;
    mint(&house).await.unwrap();
    let asked = street.asked("POST /token").remove(0);
    assert_eq!(
        asked.form("client_assertion_type").as_deref(),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    let assertion = asked.form("client_assertion").unwrap();
    let published = house.app.signing.load();
    let now = portcullis_base::Clock::now(&*house.clock);
    let said = claims(&assertion, published.current(now).unwrap().public());
    assert_eq!((&said["iss"], &said["sub"]), (&json!("ours"), &json!("ours")));
    assert_eq!(said["aud"], street.url(""), "for this authorization server alone");

    let pem = ClientKey::Pem { pem: Secret::new(KEY.into()), id: Some("key-7".into()) };
    let house = street.house(own(configured(&street.url(""), ClientProof::Key(pem)), None)).await;
    mint(&house).await.unwrap();
    let assertion = street.asked("POST /token").remove(0).form("client_assertion").unwrap();
    assert_eq!(Unverified::split(&assertion).unwrap().kid.as_deref(), Some("key-7"));
    assert!(!format!("{:?}", tickets(&house).credential).contains("PRIVATE"));

    let bad = ClientKey::Pem { pem: Secret::new("nonsense".into()), id: None };
    let house = street.house(own(configured(&street.url(""), ClientProof::Key(bad)), None)).await;
    let Err(MintError::Refused { detail, .. }) = mint(&house).await else { panic!("there is no key") };
    assert!(detail.contains("openssl genpkey") && !detail.contains("nonsense"), "{detail}");
}
