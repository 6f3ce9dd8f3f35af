//! Whose word counts: people before a browser of theirs, those whom the rule asks, signed in a moment ago, and no program.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::Answer,
    person::Form,
};
use serde_json::{Value, json};

use crate::asked::{AT_ONCE, CAROL, Desk, Shop, ask, hold, made, said};

const LEADS: &str = "
rules:
  - rule: leads-decide
    who: ['*']
    what: [shop/delete_customer]
    then: ask
    ask: { approvers: [group:leads] }
";

/// It was neither made nor decided.
async fn untouched(shop: &Shop, desk: &mut Desk, id: &str) -> Result<()> {
    assert_eq!(desk.state(id).await?, "pending");
    assert!(shop.done().is_empty());
    Ok(())
}

// spec: T-82
#[tokio::test(flavor = "multi_thread")]
async fn t82_no_token_of_a_program_looks_or_decides() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house("").await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let held = hold(house.call("shop", &tokens.access, "delete_customer", json!({ "id": 7 }))).await?;
    let id = alice.own().await?;
    let form_token = alice.form_token().await?;
    let fields = [("form_token", form_token.as_str()), ("word", "approve")];
    let origin = format!("http://{}", house.authority);
    for (method, path) in [
        ("GET", "/approvals".to_owned()),
        ("GET", format!("/approvals/{id}")),
        ("POST", format!("/approvals/{id}")),
        ("POST", format!("/approvals/{id}/withdraw")),
        ("GET", "/api/v1/approvals".to_owned()),
        ("GET", format!("/api/v1/approvals/{id}")),
        ("GET", "/grants".to_owned()),
        ("POST", "/grants/standing/revoke".to_owned()),
    ] {
        // Alone, and beside all that makes a person: whoever shows a token is a program.
        for cookies in [String::new(), alice.browser.cookie_header()] {
            let mut request = house.request(method, &path).bearer(&tokens.access).header("origin", &origin);
            if !cookies.is_empty() {
                request = request.header("cookie", &cookies);
            }
            let answer = if method == "POST" { request.form(&fields) } else { request }.send().await?;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
            assert!(!answer.text().contains("delete_customer"), "{method} {path}: {}", answer.text());
        }
    }
    untouched(&shop, &mut alice, &id).await?;
    // The same without the token is a person's word.
    alice.approve(&id).await?;
    assert!(made(&held.answer().await?));
    house.stop().await
}

// spec: T-82
#[tokio::test(flavor = "multi_thread")]
async fn t82_where_others_decide_neither_the_caller_nor_a_stranger_does() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house(LEADS).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let (_, of_carol) = house.client("shop", CAROL).await?;
    let [mut alice, mut bob, mut carol] =
        [Desk::of(&house, ALICE).await?, Desk::of(&house, BOB).await?, Desk::of(&house, CAROL).await?];
    let call = |token: &str| house.call("shop", token, "delete_customer", json!({ "id": 7 }));
    let held = hold(call(&tokens.access)).await?;
    let id = alice.own().await?;
    let own = alice.say(&id, &[("word", "approve")]).await?;
    assert_eq!(own.status, 403, "{}", own.text());
    // To a stranger it does not exist, by whatever way, and the link that Alice sent him gives him nothing.
    assert!(bob.waiting().await?.0.is_empty());
    let api = bob.browser.get(&format!("/api/v1/approvals/{id}")).await?;
    let (page, said, taken) = (
        bob.page(&id).await?,
        bob.say(&id, &[("word", "approve")]).await?,
        bob.say(&format!("{id}/withdraw"), &[]).await?,
    );
    for answer in [api, page, said, taken] {
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert!(!answer.text().contains("delete_customer"), "{}", answer.text());
    }
    untouched(&shop, &mut alice, &id).await?;
    // Whoever is asked decides; and of a lead's own call another lead would have to.
    assert_eq!(carol.waiting().await?.0, std::slice::from_ref(&id));
    carol.approve(&id).await?;
    let answer = held.answer().await?;
    assert!(made(&answer), "{}", self::said(&answer));
    assert_eq!(shop.done().len(), 1);
    let voted = house.events("approval.voted").await?;
    assert_eq!(voted.len(), 1, "{voted:#?}");
    assert_eq!(json!([voted[0]["details"]["word"], voted[0]["details"]["assurance"]]), json!(["approve", "session"]));
    let held = hold(call(&of_carol.access)).await?;
    let id = carol.own().await?;
    assert_eq!(carol.say(&id, &[("word", "approve")]).await?.status, 403);
    assert_eq!(shop.done().len(), 1);
    drop(held);
    house.stop().await
}

// spec: T-82
#[tokio::test(flavor = "multi_thread")]
async fn t82_an_old_sign_in_approves_nothing_but_may_refuse() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house("").await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    house.advance(Duration::from_secs(5 * 60 + 1)).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let call = |id: i64| house.call("shop", &tokens.access, "delete_customer", json!({ "id": id }));
    let held = hold(call(1)).await?;
    let id = alice.own().await?;
    let late = alice.say(&id, &[("word", "approve")]).await?;
    assert_eq!(late.status, 403, "{}", late.text());
    untouched(&shop, &mut alice, &id).await?;
    // No passkey was shown: whatever is sent in its place is none.
    for assertion in ["x", "{}", r#"{"id":"AA","response":{}}"#] {
        let answer = alice.say(&id, &[("word", "approve"), ("assertion", assertion)]).await?;
        assert!(matches!(answer.status, 403 | 422), "{} {}", answer.status, answer.text());
    }
    untouched(&shop, &mut alice, &id).await?;
    let mut fresh = Desk::of(&house, ALICE).await?;
    fresh.approve(&id).await?;
    assert!(made(&held.answer().await?));
    // Stopping something needs less.
    let held = hold(call(2)).await?;
    let id = alice.own().await?;
    alice.refuse(&id, "not today").await?;
    let answer = held.answer().await?;
    assert!(!made(&answer) && said(&answer).contains("not today"), "{answer}");
    assert_eq!(shop.done().len(), 1);
    house.stop().await
}

// spec: T-82, T-2
#[tokio::test(flavor = "multi_thread")]
async fn t82_a_hostile_page_cannot_answer_for_whoever_looks_at_it() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house("").await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let mut bob = Desk::of(&house, BOB).await?;
    let held = hold(house.call("shop", &tokens.access, "delete_customer", json!({ "id": 7 }))).await?;
    let id = alice.own().await?;
    let (token, bobs) = (alice.form_token().await?, bob.form_token().await?);
    let own = format!("http://{}", house.authority);
    let cookies = alice.browser.cookie_header();
    let ours = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    let foreign = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    let beside = [("origin", own.as_str()), ("sec-fetch-site", "same-site")];
    for (headers, token) in [
        (&foreign[..], Some(token.as_str())),
        (&beside, Some(&token)),
        (&foreign[..1], Some(&token)),
        (&[("origin", "null")], Some(&token)),
        (&[], Some(&token)),
        (&ours, None),
        (&ours, Some("")),
        (&ours, Some(&bobs)),
    ] {
        for (path, word) in [(format!("/approvals/{id}"), "approve"), (format!("/approvals/{id}/withdraw"), "")] {
            let mut request = house.request("POST", &path).header("cookie", &cookies);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let fields: Vec<_> = [("form_token", token), ("word", Some(word))]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            let answer = request.form(&fields).send().await?;
            assert_eq!(answer.status, 403, "{headers:?} {token:?}: {}", answer.text());
        }
    }
    untouched(&shop, &mut alice, &id).await?;
    // Nor is the page shown in a frame, where a click could be led to it.
    for path in ["/approvals".to_owned(), format!("/approvals/{id}"), "/grants".to_owned()] {
        let page = alice.browser.get(&path).await?;
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(page.header("x-frame-options"), Some("DENY"), "{path}");
    }
    // A click counts only after the page was in sight for a while.
    let page = alice.page(&id).await?.text();
    let (_, button) = page.split_once("name=\"word\" value=\"approve\"").context("a form")?;
    assert!(button.split("</form>").next().is_some_and(|form| form.contains("data-guarded")), "{page}");
    drop(held);
    house.stop().await
}

// spec: T-85
#[tokio::test(flavor = "multi_thread")]
async fn t85_looking_at_a_link_decides_nothing() -> Result<()> {
    let shop = Shop::start().await?;
    let house = shop.house("").await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let held = hold(house.call("shop", &tokens.access, "delete_customer", json!({ "id": 7 }))).await?;
    let id = alice.own().await?;
    let token = alice.form_token().await?;
    let query = format!("word=approve&form_token={token}&done=approved");
    for path in [
        format!("/approvals/{id}"),
        format!("/approvals/{id}?{query}"),
        format!("/approvals/{id}/approve?{query}"),
        format!("/approvals/{id}/withdraw?{query}"),
        format!("/api/v1/approvals/{id}?{query}"),
        format!("/approvals?id={id}&{query}"),
    ] {
        // What fetches links before they are clicked, has the cookies or not.
        for method in ["GET", "HEAD", "OPTIONS"] {
            for request in [alice.browser.request(method, &path), house.request(method, &path)] {
                if method == "HEAD" {
                    // Its answer has a length and no body.
                    drop(request.header("purpose", "prefetch").stream().await?);
                } else {
                    request.header("purpose", "prefetch").send().await?;
                }
            }
        }
    }
    // Nor does a POST whose fields are anywhere but in a form, or that only looks like another method.
    let own = format!("http://{}", house.authority);
    let post = |path: &str| alice.browser.request("POST", path).header("origin", &own);
    let fields = json!({ "word": "approve", "form_token": token });
    let by_query = post(&format!("/approvals/{id}?{query}")).form(&[]).send().await?;
    let by_json = post(&format!("/approvals/{id}")).json(&fields).send().await?;
    let api =
        post(&format!("/api/v1/approvals/{id}")).form(&[("word", "approve"), ("form_token", &token)]).send().await?;
    for answer in [by_query, by_json, api] {
        assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text());
    }
    untouched(&shop, &mut alice, &id).await?;
    // What people compare in another channel is the beginning of what the call is bound to, and the record has all of it.
    let asked = house.events("approval.asked").await?;
    let binding = asked[0]["details"]["binding"].as_str().context("a binding")?;
    let page = alice.page(&id).await?.text();
    assert!(page.contains(&binding[..12]), "{binding}");
    drop(held);
    house.stop().await
}

/// The link in what a program is told.
fn link(text: &str) -> Option<&str> {
    let at = text.find("http://")?;
    text[at..].split(['"', ' ', '\\', ')']).next()
}

// spec: T-86
#[tokio::test(flavor = "multi_thread")]
async fn t86_the_link_of_a_call_that_waits_gives_nobody_a_right() -> Result<()> {
    let shop = Shop::start().await?;
    // Nobody is kept waiting: the link is told at once.
    let house = shop.house(AT_ONCE).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let text = ask(house.call("shop", &tokens.access, "delete_customer", json!({ "id": 7 }))).await?;
    let link = link(&text).with_context(|| text.clone())?.to_owned();
    let id = alice.own().await?;
    assert_eq!(link, format!("http://{}/approvals/{id}", house.authority), "nothing but the place is in it: {text}");
    // It leads whoever is not signed in to the sign-in and nowhere else, and shows nothing on the way.
    let path = format!("/approvals/{id}");
    let stranger: Answer = house.request("GET", &path).send().await?;
    assert!(stranger.status == 303 || stranger.status == 302, "{} {}", stranger.status, stranger.text());
    assert!(stranger.header("location").is_some_and(|to| to.starts_with("/login?")), "{:?}", stranger.headers);
    let mut bob = Desk::of(&house, BOB).await?;
    assert_eq!(bob.page(&id).await?.status, 404);
    assert_eq!(bob.say(&id, &[("word", "approve")]).await?.status, 404);
    untouched(&shop, &mut alice, &id).await?;
    house.stop().await
}

/// A session of 2025-11-25 whose client opens pages for its person, or says that it does.
async fn session(house: &TestGateway, token: &str, elicitation: Value) -> Result<String> {
    let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": { "elicitation": elicitation },
        "clientInfo": { "name": "agent", "version": "1" } } });
    let request = house.request("POST", "/mcp/shop").bearer(token);
    let answer = request.header("accept", "application/json, text/event-stream").json(&body).send().await?;
    let session = answer.header("mcp-session-id").with_context(|| answer.text())?.to_owned();
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    house.legacy("shop", token, &session, &ready).send().await?;
    Ok(session)
}

// spec: T-107
#[tokio::test(flavor = "multi_thread")]
async fn t107_a_program_that_accepts_everything_approves_nothing() -> Result<()> {
    // The rule even says that its word would do: for what destroys it never does.
    let rules = "rules:\n  - rule: programs-say\n    who: ['*']\n    what: [shop/delete_customer]\n    then: ask\n    ask: { approvers: [self], not_self: false, assurance: elicitation }\n";
    for rules in ["", rules] {
        let shop = Shop::start().await?;
        let house = shop.house(rules).await?;
        let (_, tokens) = house.client("shop", ALICE).await?;
        let mut alice = Desk::of(&house, ALICE).await?;
        let accepts =
            json!({ "action": "accept", "content": { "approve": true, "word": "approve", "decision": "approve" } });

        // In a session: every question on the stream is accepted at once.
        let session = session(&house, &tokens.access, json!({ "form": {}, "url": {} })).await?;
        let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
            "name": "delete_customer", "arguments": { "id": 1 }, "_meta": { "progressToken": "p" } } });
        let mut held = hold(house.legacy("shop", &tokens.access, &session, &call)).await?;
        let question = loop {
            let word = held.word().await?;
            if word["method"] == "elicitation/create" {
                break word;
            }
            assert!(word["method"].is_string(), "it was answered before anybody was asked: {word}");
        };
        assert_eq!(question["params"]["mode"], "url", "{question}");
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": accepts });
        let told = house.legacy("shop", &tokens.access, &session, &answer).send().await?;
        assert!(matches!(told.status, 200 | 202), "{} {}", told.status, told.text());
        let first = alice.own().await?;
        untouched(&shop, &mut alice, &first).await?;

        // Without one: the question comes back as an answer, and is accepted on the next try.
        let mut params = json!({ "name": "delete_customer", "arguments": { "id": 2 } });
        let request = |params: &Value| {
            let mut params = params.clone();
            params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "form": {}, "url": {} } },
                "io.modelcontextprotocol/clientInfo": { "name": "agent", "version": "1" } });
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
            let request = house.request("POST", "/mcp/shop").bearer(&tokens.access);
            let request = request.header("accept", "application/json, text/event-stream");
            let request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/call");
            request.header("mcp-name", "delete_customer").json(&body)
        };
        let answer = request(&params).send().await?.json();
        assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
        let (_, own) = alice.waiting().await?;
        let second = own.iter().find(|id| **id != first).context("the second")?.clone();
        params["requestState"] = answer["result"]["requestState"].clone();
        let asked = answer["result"]["inputRequests"].as_object().cloned().unwrap_or_default();
        let responses: serde_json::Map<String, Value> =
            asked.keys().map(|key| (key.clone(), accepts.clone())).collect();
        params["inputResponses"] = Value::Object(responses);
        let retry = request(&params);
        let retried = tokio::spawn(async move { retry.send().await });
        untouched(&shop, &mut alice, &second).await?;
        // A human says no to one of them and yes to the other.
        alice.refuse(&second, "no").await?;
        let answer = retried.await??.json();
        assert!(!made(&answer), "{answer}");
        assert!(shop.done().is_empty());
        alice.approve(&first).await?;
        assert!(made(&held.answer().await?));
        assert_eq!(shop.done(), [("delete_customer".to_owned(), json!({ "id": 1 }))]);
        let voted = house.events("approval.voted").await?;
        assert!(voted.iter().all(|line| line["details"]["assurance"] == "session"), "{voted:#?}");
        house.stop().await?;
    }
    Ok(())
}

// spec: T-107, T-82
#[tokio::test(flavor = "multi_thread")]
async fn t107_where_a_passkey_is_wanted_a_sign_in_is_not_enough() -> Result<()> {
    let rules = "rules:\n  - rule: by-passkey\n    who: ['*']\n    what: [shop/create_refund]\n    then: ask\n    ask: { approvers: [self], not_self: false, assurance: passkey }\n";
    let shop = Shop::start().await?;
    let house = shop.house(rules).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let held =
        hold(house.call("shop", &tokens.access, "create_refund", json!({ "recipient": "eve", "amount": 5 }))).await?;
    let id = alice.own().await?;
    let weak = alice.say(&id, &[("word", "approve")]).await?;
    assert_eq!(weak.status, 403, "{}", weak.text());
    let page = alice.page(&id).await?.text();
    assert!(page.contains("This wants a passkey"), "{page}");
    for assertion in ["{}", "null", r#"{"id":"AA","type":"public-key","response":{}}"#] {
        let form = Form { action: format!("/approvals/{id}"), fields: vec![] };
        let token = alice.form_token().await?;
        let fields = [("form_token", token.as_str()), ("word", "approve"), ("assertion", assertion)];
        let answer = alice.browser.submit(&form, &fields).await?;
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    untouched(&shop, &mut alice, &id).await?;
    drop(held);
    house.stop().await
}
