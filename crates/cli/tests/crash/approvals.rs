//! Calls that humans agreed to, while the program that makes them is killed, or is two programs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use portcullis_house::{
    http::{Request, request},
    person::Browser,
};
use portcullis_store::fixture::TestDatabase;
use serde_json::{Value, json};

use crate::{
    ADMIN, House, Up,
    asked::{AT_ONCE, Desk, Shop, hold, made, said},
    behind::Reply,
};

/// The administrator before a browser.
async fn desk(house: &House) -> Result<Desk> {
    let mut browser = Browser::new(&house.authority);
    let answer = browser.sign_in(ADMIN.0, ADMIN.1).await?;
    ensure!(answer.status == 303, "{} {}", answer.status, answer.text());
    Ok(Desk { browser })
}

fn delete(house: &House, token: &str) -> Request {
    house.call_at("shop", token, "delete_customer", json!({ "id": 7 }))
}

/// As after a loss of power.
fn kill(mut up: Up) -> Result<()> {
    up.child.kill()?;
    up.child.wait()?;
    Ok(())
}

/// How often the shop was told to delete.
fn deleted(shop: &Shop) -> usize {
    shop.done().iter().filter(|(tool, _)| tool == "delete_customer").count()
}

// spec: T-87
#[tokio::test(flavor = "multi_thread")]
async fn t87_killed_before_the_answer_it_is_unknown_and_never_made_again() -> Result<()> {
    for database in [None, TestDatabase::postgres().await] {
        let silent = Arc::new(AtomicBool::new(true));
        let says = silent.clone();
        let shop = Shop::with(move |seen| {
            (seen.rpc() == "tools/call" && says.load(Ordering::SeqCst)).then_some(Reply::Silence)
        })
        .await?;
        let url = database.as_ref().map_or_else(|| "sqlite".to_owned(), TestDatabase::url);
        let house = House::by_default(&url, &shop.settings(""))?;
        let up = house.up()?;
        let (_, tokens) = house.sign_in_at(&up, "shop").await?;
        let mut admin = desk(&house).await?;
        let held = hold(delete(&house, &tokens.access)).await?;
        let id = admin.own().await?;
        admin.approve(&id).await?;
        let enough = Instant::now() + Duration::from_secs(20);
        while deleted(&shop) == 0 {
            ensure!(Instant::now() < enough, "it was not made");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The server has it, and perhaps has done it; nobody was told.
        kill(up)?;
        assert!(held.answer().await.is_err());
        silent.store(false, Ordering::SeqCst);

        let up = house.up()?;
        assert_eq!(admin.state(&id).await?, "unknown");
        let noted = house.trail()?.iter().filter(|line| line["event"] == "approval.unknown").count();
        assert_eq!(noted, 1);
        assert!(admin.page(&id).await?.text().contains("Nobody knows whether it was run"));
        // No word leads out of that, and the same call is another one, that waits.
        let late = admin.say(&id, &[("word", "approve")]).await?;
        assert!(late.status >= 400 || late.header("location").is_some(), "{} {}", late.status, late.text());
        let held = hold(delete(&house, &tokens.access)).await?;
        let next = admin.own().await?;
        assert_ne!(next, id);
        assert_eq!((deleted(&shop), admin.state(&id).await?.as_str()), (1, "unknown"));
        // A human may want it once more, having looked.
        admin.approve(&next).await?;
        let answer = held.answer().await?;
        assert!(made(&answer), "{answer}");
        assert_eq!(deleted(&shop), 2);
        // That it has ended is written behind the answer.
        let enough = Instant::now() + Duration::from_secs(20);
        while admin.state(&next).await? != "done" {
            ensure!(Instant::now() < enough, "its end is not written");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kill(up)?;
        let _up = house.up()?;
        assert_eq!((admin.state(&next).await?.as_str(), deleted(&shop)), ("done", 2));
    }
    Ok(())
}

// spec: T-87
#[tokio::test(flavor = "multi_thread")]
async fn t87_killed_while_it_waits_or_before_it_is_made_nothing_is_lost_and_nothing_done() -> Result<()> {
    let shop = Shop::start().await?;
    let house = House::by_default("sqlite", &shop.settings(AT_ONCE))?;
    let up = house.up()?;
    let (_, tokens) = house.sign_in_at(&up, "shop").await?;
    let mut admin = desk(&house).await?;
    let asks = async || -> Result<()> {
        let answer = delete(&house, &tokens.access).send().await?.json();
        ensure!(!made(&answer) && said(&answer).contains("/approvals/"), "{answer}");
        Ok(())
    };
    asks().await?;
    let id = admin.own().await?;
    kill(up)?;
    let up = house.up()?;
    assert_eq!(admin.state(&id).await?, "pending");
    asks().await?;
    assert_eq!(admin.own().await?, id, "it waits as before");
    admin.approve(&id).await?;
    kill(up)?;
    let up = house.up()?;
    assert_eq!(admin.state(&id).await?, "granted");
    assert_eq!(deleted(&shop), 0, "nothing happens without its client");
    let answer = delete(&house, &tokens.access).send().await?.json();
    assert!(made(&answer), "{answer}");
    kill(up)?;
    let _up = house.up()?;
    asks().await?;
    assert_eq!(deleted(&shop), 1);
    Ok(())
}

// spec: T-80, T-81
#[tokio::test(flavor = "multi_thread")]
async fn t81_two_nodes_make_what_was_approved_once() -> Result<()> {
    let Some(database) = TestDatabase::postgres().await else { return Ok(()) };
    let shop = Shop::start().await?;
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("root.key");
    std::fs::write(&key, base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [7; 32]))?;
    let shared = format!("root_key: file:{}\n{}", key.display(), shop.settings(""));
    let first = House::by_default(&database.url(), &shared)?;
    let second = House::by_default(&database.url(), &format!("public_url: http://{}\n{shared}", first.authority))?;
    let up = first.up()?;
    let (_, tokens) = first.sign_in_at(&up, "shop").await?;
    let _other = second.up()?;
    let nodes = [&first, &second];
    let at = |node: usize, note: &str| {
        let arguments = json!({ "id": 7, "note": note });
        nodes[node].call_at("shop", &tokens.access, "delete_customer", arguments).host(Some(&first.authority))
    };
    let mut admin = desk(&first).await?;
    let origin = format!("http://{}", first.authority);
    for round in 0..3 {
        // Half of the callers wait at one node and half at the other, and the word is said at one of them.
        let note = format!("round {round}");
        let held = join_all((0..8).map(|n| hold(at(n % 2, &note)))).await.into_iter().collect::<Result<Vec<_>>>()?;
        let id = admin.own().await?;
        let token = admin.form_token().await?;
        let path = format!("/approvals/{id}");
        let said: Vec<_> = (0..4)
            .map(|n| {
                let node = nodes[(round + n) % 2];
                let post = request(&node.authority, "POST", &path).host(Some(&first.authority));
                let post = post.header("cookie", &admin.browser.cookie_header()).header("origin", &origin);
                post.form(&[("form_token", &token), ("word", "approve")])
            })
            .collect();
        for answer in join_all(said.iter().map(Request::send)).await {
            let answer = answer?;
            assert_eq!(answer.status, 303, "{}", answer.text());
        }
        let answers = join_all(held.into_iter().map(crate::asked::Held::answer)).await;
        let answers = answers.into_iter().collect::<Result<Vec<Value>>>()?;
        assert_eq!(answers.iter().filter(|answer| made(answer)).count(), 1, "{answers:#?}");
        assert_eq!(deleted(&shop), round + 1);
        assert_eq!(admin.state(&id).await?, "done");
    }
    // Taken back at one node, it is not made at the other.
    let held = hold(at(1, "never")).await?;
    let id = admin.own().await?;
    let answer = admin.say(&format!("{id}/withdraw"), &[]).await?;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let answer = held.answer().await?;
    assert!(!made(&answer), "{answer}");
    let state = admin.state(&id).await.context("its state")?;
    assert_eq!((state.as_str(), deleted(&shop)), ("withdrawn", 3));
    Ok(())
}
