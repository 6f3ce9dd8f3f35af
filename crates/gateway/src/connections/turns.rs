//! Which connections this process is renewing at this moment. A lease ends by the clock, and a clock can leap; who is at it
//! here is known without one.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use portcullis_base::ConnectionId;

/// The connections that are being renewed here.
#[derive(Default)]
pub(super) struct Turns {
    taken: Arc<Mutex<HashSet<ConnectionId>>>,
}

/// The right to renew one, in this process; it ends when this is dropped.
pub(super) struct Turn {
    taken: Arc<Mutex<HashSet<ConnectionId>>>,
    id: ConnectionId,
}

impl Turns {
    /// The turn of `id`, unless somebody has it.
    ///
    /// spec: UP-43: "so that a rotating refresh token is used once".
    pub(super) fn take(&self, id: &ConnectionId) -> Option<Turn> {
        let first = self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        first.then(|| Turn { taken: self.taken.clone(), id: id.clone() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
