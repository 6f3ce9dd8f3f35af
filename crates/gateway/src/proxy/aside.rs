//! What the gateway itself tells the upstream of a legacy session, beside what its client says.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::upstream::{Credential, Upstream};

/// A way to tell it.
pub(super) struct Aside {
    upstream: Arc<Upstream>,
    session: HeaderMap,
    credential: Credential,
}

impl Aside {
    /// With the headers of its session and what the client's request was shown with.
    pub(super) fn new(upstream: Arc<Upstream>, session: HeaderMap, credential: Credential) -> Self {
        Self { upstream, session, credential }
    }

    /// The call `id` (raw JSON) is given up, which the end of a connection does not say.
    // spec: TR-14: "on expiry cancel upstream in the era's way"
    pub(super) fn cancel(&self, id: &str) {
        self.tell(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"given up by the gateway"}}}}"#
        ));
    }

    /// Says it, and does not wait for what the upstream says to it.
    pub(super) fn tell(&self, body: String) {
        let (upstream, credential) = (self.upstream.clone(), self.credential.clone());
        let mut request = upstream.request(Method::POST, Bytes::from(body));
        let headers = request.headers_mut();
        headers.extend(self.session.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        tokio::spawn(async move {
            if let Err(error) = upstream.send(request, &credential).await {
                tracing::info!(server.name = %upstream.name(), %error, "an upstream could not be told");
            }
        });
    }
}
