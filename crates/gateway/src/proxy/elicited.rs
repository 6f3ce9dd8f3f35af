//! Pages that clients of 2025-11-25 were told to have opened, until they are told that it is done.

use portcullis_base::SessionId;
use quick_cache::sync::Cache;

/// How many a session waits for at most.
const MOST: usize = 16;

/// What sessions wait for, on this node. A client that hears nothing asks again by itself.
pub(super) struct Elicited(Cache<SessionId, Vec<String>>);

impl Elicited {
    pub(super) fn new() -> Self {
        Self(Cache::new(4 * 1024))
    }

    /// The client of `session` was told of the page that `id` names.
    pub(super) fn add(&self, session: &SessionId, id: &str) {
        let mut all = self.0.get(session).unwrap_or_default();
        if all.len() == MOST {
            all.remove(0);
        }
        all.push(id.to_owned());
        self.0.insert(session.clone(), all);
    }

    /// All that `session` waits for; it waits for them no longer.
    pub(super) fn take(&self, session: &SessionId) -> Vec<String> {
        self.0.remove(session).map(|(_, all)| all).unwrap_or_default()
    }
}
