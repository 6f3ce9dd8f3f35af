//! The word of a person that another program brings: signed, of now, once, about what was shown, and of somebody who is asked.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use portcullis_base::Timestamp;
use portcullis_gateway::hook_signature::HookKey;
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::{Answer, Request},
};
use serde_json::{Value, json};

use crate::{
    asked::{AT_ONCE, CAROL, Desk, Shop, ask, made},
    behind::{Behind, soon},
};

/// With which the program is told.
const TOLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// With which it decides.
const DECIDES: &str = "whsec_dGhlIHNlY3JldCBvZiB0aGUgZGVjaXNpb25z";

fn signed(house: &TestGateway, key: &str, (id, at): (&str, Timestamp), body: &str) -> Result<Request> {
    let signature = HookKey::parse(key).context("a key")?.sign(id, at, body.as_bytes());
    let request = house.request("POST", "/approvals/hooks/pager").header("content-type", "application/json");
    let request = request.header("webhook-id", id).header("webhook-timestamp", &at.as_secs().to_string());
    Ok(request.header("webhook-signature", &signature).body(body))
}

// spec: T-85, T-82
#[tokio::test(flavor = "multi_thread")]
async fn t85_a_word_that_is_forged_old_repeated_or_of_somebody_else_decides_nothing() -> Result<()> {
    let (shop, pager) = (Shop::start().await?, Behind::start().await?);
    let folder = tempfile::tempdir()?;
    let secret = |name: &str, text: &str| -> Result<String> {
        let file = folder.path().join(name);
        fs::write(&file, text)?;
        Ok(format!("file:{}", file.display()))
    };
    let hook = json!({ "name": "pager", "url": format!("http://{}/hook", pager.at), "secret": secret("told", TOLD)?,
        "decision_secret": secret("decides", DECIDES)? });
    let settings = format!(
        "{AT_ONCE}outbound: {{ private_hosts: ['{}'] }}\nnotify: {{ webhooks: [{hook}] }}\nrules:\n  - rule: leads-in-chat\n    who: ['*']\n    what: [shop/create_refund]\n    then: ask\n    ask: {{ approvers: [group:leads], assurance: chat }}\n",
        pager.at
    );
    let house = shop.house(&settings).await?;
    let (_, tokens) = house.client("shop", ALICE).await?;
    let mut alice = Desk::of(&house, ALICE).await?;
    let refund = house.call("shop", &tokens.access, "create_refund", json!({ "recipient": "ada", "amount": 5 }));
    ask(refund.clone()).await?;
    let id = alice.own().await?;
    let told = soon(async {
        loop {
            if let Some(seen) = pager.seen().into_iter().find(|seen| seen.body["type"] == "approval.asked") {
                return seen.body;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await?;
    assert_eq!(told["data"]["approval"], id.as_str(), "{told}");
    let word = json!({ "approval": id, "binding": told["data"]["binding"], "word": "approve", "person": CAROL.0 });
    let changed = |name: &str, value: &str| {
        let mut word = word.clone();
        word[name] = value.into();
        word.to_string()
    };
    let (body, now) = (word.to_string(), house.app.clock.now());
    let (early, late) = (now.minus(Duration::from_secs(301)), now.plus(Duration::from_secs(301)));
    let plain = |request: Request| request.header("content-type", "application/json").body(body.clone());
    let post = || house.request("POST", "/approvals/hooks/pager");
    let bytes = signed(&house, DECIDES, ("m1", now), &changed("word", "refuse"))?.bytes();
    let swapped = String::from_utf8(bytes)?.replace("\"refuse\"", "\"approve\"");
    let length = format!("content-length: {}", changed("word", "refuse").len());
    let swapped = swapped.replace(&length, &format!("content-length: {}", body.len()));
    let forged: Vec<(&str, Request, u16)> = vec![
        ("unsigned", plain(post()), 401),
        ("a token of a program", plain(post().bearer(&tokens.access)), 401),
        ("a browser's cookies", plain(post().header("cookie", &alice.browser.cookie_header())), 401),
        ("the other key", signed(&house, TOLD, ("m2", now), &body)?, 401),
        ("too old", signed(&house, DECIDES, ("m3", early), &body)?, 401),
        ("from the future", signed(&house, DECIDES, ("m4", late), &body)?, 401),
        ("what was not shown", signed(&house, DECIDES, ("m5", now), &changed("binding", &"A".repeat(43)))?, 409),
        ("the caller", signed(&house, DECIDES, ("m6", now), &changed("person", ALICE.0))?, 403),
        ("who is not asked", signed(&house, DECIDES, ("m7", now), &changed("person", "bob"))?, 403),
        ("nobody", signed(&house, DECIDES, ("m8", now), &changed("person", "mallory"))?, 403),
        ("another call", signed(&house, DECIDES, ("m9", now), &changed("approval", "apr_none"))?, 404),
    ];
    let sent: Answer = portcullis_house::http::send_raw(&house.authority, swapped.as_bytes()).await?;
    assert_eq!(sent.status, 401, "changed on the way: {}", sent.text());
    for (what, request, status) in forged {
        let answer = request.send().await?;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert_eq!(alice.state(&id).await?, "pending", "{what}");
    }
    for method in ["GET", "HEAD", "PUT"] {
        let request = house.request(method, &format!("/approvals/hooks/pager?approval={id}&word=approve"));
        drop(request.stream().await?);
    }
    assert_eq!(alice.state(&id).await?, "pending");

    // The honest one counts, once: neither this message nor a new one of the same does anything more.
    let honest = signed(&house, DECIDES, ("good", now), &body)?;
    let answer = honest.send().await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(honest.send().await?.status, 409);
    assert_eq!(signed(&house, DECIDES, ("again", now), &body)?.send().await?.status, 409);
    assert!(made(&refund.send().await?.json()));
    ask(refund).await?;
    assert_eq!(honest.send().await?.status, 409);
    assert_eq!(shop.done().len(), 1);
    // Where a rule wants a page, no message of a program will do.
    ask(house.call("shop", &tokens.access, "delete_customer", json!({ "id": 7 }))).await?;
    let (_, own) = alice.waiting().await?;
    for id in own {
        let shown: Value = alice.browser.get(&format!("/api/v1/approvals/{id}")).await?.json();
        if shown["target"] == "delete_customer" {
            let asked = house.events("approval.asked").await?;
            let line = asked.iter().find(|line| line["details"]["approval"] == id.as_str()).context("a record")?;
            let word =
                json!({ "approval": id, "binding": line["details"]["binding"], "word": "approve", "person": ALICE.0 });
            let answer = signed(&house, DECIDES, ("page", now), &word.to_string())?.send().await?;
            assert_eq!(answer.status, 403, "{}", answer.text());
            assert_eq!(alice.state(&id).await?, "pending");
        }
    }
    house.stop().await
}
