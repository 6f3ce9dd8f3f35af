//! The very first start, and who administers the gateway after it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use portcullis_gateway::{
    Running, Surroundings,
    config::{Config, Sources},
    start,
};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    person::{Browser, form},
};
use portcullis_store::StoreError;

use crate::visit::signed_in;

const PASSWORD: &str = "a gate of oak and iron";

/// What somebody with the link types.
async fn take(house: &TestGateway, link: &str, name: &str) -> Result<(u16, Browser)> {
    let mut browser = Browser::new(&house.authority);
    let page = browser.get(link).await?;
    let Some(form) = form(&page.text()).filter(|_| page.status == 200) else { return Ok((page.status, browser)) };
    let answer = browser.submit(&form, &[("name", name), ("password", PASSWORD), ("again", PASSWORD)]).await?;
    Ok((answer.status, browser))
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn t95_the_administrator_link_works_once() -> Result<()> {
    let house = TestGateway::without_people("").await?;
    let link = format!("/welcome/{}", house.invitation.as_deref().context("invitation")?);

    // Who comes first without the link is nobody, and there is no password to guess.
    let mut visitor = Browser::new(&house.authority);
    let front = visitor.get("/").await?;
    assert!(front.header("location").is_some_and(|to| to.starts_with("/login")), "{}", front.status);
    for (name, password) in [("admin", "admin"), ("admin", "password"), ("root", "root"), ("admin", "")] {
        assert_eq!(visitor.sign_in(name, password).await?.status, 401, "{name}");
    }
    for guess in ["/welcome", "/welcome/", "/welcome/x", &format!("{link}x"), &link[..link.len() - 1]] {
        assert_eq!(visitor.get(guess).await?.status, 404, "{guess}");
    }
    assert!(
        !house.written().windows(40).any(|window| link.as_bytes().ends_with(window)),
        "the link's secret is stored"
    );

    let (status, mut admin) = take(&house, &link, "carol").await?;
    assert_eq!(status, 303);
    assert_eq!(admin.get("/").await?.status, 200);
    let carol = house.app.store.person_by_name("carol").await?.context("carol")?.0;
    assert!(carol.is_admin());

    // The second use, by whomever, with and without the page.
    let (status, _) = take(&house, &link, "mallory").await?;
    assert_eq!(status, 404);
    let blind = Browser::new(&house.authority)
        .submit(
            &portcullis_house::person::Form { action: link.clone(), fields: Vec::new() },
            &[("name", "mallory"), ("password", PASSWORD), ("again", PASSWORD)],
        )
        .await?;
    assert_eq!(blind.status, 404);
    assert_eq!(house.app.store.people().await?.len(), 1);
    house.stop().await
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn t95_of_two_who_hold_the_link_one_becomes_administrator() -> Result<()> {
    let house = TestGateway::without_people("").await?;
    let link = format!("/welcome/{}", house.invitation.as_deref().context("invitation")?);
    let (a, b) = tokio::try_join!(take(&house, &link, "carol"), take(&house, &link, "mallory"))?;
    let mut both = [a.0, b.0];
    both.sort_unstable();
    assert_eq!(both, [303, 404]);
    assert_eq!(house.app.store.people().await?.len(), 1);
    house.stop().await
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn t95_the_administrator_link_expires() -> Result<()> {
    let house = TestGateway::without_people("").await?;
    let link = format!("/welcome/{}", house.invitation.as_deref().context("invitation")?);
    let mut early = Browser::new(&house.authority);
    let page = early.get(&link).await?;
    let form = form(&page.text()).context("form")?;
    house.advance(Duration::from_secs(3601)).await?;
    assert_eq!(take(&house, &link, "mallory").await?.0, 404);
    // Nor for a page that was opened in time.
    let answer = early.submit(&form, &[("name", "mallory"), ("password", PASSWORD), ("again", PASSWORD)]).await?;
    assert_eq!(answer.status, 404);
    assert_eq!(house.app.store.people().await?.len(), 0);
    house.stop().await
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn t95_a_start_with_an_administrator_prints_no_link() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let text =
        format!("data: {}\nlisten: 127.0.0.1:0\noperations: 127.0.0.1:0\n", folder.path().join("data").display());
    let sources = Sources { file: Some(("portcullis.yaml".into(), text)), ..Sources::default() };
    let begin = async || -> Result<Running> {
        let config = Config::load(&sources).map_err(|problems| anyhow!("{problems}"))?.config;
        Ok(start(config, Surroundings::real(true)).await?)
    };
    let first = begin().await?;
    let unused = first.invitation.clone().context("invitation")?;
    first.stop().await?;
    // A new start makes a new link, and the old one is worth nothing.
    let second = begin().await?;
    let authority = second.app.config.listen.to_string();
    let link = second.invitation.clone().context("invitation")?;
    assert_ne!(unused, link);
    let mut browser = Browser::new(&authority);
    assert_eq!(browser.get(&format!("/welcome/{unused}")).await?.status, 404);
    let page = browser.get(&format!("/welcome/{link}")).await?;
    let form = form(&page.text()).context("form")?;
    let answer = browser.submit(&form, &[("name", "carol"), ("password", PASSWORD), ("again", PASSWORD)]).await?;
    assert_eq!(answer.status, 303, "{}", answer.text());
    second.stop().await?;
    let third = begin().await?;
    assert_eq!(third.invitation, None);
    third.stop().await?;
    Ok(())
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn t95_the_last_administrator_stays() -> Result<()> {
    let house = TestGateway::without_people("").await?;
    let first = house.person(ALICE, true, &[]).await?;
    let second = house.person(BOB, true, &[]).await?;
    let now = house.app.clock.now();
    assert!(house.app.store.disable_person(&first, now).await?);
    assert!(matches!(house.app.store.disable_person(&second, now).await, Err(StoreError::LastAdministrator)));
    assert_eq!(house.app.store.administrators().await?, 1);
    assert!(signed_in(&house, BOB).await.is_ok());
    assert!(signed_in(&house, ALICE).await.is_err());
    house.stop().await
}

// spec: T-95
#[tokio::test(flavor = "multi_thread")]
async fn t95_a_person_sees_and_ends_only_their_own_access() -> Result<()> {
    let house = TestGateway::start().await?;
    house.person(("root", "a third long password"), true, &[]).await?;
    let (_, tokens) = house.client("sample", ALICE).await?;
    let alice = house.app.store.person_by_name(ALICE.0).await?.context("alice")?.0;
    let grant = house.app.store.grants_of(&alice.id, house.app.clock.now()).await?[0].id.clone();
    let revocation = |page: &str| -> Result<portcullis_house::person::Form> {
        let token = crate::html::elements(page)
            .into_iter()
            .find(|element| element.attribute("name") == Some("form_token"))
            .and_then(|element| element.attribute("value").map(str::to_owned))
            .context("form token")?;
        let fields = vec![("form_token".to_owned(), token), ("grant".to_owned(), grant.as_str().to_owned())];
        Ok(portcullis_house::person::Form { action: "/grants/revoke".into(), fields })
    };
    let mut bob = signed_in(&house, BOB).await?;
    let page = bob.get("/").await?.text();
    assert!(!page.contains(grant.as_str()) && !page.contains("Everybody else"), "{page}");
    assert_eq!(bob.submit(&revocation(&page)?, &[]).await?.status, 404);
    let call = || house.call("sample", &tokens.access, "echo", serde_json::json!({ "message": "hi" }));
    assert_eq!(call().send().await?.status, 200);
    // Claims that a browser makes about itself change nothing.
    let answer = bob.request("GET", "/").header("x-user", "root").header("x-forwarded-user", "root").send().await?;
    assert!(!answer.text().contains(grant.as_str()));
    // What only operators need is not on this listener.
    for path in ["/metrics", "/healthz", "/readyz", "/debug"] {
        assert_eq!(bob.get(path).await?.status, 404, "{path}");
    }
    assert_eq!(bob.get("/admin").await?.status, 403);
    let mut root = signed_in(&house, ("root", "a third long password")).await?;
    let page = root.get("/").await?.text();
    assert!(page.contains(grant.as_str()), "{page}");
    assert_eq!(root.submit(&revocation(&page)?, &[]).await?.status, 303);
    assert_eq!(call().send().await?.status, 401);
    house.stop().await
}
