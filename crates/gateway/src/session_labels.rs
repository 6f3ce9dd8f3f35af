//! What rules call that which a person does through a client: once something private or foreign was read, later calls can be
//! judged by that.
//!
//! Promises: a label is written before the call that brings it is made, so that no later call on any node is judged without
//! it; it is the person's and the client's, so that neither another session nor another sign-in or node sheds it; it lasts for
//! a day after the last call that brings it.
//!
//! Deliberately absent: which calls bring which labels, and which mind them, which `policy` says. Where no rule minds them,
//! nothing is read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_base::{ClientId, Clock, PersonId, Timestamp};
use portcullis_store::{Store, StoreError};

/// How long a label lasts after the last call that brought it.
const LASTS: Duration = Duration::from_hours(24);
/// A label that was written so recently is not written again.
const AGAIN: Duration = Duration::from_mins(10);
/// How many of those are remembered.
const REMEMBERED: usize = 10_000;

type Key = (PersonId, ClientId, Arc<str>);

/// Labels of sessions.
pub struct SessionLabels {
    store: Store,
    clock: Arc<dyn Clock>,
    written: Mutex<HashMap<Key, Timestamp>>,
}

impl SessionLabels {
    /// Those in this database.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, written: Mutex::default() }
    }

    /// What that which `person` does through `client` is called now.
    pub async fn of(&self, person: &PersonId, client: &ClientId) -> Result<Arc<[Arc<str>]>, StoreError> {
        self.store.session_labels(person, client, self.clock.now()).await.map(Into::into)
    }

    /// It is called all of `labels` from now on.
    pub async fn put(&self, person: &PersonId, client: &ClientId, labels: &[Arc<str>]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let key = |label: &Arc<str>| (person.clone(), client.clone(), Arc::clone(label));
        let is_new = |label: &&Arc<str>| {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            // A clock that went back has not seen it.
            written.get(&key(label)).is_none_or(|at| now < *at || now.since(*at) >= AGAIN)
        };
        let new: Vec<_> = labels.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        self.store.label_session(person, client, &new, now.plus(LASTS)).await?;
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.len() + new.len() > REMEMBERED {
            written.clear();
        }
        written.extend(new.iter().map(|label| (key(label), now)));
        Ok(())
    }
}
