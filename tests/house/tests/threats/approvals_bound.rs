//! What a human saw is what happens, once: a call that changes, is repeated or comes too late finds nothing approved.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use futures_util::future::{join_all, try_join_all};
use portcullis_house::gateway::{ALICE, BOB};
use serde_json::{Value, json};

use crate::asked::{AT_ONCE, Desk, Held, Shop, ask, hold, listed, made, said, tools, written};

fn deleted(id: i64, note: &str) -> (String, Value) {
    ("delete_customer".to_owned(), json!({ "id": id, "note": note }))
}

// spec: T-80
#[tokio::test(flavor = "multi_thread")]
async fn t80_what_runs_is_what_was_seen_and_not_what_is_sent_later() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house("").await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let call = |arguments: &str| written(&house, &tokens.access, "delete_customer", arguments);
    let first = hold(call(r#"{"id":7,"note":"a"}"#)).await?;
    let seen = alice.own().await?;
    // A byte is another one: that is another call, and waits by itself. Other spellings of the same are the same.
    let changed = hold(call(r#"{"id":7,"note":"b"}"#)).await?;
    let wider = hold(call(r#"{"id":7,"note":"a","cascade":true}"#)).await?;
    let (_, own) = alice.waiting().await?;
    assert_eq!(own.len(), 3);
    let same = [r#"{"note":"a","id":7}"#, r#"{"id":7.0,"note":"a"}"#, r#"{ "id" : 7e0, "note" : "\u0061" }"#];
    let repeated = try_join_all(same.map(|arguments| hold(call(arguments)))).await?;
    assert_eq!(alice.waiting().await?.1.len(), 3, "the same call is asked twice");

    alice.approve(&seen).await?;
    let mut answers = vec![first.answer().await?];
    for held in repeated {
        answers.push(held.answer().await?);
    }
    assert_eq!(answers.iter().filter(|answer| made(answer)).count(), 1, "{answers:#?}");
    assert_eq!(shop.done(), [deleted(7, "a")]);
    let (_, own) = alice.waiting().await?;
    assert_eq!(own.len(), 2, "what was changed waits as before");
    drop((changed, wider));
    house.stop().await
}

// spec: T-80
#[tokio::test(flavor = "multi_thread")]
async fn t80_a_call_that_comes_again_runs_as_it_was_kept() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house(AT_ONCE).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let call = |arguments: &str| written(&house, &tokens.access, "delete_customer", arguments);
    ask(call(r#"{"id":8,"note":"  spaced  "}"#)).await?;
    let id = alice.own().await?;
    alice.approve(&id).await?;
    assert!(shop.done().is_empty(), "nothing happens by itself");
    for other in [r#"{"id":8,"note":" spaced  "}"#, r#"{"id":8}"#, r#"{"id":"8","note":"  spaced  "}"#] {
        ask(call(other)).await?;
    }
    assert!(shop.done().is_empty(), "nor for a call that is another one");
    // What runs is what was kept, byte for byte, however the call is written that brings it on.
    let answer = call(r#"{"note":"  spaced  ","id":8.0}"#).send().await?.json();
    assert!(made(&answer), "{answer}");
    let calls = shop.calls();
    assert_eq!(calls.len(), 1);
    assert!(calls[0].text().contains(r#"{"id":8,"note":"  spaced  "}"#), "{}", calls[0].text());
    ask(call(r#"{"note":"  spaced  ","id":8.0}"#)).await?;
    assert_eq!(shop.calls().len(), 1);
    house.stop().await
}

// spec: T-80
#[tokio::test(flavor = "multi_thread")]
async fn t80_a_tool_that_became_another_one_while_somebody_thought_is_not_called() -> Result<()> {
    let turned = Arc::new(AtomicBool::new(false));
    let now = turned.clone();
    let shop = Shop::with(move |seen| {
        let mut tools = tools();
        if now.load(Ordering::SeqCst) {
            tools[2]["description"] = "Deletes a customer for good, and all that they ever bought.".into();
        }
        listed(seen, &tools)
    })
    .await?;
    let house = shop.house("").await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let session = house.session("shop", &tokens.access).await?;
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    let list = house.legacy("shop", &tokens.access, &session, &list);
    let call = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {
        "name": "delete_customer", "arguments": { "id": 7 }, "_meta": { "progressToken": "p" } } });
    list.send().await?;
    let mut held = hold(house.legacy("shop", &tokens.access, &session, &call)).await?;
    let id = alice.own().await?;
    turned.store(true, Ordering::SeqCst);
    list.send().await?;
    alice.approve(&id).await?;
    // That was the word for another tool. Of this one she is asked anew, and told what it is now.
    let told = loop {
        let told = held.word().await?["params"]["message"].as_str().unwrap_or_default().to_owned();
        if !told.contains(&id) {
            break told;
        }
    };
    let next = alice.own().await?;
    assert!(told.contains(&next) && next != id, "{told}");
    assert!(shop.done().is_empty());
    assert!(alice.page(&next).await?.text().contains("all that they ever bought"));
    alice.approve(&next).await?;
    let answer = held.answer().await?;
    assert!(made(&answer), "{answer}");
    assert_eq!(shop.done().len(), 1);
    house.stop().await
}

// spec: T-81
#[tokio::test(flavor = "multi_thread")]
async fn t81_of_twenty_calls_that_wait_for_one_word_one_is_made() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house("").await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let call = || house.call("shop", &tokens.access, "create_refund", json!({ "recipient": "eve", "amount": 5 }));
    let held = try_join_all((0..20).map(|_| hold(call()))).await?;
    let id = alice.own().await?;
    // A double click, and clicks of the same page in another window: said twice is said once.
    let mut windows: Vec<_> = (0..6).map(|_| Desk { browser: alice.browser.clone() }).collect();
    let clicks = join_all(windows.iter_mut().map(|window| window.say(&id, &[("word", "approve")]))).await;
    for click in clicks {
        assert_eq!(click?.status, 303);
    }
    let answers = try_join_all(held.into_iter().map(Held::answer)).await?;
    assert_eq!(answers.iter().filter(|answer| made(answer)).count(), 1, "{answers:#?}");
    assert_eq!(shop.done().len(), 1);
    assert_eq!(house.events("approval.granted").await?.len(), 1);
    // Nor is it good for the next one, or for the page to be answered once more.
    let again = hold(call()).await?;
    let next = alice.own().await?;
    assert_ne!(next, id);
    alice.say(&id, &[("word", "approve")]).await?;
    assert_eq!(shop.done().len(), 1);
    drop(again);
    // The record says by which word it was made.
    let decided = house.events("call.decided").await?;
    let by_it = |line: &&Value| line["decision"] == "allow" || line["effect"] == "allow";
    let of_it: Vec<_> =
        decided.iter().filter(|line| line["details"]["approval"] == id.as_str()).filter(by_it).collect();
    assert_eq!(of_it.len(), 1, "{decided:#?}");
    house.stop().await
}

// spec: T-81
#[tokio::test(flavor = "multi_thread")]
async fn t81_what_was_approved_ends_with_its_time() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house(AT_ONCE).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let call = |token: &str, id: i64| house.call("shop", token, "delete_customer", json!({ "id": id }));
    // One is approved and waits for its client, one for a word.
    ask(call(&tokens.access, 1)).await?;
    let granted = alice.own().await?;
    alice.approve(&granted).await?;
    ask(call(&tokens.access, 2)).await?;
    let pending = alice.own().await?;
    house.advance(Duration::from_secs(15 * 60)).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    for id in [&granted, &pending] {
        assert_eq!(alice.state(id).await?, "expired");
    }
    let late = alice.say(&pending, &[("word", "approve")]).await?;
    assert_eq!(late.status, 422, "{}", late.text());
    ask(call(&tokens.access, 1)).await?;
    ask(call(&tokens.access, 2)).await?;
    let (_, own) = alice.waiting().await?;
    assert!(own.len() == 2 && !own.contains(&granted) && !own.contains(&pending), "{own:?}");
    assert!(shop.done().is_empty());
    house.stop().await
}

// spec: T-81, T-87
#[tokio::test(flavor = "multi_thread")]
async fn t81_who_waits_is_told_when_the_time_is_over() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house("").await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let held = hold(house.call("shop", &tokens.access, "delete_customer", json!({ "id": 1 }))).await?;
    let id = alice.own().await?;
    house.advance(Duration::from_secs(15 * 60)).await?;
    house.app.approvals.expire().await?;
    let answer = held.answer().await?;
    assert!(!made(&answer), "{answer}");
    let mut alice = Desk::of(&house, ALICE).await?;
    assert_eq!(alice.state(&id).await?, "expired");
    assert!(shop.done().is_empty());
    house.stop().await
}

// spec: T-81
#[tokio::test(flavor = "multi_thread")]
async fn t81_an_approval_is_of_one_person_one_client_and_one_server() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house(AT_ONCE).await?;
    let mut twin = shop.entry();
    twin["name"] = "twin".into();
    house.protect_as(twin).await?;
    let (_, own) = house.client_of(&["shop", "twin"], ALICE).await?;
    let (_, elsewhere) = house.client("shop", ALICE).await?;
    let (_, bobs) = house.client("shop", BOB).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let call = |server: &str, token: &str| house.call(server, token, "delete_customer", json!({ "id": 7 }));
    ask(call("shop", &own[0].access)).await?;
    let id = alice.own().await?;
    alice.approve(&id).await?;
    for (server, token) in [("twin", &own[1].access), ("shop", &elsewhere.access), ("shop", &bobs.access)] {
        ask(call(server, token)).await?;
    }
    // Nor of another tool with the same arguments.
    ask(house.call("shop", &own[0].access, "update_order", json!({ "id": 7 }))).await?;
    assert!(shop.done().is_empty());
    let answer = call("shop", &own[0].access).send().await?.json();
    assert!(made(&answer), "{}", said(&answer));
    assert_eq!(shop.done().len(), 1);
    house.stop().await
}
