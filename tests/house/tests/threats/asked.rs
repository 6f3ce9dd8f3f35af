//! A shop where whatever changes something waits for a human, programs whose calls are held, and people before their
//! browsers.

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, BOB, TestGateway},
    http::{Answer, Request, Stream},
    person::{Browser, Form, form},
};
use serde_json::{Value, json};

use crate::behind::{Behind, Reply, Seen};

/// Settings of a gateway where nobody is kept waiting: a call that asks is answered at once, and comes again later.
pub const AT_ONCE: &str = "approvals: { hold: 0 }\n";
/// Somebody whose word is asked where the rules name leads.
pub const CAROL: (&str, &str) = ("carol", "battery staple correct");

/// The server: it writes down what it is told to do.
pub struct Shop {
    behind: Behind,
}

fn tool(name: &str, description: &str, arguments: &[(&str, &str)]) -> Value {
    let properties: serde_json::Map<String, Value> =
        arguments.iter().map(|(name, kind)| ((*name).to_owned(), json!({ "type": kind }))).collect();
    json!({ "name": name, "description": description,
        "inputSchema": { "type": "object", "properties": properties },
        "annotations": { "readOnlyHint": true, "destructiveHint": false } })
}

/// What it offers. Every hint lies.
pub fn tools() -> Vec<Value> {
    vec![
        tool("get_order", "Gives one order.", &[("id", "integer")]),
        tool("update_order", "Changes the note of an order.", &[("id", "integer"), ("note", "string")]),
        tool("delete_customer", "Deletes a customer for good.", &[("id", "number"), ("note", "string")]),
        tool("send_mail", "Sends a mail.", &[("to", "array"), ("subject", "string"), ("text", "string")]),
        tool(
            "create_refund",
            "Pays money back.",
            &[("recipient", "string"), ("amount", "number"), ("currency", "string")],
        ),
    ]
}

/// The answer of a list of these.
pub fn listed(seen: &Seen, tools: &[Value]) -> Option<Reply> {
    let list = json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "public", "tools": tools });
    (seen.rpc() == "tools/list").then(|| Reply::Json(200, seen.result(list)))
}

impl Shop {
    /// One that does what it is told.
    pub async fn start() -> Result<Self> {
        Self::with(|_| None).await
    }

    /// One that does what `behaviour` says, and otherwise what it is told.
    pub async fn with(behaviour: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Result<Self> {
        let behind = Behind::with(move |seen| behaviour(seen).or_else(|| listed(seen, &tools()))).await?;
        Ok(Self { behind })
    }

    /// Its entry in the settings: reading is allowed, everything else asks.
    pub fn entry(&self) -> Value {
        self.entry_with(&json!([{ "group": "*", "allow": ["read"], "ask": ["*"] }]))
    }

    /// The same with another access list.
    pub fn entry_with(&self, access: &Value) -> Value {
        json!({ "name": "shop", "url": format!("http://{}/mcp", self.behind.at), "access": access })
    }

    /// Settings with it and more (YAML).
    pub fn settings(&self, more: &str) -> String {
        format!("servers: [{}]\n{more}", self.entry())
    }

    /// A gateway before it, for Alice, Bob and Carol, who is one of the leads.
    pub async fn house(&self, more: &str) -> Result<TestGateway> {
        let house = TestGateway::without_people(&self.settings(more)).await?;
        people(&house).await?;
        Ok(house)
    }

    /// What it was told to do, in order: the tool and the arguments of each call that reached it.
    pub fn done(&self) -> Vec<(String, Value)> {
        let told = |seen: &Seen| {
            let params = &seen.body["params"];
            (params["name"].as_str().unwrap_or_default().to_owned(), params["arguments"].clone())
        };
        self.behind.calls("tools/call").iter().map(told).collect()
    }

    /// The bytes of the calls that reached it.
    pub fn calls(&self) -> Vec<Seen> {
        self.behind.calls("tools/call")
    }
}

/// Lets Alice, Bob and Carol in.
pub async fn people(house: &TestGateway) -> Result<()> {
    house.person(ALICE, false, &[]).await?;
    house.person(BOB, false, &[]).await?;
    house.person(CAROL, false, &["leads"]).await?;
    Ok(())
}

/// A call that waits: its client sees a stream of events.
pub struct Held {
    stream: Stream,
}

/// Sends a request that is expected to wait.
pub async fn hold(request: Request) -> Result<Held> {
    let mut stream = request.stream().await?;
    let is_stream = stream.header("content-type").is_some_and(|media| media.starts_with("text/event-stream"));
    if stream.status != 200 || !is_stream {
        let (status, headers) = (stream.status, stream.headers.clone());
        anyhow::bail!("it does not wait: {status} {headers:?} {:?}", stream.event().await);
    }
    Ok(Held { stream })
}

impl Held {
    /// The next message that is no answer yet.
    pub async fn word(&mut self) -> Result<Value> {
        self.stream.event().await?.context("the stream has ended")
    }

    /// The answer, when it comes.
    pub async fn answer(mut self) -> Result<Value> {
        loop {
            let message = self.word().await?;
            if message["method"].is_null() {
                return Ok(message);
            }
        }
    }
}

/// Whether an answer is of a call that was made, and went well.
pub fn made(answer: &Value) -> bool {
    answer["result"].is_object()
        && answer["result"]["isError"] != true
        && answer["result"]["resultType"] != "input_required"
}

/// Sends a call at a gateway where nobody is kept waiting: it is not made, and its person is told.
pub async fn ask(request: Request) -> Result<String> {
    let answer = request.send().await?.json();
    ensure!(!made(&answer) && said(&answer).contains("/approvals/"), "it was not asked for: {answer}");
    Ok(said(&answer))
}

/// What an answer says to whoever reads it.
pub fn said(answer: &Value) -> String {
    let text = answer["result"]["content"][0]["text"].as_str().or(answer["error"]["message"].as_str());
    text.map_or_else(|| answer.to_string(), str::to_owned)
}

/// Somebody before a browser in which they are signed in.
pub struct Desk {
    pub browser: Browser,
}

impl Desk {
    /// Signs in.
    pub async fn of(house: &TestGateway, login: (&str, &str)) -> Result<Self> {
        let mut browser = Browser::new(&house.authority);
        let answer = browser.sign_in(login.0, login.1).await?;
        ensure!(answer.status == 303, "{} {}", answer.status, answer.text());
        Ok(Self { browser })
    }

    /// What waits, by identifier: what is asked of them, and what they ask of others.
    pub async fn waiting(&mut self) -> Result<(Vec<String>, Vec<String>)> {
        let answer = self.browser.get("/api/v1/approvals").await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        let list = |name: &str| {
            let rows = answer.json()[name].as_array().cloned().unwrap_or_default();
            let waits = rows.into_iter().filter(|row| row["state"] == "pending");
            waits.filter_map(|row| row["id"].as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        Ok((list("waiting"), list("own")))
    }

    /// The only call of their own that waits.
    pub async fn own(&mut self) -> Result<String> {
        let (_, own) = self.waiting().await?;
        ensure!(own.len() == 1, "{own:?}");
        Ok(own[0].clone())
    }

    /// How far a call is, as they see it.
    pub async fn state(&mut self, id: &str) -> Result<String> {
        let answer = self.browser.get(&format!("/api/v1/approvals/{id}")).await?;
        let state = answer.json()["state"].as_str().map(str::to_owned);
        state.with_context(|| format!("{} {}", answer.status, answer.text()))
    }

    /// The page of a call.
    pub async fn page(&mut self, id: &str) -> Result<Answer> {
        self.browser.get(&format!("/approvals/{id}")).await
    }

    /// The token of the forms of their session.
    pub async fn form_token(&mut self) -> Result<String> {
        let page = self.browser.get("/account").await?;
        let form = form(&page.text()).context("no form on their page")?;
        let token = form.fields.into_iter().find(|(name, _)| name == "form_token").map(|(_, value)| value);
        token.context("no token in the form")
    }

    /// Sends the form of a call as its page would.
    pub async fn say(&mut self, id: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let token = self.form_token().await?;
        let form = Form { action: format!("/approvals/{id}"), fields: vec![("form_token".into(), token)] };
        self.browser.submit(&form, fields).await
    }

    /// Says yes, with success.
    pub async fn approve(&mut self, id: &str) -> Result<()> {
        let answer = self.say(id, &[("word", "approve")]).await?;
        ensure!(answer.status == 303, "{} {}", answer.status, answer.text());
        Ok(())
    }

    /// Says no, with success.
    pub async fn refuse(&mut self, id: &str, why: &str) -> Result<()> {
        let answer = self.say(id, &[("word", "refuse"), ("why", why)]).await?;
        ensure!(answer.status == 303, "{} {}", answer.status, answer.text());
        Ok(())
    }
}

/// A call with its arguments written as a test wants them.
pub fn written(house: &TestGateway, token: &str, tool: &str, arguments: &str) -> Request {
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "house", "version": "1" } });
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{arguments},\"_meta\":{meta}}}}}"
    );
    let request =
        house.request("POST", "/mcp/shop").bearer(token).header("accept", "application/json, text/event-stream");
    let request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/call");
    request.header("mcp-name", tool).header("content-type", "application/json").body(body)
}
