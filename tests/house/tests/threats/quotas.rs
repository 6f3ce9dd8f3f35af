//! A program that loops: what its calls may cost together is counted before they are made.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::{Answer, Request},
};
use serde_json::json;

use crate::{
    asked::{Desk, Shop, ask, made, people, said, written},
    behind::Reply,
};

/// Everything is allowed that no rule limits.
async fn open(shop: &Shop, rules: &str) -> Result<TestGateway> {
    let entry = shop.entry_with(&json!([{ "group": "*", "allow": ["*"] }]));
    let house = TestGateway::without_people(&format!("servers: [{entry}]\n{rules}")).await?;
    people(&house).await?;
    Ok(house)
}

async fn all(requests: Vec<Request>) -> Result<Vec<Answer>> {
    join_all(requests.iter().map(Request::send)).await.into_iter().collect()
}

fn made_of(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| made(&answer.json())).count()
}

// spec: T-79
#[tokio::test(flavor = "multi_thread")]
async fn t79_a_program_that_loops_ends_at_its_limit_by_every_road() -> Result<()> {
    let shop = Shop::start().await?;
    let rules = "
toolboxes: [{ name: wide, search: on, tools: [{ server: shop }] }]
rules:
  - { rule: not-forever, who: '*', what: [shop], quota: { per: [person], calls: 10, window: 1h } }
";
    let house = open(&shop, rules).await?;
    let (_, tokens) = house.client_of(&["shop", "all", "wide"], ALICE).await?;
    let (_, elsewhere) = house.client("shop", ALICE).await?;
    let (_, of_bob) = house.client("shop", BOB).await?;
    let own = json!({ "id": 7 });
    let requests = (0..40).map(|n| match n % 4 {
        0 => house.call("shop", &tokens[0].access, "get_order", own.clone()),
        1 => house.call("all", &tokens[1].access, "shop__get_order", own.clone()),
        2 => house.call("wide", &tokens[2].access, "call_tool", json!({ "name": "shop__get_order", "arguments": own })),
        _ => house.call("shop", &elsewhere.access, "get_order", own.clone()),
    });
    let before = shop.done().len();
    let answers = all(requests.collect()).await?;
    assert_eq!(made_of(&answers), 10, "{answers:#?}");
    assert_eq!(shop.done().len() - before, made_of(&answers), "what was told is what was done");
    let refused = answers.iter().find(|answer| !made(&answer.json())).map(Answer::json).unwrap_or_default();
    let wait = refused["error"]["data"]["retryAfterSeconds"].as_u64().context("when to come back")?;
    assert!((1..2 * 3600).contains(&wait), "{refused}");
    assert!(said(&refused).contains("not-forever"), "{refused}");
    // It is one person's.
    assert!(made(&house.call("shop", &of_bob.access, "get_order", own.clone()).send().await?.json()));
    // A new process has not forgotten, and time gives back.
    let count = shop.done().len();
    let house = house.restart().await?;
    let again = house.call("shop", &elsewhere.access, "get_order", own.clone());
    assert!(!made(&again.send().await?.json()));
    assert_eq!(shop.done().len(), count);
    house.advance(Duration::from_secs(wait)).await?;
    let (_, later) = house.client("shop", ALICE).await?;
    assert!(made(&house.call("shop", &later.access, "get_order", own).send().await?.json()));
    house.stop().await
}

// spec: T-79
#[tokio::test(flavor = "multi_thread")]
async fn t79_a_call_that_comes_again_and_again_is_told_from_others_however_it_is_written() -> Result<()> {
    let shop = Shop::start().await?;
    let rules = "
rules:
  - rule: not-again
    who: '*'
    what: [shop]
    quota: { per: [person, client, tool, arguments], calls: 3, window: 1h }
";
    let house = open(&shop, rules).await?;
    let (_, tokens) = house.client_of(&["shop", "all"], ALICE).await?;
    let mut made_so_far = 0;
    for (n, arguments) in [r#"{"id":7}"#, r#"{ "id" : 7.0 }"#, r#"{"\u0069d":70e-1}"#, r#"{"id":7}"#, r#"{"id":0.7e1}"#]
        .iter()
        .enumerate()
    {
        let answer = written(&house, &tokens[0].access, "get_order", arguments).send().await?.json();
        assert_eq!(made(&answer), n < 3, "{arguments}: {answer}");
        made_so_far += usize::from(made(&answer));
    }
    let boxed = house.call("all", &tokens[1].access, "shop__get_order", json!({ "id": 7 })).send().await?.json();
    assert!(!made(&boxed) && said(&boxed).contains("not-again"), "{boxed}");
    assert_eq!(shop.done().len(), made_so_far);
    // Work that goes on is other calls.
    for id in 8..20 {
        let answer = house.call("shop", &tokens[0].access, "get_order", json!({ "id": id })).send().await?.json();
        assert!(made(&answer), "{answer}");
    }
    house.stop().await
}

// spec: T-79
#[tokio::test(flavor = "multi_thread")]
async fn t79_money_adds_up_whatever_is_sent_at_once_and_however_it_is_written() -> Result<()> {
    let shop = Shop::with(|seen| {
        // It takes the order and then breaks: whether it was done nobody knows, so it counts.
        let breaks = seen.body["params"]["arguments"]["recipient"] == "broken";
        (seen.rpc() == "tools/call" && breaks).then(|| Reply::Raw(Vec::new()))
    })
    .await?;
    let rules = "
rules:
  - { rule: budget, who: '*', what: [shop/create_refund], quota: { sum: args.amount, most: '500.00', unit: args.currency, window: 1d } }
";
    let house = open(&shop, rules).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let refund = |amount: serde_json::Value, currency: &str, whom: &str| {
        let arguments = json!({ "recipient": whom, "amount": amount, "currency": currency });
        house.call("shop", &tokens.access, "create_refund", arguments)
    };
    let answers = all((0..20).map(|_| refund(json!(60), "EUR", "ada")).collect()).await?;
    assert_eq!((made_of(&answers), shop.done().len()), (8, 8), "480 of 500");
    // Not more by a part, not by taking something back, not by what is no amount, and not by another way to write the unit.
    for (amount, currency) in [
        (json!(20.01), "EUR"),
        (json!(-1000), "EUR"),
        (json!("20,00"), "EUR"),
        (json!([20]), "EUR"),
        (json!(null), "EUR"),
        (json!(1e300), "EUR"),
        (json!(60), "eur"),
        (json!(60), " EUR"),
    ] {
        let answer = refund(amount.clone(), currency, "ada").send().await?.json();
        assert!(!made(&answer), "{amount} {currency:?}: {answer}");
    }
    assert_eq!(shop.done().len(), 8);
    let answer = refund(json!(15), "EUR", "broken").send().await?.json();
    assert!(!made(&answer), "{answer}");
    assert!(!made(&refund(json!(6), "EUR", "ada").send().await?.json()), "what may have been done counts");
    assert!(made(&refund(json!(5), "EUR", "ada").send().await?.json()));
    house.stop().await
}

// spec: T-79, T-84
#[tokio::test(flavor = "multi_thread")]
async fn t79_what_a_human_agreed_to_counts_as_well() -> Result<()> {
    let shop = Shop::start().await?;
    let rules = "
approvals: { hold: 0 }
rules:
  - { rule: two, who: '*', what: [shop/delete_customer], quota: { calls: 2, window: 1h } }
";
    let house = shop.house(rules).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let call = |id: i64| house.call("shop", &tokens.access, "delete_customer", json!({ "id": id }));
    for id in 0..3 {
        ask(call(id)).await?;
        let own = alice.own().await?;
        alice.approve(&own).await?;
        let answer = call(id).send().await?.json();
        assert_eq!(made(&answer), id < 2, "{answer}");
    }
    assert_eq!(shop.done().len(), 2);
    house.stop().await
}
