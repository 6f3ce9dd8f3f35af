//! The answer to a modern request, as it comes about: whole, or, once there is something to tell before the end, as events.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use portcullis_base::ServerName;
use portcullis_mcp::{message::ProtocolError, sse};
use tokio::sync::{mpsc, oneshot};

use crate::upstream::{AnswerBody, UpstreamError};

/// Pieces of an answer that wait for its reader.
const WAITING: usize = 64;

/// An answer under way.
pub(in crate::upstream) struct Front {
    stage: Stage,
    /// The id of the request, raw.
    id: Box<str>,
}

/// What the one who asked waits for.
pub(in crate::upstream) type Head = oneshot::Receiver<Result<Response<AnswerBody>, UpstreamError>>;

enum Stage {
    Waiting(oneshot::Sender<Result<Response<AnswerBody>, UpstreamError>>),
    Telling(mpsc::Sender<Bytes>),
    Over,
}

impl Front {
    pub(in crate::upstream) fn new(id: &str) -> (Self, Head) {
        let (tx, head) = oneshot::channel();
        (Self { stage: Stage::Waiting(tx), id: id.into() }, head)
    }

    /// The id of the request, raw.
    pub(in crate::upstream) fn id(&self) -> &str {
        &self.id
    }

    /// Waits until nobody wants the answer any more.
    pub(in crate::upstream) async fn gone(&mut self) {
        match &mut self.stage {
            Stage::Waiting(tx) => tx.closed().await,
            Stage::Telling(tx) => tx.closed().await,
            Stage::Over => std::future::pending().await,
        }
    }

    /// Whether it has not begun.
    pub(in crate::upstream) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_))
    }

    /// Begins to answer by events.
    pub(in crate::upstream) fn begin(&mut self) {
        if let Stage::Waiting(_) = self.stage {
            let (tx, pieces) = mpsc::channel(WAITING);
            let before = std::mem::replace(&mut self.stage, Stage::Telling(tx));
            if let Stage::Waiting(head) = before {
                let mut response = Response::new(AnswerBody::told(pieces));
                let events = HeaderValue::from_static("text/event-stream");
                response.headers_mut().insert(header::CONTENT_TYPE, events);
                drop(head.send(Ok(response)));
            }
        }
    }

    /// Tells something before the end.
    pub(in crate::upstream) async fn say(&mut self, message: String) {
        self.begin();
        if let Stage::Telling(tx) = &self.stage {
            drop(tx.send(sse::Event::message(message).to_bytes().into()).await);
        }
    }

    /// Gives the answer.
    pub(in crate::upstream) async fn finish(&mut self, status: StatusCode, message: String) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Waiting(head) => drop(head.send(Ok(whole(status, message)))),
            Stage::Telling(tx) => drop(tx.send(sse::Event::message(message).to_bytes().into()).await),
            Stage::Over => {}
        }
    }

    /// Answers with an error of ours.
    pub(in crate::upstream) async fn refuse(&mut self, error: &ProtocolError) {
        let message = refusal(&self.id, error);
        self.finish(StatusCode::from_u16(error.http).unwrap_or(StatusCode::OK), message).await;
    }

    /// There is no answer.
    // spec: TR-58: "after the stream has begun deliver the error as the final message"
    pub(in crate::upstream) async fn fail(&mut self, error: UpstreamError, name: &ServerName) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Waiting(head) => drop(head.send(Err(error))),
            Stage::Telling(tx) => {
                let message = refusal(&self.id, &ProtocolError::internal(200, error.public(name)));
                drop(tx.send(sse::Event::message(message).to_bytes().into()).await);
            }
            Stage::Over => {}
        }
    }
}

/// An answer that is known.
pub(in crate::upstream) fn whole(status: StatusCode, message: String) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(message));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error of ours as the answer to the request with the raw id `id`.
pub(in crate::upstream) fn refusal(id: &str, error: &ProtocolError) -> String {
    let mut error = error.clone();
    error.id = None;
    let text = String::from_utf8(error.to_json()).unwrap_or_default();
    text.replacen(r#"{"jsonrpc":"2.0","#, &format!(r#"{{"jsonrpc":"2.0","id":{id},"#), 1)
}
