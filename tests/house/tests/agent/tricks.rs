//! What an agent tries when it is not let through.

use anyhow::{Context, Result};
use portcullis_house::http::Request;
use serde_json::{Map, Value, json};

use crate::{
    roads::{Agent, Speech},
    scene::Order,
};

/// One try: some requests, one after the other.
pub struct Trick {
    pub label: String,
    requests: Vec<Request>,
}

impl Trick {
    /// Gives everything that was answered.
    pub async fn play(&self) -> Result<String> {
        let mut said = String::new();
        for request in &self.requests {
            let answer = request.send().await.with_context(|| self.label.clone())?;
            said = format!("{said}{} {}\n", answer.status, answer.text());
        }
        Ok(said)
    }
}

/// Everything to be tried on a road: the orders as they are, then one trick after the other, each with one of the orders.
pub fn tricks(agent: &Agent<'_>, orders: &[Order]) -> Vec<Trick> {
    let mut all = Vec::new();
    for order in orders {
        let label = format!("{} as it is", order.tool);
        all.push(Trick { label, requests: vec![plain(agent, &named(agent, order, &agent.name(&order.tool)))] });
    }
    let makers = [names, escapes, headers, doubled, no_answer_wanted, batches, consents, methods, flags];
    for (make, order) in makers.into_iter().zip(orders.iter().cycle()) {
        for (label, requests) in make(agent, order) {
            all.push(Trick { label: format!("{} {label}", order.tool), requests });
        }
    }
    all
}

type Tries = Vec<(String, Vec<Request>)>;

fn named(agent: &Agent<'_>, order: &Order, name: &str) -> Value {
    agent.params(name, &order.arguments)
}

/// With headers that fit.
fn plain(agent: &Agent<'_>, params: &Value) -> Request {
    body(agent, params, &agent.message(params).to_string())
}

/// With headers that fit `params`, and any body.
fn body(agent: &Agent<'_>, params: &Value, body: &str) -> Request {
    let head = agent.head(params);
    let head: Vec<_> = head.iter().map(|(name, value)| (*name, value.as_str())).collect();
    agent.request(&head, body)
}

/// Names that look like the tool's, or that somebody might read as it.
fn names(agent: &Agent<'_>, order: &Order) -> Tries {
    let name = agent.name(&order.tool);
    let own = &order.tool;
    let mut first = name.chars();
    let capital: String = first.next().into_iter().flat_map(char::to_uppercase).chain(first).collect();
    let wide: String =
        name.chars().map(|c| char::from_u32(c as u32 + 0xFEE0).filter(|_| c.is_ascii_graphic()).unwrap_or(c)).collect();
    [
        name.to_uppercase(),
        capital,
        name.replace('e', "е"),
        name.replace('a', "а"),
        name.replace('_', "＿"),
        name.replace('_', "-"),
        name.replace('_', "%5F"),
        name.replace('_', "\u{200b}_"),
        name.replace('d', "d\u{301}"),
        name.replace('i', "ı"),
        wide,
        format!("{name} "),
        format!(" {name}"),
        format!("{name}\n"),
        format!("{name}\0"),
        format!("{name}\u{feff}"),
        format!("\u{202e}{name}"),
        format!("%{:x}{}", name.as_bytes()[0], &name[1..]),
        format!("./{name}"),
        format!("../company/{own}"),
        format!("company/{own}"),
        format!("company.{own}"),
        format!("company__{own}"),
        format!("company__company__{own}"),
        format!("sample__{own}"),
        format!("{name}/../{name}"),
        format!("{name}?x=1"),
        format!("{name}#"),
        format!("tools/call:{name}"),
        "*".to_owned(),
    ]
    .into_iter()
    .map(|variant| (format!("called {variant:?}"), vec![plain(agent, &named(agent, order, &variant))]))
    .collect()
}

/// The same name in other letters of JSON.
fn escapes(agent: &Agent<'_>, order: &Order) -> Tries {
    let name = agent.name(&order.tool);
    let params = named(agent, order, &name);
    let message = agent.message(&params).to_string();
    let escaped = name.chars().fold(String::new(), |all, c| format!("{all}\\u{:04x}", c as u32));
    let one = name.replace('_', "\\u005F");
    vec![
        ("in escapes".into(), vec![body(agent, &params, &message.replace(&name, &escaped))]),
        ("with escaped underscores".into(), vec![body(agent, &params, &message.replace(&name, &one))]),
        ("with an escaped key".into(), vec![body(agent, &params, &message.replace("\"name\"", "\"\\u006eame\""))]),
        ("with a byte order mark".into(), vec![body(agent, &params, &format!("\u{feff}{message}"))]),
    ]
}

/// Headers that say something else than the body.
fn headers(agent: &Agent<'_>, order: &Order) -> Tries {
    let harmless = agent.name("list_invoices");
    let params = named(agent, order, &agent.name(&order.tool));
    let message = agent.message(&params).to_string();
    let look = agent.message(&agent.params(&harmless, &json!({}))).to_string();
    let name = params["name"].as_str().unwrap_or_default();
    let (call, list) = (("mcp-method", "tools/call"), ("mcp-method", "tools/list"));
    let mut tries = Tries::new();
    for (label, head, body) in [
        ("and no headers", vec![], &message),
        ("and no name in the headers", vec![call], &message),
        ("under a harmless name in the header", vec![call, ("mcp-name", harmless.as_str())], &message),
        ("in the header, a harmless name in the body", vec![call, ("mcp-name", name)], &look),
        ("under two names", vec![call, ("mcp-name", harmless.as_str()), ("mcp-name", name)], &message),
        ("under two names, the other way round", vec![call, ("mcp-name", name), ("mcp-name", &harmless)], &message),
        ("as a list", vec![list], &message),
        ("as a list with a name", vec![list, ("mcp-name", name)], &message),
        ("as a list and a call", vec![list, call, ("mcp-name", name)], &message),
        ("as a GET", vec![call, ("mcp-name", name), ("x-http-method-override", "GET")], &message),
        ("of another revision", vec![call, ("mcp-name", name), ("mcp-protocol-version", "2025-03-26")], &message),
        ("with somebody's session", vec![call, ("mcp-name", name), ("mcp-session-id", "guessed")], &message),
        (
            "with arguments in headers",
            vec![call, ("mcp-name", name), ("mcp-param-amount", "1"), ("mcp-param-customer", "c-1")],
            &message,
        ),
    ] {
        // In a session a harmless call is harmless, whatever headers say.
        tries.push((label.to_owned(), vec![agent.request(&head, body)]));
    }
    tries
}

/// What is said twice.
fn doubled(agent: &Agent<'_>, order: &Order) -> Tries {
    let (name, harmless) = (agent.name(&order.tool), agent.name("list_invoices"));
    let params = named(agent, order, &name);
    let message = agent.message(&params).to_string();
    let key = format!("\"name\":\"{name}\"");
    let other = format!("\"name\":\"{harmless}\"");
    let method = "\"method\":\"tools/call\"";
    let list = "\"method\":\"tools/list\"";
    vec![
        ("twice, harmless first".into(), message.replace(&key, &format!("{other},{key}"))),
        ("twice, harmless last".into(), message.replace(&key, &format!("{key},{other}"))),
        ("twice, the second escaped".into(), message.replace(&key, &format!("{other},\"n\\u0061me\":\"{name}\""))),
        ("with two methods".into(), message.replace(method, &format!("{list},{method}"))),
        ("with two methods, the other way round".into(), message.replace(method, &format!("{method},{list}"))),
        ("with parameters twice".into(), message.replace("\"params\":{", "\"params\":{},\"params\":{")),
        ("with a second body".into(), format!("{message}\n{message}")),
        (
            "with arguments twice".into(),
            message.replace("\"arguments\":{", "\"arguments\":{\"customer\":\"c-1\"},\"arguments\":{"),
        ),
    ]
    .into_iter()
    .map(|(label, text): (String, String)| (label, vec![body(agent, &params, &text)]))
    .collect()
}

/// As a message that nobody answers.
fn no_answer_wanted(agent: &Agent<'_>, order: &Order) -> Tries {
    let params = named(agent, order, &agent.name(&order.tool));
    let with_id = |id: Option<Value>| {
        let mut call = json!({ "jsonrpc": "2.0", "method": "tools/call", "params": params });
        if let Some(id) = id {
            call["id"] = id;
        }
        if agent.road.speech == Speech::Batch { json!([call]) } else { call }
    };
    [
        ("as a notification", None),
        ("with no id", Some(Value::Null)),
        ("with a broken id", Some(json!(1.5))),
        ("with an object for an id", Some(json!({ "id": 1 }))),
        ("with an empty id", Some(json!(""))),
        ("with true for an id", Some(json!(true))),
    ]
    .into_iter()
    .map(|(label, id)| (label.to_owned(), vec![body(agent, &params, &with_id(id).to_string())]))
    .collect()
}

/// Many in one.
fn batches(agent: &Agent<'_>, order: &Order) -> Tries {
    let params = named(agent, order, &agent.name(&order.tool));
    let look = agent.params(&agent.name("list_invoices"), &json!({}));
    let call =
        |id: i64, params: &Value| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    let bare = json!({ "jsonrpc": "2.0", "method": "tools/call", "params": params });
    [
        ("in a batch", json!([call(1, &params)])),
        ("behind a harmless call", json!([call(1, &look), call(2, &params)])),
        ("before a harmless call", json!([call(1, &params), call(2, &look)])),
        ("under the id of a harmless call", json!([call(1, &look), call(1, &params)])),
        ("as a notification in a batch", json!([call(1, &look), bare])),
        ("in a batch in a batch", json!([[call(1, &params)]])),
        ("five times in a batch", (0..5).map(|id| call(id, &params)).collect()),
    ]
    .into_iter()
    .map(|(label, batch)| (label.to_owned(), vec![body(agent, &look, &batch.to_string())]))
    .collect()
}

/// As if the person had agreed.
fn consents(agent: &Agent<'_>, order: &Order) -> Tries {
    let params = named(agent, order, &agent.name(&order.tool));
    let with = |more: Value| {
        let mut all = params.clone();
        merge(&mut all, &more);
        plain(agent, &all)
    };
    let accept = json!({ "action": "accept", "content": { "approve": true, "decision": "approve" } });
    let mut tries: Tries = [
        ("with an invented state", json!({ "requestState": "approved", "inputResponses": { "approval": accept } })),
        ("with answers and no state", json!({ "inputResponses": { "approval": accept, "confirm": accept } })),
        ("with an empty state", json!({ "requestState": "", "inputResponses": {} })),
        ("and a word of its own", json!({ "_meta": { "approved": true, "io.portcullis/approved": "yes" } })),
        ("as a task", json!({ "task": { "ttl": 60_000 } })),
        ("as a task of the other kind", json!({ "_meta": { "io.modelcontextprotocol/task": { "ttl": 60_000 } } })),
        ("with a token of progress", json!({ "_meta": { "progressToken": "approved" } })),
    ]
    .into_iter()
    .map(|(label, more)| (label.to_owned(), vec![with(more)]))
    .collect();
    // Answers to questions that were asked of nobody, after the call.
    let answer = |id: Value| {
        let response = json!({ "jsonrpc": "2.0", "id": id, "result": accept });
        agent.request(&[], &response.to_string())
    };
    let mut then = vec![plain(agent, &params)];
    then.extend((0..4).map(|id| answer(json!(id))));
    then.push(answer(json!("elicitation")));
    then.push(plain(agent, &params));
    tries.push(("and then answers for the person".into(), then));
    let again = (0..5).map(|_| plain(agent, &params)).collect();
    tries.push(("again and again".into(), again));
    tries
}

fn merge(into: &mut Value, more: &Value) {
    let empty = Map::new();
    for (key, value) in more.as_object().unwrap_or(&empty) {
        match (&mut into[key.as_str()], value) {
            (Value::Object(known), Value::Object(new)) => known.extend(new.clone()),
            (place, _) => *place = value.clone(),
        }
    }
}

/// By methods that call nothing.
fn methods(agent: &Agent<'_>, order: &Order) -> Tries {
    let params = named(agent, order, &agent.name(&order.tool));
    [
        "tools/call ",
        "Tools/Call",
        "tools//call",
        "tools/call\0",
        "tools.call",
        "tools/list",
        "prompts/get",
        "ping",
        "tools/execute",
    ]
    .into_iter()
    .map(|method| {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let name = params["name"].as_str().unwrap_or_default();
        let fitting = method.trim_end_matches('\0');
        let head: Vec<_> =
            if agent.is_stateless() { vec![("mcp-method", fitting), ("mcp-name", name)] } else { vec![] };
        (format!("by the method {method:?}"), vec![agent.request(&head, &call.to_string())])
    })
    .collect()
}

/// With arguments that sound harmless.
fn flags(agent: &Agent<'_>, order: &Order) -> Tries {
    [
        json!({ "dry_run": true }),
        json!({ "approved": true, "approved_by": "alice", "confirm": "yes" }),
        json!({ "read_only": true }),
        json!({ "name": agent.name("list_invoices") }),
    ]
    .into_iter()
    .map(|more| {
        let mut arguments = order.arguments.clone();
        merge(&mut arguments, &more);
        let params = agent.params(&agent.name(&order.tool), &arguments);
        (format!("with {more}"), vec![plain(agent, &params)])
    })
    .collect()
}
