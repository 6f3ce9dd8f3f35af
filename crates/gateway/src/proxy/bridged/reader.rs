//! A stream as the body of an answer.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Response;
use portcullis_audit::Outcome;
use portcullis_base::SessionId;
use portcullis_mcp::{
    Id, OwnedId,
    sse::{COMMENT, Event},
};
use tokio::time::{Instant, Sleep, sleep};

use super::feed::{Ear, Feed};
use crate::proxy::{
    Local,
    answer::{self, Answer},
    record::Record,
    relay::StreamLimits,
    speech::EventMark,
    stay::Stay,
};

/// How long a client waits before it takes up a stream that broke, in milliseconds.
const RETRY: u64 = 1_000;
/// Bytes that are written at one time.
const PIECE: usize = 64 * 1024;

/// How the events of a stream look.
pub(super) enum Looks {
    /// They carry ids by which the stream can be taken up again.
    Resumable(EventMark),
    /// They are messages and no more.
    Plain,
}

/// A session that ends with the connection, since it has no other place than this stream.
pub(super) struct Tied {
    pub local: Arc<Local>,
    pub session: SessionId,
}

/// The connection's end of a stream.
pub struct Reader {
    ear: Ear,
    looks: Looks,
    first: Option<Bytes>,
    stay: Option<Pin<Box<Stay>>>,
    record: Option<Record>,
    limits: StreamLimits,
    tick: Pin<Box<Sleep>>,
    _tied: Option<Tied>,
    over: bool,
}

impl Drop for Tied {
    fn drop(&mut self) {
        self.local.rooms.close(&self.session);
    }
}

impl Reader {
    pub(super) fn new(ear: Ear, looks: Looks, limits: StreamLimits) -> Self {
        let tick = Box::pin(sleep(limits.keep_alive));
        Self { ear, looks, first: None, stay: None, record: None, limits, tick, _tied: None, over: false }
    }

    /// With a first event without a message, so that the stream can be taken up before anything was said.
    // spec: TR-90: "open POST SSE streams with an event that has an id and empty data"
    pub(super) fn primed(mut self) -> Self {
        if let Looks::Resumable(mark) = &self.looks {
            let id = event_id(mark, self.ear.feed(), 0);
            let event = Event { id: Some(id), data: Some(String::new()), retry: Some(RETRY), ..Event::default() };
            self.first = Some(event.to_bytes().into());
        }
        self
    }

    /// With this before everything else.
    pub(super) fn beginning(mut self, event: &Event) -> Self {
        self.first = Some(event.to_bytes().into());
        self
    }

    /// For as long as its reader may listen, recorded.
    pub(super) fn staying(mut self, stay: Stay, record: Record) -> Self {
        (self.stay, self.record) = (Some(Box::pin(stay)), Some(record));
        self
    }

    /// And the session ends with it.
    pub(super) fn tied(self, tied: Tied) -> Self {
        Self { _tied: Some(tied), ..self }
    }

    pub(super) fn into_response(self) -> Response<Answer> {
        answer::stream(Answer::Bridged(Box::new(self)))
    }

    pub(in crate::proxy) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            return self.write(first);
        }
        // spec: RS-25: "no later than the expiry or revocation of the token that opened them"
        if let Some(stay) = &mut self.stay
            && let Poll::Ready(why) = stay.as_mut().poll(cx)
        {
            return self.end(why.outcome(), Some(why.as_str()));
        }
        let mut out = Vec::new();
        let mut ended = false;
        while out.len() < PIECE {
            match self.ear.poll_next(cx) {
                Poll::Ready(Some((number, text))) => {
                    if let Some(record) = &mut self.record {
                        record.says(&text);
                    }
                    self.event(number, &text).encode(&mut out);
                }
                Poll::Ready(None) => {
                    ended = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        if !out.is_empty() {
            return self.write(out.into());
        }
        if ended {
            return self.end(Outcome::Success, None);
        }
        if self.tick.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // spec: TR-10
        self.write(Bytes::from_static(COMMENT))
    }

    fn event(&self, number: u32, text: &str) -> Event {
        match &self.looks {
            Looks::Resumable(mark) => {
                Event { id: Some(event_id(mark, self.ear.feed(), number)), ..Event::message(text) }
            }
            // spec: TR-112: "as a `message` event"
            Looks::Plain => Event { event: Some("message".to_owned()), ..Event::message(text) },
        }
    }

    fn write(&mut self, bytes: Bytes) -> Poll<Option<io::Result<Bytes>>> {
        self.tick.as_mut().reset(Instant::now() + self.limits.keep_alive);
        if let Some(record) = &mut self.record {
            record.sent(bytes.len());
        }
        Poll::Ready(Some(Ok(bytes)))
    }

    fn end(&mut self, outcome: Outcome, note: Option<&'static str>) -> Poll<Option<io::Result<Bytes>>> {
        self.over = true;
        if let Some(record) = &mut self.record {
            record.end(outcome, note);
        }
        Poll::Ready(None)
    }
}

/// The longest id of a request that travels in event ids.
const LONGEST_ID: usize = 256;

// spec: TR-90: "event ids unique in the session and naming their stream"
fn event_id(mark: &EventMark, feed: &Feed, number: u32) -> String {
    let about = feed.about.as_ref().map(OwnedId::to_json).filter(|about| about.len() <= LONGEST_ID);
    let about = about.map(|about| URL_SAFE_NO_PAD.encode(about)).unwrap_or_default();
    mark.stamp(&format!("{}.{number}.{about}", feed.name))
}

/// What an event id of this session names.
pub(super) struct Place {
    pub stream: String,
    pub number: u32,
    /// The request that the stream answers.
    pub about: Option<OwnedId>,
}

impl Place {
    // spec: TR-91, T-48: only messages of that stream, only of that session
    pub(super) fn read(mark: &EventMark, presented: &str) -> Option<Self> {
        let mut parts = mark.strip(presented)?.splitn(3, '.');
        let (stream, number) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let about = URL_SAFE_NO_PAD.decode(parts.next()?).ok().filter(|about| about.len() <= LONGEST_ID);
        let about = about.and_then(|about| String::from_utf8(about).ok());
        let about = about.and_then(|about| Id::parse(&about).map(|id| id.to_owned()));
        Some(Self { stream, number, about })
    }
}
