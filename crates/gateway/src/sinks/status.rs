//! How a sink is, for whoever asks at any time.

use std::sync::{Mutex, MutexGuard};

use portcullis_base::Timestamp;

/// How a sink is.
#[derive(Debug)]
pub struct Status {
    /// Its name in the settings.
    pub name: String,
    reading: Mutex<Reading>,
}

/// How a sink was when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Lines of the journals that it has not passed on yet.
    pub lag: u64,
    /// When the oldest line is from that waits to be sent.
    pub oldest: Option<Timestamp>,
    /// Whether the last attempt failed.
    pub is_failing: bool,
    /// Lines that the receiver has taken, since the start.
    pub sent: u64,
    /// Lines that the receiver refused for good, since the start.
    pub refused: u64,
}

impl Status {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), reading: Mutex::default() }
    }

    /// How it is now.
    pub fn read(&self) -> Reading {
        self.lock().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Reading)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().expect("no holder of this lock panics")
    }
}
