//! Answers that end a request before anything is forwarded.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use portcullis_base::ServerName;
use portcullis_mcp::{Message, ProtocolError, message};
use portcullis_policy::Target;

use super::{
    answer::{self, Answer},
    approval::Waited,
    parts::Settings,
};

/// An answer that ends the request.
pub(super) struct Refusal(Box<Response<Answer>>);

impl Refusal {
    /// The answer.
    pub(super) fn into_response(self) -> Response<Answer> {
        *self.0
    }

    /// The answer of JSON-RPC that it is, if it is one.
    pub(super) fn said(&self) -> Option<&str> {
        let Answer::Whole(body) = self.0.body() else { return None };
        let text = std::str::from_utf8(body).ok()?;
        let message = message::message(text).ok()?;
        matches!(message, Message::Response(response) if response.id.is_some()).then_some(text)
    }

    /// Its status.
    pub(super) fn code(&self) -> StatusCode {
        self.0.status()
    }

    /// An answer that was made elsewhere and ends this request too.
    pub(super) fn answered(response: Response<Answer>) -> Self {
        Self(Box::new(response))
    }

    /// No answer at all: the request waited, and is to be judged anew as things are now.
    pub(super) fn anew(waited: Waited) -> Self {
        let mut refusal = Self::status(StatusCode::SERVICE_UNAVAILABLE);
        refusal.0.extensions_mut().insert(Arc::new(waited));
        refusal
    }

    /// What it waited for, if the request is to be judged anew.
    pub(super) fn waited(mut self) -> Result<Arc<Waited>, Self> {
        self.0.extensions_mut().remove().ok_or(self)
    }

    /// A status without more words.
    pub(super) fn status(status: StatusCode) -> Self {
        Self(Box::new(answer::empty(status)))
    }

    /// An answer that was made elsewhere.
    pub(super) fn of(status: StatusCode, headers: HeaderMap, body: Vec<u8>) -> Self {
        let mut response = Response::new(Answer::Whole(body.into()));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Self(Box::new(response))
    }

    /// A method of HTTP that is not for this endpoint.
    pub(super) fn method(allow: &'static str) -> Self {
        let mut refusal = Self::status(StatusCode::METHOD_NOT_ALLOWED);
        refusal.0.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        refusal
    }

    /// A status with a challenge.
    pub(super) fn challenge(status: StatusCode, challenge: &str) -> Self {
        let mut refusal = Self::status(status);
        if let Ok(value) = HeaderValue::try_from(challenge) {
            refusal.0.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        refusal.0.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        refusal
    }

    /// An unknown server, and one that the caller may not use.
    // spec: T-55: "unentitled and non-existent servers give the same 404"
    ///
    /// The link is made of the name that the caller came with, and the page there says the same of both.
    pub(super) fn no_server(settings: &Settings, name: &ServerName) -> Self {
        let link = settings.access_link(name, &Target::None);
        let text = format!("There is no such server here, or you may not use it. Ask for access at {link}");
        ProtocolError::new(portcullis_mcp::message::INVALID_REQUEST, 404, text).into()
    }

    /// A session that is unknown, ended, or another's.
    // spec: TR-84
    pub(super) fn no_session() -> Self {
        ProtocolError::new(portcullis_mcp::message::INVALID_REQUEST, 404, "Session not found.").into()
    }
}

impl From<ProtocolError> for Refusal {
    fn from(error: ProtocolError) -> Self {
        Self(Box::new(answer::error(&error)))
    }
}
