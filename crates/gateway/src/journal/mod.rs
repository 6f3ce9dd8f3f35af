//! The record: one writer, an append-only file of chained lines per node.
//!
//! Callers are told of an event's place only when it is in the file. Those who arrive while a write is under way are
//! gathered and written together by the first of them that gets the file. Under [`Durability::Process`] that costs a few
//! microseconds in the caller's own thread and survives the death of the process; under [`Durability::Power`] a blocking
//! thread writes and waits for the disk once per gathering.
//!
//! There are no timers in here: somebody calls [`Journal::tick`].

mod failure;
mod follow;
mod group;
mod index;
mod keeping;
mod lines;
mod recover;
mod sealing;
mod segment;
mod settings;
mod space;
mod stored;
mod writer;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use portcullis_audit::{Correlation, Event, Head, PublicKeys};
use portcullis_base::{CallId, Clock, Timestamp};

use self::writer::Writer;
pub use self::{
    failure::JournalError,
    follow::Follower,
    index::{Indexed, Indexer, IndexerError},
    keeping::{EVERY as KEEPING, KeepError, Kept},
    lines::{Line, Lines},
    sealing::{SealError, digest_of},
    segment::{key_file, segments},
    settings::{Durability, Limits, Retention, Settings},
    space::Space,
    stored::{SegmentReader, Stored, stored},
};
use crate::{correlation, telemetry::Telemetry};

/// A head of the journal as witnesses keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Whose journal.
    pub node: String,
    /// The `seq` of the line.
    pub seq: u64,
    /// The statement, on one line.
    pub statement: String,
}

/// The place of an event in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its `seq`.
    pub seq: u64,
}

/// What was found and repaired when the journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of a last line that was not whole, and were removed.
    pub torn_bytes: u64,
    /// Bytes from the first line that does not hold, which were set aside in a file next to the segment.
    pub damaged_bytes: u64,
    /// Calls that the previous run let through and did not see end; each got its `call.ended` with outcome unknown.
    pub calls: Vec<CallId>,
    /// Whether there was nothing to repair: the previous run closed the journal, or there was none.
    pub clean: bool,
}

/// How the journal is.
#[derive(Clone, Debug)]
pub struct JournalHealth {
    /// Since when it cannot be written, and why.
    pub failing: Option<(Timestamp, String)>,
    /// The last line in the file.
    pub head: Head,
    /// Calls that have not ended.
    pub open_calls: usize,
    /// Events left for later that wait for the next write.
    pub waiting: usize,
    /// Events left for later that were given up because the journal could not be written for too long.
    pub lost: u64,
    /// How much room its disk has.
    pub space: Space,
}

/// The journal of this node. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    writer: Arc<Writer>,
    recovery: Arc<Recovery>,
    keys: Arc<PublicKeys>,
    telemetry: Option<Arc<Telemetry>>,
}

impl Journal {
    /// Opens the journal for writing and repairs what a crash has left.
    pub fn open(settings: &Settings<'_>, clock: Arc<dyn Clock>) -> Result<Self, JournalError> {
        let (writer, recovery, keys) = recover::open(settings, clock)?;
        Ok(Self { writer: Arc::new(writer), recovery: Arc::new(recovery), keys: Arc::new(keys), telemetry: None })
    }

    /// The same journal whose events are counted.
    #[must_use]
    pub fn counted_by(self, telemetry: Arc<Telemetry>) -> Self {
        Self { telemetry: Some(telemetry), ..self }
    }

    /// What was found when it was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Where the segments of this node are.
    pub fn dir(&self) -> &Path {
        self.writer.dir()
    }

    /// Writes `event`; returns when it is in the file, or is known not to be.
    ///
    /// Under `process` this waits for nothing but a write to the operating system. A future that is dropped does not
    /// take its event back.
    ///
    /// Like every event, it becomes part of the request that is being served.
    pub async fn append(&self, event: Event) -> Result<Position, JournalError> {
        let event = self.noted(event);
        match self.writer.durability() {
            Durability::Process => self.writer.append_here(&event),
            Durability::Power => Writer::append_behind(&self.writer, &event).await,
        }
    }

    /// Like [`Journal::append`] for callers without a runtime; under `power` it waits for the disk in this thread.
    pub fn append_blocking(&self, event: Event) -> Result<Position, JournalError> {
        self.writer.append_here(&self.noted(event))
    }

    /// Leaves `event` for the next write or [`Journal::tick`]: for ends of calls, which nobody waits for.
    pub fn append_later(&self, event: Event) {
        self.writer.append_later(self.noted(event));
    }

    /// To be called about every 50 ms: writes what was left for later, a checkpoint when one is due, and tries again
    /// when the last write has failed.
    pub async fn tick(&self) {
        match self.writer.durability() {
            Durability::Process => self.writer.tick(),
            Durability::Power => {
                let writer = Arc::clone(&self.writer);
                // A panic in there leaves the journal unusable, and every append says so.
                let _ = tokio::task::spawn_blocking(move || writer.tick()).await;
            }
        }
    }

    /// Closes the journal with a final checkpoint and waits for the disk. Whatever comes after is refused.
    pub async fn stop(&self) -> Result<(), JournalError> {
        let writer = Arc::clone(&self.writer);
        tokio::task::spawn_blocking(move || writer.stop()).await.unwrap_or(Err(JournalError::Stopped))
    }

    /// Like [`Journal::stop`] for callers without a runtime.
    pub fn stop_blocking(&self) -> Result<(), JournalError> {
        self.writer.stop()
    }

    /// Seals full segments, copies them to the archive and removes those whose time is over. For a thread that may wait for
    /// the disk, every [`KEEPING`]; one at a time.
    pub fn keep(&self, retention: &Retention) -> Result<Kept, KeepError> {
        let key_file = key_file(self.dir().parent().unwrap_or(self.dir()), self.writer.node());
        let place = keeping::Place {
            dir: self.dir(),
            key_file: &key_file,
            signer: self.writer.signer(),
            keys: &self.keys,
            retention,
        };
        keeping::round(&place, &self.writer, self.writer.now())
    }

    /// Returns when [`Journal::keep`] should be called before its time: a segment is full, or room has become scarce.
    pub async fn keeping_due(&self) {
        self.writer.due().await;
    }

    /// Makes removal wait for somebody who follows the journal under `name` and has taken all lines up to `taken`.
    pub fn follower(&self, name: &str, taken: u64) -> Follower {
        self.writer.followers().add(name, taken)
    }

    /// The last line that is on the disk for certain, signed, for a witness. For a thread that may wait for the disk.
    pub fn note(&self) -> Result<Noted, JournalError> {
        let head = self.head();
        self.writer.sync().map_err(|error| JournalError::Write(Arc::new(error)))?;
        let node = self.writer.node().to_owned();
        let statement = self.writer.signer().witness(&node, head, self.writer.now());
        Ok(Noted { node, seq: head.seq, statement })
    }

    /// Signs a document with the key of this journal, whose public half stands beside its files.
    pub fn state(&self, statement: &serde_json::Value) -> String {
        self.writer.signer().state(statement)
    }

    /// The last line in the file.
    pub fn head(&self) -> Head {
        self.writer.health().head
    }

    /// How the journal is.
    pub fn health(&self) -> JournalHealth {
        self.writer.health()
    }

    /// The event as part of the request that is being served, which learns of it; counted.
    fn noted(&self, event: Event) -> Event {
        correlation::note(&event);
        if let Some(telemetry) = &self.telemetry {
            telemetry.metrics.observe(&event);
        }
        if event.correlation == Correlation::default() { event.of(correlation::current()) } else { event }
    }
}
