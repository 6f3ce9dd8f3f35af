//! Giving up a call of a legacy session: its upstream is told, since the end of a connection tells it nothing (TR-14).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::upstream::{Credential, Upstream};

/// How to tell an upstream that a call is given up.
pub(super) struct Cancel {
    upstream: Arc<Upstream>,
    session: HeaderMap,
    credential: Credential,
    id: Box<str>,
}

impl Cancel {
    /// For the request `id` (raw JSON), with the headers of its session and what the request was shown with.
    pub(super) fn new(upstream: Arc<Upstream>, session: HeaderMap, credential: Credential, id: &str) -> Self {
        Self { upstream, session, credential, id: id.into() }
    }

    /// Tells it, without waiting for what it says.
    pub(super) fn tell(self) {
        let Self { upstream, session, credential, id } = self;
        let body = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"given up by the gateway"}}}}"#
        );
        let mut request = upstream.request(Method::POST, Bytes::from(body));
        let headers = request.headers_mut();
        headers.extend(session);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        tokio::spawn(async move {
            if let Err(error) = upstream.send(request, &credential).await {
                tracing::info!(server.name = %upstream.name(), %error, "a call could not be cancelled");
            }
        });
    }
}
