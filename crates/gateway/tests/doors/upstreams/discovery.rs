//! From a server to its authorization server (UP-A).

use std::time::Duration;

use portcullis_gateway::{
    authority::Trouble,
    config::{Credential, LegacyPaths, OAuth, ResourceMatch, ResourceParameter, S256},
};
use portcullis_oauth::upstream::challenge::Wanted;
use serde_json::json;

use super::street::{Answer, Street, authority, connected, oauth, parameter, put, server_at, tickets};

const RESOURCE: &str = "GET /.well-known/oauth-protected-resource/mcp";
const ROOT: &str = "GET /.well-known/oauth-protected-resource";

fn pointing(url: String) -> Wanted {
    Wanted { resource_metadata: Some(url), ..Wanted::default() }
}

/// spec: UP-2, UP-5
#[tokio::test]
async fn documents_are_looked_for_in_the_written_order() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let found = authority(&house).discover(&tickets(&house), None).await.unwrap();
    assert_eq!(found.issuer, street.url(""));
    assert_eq!(found.resource, Some(street.url("/mcp")));
    assert_eq!(found.scopes, ["read", "write"]);
    let metadata = "GET /.well-known/oauth-authorization-server";
    assert_eq!(street.lines(), ["POST /mcp", RESOURCE, metadata]);

    let document = json!({ "resource": street.url(""), "authorization_servers": [street.url("")] });
    street.off(RESOURCE);
    street.on(ROOT, Answer::json(&document));
    street.off(metadata);
    street.on("GET /.well-known/openid-configuration", Answer::json(&street.metadata("", &json!({}))));
    let house = street.house(oauth()).await;
    let found = authority(&house).discover(&tickets(&house), None).await.unwrap();
    assert_eq!((found.resource.clone(), found.scopes.len()), (Some(street.url("")), 0));
    let expected = ["POST /mcp", RESOURCE, ROOT, metadata, "GET /.well-known/openid-configuration"];
    assert_eq!(street.lines(), expected);
}

/// spec: UP-1, UP-2: what the server says when it refuses goes before every guess, also if nobody was refused yet.
#[tokio::test]
async fn a_server_says_itself_where_its_metadata_is() {
    let street = Street::new().await;
    street.off(RESOURCE);
    let here = street.url("/about");
    let said = format!("Basic realm=\"a, b\", Bearer scope=\"read\", resource_metadata=\"{here}\"");
    street.on("POST /mcp", Answer::json(&json!({})).status(401).header("www-authenticate", said));
    let document = json!({ "resource": street.url("/mcp"), "authorization_servers": [street.url("")] });
    street.on("GET /about", Answer::json(&document));
    let house = street.house(oauth()).await;
    let found = authority(&house).discover(&tickets(&house), None).await.unwrap();
    assert_eq!(found.scopes, ["read"], "spec: UP-37");
    assert_eq!(street.times("GET /.well-known/oauth-protected-resource"), 0);

    let house = street.house(oauth()).await;
    street.lines();
    authority(&house).discover(&tickets(&house), Some(&pointing(here))).await.unwrap();
    assert_eq!(street.times("POST /mcp"), 0, "what was heard is not asked again");
}

/// spec: UP-6
#[tokio::test]
async fn an_issuer_with_a_path_is_never_looked_for_at_the_root() {
    let street = Street::new().await;
    street.protects(&street.url("/tenant"));
    let house = street.house(oauth()).await;
    let error = authority(&house).discover(&tickets(&house), None).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Settings, "{}", error.detail);
    let asked: Vec<_> =
        street.lines().into_iter().filter(|line| !line.contains("resource") && line != "POST /mcp").collect();
    assert_eq!(
        asked,
        [
            "GET /.well-known/oauth-authorization-server/tenant",
            "GET /.well-known/openid-configuration/tenant",
            "GET /tenant/.well-known/openid-configuration",
        ]
    );
}

/// spec: UP-3, T-28
#[tokio::test]
async fn a_server_that_speaks_for_another_is_not_believed() {
    let street = Street::new().await;
    let foreign = json!({ "resource": "https://other.example/mcp", "authorization_servers": [street.url("")] });
    street.on(RESOURCE, Answer::json(&foreign));
    let house = street.house(oauth()).await;
    let error = authority(&house).discover(&tickets(&house), None).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Settings);
    assert_eq!(street.times("GET /.well-known/oauth-authorization-server"), 0, "nobody else is asked then");

    let prefix = json!({ "resource": street.url(""), "authorization_servers": [street.url("")] });
    street.on(RESOURCE, Answer::json(&prefix));
    let house = street.house(oauth()).await;
    assert!(authority(&house).discover(&tickets(&house), None).await.is_err(), "the path form wants the whole URL");
    let tolerant = OAuth { resource_match: ResourceMatch::Prefix, ..OAuth::default() };
    let house = street.house(Credential::OAuth(tolerant)).await;
    assert!(authority(&house).discover(&tickets(&house), None).await.is_ok());
}

/// spec: T-28: a server must not choose whom we ask.
#[tokio::test]
async fn a_server_cannot_send_us_anywhere() {
    let (street, canary) = (Street::new().await, Street::new().await);
    let house = street.house(oauth()).await;
    let elsewhere = pointing(canary.url("/.well-known/oauth-protected-resource/mcp"));
    let error = authority(&house).discover(&tickets(&house), Some(&elsewhere)).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Settings, "{}", error.detail);

    street.protects(&canary.url(""));
    let house = street.house(oauth()).await;
    let error = authority(&house).discover(&tickets(&house), None).await.unwrap_err();
    assert!(!error.public.contains("127.0.0.1"), "the person learns nothing of our network: {}", error.public);

    street.protects(&street.url(""));
    let redirect = Answer::json(&json!({})).status(302).header("location", canary.url("/"));
    street.on("GET /.well-known/oauth-authorization-server", redirect);
    let house = street.house(oauth()).await;
    assert!(authority(&house).discover(&tickets(&house), None).await.is_err());
    assert_eq!(canary.lines(), [""; 0]);
}

/// spec: UP-10, T-28: nobody far away may point at this computer.
#[tokio::test]
async fn a_public_server_cannot_name_a_private_authorization_server() {
    let canary = Street::new().await;
    let house = canary.house_reaching("", oauth(), &[&canary.named()]).await;
    put(&house, server_at("https://mcp.example/mcp", oauth()));
    let named = Wanted { resource_metadata: Some(canary.url("/x")), ..Wanted::default() };
    assert!(authority(&house).discover(&tickets(&house), Some(&named)).await.is_err());
    assert_eq!(canary.lines(), [""; 0]);
}

/// spec: UP-7, UP-8
#[tokio::test]
async fn an_issuer_is_who_it_says_or_who_the_settings_say() {
    let street = Street::new().await;
    street.serves("", &json!({ "issuer": street.url("/") }));
    let house = street.house(oauth()).await;
    assert!(authority(&house).discover(&tickets(&house), None).await.is_err());
    let pinned = OAuth { issuer: Some(street.url("/")), ..OAuth::default() };
    let house = street.house(Credential::OAuth(pinned.clone())).await;
    let found = authority(&house).discover(&tickets(&house), None).await.unwrap();
    assert_eq!(found.issuer, street.url("/"));
    street.serves("", &json!({ "issuer": "https://evil.example/" }));
    let house = street.house(Credential::OAuth(pinned)).await;
    assert!(authority(&house).discover(&tickets(&house), None).await.is_err(), "the check stays");
}

/// spec: UP-9
#[tokio::test]
async fn pkce_must_be_announced_unless_an_administrator_knows() {
    let street = Street::new().await;
    street.serves("", &json!({ "code_challenge_methods_supported": null }));
    let house = street.house(oauth()).await;
    assert!(authority(&house).discover(&tickets(&house), None).await.is_err());
    let house = street.house(Credential::OAuth(OAuth { s256: S256::Assumed, ..OAuth::default() })).await;
    assert!(authority(&house).discover(&tickets(&house), None).await.is_ok());
}

/// spec: T-18
#[tokio::test]
async fn a_token_endpoint_of_somebody_else_is_not_used() {
    let street = Street::new().await;
    street.serves("", &json!({ "token_endpoint": "https://collector.example/token" }));
    let house = street.house(oauth()).await;
    let error = authority(&house).discover(&tickets(&house), None).await.unwrap_err();
    assert!(error.detail.contains("another site"), "{}", error.detail);
    let named = OAuth { endpoints: vec!["collector.example".into()], ..OAuth::default() };
    let house = street.house(Credential::OAuth(named)).await;
    assert!(authority(&house).discover(&tickets(&house), None).await.is_ok());
}

/// spec: UP-11
#[tokio::test]
async fn the_paths_of_2025_03_26_are_used_only_where_the_settings_say_so() {
    let street = Street::empty().await;
    let house = street.house(oauth()).await;
    let error = authority(&house).discover(&tickets(&house), None).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::NotOffered);
    let legacy = Credential::OAuth(OAuth { legacy_paths: LegacyPaths::Tried, ..OAuth::default() });
    let house = street.house(legacy).await;
    let found = authority(&house).discover(&tickets(&house), None).await.unwrap();
    assert_eq!(found.metadata.token_endpoint, street.url("/token"));
    assert_eq!(found.resource, Some(street.url("/mcp")));
}

/// spec: UP-30, UP-31
#[tokio::test]
async fn the_resource_is_the_servers_own_unless_the_settings_say_otherwise() {
    let street = Street::new().await;
    for (resource, expected) in [
        (ResourceParameter::None, None),
        (ResourceParameter::Other("https://api.example/".into()), Some("https://api.example/".to_owned())),
    ] {
        let house = street.house(Credential::OAuth(OAuth { resource, ..OAuth::default() })).await;
        assert_eq!(authority(&house).discover(&tickets(&house), None).await.unwrap().resource, expected);
    }
}

/// Pages for people answer whatever is asked.
#[tokio::test]
async fn a_page_is_no_document() {
    let street = Street::new().await;
    let page = Answer { kind: "text/html", body: "<html>".into(), ..Answer::json(&json!({})) };
    street.on(RESOURCE, page.clone());
    street.on(ROOT, Answer::json(&json!({ "resource": street.url(""), "authorization_servers": [street.url("")] })));
    street.on("GET /.well-known/oauth-authorization-server", page);
    street.on("GET /.well-known/openid-configuration", Answer::json(&street.metadata("", &json!({}))));
    let house = street.house(oauth()).await;
    assert!(authority(&house).discover(&tickets(&house), None).await.is_ok());
}

/// spec: UP-12
#[tokio::test]
async fn what_was_found_is_kept_for_a_while_and_asked_again_when_it_does_not_do() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let (server, authority) = (tickets(&house), authority(&house));
    authority.discover(&server, None).await.unwrap();
    assert_eq!(street.lines().len(), 3);
    house.clock.advance(Duration::from_mins(59));
    authority.discover(&server, None).await.unwrap();
    assert_eq!(street.lines().len(), 0);
    authority.discover_again(&server).await.unwrap();
    assert_eq!(street.lines().len(), 3);
    authority.discover_again(&server).await.unwrap();
    assert_eq!(street.lines().len(), 0, "not more than once a minute");

    // The server points elsewhere.
    house.clock.advance(Duration::from_secs(6));
    street.on(
        "GET /about",
        Answer::json(&json!({
            "resource": street.url("/mcp"), "authorization_servers": [street.url("/tenant")],
        })),
    );
    street.serves("/tenant", &json!({}));
    let found = authority.discover(&server, Some(&pointing(street.url("/about")))).await.unwrap();
    assert_eq!(found.issuer, street.url("/tenant"));
    let found = authority.discover(&server, Some(&pointing(street.url("/about")))).await.unwrap();
    assert_eq!((found.issuer.as_str(), street.times("GET /about")), (street.url("/tenant").as_str(), 1));

    // Silence changes nothing.
    street.on("GET /about", Answer::json(&json!({})).status(503));
    house.clock.advance(Duration::from_hours(2));
    assert!(authority.discover(&server, None).await.is_ok());
    // A plain word does.
    house.clock.advance(Duration::from_secs(6));
    street.on("GET /about", Answer::json(&json!({ "resource": "https://other.example" })));
    assert!(authority.discover(&server, None).await.is_err());
}

/// spec: UP-2, UP-12: "when the challenge points elsewhere"
#[tokio::test]
async fn what_a_server_says_when_it_refuses_a_call_counts_for_the_next_who_connects() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let (server, authority) = (tickets(&house), authority(&house));
    authority.begin(&server, &[]).await.unwrap();
    house.clock.advance(Duration::from_secs(6));
    street.on(
        "GET /about",
        Answer::json(&json!({
            "resource": street.url("/mcp"), "authorization_servers": [street.url("/tenant")],
        })),
    );
    street.serves("/tenant", &json!({}));
    let said = Wanted { scope: Some(vec!["deep".into()]), ..pointing(street.url("/about")) };
    authority.heard(&server, &said);
    let (url, begun) = authority.begin(&server, &[]).await.unwrap();
    assert_eq!(begun.issuer(), street.url("/tenant"));
    assert_eq!(parameter(&url, "scope").as_deref(), Some("deep"));

    // It is not held to that for ever: where nothing is any more, it is asked anew the next time.
    house.clock.advance(Duration::from_secs(6));
    street.on("GET /about", Answer::json(&json!({})).status(404));
    assert!(authority.begin(&server, &[]).await.is_err());
    house.clock.advance(Duration::from_secs(6));
    let (url, begun) = authority.begin(&server, &[]).await.unwrap();
    assert_eq!((begun.issuer(), parameter(&url, "scope").as_deref()), (street.url("").as_str(), Some("read write")));
}

/// spec: UP-13, UP-21: who moves to another issuer gets nothing that the old one gave.
#[tokio::test]
async fn what_one_issuer_gave_is_shown_to_no_other() {
    let street = Street::new().await;
    let house = street.house(oauth()).await;
    let held = connected(&house).await;
    street.protects(&street.url("/tenant"));
    street.serves(
        "/tenant",
        &json!({ "token_endpoint": street.url("/new/token"), "registration_endpoint": street.url("/new/register") }),
    );
    let other = json!({ "client_id": "c-2", "token_endpoint_auth_method": "none" });
    street.on("POST /new/register", Answer::json(&other).status(201));
    let (server, authority) = (tickets(&house), authority(&house));
    house.clock.advance(Duration::from_mins(2));
    assert_eq!(authority.discover_again(&server).await.unwrap().issuer, street.url("/tenant"));
    street.lines();

    authority.refresh(&server, &held).await.unwrap();
    let asked = street.asked("POST");
    assert_eq!(
        asked.iter().map(|one| one.line.as_str()).collect::<Vec<_>>(),
        ["POST /token"],
        "the old one's own place"
    );
    let (url, begun) = authority.begin(&server, &[]).await.unwrap();
    assert!(url.contains("client_id=c-2"), "{url}");
    assert_eq!(begun.issuer(), street.url("/tenant"));
    assert!(street.asked("POST /new").iter().all(|one| !format!("{one:?}").contains("c-1")));
}
