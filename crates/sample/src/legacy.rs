//! Revisions 2025-03-26 to 2025-11-25: requests in a session.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::header::{HeaderName, HeaderValue};
use portcullis_base::token;
use portcullis_mcp::{
    Call, Message, Method, OwnedId, ProtocolError, Version,
    headers::{self, SESSION_ID},
    message::{Outcome, Response},
    scan,
};
use serde_json::{Value, json};

use crate::{
    answer::{self, Answer, Takes},
    ask,
    session::Session,
    shared::Shared,
    stream::{From, Stream, parse_event_id},
    tools::{self, Elicited, Form, Pace, Stop, elicited, passes_info},
};

/// How long a person may take to answer a form.
const PATIENCE: Duration = Duration::from_mins(5);

/// Where a resource is missing, these revisions have a code of their own.
const RESOURCE_NOT_FOUND: i64 = -32002;

pub(crate) fn initialize(shared: &Shared, version: Version, call: &Call<'_>) -> Answer {
    let Some(id) = call.id else { return answer::accepted() };
    let asks = ask::params(call)["capabilities"]["elicitation"]
        .as_object()
        .is_some_and(|modes| modes.contains_key("form") || !modes.contains_key("url"));
    let session = token::<32>(&*shared.rng);
    shared.sessions.open(
        session.clone(),
        Session::new(version, asks && version >= Version::V2025_06_18),
        shared.clock.now(),
    );
    let result = json!({
        "protocolVersion": version.as_str(),
        "capabilities": ask::capabilities(),
        "serverInfo": ask::implementation(),
        "instructions": ask::INSTRUCTIONS,
    });
    let mut answer = answer::respond(&id.to_owned(), &result);
    let name = HeaderName::from_bytes(SESSION_ID.as_bytes()).expect("the name is a token");
    answer.headers_mut().insert(name, HeaderValue::from_str(&session).expect("base64url is visible ASCII"));
    answer
}

pub(crate) async fn answer(
    shared: &Arc<Shared>,
    session: &[u8],
    message: Message<'_>,
    takes: Takes,
) -> Result<Answer, ProtocolError> {
    let session = find(shared, session)?;
    match message {
        Message::Response(response) => take_answer(&session, &response),
        Message::Notification(call) => take_notification(&session, &call),
        Message::Request(call) => {
            let answered = match headers::admit(&call, session.version)? {
                Some(method) => request(shared, &session, method, &call, takes).await,
                None => return Ok(answer::accepted()),
            };
            return answered.map_err(|error| in_session(error, &call));
        }
    }
    Ok(answer::accepted())
}

/// The GET stream, or one that broke.
pub(crate) fn stream(shared: &Shared, session: &[u8], last_event: Option<&str>) -> Result<Answer, ProtocolError> {
    let session = find(shared, session)?;
    let resumed = last_event.and_then(parse_event_id);
    let body = match resumed.and_then(|(number, position)| Some((session.stream(number)?, position))) {
        // spec: TR-91: only what follows in that very stream
        Some((stream, position)) => stream.follow(From::After(position)),
        None => session.common.follow(From::Undelivered),
    };
    Ok(answer::events(body))
}

pub(crate) fn end(shared: &Shared, session: &[u8]) -> Result<(), ProtocolError> {
    if shared.sessions.end(session) { Ok(()) } else { Err(lost()) }
}

fn find(shared: &Shared, id: &[u8]) -> Result<Arc<Session>, ProtocolError> {
    shared.sessions.find(id, shared.clock.now()).ok_or_else(lost)
}

/// spec: TR-84
fn lost() -> ProtocolError {
    ProtocolError::new(-32600, 404, "There is no such session, or it has ended")
}

/// In a session an error is an answer like any other: its status would be taken for one of the session.
fn in_session(mut error: ProtocolError, call: &Call<'_>) -> ProtocolError {
    error.http = 200;
    if call.known == Some(Method::ResourcesRead) && error.data.as_ref().is_some_and(|data| data.get("uri").is_some()) {
        error.code = RESOURCE_NOT_FOUND;
    }
    error.with_id(call.id)
}

fn take_answer(session: &Session, response: &Response<'_>) {
    let Some(id) = response.id else { return };
    let result = match response.outcome {
        Outcome::Result(raw) => serde_json::from_str(raw).ok(),
        Outcome::Error { .. } => None,
    };
    session.answered(&id.to_owned(), result);
}

fn take_notification(session: &Session, call: &Call<'_>) {
    if call.known == Some(Method::Cancelled) {
        let id = call.params.and_then(|params| scan::member(params, "requestId")).and_then(portcullis_mcp::Id::parse);
        if let Some(id) = id {
            session.cancel(&id.to_owned());
        }
    }
}

async fn request(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    method: Method,
    call: &Call<'_>,
    takes: Takes,
) -> Result<Answer, ProtocolError> {
    let Some(id) = call.id else { return Ok(answer::accepted()) };
    let id = id.to_owned();
    let target = call.target.as_deref().unwrap_or_default();
    let result = match method {
        Method::Ping => json!({}),
        Method::SetLevel => {
            let level = ask::params(call)["level"].as_str().and_then(passes_info);
            let logs = level.ok_or_else(|| ProtocolError::invalid_params("Unknown log level"))?;
            session.logs.store(logs, Ordering::Relaxed);
            json!({})
        }
        Method::ResourcesSubscribe => {
            if !session.watch(target) {
                return Err(ProtocolError::invalid_params("Too many resources are subscribed to"));
            }
            json!({})
        }
        Method::ResourcesUnsubscribe => {
            session.unwatch(target);
            json!({})
        }
        Method::ToolsCall => return call_tool(shared, session, &id, call, takes).await,
        _ => ask::answer(shared, method, call).unwrap_or_else(|| Err(ProtocolError::method_not_found(&call.method)))?,
    };
    Ok(answer::respond(&id, &result))
}

async fn call_tool(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    id: &OwnedId,
    call: &Call<'_>,
    takes: Takes,
) -> Result<Answer, ProtocolError> {
    let tool = tools::find(call.target.as_deref().unwrap_or_default())?;
    let arguments = ask::arguments(call);
    let mut peer = Peer {
        session: Arc::clone(session),
        progress_token: call.meta.progress_token.and_then(|raw| serde_json::from_str(raw).ok()),
        stream: None,
    };
    if tool.pace == Pace::Quick || takes == Takes::JsonOnly {
        return result(tools::call(shared, tool, &arguments, &mut peer).await)
            .map(|result| answer::respond(id, &result));
    }
    let stream = session.open_stream();
    // spec: TR-90
    if session.version >= Version::V2025_11_25 {
        stream.prime();
    }
    peer.stream = Some(Arc::clone(&stream));
    session.run(id, &stream, {
        let (shared, session, stream, id) = (Arc::clone(shared), Arc::clone(session), Arc::clone(&stream), id.clone());
        async move {
            let last = match result(tools::call(&shared, tool, &arguments, &mut peer).await) {
                Ok(result) => answer::response(&id, &result),
                Err(error) => answer::error_message(&error.with_id(Some(id.as_id()))),
            };
            stream.send(&last);
            stream.end();
            session.finished(&id);
        }
    });
    Ok(answer::events(stream.follow(From::Undelivered)))
}

fn result(outcome: Result<Value, Stop>) -> Result<Value, ProtocolError> {
    match outcome {
        Ok(result) => Ok(result),
        Err(Stop::Error(error)) => Err(error),
        Err(Stop::InputRequired(_)) => Err(ProtocolError::internal(500, "This revision asks in another way")),
    }
}

struct Peer {
    session: Arc<Session>,
    progress_token: Option<Value>,
    stream: Option<Arc<Stream>>,
}

impl Peer {
    fn send(&self, message: &Value) {
        if let Some(stream) = &self.stream {
            stream.send(message);
        }
    }
}

impl tools::Peer for Peer {
    async fn progress(&mut self, done: u64, total: u64, message: &str) {
        let Some(token) = &self.progress_token else { return };
        let mut params = json!({ "progressToken": token, "progress": done, "total": total });
        params["message"] = message.into();
        self.send(&json!({ "jsonrpc": "2.0", "method": Method::Progress.name(), "params": params }));
    }

    async fn log(&mut self, message: &str) {
        if self.session.logs.load(Ordering::Relaxed) {
            let params = json!({ "level": "info", "logger": "portcullis-sample", "data": message });
            self.send(&json!({ "jsonrpc": "2.0", "method": Method::LogMessage.name(), "params": params }));
        }
    }

    async fn elicit(&mut self, form: &Form) -> Result<Elicited, Stop> {
        let (Some(stream), true) = (&self.stream, self.session.asks) else {
            let message = "This tool asks the person by a form, which this client did not offer";
            return Err(Stop::Error(ProtocolError::invalid_params(message)));
        };
        let (id, answer) = self.session.expect_answer();
        let mut params = json!({ "message": form.message, "requestedSchema": form.schema });
        if self.session.version >= Version::V2025_11_25 {
            params["mode"] = "form".into();
        }
        stream.send(&json!({
            "jsonrpc": "2.0", "id": answer::id_value(&id), "method": Method::Elicit.name(), "params": params }));
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(Some(result))) => elicited(&result),
            _ => Ok(Elicited::Declined),
        }
    }
}
