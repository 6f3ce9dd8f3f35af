//! What stands before a server that does not speak 2026-07-28 over HTTP itself, and lets it look as if it did.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use portcullis_base::SessionId;
use portcullis_mcp::Era;
use tokio::sync::watch;

use super::{
    AnswerBody, Counts, Credential, Transport, Upstream, UpstreamError, legacy::Opener, openapi, sse::Streams,
};

/// A server seen through somebody who answers for it in the words of 2026-07-28.
///
/// The request is what a server of that revision would get: POST, the protocol's headers, one message with an id of ours.
/// The answer has that id and is JSON or a stream of events. Whoever drops its body has gone.
pub trait Adapter: Send + Sync {
    /// Answers one request.
    fn serve(self: Arc<Self>, request: Request<Bytes>, credential: Credential) -> Answering;

    /// Takes leave of the server: nothing of ours stays open there.
    fn close(&self) -> BoxFuture<'_, ()>;

    /// What could not be carried to and from the server, if it counts that.
    fn counts(&self) -> Option<&Arc<Counts>> {
        None
    }
}

/// An answer under way.
pub type Answering = BoxFuture<'static, Result<Response<AnswerBody>, UpstreamError>>;

/// Put into the extensions of a request that belongs to a session of an older revision.
#[derive(Clone, Debug)]
pub struct Conversation(pub SessionId);

/// Put into the extensions of a request that somebody in this process follows. What they are asked in the middle of it
/// waits for them as long as the other end is there, and no longer.
#[derive(Clone, Debug)]
pub struct Asker(pub watch::Receiver<()>);

impl Asker {
    /// Waits until whoever it is follows the request no longer; for ever, if nobody here does.
    pub(super) async fn gone(asker: Option<Self>) {
        let Some(Self(mut there)) = asker else { return std::future::pending().await };
        while there.changed().await.is_ok() {}
    }
}

impl Upstream {
    /// Whether somebody here answers for it, always in the words of 2026-07-28.
    pub(super) const fn is_answered_for(&self) -> bool {
        self.adapter.is_some() || self.document.is_some()
    }

    /// Whether a request that failed like this was surely not carried out: it was not sent, or refused for what it showed.
    /// Whoever answers for a server may have sent it and failed at what came after, unless the server was never there.
    pub fn did_nothing(&self, error: &UpstreamError) -> bool {
        match error {
            UpstreamError::Start(_) => true,
            UpstreamError::Unreachable(_)
            | UpstreamError::Resting(_)
            | UpstreamError::Asked
            | UpstreamError::Busy
            | UpstreamError::Credentials { .. } => !self.is_answered_for(),
            UpstreamError::Late
            | UpstreamError::Broken(_)
            | UpstreamError::Torn(_)
            | UpstreamError::Failed(_)
            | UpstreamError::Unusable(_)
            | UpstreamError::Ended(_) => false,
        }
    }

    /// Puts a request of 2026-07-28 to the server, or to whoever answers for it.
    // spec: TR-126: one era toward one server within one call
    pub async fn ask(
        self: &Arc<Self>,
        request: Request<Bytes>,
        credential: &Credential,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        if let Some(adapter) = &self.adapter {
            return adapter.clone().serve(request, credential.clone()).await;
        }
        if let Some(document) = &self.document {
            return Box::pin(openapi::serve(self, document, request, credential)).await;
        }
        match self.versions(credential).await {
            Ok(spoken) if spoken.iter().all(|version| version.era() == Era::Legacy) => {
                let opener = match self.known_transport() {
                    Some(Transport::Sse) => Opener::Lines(Arc::new(Streams::of(self))),
                    _ => Opener::Http(self.clone()),
                };
                let answering: Answering = Box::pin(self.legacy.clone().serve(opener, request, credential.clone()));
                answering.await
            }
            Ok(_) => self.send(request, credential).await,
            Err(error) => Err(error.into()),
        }
    }
}
