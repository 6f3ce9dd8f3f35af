//! Answers as they go out.

use http::{
    Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue},
};
use portcullis_mcp::{OwnedId, ProtocolError};
use serde_json::Value;

use crate::stream::Body;

pub(crate) type Answer = Response<Body>;

/// What an answer must fit: the client takes an event stream, or only JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Events,
    JsonOnly,
}

/// An answer without a body of the protocol.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Body::whole(text));
    *answer.status_mut() = status;
    if !text.is_empty() {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    answer
}

pub(crate) fn accepted() -> Answer {
    plain(StatusCode::ACCEPTED, "")
}

pub(crate) fn refuse(error: &ProtocolError) -> Answer {
    let mut answer = json(error.to_json());
    *answer.status_mut() = StatusCode::from_u16(error.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    answer
}

pub(crate) fn respond(id: &OwnedId, result: &Value) -> Answer {
    json(response(id, result).to_string().into_bytes())
}

fn json(bytes: Vec<u8>) -> Answer {
    let mut answer = Response::new(Body::whole(bytes));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

pub(crate) fn events(body: Body) -> Answer {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    answer
}

/// The message that answers the request `id`.
pub(crate) fn response(id: &OwnedId, result: &Value) -> Value {
    serde_json::json!({ "jsonrpc": "2.0", "id": id_value(id), "result": result })
}

/// The message that refuses the request of `error`.
pub(crate) fn error_message(error: &ProtocolError) -> Value {
    serde_json::from_slice(&error.to_json()).unwrap_or_default()
}

pub(crate) fn id_value(id: &OwnedId) -> Value {
    serde_json::from_str(id.to_json()).unwrap_or_default()
}
