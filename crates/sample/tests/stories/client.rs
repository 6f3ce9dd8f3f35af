//! A client that sends what it is told, also what no client should.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use portcullis_base::{ManualClock, SeededRng, Timestamp};
use portcullis_mcp::sse::{Decoder, Event, Limits};
use portcullis_sample::Sample;
use serde_json::{Value, json};

pub struct Client {
    pub sample: Sample,
    pub clock: Arc<ManualClock>,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    decoder: Decoder,
    events: Vec<Event>,
}

impl Client {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_795_400_000)));
        Self { sample: Sample::new(clock.clone(), Arc::new(SeededRng::new(7))), clock }
    }

    /// Sends a request on a connection of its own, which ends when the reply is dropped.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let sample = self.sample.clone();
        tokio::spawn(async move { sample.serve_connection(far).await });
        let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.expect("a pipe shakes hands");
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.expect("the sample answers").into_parts();
        let decoder = Decoder::new(Limits::default());
        Reply { status: head.status, headers: head.headers, body, decoder, events: Vec::new() }
    }

    pub async fn post(&self, headers: &[(&str, &str)], body: &Value) -> Reply {
        let defaults = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
        let mut request = Request::post("/mcp").header("host", "sample");
        for (name, value) in defaults.iter().chain(headers) {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::from(body.to_string())).expect("a request")).await
    }

    /// A request of 2026-07-28 with its headers; `capabilities` are the client's.
    pub async fn modern(&self, method: &str, params: Value, capabilities: Value) -> Reply {
        let name = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str).map(String::from);
        let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        headers.extend(name.as_deref().map(|name| ("mcp-name", name)));
        self.post(&headers, &request(method, stated(params, capabilities))).await
    }

    /// The result of such a request without capabilities, answered as JSON.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        let reply = self.modern(method, params, json!({})).await;
        assert_eq!(reply.status, StatusCode::OK, "{method}");
        reply.json().await["result"].take()
    }
}

/// `params` with what a modern request states in `_meta`.
pub fn stated(mut params: Value, capabilities: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    params
}

pub fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": "q1", "method": method, "params": params })
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub async fn bytes(self) -> Bytes {
        self.body.collect().await.expect("the body is whole").to_bytes()
    }

    /// The only message, sent as JSON.
    pub async fn json(self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.bytes().await).expect("the body is JSON")
    }

    /// The error's code of a refusal.
    pub async fn code(self) -> i64 {
        self.json().await["error"]["code"].as_i64().expect("the body is an error")
    }

    /// The next event; `None` when the stream has ended.
    pub async fn event(&mut self) -> Option<Event> {
        assert_eq!(self.header("content-type"), Some("text/event-stream"));
        while self.events.is_empty() {
            let wait = tokio::time::timeout(Duration::from_mins(5), self.body.frame());
            let frame = wait.await.expect("the stream goes on")?.expect("the stream is unbroken");
            let data = frame.into_data().expect("the stream has no trailers");
            self.decoder.feed(&data, |event| self.events.push(event)).expect("events are short");
        }
        Some(self.events.remove(0))
    }

    /// The next message of the stream; events without data are passed over.
    pub async fn message(&mut self) -> Option<Value> {
        loop {
            let event = self.event().await?;
            if event.is_message() {
                return Some(serde_json::from_str(&event.data.unwrap_or_default()).expect("a message is JSON"));
            }
        }
    }

    /// All messages up to the end of the stream.
    pub async fn messages(mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            messages.push(message);
        }
        messages
    }
}
