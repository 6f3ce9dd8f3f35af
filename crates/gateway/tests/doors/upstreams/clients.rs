//! Who we are at an authorization server (UP-B).

use std::time::Duration;

use futures_util::future::join_all;
use portcullis_base::Secret;
use portcullis_gateway::{
    authority::{Revocation, Trouble},
    config::{ClientAuth, ClientProof, Credential, OAuth, Register},
};
use portcullis_oauth::client::AuthMethod;
use portcullis_store::UpstreamClientRow;
use serde_json::json;

use super::street::{Answer, Street, authority, back, configured, connected, oauth, put, refusal, secret, tickets};
use crate::house::{House, ISSUER};

async fn basic_of(street: &Street, house: &House) -> (String, Option<String>) {
    connected(house).await;
    let asked = street.asked("POST /token").remove(0);
    (asked.authorization.clone(), asked.form("client_id"))
}

/// spec: UP-20: "credentials pre-registered for that issuer; CIMD [...]; DCR [...]; else ask the administrator".
#[tokio::test]
async fn ways_to_be_known_are_tried_in_the_written_order() {
    let street = Street::new().await;
    street.serves("", &json!({ "client_id_metadata_document_supported": true }));
    let yaml = "public_url: https://gate.example\noutbound: { client_document: true }";
    for (credential, way) in [
        (Credential::OAuth(configured(&street.url(""), secret())), "configured"),
        (oauth(), "document"),
        (Credential::OAuth(OAuth { register: Register::Dynamic, ..OAuth::default() }), "dynamic"),
    ] {
        let house = street.house_reaching(yaml, credential, &[]).await;
        let (_, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
        assert_eq!(begun.client.way(), way);
    }
    let house = street.house(oauth()).await;
    let (_, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    assert_eq!(begun.client.way(), "dynamic", "spec: UP-23: the document of a private gateway is read by nobody");

    street.serves("", &json!({ "registration_endpoint": null }));
    let house = street.house(oauth()).await;
    let error = authority(&house).begin(&tickets(&house), &[]).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Settings);
    assert!(error.detail.contains(&format!("{ISSUER}/connections/-/callback/")), "{}", error.detail);
}

/// spec: UP-21: a secret of the settings is for the issuer that the settings name; no server chooses another.
#[tokio::test]
async fn a_configured_client_is_for_its_issuer_only() {
    let street = Street::new().await;
    let unbound = OAuth { issuer: None, ..configured("", secret()) };
    let house = street.house(Credential::OAuth(unbound)).await;
    let error = authority(&house).begin(&tickets(&house), &[]).await.unwrap_err();
    assert!(error.detail.contains(&format!("issuer: {}", street.url(""))), "{}", error.detail);
    assert_eq!(street.times("POST /token") + street.times("POST /register"), 0);
}

/// spec: UP-24, UP-27
#[tokio::test]
async fn a_registration_says_what_we_are() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let (url, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    let body = street.asked("POST /register").remove(0).json();
    let callback = super::street::parameter(&url, "redirect_uri").unwrap();
    let id = portcullis_oauth::upstream::issuer_id(begun.issuer());
    assert_eq!(callback, format!("{ISSUER}/connections/-/callback/{id}"));
    assert_eq!(body["redirect_uris"], json!([callback]));
    assert_eq!(body["application_type"], "native", "this gateway is on a person's own computer");
    assert_eq!(body["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(body["response_types"], json!(["code"]));
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(body.get("jwks_uri"), None);

    let yaml = "public_url: https://gate.example\noutbound: { client_document: true }";
    let house = street.house_reaching(yaml, oauth(), &[]).await;
    authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    let body = street.asked("POST /register").remove(0).json();
    assert_eq!(
        (&body["application_type"], &body["token_endpoint_auth_method"]),
        (&json!("web"), &json!("private_key_jwt"))
    );
    assert_eq!(body["jwks_uri"], "https://gate.example/oauth/client/jwks.json");
}

/// spec: UP-21, T-44: once, sealed, and written down.
#[tokio::test]
async fn a_registration_is_kept_and_its_secret_shows_nowhere() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let (server, authority) = (tickets(&house), authority(&house));
    let begun = join_all((0..20).map(|_| authority.begin(&server, &[]))).await;
    assert!(begun.iter().all(|begun| begun.as_ref().unwrap().1.client.client_id == "c-1"));
    assert_eq!(street.times("POST /register"), 1);
    let row = house.app.store.upstream_client(&street.url("")).await.unwrap().unwrap();
    assert_eq!((row.way.as_str(), row.client_id.as_str()), ("dynamic", "c-1"));
    assert!(!house.database().contains("s3cret-of-c-1"));
    assert!(!format!("{:?}", begun[0]).contains("s3cret-of-c-1"));
    assert!(house.events().contains(&"upstream.client_registered".to_owned()));
    let journal = serde_json::to_string(&house.journal()).unwrap();
    assert!(!journal.contains("s3cret-of-c-1"));
}

/// spec: UP-25
#[tokio::test]
async fn a_refused_registration_is_tried_once_more_and_then_told() {
    let street = Street::new().await;
    let said = json!({ "error": "invalid_client_metadata", "error_description": "no secrets here" });
    street.on("POST /register", Answer::json(&said).status(400));
    let house = street.house(oauth()).await;
    let error = authority(&house).begin(&tickets(&house), &[]).await.unwrap_err();
    assert!(error.detail.contains("no secrets here"), "{}", error.detail);
    let asked = street.asked("POST /register");
    let methods: Vec<_> = asked.iter().map(|one| one.json()["token_endpoint_auth_method"].clone()).collect();
    assert_eq!(methods, ["client_secret_basic", "none"]);

    street.on("POST /register", Answer::json(&said).status(400));
    let public = json!({ "client_id": "c-9", "token_endpoint_auth_method": "none" });
    street.then("POST /register", Answer::json(&public).status(201));
    let (_, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    assert_eq!(begun.client.client_id, "c-9");
}

/// spec: UP-26
#[tokio::test]
async fn requests_are_proved_as_the_registration_says() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let (authorization, id) = basic_of(&street, &house).await;
    assert!(authorization.starts_with("Basic ") && id.is_none());

    street.registers("c-2", "client_secret_post", Some("s3cret-of-c-2"));
    let house = street.house(oauth()).await;
    connected(&house).await;
    let asked = street.asked("POST /token").remove(0);
    assert_eq!((asked.authorization.as_str(), asked.form("client_secret").as_deref()), ("", Some("s3cret-of-c-2")));

    street.registers("c-3", "none", None);
    let house = street.house(oauth()).await;
    connected(&house).await;
    let asked = street.asked("POST /token").remove(0);
    assert_eq!((asked.authorization.as_str(), asked.form("client_secret")), ("", None));
    assert_eq!(asked.form("client_id").as_deref(), Some("c-3"));
}

/// spec: UP-26: what the settings say goes before what the authorization server lists.
#[tokio::test]
async fn a_configured_client_proves_itself_as_the_settings_say() {
    let street = Street::new().await;
    let post = |how| {
        Credential::OAuth(configured(
            &street.url(""),
            match secret() {
                ClientProof::Secret { secret, .. } => ClientProof::Secret { secret, how },
                other => other,
            },
        ))
    };
    let (authorization, _) = basic_of(&street, &street.house(post(None)).await).await;
    assert!(authorization.starts_with("Basic "));
    let (authorization, id) = basic_of(&street, &street.house(post(Some(ClientAuth::Post))).await).await;
    assert_eq!((authorization.as_str(), id.as_deref()), ("", Some("ours")));
    street.serves("", &json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] }));
    let (authorization, id) = basic_of(&street, &street.house(post(None)).await).await;
    assert_eq!((authorization.as_str(), id.as_deref()), ("", Some("ours")));
    assert_eq!(AuthMethod::ClientSecretPost.as_str(), "client_secret_post");
}

/// spec: UP-12, UP-21: who is forgotten registers anew, and nobody who is alive loses anything by it.
#[tokio::test]
async fn a_forgotten_client_is_registered_anew_at_the_next_connecting() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let (server, authority) = (tickets(&house), authority(&house));
    let before = connected(&house).await;

    house.clock.advance(Duration::from_mins(2));
    street.on("POST /token", refusal("invalid_client").status(401));
    let (_, begun) = authority.begin(&server, &[]).await.unwrap();
    let error = authority.redeem(&begun, &back(&begun)).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Unavailable, "trying again helps");

    street.registers("c-2", "none", None);
    street.gives("access-2", Some("refresh-2"));
    let after = connected(&house).await;
    assert_eq!((before.client.client_id.as_str(), after.client.client_id.as_str()), ("c-1", "c-2"));
    street.lines();
    let renewed = authority.refresh(&server, &before).await.unwrap();
    let asked = street.asked("POST /token").remove(0);
    assert!(asked.authorization.starts_with("Basic "), "as the client that it was given to");
    assert_eq!(renewed.client.client_id, "c-1");
}

/// A gateway that has moved has other callbacks: codes for it are sent to nobody else's address.
#[tokio::test]
async fn a_gateway_that_moved_registers_anew() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    connected(&house).await;
    assert_eq!(street.times("POST /register"), 1);
    let issuer = street.url("");
    let row = house.app.store.upstream_client(&issuer).await.unwrap().unwrap();
    let moved = UpstreamClientRow { metadata: row.metadata.replace(ISSUER, "https://before.example"), ..row };
    assert!(moved.metadata.contains("https://before.example/connections/-/callback/"));
    house.app.store.put_upstream_client(&moved, Some("c-1")).await.unwrap();
    street.registers("c-2", "none", None);
    assert_eq!(connected(&house).await.client.client_id, "c-2");
    assert_eq!(connected(&house).await.client.client_id, "c-2");
    assert_eq!(street.times("POST /register"), 1);
}

/// spec: UP-13, UP-21: two authorization servers may know us by the same name, and each has a secret of its own.
#[tokio::test]
async fn the_secret_of_one_issuer_is_shown_to_no_other_under_the_same_name() {
    let street = Street::new().await;
    let house = street.house(Credential::OAuth(configured(&street.url(""), secret()))).await;
    let held = connected(&house).await;
    let (_, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    // The administrator moves the server to another issuer while somebody is away.
    let theirs = ClientProof::Secret { secret: Secret::new("s3cret-of-another".into()), how: None };
    let moved = Credential::OAuth(configured(&street.url("/tenant"), theirs));
    street.serves("/tenant", &json!({}));
    put(&house, street.server(moved));
    street.lines();
    street.on("POST /revoke", Answer::json(&json!({})));
    assert!(matches!(authority(&house).revoke(&held).await, Revocation::Failed(_)));
    assert!(authority(&house).redeem(&begun, &back(&begun)).await.is_err());
    assert_eq!(street.times("POST /revoke") + street.times("POST /token"), 0);
}

/// spec: UP-12, UP-20
#[tokio::test]
async fn a_check_of_the_server_finds_a_forgotten_registration_and_lets_it_go() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    connected(&house).await;
    house.clock.advance(Duration::from_mins(2));
    street.on("POST /token", refusal("invalid_client").status(401));
    let said = format!("{:?}", authority(&house).examine(&tickets(&house)).await);
    assert!(said.contains("has forgotten the gateway"), "{said}");
    street.registers("c-2", "none", None);
    street.gives("access-2", None);
    assert_eq!(connected(&house).await.client.client_id, "c-2");
}
