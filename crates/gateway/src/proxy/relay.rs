//! Server-sent events on their way from an upstream to a client: read, judged one by one, written anew (TR-11, T-63).
//!
//! Nothing is queued. The client's connection asks for the next piece, and only then is the upstream asked; so a slow
//! reader slows its own upstream and costs one event of memory. The stream ends with its answer, its token, its grant or
//! its limits, whichever comes first.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use portcullis_audit::Outcome;
use portcullis_mcp::sse;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    notices::Notices,
    record::Record,
    speech::Speech,
    stay::{Stay, Why},
};
use crate::upstream::AnswerBody;

/// Limits of one stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// How often an idle stream shows that it lives (TR-10).
    pub keep_alive: Duration,
    /// How long an upstream may be silent.
    pub idle: Duration,
    /// Bytes of all events together.
    pub bytes: u64,
    /// Events per second, on average over [`StreamLimits::burst`].
    pub rate: u32,
    /// Events that may come at once.
    pub burst: u32,
    /// Bounds of a line and an event.
    pub sse: sse::Limits,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(15),
            idle: Duration::from_mins(5),
            bytes: 256 << 20,
            rate: 500,
            burst: 2_000,
            sse: sse::Limits::default(),
        }
    }
}

/// How long an upstream may take to close a stream after its last message.
const CLOSING: Duration = Duration::from_millis(500);

/// Where a stream comes from.
pub(super) enum Source {
    /// An upstream.
    Upstream(AnswerBody),
    /// Nowhere but here: it is open for what the gateway itself has to say, and ends when that is said.
    Ours,
    /// It has ended.
    Ended,
}

/// A stream under way.
pub struct Relay {
    source: Source,
    notices: Option<Notices>,
    /// Words of ours that wait.
    ours: Vec<sse::Event>,
    decoder: sse::Decoder,
    waiting: VecDeque<sse::Event>,
    speech: Speech,
    stay: Pin<Box<Stay>>,
    record: Record,
    limits: StreamLimits,
    tick: Pin<Box<Sleep>>,
    heard: Instant,
    bytes: u64,
    tokens: f64,
    answered: bool,
    over: bool,
}

impl Relay {
    pub(super) fn new(source: Source, speech: Speech, stay: Stay, record: Record, limits: StreamLimits) -> Self {
        Self {
            source,
            notices: None,
            ours: Vec::new(),
            decoder: sse::Decoder::new(limits.sse),
            waiting: VecDeque::new(),
            speech,
            stay: Box::pin(stay),
            record,
            tick: Box::pin(sleep(limits.keep_alive)),
            limits,
            heard: Instant::now(),
            bytes: 0,
            tokens: f64::from(limits.burst),
            answered: false,
            over: false,
        }
    }

    /// With words of ours among those of the upstream.
    pub(super) fn saying(self, notices: Option<Notices>) -> Self {
        Self { notices, ..self }
    }

    /// With a first word of ours.
    pub(super) fn first(mut self, event: sse::Event) -> Self {
        self.ours.push(event);
        self
    }

    /// The next bytes for the client.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            if let Some(bytes) = self.write() {
                self.record.sent(bytes.len());
                return Poll::Ready(Some(Ok(bytes)));
            }
            // spec: RS-25: "no later than the expiry or revocation of the token that opened them"
            if let Poll::Ready(why) = self.stay.as_mut().poll(cx) {
                return self.close(why);
            }
            if let Some(Poll::Ready(words)) = self.notices.as_mut().map(|notices| notices.poll(cx)) {
                self.ours.extend(words);
                if matches!(self.source, Source::Ours) {
                    self.source = Source::Ended;
                }
                continue;
            }
            let next = match &mut self.source {
                Source::Upstream(body) => Pin::new(body).poll_frame(cx),
                Source::Ours => Poll::Pending,
                Source::Ended => return self.finish(),
            };
            match next {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data()
                        && let Err(why) = self.read(&data)
                    {
                        return self.break_off(Outcome::Failure, why);
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    return self.break_off(Outcome::Failure, "the upstream's stream broke off");
                }
                Poll::Ready(None) => self.source = Source::Ended,
                Poll::Pending => match self.tick(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(piece) => {
                        return piece.map_or_else(|()| self.silent(), |bytes| Poll::Ready(Some(Ok(bytes))));
                    }
                },
            }
        }
    }

    /// Takes in what the upstream sent.
    fn read(&mut self, data: &[u8]) -> Result<(), &'static str> {
        let now = Instant::now();
        let since = now.duration_since(self.heard).as_secs_f64();
        self.tokens = (self.tokens + since * f64::from(self.limits.rate)).min(f64::from(self.limits.burst));
        self.heard = now;
        self.bytes += data.len() as u64;
        // spec: T-63: "line <= 1 MiB, total per call cap, rate cap on notifications"
        if self.bytes > self.limits.bytes {
            return Err("the upstream sent too much");
        }
        let (waiting, tokens) = (&mut self.waiting, &mut self.tokens);
        let fed = self.decoder.feed(data, |event| {
            *tokens -= 1.0;
            waiting.push_back(event);
        });
        fed.map_err(|_| "the upstream sent a line or event without end")?;
        if self.tokens < 0.0 {
            return Err("the upstream sent too many events");
        }
        Ok(())
    }

    /// Writes what may pass of the events that have arrived.
    fn write(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        for event in self.ours.drain(..) {
            event.encode(&mut out);
        }
        while let Some(event) = self.waiting.pop_front() {
            let spoken = if self.answered { None } else { self.speech.pass(event) };
            let Some(spoken) = spoken else { continue };
            spoken.event.encode(&mut out);
            if let Some(outcome) = spoken.answer {
                self.record.says(spoken.event.data.as_deref().unwrap_or_default());
                self.answered = true;
                self.record.end(outcome, spoken.note);
                self.tick.as_mut().reset(Instant::now() + CLOSING);
            }
        }
        (!out.is_empty()).then(|| out.into())
    }

    /// `Ok` with a sign of life, `Err` when nobody is to be waited for any longer.
    fn tick(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ()>> {
        if self.tick.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let now = Instant::now();
        if self.answered || now.duration_since(self.heard) >= self.limits.idle {
            return Poll::Ready(Err(()));
        }
        self.tick.as_mut().reset(now + self.limits.keep_alive);
        Poll::Ready(Ok(Bytes::from_static(b":\n\n")))
    }

    fn silent(&mut self) -> Poll<Option<io::Result<Bytes>>> {
        if self.answered {
            return self.finish();
        }
        if self.speech.awaits_answer() {
            return self.break_off(Outcome::Timeout, "the upstream went silent");
        }
        // A stream nobody promised anything on may be silent for as long as its token lives.
        self.heard = Instant::now();
        self.tick.as_mut().reset(self.heard + self.limits.keep_alive);
        Poll::Ready(Some(Ok(Bytes::from_static(b":\n\n"))))
    }

    /// The upstream closed the stream.
    fn finish(&mut self) -> Poll<Option<io::Result<Bytes>>> {
        if !self.answered && self.notices.is_some() {
            // spec: TR-68: "end each subscription with its result"
            if let Some(words) = self.speech.done() {
                return self.last_words(Some(words), Outcome::Success, "its person has connected");
            }
        }
        if !self.answered && self.speech.must_answer() {
            return self.break_off(Outcome::Failure, "the upstream closed the stream without an answer");
        }
        self.record.end(Outcome::Success, None);
        self.over = true;
        Poll::Ready(None)
    }

    /// The stream may no longer stay open.
    fn close(&mut self, why: Why) -> Poll<Option<io::Result<Bytes>>> {
        self.last_words(self.speech.farewell(why), why.outcome(), why.as_str())
    }

    // spec: TR-58: "after the stream has begun deliver the error as the final message"
    fn break_off(&mut self, outcome: Outcome, why: &'static str) -> Poll<Option<io::Result<Bytes>>> {
        tracing::warn!(why, "stream broken off");
        self.last_words(self.speech.apology(), outcome, why)
    }

    fn last_words(
        &mut self,
        words: Option<Vec<u8>>,
        outcome: Outcome,
        why: &'static str,
    ) -> Poll<Option<io::Result<Bytes>>> {
        self.record.end(outcome, Some(why));
        // spec: TR-14: "on expiry cancel upstream in the era's way"
        if !self.answered && outcome != Outcome::Failure {
            self.speech.give_up();
        }
        self.source = Source::Ended;
        self.over = true;
        let words = words.filter(|_| !self.answered).and_then(|words| String::from_utf8(words).ok());
        Poll::Ready(words.map(|words| Ok(sse::Event::message(words).to_bytes().into())))
    }
}
