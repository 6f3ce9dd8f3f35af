//! A JSON answer on its way back: small ones are gathered and sent whole, large ones pass piece by piece.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use portcullis_audit::Outcome;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{
    record::Record,
    restore::{Restorer, Seen},
};
use crate::upstream::{AnswerBody, Limits, UpstreamError};

/// Up to this size an answer is gathered before it is sent.
pub(super) const GATHERED: usize = 256 * 1024;
/// Up to this size an answer is gathered in which something may have to be changed: a list from which things are taken out,
/// and whatever comes through a toolbox, whose URIs are written anew.
pub(super) const STRAINED: usize = 16 << 20;

/// A JSON answer that has been read as far as it is gathered.
pub(super) enum Gathered {
    /// All of it.
    Whole(Bytes, Seen),
    /// Too large: the rest will pass as it comes.
    Large(Box<Passing>),
}

/// A large answer under way.
pub(super) struct Passing {
    head: Bytes,
    body: AnswerBody,
    restorer: Restorer,
}

/// Reads `body` as far as it is gathered.
pub(super) async fn gather(
    mut body: AnswerBody,
    mut restorer: Restorer,
    most: usize,
    idle: Duration,
) -> Result<Gathered, UpstreamError> {
    let mut out = BytesMut::with_capacity(body.announced().map_or(1024, |n| n as usize + 64).min(GATHERED));
    loop {
        let next = timeout(idle, poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)));
        match next.await.map_err(|_| UpstreamError::Late)? {
            None => return Ok(Gathered::Whole(out.freeze(), restorer.seen())),
            Some(Err(error)) => return Err(UpstreamError::Torn(error)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    restorer.feed(&data, &mut out);
                }
            }
        }
        if out.len() > most {
            return Ok(Gathered::Large(Box::new(Passing { head: out.freeze(), body, restorer })));
        }
    }
}

/// A large answer as body of ours.
pub struct Document {
    passing: Passing,
    record: Record,
    idle: Duration,
    quiet: Pin<Box<Sleep>>,
    until: Instant,
    /// Bytes that may still come.
    left: u64,
    done: bool,
}

impl Document {
    pub(super) fn new(passing: Passing, mut record: Record, limits: Limits, most: u64) -> Self {
        record.says_too_much();
        let (idle, until) = (limits.idle, Instant::now() + limits.total);
        Self { passing, record, idle, quiet: Box::pin(sleep(idle)), until, left: most, done: false }
    }

    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.done {
            return Poll::Ready(None);
        }
        if !self.passing.head.is_empty() {
            let head = std::mem::take(&mut self.passing.head);
            self.record.sent(head.len());
            return Poll::Ready(Some(Ok(head)));
        }
        loop {
            let Poll::Ready(next) = Pin::new(&mut self.passing.body).poll_frame(cx) else {
                // spec: TR-14: an answer that stands still, or never ends, is cut off.
                ready!(self.quiet.as_mut().poll(cx));
                return self.give_up(Outcome::Timeout, "the upstream went silent");
            };
            match next {
                None => {
                    self.done = true;
                    let seen = self.passing.restorer.seen();
                    if !seen.is_answer() {
                        return self.give_up(Outcome::Failure, "the upstream's answer was not whole");
                    }
                    self.record.end(outcome(seen), None);
                    return Poll::Ready(None);
                }
                Some(Err(_)) => return self.give_up(Outcome::Failure, "the upstream's answer broke off"),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let now = Instant::now();
                    if now > self.until {
                        return self.give_up(Outcome::Timeout, "the answer took too long");
                    }
                    // spec: T-63: "total per call cap"
                    let Some(left) = self.left.checked_sub(data.len() as u64) else {
                        return self.give_up(Outcome::Failure, "the upstream sent too much");
                    };
                    self.left = left;
                    self.quiet.as_mut().reset(now + self.idle);
                    let mut out = BytesMut::with_capacity(data.len() + 64);
                    self.passing.restorer.feed(&data, &mut out);
                    if out.is_empty() {
                        continue;
                    }
                    self.record.sent(out.len());
                    return Poll::Ready(Some(Ok(out.freeze())));
                }
            }
        }
    }

    /// The status is long sent; breaking the connection is the only way left to say that the answer is not whole.
    fn give_up(&mut self, outcome: Outcome, why: &'static str) -> Poll<Option<io::Result<Bytes>>> {
        self.done = true;
        self.record.end(outcome, Some(why));
        Poll::Ready(Some(Err(io::Error::other(why))))
    }
}

/// How a call ended, by what was seen of its answer.
pub(super) fn outcome(seen: Seen) -> Outcome {
    if seen.error || seen.tool_error { Outcome::Failure } else { Outcome::Success }
}
