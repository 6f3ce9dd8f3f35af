//! The index of the journals: to search by. Fed in the background in large batches, rebuilt at will; the journal stays the
//! record.
//!
//! The newest lines of each journal wait in a table as they came, and are looked at one by one. As soon as there are
//! [`bucket::LINES`] of them they become a [bucket](bucket), which is written once and never touched again until it is too
//! old. So the cost of a line does not grow with those that are there: no tree of the index is ever written to in its
//! middle. A reader walks the buckets from the newest to the oldest until the page is full.

mod bucket;
mod filter;
mod read;
mod write;

use portcullis_audit::IndexRow;
use portcullis_base::Timestamp;

pub use self::filter::AuditFilter;
use crate::{Store, StoreError, db::params};

/// A journal line with the members it is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// What it is found by: what the line says.
    pub row: IndexRow,
    /// The line as it is in the journal, without its line end.
    pub line: String,
}

/// How far a journal has been indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCursor {
    /// Whose journal.
    pub node: String,
    /// The last line indexed.
    pub seq: i64,
}

/// Which part of what was found, newest first.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// At most so many entries.
    pub limit: u32,
    /// Only entries older than this one: the `at`, `node` and `seq` of the last one of the page before.
    pub before: Option<(Timestamp, String, i64)>,
}

impl AuditPage {
    /// The newest entries.
    pub const fn first(limit: u32) -> Self {
        Self { limit, before: None }
    }

    /// The page after one that ended with `last`.
    pub fn after(limit: u32, last: &AuditEntry) -> Self {
        Self { limit, before: Some((last.row.at, last.row.node.clone(), last.row.seq)) }
    }
}

impl AuditEntry {
    /// Reads a line; `None` for one that nobody searches for, or that is none.
    fn of(line: String) -> Option<Self> {
        let row = IndexRow::parse(line.as_bytes()).ok()?.1?;
        Some(Self { row, line })
    }

    /// What entries are sorted by.
    fn order(&self) -> (Timestamp, &str, i64) {
        (self.row.at, &self.row.node, self.row.seq)
    }
}

impl Store {
    /// How far the journal of `node` has been indexed.
    pub async fn audit_cursor(&self, node: &str) -> Result<Option<AuditCursor>, StoreError> {
        let sql = "select node, seq from audit_cursors where node = $1";
        let Some(mut row) = self.db.query_first(sql, &params![node]).await? else { return Ok(None) };
        Ok(Some(AuditCursor { node: row.take()?, seq: row.take()? }))
    }
}
