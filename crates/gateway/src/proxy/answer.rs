//! Bodies that go back to a client, and the headers that go with them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use portcullis_mcp::ProtocolError;

use super::{bridged::Reader, document::Document, hold::Held, relay::Relay};

/// The body of an answer: whole, or passed on as it comes.
pub enum Answer {
    /// All of it.
    Whole(Bytes),
    /// One large JSON document.
    Document(Box<Document>),
    /// Server-sent events.
    Events(Box<Relay>),
    /// The events of a request that waits for a human, and its answer.
    Held(Box<Held>),
    /// Events of a session that is bridged.
    Bridged(Box<Reader>),
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

impl Answer {
    /// Nothing.
    pub fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::empty());
    *response.status_mut() = status;
    response
}

/// A JSON answer.
// spec: RS-34: "Cache-Control: no-store (or no-cache for SSE)"
pub(super) fn json(status: StatusCode, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A stream of events.
// spec: TR-9: "Send X-Accel-Buffering: no"
pub(super) fn events(relay: Relay) -> Response<Answer> {
    stream(Answer::Events(Box::new(relay)))
}

/// A body of events.
pub(super) fn stream(body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(header::CONTENT_TYPE, EVENTS);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// An error of the protocol.
pub(super) fn error(error: &ProtocolError) -> Response<Answer> {
    let status = StatusCode::from_u16(error.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, Answer::Whole(error.to_json().into()))
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Document(document) => document.poll_piece(cx).map(|piece| piece.map(|p| p.map(Frame::data))),
            Self::Events(relay) => relay.poll_piece(cx).map(|piece| piece.map(|p| p.map(Frame::data))),
            Self::Held(held) => held.poll_piece(cx).map(|piece| piece.map(|p| p.map(Frame::data))),
            Self::Bridged(reader) => reader.poll_piece(cx).map(|piece| piece.map(|p| p.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Document(_) | Self::Events(_) | Self::Held(_) | Self::Bridged(_) => SizeHint::default(),
        }
    }
}
