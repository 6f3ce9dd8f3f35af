//! Servers to stand behind the gateway, on bare sockets: they keep every byte they are sent, behave in both eras, and do
//! instead whatever a test says.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Every byte of head and body.
    pub raw: Vec<u8>,
    /// Lower-case names and values.
    pub headers: Vec<(String, String)>,
    /// The first line.
    pub line: String,
    /// The body, if it is JSON.
    pub body: Value,
}

/// What is answered.
pub enum Reply {
    /// A status and JSON.
    Json(u16, Value),
    /// The same with a session id.
    Session(Value, String),
    /// These bytes, as they are; then the connection is closed.
    Raw(Vec<u8>),
    /// A stream of events, piece by piece, and whether it stays open afterwards.
    Events(Box<dyn Iterator<Item = Vec<u8>> + Send>, Then),
    /// No answer at all.
    Silence,
}

/// What comes after the last piece.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    End,
    Hang,
}

type Behaviour = dyn Fn(&Seen) -> Option<Reply> + Send + Sync;

/// A server on a socket.
pub struct Behind {
    pub at: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Seen {
    /// The JSON-RPC method.
    pub fn rpc(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The request as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// A result for this request.
    pub fn result(&self, result: Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.body["id"], "result": result })
    }

    fn error(&self, code: i64) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.body["id"], "error": { "code": code, "message": "no" } })
    }
}

impl Reply {
    /// A stream of these messages.
    pub fn events(messages: &[Value], then: Then) -> Self {
        let pieces: Vec<_> = messages.iter().map(|message| format!("data: {message}\n\n").into_bytes()).collect();
        Self::Events(Box::new(pieces.into_iter()), then)
    }

    /// The same bytes without end.
    pub fn flood(piece: impl Into<Vec<u8>>) -> Self {
        let piece = piece.into();
        Self::Events(Box::new(std::iter::repeat_with(move || piece.clone())), Then::Hang)
    }
}

impl Behind {
    /// A server that behaves.
    pub async fn start() -> Result<Self> {
        Self::with(|_| None).await
    }

    /// Does what `behaviour` says, and where that says nothing, behaves.
    pub async fn with(behaviour: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let sessions = Arc::new(AtomicUsize::new(1));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (behaviour, kept, sessions) = (behaviour.clone(), kept.clone(), sessions.clone());
                tokio::spawn(async move { drop(converse(stream, &*behaviour, &kept, &sessions).await) });
            }
        });
        Ok(Self { at, seen })
    }

    /// Everything that arrived.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What arrived for one method of JSON-RPC.
    pub fn calls(&self, rpc: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.rpc() == rpc).collect()
    }
}

async fn converse(
    mut stream: TcpStream,
    behaviour: &Behaviour,
    kept: &Mutex<Vec<Seen>>,
    sessions: &AtomicUsize,
) -> Result<()> {
    let mut buffer = Vec::new();
    while let Some(seen) = receive(&mut stream, &mut buffer).await? {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
        match behaviour(&seen).unwrap_or_else(|| behave(&seen, sessions)) {
            Reply::Json(status, body) => whole(&mut stream, status, "", &body).await?,
            Reply::Session(body, id) => whole(&mut stream, 200, &format!("mcp-session-id: {id}\r\n"), &body).await?,
            Reply::Raw(bytes) => {
                stream.write_all(&bytes).await?;
                stream.shutdown().await?;
                return Ok(());
            }
            Reply::Events(pieces, then) => {
                stream
                    .write_all(
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
                    )
                    .await?;
                for piece in pieces {
                    stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
                    stream.write_all(&piece).await?;
                    stream.write_all(b"\r\n").await?;
                }
                if then == Then::Hang {
                    // Until the other side is gone.
                    while stream.read(&mut [0; 64]).await? > 0 {}
                    return Ok(());
                }
                stream.write_all(b"0\r\n\r\n").await?;
            }
            Reply::Silence => {
                while stream.read(&mut [0; 64]).await? > 0 {}
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn whole(stream: &mut TcpStream, status: u16, headers: &str, body: &Value) -> Result<()> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let media = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    let head = format!("HTTP/1.1 {status} X\r\n{media}{headers}content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
    Ok(())
}

async fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Seen>> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.lines();
    let line = lines.next().context("no first line")?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize =
        headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value).parse()?;
    while buffer.len() < end + length {
        ensure!(stream.read_buf(buffer).await? > 0, "the request broke off");
    }
    let raw: Vec<u8> = buffer.drain(..end + length).collect();
    let body = serde_json::from_slice(&raw[end..]).unwrap_or(Value::Null);
    Ok(Some(Seen { raw, headers, line, body }))
}

/// A server as it should be, in both eras.
fn behave(seen: &Seen, sessions: &AtomicUsize) -> Reply {
    let modern = seen.header("mcp-protocol-version") == Some("2026-07-28");
    if seen.line.starts_with("DELETE") {
        return Reply::Json(204, Value::Null);
    }
    if seen.line.starts_with("GET") {
        return Reply::events(&[], Then::Hang);
    }
    if seen.body["id"].is_null() || seen.body["method"].is_null() {
        return Reply::Json(202, Value::Null);
    }
    let result = match seen.rpc() {
        "server/discover" => json!({ "resultType": "complete", "supportedVersions": ["2026-07-28", "2025-11-25"],
            "ttlMs": 0, "cacheScope": "public", "capabilities": { "tools": {} },
            "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "behind", "version": "1" } } }),
        "initialize" => {
            let result = json!({ "protocolVersion": seen.body["params"]["protocolVersion"],
                "capabilities": { "tools": {} }, "serverInfo": { "name": "behind", "version": "1" } });
            let id = format!("upstream-session-{}", sessions.fetch_add(1, Ordering::Relaxed));
            return Reply::Session(seen.result(result), id);
        }
        "ping" => json!({}),
        "tools/list" => json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "public", "tools": [
            { "name": "echo", "inputSchema": { "type": "object" } },
            { "name": "regional", "inputSchema": { "type": "object", "properties": {
                "region": { "type": "string", "x-mcp-header": "Region" } } } } ] }),
        // What was asked comes back, so that a test can see whose answer it has.
        "tools/call" => json!({ "resultType": "complete", "structuredContent": seen.body["params"]["arguments"],
            "content": [{ "type": "text", "text": seen.body["params"]["arguments"].to_string() }] }),
        "resources/list" => json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "public", "resources": [] }),
        "prompts/list" => json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "public", "prompts": [] }),
        _ => return Reply::Json(if modern { 404 } else { 200 }, seen.error(-32601)),
    };
    Reply::Json(200, seen.result(result))
}

/// What should happen happens in this time.
pub async fn soon<T>(future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(Duration::from_secs(10), future).await.context("it does not happen")
}
