//! Step six: what came of a call. Whatever happens to it, exactly one `call.ended` follows its `call.decided`.

use std::{sync::Arc, time::Instant};

use portcullis_audit::{Actor, Event, Kind, Outcome, Target};
use portcullis_base::{ApprovalId, CallId, Clock, Digest};

use super::{crowd::Seat, parts::Parts};
use crate::{
    approvals::Approvals,
    journal::Journal,
    quotas::{Departure, Held},
};

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
    judged: Option<Digest>,
    run: Option<Run>,
    held: Option<Held>,
    _seat: Seat,
}

/// The one run of a call that humans agreed to. Whatever comes of it is told to those who keep account of it.
// spec: T-81
pub(super) struct Run {
    approvals: Arc<Approvals>,
    id: Option<ApprovalId>,
    arguments: Option<Box<str>>,
    by: Box<str>,
}

impl Run {
    /// Of what `id` was granted for: with these `arguments`, by the word of these.
    pub(super) fn new(approvals: Arc<Approvals>, id: ApprovalId, arguments: Option<String>, by: String) -> Self {
        Self { approvals, id: Some(id), arguments: arguments.map(Into::into), by: by.into() }
    }

    /// By whose word.
    pub(super) fn by(&self) -> &str {
        &self.by
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(id) = self.id.take() else { return };
        let word = match outcome {
            Outcome::Success => "success",
            Outcome::Unknown => "unknown",
            Outcome::Failure | Outcome::Denied | Outcome::Timeout => "failure",
        };
        let approvals = self.approvals.clone();
        // Without a runtime this process is about to end; the next one finds the run unfinished.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = approvals.done(&id, word).await {
                tracing::error!(%error, approval.id = %id, "the end of an approved call could not be written");
            }
        });
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It did not come to a call.
        self.end(Outcome::Failure);
    }
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
        Self {
            journal,
            clock,
            call,
            actor,
            target,
            started: Instant::now(),
            received,
            sent: 0,
            judged: None,
            run: None,
            held: None,
            _seat: seat,
        }
    }

    /// The same of a call that was judged by this definition of its tool.
    pub(super) fn judged(mut self, definition: Option<Digest>) -> Self {
        self.judged = definition;
        self
    }

    /// The same of a call that takes something of its limits.
    pub(super) fn holding(mut self, held: Option<Held>) -> Self {
        self.held = held;
        self
    }

    /// For whoever sends the call, if it takes something of its limits.
    pub(super) fn departure(&self) -> Option<Departure> {
        self.held.as_ref().map(Held::departure)
    }

    /// The definition that the call was judged by.
    pub(super) fn definition(&self) -> Option<Digest> {
        self.judged
    }

    /// The same of the run of something approved.
    pub(super) fn of(mut self, run: Option<Run>) -> Self {
        self.run = run;
        self
    }

    /// The raw arguments that humans agreed to, in the very bytes.
    // spec: T-80
    pub(super) fn approved(&self) -> Option<&str> {
        self.run.as_ref()?.arguments.as_deref()
    }

    /// Counts bytes on their way to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// Writes the end; later ends of the same call are no news.
    pub(super) fn end(&mut self, outcome: Outcome, note: Option<&'static str>) {
        if let Some(mut run) = self.run.take() {
            run.end(outcome);
        }
        // Used if the call was sent, given back if it was not.
        self.held = None;
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
