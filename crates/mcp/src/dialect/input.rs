//! What a server asks of a client in the middle of a call: today as an entry of `inputRequests`, before that as a
//! request of its own. And the answers, the same way back.

use std::borrow::Cow;

use crate::{
    error::ProtocolError,
    method::Method,
    object::{Object, edit_elements, quoted},
    scan,
};

/// The answer that a person gives by closing the window: what is answered when they cannot be asked.
///
/// spec: BR-27, BR-31, BR-50
pub const CANCELLED: &str = r#"{"action":"cancel"}"#;

/// What a server asks of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// An answer of its person.
    Elicitation,
    /// An answer of its model.
    Sampling,
    /// Its roots.
    Roots,
}

/// How a legacy client is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// By this request; its answer is read by [`Down::answer`](super::Down::answer).
    Request {
        /// What is asked for; [`Input::method`] is the method of the request.
        input: Input,
        /// Its raw parameters.
        params: String,
    },
    /// Not at all: this is the raw answer for the server.
    Answer(&'static str),
    /// Not at all, and the call cannot go on without: the error to end it with, in words for a legacy client.
    Unable(ProtocolError),
}

/// What becomes of a request of a legacy server.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// A raw entry for `inputRequests`; its answer is read by [`Up::answer`](super::Up::answer).
    Entry(Input, String),
    /// The server is answered at once with this raw result.
    Answer(&'static str),
    /// The server is answered at once with this error (its id is the request's).
    Refused(ProtocolError),
}

/// A text that is not what it has to be, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for ProtocolError {
    /// spec: BR-47: "malformed answers are -32602"
    fn from(malformed: Malformed) -> Self {
        Self::invalid_params(malformed.0)
    }
}

impl Input {
    /// What `method` asks for.
    pub fn of(method: Method) -> Option<Self> {
        match method {
            Method::Elicit => Some(Self::Elicitation),
            Method::CreateMessage => Some(Self::Sampling),
            Method::RootsList => Some(Self::Roots),
            _ => None,
        }
    }

    /// The method that asks for it.
    pub fn method(self) -> Method {
        match self {
            Self::Elicitation => Method::Elicit,
            Self::Sampling => Method::CreateMessage,
            Self::Roots => Method::RootsList,
        }
    }

    /// The answer when the client refuses or does not answer in time; `None` if the call ends with that.
    ///
    /// spec: BR-31: "elicitation becomes action: cancel; sampling and roots failures end the call"
    pub fn when_refused(self) -> Option<&'static str> {
        (self == Self::Elicitation).then_some(CANCELLED)
    }

    pub(super) fn entry(self, params: Option<&str>) -> String {
        let method = self.method().name();
        match params {
            Some(params) => format!(r#"{{"method":"{method}","params":{params}}}"#),
            None => format!(r#"{{"method":"{method}"}}"#),
        }
    }
}

/// The entry with the name of the server that asks in front of what it says to the person; other entries as they are.
///
/// spec: BR-66: "Mark in form elicitations which upstream asks (message prefix)"
pub fn signed<'a>(entry: &'a str, server: &str) -> Cow<'a, str> {
    let is_elicitation = scan::member(entry, "method").and_then(scan::string).as_deref() == Some(Method::Elicit.name());
    let Some(mut whole) = Object::read(entry).filter(|_| is_elicitation) else { return Cow::Borrowed(entry) };
    let Some(mut params) = whole.raw("params").and_then(Object::read) else { return Cow::Borrowed(entry) };
    let prefix = format!("{server}: ");
    match params.raw("message").and_then(scan::string) {
        Some(message) if !message.starts_with(&prefix) => {
            params.set("message", quoted(&format!("{prefix}{message}")));
        }
        _ => return Cow::Borrowed(entry),
    }
    whole.set("params", params.finish());
    whole.finish()
}

/// The roots of a client without those in its own file system, for servers elsewhere.
///
/// spec: BR-75: "filter file:// URIs by policy before they reach a remote upstream"
pub fn without_files(answer: &str) -> Cow<'_, str> {
    let (Some(mut object), Some(roots)) = (Object::read(answer), scan::member(answer, "roots")) else {
        return Cow::Borrowed(answer);
    };
    // What does not even begin like a URI may be read as a file by somebody else.
    let is_elsewhere = |root: &str| {
        let uri = scan::member(root, "uri").and_then(scan::string);
        let scheme = uri.as_ref().and_then(|uri| uri.split_once(':')).map_or("", |(scheme, _)| scheme);
        let is_scheme =
            !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        is_scheme && !scheme.eq_ignore_ascii_case("file")
    };
    object.set("roots", edit_elements(roots, |_, root| is_elsewhere(root).then_some(Cow::Borrowed(root))));
    object.finish()
}
