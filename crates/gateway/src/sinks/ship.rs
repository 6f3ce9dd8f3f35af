//! The work of one sink: read, send, remember; wait where nothing is taken; set aside what never will be.

use std::{sync::Arc, time::Duration};

use portcullis_audit::{
    Event, Kind,
    format::{Contents, Format, Record},
};
use portcullis_base::{Clock, Rng, printable};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Parts,
    progress::Failing,
    receiver::{Failure, Item, Receiver},
    source::{Source, When},
    status::Status,
};
use crate::{config, journal::Journal};

/// How often it looks for new lines.
const EVERY: Duration = Duration::from_millis(500);
/// How long it goes on when the gateway ends.
const FAREWELL: Duration = Duration::from_secs(5);
/// The first pause after a failure; each is twice as long as the one before, up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// After so many refusals with nothing taken in between, it is the receiver that is wrong, or all that is known so far.
const REFUSALS: u32 = 64;

/// One sink.
pub(super) struct Shipper {
    receiver: Receiver,
    form: Form,
    sources: Vec<Source>,
    status: Arc<Status>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    failures: u32,
    failing: Option<Failing>,
}

/// What is sent of a line.
struct Form {
    format: Format,
    contents: Contents,
    /// The beginnings of the kinds that are wanted; none: all.
    events: Vec<String>,
}

impl Shipper {
    pub fn new(sink: &config::Sink, receiver: Receiver, sources: Vec<Source>, parts: &Parts<'_>) -> Self {
        Self {
            receiver,
            form: Form { format: sink.format, contents: sink.contents, events: sink.events.clone() },
            sources,
            status: Arc::new(Status::new(&sink.name)),
            journal: parts.journal.clone(),
            clock: parts.clock.clone(),
            rng: parts.rng.clone(),
            failures: 0,
            failing: None,
        }
    }

    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Goes on until `stopped` says so, and a little longer if something is left.
    pub async fn run(mut self, stopped: watch::Receiver<bool>) {
        let mut ended = stopped.clone();
        let farewell = async {
            let _ = ended.wait_for(|ended| *ended).await;
            sleep(FAREWELL).await;
        };
        tokio::select! {
            () = self.follow(stopped) => {}
            () = farewell => tracing::warn!(sink = self.status.name, "what this sink has not sent is sent after the next start"),
        }
    }

    async fn follow(&mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let is_last = *stopped.borrow_and_update();
            let pause = match self.round().await {
                Ok(More::Now) => Duration::ZERO,
                Err(pause) if !is_last => pause,
                Ok(More::Later) if !is_last => EVERY,
                Ok(More::Later) | Err(_) => break,
            };
            if let Ok(Err(_)) = timeout(pause, stopped.wait_for(|stopped| *stopped && !is_last)).await {
                break;
            }
        }
        for source in &mut self.sources {
            source.note(self.failing.as_ref());
        }
    }

    /// Sends what is there; else says how long to wait.
    async fn round(&mut self) -> Result<More, Duration> {
        let mut more = More::Later;
        for at in 0..self.sources.len() {
            let shipped = self.ship(at).await;
            self.tell();
            match shipped {
                Ok(More::Now) => more = More::Now,
                Ok(More::Later) => {}
                Err(failure) => return Err(self.failed(failure)),
            }
        }
        self.works();
        Ok(more)
    }

    /// One batch of one journal.
    async fn ship(&mut self, at: usize) -> Result<More, Failure> {
        let source = &mut self.sources[at];
        let mut unreadable = 0;
        let is_full = source.fill(|line| match self.form.item(line, &self.receiver) {
            Ok(item) => item,
            Err(why) => {
                unreadable += 1;
                tracing::warn!(sink = self.status.name, why, "a journal line cannot be sent: it is not what lines are");
                None
            }
        });
        let is_full = is_full.map_err(Failure::later)?;
        source.count_refused(unreadable);
        self.status.change(|reading| reading.refused += unreadable);
        if source.batch.is_empty() {
            source.done();
            source.save(When::Worth).map_err(Failure::later)?;
            return Ok(if is_full { More::Now } else { More::Later });
        }
        self.tell();
        let refused = self.deliver(at).await?;
        let source = &mut self.sources[at];
        let sent = source.batch.len() as u64 - refused;
        source.count_refused(refused);
        source.done();
        self.status.change(|reading| {
            reading.sent += sent;
            reading.refused += refused;
        });
        source.save(When::Now).map_err(Failure::later)?;
        Ok(if is_full { More::Now } else { More::Later })
    }

    /// Sends a batch; what is refused is split until it is known which lines are meant. Says how many of them were.
    async fn deliver(&mut self, at: usize) -> Result<u64, Failure> {
        let mut told = 0;
        while let Some(part) = self.sources[at].round.pending.pop() {
            let source = &self.sources[at];
            let sent = self.receiver.send(&source.journal, &source.batch[part.clone()], self.clock.now()).await;
            let side = self.draw().is_multiple_of(2);
            let source = &mut self.sources[at];
            let is_held = source.is_held();
            let round = &mut source.round;
            match sent {
                Ok(rejected) => {
                    round.taken = true;
                    told += rejected.min(part.len() as u64);
                }
                Err(Failure::Refused { why }) => {
                    round.refusals += 1;
                    if part.len() == 1 {
                        round.refused.push((part.start, why));
                    } else {
                        let half = part.start + part.len() / 2;
                        // Where nothing was taken before, not always the same lines are tried first.
                        let (first, second) = (part.start..half, half..part.end);
                        let ways = if is_held && side { [first, second] } else { [second, first] };
                        round.pending.extend(ways);
                    }
                    if !round.taken && (round.refusals >= REFUSALS || round.pending.is_empty()) {
                        let why =
                            round.refused.last().map_or_else(|| "it refuses them".to_owned(), |(_, why)| why.clone());
                        source.hold();
                        return Err(Failure::later(format_args!("nothing of what waits is taken: {why}")));
                    }
                }
                Err(later) => {
                    round.pending.push(part);
                    return Err(later);
                }
            }
        }
        if told > 0 {
            tracing::warn!(
                sink = self.status.name,
                lines = told,
                "the receiver took a batch and told that it refused lines of it"
            );
        }
        Ok(told + self.set_aside(at).await)
    }

    /// Records the lines that were refused by themselves while others were taken.
    async fn set_aside(&mut self, at: usize) -> u64 {
        let source = &mut self.sources[at];
        let refused = std::mem::take(&mut source.round.refused);
        for (index, why) in &refused {
            let item = &source.batch[*index];
            let (sink, journal, line) = (&self.status.name, &source.journal, item.seq);
            tracing::warn!(
                sink,
                journal,
                line,
                why,
                "a line was refused for good and is set aside; it stays in the journal"
            );
            if item.is_refusal {
                continue;
            }
            let event = Event::new(Kind::SinkRefused, self.clock.now())
                .text("sink", sink.clone())
                .text("journal", journal.clone())
                .number("line", line as i64)
                .text("why", why.clone());
            if let Err(error) = self.journal.append(event).await {
                tracing::error!(%error, sink, line, "that a line was refused cannot be recorded");
            }
        }
        refused.len() as u64
    }

    fn failed(&mut self, failure: Failure) -> Duration {
        let (why, after) = match failure {
            Failure::Later { why, after } => (printable(&why, 300), after),
            Failure::Refused { why } => (why, None),
        };
        let most = PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let since = self.failing.as_ref().map(|failing| failing.since);
        if since.is_none() {
            tracing::warn!(sink = self.status.name, why, "this sink takes nothing; what waits stays in the journal");
        }
        let failing = Failing { since: since.unwrap_or_else(|| self.clock.now()), why };
        if self.failing.as_ref() != Some(&failing) {
            for source in &mut self.sources {
                source.note(Some(&failing));
            }
        }
        self.failing = Some(failing);
        self.status.change(|reading| reading.is_failing = true);
        // Between half and the whole of it, so that several gateways do not come back together.
        after.unwrap_or_else(|| most / 2 + most.mul_f64(f64::from(self.draw()) / f64::from(u32::MAX) / 2.0))
    }

    fn works(&mut self) {
        self.failures = 0;
        if self.failing.take().is_some() {
            tracing::info!(sink = self.status.name, "this sink takes lines again");
            for source in &mut self.sources {
                source.note(None);
            }
            self.status.change(|reading| reading.is_failing = false);
        }
    }

    fn tell(&self) {
        let lag = self.sources.iter().map(Source::lag).sum();
        let oldest = self.sources.iter().filter_map(Source::oldest).min();
        self.status.change(|reading| (reading.lag, reading.oldest) = (lag, oldest));
    }

    fn draw(&self) -> u32 {
        let mut bytes = [0; 4];
        self.rng.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// Whether more is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Now,
    Later,
}

impl Form {
    /// What is sent of a line, if anything is.
    fn item(&self, line: &[u8], receiver: &Receiver) -> Result<Option<Item>, String> {
        let record = Record::parse(line, self.contents).map_err(|error| error.to_string())?;
        let kind = record.text("event");
        if !self.events.is_empty() && !self.events.iter().any(|wanted| kind.starts_with(wanted.as_str())) {
            return Ok(None);
        }
        Ok(Some(Item {
            seq: record.seq(),
            at: record.at(),
            is_refusal: kind == Kind::SinkRefused.as_str(),
            bytes: receiver.encode(&record, self.format),
        }))
    }
}
