//! What a journal needs to know when it is opened.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

/// What an event in the journal survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The death of the process: the event is with the operating system.
    #[default]
    Process,
    /// The loss of power too: the event is on the disk.
    Power,
}

/// When a segment is full and a checkpoint due.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A segment of at least this many bytes is followed by another.
    pub segment_bytes: u64,
    /// A segment of this age is followed by another, if there is anything in it.
    pub segment_age: Duration,
    /// Less free room on the disk than these bytes is scarce.
    pub free_space: u64,
    /// Less than these bytes is kept for ends of calls.
    pub reserve: u64,
    /// A checkpoint after this many lines.
    pub checkpoint_lines: u64,
    /// A checkpoint after this long, if any line was written.
    pub checkpoint_after: Duration,
    /// This many ends of calls are kept while the journal cannot be written.
    pub waiting_events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            segment_age: Duration::from_hours(24),
            free_space: 512 << 20,
            reserve: 64 << 20,
            checkpoint_lines: 1000,
            checkpoint_after: Duration::from_secs(10),
            waiting_events: 100_000,
        }
    }
}

/// Where the journal is, whose it is, and how it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The directory of all nodes' journals: `{data}/journal`.
    pub dir: &'a Path,
    /// The name of this node: a directory in it.
    pub node: &'a str,
    /// The seed of the key that signs checkpoints.
    pub seed: &'a [u8; 32],
    /// What an event survives.
    pub durability: Durability,
    /// Sizes and cadences; [`Limits::default`] outside tests.
    pub limits: Limits,
}

/// How long what is sealed stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// What is older is removed.
    pub keep_for: Option<Duration>,
    /// The oldest is removed while a journal has more bytes than this.
    pub size: Option<u64>,
    /// The folder that every sealed segment is copied to before it may be removed.
    pub archive: Option<PathBuf>,
}
