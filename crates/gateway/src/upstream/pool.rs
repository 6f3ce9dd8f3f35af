//! Connections kept open between calls.
//!
//! A connection is taken out for one exchange and put back when its answer has been read to the end; an answer that is
//! dropped early takes its connection with it, which is how an upstream learns that nobody listens any more.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use tokio::sync::mpsc;

use super::places::Place;

/// How long an unused connection is kept when the upstream does not say.
const KEEP: Duration = Duration::from_secs(30);

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

pub(super) type Sender = SendRequest<Full<Bytes>>;

/// The idle connections of one upstream, the last used on top.
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
    most: usize,
}

struct Idle {
    sender: Sender,
    until: Instant,
}

impl Pool {
    pub(super) fn new(most: usize) -> Self {
        Self { idle: Mutex::new(Vec::new()), most }
    }

    /// A connection that was open a moment ago.
    pub(super) fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Idle { sender, until }) = idle.pop() {
            if !sender.is_closed() && Instant::now() < until {
                return Some(sender);
            }
        }
        None
    }

    fn put(&self, sender: Sender, keep: Duration) {
        if sender.is_closed() || keep.is_zero() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= self.most {
            idle.remove(0);
        }
        idle.push(Idle { sender, until: Instant::now() + keep });
    }
}

/// The body of an upstream's answer. Its connection goes back to the pool when it has ended.
pub struct AnswerBody {
    source: Source,
    lease: Option<Lease>,
    /// Kept until the answer has ended.
    place: Option<Box<Place>>,
}

/// Where a body comes from.
enum Source {
    /// The network.
    Network(Incoming),
    /// Memory.
    Whole(Full<Bytes>),
    /// Somebody in this process, piece by piece; they see from their end of the channel whether anybody still listens.
    Told(mpsc::Receiver<Bytes>),
}

struct Lease {
    pool: Arc<Pool>,
    sender: Sender,
    keep: Duration,
}

impl AnswerBody {
    pub(super) fn new(body: Incoming, headers: &HeaderMap, pool: Arc<Pool>, sender: Sender) -> Self {
        let lease = Some(Lease { pool, sender, keep: keep(headers) });
        Self { source: Source::Network(body), lease, place: None }
    }

    /// A body that is known.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { source: Source::Whole(Full::new(bytes.into())), lease: None, place: None }
    }

    /// A body that is told piece by piece. The channel's other end sees it closed when nobody listens any more.
    pub fn told(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { source: Source::Told(pieces), lease: None, place: None }
    }

    /// The length the upstream announced.
    pub fn announced(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    /// Keeps a place among the exchanges under way until this answer has ended.
    pub(super) fn holds(&mut self, place: Option<Place>) {
        self.place = place.map(Box::new);
    }

    /// Lets others have its place among the exchanges under way: it goes on when somebody has made up their mind.
    pub(super) fn gives_up_its_place(&mut self) {
        self.place = None;
    }

    fn ended(&mut self) {
        self.place = None;
        if let Some(Lease { pool, sender, keep }) = self.lease.take() {
            pool.put(sender, keep);
        }
    }
}

/// Servers that close idle connections soon often say so; a request must not race with that.
fn keep(headers: &HeaderMap) -> Duration {
    let Some(value) = headers.get(KEEP_ALIVE).and_then(|v| v.to_str().ok()) else { return KEEP };
    let seconds = value.split(',').find_map(|part| part.trim().strip_prefix("timeout=")?.parse().ok());
    seconds.map_or(KEEP, |s: u64| Duration::from_secs(s.saturating_sub(1)).min(KEEP))
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = match &mut self.source {
            Source::Network(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(io::Error::other)),
            Source::Whole(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(|never| match never {}))
            }
            Source::Told(pieces) => ready!(pieces.poll_recv(cx)).map(|piece| Ok(Frame::data(piece))),
        };
        match &frame {
            None => self.ended(),
            Some(Err(_)) => (self.lease, self.place) = (None, None),
            Some(Ok(_)) if self.is_end_stream() => self.ended(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Network(body) => body.is_end_stream(),
            Source::Whole(body) => body.is_end_stream(),
            Source::Told(pieces) => pieces.is_closed() && pieces.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Network(body) => body.size_hint(),
            Source::Whole(body) => body.size_hint(),
            Source::Told(_) => SizeHint::default(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.ended();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_given_up_before_the_upstream_closes_them() {
        let headers = |value: &'static str| HeaderMap::from_iter([(KEEP_ALIVE, value.parse().unwrap())]);
        assert_eq!(keep(&headers("timeout=5, max=100")), Duration::from_secs(4));
        assert_eq!(keep(&headers("timeout=0")), Duration::ZERO);
        assert_eq!(keep(&headers("timeout=99999")), KEEP);
        assert_eq!(keep(&HeaderMap::new()), KEEP);
    }
}
