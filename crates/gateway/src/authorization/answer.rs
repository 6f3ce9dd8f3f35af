//! JSON answers with the caching each endpoint needs.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;

use crate::error::ApiError;

/// What may be kept of an answer.
#[derive(Clone, Copy)]
pub enum Keep {
    /// Public documents. spec: AS-21: a changed setting is seen within minutes.
    Minutes,
    /// Answers that carry or concern credentials. spec: AS-71
    Nothing,
}

/// `value` as JSON.
pub fn json(status: StatusCode, keep: Keep, value: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_string(value).map_err(ApiError::unavailable)?;
    let cache = match keep {
        Keep::Minutes => "public, max-age=300",
        Keep::Nothing => "no-store",
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, cache),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((status, headers, body).into_response())
}
