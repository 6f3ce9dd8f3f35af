//! A copy of the database from before: what was ended or used up since does not come back with it.

use std::fs;

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    person::{Browser, Client},
};
use serde_json::json;

use crate::asked::{AT_ONCE, Desk, Shop, ask, made};

/// Stops the gateway, puts `copy` in the place of its database, and starts it again.
async fn restore(house: TestGateway, copy: &std::path::Path) -> Result<TestGateway> {
    let copy = copy.to_owned();
    house
        .restart_having(move |data| {
            for file in ["portcullis.db-wal", "portcullis.db-shm"] {
                let _ = fs::remove_file(data.join(file));
            }
            fs::copy(&copy, data.join("portcullis.db"))?;
            Ok(())
        })
        .await
}

// spec: T-101
#[tokio::test(flavor = "multi_thread")]
async fn t101_a_restored_database_brings_nothing_back_to_life() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house(&format!("{AT_ONCE}limits: {{ sign_ins_per_minute: 1000 }}\n")).await?;
    let (client, tokens) = house.client("shop", ALICE).await?;
    let refresh = tokens.refresh.clone().context("a refresh token")?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let note =
        |house: &TestGateway, token: &str| house.call("shop", token, "update_order", json!({ "id": 1, "note": "a" }));
    ask(note(&house, &tokens.access)).await?;
    let id = alice.own().await?;
    alice.approve(&id).await?;
    let other = Client::register(&house.authority, "Another client").await?;
    let code = other.code(&mut Browser::new(&house.authority), "shop", ALICE).await?;

    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("copy.db");
    let database = rusqlite::Connection::open(house.data().join("portcullis.db"))?;
    database.execute("vacuum into ?1", [copy.to_string_lossy()])?;
    drop(database);

    // What the copy knows nothing of: the approval is used, the code too, the refresh token has a successor, she signs out.
    ensure!(made(&note(&house, &tokens.access).send().await?.json()), "approved");
    other.redeem(&code).await?;
    ensure!(client.refresh(&refresh).await?.status == 200);
    let before = shop.done().len();

    // A restart by itself is none: everything goes on.
    let house = house.restart().await?;
    ensure!(house.events("store.restored").await?.is_empty());
    ensure!(alice.browser.get("/account").await?.status == 200);

    let house = restore(house, &copy).await?;
    let told = house.events("store.restored").await?;
    ensure!(told.len() == 1 && told[0]["details"]["grants"].as_i64() >= Some(2), "{told:#?}");
    ensure!(client.refresh(&refresh).await?.status == 400, "a refresh token that was used is good again");
    ensure!(other.token(&other.redemption(&code)).await?.status == 400, "a code that was used is good again");
    ensure!(alice.browser.get("/account").await?.status == 303, "a session is good again");
    ensure!(note(&house, &tokens.access).send().await?.status == 401, "an access token is good again");
    // The approval was for that client and that call; it is used, and is not there to be used again.
    let code = client.code(&mut Browser::new(&house.authority), "shop", ALICE).await?;
    let fresh = client.redeem(&code).await?;
    ask(note(&house, &fresh.access)).await?;
    ensure!(shop.done().len() == before, "an approved call was made once more");

    // Said once: the next start is one like any other, and new tokens live on.
    let house = house.restart().await?;
    ensure!(house.events("store.restored").await?.len() == 1);
    ensure!(client.refresh(&fresh.refresh.context("a refresh token")?).await?.status == 200);
    house.stop().await
}
