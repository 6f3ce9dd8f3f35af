//! What a directory reads when something does not work (RFC 7644 section 3.12).

use std::{borrow::Cow, fmt::Display};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portcullis_store::StoreError;
use serde_json::json;

use super::answer::scim_json;
use crate::{correlation, desk::DeskError, journal::JournalError, limit::TooMany, offboard::OffboardError};

/// An error of this door.
#[derive(Debug)]
pub struct ScimError {
    /// The status.
    pub status: StatusCode,
    /// The registered name.
    pub kind: Option<&'static str>,
    detail: Cow<'static, str>,
    log: String,
    retry_after: Option<u64>,
}

impl ScimError {
    /// An error without a registered name.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, kind: None, detail: detail.into(), log: String::new(), retry_after: None }
    }

    fn named(kind: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: Some(kind), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// The body is not what the operation takes.
    pub fn invalid_syntax(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::named("invalidSyntax", detail)
    }

    /// The filter is malformed, or compares what cannot be compared.
    pub fn invalid_filter(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::named("invalidFilter", detail)
    }

    /// The path is malformed, or names nothing there is.
    pub fn invalid_path(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::named("invalidPath", detail)
    }

    /// A value is missing, or is not one of its attribute.
    pub fn invalid_value(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::named("invalidValue", detail)
    }

    /// The path selects nothing.
    pub fn no_target(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::named("noTarget", detail)
    }

    /// The attribute is not the client's to change.
    pub fn mutability(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::named("mutability", detail)
    }

    /// There is more than we are willing to look through.
    pub fn too_many(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::named("tooMany", detail)
    }

    /// Somebody else has that name.
    pub fn taken(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::CONFLICT, ..Self::named("uniqueness", detail) }
    }

    /// There is no such resource.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such resource in this directory")
    }

    /// It has changed since the version that the client knows.
    pub fn changed() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "the resource has changed since that version: read it again")
    }

    /// Something of ours does not work just now.
    pub fn unavailable(log: impl Display) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway could not do this just now: try again");
        Self { log: log.to_string(), retry_after: Some(5), ..error }
    }

    /// What the log says besides.
    pub fn log(self, text: impl Display) -> Self {
        Self { log: text.to_string(), ..self }
    }
}

impl From<StoreError> for ScimError {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error)
    }
}

impl From<JournalError> for ScimError {
    fn from(error: JournalError) -> Self {
        Self::unavailable(error)
    }
}

impl From<DeskError> for ScimError {
    fn from(error: DeskError) -> Self {
        Self::unavailable(error)
    }
}

impl From<OffboardError> for ScimError {
    fn from(error: OffboardError) -> Self {
        match error {
            // spec: T-95
            OffboardError::LastAdministrator(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            error => Self::unavailable(error),
        }
    }
}

impl From<TooMany> for ScimError {
    fn from(too_many: TooMany) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests: wait a moment");
        Self { retry_after: Some(too_many.retry_after.as_secs().max(1)), ..error }
    }
}

impl IntoResponse for ScimError {
    /// spec: RFC7644#3.12: "status" is a text, and the body says the same as the status line.
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(error = %self.log, "a directory's request could not be served");
        } else {
            tracing::info!(status = self.status.as_u16(), detail = %self.detail, log = %self.log, "a directory's request was refused");
        }
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.as_str(),
            "detail": self.detail,
        });
        if let Some(kind) = self.kind {
            correlation::because(kind);
            body["scimType"] = kind.into();
        }
        let mut response = scim_json(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"scim\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
