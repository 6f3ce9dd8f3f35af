//! Step six: what came of a call. Whatever happens to it, exactly one `call.ended` follows its `call.decided`.

use std::{sync::Arc, time::Instant};

use portcullis_audit::{Actor, Event, Kind, Outcome, Target};
use portcullis_base::{CallId, Clock};

use super::{crowd::Seat, parts::Parts};
use crate::journal::Journal;

/// A decided call that has not ended. Dropped without an end, it ends as unknown: its client went away, and nobody saw
/// what came of it upstream.
pub(super) struct Record {
    journal: Journal,
    clock: Arc<dyn Clock>,
    call: Option<CallId>,
    actor: Actor,
    target: Target,
    started: Instant,
    received: usize,
    sent: usize,
    _seat: Seat,
}

impl Record {
    pub(super) fn open(
        parts: &Parts,
        call: Option<CallId>,
        actor: Actor,
        target: Target,
        received: usize,
        seat: Seat,
    ) -> Self {
        let (journal, clock) = (parts.journal.clone(), parts.clock.clone());
        Self { journal, clock, call, actor, target, started: Instant::now(), received, sent: 0, _seat: seat }
    }

    /// Counts bytes on their way to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// Writes the end; later ends of the same call are no news.
    pub(super) fn end(&mut self, outcome: Outcome, note: Option<&'static str>) {
        let Some(call) = self.call.take() else { return };
        let mut event = Event::new(Kind::CallEnded, self.clock.now())
            .by(std::mem::take(&mut self.actor))
            .on(std::mem::take(&mut self.target))
            .outcome(outcome)
            .call(call)
            .number("duration_us", self.started.elapsed().as_micros() as i64)
            .number("request_bytes", self.received as i64)
            .number("response_bytes", self.sent as i64);
        if let Some(note) = note {
            event = event.text("note", note);
        }
        self.journal.append_later(event);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(Outcome::Unknown, Some("the client went away"));
    }
}
