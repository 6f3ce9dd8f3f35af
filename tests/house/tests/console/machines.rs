//! Access keys and service accounts, from the page to the call.

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_house::{
    gateway::{BOB, TestGateway},
    http::Answer,
};
use serde_json::json;

use crate::walk::{ROOT, house, id_of, send, signed_in};

const KEYS: &str = "access_keys: { enabled: true, longest: 30d }";

/// The text of the element with this id.
fn shown(page: &str, id: &str) -> Result<String> {
    let (_, after) = page.split_once(&format!("id=\"{id}\">")).with_context(|| format!("no {id} on {page}"))?;
    Ok(after.split('<').next().unwrap_or_default().to_owned())
}

async fn calls(house: &TestGateway, token: &str) -> Result<u16> {
    Ok(house.call("sample", token, "echo", json!({ "message": "hi" })).send().await?.status)
}

// spec: RS-35
#[tokio::test(flavor = "multi_thread")]
async fn an_access_key_made_on_the_page_calls_until_it_is_revoked_there() -> Result<()> {
    let house = house(KEYS).await?;
    let mut bob = signed_in(&house, BOB).await?;
    let wanted = [("name", "Build <b>server</b>"), ("server", "sample"), ("scope", "mcp:read mcp:call"), ("days", "7")];
    let answer = send(&mut bob, "/account/keys", &wanted).await?;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.text());
    let key = shown(&answer.text(), "key")?;
    assert!(key.starts_with("pck_"), "{key}");
    assert_eq!(calls(&house, &key).await?, 200);

    // It is shown that once, and is nowhere else.
    let page = bob.get("/account").await?.text();
    assert!(
        !page.contains(&key) && page.contains("Build &lt;b&gt;server&lt;/b&gt;") && page.contains("in 7 days"),
        "{page}"
    );
    assert!(!String::from_utf8_lossy(&house.written()).contains(&key));
    assert!(!bob.get("/").await?.text().contains("Build &lt;"));
    assert_eq!(house.events("access_key.created").await?.len(), 1);

    let (_, after) = page.split_once("name=\"grant\" value=\"").context("a grant to revoke")?;
    let grant = after.split('"').next().unwrap_or_default().to_owned();
    // Nobody else ends it here.
    let mut root = signed_in(&house, ROOT).await?;
    assert_eq!(send(&mut root, "/account/keys/revoke", &[("grant", &grant)]).await?.status, 404);
    assert_eq!(calls(&house, &key).await?, 200);
    assert_eq!(send(&mut bob, "/account/keys/revoke", &[("grant", &grant)]).await?.status, 303);
    assert_eq!(calls(&house, &key).await?, 401);
    assert!(!bob.get("/account").await?.text().contains("Build &lt;"));
    assert_eq!(house.events("access_key.revoked").await?.len(), 1);
    house.stop().await
}

// spec: RS-35
#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_made_for_what_its_owner_may_not_use_or_for_longer_than_allowed() -> Result<()> {
    let house = house(KEYS).await?;
    house.protect_as(json!({ "name": "vault", "url": "http://127.0.0.1:9/mcp", "access": ["treasury"] })).await?;
    let mut bob = signed_in(&house, BOB).await?;
    let page = bob.get("/account").await?.text();
    assert!(!page.contains("vault") && page.contains("<option value=\"30\" selected>30 days"), "{page}");
    let good = [("name", "k"), ("server", "sample"), ("scope", "mcp:read"), ("days", "7")];
    for (field, value) in [
        ("server", "vault"),
        ("server", "nowhere"),
        ("server", "../sample"),
        ("scope", "mcp:call"),
        ("scope", "mcp:read offline_access"),
        ("days", "31"),
        ("days", "0"),
        ("days", "-1"),
        ("name", " "),
    ] {
        let wanted = good.map(|(name, known)| (name, if name == field { value } else { known }));
        let answer = send(&mut bob, "/account/keys", &wanted).await?;
        assert_eq!(answer.status, 422, "{field}={value}: {}", answer.text());
        assert!(answer.text().contains("role=\"alert\""), "{field}={value}");
    }
    assert!(house.events("access_key.created").await?.is_empty());
    house.stop().await?;
    let off = crate::walk::house("").await?;
    let mut bob = signed_in(&off, BOB).await?;
    assert_eq!(send(&mut bob, "/account/keys", &good).await?.status, 404);
    off.stop().await
}

async fn token(house: &TestGateway, id: &str, secret: &str) -> Result<Answer> {
    let resource = format!("http://{}/mcp/sample", house.authority);
    let basic = STANDARD.encode(format!("{id}:{secret}"));
    let form = [("grant_type", "client_credentials"), ("resource", resource.as_str())];
    house.request("POST", "/oauth/token").header("authorization", &format!("Basic {basic}")).form(&form).send().await
}

// spec: AS-163
#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_made_on_the_page_calls_until_it_is_switched_off_there() -> Result<()> {
    let house = house("").await?;
    let mut root = signed_in(&house, ROOT).await?;
    let wanted = [("name", "nightly"), ("owner", "bob"), ("groups", "robots")];
    let answer = send(&mut root, "/admin/service-accounts", &wanted).await?;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.text());
    let (id, secret) = (shown(&answer.text(), "client-id")?, shown(&answer.text(), "client-secret")?);
    let issued = token(&house, &id, &secret).await?;
    assert_eq!(issued.status, 200, "{}", issued.text());
    let access = issued.json()["access_token"].as_str().context("access token")?.to_owned();
    assert_eq!(calls(&house, &access).await?, 200);
    let list = root.get("/admin/service-accounts").await?.text();
    assert!(
        list.contains("nightly") && list.contains("robots") && list.contains("bob") && !list.contains(&secret),
        "{list}"
    );
    // It is no person.
    assert!(!root.get("/admin/people?q=nightly").await?.text().contains(&id));

    let address = |what: &str| format!("/admin/service-accounts/{id}/{what}");
    let rotated = send(&mut root, &address("rotate"), &[]).await?;
    let fresh = shown(&rotated.text(), "client-secret")?;
    assert_eq!((token(&house, &id, &secret).await?.status, token(&house, &id, &fresh).await?.status), (401, 200));
    assert_eq!(calls(&house, &access).await?, 401);

    let answer = send(&mut root, &address("change"), &[("owner", "alice"), ("groups", "")]).await?;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let alice = id_of(&house, "alice").await?;
    let kept = house.app.store.service_accounts().await?.remove(0).person;
    assert_eq!((kept.owner.map(|owner| owner.to_string()), kept.local_groups), (Some(alice), vec![]));
    assert_eq!(send(&mut root, &address("change"), &[("owner", "nobody")]).await?.status, 422);

    assert_eq!(send(&mut root, &address("disable"), &[]).await?.status, 303);
    assert_eq!(token(&house, &id, &fresh).await?.status / 100, 4);
    for kind in ["service_account.created", "service_account.changed", "service_account.disabled"] {
        assert!(!house.events(kind).await?.is_empty(), "{kind}");
    }
    house.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_service_account_is_said_on_the_page() -> Result<()> {
    let house = house("").await?;
    let mut root = signed_in(&house, ROOT).await?;
    for (fields, said) in [
        ([("name", "with space"), ("owner", "bob"), ("keys_url", "")], "is not a name for a service account"),
        ([("name", "robot"), ("owner", "nobody"), ("keys_url", "")], "account name of the owner"),
        ([("name", "robot"), ("owner", "bob"), ("keys_url", "http://evil.example/jwks")], "https://"),
        ([("name", "alice"), ("owner", "bob"), ("keys_url", "")], "alice"),
    ] {
        let answer = send(&mut root, "/admin/service-accounts", &fields).await?;
        assert_eq!(answer.status, 422, "{fields:?}");
        let (_, alert) =
            answer.text().split_once("role=\"alert\"").map(|(a, b)| (a.to_owned(), b.to_owned())).context("alert")?;
        assert!(alert.split("</p>").next().unwrap_or_default().contains(said), "{fields:?}: {alert}");
    }
    let keys = [("name", "robot"), ("owner", "bob"), ("keys_url", "https://robots.example/jwks.json")];
    let answer = send(&mut root, "/admin/service-accounts", &keys).await?;
    assert_eq!(answer.header("location"), Some("/admin/service-accounts?done=made"), "{}", answer.text());
    assert!(root.get("/admin/service-accounts").await?.text().contains("a signature"));
    house.stop().await
}
