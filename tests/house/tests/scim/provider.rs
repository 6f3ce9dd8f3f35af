//! The directory and the sign-in of one provider, together: who is announced signs in, who is deactivated is signed out, and
//! the provider takes back what it gave.

use anyhow::{Context, Result};
use portcullis_gateway::offboard::Report;
use portcullis_house::{provider::Providers, walk::Walker};
use serde_json::json;

use crate::given::{TOKEN, id};

// spec: T-53
#[tokio::test(flavor = "multi_thread")]
async fn provider_takes_back_its_token_when_its_directory_deactivates_somebody() -> Result<()> {
    let Some(providers) = Providers::company("oidc").await? else { return Ok(()) };
    let file = providers.folder().join("directory");
    std::fs::write(&file, TOKEN)?;
    let scim = json!({ "token": format!("file:{}", file.display()) });
    let house = providers
        .gateway(json!({ "kind": "oidc", "scim": scim, "sign_up": false, "link": "verified_email",
            "scopes": ["openid", "profile", "email", "groups", "offline_access"] }))
        .await?;
    let company = providers.get("company");
    company.account("alice", json!({ "email": "alice@example.com", "email_verified": true })).await?;
    let send = |method: &str, path: &str| house.request(method, &format!("/scim/v2{path}")).bearer(TOKEN);

    let mut stranger = Walker::new(&house, &providers)?;
    assert!(stranger.sign_in("company", "alice").await.is_err(), "nobody told of her");
    let body = json!({ "userName": "alice@example.com", "displayName": "Alice", "active": true,
        "emails": [{ "value": "alice@example.com", "type": "work", "primary": true }] });
    let user = send("POST", "/Users").json(&body).send().await?;
    assert_eq!(user.status, 201, "{}", user.text());
    let mut browser = Walker::new(&house, &providers)?;
    browser.sign_in("company", "alice").await?;
    let (person, _) = house.app.store.person_by_name("alice@example.com").await?.context("alice")?;
    let identity = house.app.store.identities_of(&person.id).await?.pop().context("linked")?;
    assert!(identity.refresh_sealed.is_some(), "the provider gave a refresh token");

    company.forget().await?;
    let off = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "value": { "active": false } }] });
    let answer = send("PATCH", &format!("/Users/{}", id(&user.json()))).json(&off).send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(company.seen("/token/revocation").await?, 1);
    let report = house.app.store.reports().await?.pop().context("a report")?;
    let report = Report::stored(&report.report)?;
    assert_eq!((report.ended.given_back, report.left, report.ended.sessions), (vec![identity.issuer], vec![], 1));
    let home = browser.open("/").await?;
    assert_ne!(home.answer.status, 200, "signed out");
    assert!(browser.sign_in("company", "alice").await.is_err(), "and not let in again");
    house.stop().await
}
