//! Revision 2026-07-28: every request by itself.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_mcp::{
    Call, Headers, Method, OwnedId, ProtocolError, Version, headers,
    message::{META_SERVER_INFO, META_SUBSCRIPTION_ID},
    scan,
};
use serde_json::{Map, Value, json};
use tokio::sync::{broadcast::error::RecvError, mpsc};

use crate::{
    answer::{self, Answer, Takes},
    ask,
    notebook::Change,
    shared::Shared,
    stream::{self, Body},
    tools::{self, Elicited, Form, Pace, Stop, elicited, passes_info},
};

pub(crate) async fn answer(
    shared: &Arc<Shared>,
    headers: &Headers<'_>,
    method: Method,
    call: &Call<'_>,
    takes: Takes,
) -> Result<Answer, ProtocolError> {
    let Some(id) = call.id else { return Ok(answer::accepted()) };
    let id = id.to_owned();
    let answered = match method {
        Method::Discover => Ok(answer::respond(&id, &cacheable(discover(), 60_000, "public"))),
        Method::SubscriptionsListen => listen(shared, &id, call, takes),
        Method::ToolsCall => call_tool(shared, headers, &id, call, takes).await,
        _ => match ask::answer(shared, method, call) {
            Some(result) => result.map(|result| answer::respond(&id, &finished(method, result))),
            None => Err(ProtocolError::method_not_found(&call.method)),
        },
    };
    answered.map_err(|error| error.with_id(call.id))
}

fn discover() -> Value {
    json!({
        "supportedVersions": Version::SERVED.iter().map(|version| version.as_str()).collect::<Vec<_>>(),
        "capabilities": ask::capabilities(),
        "instructions": ask::INSTRUCTIONS,
    })
}

/// spec: TR-71
fn finished(method: Method, result: Value) -> Value {
    match method {
        Method::ToolsList | Method::PromptsList | Method::ResourceTemplatesList => cacheable(result, 60_000, "public"),
        Method::ResourcesList | Method::ResourcesRead => cacheable(result, 0, "private"),
        _ => complete(result),
    }
}

fn cacheable(mut result: Value, ttl_ms: u64, scope: &str) -> Value {
    result["ttlMs"] = ttl_ms.into();
    result["cacheScope"] = scope.into();
    complete(result)
}

fn complete(result: Value) -> Value {
    typed(result, "complete")
}

/// spec: TR-54, TR-55
fn typed(mut result: Value, result_type: &str) -> Value {
    result["resultType"] = result_type.into();
    result["_meta"][META_SERVER_INFO] = ask::implementation();
    result
}

async fn call_tool(
    shared: &Arc<Shared>,
    headers: &Headers<'_>,
    id: &OwnedId,
    call: &Call<'_>,
    takes: Takes,
) -> Result<Answer, ProtocolError> {
    let tool = tools::find(call.target.as_deref().unwrap_or_default())?;
    // spec: TR-46
    headers::check_params(headers, &tool.headers, call.arguments)?;
    let mut peer = Peer {
        shared: Arc::clone(shared),
        tool: tool.name,
        arguments: call.arguments.unwrap_or("{}").to_owned(),
        asks: call.meta.client_capabilities.and_then(|raw| scan::member(raw, "elicitation")).is_some_and(takes_forms),
        answers: call.input_responses.map(|raw| serde_json::from_str(raw).unwrap_or_default()),
        state: call.request_state.and_then(scan::string).map(String::from),
        progress_token: call.meta.progress_token.and_then(|raw| serde_json::from_str(raw).ok()),
        logs: log_level(call)?,
        outbox: None,
    };
    let arguments = ask::arguments(call);
    let talks = peer.progress_token.is_some() || peer.logs;
    if tool.pace != Pace::Tells || takes == Takes::JsonOnly || !talks {
        return result(tools::call(shared, tool, &arguments, &mut peer).await)
            .map(|result| answer::respond(id, &result));
    }
    let (sender, body) = Body::events();
    peer.outbox = Some(sender.clone());
    let (shared, id) = (Arc::clone(shared), id.clone());
    tokio::spawn(async move {
        let work = async {
            // spec: TR-58: the status is gone, so what fails now is the last message of the stream
            let last = match result(tools::call(&shared, tool, &arguments, &mut peer).await) {
                Ok(result) => answer::response(&id, &result),
                Err(error) => answer::error_message(&error.with_id(Some(id.as_id()))),
            };
            let _ = sender.send(stream::message(&last)).await;
        };
        tokio::select! {
            () = work => {}
            // spec: TR-61: who goes away wants no answer, and no more work
            () = sender.closed() => {}
        }
    });
    Ok(answer::events(body))
}

fn result(outcome: Result<Value, Stop>) -> Result<Value, ProtocolError> {
    match outcome {
        Ok(result) => Ok(complete(result)),
        Err(Stop::InputRequired(requests)) => Ok(typed(requests, "input_required")),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// An elicitation capability that says nothing of modes means forms.
fn takes_forms(raw: &str) -> bool {
    scan::kind(raw) == scan::Kind::Object && (scan::member(raw, "form").is_some() || scan::member(raw, "url").is_none())
}

/// Whether log messages at `info` were asked for.
///
/// spec: TR-63, TR-64
fn log_level(call: &Call<'_>) -> Result<bool, ProtocolError> {
    let Some(raw) = call.meta.log_level else { return Ok(false) };
    let level = scan::string(raw).unwrap_or_default();
    passes_info(&level).ok_or_else(|| ProtocolError::invalid_params("Unknown log level"))
}

struct Peer {
    shared: Arc<Shared>,
    tool: &'static str,
    arguments: String,
    asks: bool,
    answers: Option<Value>,
    state: Option<String>,
    progress_token: Option<Value>,
    logs: bool,
    outbox: Option<mpsc::Sender<Bytes>>,
}

impl Peer {
    async fn notify(&self, method: &str, params: Value) {
        if let Some(outbox) = &self.outbox {
            let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
            let _ = outbox.send(stream::message(&message)).await;
        }
    }
}

impl tools::Peer for Peer {
    async fn progress(&mut self, done: u64, total: u64, message: &str) {
        if let Some(token) = &self.progress_token {
            let params = json!({ "progressToken": token, "progress": done, "total": total, "message": message });
            self.notify(Method::Progress.name(), params).await;
        }
    }

    async fn log(&mut self, message: &str) {
        if self.logs {
            let params = json!({ "level": "info", "logger": self.tool, "data": message });
            self.notify(Method::LogMessage.name(), params).await;
        }
    }

    async fn elicit(&mut self, form: &Form) -> Result<Elicited, Stop> {
        // spec: TR-57
        if !self.asks {
            let required = json!({ "elicitation": { "form": {} } });
            let error = ProtocolError::missing_capability(required, "This tool asks the person, by a form");
            return Err(Stop::Error(error));
        }
        let now = self.shared.clock.now();
        if let Some(state) = &self.state {
            // spec: T-65: a state of another call, or an old one, opens nothing
            if !self.shared.seal.holds(state, now, self.tool, &self.arguments) {
                return Err(Stop::Error(ProtocolError::invalid_params("requestState is none of ours, or has expired")));
            }
            if let Some(answer) = self.answers.as_ref().and_then(|answers| answers.get(form.key)) {
                return elicited(answer);
            }
        }
        let state = self.shared.seal.issue(&*self.shared.rng, now, self.tool, &self.arguments);
        Err(Stop::InputRequired(json!({
            "inputRequests": { form.key: {
                "method": Method::Elicit.name(),
                "params": { "mode": "form", "message": form.message, "requestedSchema": form.schema },
            } },
            "requestState": state,
        })))
    }
}

/// spec: TR-65, TR-66, TR-67
fn listen(shared: &Arc<Shared>, id: &OwnedId, call: &Call<'_>, takes: Takes) -> Result<Answer, ProtocolError> {
    if takes == Takes::JsonOnly {
        return Err(ProtocolError::new(-32600, 406, "A subscription is read as text/event-stream"));
    }
    let wanted = &ask::params(call)["notifications"];
    if !wanted.is_object() {
        return Err(ProtocolError::invalid_params("params.notifications is an object"));
    }
    let lists = wanted["resourcesListChanged"] == true;
    let uris: Vec<String> = wanted["resourceSubscriptions"]
        .as_array()
        .map(|uris| uris.iter().filter_map(Value::as_str).take(100).map(String::from).collect())
        .unwrap_or_default();
    let mut honoured = Map::new();
    if lists {
        honoured.insert("resourcesListChanged".into(), true.into());
    }
    if !uris.is_empty() {
        honoured.insert("resourceSubscriptions".into(), uris.clone().into());
    }

    let (sender, body) = Body::events();
    let mut changes = shared.notebook.listen();
    let mut closing = shared.closing.subscribe();
    let id = id.clone();
    tokio::spawn(async move {
        let meta = json!({ META_SUBSCRIPTION_ID: answer::id_value(&id) });
        let tell = async |method: Method, mut params: Value| {
            params["_meta"] = meta.clone();
            let message = json!({ "jsonrpc": "2.0", "method": method.name(), "params": params });
            sender.send(stream::message(&message)).await.is_ok()
        };
        if !tell(Method::SubscriptionsAcknowledged, json!({ "notifications": honoured })).await {
            return;
        }
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                () = sender.closed() => return,
                _ = closing.wait_for(|closing| *closing) => break,
            };
            let updated = match change {
                Ok(change) => Some(change),
                // Some were missed: the list is what surely changed.
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => break,
            };
            if lists && !tell(Method::ResourcesListChanged, json!({})).await {
                return;
            }
            if let Some(uri) = updated.as_ref().map(Change::uri).filter(|uri| uris.iter().any(|wanted| wanted == uri))
                && !tell(Method::ResourceUpdated, json!({ "uri": uri })).await
            {
                return;
            }
        }
        // spec: TR-68
        let mut result = complete(json!({}));
        result["_meta"][META_SUBSCRIPTION_ID] = answer::id_value(&id);
        let _ = sender.send(stream::message(&answer::response(&id, &result))).await;
    });
    Ok(answer::events(body))
}
