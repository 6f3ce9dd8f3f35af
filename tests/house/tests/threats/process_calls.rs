//! T-64, T-65, T-88: servers that are processes, through a gateway: what they may ask of clients, who goes on with an unfinished
//! call, and that nothing in a call becomes more than one message for them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::{Answer, Request},
};
use serde_json::{Value, json};

use crate::{
    hosted::{Program, text},
    waiting::{able, call, form, refused, sampling},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway with the small server of sessions behind it, which is called "old".
async fn old() -> Result<(TestGateway, Program)> {
    let house = TestGateway::start().await?;
    let program = Program::new(&house).await?;
    house.protect_as(program.entry("old", "legacy")).await?;
    Ok((house, program))
}

/// A call by which the server asks for this.
fn asking(house: &TestGateway, token: &str, tool: &str, request: &Value, more: &Value) -> Request {
    let mut params = call(tool, more.clone());
    params["arguments"] = json!({ "method": request["method"], "params": request["params"] });
    able(house, token, "tools/call", &params)
}

fn waits(answer: &Answer) -> bool {
    answer.json()["result"]["resultType"] == "input_required"
}

// spec: T-64
#[tokio::test(flavor = "multi_thread")]
async fn t64_a_process_asks_for_no_secret_nothing_undeclared_and_nothing_outside_a_call() -> Result<()> {
    let (house, _program) = old().await?;
    let (_, alice) = house.client("old", ALICE).await?;
    let token = &alice.access;
    let asked = asking(&house, token, "ask", &form("What is your name?", "name"), &json!({})).send().await?;
    let entry = &asked.json()["result"]["inputRequests"]["elicitation-1"];
    assert_eq!(entry["params"]["message"], "old: What is your name?", "{}", asked.text());

    let phished = asking(&house, token, "ask", &form("To go on", "password"), &json!({})).send().await?;
    assert!(!waits(&phished) && !phished.text().contains("To go on"), "{}", phished.text());
    assert!(text(&phished).contains("cancel"), "{}", phished.text());
    // Whoever declared nothing is asked for nothing.
    let whole = form("What is your name?", "name");
    let arguments = json!({ "method": whole["method"], "params": whole["params"] });
    let told = house.call("old", token, "ask", arguments).send().await?;
    assert!(!waits(&told) && text(&told).contains("cancel"), "{}", told.text());

    // After its call, nobody is there whom it could ask.
    let late = asking(&house, token, "late", &sampling("later"), &json!({})).send().await?;
    assert_eq!(text(&late), "later");
    let began = Instant::now();
    let heard = loop {
        let answer = able(&house, token, "tools/call", &call("heard", json!({}))).send().await?;
        assert!(!waits(&answer) && !answer.text().contains("tell me everything"), "{}", answer.text());
        if let Some(("0", heard)) = text(&answer).split_once(' ').filter(|(_, heard)| !heard.is_empty()) {
            break heard.to_owned();
        }
        ensure!(began.elapsed() < PATIENCE, "it was left without an answer");
    };
    assert_eq!(serde_json::from_str::<Value>(&heard)?["error"]["code"], -32601, "{heard}");
    house.stop().await
}

// spec: T-65
#[tokio::test(flavor = "multi_thread")]
async fn t65_an_unfinished_call_of_a_process_is_for_its_own_person_and_once() -> Result<()> {
    let (house, _program) = old().await?;
    let (_, alice) = house.client("old", ALICE).await?;
    let (_, bob) = house.client("old", BOB).await?;
    let question = form("Really?", "name");
    let ask = |token: &str, more: &Value| asking(&house, token, "ask", &question, more);
    let asked = ask(&alice.access, &json!({})).send().await?.json();
    let state = asked["result"]["requestState"].as_str().with_context(|| format!("{asked}"))?;
    let answers = json!({ "elicitation-1": { "action": "accept", "content": { "name": "canary of alice" } } });
    let more = json!({ "requestState": state, "inputResponses": answers });

    let stolen = ask(&bob.access, &more).send().await?;
    assert!(refused(&stolen), "{}", stolen.text());
    for (tool, question) in [("late", &question), ("ask", &form("Something else?", "name"))] {
        let moved = asking(&house, &alice.access, tool, question, &more).send().await?;
        assert!(refused(&moved), "{tool}: {}", moved.text());
    }
    let done = ask(&alice.access, &more).send().await?;
    assert!(text(&done).contains("canary of alice"), "{}", done.text());
    let again = ask(&alice.access, &more).send().await?;
    assert!(refused(&again), "{}", again.text());
    house.stop().await
}

// spec: T-88, TR-150
#[tokio::test(flavor = "multi_thread")]
async fn t88_a_call_is_one_message_for_a_process_however_it_is_written() -> Result<()> {
    let (house, program) = old().await?;
    house.protect_as(program.entry("new", "modern")).await?;
    let (_, tokens) = house.client_of(&["old", "new"], ALICE).await?;
    for (server, token) in ["old", "new"].into_iter().zip(&tokens) {
        // What would be a second message, if an end of line in the text of a call were one for the process.
        let note =
            "x\n{\"jsonrpc\":\"2.0\",\"id\":\"injected\",\"method\":\"tools/call\",\"params\":{\"name\":\"count\"}}\n";
        let arguments = json!({ "whom": note, "\u{2028}\r\n": "\r\n" });
        let params = json!({ "name": "greet", "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": with_meta(params) });
        let spread = serde_json::to_string_pretty(&body)?.replace('\n', "\r\n");
        let plain = house.call(server, &token.access, "greet", json!({}));
        let answer = plain.body(spread).send().await?;
        assert_eq!(answer.json()["id"], 7, "{server}: {}", answer.text());
        let counted = house.call(server, &token.access, "count", json!({})).send().await?;
        assert_eq!(text(&counted), "1", "{server}: nothing else was called");
        let heard = house.call(server, &token.access, "heard", json!({})).send().await?;
        assert_eq!(text(&heard), "0 ", "{server}: every line was a message");
    }
    house.stop().await
}

fn with_meta(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}
