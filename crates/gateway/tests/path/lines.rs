//! Servers behind lines, of either era, as a client of 2026-07-28 sees them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use portcullis_base::{PersonId, ServerName, SessionId};
use portcullis_gateway::{
    config::Allow,
    upstream::{
        Adapter, AnswerBody, Conversation, Credential, For, LineAdapter, UpstreamError,
        line::{Ended, Far, Line, Lines, Sharing, Whose},
    },
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    bridged::bounds,
    parked::{back, form, forms, sample},
    upstream::soon,
};
use portcullis_gateway::upstream::Bridging;

/// What a server does when it hears a message, on the line of this number.
type Behaviour = dyn Fn(&Value, usize) -> Act + Send + Sync;

enum Act {
    Say(Vec<Value>),
    End,
}

/// Lines to servers that are played.
struct Played {
    behaviour: Arc<Behaviour>,
    sharing: Sharing,
    heard: Arc<Mutex<Vec<(usize, Value)>>>,
    opened: AtomicUsize,
    whose: Mutex<Vec<Whose>>,
    mouths: Arc<Mutex<Vec<mpsc::UnboundedSender<Value>>>>,
    live: Arc<AtomicUsize>,
}

impl Played {
    fn new(sharing: Sharing, behaviour: impl Fn(&Value, usize) -> Act + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            behaviour: Arc::new(behaviour),
            sharing,
            heard: Arc::default(),
            opened: AtomicUsize::new(0),
            whose: Mutex::default(),
            mouths: Arc::default(),
            live: Arc::default(),
        })
    }

    fn heard(&self, method: &str) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|(_, message)| message["method"] == method).map(|(_, message)| message.clone()).collect()
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// Says something on the line of this number, out of turn.
    fn say(&self, line: usize, message: Value) {
        self.mouths.lock().unwrap()[line].send(message).unwrap();
    }

    async fn until_heard(&self, method: &str, count: usize) {
        soon(async {
            while self.heard(method).len() < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Lines for Played {
    fn open<'a>(&'a self, whose: &'a Whose) -> BoxFuture<'a, Result<Line, UpstreamError>> {
        Box::pin(async move {
            let number = self.opened.fetch_add(1, Ordering::SeqCst);
            self.whose.lock().unwrap().push(whose.clone());
            let (line, far) = Line::new();
            let (mouth, words) = mpsc::unbounded_channel();
            self.mouths.lock().unwrap().push(mouth);
            let (behaviour, heard, live) = (self.behaviour.clone(), self.heard.clone(), self.live.clone());
            live.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                play(far, words, number, &*behaviour, &heard).await;
                live.fetch_sub(1, Ordering::SeqCst);
            });
            Ok(line)
        })
    }

    fn sharing(&self) -> Sharing {
        self.sharing
    }
}

async fn play(
    mut far: Far,
    mut words: mpsc::UnboundedReceiver<Value>,
    number: usize,
    behaviour: &Behaviour,
    heard: &Mutex<Vec<(usize, Value)>>,
) {
    loop {
        tokio::select! {
            message = far.hear() => {
                let Some(message) = message else { return };
                let message: Value = serde_json::from_str(&message).unwrap();
                let act = behaviour(&message, number);
                heard.lock().unwrap().push((number, message));
                match act {
                    Act::Say(replies) => {
                        for reply in replies {
                            let _ = far.say(reply.to_string().into()).await;
                        }
                    }
                    Act::End => return far.end(Ended::Broke("it was killed".into())),
                }
            }
            word = words.recv() => {
                let _ = far.say(word.unwrap().to_string().into()).await;
            }
        }
    }
}

fn result(message: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })
}

fn refused(message: &Value, code: i64) -> Value {
    json!({ "jsonrpc": "2.0", "id": message["id"], "error": { "code": code, "message": "no" } })
}

/// A legacy server; `more` says what it does with other messages than those that open a session.
fn legacy(message: &Value, more: impl FnOnce() -> Vec<Value>) -> Act {
    Act::Say(match message["method"].as_str() {
        Some("server/discover") => vec![refused(message, -32601)],
        Some("initialize") => {
            let capabilities =
                json!({ "tools": { "listChanged": true }, "resources": { "subscribe": true }, "logging": {} });
            vec![result(
                message,
                json!({ "protocolVersion": "2025-06-18", "capabilities": capabilities,
                "serverInfo": { "name": "played", "version": "1" } }),
            )]
        }
        Some("notifications/initialized") => Vec::new(),
        Some("logging/setLevel" | "resources/subscribe" | "resources/unsubscribe") => vec![result(message, json!({}))],
        _ => more(),
    })
}

fn adapter(lines: &Arc<Played>, bridging: Bridging) -> Arc<LineAdapter> {
    let name = ServerName::parse("fake").unwrap();
    Arc::new(LineAdapter::new(name, lines.clone(), bounds(bridging), Allow::LOCAL))
}

fn request(
    person: &str,
    conversation: Option<&str>,
    method: &str,
    abilities: &Value,
    mut params: Value,
) -> Request<Bytes> {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = abilities.clone();
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
    let mut request = Request::new(Bytes::from(body));
    request.extensions_mut().insert(For(PersonId::new(person)));
    if let Some(conversation) = conversation {
        request.extensions_mut().insert(Conversation(SessionId::new(conversation)));
    }
    request
}

async fn ask(
    adapter: &Arc<LineAdapter>,
    person: &str,
    method: &str,
    abilities: &Value,
    params: Value,
) -> (StatusCode, Value) {
    ask_in(adapter, person, None, method, abilities, params).await
}

async fn ask_in(
    adapter: &Arc<LineAdapter>,
    person: &str,
    conversation: Option<&str>,
    method: &str,
    abilities: &Value,
    params: Value,
) -> (StatusCode, Value) {
    let request = request(person, conversation, method, abilities, params);
    let response = soon(adapter.clone().serve(request, Credential::none())).await.unwrap();
    let status = response.status();
    let bytes = soon(response.into_body().collect()).await.unwrap().to_bytes();
    let text = std::str::from_utf8(&bytes).unwrap();
    let last = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap_or(text);
    (status, serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {text}")))
}

/// An answer by events, one after the other.
struct Events(AnswerBody, String);

impl Events {
    async fn of(adapter: &Arc<LineAdapter>, person: &str, method: &str, params: Value) -> Self {
        let request = request(person, None, method, &json!({}), params);
        let response = soon(adapter.clone().serve(request, Credential::none())).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(response.into_body(), String::new())
    }

    async fn next(&mut self) -> Option<Value> {
        soon(async {
            loop {
                if let Some((event, rest)) = self.1.split_once("\n\n") {
                    let data = event.strip_prefix("data: ").map(|data| serde_json::from_str(data).unwrap());
                    self.1 = rest.into();
                    return data;
                }
                let frame = self.0.frame().await?.unwrap();
                self.1.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
        })
        .await
    }
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "arguments": {} })
}

/// spec: TR-153, TR-160, TR-161, BR-40, BR-58
#[tokio::test]
async fn an_old_child_serves_many_calls_of_its_person_and_ends_when_nobody_needs_it() {
    let lines = Played::new(Sharing::Person, |message, number| {
        legacy(message, || {
            vec![result(message, json!({ "content": [{ "type": "text", "text": format!("line {number}") }] }))]
        })
    });
    let adapter = adapter(&lines, Bridging { idle: Duration::from_millis(200), ..Bridging::default() });
    let call = async |person: &str| {
        let (status, got) = ask(&adapter, person, "tools/call", &json!({}), tool("x")).await;
        assert_eq!((status.as_u16(), &got["id"]), (200, &json!(7)), "{got}");
        got["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let alices = call("alice").await;
    assert_eq!(call("alice").await, alices);
    assert_ne!(call("bob").await, alices);
    assert_eq!((lines.opened(), lines.heard("server/discover").len()), (2, 1), "what it speaks is asked once");
    let (_, found) = ask(&adapter, "alice", "server/discover", &json!({}), json!({})).await;
    assert_eq!(found["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "played");
    soon(async {
        while lines.live.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_ne!(call("alice").await, alices, "a new one is started on demand");
}

/// spec: TR-161
#[tokio::test]
async fn who_may_be_on_one_line_together_is_what_the_settings_say() {
    for (sharing, expected) in [(Sharing::Shared, 1), (Sharing::Person, 2), (Sharing::Session, 4)] {
        let lines =
            Played::new(sharing, |message, _| legacy(message, || vec![result(message, json!({ "content": [] }))]));
        let adapter = adapter(&lines, Bridging::default());
        for person in ["alice", "bob"] {
            for conversation in ["one", "two"] {
                ask_in(&adapter, person, Some(conversation), "tools/call", &json!({}), tool("x")).await;
            }
        }
        assert_eq!(lines.opened(), expected, "{sharing:?}");
    }
}

/// spec: BR-45, BR-44, BR-46
#[tokio::test]
async fn two_calls_that_ask_do_so_on_lines_of_their_own() {
    let calls: Arc<Mutex<Vec<Value>>> = Arc::default();
    let lines = Played::new(Sharing::Person, move |message, number| {
        legacy(message, || match message["method"].as_str() {
            Some("tools/call") => {
                let mut calls = calls.lock().unwrap();
                let length = calls.len().max(number + 1);
                calls.resize(length, Value::Null);
                calls[number] = message.clone();
                let mut question = form("q");
                question["params"]["message"] = message["params"]["name"].clone();
                vec![question]
            }
            None => {
                let text = format!("{} on {number}", message["result"]["content"]["name"]);
                vec![result(&calls.lock().unwrap()[number], json!({ "content": [{ "type": "text", "text": text }] }))]
            }
            _ => Vec::new(),
        })
    });
    let adapter = adapter(&lines, Bridging::default());
    let forms = forms();
    let ((_, one), (_, two)) = tokio::join!(
        ask(&adapter, "alice", "tools/call", &forms, tool("one")),
        ask(&adapter, "alice", "tools/call", &forms, tool("two"))
    );
    let asked = |got: &Value| got["result"]["inputRequests"]["elicitation-1"]["params"]["message"].clone();
    assert_eq!((asked(&one), asked(&two)), (json!("fake: one"), json!("fake: two")), "{one} {two}");
    assert_eq!(lines.opened(), 2);
    let mut texts = Vec::new();
    for (got, name) in [(&two, "second"), (&one, "first")] {
        let accept = json!({ "elicitation-1": { "action": "accept", "content": { "name": name } } });
        let mut params = back(got, accept);
        params["name"] = "x".into();
        let (_, done) = ask(&adapter, "alice", "tools/call", &forms, params).await;
        texts.push(done["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{done}")).to_owned());
    }
    assert!(
        texts[0].starts_with("\"second\"") && texts[1].starts_with("\"first\"") && texts[0][8..] != texts[1][7..],
        "{texts:?}"
    );
    assert_eq!(lines.heard("tools/call").len(), 2);
}

/// spec: BR-40, BR-45
#[tokio::test]
async fn what_is_asked_after_a_call_is_asked_where_the_call_was_made() {
    let lines = Played::new(Sharing::Person, |message, number| {
        legacy(message, || match message["method"].as_str() {
            Some("tools/call") if message["params"]["name"] == "asks" => vec![form("q")],
            Some("tools/call") => vec![result(message, json!({ "content": [] }))],
            Some("tools/list") => vec![result(message, json!({ "tools": [{ "name": format!("on-{number}") }] }))],
            _ => Vec::new(),
        })
    });
    let adapter = adapter(&lines, Bridging::default());
    let listed = async || {
        let (_, listed) = ask(&adapter, "alice", "tools/list", &forms(), json!({})).await;
        listed["result"]["tools"][0]["name"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned()
    };
    assert_eq!(listed().await, "on-0");
    // The first process waits for somebody who may never come back; the next call is made in another one.
    let (_, asked) = ask(&adapter, "alice", "tools/call", &forms(), tool("asks")).await;
    assert_eq!(asked["result"]["resultType"], "input_required");
    assert_eq!(listed().await, "on-0");
    ask(&adapter, "alice", "tools/call", &forms(), tool("x")).await;
    assert_eq!((listed().await, lines.opened()), ("on-1".to_owned(), 2));
}

/// spec: BR-51, BR-74, BR-57, TR-159
#[tokio::test]
async fn what_belongs_to_nobody_is_refused_and_a_dead_line_ends_its_calls_only() {
    let lines = Played::new(Sharing::Person, |message, number| {
        if message["method"] == "tools/call" && message["params"]["name"] == "dies" {
            return Act::End;
        }
        legacy(message, || match message["method"].as_str() {
            Some("tools/call") if message["params"]["name"] == "asks" => vec![form("q")],
            Some("tools/call") => {
                vec![result(message, json!({ "content": [{ "type": "text", "text": number.to_string() }] }))]
            }
            _ => Vec::new(),
        })
    });
    let adapter = adapter(&lines, Bridging::default());
    let (_, got) = ask(&adapter, "alice", "tools/call", &forms(), tool("x")).await;
    assert_eq!(got["result"]["content"][0]["text"], "0");
    lines.say(0, sample("out-of-turn"));
    lines.say(0, json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" }));
    lines.say(0, json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "error", "data": "whose?" } }));
    soon(async {
        loop {
            let answers: Vec<_> =
                lines.heard.lock().unwrap().iter().filter(|(_, said)| said["id"].is_string()).cloned().collect();
            if answers.len() == 2 {
                assert_eq!((&answers[0].1["error"]["code"], &answers[1].1["result"]), (&json!(-32601), &json!({})));
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    // One waits for its person while another kills the line that it is on alone.
    let (_, asked) = ask(&adapter, "alice", "tools/call", &forms(), tool("asks")).await;
    assert_eq!(asked["result"]["resultType"], "input_required");
    let died = adapter.clone().serve(request("alice", None, "tools/call", &forms(), tool("dies")), Credential::none());
    assert!(matches!(soon(died).await, Err(UpstreamError::Ended(Ended::Broke(_)))));
    assert_eq!(lines.heard("tools/call").len(), 3, "a call that may have been made is not made again");
    let (_, got) = ask(&adapter, "alice", "tools/call", &json!({}), tool("x")).await;
    assert_eq!(got["result"]["resultType"], "complete", "{got}");
}

/// spec: BR-7, TR-155, BR-73
#[tokio::test]
async fn a_call_that_nobody_wants_any_more_is_cancelled_by_its_own_id() {
    let lines = Played::new(Sharing::Person, |message, _| {
        legacy(message, || {
            let token = &message["params"]["_meta"]["progressToken"];
            if token.is_null() {
                return Vec::new();
            }
            let told = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "method": method, "params": params });
            vec![
                told("notifications/message", json!({ "level": "info", "data": "light" })),
                told("notifications/message", json!({ "level": "alert", "data": "grave" })),
                told("notifications/progress", json!({ "progressToken": token, "progress": 1 })),
            ]
        })
    });
    let adapter = adapter(&lines, Bridging::default());
    let mut params = tool("x");
    params["_meta"] = json!({ "progressToken": "mine", "io.modelcontextprotocol/logLevel": "warning" });
    let mut events = Events::of(&adapter, "alice", "tools/call", params).await;
    assert_eq!(events.next().await.unwrap()["params"]["data"], "grave");
    assert_eq!(events.next().await.unwrap()["params"]["progressToken"], "mine");
    drop(events);
    lines.until_heard("notifications/cancelled", 1).await;
    assert_eq!(lines.heard("notifications/cancelled")[0]["params"]["requestId"], lines.heard("tools/call")[0]["id"]);
    assert_eq!(lines.heard("logging/setLevel")[0]["params"]["level"], "warning");
}

/// spec: BR-42, BR-79, TR-65, TR-66, TR-68
#[tokio::test]
async fn those_who_listen_hear_the_same_and_the_last_one_gives_up_the_resource() {
    let lines = Played::new(Sharing::Person, |message, _| legacy(message, Vec::new));
    let adapter = adapter(&lines, Bridging::default());
    let wants = json!({ "notifications": { "toolsListChanged": true, "promptsListChanged": true,
        "resourceSubscriptions": ["x:one"] } });
    let mut first = Events::of(&adapter, "alice", "subscriptions/listen", wants.clone()).await;
    let mut second = Events::of(&adapter, "alice", "subscriptions/listen", wants).await;
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": 7 });
    for events in [&mut first, &mut second] {
        let acknowledged = events.next().await.unwrap();
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
        // Of prompts this server says nothing.
        let honoured = json!({ "toolsListChanged": true, "resourceSubscriptions": ["x:one"] });
        assert_eq!((&acknowledged["params"]["notifications"], &acknowledged["params"]["_meta"]), (&honoured, &meta));
    }
    let told = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "method": method, "params": params });
    lines.say(0, told("notifications/prompts/list_changed", json!({})));
    lines.say(0, told("notifications/resources/updated", json!({ "uri": "x:two" })));
    lines.say(0, told("notifications/resources/updated", json!({ "uri": "x:one", "_meta": { "vendor/x": 1 } })));
    lines.say(0, json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
    for events in [&mut first, &mut second] {
        let updated = events.next().await.unwrap();
        assert_eq!(
            (&updated["method"], &updated["params"]["uri"]),
            (&json!("notifications/resources/updated"), &json!("x:one"))
        );
        assert_eq!(updated["params"]["_meta"], json!({ "vendor/x": 1, "io.modelcontextprotocol/subscriptionId": 7 }));
        let changed = events.next().await.unwrap();
        assert_eq!(
            (&changed["method"], &changed["params"]["_meta"]),
            (&json!("notifications/tools/list_changed"), &meta)
        );
    }
    assert_eq!((lines.opened(), lines.heard("resources/subscribe").len()), (1, 1));
    drop(first);
    let (_, listed) = ask(&adapter, "alice", "server/discover", &json!({}), json!({})).await;
    assert_eq!(listed["result"]["capabilities"]["resources"]["subscribe"], true);
    assert!(lines.heard("resources/unsubscribe").is_empty(), "somebody still listens");
    drop(second);
    lines.until_heard("resources/unsubscribe", 1).await;
}

/// spec: BR-40, BR-42, SEC-20, TR-161
#[tokio::test]
async fn those_who_listen_hear_of_every_process_that_is_theirs_and_of_no_other() {
    let told = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "method": method, "params": params });
    let changed = told("notifications/tools/list_changed", json!({}));
    let updated = told("notifications/resources/updated", json!({ "uri": "x:one" }));
    for sharing in [Sharing::Person, Sharing::Session] {
        let lines =
            Played::new(sharing, |message, _| legacy(message, || vec![result(message, json!({ "content": [] }))]));
        let adapter = adapter(&lines, Bridging::default());
        let call = async |person: &str, conversation: Option<&str>, abilities: &Value| {
            ask_in(&adapter, person, conversation, "tools/call", abilities, tool("x")).await;
        };
        // One process is there before anybody listens, others come later; each client can do something else.
        call("alice", None, &forms()).await;
        let wants = json!({ "notifications": { "toolsListChanged": true, "resourceSubscriptions": ["x:one"] } });
        let mut events = Events::of(&adapter, "alice", "subscriptions/listen", wants).await;
        events.next().await.unwrap();
        lines.until_heard("resources/subscribe", 2).await;
        call("alice", None, &json!({ "roots": {} })).await;
        lines.until_heard("resources/subscribe", 3).await;
        assert_eq!(lines.opened(), 3);
        for line in 0..3 {
            lines.say(line, updated.clone());
            let heard = events.next().await.unwrap();
            assert_eq!(heard["method"], "notifications/resources/updated", "{line}");
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": 7 });
            assert_eq!(heard["params"], json!({ "uri": "x:one", "_meta": meta }), "{line}");
        }
        // Another person's, and where each conversation has its own, another conversation's.
        call("bob", None, &forms()).await;
        let mut others = 3..4;
        if sharing == Sharing::Session {
            call("alice", Some("another"), &forms()).await;
            others = 3..5;
        }
        assert_eq!(lines.opened(), others.end);
        for line in others {
            lines.say(line, changed.clone());
            ask_in(&adapter, "bob", None, "tools/call", &forms(), tool("x")).await;
        }
        lines.say(2, updated.clone());
        assert_eq!(events.next().await.unwrap()["method"], "notifications/resources/updated");
        assert_eq!(lines.heard("resources/subscribe").len(), 3);
        drop(events);
        lines.until_heard("resources/unsubscribe", 3).await;
    }
}

/// A server of today; `more` says what it does with other methods.
fn today(message: &Value, more: impl FnOnce() -> Vec<Value>) -> Act {
    Act::Say(match message["method"].as_str() {
        Some("server/discover") => vec![result(
            message,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {} }, "ttlMs": 0, "cacheScope": "private" }),
        )],
        Some("initialize") => vec![refused(message, -32601)],
        _ => more(),
    })
}

/// spec: TR-154, TR-155, TR-156, TR-160, T-49
#[tokio::test]
async fn a_child_of_today_is_spoken_to_in_its_own_words() {
    let lines = Played::new(Sharing::Person, |message, _| {
        today(message, || match message["params"]["name"].as_str() {
            Some("slow") => Vec::new(),
            Some("chatty") => {
                let token = &message["params"]["_meta"]["progressToken"];
                let progress = |token: &Value| json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": 1 } });
                vec![progress(&json!(7)), progress(token)]
            }
            _ => vec![
                sample("a request"),
                result(message, json!({ "resultType": "complete", "content": [], "seen": message["id"] })),
            ],
        })
    });
    let adapter = adapter(&lines, Bridging::default());
    let none = json!({});
    let ((_, one), (_, two)) = tokio::join!(
        ask(&adapter, "alice", "tools/call", &none, tool("x")),
        ask(&adapter, "alice", "tools/call", &none, tool("x"))
    );
    assert_eq!((&one["id"], &two["id"]), (&json!(7), &json!(7)));
    assert_ne!(one["result"]["seen"], two["result"]["seen"]);
    assert_eq!((lines.opened(), lines.heard("initialize").len()), (1, 0));
    let (status, _) = ask(&adapter, "alice", "server/discover", &json!({}), json!({})).await;
    assert_eq!(status, 200);
    let mut params = tool("chatty");
    params["_meta"] = json!({ "progressToken": "tok" });
    let mut events = Events::of(&adapter, "alice", "tools/call", params).await;
    assert_eq!(events.next().await.unwrap()["params"]["progressToken"], "tok");
    drop(events);
    lines.until_heard("notifications/cancelled", 1).await;
    let wire_id = lines.heard("tools/call").last().unwrap()["id"].clone();
    assert_eq!(lines.heard("notifications/cancelled")[0]["params"]["requestId"], wire_id);
    // Nothing but requests and notifications was ever said to it, whatever it asked.
    let heard = lines.heard.lock().unwrap();
    assert!(heard.iter().all(|(_, message)| message["method"].is_string()), "{heard:?}");
}

/// spec: TR-156, TR-157, TR-159, TR-137
#[tokio::test]
async fn a_subscription_outlives_the_process_and_ends_by_either_word() {
    let lines = Played::new(Sharing::Person, |message, number| {
        if message["params"]["name"] == "dies" || (message["method"] == "tools/list" && number == 0) {
            return Act::End;
        }
        today(message, || match message["method"].as_str() {
            Some("subscriptions/listen") => {
                let meta = json!({ "io.modelcontextprotocol/subscriptionId": message["id"] });
                let params = json!({ "notifications": { "toolsListChanged": true }, "_meta": meta });
                vec![
                    json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params }),
                ]
            }
            Some("tools/list") => vec![result(message, json!({ "resultType": "complete", "tools": [] }))],
            _ => Vec::new(),
        })
    });
    let adapter = adapter(&lines, Bridging::default());
    let wants = json!({ "notifications": { "toolsListChanged": true } });
    let mut events = Events::of(&adapter, "alice", "subscriptions/listen", wants.clone()).await;
    assert_eq!(events.next().await.unwrap()["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    // A list is asked for again on a new line; the subscription is made again without a word to the client.
    let (_, listed) = ask(&adapter, "alice", "tools/list", &json!({}), json!({})).await;
    assert_eq!(listed["result"]["tools"], json!([]));
    lines.until_heard("subscriptions/listen", 2).await;
    let changed = |id: &Value| {
        let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
        json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": { "_meta": meta } })
    };
    let id = lines.heard("subscriptions/listen")[1]["id"].clone();
    lines.say(1, changed(&json!(7)));
    lines.say(1, changed(&id));
    let heard = events.next().await.unwrap();
    assert_eq!(
        (&heard["method"], &heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]),
        (&json!("notifications/tools/list_changed"), &json!(7))
    );
    // A call is not made twice.
    let died = adapter.clone().serve(request("bob", None, "tools/call", &json!({}), tool("dies")), Credential::none());
    assert!(soon(died).await.is_err());
    assert_eq!(lines.heard("tools/call").len(), 1);
    lines.say(1, json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } }));
    let end = events.next().await.unwrap();
    assert_eq!((&end["id"], &end["result"]["resultType"]), (&json!(7), &json!("complete")));
    assert_eq!(events.next().await, None);
    let mut events = Events::of(&adapter, "alice", "subscriptions/listen", wants).await;
    events.next().await.unwrap();
    let id = lines.heard("subscriptions/listen")[2]["id"].clone();
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
    lines.say(1, json!({ "jsonrpc": "2.0", "id": id, "result": { "resultType": "complete", "_meta": meta } }));
    let end = events.next().await.unwrap();
    assert_eq!(end["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
}

/// spec: TR-153
#[tokio::test]
async fn an_error_that_only_todays_servers_know_makes_a_child_one_of_them() {
    for (code, data, modern) in [
        (-32021, json!({}), true),
        (-32022, json!({ "supported": ["2026-07-28"] }), true),
        (-32022, json!({ "supported": ["2025-11-25"] }), false),
        (-32602, json!({}), false),
        (-32000, json!({}), false),
    ] {
        let lines = Played::new(Sharing::Person, move |message, _| match message["method"].as_str() {
            Some("server/discover") => {
                let error = json!({ "code": code, "message": "no", "data": data });
                Act::Say(vec![json!({ "jsonrpc": "2.0", "id": message["id"], "error": error })])
            }
            _ => legacy(message, || vec![result(message, json!({ "content": [] }))]),
        });
        let adapter = adapter(&lines, Bridging::default());
        ask(&adapter, "alice", "tools/call", &json!({}), tool("x")).await;
        assert_eq!(lines.heard("initialize").is_empty(), modern, "{code}");
        assert_eq!(lines.opened(), 1);
    }
}

/// spec: TR-153, TR-125
#[tokio::test]
async fn a_child_that_says_nothing_to_what_it_does_not_know_is_an_old_one() {
    let done = |message: &Value| vec![result(message, json!({ "resultType": "complete", "content": [] }))];
    let old = Played::new(Sharing::Person, move |message, _| match message["method"].as_str() {
        Some("server/discover") => Act::Say(Vec::new()),
        _ => legacy(message, || done(message)),
    });
    // Not every one that says nothing is old: this one is slow to begin.
    let slow = Played::new(Sharing::Person, move |message, number| match message["method"].as_str() {
        Some("server/discover") if number == 0 => Act::Say(Vec::new()),
        _ => today(message, || done(message)),
    });
    let (first, second) = (adapter(&old, Bridging::default()), adapter(&slow, Bridging::default()));
    let call = async |adapter: &Arc<LineAdapter>| {
        let request = request("alice", None, "tools/call", &json!({}), tool("x"));
        let answered = adapter.clone().serve(request, Credential::none());
        tokio::time::timeout(Duration::from_mins(1), answered).await.unwrap()
    };
    let (one, two) = tokio::join!(call(&first), call(&second));
    assert_eq!(one.unwrap().status(), 200);
    assert_eq!((old.opened(), old.heard("initialize").len(), old.heard("server/discover").len()), (1, 1, 1));
    // What it says too late is not taken for anything.
    old.say(0, result(&json!({ "id": 0 }), json!({ "supportedVersions": ["2026-07-28"] })));
    assert_eq!(call(&first).await.unwrap().status(), 200);
    assert_eq!((old.opened(), old.heard("server/discover").len(), old.heard("tools/call").len()), (1, 1, 2));
    assert!(matches!(two, Err(UpstreamError::Unusable(_))));
    assert_eq!(call(&second).await.unwrap().status(), 200, "it is asked once more what it speaks");
    assert_eq!(slow.heard("server/discover").len(), 2);
}

/// spec: BR-58
#[tokio::test]
async fn the_session_that_was_not_used_for_longest_makes_room() {
    let lines = Played::new(Sharing::Session, |message, number| {
        legacy(message, || {
            vec![result(message, json!({ "content": [{ "type": "text", "text": number.to_string() }] }))]
        })
    });
    let adapter = adapter(&lines, Bridging::default());
    let call = async |person: &str, conversation: usize| {
        let conversation = conversation.to_string();
        let (_, got) = ask_in(&adapter, person, Some(&conversation), "tools/call", &json!({}), tool("x")).await;
        got["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{got}")).to_owned()
    };
    assert_eq!(call("bob", 0).await, "0");
    for conversation in 0..40 {
        assert_eq!(call("alice", conversation).await, (conversation + 1).to_string());
    }
    soon(async {
        while lines.live.load(Ordering::SeqCst) > 33 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(lines.live.load(Ordering::SeqCst), 33, "32 of one person, and one of another");
    assert_eq!(
        (call("bob", 0).await, call("alice", 39).await, call("alice", 8).await),
        ("0".into(), "40".into(), "9".into())
    );
    assert_eq!(call("alice", 0).await, "41");
}

/// spec: BR-58
#[tokio::test]
async fn sessions_that_wait_for_their_person_are_not_taken_away() {
    let lines = Played::new(Sharing::Session, |message, _| legacy(message, || vec![form("q")]));
    let adapter = adapter(&lines, Bridging { sessions: 2, ..Bridging::default() });
    for conversation in ["one", "two"] {
        let (_, asked) = ask_in(&adapter, "alice", Some(conversation), "tools/call", &forms(), tool("x")).await;
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    }
    let third = request("alice", Some("three"), "tools/call", &forms(), tool("x"));
    assert!(matches!(soon(adapter.clone().serve(third, Credential::none())).await, Err(UpstreamError::Busy)));
    assert_eq!(lines.opened(), 2);
    let (_, asked) = ask_in(&adapter, "bob", Some("one"), "tools/call", &forms(), tool("x")).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "one person's sessions are not another's: {asked}");
}
