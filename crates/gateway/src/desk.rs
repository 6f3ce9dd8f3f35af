//! Where something is changed at somebody's request: what the change is written into, and who asked for it.

use portcullis_audit::{Actor, Event, Kind, Outcome, Target};
use portcullis_base::{Clock, Rng, ServerName, Timestamp};
use portcullis_store::{Store, StoreError};

use crate::journal::{Journal, JournalError};

/// What a change needs, and who makes it.
pub struct Desk<'a> {
    /// The database.
    pub store: &'a Store,
    /// The record.
    pub journal: &'a Journal,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub rng: &'a dyn Rng,
    /// Who asked.
    pub by: Actor,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// What was asked for is not possible; the text is for whoever asked.
    #[error("{0}")]
    Refused(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl DeskError {
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

impl Desk<'_> {
    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An event of what was done here, with its object.
    pub(crate) fn event(&self, kind: Kind, server: Option<ServerName>, name: &str) -> Event {
        let target = Target { server, name: Some(name.to_owned().into()), ..Target::default() };
        Event::new(kind, self.now()).by(self.by.clone()).on(target).outcome(Outcome::Success)
    }

    /// Writes it down; a change that is not written down is not answered.
    pub(crate) async fn write(&self, event: Event) -> Result<(), DeskError> {
        self.journal.append(event).await?;
        Ok(())
    }
}
