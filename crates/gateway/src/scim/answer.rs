//! Answers of this door, and what a request's body must be.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use super::error::ScimError;

/// The media type. spec: RFC7644#3.1
pub const MEDIA_TYPE: &str = "application/scim+json";

/// An answer with a body.
pub fn scim_json(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer without one.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The JSON object in a request's body.
pub struct Document(pub Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = ScimError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ScimError> {
        is_json(request.headers())?;
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| ScimError::new(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long").log(error))?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(ScimError::invalid_syntax("the body is not a JSON object")),
            Err(error) => Err(ScimError::invalid_syntax("the body is not JSON").log(error)),
        }
    }
}

/// spec: RFC7644#3.1: `application/scim+json`; clients may send `application/json`.
fn is_json(headers: &HeaderMap) -> Result<(), ScimError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(MEDIA_TYPE) || kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ScimError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/scim+json or application/json"))
}

/// The member of this name, whatever its case.
pub fn member(document: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = document.keys().find(|key| key.eq_ignore_ascii_case(name))?.clone();
    document.remove(&key)
}

/// Whether the document says that it is of this schema.
pub fn is_of(document: &mut Map<String, Value>, schema: &str) -> bool {
    let schemas = member(document, "schemas");
    let names = schemas.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    names.iter().filter_map(Value::as_str).any(|name| name.eq_ignore_ascii_case(schema))
}
