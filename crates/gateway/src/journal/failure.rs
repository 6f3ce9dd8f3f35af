//! Why an event is not in the journal.

use std::{io, path::PathBuf, sync::Arc};

/// Why the journal could not be opened or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process writes this journal.
    #[error("another process is writing the journal in {}", .0.display())]
    InUse(PathBuf),
    /// A file could not be opened or read.
    #[error("cannot use {}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: Arc<io::Error>,
    },
    /// The event could not be written, and is not in the journal.
    #[error("cannot write the journal: {0}")]
    Write(Arc<io::Error>),
    /// What stands in the directory is not a journal, or not this node's.
    #[error("{} is not a journal of this node: {why}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The disk is so full that what is left of it is kept for the ends of calls.
    #[error("the disk of the journal is full but for what the ends of calls need")]
    NoRoom,
    /// The journal was closed.
    #[error("the journal is closed")]
    Stopped,
}
