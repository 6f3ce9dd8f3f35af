//! Step five: a permit is used up, and what comes of it is sent.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use portcullis_policy::Permit;

use super::turn::Turn;
use crate::upstream::{AnswerBody, Upstream, UpstreamError};

/// A permitted call under way: the only thing that sends messages of clients. It may be sent once more only where the
/// upstream refused the first without having done anything.
pub(super) struct Errand<'t> {
    upstream: &'t Upstream,
}

impl<'t> Errand<'t> {
    /// Uses up `permit`.
    pub(super) fn new(turn: &'t Turn<'_>, permit: Permit) -> Result<Self, UpstreamError> {
        if permit.server() != &turn.server.name {
            return Err(UpstreamError::Unusable("the permit is for another server"));
        }
        drop(permit);
        Ok(Self { upstream: &turn.upstream })
    }

    /// Sends the call.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<AnswerBody>, UpstreamError> {
        self.upstream.send(request).await
    }
}
