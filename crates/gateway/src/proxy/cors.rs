//! What browsers need to be told (TR-15). Only pages of allowed origins get this far.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::answer::{self, Answer};
use crate::origin::Origins;

const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, DELETE");
const EXPOSED: HeaderValue = HeaderValue::from_static("WWW-Authenticate, Mcp-Session-Id");
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The answer to a preflight.
pub(super) fn preflight(headers: &HeaderMap) -> Response<Answer> {
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    let out = response.headers_mut();
    out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    out.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    // spec: TR-15: "echoing requested headers": `Mcp-Param-*` names cannot be listed beforehand.
    if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    out.insert(header::VARY, HeaderValue::from_static("Origin, Access-Control-Request-Headers"));
    response
}

/// Lets the page that asked read the answer.
pub(super) fn expose(origins: &Origins, origin: Option<HeaderValue>, response: &mut Response<Answer>) {
    let Some(origin) = origin.filter(|origin| origins.allows(origin)) else { return };
    let out = response.headers_mut();
    out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    out.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    out.append(header::VARY, HeaderValue::from_static("Origin"));
}
