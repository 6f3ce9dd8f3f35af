//! The indexer: reads new lines from the segments and feeds them to the store's index, far from the path of calls.
//!
//! The journal is the record and the index only a way to search it: a line that cannot be read is counted and left out,
//! and what was indexed before is left as it is.

use std::{
    fs::File,
    io::{self, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use portcullis_audit::{FaultKind, IndexRow, read_line};
use portcullis_store::{AuditCursor, AuditEntry, Store, StoreError};

use super::segments;

/// Lines that go into the index in one commit.
const BATCH: usize = 500;
/// Batches of one run, so that whoever runs it can stop in between.
const BATCHES: usize = 20;

/// Feeds one node's journal to the index.
pub struct Indexer {
    store: Store,
    dir: PathBuf,
    node: String,
    skipped: u64,
}

/// What a run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indexed {
    /// Rows added by this run.
    pub rows: u64,
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

/// Lines on their way to the index.
struct Batch {
    entries: Vec<AuditEntry>,
    cursor: AuditCursor,
    lines: usize,
}

/// Where reading a segment has stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Within,
    AtEnd,
}

impl Indexer {
    /// An indexer of the journal of `node` in `dir`, the directory of all journals.
    pub fn new(store: Store, dir: &Path, node: &str) -> Self {
        Self { store, dir: dir.join(node), node: node.into(), skipped: 0 }
    }

    /// Indexes what is new, up to the line `head`: what lies beyond may still be taken back by the writer. `None` for
    /// a journal that another process writes.
    pub async fn run_once(&mut self, head: Option<u64>) -> Result<Indexed, IndexerError> {
        let start = AuditCursor { node: self.node.clone(), seq: 0, segment: 0, segment_bytes: 0 };
        let mut cursor = self.store.audit_cursor(&self.node).await?.unwrap_or(start);
        let mut rows = 0;
        for _ in 0..BATCHES {
            let batch = self.read(cursor.clone(), head)?;
            if batch.cursor != cursor {
                self.store.append_audit(&batch.entries, &batch.cursor).await?;
            }
            rows += batch.entries.len() as u64;
            cursor = batch.cursor;
            if batch.lines < BATCH {
                break;
            }
        }
        let behind = head.map_or(0, |head| head.saturating_sub(cursor.seq as u64));
        Ok(Indexed { rows, behind, skipped: self.skipped })
    }

    /// Reads up to a batch of lines after `cursor`, over the ends of segments.
    fn read(&mut self, cursor: AuditCursor, head: Option<u64>) -> io::Result<Batch> {
        let mut batch = Batch { entries: Vec::new(), cursor, lines: 0 };
        let files = match segments(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(batch),
            files => files?,
        };
        let current = batch.cursor.segment as u64;
        for (first, path) in files.into_iter().filter(|(first, _)| *first >= current) {
            if self.read_segment(first, &path, head, &mut batch)? == Stopped::Within {
                break;
            }
        }
        Ok(batch)
    }

    fn read_segment(&mut self, first: u64, path: &Path, head: Option<u64>, batch: &mut Batch) -> io::Result<Stopped> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        // A new segment, or one that was cut behind the cursor: from its beginning. What is indexed stays as it is.
        if batch.cursor.segment != first as i64 || length < batch.cursor.segment_bytes as u64 {
            batch.cursor.segment = first as i64;
            batch.cursor.segment_bytes = 0;
        }
        file.seek(SeekFrom::Start(batch.cursor.segment_bytes as u64))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        while batch.lines < BATCH {
            match read_line(&mut reader, &mut line) {
                Ok(Some(line)) => {
                    let read = entry(line);
                    let seq = read.as_ref().map_or(batch.cursor.seq + 1, |(seq, _)| *seq);
                    if head.is_some_and(|head| seq as u64 > head) {
                        return Ok(Stopped::Within);
                    }
                    match read {
                        Ok((_, entry)) => batch.entries.extend(entry),
                        Err(why) => {
                            self.skipped += 1;
                            tracing::warn!(
                                segment = %path.display(),
                                offset = batch.cursor.segment_bytes,
                                why,
                                "a journal line cannot be indexed"
                            );
                        }
                    }
                    batch.lines += 1;
                    batch.cursor.seq = batch.cursor.seq.max(seq);
                    batch.cursor.segment_bytes += line.len() as i64 + 1;
                }
                // The end, or a line that is being written: a next segment is begun only after the last line of this one.
                Ok(None) | Err(FaultKind::Truncated) => return Ok(Stopped::AtEnd),
                Err(FaultKind::Unreadable { error }) => return Err(io::Error::other(error)),
                // A line longer than any we write: over it in portions, each counted.
                Err(_) => {
                    self.skipped += 1;
                    batch.lines += 1;
                    batch.cursor.segment_bytes += line.len() as i64;
                }
            }
        }
        Ok(Stopped::Within)
    }
}

/// The place of a line and, unless it is a checkpoint, its row.
fn entry(line: &[u8]) -> Result<(i64, Option<AuditEntry>), String> {
    let (seq, row) = IndexRow::parse(line).map_err(|error| error.to_string())?;
    let line = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    Ok((seq, row.map(|row| AuditEntry { row, line: line.to_owned() })))
}
