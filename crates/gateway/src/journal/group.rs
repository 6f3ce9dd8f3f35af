//! Events that are written together share their fate: all are in the file, or none is.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use tokio::sync::Notify;

use super::JournalError;

/// The fate of one gathering.
pub(super) struct Group {
    result: OnceLock<Result<(), Arc<io::Error>>>,
    decided: Notify,
}

impl Group {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { result: OnceLock::new(), decided: Notify::new() })
    }

    /// What became of it, once that is known.
    pub(super) fn result(&self) -> Option<Result<(), JournalError>> {
        self.result.get().map(|result| result.clone().map_err(JournalError::Write))
    }

    /// Decides its fate, once.
    pub(super) fn decide(&self, result: Result<(), Arc<io::Error>>) {
        // A group is taken from the queue by one writer and decided by it alone.
        if self.result.set(result).is_ok() {
            self.decided.notify_waiters();
        }
    }

    /// Waits until its fate is decided.
    pub(super) async fn wait(&self) -> Result<(), JournalError> {
        loop {
            // In this order: whoever decides after the look has already been listened for.
            let decided = self.decided.notified();
            if let Some(result) = self.result() {
                return result;
            }
            decided.await;
        }
    }
}
