//! The one path and its three verbs.

use std::sync::Arc;

use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, ORIGIN},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use portcullis_mcp::{
    Class, Era, Headers, Message, ProtocolError, Version,
    headers::{self, Field},
    message::{Body as Parsed, parse},
};

use crate::{
    answer::{Answer, Takes, accepted, plain, refuse},
    legacy, modern,
    shared::Shared,
};

/// Bytes of a request's body at most.
const LONGEST_BODY: usize = 1 << 20;

/// Which requests a connection may carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Any: the connection was made by this process.
    None,
    /// Those to a loopback name that no foreign page sent.
    Loopback,
}

pub(crate) async fn serve(shared: Arc<Shared>, guard: Guard, request: Request<Incoming>) -> Answer {
    if guard == Guard::Loopback && !is_local(request.headers()) {
        return plain(StatusCode::FORBIDDEN, "Only local callers are served here.\n");
    }
    if request.uri().path() != "/mcp" {
        return plain(StatusCode::NOT_FOUND, "The endpoint is /mcp.\n");
    }
    let answered = match *request.method() {
        Method::POST => post(&shared, request).await,
        Method::GET => stream(&shared, request.headers()),
        Method::DELETE => end(&shared, request.headers()),
        _ => {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
            return answer;
        }
    };
    answered.unwrap_or_else(|error| refuse(&error))
}

async fn post(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Answer, ProtocolError> {
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) || head.headers.contains_key(CONTENT_ENCODING) {
        return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "A message is application/json, not encoded.\n"));
    }
    let Some(takes) = takes(&head.headers) else {
        return Ok(plain(StatusCode::NOT_ACCEPTABLE, "Answers are application/json or text/event-stream.\n"));
    };
    let bytes = match Limited::new(body, LONGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "The body is too long.\n"));
        }
        Err(_) => return Ok(plain(StatusCode::BAD_REQUEST, "The body was cut off.\n")),
    };
    let message = match parse(&bytes, &shared.limits)? {
        Parsed::One(message) => message,
        Parsed::Batch(_) => return Err(ProtocolError::invalid_request("Batches are not served")),
    };
    let found = protocol_headers(&head.headers);
    match (headers::classify(&found, &message, Version::SERVED)?, message) {
        (Class::Modern { method: Some(method), .. }, Message::Request(call)) => {
            modern::answer(shared, &found, method, &call, takes).await
        }
        (Class::Initialize { version }, Message::Request(call)) => Ok(legacy::initialize(shared, version, &call)),
        (Class::Session { session, .. }, message) => legacy::answer(shared, session, message, takes).await,
        (Class::Modern { .. } | Class::Initialize { .. }, _) => Ok(accepted()),
    }
}

fn stream(shared: &Shared, headers: &HeaderMap) -> Result<Answer, ProtocolError> {
    let found = legacy_headers(headers)?;
    if takes(headers) != Some(Takes::Events) {
        return Ok(plain(StatusCode::NOT_ACCEPTABLE, "What is read here is text/event-stream.\n"));
    }
    legacy::stream(shared, session_of(&found)?, found.last_event.text())
}

fn end(shared: &Shared, headers: &HeaderMap) -> Result<Answer, ProtocolError> {
    let found = legacy_headers(headers)?;
    legacy::end(shared, session_of(&found)?)?;
    Ok(plain(StatusCode::NO_CONTENT, ""))
}

fn protocol_headers(headers: &HeaderMap) -> Headers<'_> {
    Headers::collect(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// The headers of a verb that only sessions have.
fn legacy_headers(headers: &HeaderMap) -> Result<Headers<'_>, ProtocolError> {
    let found = protocol_headers(headers);
    let served = |text: &str| Version::parse(text).is_some_and(|version| Version::SERVED.contains(&version));
    match found.version {
        Field::Absent => {}
        Field::One(_) if found.version.text().and_then(Version::parse).is_some_and(|v| v.era() == Era::Modern) => {
            return Err(ProtocolError::new(-32600, 405, "Only POST belongs to this revision"));
        }
        Field::One(_) if found.version.text().is_some_and(served) => {}
        Field::One(other) => {
            let requested = String::from_utf8_lossy(other);
            return Err(ProtocolError::unsupported_version(
                &requested,
                Version::SERVED,
                "Unsupported protocol version",
            ));
        }
        Field::Repeated => return Err(ProtocolError::header_mismatch("MCP-Protocol-Version is repeated")),
    }
    Ok(found)
}

fn session_of<'h>(headers: &Headers<'h>) -> Result<&'h [u8], ProtocolError> {
    headers.session.one().ok_or_else(|| ProtocolError::invalid_request("Mcp-Session-Id is missing"))
}

/// A request to a loopback name, from a loopback page or from none (DNS rebinding).
fn is_local(headers: &HeaderMap) -> bool {
    let loopback = |authority: &str| {
        let name = match authority.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => authority,
        };
        ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| name.eq_ignore_ascii_case(local))
    };
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
    let host = headers.get(HOST).map(text).is_some_and(|host| loopback(&host));
    let origin = headers.get(ORIGIN).map(text).is_none_or(|origin| {
        origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).is_some_and(loopback)
    });
    host && origin
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// What the client takes; `None` if nothing that could be sent. No `Accept` takes everything.
///
/// spec: TR-8
fn takes(headers: &HeaderMap) -> Option<Takes> {
    let mut ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if ranges.peek().is_none() {
        return Some(Takes::Events);
    }
    let kinds: Vec<String> = ranges
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .collect();
    let any = |wanted: &[&str]| kinds.iter().any(|kind| wanted.contains(&kind.as_str()));
    if any(&["text/event-stream", "text/*", "*/*"]) {
        Some(Takes::Events)
    } else {
        any(&["application/json", "application/*"]).then_some(Takes::JsonOnly)
    }
}
