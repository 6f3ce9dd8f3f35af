//! What we publish about ourselves as a client.

use http::StatusCode;
use portcullis_oauth::{redirect::RedirectPolicy, registration};
use serde_json::json;

use super::street::{Street, authority, oauth, tickets};
use crate::house::House;

/// spec: UP-22, UP-23
#[tokio::test]
async fn the_client_document_stands_up_to_our_own_checks() {
    let street = Street::new().await;
    street.serves("", &json!({ "client_id_metadata_document_supported": true }));
    let yaml = "public_url: https://gate.example\noutbound: { client_document: true }";
    let house = street.house_reaching(yaml, oauth(), &[]).await;
    let (url, begun) = authority(&house).begin(&tickets(&house), &[]).await.unwrap();
    assert_eq!(begun.client.client_id, "https://gate.example/oauth/client.json");
    assert_eq!(street.times("POST /register"), 0, "spec: UP-20");

    let document = house.get("/oauth/client.json").await;
    assert_eq!(document.status, StatusCode::OK, "{}", document.text);
    let document = document.json();
    assert_eq!(document["client_id"], "https://gate.example/oauth/client.json");
    assert_eq!(document["token_endpoint_auth_method"], "private_key_jwt");
    let callback = super::street::parameter(&url, "redirect_uri").unwrap();
    assert_eq!(document["redirect_uris"], json!([callback]));
    let id = document["client_id"].as_str().unwrap();
    let read = registration::document(id, document.to_string().as_bytes(), &RedirectPolicy::default()).unwrap();
    assert!(read.redirect_matches(&callback));
    let keys = house.get("/oauth/client/jwks.json").await.json();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
}

/// spec: UP-23
#[tokio::test]
async fn nobody_is_referred_to_a_document_that_nobody_can_read() {
    let house = House::new().await;
    assert_eq!(house.get("/oauth/client.json").await.status, StatusCode::NOT_FOUND);
    // Its keys also prove clients that somebody registered by hand.
    let keys = house.get("/oauth/client/jwks.json").await;
    assert_eq!((keys.status, keys.json()["keys"].as_array().map(Vec::len)), (StatusCode::OK, Some(1)));
}
