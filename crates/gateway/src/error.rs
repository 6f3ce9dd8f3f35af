//! One error, one response. The only place of the doors that knows status codes.
//!
//! Every error has two texts: one for the caller, which says what the caller can do, and one for the log, which says
//! what happened. Inner errors and secrets never reach the caller. People get a page, programs the JSON of RFC 6749.

use std::{borrow::Cow, fmt::Display, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portcullis_oauth::error::{RegistrationError, TokenError};
use serde_json::json;

use crate::{
    correlation,
    limit::TooMany,
    pages::error::{Problem, problem},
};

/// An error that a person sees, as a page on our origin that redirects nowhere.
#[derive(Debug)]
pub struct PageError(Box<Shown>);

#[derive(Debug)]
struct Shown {
    status: StatusCode,
    code: Cow<'static, str>,
    title: &'static str,
    text: Cow<'static, str>,
    facts: Vec<(&'static str, String)>,
    onward: Vec<(&'static str, String)>,
    retry_after: Option<Duration>,
    log: String,
}

/// An error that a program reads.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    description: Cow<'static, str>,
    challenge: Option<&'static str>,
    retry_after: Option<Duration>,
    log: String,
}

impl PageError {
    /// An error with a name that an administrator can look up.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        title: &'static str,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (code, text) = (code.into(), text.into());
        let (facts, onward, retry_after, log) = (Vec::new(), Vec::new(), None, String::new());
        Self(Box::new(Shown { status, code, title, text, facts, onward, retry_after, log }))
    }

    /// Shows a foreign value under a label of ours.
    pub fn fact(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.0.facts.push((label, value.into()));
        self
    }

    /// Offers a way on. The address must be one that the reader may safely follow.
    pub fn onward(mut self, label: &'static str, address: String) -> Self {
        self.0.onward.push((label, address));
        self
    }

    /// Says when to try again.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// What the log says besides.
    pub fn log(mut self, text: impl Display) -> Self {
        self.0.log = text.to_string();
        self
    }

    /// There is no such page.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is no such page",
            "The address is wrong, or what was here is gone.",
        )
    }

    /// The form did not come from a page of ours. spec: T-2
    pub fn foreign_form(why: &'static str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "form.foreign",
            "This form could not be accepted",
            "It was not sent from a page of this gateway, or the page was too old. Nothing was changed. Go back and try again from the start.",
        )
        .log(why)
    }

    /// Something of ours does not work just now.
    pub fn unavailable(log: impl Display) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "This does not work just now",
            "The gateway could not finish the request. Nothing was decided. Try again in a moment.",
        )
        .log(log)
    }

    /// The name an administrator can look up.
    pub fn code(&self) -> &str {
        &self.0.code
    }
}

impl ApiError {
    /// `invalid_request`, `invalid_client` and so on.
    pub fn new(status: StatusCode, code: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, description: description.into(), challenge: None, retry_after: None, log: String::new() }
    }

    /// `invalid_request`: the request is not well-formed.
    pub fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// Adds a `WWW-Authenticate` challenge.
    pub fn challenge(self, challenge: &'static str) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    /// What the log says besides.
    pub fn log(self, text: impl Display) -> Self {
        Self { log: text.to_string(), ..self }
    }

    /// Something of ours does not work just now.
    pub fn unavailable(log: impl Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "try again in a moment").log(log)
    }

    /// The registered code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl From<TooMany> for PageError {
    fn from(too_many: TooMany) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many",
            "Too many tries",
            format!("Wait {} and try again.", spoken(too_many.retry_after)),
        );
        error.0.retry_after = Some(too_many.retry_after);
        error
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self { challenge: error.challenge(), ..Self::new(status, error.code.as_str(), error.description) }
    }
}

// spec: AS-120
impl From<RegistrationError> for ApiError {
    fn from(error: RegistrationError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.code.as_str(), error.description)
    }
}

impl From<TooMany> for ApiError {
    fn from(too_many: TooMany) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", "too many requests; slow down");
        Self { retry_after: Some(too_many.retry_after), ..error }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let Shown { status, code, title, text, facts, onward, retry_after, log } = *self.0;
        if status.is_server_error() {
            tracing::error!(http.status = status.as_u16(), error.code = %code, error.detail = %log, "page failed");
        } else {
            tracing::info!(http.status = status.as_u16(), error.code = %code, error.detail = %log, "page refused");
        }
        correlation::because(code.clone());
        let view = Problem { title, text: &text, facts: &facts, onward: &onward, code: &code };
        with_retry(problem(&view, None).status(status).into_response(), retry_after)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, log) = (self.status.as_u16(), self.code, &self.log);
        if self.status.is_server_error() {
            tracing::error!(http.status = status, error.code = code, error.detail = %log, "request failed");
        } else {
            tracing::info!(http.status = status, error.code = code, error.detail = %log, "request refused");
        }
        correlation::because(self.code);
        let body = json!({ "error": self.code, "error_description": self.description });
        let headers = [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        let mut response = (self.status, headers, body.to_string()).into_response();
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        with_retry(response, self.retry_after)
    }
}

fn with_retry(mut response: Response, retry_after: Option<Duration>) -> Response {
    if let Some(wait) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
    }
    response
}

fn spoken(wait: Duration) -> String {
    match wait.as_secs() + 1 {
        1 => "a second".into(),
        seconds @ 2..=90 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}
