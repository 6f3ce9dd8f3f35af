//! What a person has connected ends while it is being renewed.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    person::{Browser, tokens},
};
use serde_json::json;

use crate::{
    account_site::{Site, connect, send},
    behind::soon,
    visit::{offboard, signed_in},
};

/// Who ends it, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The person, on their page.
    Disconnected,
    /// An administrator, with all else that the person has.
    Offboarded,
    /// The server is taken away.
    Removed,
}

async fn end(house: &TestGateway, alice: &mut Browser, how: End) -> Result<()> {
    match how {
        End::Disconnected => {
            let page = alice.get("/connections").await?;
            assert_eq!(send(alice, &page, "/notes/disconnect", &[]).await?.status, 200);
        }
        End::Offboarded => {
            let (person, _) = house.app.store.person_by_name(ALICE.0).await?.context("alice")?;
            offboard(house, &person.id).await?;
        }
        End::Removed => {
            let notes = portcullis_base::ServerName::parse("notes")?;
            house.app.connections.disconnect_all(&portcullis_audit::Actor::default(), &notes).await?;
        }
    }
    Ok(())
}

// spec: T-51, UP-47, T-53
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn t51_a_renewal_under_way_brings_back_nothing_that_has_ended() -> Result<()> {
    for how in [End::Disconnected, End::Offboarded, End::Removed] {
        let house = TestGateway::with("limits: { sign_ins_per_minute: 1000 }").await?;
        let site = Site::start().await?;
        site.protect(&house, "notes", json!({ "kind": "oauth" })).await?;
        for (login, account) in [(ALICE, "alice@notes.example"), (BOB, "bob@notes.example")] {
            let mut browser = signed_in(&house, login).await?;
            connect(&site, &mut browser, "notes", account).await?;
        }
        let (client, given) = house.client("notes", ALICE).await?;
        house.advance(Duration::from_secs(3601)).await?;
        let mut alice = signed_in(&house, ALICE).await?;
        let given = tokens(&client.refresh(given.refresh.as_deref().context("a refresh token")?).await?)?;

        let mut held = site.hold();
        let request = house.call("notes", &given.access, "who", json!({}));
        let call = tokio::spawn(async move { request.send().await });
        soon(&mut held.came).await??;
        end(&house, &mut alice, how).await?;
        held.release();
        let answer = soon(call).await???;
        assert!(!answer.text().contains("alice@notes.example"), "{how:?}: {}", answer.text());
        // Nothing of hers is left, and what came too late was given back.
        let (person, _) = house.app.store.person_by_name(ALICE.0).await?.context("alice")?;
        assert!(house.app.store.connections_of(&person.id).await?.is_empty(), "{how:?}: it came back");
        let late = site.issued_to("alice@notes.example");
        assert_eq!(late.len(), 2, "{how:?}");
        let given_back = site.revoked();
        assert!(late.iter().all(|token| given_back.contains(token)), "{how:?}: {late:?} {given_back:?}");
        // Another person's goes on, unless the server itself is gone.
        if how != End::Removed {
            assert!(given_back.iter().all(|token| token.contains("alice")), "{how:?}: {given_back:?}");
            let (_, bob) = house.client("notes", BOB).await?;
            let own = house.call("notes", &bob.access, "who", json!({})).send().await?;
            assert_eq!(own.json()["result"]["content"][0]["text"], "bob@notes.example", "{how:?}: {}", own.text());
        }
        house.stop().await?;
    }
    Ok(())
}
