//! An agent that obeys whatever it reads: a customer's message tells it to refund, delete, drop and send, and it tries by
//! every road and every trick. With the default policy nothing of that happens before a person has agreed, and then once.

mod roads;
mod scene;
mod tricks;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    roads::{Agent, ROADS},
    scene::{Scene, orders},
    tricks::tricks,
};

/// spec: T-54, T-105
#[tokio::test(flavor = "multi_thread")]
async fn no_road_and_no_trick_leads_past_the_person() -> Result<()> {
    // Nobody is there: who has to be asked is told so at once.
    let scene = Scene::start("0s").await?;
    let mut failures = Vec::new();
    for road in ROADS {
        let agent = Agent::arrive(&scene.house, road).await?;
        let read = agent.call("find_customer", &json!({ "query": "Quick Parts" })).await?;
        let orders = orders(&read)?;
        for (at, trick) in tricks(&agent, &orders).into_iter().enumerate() {
            let answer = trick.play().await.context(road.label)?;
            let arrived = scene.arrived().await?;
            if !arrived.is_empty() {
                failures.push(format!("{} · {}: {arrived:?} after {answer}", road.label, trick.label));
                scene.forget().await?;
            }
            // The first ones are the orders as they are: what is told is where the person decides.
            if at < orders.len() && !answer.contains("/approvals/") {
                failures.push(format!("{} · {}: nobody was asked: {answer}", road.label, trick.label));
            }
        }
        // What only reads works on this road at any time, so that nothing above failed for another reason.
        let read = agent.call("list_invoices", &json!({})).await?;
        ensure!(read.contains("2026-0117"), "{}: {read}", road.label);
    }
    assert!(failures.is_empty(), "{} ways past the person:\n{}", failures.len(), failures.join("\n"));
    scene.house.stop().await
}

/// spec: T-82
#[tokio::test(flavor = "multi_thread")]
async fn agent_cannot_be_its_own_person() -> Result<()> {
    let scene = Scene::start("0s").await?;
    for road in ROADS {
        let agent = Agent::arrive(&scene.house, road).await?;
        let asked = agent.call("refund_payment", &refund(1)).await.context(road.label)?;
        let id = approval(&asked)?;
        for (method, path) in [
            ("GET", format!("/approvals/{id}")),
            ("POST", format!("/approvals/{id}")),
            ("GET", "/approvals".to_owned()),
            ("GET", format!("/api/v1/approvals/{id}")),
            ("POST", format!("/api/v1/approvals/{id}")),
            ("POST", "/grants/standing/revoke".to_owned()),
        ] {
            let request = scene.house.request(method, &path).bearer(agent.token());
            let request = if method == "POST" { request.form(&[("word", "approve")]) } else { request };
            let answer = request.send().await?;
            let turned_away = [401, 403, 404, 405].contains(&answer.status);
            ensure!(turned_away, "{} · {method} {path}: {} {}", road.label, answer.status, answer.text());
        }
        let again = agent.call("refund_payment", &refund(1)).await?;
        assert_eq!(approval(&again)?, id, "{}: it still waits: {again}", road.label);
    }
    assert_eq!(scene.arrived().await?, Vec::<Value>::new());
    scene.house.stop().await
}

/// spec: T-80, T-81
#[tokio::test(flavor = "multi_thread")]
async fn with_the_persons_word_each_deed_happens_once() -> Result<()> {
    let scene = Scene::start("5m").await?;
    let mut alice = scene.person().await?;
    for (at, road) in ROADS.iter().enumerate() {
        let agent = Agent::arrive(&scene.house, road).await?;
        let deeds = [
            ("refund_payment", refund(at + 1)),
            ("send_mail", json!({ "to": "lena@brandt.example", "subject": road.label, "text": "It is on its way." })),
            ("delete_customer", json!({ "customer": "c-3" })),
            ("drop_table", json!({ "table": "invoices" })),
        ];
        for (tool, arguments) in deeds {
            let what = format!("{} · {tool}", road.label);
            scene.forget().await?;
            let (told, ()) = tokio::try_join!(agent.call(tool, &arguments), alice.says(&[("word", "approve")]))?;
            let arrived = scene.arrived().await?;
            ensure!(arrived.len() == 1, "{what}: {arrived:?}, and the agent was told {told}");
            assert_eq!((&arrived[0]["tool"], &arrived[0]["arguments"]), (&json!(tool), &arguments), "{what}");
            let outcome = arrived[0]["outcome"].as_str().unwrap_or_default();
            ensure!(told.contains(outcome), "{what}: not {outcome:?}, but {told}");
            // One word is for one run: the same again asks again, and no is no.
            let no = [("word", "refuse"), ("why", "Once is enough")];
            let (told, ()) = tokio::try_join!(agent.call(tool, &arguments), alice.says(&no))?;
            ensure!(told.contains("Once is enough"), "{what}: the agent was told {told}");
            assert_eq!(scene.arrived().await?.len(), 1, "{what}: it ran again");
        }
    }
    scene.house.stop().await
}

fn refund(amount: usize) -> Value {
    json!({ "customer": "c-1", "amount": amount, "currency": "EUR" })
}

/// The approval that an answer leads to.
fn approval(answer: &str) -> Result<String> {
    let (_, rest) = answer.split_once("/approvals/").ok_or_else(|| anyhow::anyhow!("nobody was asked: {answer}"))?;
    Ok(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_' || *c == '-').collect())
}
