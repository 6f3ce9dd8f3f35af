//! The indexer: reads new lines of a journal and feeds them to the store's index, far from the path of calls.
//!
//! The journal is the record and the index only a way to search it: a line that cannot be read is counted and left out,
//! and what was indexed before is left as it is.

use std::{
    io,
    path::{Path, PathBuf},
};

use portcullis_audit::IndexRow;
use portcullis_store::{AuditCursor, AuditEntry, Store, StoreError};

use super::Lines;

/// Lines that go into the index in one commit: as many as a bucket has, so that a journal that is far ahead is fed by whole
/// buckets.
const BATCH: usize = 8192;
/// Batches of one run, so that whoever runs it can stop in between.
const BATCHES: usize = 4;

/// Feeds one node's journal to the index.
pub struct Indexer {
    store: Store,
    dir: PathBuf,
    node: String,
    /// Where the last run stopped.
    lines: Option<Lines>,
    skipped: u64,
}

/// What a run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indexed {
    /// Rows added by this run.
    pub rows: u64,
    /// The last line that is in the index.
    pub seq: u64,
    /// Lines that are in the journal and not in the index yet.
    pub behind: u64,
    /// Lines that could not be read, since the indexer was made.
    pub skipped: u64,
}

/// Why a run could not finish. The next one begins where this one stopped.
#[derive(Debug, thiserror::Error)]
pub enum IndexerError {
    /// A segment could not be read.
    #[error("cannot read the journal: {0}")]
    Read(#[from] io::Error),
    /// The index could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Indexer {
    /// An indexer of the journal of `node` in `dir`, the directory of all journals.
    pub fn new(store: Store, dir: &Path, node: &str) -> Self {
        Self { store, dir: dir.to_owned(), node: node.into(), lines: None, skipped: 0 }
    }

    /// Indexes what is new, up to the line `head`: what lies beyond may still be taken back by the writer. `None` for
    /// a journal that another process writes.
    pub async fn run_once(&mut self, head: Option<u64>) -> Result<Indexed, IndexerError> {
        let mut rows = 0;
        let mut seq = self.cursor().await?;
        for _ in 0..BATCHES {
            let skipped = self.skipped;
            let (entries, to) = self.read(seq, head)?;
            if to == seq {
                break;
            }
            let cursor = AuditCursor { node: self.node.clone(), seq: to as i64 };
            let fed = self.store.append_audit(&entries, seq as i64, &cursor).await;
            if !matches!(fed, Ok(true)) {
                // Whatever was read is read again, from where the index then is.
                (self.lines, self.skipped) = (None, skipped);
            }
            if !fed? {
                seq = self.cursor().await?;
                continue;
            }
            rows += entries.len() as u64;
            seq = to;
        }
        Ok(Indexed { rows, seq, behind: head.map_or(0, |head| head.saturating_sub(seq)), skipped: self.skipped })
    }

    async fn cursor(&self) -> Result<u64, StoreError> {
        Ok(self.store.audit_cursor(&self.node).await?.map_or(0, |cursor| cursor.seq as u64))
    }

    /// Reads up to a batch of lines after the line `after`; the last line read.
    fn read(&mut self, after: u64, head: Option<u64>) -> io::Result<(Vec<AuditEntry>, u64)> {
        let lines = match self.lines.take() {
            Some(lines) if lines.seq() == after => self.lines.insert(lines),
            _ => self.lines.insert(Lines::open(&self.dir, &self.node, after, head)?),
        };
        lines.set_head(head);
        let before = lines.skipped();
        let mut entries = Vec::new();
        let mut read = 0;
        while read < BATCH {
            let Some(line) = lines.next_line()? else { break };
            read += 1;
            match entry(line.bytes, &self.node) {
                Ok(entry) => entries.extend(entry),
                Err(why) => {
                    self.skipped += 1;
                    tracing::warn!(node = self.node, seq = line.seq, why, "a journal line cannot be indexed");
                }
            }
        }
        self.skipped += lines.skipped() - before;
        Ok((entries, lines.seq()))
    }
}

/// What a line is found by, unless it is a checkpoint.
fn entry(line: &[u8], node: &str) -> Result<Option<AuditEntry>, String> {
    let (_, row) = IndexRow::parse(line).map_err(|error| error.to_string())?;
    let line = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    let Some(row) = row else { return Ok(None) };
    if row.node != node {
        return Err("it is of another journal".into());
    }
    Ok(Some(AuditEntry { row, line: line.to_owned() }))
}
