//! Servers to stand behind the gateway: one that behaves, in either era or both, and whatever else a test makes of it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

/// A request as an upstream saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Value,
    pub raw: Bytes,
}

impl Seen {
    pub fn rpc(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A JSON-RPC result for this request.
    pub fn result(&self, result: Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.body["id"], "result": result })
    }
}

/// What an upstream does with a request.
pub enum Reply {
    Whole(u16, Vec<(&'static str, String)>, Bytes),
    /// Pieces of a stream, and what comes after them.
    Events(Vec<(&'static str, String)>, Vec<String>, After),
    /// No answer at all.
    Silence,
}

/// What follows the last piece.
#[derive(Clone)]
pub enum After {
    End,
    Hang,
    /// The connection breaks, once what came before has been sent.
    Break,
    Broken,
    /// This piece again and again.
    Repeat(String),
    /// What the test says, until it says no more.
    Told(Saying),
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Whole(status, vec![("content-type", "application/json".into())], body.to_string().into())
    }

    pub fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), Bytes::new())
    }

    pub fn events(messages: &[Value], after: After) -> Self {
        Self::Events(Vec::new(), messages.iter().map(|message| format!("data: {message}\n\n")).collect(), after)
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        match &mut self {
            Self::Whole(_, headers, _) | Self::Events(headers, _, _) => headers.push((name, value.into())),
            Self::Silence => {}
        }
        self
    }
}

/// Pieces that a test says one after the other.
#[derive(Clone)]
pub struct Saying(Arc<Mutex<mpsc::UnboundedReceiver<String>>>);

/// The mouth of a stream.
pub fn saying() -> (mpsc::UnboundedSender<String>, After) {
    let (mouth, pieces) = mpsc::unbounded_channel();
    (mouth, After::Told(Saying(Arc::new(Mutex::new(pieces)))))
}

/// A message as an event.
pub fn event(message: &Value) -> String {
    format!("data: {message}\n\n")
}

type Behaviour = dyn Fn(&Seen) -> Option<Reply> + Send + Sync;

/// An upstream on a socket.
pub struct Upstream {
    pub at: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepted: Arc<AtomicUsize>,
    dropped: watch::Receiver<usize>,
}

/// Which eras a well-behaved upstream speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    Modern,
    Legacy,
    Both,
}

impl Upstream {
    pub async fn start(speaks: Speaks) -> Self {
        Self::with(speaks, |_| None).await
    }

    /// Does what `behaviour` says, and where that says nothing, behaves.
    pub async fn with(speaks: Speaks, behaviour: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (drops, dropped) = watch::channel(0);
        let behaviour: Arc<Behaviour> = Arc::new(move |seen| behaviour(seen).or_else(|| Some(behave(speaks, seen))));
        let accepted = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(listener, behaviour, seen.clone(), accepted.clone(), Arc::new(drops)));
        Self { at, seen, accepted, dropped }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests for one method of JSON-RPC.
    pub fn calls(&self, rpc: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.rpc() == rpc).collect()
    }

    /// How many connections were opened to it.
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits until an answer was dropped before its end.
    pub async fn a_drop(&mut self) {
        self.dropped.wait_for(|count| *count > 0).await.unwrap();
    }
}

async fn serve(
    listener: TcpListener,
    behaviour: Arc<Behaviour>,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepted: Arc<AtomicUsize>,
    drops: Arc<watch::Sender<usize>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        accepted.fetch_add(1, Ordering::SeqCst);
        let (behaviour, seen, drops) = (behaviour.clone(), seen.clone(), drops.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (behaviour, seen, drops) = (behaviour.clone(), seen.clone(), drops.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let raw = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                    let body = serde_json::from_slice(&raw).unwrap_or(Value::Null);
                    let (method, target) = (head.method, head.uri.to_string());
                    let request = Seen { method, target, headers: head.headers, body, raw };
                    seen.lock().unwrap().push(request.clone());
                    Ok::<_, Infallible>(answer((*behaviour)(&request).unwrap(), drops).await)
                }
            });
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(reply: Reply, drops: Arc<watch::Sender<usize>>) -> Response<Played> {
    match reply {
        Reply::Silence => {
            let _guard = Played { pieces: Vec::new(), after: After::Hang, drops: Some(drops) };
            std::future::pending().await
        }
        Reply::Whole(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Played { pieces: vec![body], after: After::End, drops: None }).unwrap()
        }
        Reply::Events(headers, pieces, after) => {
            let mut response = Response::builder().header("content-type", "text/event-stream");
            for (name, value) in headers {
                response = response.header(name, value);
            }
            let pieces = pieces.into_iter().rev().map(Bytes::from).collect();
            response.body(Played { pieces, after, drops: Some(drops) }).unwrap()
        }
    }
}

/// A body played from the last piece to the first.
struct Played {
    pieces: Vec<Bytes>,
    after: After,
    drops: Option<Arc<watch::Sender<usize>>>,
}

impl Body for Played {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(piece) = self.pieces.pop() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.after.clone() {
            After::End => {
                self.drops = None;
                Poll::Ready(None)
            }
            After::Hang => Poll::Pending,
            After::Break => {
                self.after = After::Broken;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            After::Broken => Poll::Ready(Some(Err(std::io::Error::other("broken")))),
            After::Told(saying) => {
                let piece = std::task::ready!(saying.0.lock().unwrap().poll_recv(cx));
                if piece.is_none() {
                    self.drops = None;
                }
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
            }
            After::Repeat(piece) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
        }
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        if let Some(drops) = &self.drops {
            drops.send_modify(|count| *count += 1);
        }
    }
}

/// A server as it should be.
fn behave(speaks: Speaks, seen: &Seen) -> Reply {
    let modern = seen.header("mcp-protocol-version") == "2026-07-28";
    match (seen.method.as_str(), modern) {
        ("POST", true) if speaks != Speaks::Legacy => behave_modern(speaks, seen),
        ("POST", false) if speaks != Speaks::Modern => behave_legacy(seen),
        ("POST", _) => {
            Reply::json(400, &json!({ "jsonrpc": "2.0", "error": { "code": -32000, "message": "Bad Request" } }))
        }
        ("DELETE", _) => Reply::status(204),
        _ => Reply::status(405),
    }
}

fn behave_modern(speaks: Speaks, seen: &Seen) -> Reply {
    let mut versions = vec!["2026-07-28"];
    if speaks == Speaks::Both {
        versions.push("2025-11-25");
    }
    let result = match seen.rpc() {
        "server/discover" => json!({ "resultType": "complete", "supportedVersions": versions, "ttlMs": 0,
            "cacheScope": "public", "capabilities": { "tools": {} },
            "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "fake", "version": "1.2" } } }),
        "tools/list" => json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "public", "tools": tools() }),
        "tools/call" => called(seen),
        method if method.starts_with("notifications/") => return Reply::status(202),
        _ => return Reply::json(404, &error(seen, -32601)),
    };
    Reply::json(200, &seen.result(result))
}

fn behave_legacy(seen: &Seen) -> Reply {
    let result = match seen.rpc() {
        "initialize" => {
            let asked = seen.body["params"]["protocolVersion"].as_str().unwrap_or_default();
            let result = json!({ "protocolVersion": asked, "capabilities": { "tools": {} },
                "serverInfo": { "name": "fake", "version": "1.2" } });
            return Reply::json(200, &seen.result(result)).with("mcp-session-id", "upstream-session");
        }
        _ if seen.header("mcp-session-id") != "upstream-session" => return Reply::status(404),
        "tools/list" => json!({ "tools": tools() }),
        "tools/call" => called(seen),
        "ping" => json!({}),
        _ if seen.body["id"].is_null() || !seen.body["result"].is_null() => return Reply::status(202),
        _ => return Reply::json(200, &error(seen, -32601)),
    };
    Reply::json(200, &seen.result(result))
}

pub fn error(seen: &Seen, code: i64) -> Value {
    json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": { "code": code, "message": "no" } })
}

fn tools() -> Value {
    json!([
        { "name": "echo", "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } } } },
        { "name": "regional", "inputSchema": { "type": "object", "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" } } } },
    ])
}

/// Tells back what was seen: headers and body.
pub fn called(seen: &Seen) -> Value {
    let headers: Vec<Value> =
        seen.headers.iter().map(|(name, value)| json!([name.as_str(), value.to_str().unwrap()])).collect();
    json!({ "resultType": "complete", "content": [{ "type": "text", "text": "done" }],
        "structuredContent": { "headers": headers, "params": seen.body["params"] } })
}

/// Long enough for what should happen, short enough for what should not.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it happens soon")
}
