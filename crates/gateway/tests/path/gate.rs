//! A server that lets in only who shows what it accepts, and calls of clients that can open pages.

use std::sync::{Arc, Mutex};

use portcullis_base::{ManualClock, Timestamp};
use portcullis_gateway::config::{Credential, OAuth};
use serde_json::{Value, json};

use crate::{
    harness::{Client, Gateway, Got, Setup, borrowed, modern},
    upstream::{Reply, Seen, Speaks, Upstream},
};

/// Which credentials a server accepts at the moment.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<Vec<String>>>);

impl Gate {
    pub fn let_in(&self, tokens: &[&str]) {
        *self.0.lock().unwrap() = tokens.iter().map(|token| format!("Bearer {token}")).collect();
    }

    /// A refusal of whoever shows nothing that is accepted.
    pub fn judge(&self, seen: &Seen) -> Option<Reply> {
        let shown = seen.header("authorization");
        let refused = !self.0.lock().unwrap().iter().any(|token| token == shown);
        refused.then(|| Reply::status(401).with("www-authenticate", "Bearer error=\"invalid_token\""))
    }
}

pub fn oauth() -> Credential {
    Credential::OAuth(OAuth::default())
}

pub fn auto() -> Credential {
    Credential::Auto(OAuth::default())
}

pub async fn behind(upstream: &Upstream, credential: Credential) -> Gateway {
    Gateway::start(Setup { servers: vec![("fake", upstream.at)], credential, ..Setup::default() }).await
}

/// The same, of a time that a test moves, and for people who sign in there.
pub async fn clocked(upstream: &Upstream) -> (Gateway, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let (servers, credential) = (vec![("fake", upstream.at)], oauth());
    let gateway = Gateway::start(Setup { servers, credential, clock: Some(clock.clone()), ..Setup::default() }).await;
    (gateway, clock)
}

pub async fn guarded(speaks: Speaks, tokens: &[&str]) -> (Upstream, Gate) {
    let gate = Gate::default();
    gate.let_in(tokens);
    let judge = gate.clone();
    (Upstream::with(speaks, move |seen| judge.judge(seen)).await, gate)
}

/// A tool call of 2026-07-28 whose client can open pages.
pub async fn call_with_pages(client: &Client, more: Value) -> Value {
    let got = sent_with_pages(client, more).await;
    assert_eq!(got.status, 200, "{got:?}");
    got.json()
}

/// The same, whatever comes of it.
pub async fn sent_with_pages(client: &Client, more: Value) -> Got {
    let mut params = json!({ "name": "echo", "arguments": { "text": "hi" } });
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    let (headers, mut body) = modern("tools/call", params);
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({ "elicitation": { "url": {} } });
    client.post(&borrowed(&headers), &body).await
}

pub fn initialize_with(capabilities: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "protocolVersion": "2025-11-25",
        "capabilities": capabilities, "clientInfo": { "name": "test", "version": "7" } } })
}

/// Waits until so many calls have been decided: the last of them is under way then.
pub async fn decided(gateway: &Gateway, calls: usize) {
    let decided = |records: &[Value]| records.iter().filter(|line| line.to_string().contains("call.decided")).count();
    while decided(&gateway.records().await) < calls {
        tokio::task::yield_now().await;
    }
}
