//! Whether the database is the one that this node has known, or an older copy of it.
//!
//! The feed of changes only grows. Once a minute a node leaves a mark in it, and in the file `{data}/epoch`, outside of the
//! database, it writes how far the feed was by then. A database whose feed is shorter than that is a copy from before: what it
//! says of sessions, codes, tokens and approvals is not true any more, and all of these are ended at the start.
//!
//! spec: T-101: "epoch counter outside the DB (file/KMS) invalidates codes, approvals, sessions on restore"
//!
//! Deliberately absent: a copy of the whole data directory, file and all, cannot be told from the directory itself. The guide
//! says to leave the file out of copies.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use portcullis_audit::{Event, Kind, Outcome};
use portcullis_base::{Clock, printable};
use portcullis_store::{Store, StoreError};

use crate::journal::{Journal, JournalError};

/// How often a mark is left: what happened in the last one of these before a copy is not known to be missing from it.
pub const EVERY: std::time::Duration = std::time::Duration::from_mins(1);

/// Why it is not known how old the database is.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The file.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{path} holds {found:?} and not a number: what is in the database cannot be trusted to be the newest; remove the file if you know that it is"
    )]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Looks whether the database is older than this node remembers, and ends what must not come back to life; then leaves a
/// mark. To be called before anything of the database is loaded.
pub async fn settle(
    store: &Store,
    journal: &Journal,
    data: &Path,
    node: &str,
    clock: &dyn Clock,
) -> Result<(), EpochError> {
    let (remembered, found) = (remembered(data)?, store.revision().await?);
    if found < remembered {
        let ended = store.end_what_was_restored(clock.now()).await?;
        tracing::error!(
            remembered,
            found,
            "the database is an older copy: all sessions, tokens, approvals and rights for a time were ended"
        );
        let mut event = Event::new(Kind::StoreRestored, clock.now())
            .outcome(Outcome::Success)
            .number("changes_missing", remembered - found);
        for (key, count) in [
            ("sessions", ended.sessions),
            ("grants", ended.grants),
            ("approvals", ended.approvals),
            ("standing", ended.standing),
            ("access", ended.access),
            ("delegations", ended.delegations),
            ("signing_keys", ended.signing_keys),
        ] {
            event = event.number(key, count as i64);
        }
        journal.append(event).await?;
        // Begins anew: what was remembered is not reached again for a while.
        write(data, 0)?;
    }
    mark(store, data, node, clock).await
}

/// Leaves a mark, in the database first.
pub async fn mark(store: &Store, data: &Path, node: &str, clock: &dyn Clock) -> Result<(), EpochError> {
    let revision = store.mark(node, clock.now()).await?;
    // A copy that was put in the place of a running database is found out at the next start.
    if revision >= remembered(data)? { write(data, revision) } else { Ok(()) }
}

fn remembered(data: &Path) -> Result<i64, EpochError> {
    let path = data.join("epoch");
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| EpochError::Unreadable { found: printable(text.trim(), 40), path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(EpochError::File { path, error }),
    }
}

/// Whole or not at all.
fn write(data: &Path, revision: i64) -> Result<(), EpochError> {
    let (path, next) = (data.join("epoch"), data.join("epoch.new"));
    let written = fs::write(&next, format!("{revision}\n")).and_then(|()| fs::rename(&next, &path));
    written.map_err(|error| EpochError::File { path, error })
}
