//! Bodies of answers: whole, or events as they come.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use portcullis_mcp::sse::{COMMENT, Event};
use serde_json::Value;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, Sleep, sleep},
};

/// How long a stream is silent before it says that it is still there.
const SILENCE: Duration = Duration::from_secs(15);
/// Events of one stream that are kept for a reader who comes back.
const KEPT: usize = 128;

/// The body of an answer.
pub(crate) enum Body {
    Whole(Option<Bytes>),
    Events { events: mpsc::Receiver<Bytes>, silence: Pin<Box<Sleep>> },
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }

    /// A body that ends when every sender is gone; the senders see when the reader is.
    pub(crate) fn events() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, events) = mpsc::channel(16);
        (sender, Self::Events { events, silence: Box::pin(sleep(SILENCE)) })
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events { events, silence } => {
                let piece = match events.poll_recv(cx) {
                    Poll::Ready(piece) => piece,
                    Poll::Pending => {
                        std::task::ready!(silence.as_mut().poll(cx));
                        Some(Bytes::from_static(COMMENT))
                    }
                };
                silence.as_mut().reset(Instant::now() + SILENCE);
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Events { .. } => SizeHint::default(),
        }
    }
}

/// A message as an event without an id.
///
/// spec: TR-62
pub(crate) fn message(message: &Value) -> Bytes {
    Event::message(message.to_string()).to_bytes().into()
}

/// One stream of a session: a log that readers follow, and can take up again where they lost it.
pub(crate) struct Stream {
    number: u64,
    log: Mutex<Log>,
    changed: Notify,
}

struct Log {
    events: VecDeque<Bytes>,
    /// Position of the first kept event.
    first: u64,
    /// Position up to which events have been handed to a reader.
    delivered: u64,
    /// Only the latest reader gets events: each message goes out on one connection.
    reader: u64,
    /// How many bodies follow, the latest and those it is taking over from.
    following: usize,
    ended: bool,
}

/// Where a reader begins.
#[derive(Clone, Copy)]
pub(crate) enum From {
    /// With what nobody has been given yet.
    Undelivered,
    /// Behind the event of this position.
    After(u64),
}

impl Stream {
    pub(crate) fn new(number: u64) -> Arc<Self> {
        let log = Log { events: VecDeque::new(), first: 0, delivered: 0, reader: 0, following: 0, ended: false };
        Arc::new(Self { number, log: Mutex::new(log), changed: Notify::new() })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Appends a message.
    pub(crate) fn send(&self, message: &Value) {
        self.append(&message.to_string());
    }

    /// Appends an event that gives the reader an id to come back with.
    pub(crate) fn prime(&self) {
        self.append("");
    }

    fn append(&self, data: &str) {
        let mut log = self.lock();
        if log.ended {
            return;
        }
        let position = log.first + log.events.len() as u64;
        let event =
            Event { id: Some(format!("{}-{position}", self.number)), data: Some(data.to_owned()), ..Event::default() };
        log.events.push_back(event.to_bytes().into());
        if log.events.len() > KEPT {
            log.events.pop_front();
            log.first += 1;
        }
        drop(log);
        self.changed.notify_waiters();
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_waiters();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Whether somebody reads.
    pub(crate) fn has_reader(&self) -> bool {
        self.lock().following > 0
    }

    /// A body that follows the stream, taking it over from any other reader.
    pub(crate) fn follow(self: &Arc<Self>, from: From) -> Body {
        let (sender, body) = Body::events();
        let stream = Arc::clone(self);
        let (mut position, reader) = {
            let mut log = self.lock();
            log.reader += 1;
            log.following += 1;
            let position = match from {
                From::Undelivered => log.delivered,
                From::After(position) => position.saturating_add(1),
            };
            (position, log.reader)
        };
        self.changed.notify_waiters();
        tokio::spawn(async move {
            loop {
                let changed = stream.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                match stream.next(position, reader) {
                    Next::Event(event, at) => {
                        if sender.send(event).await.is_err() {
                            break;
                        }
                        position = at + 1;
                        stream.delivered(position);
                    }
                    Next::Wait => tokio::select! {
                        () = changed => {}
                        () = sender.closed() => break,
                    },
                    Next::End => break,
                }
            }
            stream.lock().following -= 1;
        });
        body
    }

    fn next(&self, position: u64, reader: u64) -> Next {
        let log = self.lock();
        if log.reader != reader {
            return Next::End;
        }
        let position = position.max(log.first);
        match log.events.get((position - log.first) as usize) {
            Some(event) => Next::Event(event.clone(), position),
            None if log.ended => Next::End,
            None => Next::Wait,
        }
    }

    fn delivered(&self, position: u64) {
        let mut log = self.lock();
        log.delivered = log.delivered.max(position);
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Event(Bytes, u64),
    Wait,
    End,
}

/// The stream's number and the position that an event id names.
pub(crate) fn parse_event_id(id: &str) -> Option<(u64, u64)> {
    let (number, position) = id.split_once('-')?;
    Some((number.parse().ok()?, position.parse().ok()?))
}
