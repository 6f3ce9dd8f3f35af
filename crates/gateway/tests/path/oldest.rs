//! Servers of HTTP+SSE of 2024-11-05, as a client of 2026-07-28 sees them.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use http::Method;
use portcullis_gateway::upstream::{Credential, Reason, Transport};
use portcullis_mcp::Version;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    discovery::asked,
    harness::Gateway,
    parked::{back, call, form, forms, sample},
    upstream::{Reply, Seen, Speaks, Upstream, event, saying, soon},
};

/// What such a server does with a message.
enum Act {
    /// Takes it, and says these on the stream.
    Say(Vec<Value>),
    /// Takes it, and says this on the stream, as it is.
    Write(String),
    /// Does not take it.
    Refuse(u16),
    /// Takes it, and ends the stream.
    End,
}

/// The mouths of its streams, in the order of their opening.
type Mouths = Arc<Mutex<Vec<Option<mpsc::UnboundedSender<String>>>>>;

/// A server whose streams name the addresses `endpoint` makes of their numbers.
struct Oldest {
    upstream: Upstream,
    mouths: Mouths,
}

impl Oldest {
    async fn start(act: impl Fn(&Seen) -> Option<Act> + Send + Sync + 'static) -> Self {
        Self::with(|number| format!("/messages?session={number}"), act).await
    }

    async fn with(
        endpoint: impl Fn(usize) -> String + Send + Sync + 'static,
        act: impl Fn(&Seen) -> Option<Act> + Send + Sync + 'static,
    ) -> Self {
        let mouths = Mouths::default();
        let open = mouths.clone();
        let upstream = Upstream::with(Speaks::Legacy, move |seen| {
            if seen.method == Method::GET {
                let (mouth, after) = saying();
                let mut open = open.lock().unwrap();
                mouth.send(format!("event: endpoint\ndata: {}\n\n", endpoint(open.len()))).unwrap();
                open.push(Some(mouth));
                return Some(Reply::Events(Vec::new(), Vec::new(), after));
            }
            let Some(number) = seen.target.strip_prefix("/messages?session=") else { return Some(Reply::status(405)) };
            let mut open = open.lock().unwrap();
            let mouth = &mut open[number.parse::<usize>().unwrap()];
            let say = |text: String| drop(mouth.as_ref().unwrap().send(text));
            match act(seen).unwrap_or_else(|| behave(seen)) {
                Act::Say(messages) => messages.iter().for_each(|message| say(event(message))),
                Act::Write(text) => say(text),
                Act::Refuse(status) => return Some(Reply::status(status)),
                Act::End => *mouth = None,
            }
            Some(Reply::status(202))
        })
        .await;
        Self { upstream, mouths }
    }

    fn calls(&self, rpc: &str) -> Vec<Seen> {
        self.upstream.calls(rpc)
    }
}

fn behave(seen: &Seen) -> Act {
    Act::Say(match seen.rpc() {
        "initialize" => {
            let capabilities = json!({ "tools": { "listChanged": true } });
            let result = json!({ "protocolVersion": "2024-11-05", "capabilities": capabilities,
                "serverInfo": { "name": "oldest", "version": "1" } });
            vec![seen.result(result)]
        }
        "tools/list" => {
            vec![seen.result(json!({ "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }] }))]
        }
        "tools/call" => {
            let text = format!("{} {}", seen.target, seen.body["params"]["arguments"]["who"]);
            vec![seen.result(json!({ "content": [{ "type": "text", "text": text }] }))]
        }
        _ => Vec::new(),
    })
}

fn text(got: &Value) -> &str {
    got["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{got}"))
}

fn named(tool: &str) -> Value {
    json!({ "name": tool, "arguments": {} })
}

/// spec: TR-123, TR-112, TR-126, BR-1, BR-40, TR-161
#[tokio::test]
async fn the_oldest_servers_are_listed_and_called_each_person_on_a_stream_of_their_own() {
    let oldest = Oldest::start(|seen| {
        (seen.rpc() == "tools/call" && seen.body["params"]["name"] == "noisy").then(|| {
            // Only what stands in an event of messages is one, and an answer to somebody else is none of ours.
            let forged = seen.result(json!({ "content": [{ "type": "text", "text": "forged" }] }));
            let other = json!({ "jsonrpc": "2.0", "id": 4_000_000, "result": {} });
            let own = seen.result(json!({ "content": [{ "type": "text", "text": "own" }] }));
            Act::Write(format!(
                ": a sign of life\n\nevent: ping\ndata: {forged}\n\ndata:\n\ndata: no message\n\nevent: message\n\
                 data: {other}\n\nevent: message\ndata: {own}\n\n"
            ))
        })
    })
    .await;
    let gateway = Gateway::before(oldest.upstream.at).await;
    let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
    let found = alice.modern("server/discover", json!({})).await.json();
    assert_eq!(found["result"]["supportedVersions"][0], "2026-07-28", "{found}");
    assert_eq!(found["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "oldest");
    let listed = alice.modern("tools/list", json!({})).await.json();
    assert_eq!((&listed["result"]["tools"][0]["name"], &listed["id"]), (&json!("echo"), &json!(1)), "{listed}");
    let ask = async |client: &crate::harness::Client, who: &str| {
        let got = client.modern("tools/call", json!({ "name": "echo", "arguments": { "who": who } })).await;
        text(&got.json()).to_owned()
    };
    let (one, two, again) = tokio::join!(ask(&alice, "alice"), ask(&bob, "bob"), ask(&alice, "alice"));
    assert!(one == again && one.ends_with("\"alice\"") && two.ends_with("\"bob\""), "{one} {two} {again}");
    assert_ne!(one.split(' ').next(), two.split(' ').next(), "two people, two streams");
    let noisy = alice.modern("tools/call", named("noisy")).await.json();
    assert_eq!(text(&noisy), "own");
    // Nothing of today is said to it in a session: no header, no member of `_meta`, no method.
    for seen in oldest.upstream.seen().iter().filter(|seen| seen.target != "/mcp") {
        let headers = ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id"];
        assert!(headers.iter().all(|name| seen.header(name).is_empty()), "{seen:?}");
        assert!(seen.rpc() != "server/discover" && !seen.body.to_string().contains("modelcontextprotocol"), "{seen:?}");
    }
    assert!(oldest.calls("tools/call").iter().all(|seen| seen.method == Method::POST && seen.target != "/mcp"));
}

/// spec: TR-123
#[tokio::test]
async fn the_oldest_servers_say_who_they_are_to_whoever_looks_at_them() {
    let oldest = Oldest::start(|_| None).await;
    let found = soon(asked(oldest.upstream.at).look(&Credential::none())).await.unwrap();
    assert_eq!((found.transport, found.versions), (Transport::Sse, vec![Version::V2024_11_05]));
    assert_eq!((found.name.as_deref(), found.version.as_deref(), found.tools), (Some("oldest"), Some("1"), Some(1)));
}

/// spec: BR-44, BR-46, BR-51, BR-110
#[tokio::test]
async fn a_question_on_the_stream_is_answered_at_its_address() {
    let asks: Arc<Mutex<Value>> = Arc::default();
    let oldest = Oldest::start(move |seen| match seen.rpc() {
        "initialize" => {
            let capabilities = json!({ "tools": {} });
            Some(Act::Say(vec![seen.result(json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities }))]))
        }
        "tools/list" => Some(Act::Say(vec![sample("out-of-turn"), seen.result(json!({ "tools": [] }))])),
        "tools/call" => {
            *asks.lock().unwrap() = seen.body["id"].clone();
            Some(Act::Say(vec![form("q")]))
        }
        "" if seen.body["id"] == "q" => {
            let result = json!({ "content": [{ "type": "text", "text": seen.body["result"].to_string() }] });
            let id = asks.lock().unwrap().clone();
            Some(Act::Say(vec![json!({ "jsonrpc": "2.0", "id": id, "result": result })]))
        }
        _ => None,
    })
    .await;
    let gateway = Gateway::before(oldest.upstream.at).await;
    let client = gateway.client("alice");
    assert_eq!(client.modern("tools/list", json!({})).await.json()["result"]["tools"], json!([]));
    soon(async {
        while !oldest.upstream.seen().iter().any(|seen| seen.body["id"] == "out-of-turn") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let refused = oldest.upstream.seen().into_iter().find(|seen| seen.body["id"] == "out-of-turn").unwrap();
    assert_eq!(refused.body["error"]["code"], -32601);
    assert_eq!(gateway.counts().of(Reason::Unsolicited), 1);
    let asked = call(&client, &forms(), &json!({})).await.json();
    assert_eq!(asked["result"]["inputRequests"]["elicitation-1"]["params"]["message"], "fake: Who?", "{asked}");
    let accept = json!({ "action": "accept", "content": { "name": "me" } });
    let done = call(&client, &forms(), &back(&asked, json!({ "elicitation-1": accept }))).await.json();
    assert_eq!(serde_json::from_str::<Value>(text(&done)).unwrap(), accept);
    assert_eq!(oldest.calls("tools/call").len(), 1, "the call was made once");
    let answered = oldest.upstream.seen().into_iter().find(|seen| seen.body["id"] == "q").unwrap();
    assert_eq!(answered.target, oldest.calls("tools/call")[0].target, "the answer goes where the call went");
}

/// spec: BR-42, BR-43, TR-65
#[tokio::test]
async fn what_is_said_to_nobody_comes_on_the_same_stream() {
    let oldest = Oldest::start(|_| None).await;
    let gateway = Gateway::before(oldest.upstream.at).await;
    let wants = json!({ "notifications": { "toolsListChanged": true, "promptsListChanged": true } });
    let mut stream = gateway.client("alice").modern_stream("subscriptions/listen", wants).await;
    let acknowledged = soon(stream.message()).await.unwrap();
    assert_eq!(acknowledged["params"]["notifications"], json!({ "toolsListChanged": true }), "{acknowledged}");
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    for mouth in oldest.mouths.lock().unwrap().iter().flatten() {
        drop(mouth.send(event(&changed)));
    }
    let heard = soon(stream.message()).await.unwrap();
    assert_eq!(
        (&heard["method"], &heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]),
        (&json!("notifications/tools/list_changed"), &json!(1))
    );
}

/// spec: TR-124
#[tokio::test]
async fn no_message_goes_to_an_address_that_is_elsewhere() {
    let foreign = Upstream::start(Speaks::Legacy).await;
    let at = foreign.at;
    // It is found at an address of its own, and then names another's.
    let oldest = Oldest::with(
        move |number| if number == 0 { "/messages?session=0".to_owned() } else { format!("http://{at}/mcp") },
        |_| None,
    )
    .await;
    let gateway = Gateway::before(oldest.upstream.at).await;
    let got = gateway.client("alice").modern("tools/call", named("echo")).await;
    assert_eq!(got.code(), -32603, "{got:?}");
    assert!(got.json()["error"]["message"].as_str().unwrap().contains("fake"), "{got:?}");
    assert!(oldest.mouths.lock().unwrap().len() > 1, "it named the other address");
    assert!(foreign.seen().is_empty() && oldest.calls("initialize").len() <= 1);
    assert!(oldest.calls("tools/call").is_empty());
}

/// spec: BR-57, TR-137
#[tokio::test]
async fn a_call_that_is_not_taken_or_whose_stream_ends_fails_and_is_not_made_again() {
    for refused in [true, false] {
        let broken = Arc::new(AtomicBool::new(true));
        let breaks = broken.clone();
        let oldest = Oldest::start(move |seen| {
            let now = seen.rpc() == "tools/call" && breaks.load(Ordering::SeqCst);
            now.then(|| if refused { Act::Refuse(500) } else { Act::End })
        })
        .await;
        let gateway = Gateway::before(oldest.upstream.at).await;
        let client = gateway.client("alice");
        let got = soon(client.modern("tools/call", named("echo"))).await;
        assert_eq!(got.code(), -32603, "{got:?}");
        assert_eq!(
            got.json()["error"]["message"],
            "The server fake ended before it answered.",
            "{refused}: and at once, not when it took too long"
        );
        assert_eq!(oldest.calls("tools/call").len(), 1, "it may have been made");
        // The next one has a stream that works.
        broken.store(false, Ordering::SeqCst);
        let got = soon(client.modern("tools/call", named("echo"))).await;
        let first = oldest.calls("tools/call")[0].target.clone();
        assert!(got.status == 200 && !text(&got.json()).starts_with(&first), "{got:?}");
    }
}

/// spec: BR-48, BR-57
#[tokio::test]
async fn a_call_that_waits_on_a_stream_that_ends_is_over() {
    let oldest = Oldest::start(|seen| match seen.rpc() {
        "initialize" => {
            Some(Act::Say(vec![seen.result(json!({ "protocolVersion": "2025-06-18", "capabilities": {} }))]))
        }
        "tools/call" => Some(Act::Say(vec![form("q")])),
        _ => None,
    })
    .await;
    let gateway = Gateway::before(oldest.upstream.at).await;
    let client = gateway.client("alice");
    let asked = call(&client, &forms(), &json!({})).await.json();
    assert_eq!((&asked["result"]["resultType"], gateway.waiting()), (&json!("input_required"), 1), "{asked}");
    oldest.mouths.lock().unwrap().iter_mut().for_each(|mouth| *mouth = None);
    soon(async {
        while gateway.waiting() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let got = call(&client, &forms(), &back(&asked, json!({ "elicitation-1": { "action": "cancel" } }))).await;
    assert_eq!((got.status.as_u16(), got.code()), (400, -32602), "{got:?}");
    assert!(got.json()["error"]["message"].as_str().unwrap().contains("expired"), "{got:?}");
    assert_eq!(oldest.calls("tools/call").len(), 1);
}
