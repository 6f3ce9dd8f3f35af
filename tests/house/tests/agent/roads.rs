//! The roads from an agent to a tool.

use anyhow::{Context, Result, bail, ensure};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::{Answer, Request},
};
use serde_json::{Value, json};

#[derive(Debug)]
pub struct Road {
    pub label: &'static str,
    pub endpoint: &'static str,
    pub speech: Speech,
    naming: Naming,
}

/// How the agent's client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// 2026-07-28, by a client that cannot be asked anything.
    Stateless,
    /// 2026-07-28, by a client that opens pages.
    Opening,
    /// A session of that revision.
    Session(&'static str),
    /// A session of 2025-11-25, by a client that opens pages.
    OpeningSession,
    /// A session of 2025-03-26, every call in a batch with one that only reads.
    Batch,
}

/// What the tools are called there.
#[derive(Clone, Copy, Debug)]
enum Naming {
    Own,
    Prefixed,
    Renamed,
    /// Tools are found by searching, and called by another tool.
    Inside,
}

const fn road(label: &'static str, endpoint: &'static str, speech: Speech, naming: Naming) -> Road {
    Road { label, endpoint, speech, naming }
}

pub const ROADS: &[Road] = &[
    road("direct", "company", Speech::Stateless, Naming::Own),
    road("direct, client that opens pages", "company", Speech::Opening, Naming::Own),
    road("direct, 2025-11-25", "company", Speech::Session("2025-11-25"), Naming::Own),
    road("direct, 2025-11-25, client that opens pages", "company", Speech::OpeningSession, Naming::Own),
    road("direct, 2025-06-18", "company", Speech::Session("2025-06-18"), Naming::Own),
    road("direct, 2025-03-26", "company", Speech::Session("2025-03-26"), Naming::Own),
    road("batch", "company", Speech::Batch, Naming::Own),
    road("bridged: older client, newer server", "newer", Speech::Session("2025-11-25"), Naming::Own),
    road("bridged: oldest client, newer server", "newer", Speech::Session("2025-03-26"), Naming::Own),
    road("bridged: batch, newer server", "newer", Speech::Batch, Naming::Own),
    road("bridged: newer client, older server", "older", Speech::Stateless, Naming::Own),
    road("bridged: newer client that opens pages, older server", "older", Speech::Opening, Naming::Own),
    road("toolbox", "box", Speech::Stateless, Naming::Prefixed),
    road("toolbox, 2025-11-25", "box", Speech::Session("2025-11-25"), Naming::Prefixed),
    road("toolbox, batch", "box", Speech::Batch, Naming::Prefixed),
    road("toolbox of everything", "all", Speech::Stateless, Naming::Prefixed),
    road("toolbox with search", "wide", Speech::Stateless, Naming::Inside),
    road("toolbox with search, client that opens pages", "wide", Speech::Opening, Naming::Inside),
    road("toolbox with search, 2025-11-25", "wide", Speech::Session("2025-11-25"), Naming::Inside),
    road("toolbox with search, past the search", "wide", Speech::Stateless, Naming::Prefixed),
    road("toolbox that renames", "renamed", Speech::Stateless, Naming::Renamed),
    road("toolbox that renames, 2025-06-18", "renamed", Speech::Session("2025-06-18"), Naming::Renamed),
];

/// The agent on one road.
pub struct Agent<'a> {
    house: &'a TestGateway,
    pub road: &'static Road,
    token: String,
    session: Option<String>,
}

impl<'a> Agent<'a> {
    /// Signs its person in, opens a session where there are some, and looks at the tools.
    pub async fn arrive(house: &'a TestGateway, road: &'static Road) -> Result<Self> {
        let (_, tokens) = house.client(road.endpoint, ALICE).await?;
        let mut agent = Self { house, road, token: tokens.access, session: None };
        if let Some(version) = agent.version() {
            let capabilities = match road.speech {
                Speech::OpeningSession => json!({ "elicitation": { "form": {}, "url": {} } }),
                _ => json!({}),
            };
            let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": version, "capabilities": capabilities,
                "clientInfo": { "name": "agent", "version": "1" } } });
            let opened = agent.send(&[], &hello.to_string()).await?;
            let session = opened.header("mcp-session-id").with_context(|| format!("no session: {}", opened.text()))?;
            agent.session = Some(session.to_owned());
            let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
            agent.send(&[], &ready.to_string()).await?;
        }
        let mut look = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
        agent.state(&mut look["params"]);
        let listed = agent.send(&[("mcp-method", "tools/list")], &look.to_string()).await?;
        ensure!(listed.json()["result"]["tools"].is_array(), "{}: {}", road.label, listed.text());
        Ok(agent)
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    fn version(&self) -> Option<&'static str> {
        match self.road.speech {
            Speech::Stateless | Speech::Opening => None,
            Speech::Session(version) => Some(version),
            Speech::OpeningSession => Some("2025-11-25"),
            Speech::Batch => Some("2025-03-26"),
        }
    }

    pub fn is_stateless(&self) -> bool {
        self.version().is_none()
    }

    /// What a tool is called on this road.
    pub fn name(&self, tool: &str) -> String {
        let renamed = match tool {
            "refund_payment" => "round_up",
            "delete_customer" => "tidy_up",
            "drop_table" => "show_report",
            "send_mail" => "read_news",
            other => other,
        };
        match self.road.naming {
            Naming::Own => tool.to_owned(),
            Naming::Renamed if renamed != tool => renamed.to_owned(),
            Naming::Prefixed | Naming::Inside | Naming::Renamed => format!("company__{tool}"),
        }
    }

    /// The parameters that call a tool of this name.
    pub fn params(&self, name: &str, arguments: &Value) -> Value {
        let named = json!({ "name": name, "arguments": arguments });
        let mut params = match self.road.naming {
            Naming::Inside => json!({ "name": "call_tool", "arguments": named }),
            _ => named,
        };
        self.state(&mut params);
        params
    }

    /// What a stateless request says of its client.
    fn state(&self, params: &mut Value) {
        if self.is_stateless() {
            let capabilities = match self.road.speech {
                Speech::Opening => json!({ "elicitation": { "form": {}, "url": {} } }),
                _ => json!({}),
            };
            params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": capabilities,
                "io.modelcontextprotocol/clientInfo": { "name": "agent", "version": "1" } });
        }
    }

    /// The headers that fit such parameters.
    pub fn head(&self, params: &Value) -> Vec<(&'static str, String)> {
        if !self.is_stateless() {
            return Vec::new();
        }
        let name = portcullis_mcp::headers::encode_value(params["name"].as_str().unwrap_or_default());
        vec![("mcp-method", "tools/call".to_owned()), ("mcp-name", name)]
    }

    /// A request with these headers and this body.
    pub fn request(&self, head: &[(&str, &str)], body: &str) -> Request {
        let mut request = self
            .house
            .request("POST", &format!("/mcp/{}", self.road.endpoint))
            .bearer(&self.token)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        match self.version() {
            None => request = request.header("mcp-protocol-version", "2026-07-28"),
            Some(version) if version > "2025-03-26" && self.session.is_some() => {
                request = request.header("mcp-protocol-version", version);
            }
            Some(_) => {}
        }
        for (name, value) in head {
            request = request.header(name, value);
        }
        request.body(body)
    }

    async fn send(&self, head: &[(&str, &str)], body: &str) -> Result<Answer> {
        self.request(head, body).send().await
    }

    /// The message that calls a tool with these parameters.
    pub fn message(&self, params: &Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
        if self.road.speech == Speech::Batch {
            let look = self.params(&self.name("list_invoices"), &json!({}));
            return json!([{ "jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": look }, call]);
        }
        call
    }

    /// Calls a tool as a client does: one that opens pages goes on asking until there is an answer. Gives what a model reads.
    pub async fn call(&self, tool: &str, arguments: &Value) -> Result<String> {
        let mut params = self.params(&self.name(tool), arguments);
        for _ in 0..20 {
            let head = self.head(&params);
            let head: Vec<_> = head.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = self.send(&head, &self.message(&params).to_string()).await?;
            let result = &answer.json()["result"];
            if result["resultType"] != "input_required" {
                return Ok(answer.text());
            }
            let Some(requests) = result["inputRequests"].as_object() else { return Ok(answer.text()) };
            let opened = requests.iter().map(|(key, _)| (key.clone(), json!({ "action": "accept" })));
            params["inputResponses"] = opened.collect::<serde_json::Map<_, _>>().into();
            params["requestState"] = result["requestState"].clone();
            if self.house.app.config.approvals.hold.is_zero() {
                return Ok(answer.text());
            }
        }
        bail!("{}: {tool} is asked for without end", self.road.label)
    }
}
