//! Step six: what came of a call. Whatever happens to it, exactly one `call.ended` follows its `call.decided`.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use portcullis_audit::{Actor, Event, Keep, Kept, Kind, Outcome, Target, Value as Detail, digest_text, keep};
use portcullis_base::{ApprovalId, CallId, Clock, Digest, ServerName, printable};
use portcullis_mcp::scan;

use super::{crowd::Seat, parts::Parts};
use crate::{
    approvals::Approvals,
    correlation,
    journal::Journal,
    quotas::{Departure, Held},
    telemetry::{Kind as Side, Open, Place, Value},
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
    decided: Option<Duration>,
    journey: Journey,
    keeps: Keep,
    result: Option<Kept>,
    digest: Option<Digest>,
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

/// The time for which the upstream has a call: from the moment it is first sent until its end is known.
#[derive(Clone)]
pub(super) struct Journey {
    about: Arc<(Cow<'static, str>, Option<String>)>,
    leg: Arc<Mutex<Option<Leg>>>,
}

struct Leg {
    begun: Instant,
    span: Option<Open>,
}

impl Journey {
    fn of(target: &Target) -> Self {
        let method = target.method.clone().unwrap_or(Cow::Borrowed("other"));
        let tool = target.name.as_ref().filter(|_| matches!(&*method, "tools/call" | "prompts/get"));
        let tool = tool.map(|name| printable(name, 100));
        Self { about: Arc::new((method, tool)), leg: Arc::default() }
    }

    /// It is sent to `server`, perhaps once more. Gives where the upstream stands in our trace.
    pub(super) fn begin(&self, server: &ServerName) -> Option<Place> {
        let mut leg = self.leg.lock().unwrap_or_else(PoisonError::into_inner);
        let leg = leg.get_or_insert_with(|| {
            let (method, tool) = &*self.about;
            let mut span = correlation::open(method, Side::Client);
            if let Some(span) = &mut span {
                span.note("mcp.server.name", || Value::Text(server.to_string()));
                span.note("mcp.method.name", || Value::Text(method.to_string()));
                if let Some(tool) = tool {
                    span.note("gen_ai.tool.name", || Value::Text(tool.clone()));
                }
            }
            Leg { begun: Instant::now(), span }
        });
        leg.span.as_ref().map(|span| span.place().clone())
    }

    /// It is over.
    fn end(&self, outcome: Outcome) -> Option<Duration> {
        let leg = self.leg.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if let Some(mut span) = leg.span.filter(|_| outcome != Outcome::Success) {
            span.failed(outcome.as_str());
        }
        Some(leg.begun.elapsed())
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
        let journey = Journey::of(&target);
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
            decided: None,
            journey,
            keeps: Keep::Off,
            result: None,
            digest: None,
            _seat: seat,
        }
    }

    /// The same of a call that was judged by this definition of its tool.
    pub(super) fn judged(mut self, definition: Option<Digest>) -> Self {
        self.judged = definition;
        self
    }

    /// The same of a call of whose result so much is recorded.
    pub(super) fn keeping(mut self, keeps: Keep) -> Self {
        self.keeps = keeps;
        self
    }

    /// The client is sent this message. If it is the answer, what is kept of it stands in the end of the call; it is what the
    /// client sees, after rules have masked what they mask.
    // spec: T-99
    pub(super) fn says(&mut self, message: &str) {
        if self.keeps == Keep::Off || self.call.is_none() {
            return;
        }
        let found = |name| scan::member(message, name);
        let Some(result) = found("result").or_else(|| found("error")) else { return };
        self.result = keep(self.keeps, result);
        self.digest = self.keeps.digests().then(|| Digest::of(result.as_bytes()));
    }

    /// The client is sent an answer that is too large to be gathered: it passes unseen.
    pub(super) fn says_too_much(&mut self) {
        self.result = self.keeps.copies().then(Kept::too_large);
    }

    /// The same of a call whose decision took so long.
    pub(super) fn decided_in(mut self, time: Duration) -> Self {
        self.decided = Some(time);
        self
    }

    /// For whoever sends the call.
    pub(super) fn journey(&self) -> Journey {
        self.journey.clone()
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
        let upstream = self.journey.end(outcome);
        let Some(call) = self.call.take() else { return };
        let mut event = Event::new(Kind::CallEnded, self.clock.now())
            .by(std::mem::take(&mut self.actor))
            .on(std::mem::take(&mut self.target))
            .outcome(outcome)
            .call(call)
            .number("duration_us", self.started.elapsed().as_micros() as i64)
            .number("request_bytes", self.received as i64)
            .number("response_bytes", self.sent as i64);
        let times = [("decision_us", self.decided), ("upstream_us", upstream)];
        for (key, time) in times.into_iter().filter_map(|(key, time)| Some((key, time?))) {
            event = event.number(key, time.as_micros() as i64);
        }
        if let Some(note) = note {
            event = event.text("note", note);
        }
        if let Some(kept) = self.result.take() {
            event = event.detail("result", Detail::Kept(kept));
        }
        if let Some(digest) = self.digest {
            event = event.text("result_digest", digest_text(&digest));
        }
        self.journal.append_later(event);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(Outcome::Unknown, Some("the client went away"));
    }
}
