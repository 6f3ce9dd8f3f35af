//! Ways around the question: other names, other wrappers, other spellings of the endpoint, and rules that change meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::Request,
};
use serde_json::{Value, json};

use crate::asked::{AT_ONCE, CAROL, Desk, Shop, ask, hold, made, people, said};

/// Names that somebody may take for the one that deletes, or a careless server may.
const SPELLINGS: [&str; 18] = [
    "Delete_Customer",
    "DELETE_CUSTOMER",
    "deleteCustomer",
    "delete-customer",
    " delete_customer",
    "delete_customer ",
    "delete_customer\n",
    "delete_customer\u{0}",
    "delete_customer\u{200b}",
    "delete\u{ad}_customer",
    "dеlete_customer",
    "ｄｅｌｅｔｅ_customer",
    "delete%5Fcustomer",
    "delete\\u005fcustomer",
    "./delete_customer",
    "shop/delete_customer",
    "shop__delete_customer",
    "tools/call/delete_customer",
];

/// A call of a tool of any name at any path.
fn call_at(house: &TestGateway, path: &str, token: &str, tool: &str, arguments: &Value) -> Request {
    let params = json!({ "name": tool, "arguments": arguments, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "house", "version": "1" } } });
    let request = house.request("POST", path).bearer(token).header("accept", "application/json, text/event-stream");
    let request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/call");
    request
        .header("mcp-name", &format!("=?base64?{}?=", STANDARD.encode(tool)))
        .json(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }))
}

// spec: T-54
#[tokio::test(flavor = "multi_thread")]
async fn t54_no_other_spelling_gets_around_the_question() -> Result<()> {
    for rules in [
        "",
        "rules:\n  - { rule: nobody-deletes, who: ['*'], what: [shop/delete_customer], then: deny }\n",
        // Whoever may change orders may not delete by a name that looks like it.
        "rules:\n  - { rule: orders, who: ['*'], what: [shop/update_order], then: allow }\n",
    ] {
        let shop = Shop::start().await?;
        let house = shop.house(&format!("{AT_ONCE}{rules}")).await?;
        let (_, tokens) = house.client("shop", ALICE).await?;
        let mut alice = Desk::of(&house, ALICE).await?;
        let own = json!({ "id": 7 });
        for name in SPELLINGS {
            let answer = call_at(&house, "/mcp/shop", &tokens.access, name, &own).send().await?;
            assert!(!made(&answer.json()), "{name:?}: {}", answer.text());
        }
        for path in [
            "/mcp/%73hop",
            "/mcp/shop/",
            "/mcp/SHOP",
            "/mcp//shop",
            "/mcp/./shop",
            "/mcp/x/../shop",
            "/MCP/shop",
            "/mcp/shop%00",
        ] {
            let answer = call_at(&house, path, &tokens.access, "delete_customer", &own).send().await?;
            assert!(!made(&answer.json()), "{path}: {}", answer.text());
        }
        // What the header says is not what is judged, and not what is done.
        let mixed = house.call("shop", &tokens.access, "delete_customer", own.clone()).bytes();
        let mixed = String::from_utf8(mixed)?.replace("mcp-name: delete_customer", "mcp-name: get_order");
        let answer = portcullis_house::http::send_raw(&house.authority, mixed.as_bytes()).await?;
        assert!(!made(&answer.json()), "{}", answer.text());
        assert!(shop.done().is_empty(), "{rules}: {:?}", shop.done());
        // What waits under such a name is shown with what is odd about it, and is not the tool that it resembles.
        for id in alice.waiting().await?.1 {
            let shown = alice.browser.get(&format!("/api/v1/approvals/{id}")).await?.json();
            let page = alice.page(&id).await?.text();
            if shown["target"].as_str().is_some_and(|name| name.contains('\u{200b}')) {
                assert!(page.contains("U+200B"), "{page}");
            }
            assert!(rules.contains("deny") || rules.is_empty() || shown["classes"] != json!(["reads"]), "{shown}");
            assert!(!rules.contains("deny") || shown["target"] != "delete_customer", "{shown}");
        }
        let honest = house.call("shop", &tokens.access, "get_order", own).send().await?;
        assert!(made(&honest.json()), "{}", honest.text());
        house.stop().await?;
    }
    Ok(())
}

// spec: T-105, T-75
#[tokio::test(flavor = "multi_thread")]
async fn t105_a_tool_that_asks_asks_through_every_wrapper_and_is_made_once() -> Result<()> {
    let shop = Shop::start().await?;
    let more = "toolboxes:\n  - { name: renamed, tools: [{ server: shop, rename: { delete_customer: tidy }, describe: { delete_customer: Only reads. } }] }\n  - { name: wide, search: on, tools: [{ server: shop }] }\n";
    let house = shop.house(&format!("{AT_ONCE}{more}")).await?;
    let endpoints = ["shop", "all", "renamed", "wide"];
    let (_, tokens) = house.client_of(&endpoints, ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let own = json!({ "id": 7 });
    let wrapped = json!({ "name": "shop__delete_customer", "arguments": own });
    let roads = [
        (0, "delete_customer", own.clone()),
        (1, "shop__delete_customer", own.clone()),
        (2, "tidy", own.clone()),
        (3, "shop__delete_customer", own.clone()),
        (3, "call_tool", wrapped),
    ];
    let road = |(at, tool, arguments): &(usize, &str, Value)| {
        house.call(endpoints[*at], &tokens[*at].access, tool, arguments.clone())
    };
    // It says of itself that it only reads; by whichever road it asks, as what it is, and it is one call.
    let mut asked = Vec::new();
    for way in &roads {
        ask(road(way)).await?;
        asked.push(alice.own().await?);
    }
    asked.dedup();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let shown = alice.browser.get(&format!("/api/v1/approvals/{}", asked[0])).await?.json();
    assert_eq!(json!([shown["server"], shown["target"]]), json!(["shop", "delete_customer"]), "{shown}");
    assert!(shown["classes"].as_array().is_some_and(|all| all.contains(&json!("destroys"))), "{shown}");
    alice.approve(&asked[0]).await?;
    let requests: Vec<_> = roads.iter().map(road).collect();
    let answers = join_all(requests.iter().map(Request::send)).await;
    let answers: Vec<_> = answers.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(answers.iter().filter(|answer| made(&answer.json())).count(), 1, "{answers:#?}");
    assert_eq!(shop.done(), [("delete_customer".to_owned(), own)]);
    house.stop().await
}

// spec: T-54
#[tokio::test(flavor = "multi_thread")]
async fn t54_in_a_session_and_in_a_batch_it_asks_as_everywhere() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house(AT_ONCE).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let call = |id: i64, tool: &str| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": { "id": id } } });
    let session = house.session("shop", &tokens.access).await?;
    let answer = house.legacy("shop", &tokens.access, &session, &call(1, "delete_customer")).send().await?.json();
    assert!(!made(&answer) && said(&answer).contains("/approvals/"), "{answer}");
    // Several at once, as sessions of 2025-03-26 may.
    let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": { "name": "house", "version": "1" } } });
    let post = |body: &Value| {
        let request = house.request("POST", "/mcp/shop").bearer(&tokens.access);
        request.header("accept", "application/json, text/event-stream").json(body)
    };
    let opened = post(&body).send().await?;
    let session = opened.header("mcp-session-id").with_context(|| opened.text())?.to_owned();
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    post(&ready).header("mcp-session-id", &session).send().await?;
    let batch = json!([call(2, "get_order"), call(3, "delete_customer"), call(4, "delete_customer")]);
    let answer = post(&batch).header("mcp-session-id", &session).send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(alice.waiting().await?.1.len(), 3, "{}", answer.text());
    let done: Vec<_> = shop.done().into_iter().map(|(tool, _)| tool).collect();
    assert_eq!(done, ["get_order"]);
    house.stop().await
}

// spec: T-96
#[tokio::test(flavor = "multi_thread")]
async fn t96_what_was_approved_under_milder_rules_is_not_made_under_stricter_ones() -> Result<()> {
    let shop = Shop::start().await?;
    let house = TestGateway::without_people("").await?;
    people(&house).await?;
    house.protect_as(shop.entry()).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let call =
        |house: &TestGateway, id: i64| house.call("shop", &tokens.access, "delete_customer", json!({ "id": id }));
    // Denied while it waited: the word comes too late.
    let held = hold(call(&house, 1)).await?;
    let id = alice.own().await?;
    house.protect_as(shop.entry_with(&json!([{ "group": "*", "allow": ["read"] }]))).await?;
    alice.approve(&id).await?;
    let answer = held.answer().await?;
    assert!(!made(&answer), "{answer}");
    let answer = call(&house, 1).send().await?.json();
    assert!(!made(&answer), "{answer}");
    assert!(shop.done().is_empty());
    // Nor where it was the whole server that was closed to them.
    house.protect_as(shop.entry()).await?;
    let held = hold(call(&house, 2)).await?;
    let id = alice.own().await?;
    house.protect_as(shop.entry_with(&json!([{ "group": "leads", "allow": ["*"] }]))).await?;
    alice.say(&id, &[("word", "approve")]).await?;
    let answer = held.answer().await?;
    assert!(!made(&answer), "{answer}");
    assert!(shop.done().is_empty());
    // Others are asked now than those who agreed: their word is wanted anew.
    house.protect_as(shop.entry()).await?;
    let held = hold(call(&house, 3)).await?;
    let id = alice.own().await?;
    drop(held);
    let rules = format!(
        "{AT_ONCE}rules:\n  - rule: leads\n    who: ['*']\n    what: [shop/delete_customer]\n    then: ask\n    ask: {{ approvers: [group:leads] }}\n"
    );
    alice.approve(&id).await?;
    let house = house.restart_with(&rules).await?;
    let mut carol = Desk::of(&house, CAROL).await?;
    ask(call(&house, 3)).await?;
    assert!(shop.done().is_empty());
    let (asked, _) = carol.waiting().await?;
    assert!(asked.len() == 1 && asked[0] != id, "{asked:?}");
    carol.approve(&asked[0]).await?;
    assert!(made(&call(&house, 3).send().await?.json()));
    assert_eq!(shop.done().len(), 1);
    // Rules that cannot be read are not taken for none: nothing starts with them.
    let broken = rules.replace("then: ask", "then: aks");
    assert!(house.restart_with(&broken).await.is_err());
    Ok(())
}

// spec: T-96
#[tokio::test(flavor = "multi_thread")]
async fn t96_each_call_is_judged_by_one_set_of_rules() -> Result<()> {
    let shop = Shop::start().await?;
    let house = Arc::new(TestGateway::without_people(AT_ONCE).await?);
    people(&house).await?;
    let (strict, mild) = (json!([{ "group": "*", "ask": ["*"] }]), json!([{ "group": "*", "allow": ["read"] }]));
    house.protect_as(shop.entry_with(&mild)).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let over = Arc::new(AtomicBool::new(false));
    let load = (0..4).map(|worker| {
        let (house, over, token) = (house.clone(), over.clone(), tokens.access.clone());
        tokio::spawn(async move {
            let (mut made_ones, mut all) = (0, 0);
            while !over.load(Ordering::SeqCst) || all < 5 {
                let reads = house.call("shop", &token, "get_order", json!({ "id": worker })).send().await?.json();
                made_ones += usize::from(made(&reads));
                let deletes =
                    house.call("shop", &token, "delete_customer", json!({ "id": worker })).send().await?.json();
                anyhow::ensure!(!made(&deletes), "{deletes}");
                all += 1;
            }
            anyhow::Ok(made_ones)
        })
    });
    let load: Vec<_> = load.collect();
    for round in 0..30 {
        let access = if round % 2 == 0 { &strict } else { &mild };
        house.protect_as(shop.entry_with(access)).await?;
    }
    over.store(true, Ordering::SeqCst);
    let mut reads = 0;
    for worker in load {
        reads += worker.await??;
    }
    let done = shop.done();
    assert!(done.iter().all(|(tool, _)| tool == "get_order"), "{done:?}");
    assert_eq!(done.len(), reads, "what was made is what was allowed");
    let decided = house.events("call.decided").await?;
    let allowed = |line: &&Value| line["name"] == "get_order" && line["outcome"] != "denied";
    assert_eq!(decided.iter().filter(allowed).count(), reads);
    Ok(())
}
