//! A request of the client, and what comes of it.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_mcp::{Call, Method, OwnedId};

/// A request as it is needed after its line.
pub(super) struct Asked {
    pub text: Arc<str>,
    pub id: OwnedId,
    pub name: String,
    pub method: Option<Method>,
    pub target: Option<String>,
    pub version: Option<String>,
}

/// What came of one attempt.
pub(super) enum Came {
    /// The answer.
    Answer(Box<str>),
    /// The stream ended without one.
    Broken(String),
}

impl Asked {
    pub fn of(text: Arc<str>, call: &Call<'_>, id: OwnedId) -> Self {
        let target = call.target.as_deref().map(str::to_owned);
        let version = call.meta.protocol_version_raw.map(|_| call.meta.protocol_version.as_deref());
        Self {
            id,
            name: call.method.to_string(),
            method: call.known,
            target,
            version: version.map(|version| version.unwrap_or_default().to_owned()),
            text,
        }
    }

    /// Whether it says its revision itself.
    pub const fn is_modern(&self) -> bool {
        self.version.is_some()
    }

    pub fn is_subscription(&self) -> bool {
        self.is_modern() && self.method == Some(Method::SubscriptionsListen)
    }

    pub fn body(&self) -> Bytes {
        Bytes::copy_from_slice(self.text.as_bytes())
    }
}
