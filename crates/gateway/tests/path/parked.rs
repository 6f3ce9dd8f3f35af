//! Legacy servers that ask for something in the middle of a call, before clients of 2026-07-28.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_gateway::{
    config::Allow,
    upstream::{Bridging, Reason},
};
use portcullis_policy::{Bundle, Source};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    bridged::bounds,
    harness::{Client, Gateway, Got, Setup, borrowed, modern},
    older::{able, answer, asked, reply, streamed},
    upstream::{After, Reply, Seen, Speaks, Upstream, event, saying, soon},
};

/// The open calls of a server: the id of each, and the mouth of its stream.
type Calls = Arc<Mutex<Vec<(Value, mpsc::UnboundedSender<String>)>>>;

/// A server whose tool asks `questions`, one after the other, and tells at the end what it was answered.
pub async fn asking(questions: Vec<Value>) -> (Upstream, Calls) {
    let calls = Calls::default();
    let open = calls.clone();
    let answers: Arc<Mutex<Vec<Value>>> = Arc::default();
    let upstream = Upstream::with(Speaks::Legacy, move |seen| played(seen, &questions, &open, &answers)).await;
    (upstream, calls)
}

fn played(seen: &Seen, questions: &[Value], open: &Calls, answers: &Mutex<Vec<Value>>) -> Option<Reply> {
    match seen.rpc() {
        "initialize" => {
            let capabilities = json!({ "tools": {}, "resources": {}, "prompts": {} });
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities });
            Some(Reply::json(200, &seen.result(result)).with("mcp-session-id", "upstream-session"))
        }
        "tools/call" | "prompts/get" => {
            let (mouth, after) = saying();
            mouth.send(event(&questions[0])).unwrap();
            open.lock().unwrap().push((seen.body["id"].clone(), mouth));
            Some(Reply::Events(Vec::new(), Vec::new(), after))
        }
        "notifications/cancelled" => {
            open.lock().unwrap().retain(|(id, _)| *id != seen.body["params"]["requestId"]);
            None
        }
        "" if seen.body["method"].is_null() && !seen.body["id"].is_null() => {
            let mut answers = answers.lock().unwrap();
            answers.push(seen.body.clone());
            let open = open.lock().unwrap();
            let (id, mouth) = open.last()?;
            if let Some(question) = questions.get(answers.len()) {
                mouth.send(event(question)).unwrap();
            } else {
                let text = serde_json::to_string(&*answers).unwrap();
                let result = json!({ "content": [{ "type": "text", "text": text }] });
                mouth.send(event(&json!({ "jsonrpc": "2.0", "id": id, "result": result }))).unwrap();
            }
            None
        }
        _ => None,
    }
}

pub fn form(id: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    let params = json!({ "message": "Who?", "requestedSchema": schema, "_meta": { "io.modelcontextprotocol/x": 1 } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params })
}

pub fn sample(id: &str) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": "hm" } });
    let params = json!({ "messages": [message], "maxTokens": 5, "includeContext": "allServers" });
    json!({ "jsonrpc": "2.0", "id": id, "method": "sampling/createMessage", "params": params })
}

pub fn roots(id: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "roots/list" })
}

/// A call of `tool` by a client that can do `abilities`, with what else is in its parameters.
pub async fn call(client: &Client, abilities: &Value, more: &Value) -> Got {
    let mut params = json!({ "name": "asks", "arguments": {} });
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    let (headers, mut body) = modern("tools/call", params);
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = abilities.clone();
    soon(client.post(&borrowed(&headers), &body)).await
}

pub fn forms() -> Value {
    json!({ "elicitation": { "form": {} } })
}

fn everything() -> Value {
    json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} })
}

/// What a client brings back for what it was asked.
pub fn back(asked: &Value, responses: Value) -> Value {
    json!({ "requestState": asked["result"]["requestState"], "inputResponses": responses })
}

async fn gateway(upstream: &Upstream, bridging: Bridging, allow: Allow) -> Gateway {
    let limits = bounds(bridging);
    Gateway::start(Setup { servers: vec![("fake", upstream.at)], limits, allow, ..Setup::default() }).await
}

const ALL: Allow = Allow { sampling: true, roots: true, files: false, logging: true };

async fn seen_to_end(upstream: &Upstream, rpc: &str, count: usize) {
    soon(async {
        while upstream.calls(rpc).len() < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// spec: BR-44, BR-46, BR-3, BR-60, BR-62, BR-66
#[tokio::test]
async fn a_question_in_the_middle_is_answered_and_the_call_is_made_once() {
    let (upstream, _) = asking(vec![form("q"), sample("r"), roots("s")]).await;
    let gateway = gateway(&upstream, Bridging::default(), ALL).await;
    let client = gateway.client("alice");
    let asked = call(&client, &everything(), &json!({})).await.json();
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    assert!(asked["result"].get("ttlMs").is_none());
    let entry = &asked["result"]["inputRequests"]["elicitation-1"];
    assert_eq!((&entry["method"], &entry["params"]["message"]), (&json!("elicitation/create"), &json!("fake: Who?")));
    let accept = json!({ "action": "accept", "content": { "name": "me" } });
    let first = back(&asked, json!({ "elicitation-1": accept, "unheard-of": { "action": "accept" } }));
    let asked = call(&client, &everything(), &first).await.json();
    let entry = &asked["result"]["inputRequests"]["sampling-2"];
    // spec: BR-77
    assert_eq!(
        (&entry["method"], &entry["params"]["includeContext"]),
        (&json!("sampling/createMessage"), &json!("none"))
    );
    let said = json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "yes" } });
    let asked = call(&client, &everything(), &back(&asked, json!({ "sampling-2": said }))).await.json();
    assert_eq!(asked["result"]["inputRequests"], json!({ "roots-3": { "method": "roots/list" } }));
    // spec: BR-75
    let told = json!({ "roots": [{ "uri": "file:///home/alice" }, { "uri": "https://example.com/r" }] });
    let last = back(&asked, json!({ "roots-3": told }));
    let done = call(&client, &everything(), &last).await.json();
    let text = done["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{done}"));
    let answers: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!((&answers[0]["id"], &answers[0]["result"]), (&json!("q"), &accept));
    assert_eq!(answers[1]["result"], said);
    assert_eq!(answers[2]["result"], json!({ "roots": [{ "uri": "https://example.com/r" }] }));
    assert_eq!(upstream.calls("tools/call").len(), 1, "the call was made once");
    let declared = upstream.calls("initialize").pop().unwrap().body["params"]["capabilities"].clone();
    assert_eq!(declared, json!({ "roots": {}, "sampling": {}, "elicitation": { "form": {}, "url": {} } }));
    // What was used up is of no use, and nothing is done twice for it.
    for stale in [first, last] {
        let got = call(&client, &everything(), &stale).await;
        assert_eq!((got.status.as_u16(), got.code()), (400, -32602), "{got:?}");
    }
    assert_eq!(upstream.calls("tools/call").len(), 1);
}

/// spec: BR-47
#[tokio::test]
async fn missing_answers_are_asked_for_again_and_odd_ones_end_the_call() {
    let (upstream, calls) = asking(vec![form("q")]).await;
    let gateway = gateway(&upstream, Bridging::default(), Allow::REMOTE).await;
    let client = gateway.client("alice");
    let asked = call(&client, &forms(), &json!({})).await.json();
    let odd = call(&client, &forms(), &back(&asked, json!({ "elicitation-1": { "action": "perhaps" } }))).await;
    assert_eq!((odd.status.as_u16(), odd.code()), (400, -32602), "{odd:?}");
    // Its state was used up, so nobody can come back for the call: it does not wait any longer.
    seen_to_end(&upstream, "notifications/cancelled", 1).await;
    let made = upstream.calls("tools/call").pop().unwrap();
    assert_eq!(upstream.calls("notifications/cancelled")[0].body["params"]["requestId"], made.body["id"]);
    soon(async {
        while gateway.waiting() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let right = call(&client, &forms(), &back(&asked, json!({ "elicitation-1": { "action": "decline" } }))).await;
    assert_eq!((right.status.as_u16(), right.code()), (400, -32602), "{right:?}");
    let asked = call(&client, &forms(), &json!({})).await.json();
    let missing = call(&client, &forms(), &back(&asked, json!({}))).await.json();
    assert_eq!(missing["result"]["inputRequests"], asked["result"]["inputRequests"]);
    assert_ne!(missing["result"]["requestState"], asked["result"]["requestState"]);
    // A second question that came meanwhile is asked too.
    calls.lock().unwrap().last().unwrap().1.send(event(&form("r"))).unwrap();
    let declined = json!({ "action": "decline" });
    let mut next = call(&client, &forms(), &back(&missing, json!({ "elicitation-1": declined }))).await.json();
    while next["result"]["resultType"] == "input_required" {
        assert_eq!(next["result"]["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), ["elicitation-2"]);
        next = call(&client, &forms(), &back(&next, json!({ "elicitation-2": declined }))).await.json();
    }
    assert_eq!(next["result"]["resultType"], "complete");
    assert_eq!(upstream.calls("tools/call").len(), 2);
}

/// spec: BR-48, BR-56, BR-58
#[tokio::test]
async fn nobody_waits_for_ever() {
    let (upstream, _) = asking(vec![form("q")]).await;
    let bridging = Bridging { park: Duration::from_millis(300), ..Bridging::default() };
    let gateway = gateway(&upstream, bridging, Allow::REMOTE).await;
    let client = gateway.client("alice");
    let asked = call(&client, &forms(), &json!({})).await.json();
    assert!(upstream.calls("notifications/cancelled").is_empty(), "a call that waits is kept");
    seen_to_end(&upstream, "notifications/cancelled", 1).await;
    let made = upstream.calls("tools/call").pop().unwrap();
    assert_eq!(upstream.calls("notifications/cancelled")[0].body["params"]["requestId"], made.body["id"]);
    let late = call(&client, &forms(), &back(&asked, json!({ "elicitation-1": { "action": "cancel" } }))).await;
    assert_eq!((late.status.as_u16(), late.code()), (400, -32602));
    assert!(late.json()["error"]["message"].as_str().unwrap().contains("expired"), "{late:?}");
    assert_eq!(upstream.calls("tools/call").len(), 1);
    assert_eq!(gateway.counts().of(Reason::Expired), 1);
}

/// spec: BR-49, BR-57
#[tokio::test]
async fn another_node_or_a_restarted_one_says_clearly_that_it_is_over() {
    let (upstream, calls) = asking(vec![form("q")]).await;
    let first = gateway(&upstream, Bridging::default(), Allow::REMOTE).await;
    let client = first.client("alice");
    let asked = call(&client, &forms(), &json!({})).await.json();
    let answers = json!({ "elicitation-1": { "action": "cancel" } });
    let setup = Setup {
        servers: vec![("fake", upstream.at)],
        data: Some(first.data.clone()),
        public_url: Some(first.public_url.clone()),
        ..Setup::default()
    };
    let again = Gateway::start(setup).await;
    let got = call(&again.client("alice"), &forms(), &back(&asked, answers.clone())).await;
    assert_eq!((got.status.as_u16(), got.code()), (400, -32602), "{got:?}");
    let said = got.json()["error"]["message"].as_str().unwrap().to_owned();
    for part in ["fake", "another node", "restarted", "Make the call again without requestState"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert_eq!(upstream.calls("tools/call").len(), 1);
    // The same when the server's own stream dies under the call.
    drop(calls.lock().unwrap().drain(..));
    soon(async {
        while first.waiting() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let got = call(&client, &forms(), &back(&asked, answers)).await;
    assert_eq!((got.status.as_u16(), got.code()), (400, -32602), "{got:?}");
    assert_eq!(upstream.calls("tools/call").len(), 1);
}

/// spec: BR-50, BR-76, BR-111, BR-119
#[tokio::test]
async fn nobody_is_asked_for_what_they_did_not_declare() {
    // Neither declared by the client, nor allowed by the administrator.
    for (abilities, question, wanted) in [
        (json!({}), form("q"), json!({ "action": "cancel" })),
        (json!({ "elicitation": {} }), sample("q"), Value::Null),
        (json!({ "sampling": {}, "roots": {} }), roots("q"), Value::Null),
        (json!({ "sampling": {}, "roots": {} }), sample("q"), Value::Null),
    ] {
        let (upstream, _) = asking(vec![question]).await;
        let gateway = gateway(&upstream, Bridging::default(), Allow::REMOTE).await;
        let done = call(&gateway.client("alice"), &abilities, &json!({})).await.json();
        let text = done["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{done}"));
        let answers: Vec<Value> = serde_json::from_str(text).unwrap();
        if wanted.is_null() {
            assert_eq!(answers[0]["error"]["code"], -32601, "{answers:?}");
        } else {
            assert_eq!(answers[0]["result"], wanted);
        }
        assert_eq!(gateway.counts().of(Reason::Undeclared), 1);
        let declared = upstream.calls("initialize").pop().unwrap().body["params"]["capabilities"].clone();
        assert!(declared.get("sampling").is_none() && declared.get("roots").is_none(), "{declared}");
    }
}

/// spec: BR-50, TR-57
#[tokio::test]
async fn a_call_that_fails_for_want_of_a_capability_names_it() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.rpc() == "tools/call").then(|| {
            let failed =
                json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": { "code": -32603, "message": "no model" } });
            Reply::events(&[sample("q"), failed], After::End)
        })
    })
    .await;
    let gateway = gateway(&upstream, Bridging::default(), ALL).await;
    let got = call(&gateway.client("alice"), &forms(), &json!({})).await;
    assert_eq!((got.status.as_u16(), got.code()), (400, -32021), "{got:?}");
    assert_eq!(got.json()["error"]["data"]["requiredCapabilities"], json!({ "sampling": {} }));
}

/// spec: BR-51, BR-110
#[tokio::test]
async fn what_a_server_asks_out_of_turn_is_refused_and_a_ping_answered() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.rpc() == "tools/list").then(|| {
            let ping = json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" });
            let listed = seen.result(json!({ "tools": [] }));
            Reply::events(&[form("q"), ping, listed], After::End)
        })
    })
    .await;
    let gateway = gateway(&upstream, Bridging::default(), ALL).await;
    let client = gateway.client("alice");
    let (headers, mut body) = modern("tools/list", json!({}));
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = everything();
    let got = soon(client.post(&borrowed(&headers), &body)).await;
    assert_eq!(got.json()["result"]["resultType"], "complete", "{got:?}");
    let answers = soon(async {
        loop {
            let answers: Vec<_> = upstream.seen().into_iter().filter(|seen| seen.body["id"].is_string()).collect();
            if answers.len() >= 2 {
                return answers;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let of = |id: &str| answers.iter().find(|seen| seen.body["id"] == id).unwrap().body.clone();
    assert_eq!((&of("q")["error"]["code"], &of("p")["result"]), (&json!(-32601), &json!({})));
    assert!(gateway.counts().of(Reason::Unsolicited) >= 1);
    assert_eq!(client.modern("tools/list", json!({})).await.status, 200, "the session lives");
}

/// spec: BR-52, BR-53
#[tokio::test]
async fn a_page_that_has_to_be_opened_first_is_asked_for_and_the_call_made_again() {
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let opened = done.clone();
    let upstream = Upstream::with(Speaks::Legacy, move |seen| {
        if seen.rpc() != "tools/call" || opened.load(std::sync::atomic::Ordering::SeqCst) {
            return None;
        }
        let page =
            json!({ "mode": "url", "elicitationId": "e1", "url": "https://example.com/p", "message": "Sign in" });
        let error = json!({ "code": -32042, "message": "first", "data": { "elicitations": [page] } });
        Some(Reply::json(200, &json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": error })))
    })
    .await;
    let gateway = gateway(&upstream, Bridging::default(), Allow::REMOTE).await;
    let client = gateway.client("alice");
    let urls = json!({ "elicitation": { "url": {} } });
    let asked = call(&client, &urls, &json!({})).await.json();
    let params = json!({ "mode": "url", "url": "https://example.com/p", "message": "fake: Sign in" });
    assert_eq!(
        asked["result"]["inputRequests"],
        json!({ "page-1": { "method": "elicitation/create", "params": params } })
    );
    let lacking = call(&client, &forms(), &json!({})).await;
    assert_eq!((lacking.status.as_u16(), lacking.code()), (400, -32021));
    assert_eq!(lacking.json()["error"]["data"]["requiredCapabilities"], json!({ "elicitation": { "url": {} } }));
    // The client says that its person has gone there; a moment later they are done.
    let before = upstream.calls("tools/call").len();
    let again = json!({ "inputResponses": { "page-1": { "action": "accept" } } });
    let (got, ()) = tokio::join!(call(&client, &urls, &again), async {
        seen_to_end(&upstream, "tools/call", before + 1).await;
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    assert_eq!(got.json()["result"]["content"][0]["text"], "done", "{got:?}");
    assert!(upstream.calls("tools/call").iter().all(|seen| seen.body["params"].get("inputResponses").is_none()));
}

/// spec: BR-45, T-64
#[tokio::test]
async fn each_of_two_calls_is_asked_its_own_question_and_there_are_not_too_many_of_them() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        (seen.rpc() == "tools/call").then(|| {
            let mut question = form("same-id");
            question["params"]["message"] = seen.body["params"]["arguments"]["say"].clone();
            Reply::events(&[question], After::Hang)
        })
    })
    .await;
    let bridging = Bridging { parked: 2, ..Bridging::default() };
    let gateway = gateway(&upstream, bridging, Allow::REMOTE).await;
    let client = gateway.client("alice");
    let forms = forms();
    let say = async |text: &str| {
        let more = json!({ "arguments": { "say": text } });
        call(&client, &forms, &more).await.json()
    };
    let (one, two) = tokio::join!(say("one"), say("two"));
    let message = |asked: &Value| asked["result"]["inputRequests"]["elicitation-1"]["params"]["message"].clone();
    assert_eq!((message(&one), message(&two)), (json!("fake: one"), json!("fake: two")));
    let third = say("three").await;
    assert_eq!(third["error"]["code"], -32603, "{third}");
    assert!(third["error"]["message"].as_str().unwrap().contains("wait for input"), "{third}");
    seen_to_end(&upstream, "notifications/cancelled", 1).await;
    assert_eq!(gateway.counts().of(Reason::TooManyParked), 1);
    let bob = gateway.client("bob");
    let other = call(&bob, &forms, &json!({ "arguments": { "say": "bob" } })).await.json();
    assert_eq!(other["result"]["resultType"], "input_required", "one person's calls are not another's: {other}");
}

/// A form with one field.
fn asking_for(id: &str, field: &str) -> Value {
    let mut question = form(id);
    question["params"]["requestedSchema"]["properties"] = json!({ field: { "type": "string" } });
    question
}

fn page(id: &str, url: &str) -> Value {
    let params = json!({ "mode": "url", "message": "Open", "url": url, "elicitationId": "e" });
    json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params })
}

/// What the server was answered, as it says in the end.
fn answers(done: &Value) -> Vec<Value> {
    let text = done["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{done}"));
    serde_json::from_str(text).unwrap()
}

/// spec: T-64, T-14, BR-50
#[tokio::test]
async fn what_may_not_be_asked_is_answered_at_once_and_the_call_goes_on() {
    let mut large = form("large");
    large["params"]["message"] = "x".repeat(300_000).into();
    for (question, cancelled) in [
        (asking_for("q", "api_key"), true),
        (page("q", "javascript:alert(1)"), true),
        (page("q", "http://example.com/p"), true),
        (large, false),
    ] {
        let (upstream, _) = asking(vec![question.clone()]).await;
        let gateway = gateway(&upstream, Bridging::default(), ALL).await;
        let done = call(&gateway.client("alice"), &everything(), &json!({})).await.json();
        let answer = answers(&done).remove(0);
        if cancelled {
            assert_eq!(answer["result"], json!({ "action": "cancel" }), "{question}");
        } else {
            assert_eq!(answer["error"]["code"], -32602, "{question}");
        }
        assert_eq!(gateway.waiting(), 0, "nothing waits for what nobody is asked");
        assert_eq!(gateway.counts().of(Reason::Blocked), 1);
    }
    // The same for an older client, and what it may be asked it is asked.
    let (upstream, _) = asking(vec![asking_for("q", "password"), form("r")]).await;
    let gateway = gateway(&upstream, Bridging::default(), ALL).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-06-18").await;
    let mut stream = streamed(&client, &session, &crate::harness::call(1, "asks")).await;
    let question = asked(&mut stream).await;
    assert_eq!(question["params"]["message"], "fake: Who?", "{question}");
    reply(&client, &session, &question["id"], json!({ "action": "decline" })).await;
    let told = answers(&answer(&mut stream).await);
    assert_eq!(
        (&told[0]["result"], &told[1]["result"]),
        (&json!({ "action": "cancel" }), &json!({ "action": "decline" }))
    );
}

/// spec: BR-111
#[tokio::test]
async fn a_call_that_fails_for_what_may_not_be_asked_says_so() {
    let upstream = Upstream::with(Speaks::Legacy, |seen| {
        if seen.rpc() == "initialize" {
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} } });
            return Some(Reply::json(200, &seen.result(result)).with("mcp-session-id", "upstream-session"));
        }
        (seen.rpc() == "tools/call").then(|| {
            let failed =
                json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": { "code": -32603, "message": "no model" } });
            Reply::events(&[sample("q"), failed], After::End)
        })
    })
    .await;
    let gateway = gateway(&upstream, Bridging::default(), Allow::REMOTE).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-06-18").await;
    let modern = call(&client, &everything(), &json!({})).await;
    let older = soon(client.within(&session, &crate::harness::call(1, "asks"))).await;
    for got in [modern, older] {
        assert_eq!((got.status.as_u16(), got.code()), (200, -32602), "{got:?}");
        let said = got.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(said.contains("fake") && said.contains("`allow`") && said.contains("no model"), "{said}");
    }
}

/// spec: BR-31, BR-7, BR-34
#[tokio::test]
async fn a_call_that_nobody_in_this_process_follows_any_more_waits_no_longer() {
    let (upstream, _) = asking(vec![sample("q")]).await;
    let gateway = gateway(&upstream, Bridging::default(), ALL).await;
    let client = gateway.client("alice");
    let session = able(&client, "2025-06-18").await;
    // Its client has no answer; or it gives the call up.
    for (count, id) in [(1, "refuses"), (2, "cancels")] {
        let mut stream = streamed(&client, &session, &crate::harness::call(id, "asks")).await;
        let question = asked(&mut stream).await;
        assert_eq!(gateway.waiting(), 1);
        let said = if id == "refuses" {
            json!({ "jsonrpc": "2.0", "id": question["id"], "error": { "code": -1, "message": "no" } })
        } else {
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
        };
        assert_eq!(client.within(&session, &said).await.status, 202);
        seen_to_end(&upstream, "notifications/cancelled", count).await;
        let made = upstream.calls("tools/call").pop().unwrap();
        let given_up = upstream.calls("notifications/cancelled").pop().unwrap();
        assert_eq!(given_up.body["params"]["requestId"], made.body["id"]);
        soon(async {
            while gateway.waiting() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// spec: T-65, BR-46, BR-62
#[tokio::test]
async fn who_may_not_go_on_yet_can_come_back_with_the_same_state() {
    let (upstream, _) = asking(vec![form("q")]).await;
    let gateway = gateway(&upstream, Bridging::default(), Allow::REMOTE).await;
    let client = gateway.client("alice");
    let asked = call(&client, &forms(), &json!({})).await.json();
    let answers = back(&asked, json!({ "elicitation-1": { "action": "decline" } }));
    let rules = "- { rule: not-now, who: '*', what: fake/asks, then: deny }\n";
    let other = Arc::new(Bundle::load(&[Source { name: "rules", text: rules }]).unwrap());
    let mut before = None;
    gateway.change(|snapshot| before = Some(std::mem::replace(&mut snapshot.bundle, other)));
    let denied = call(&client, &forms(), &answers).await.json();
    assert!(denied["error"]["message"].as_str().unwrap().contains("not-now"), "{denied}");
    gateway.change(|snapshot| snapshot.bundle = before.unwrap());
    let done = call(&client, &forms(), &answers).await.json();
    assert_eq!(done["result"]["resultType"], "complete", "{done}");
    assert_eq!(call(&client, &forms(), &answers).await.code(), -32602, "once");
    assert_eq!(upstream.calls("tools/call").len(), 1);
}
