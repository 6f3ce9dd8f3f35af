//! What this node remembers: bounded, and never older than what the change feed has brought.

use std::sync::{Mutex, MutexGuard, PoisonError};

use portcullis_base::{ConnectionId, Holder, ServerName};
use quick_cache::sync::Cache;

use super::live::Known;

/// How many holders at servers are remembered.
const ROOM: usize = 16 * 1024;

/// Whose, and where: never one without the other. spec: T-51
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub holder: Holder,
    pub server: ServerName,
}

/// What is remembered.
pub(super) struct Memory {
    known: Cache<Key, Known>,
    /// Grows with everything that is learned otherwise than by reading a row. Held while something is put: what was read
    /// before must not be stored over what was learned after.
    age: Mutex<u64>,
}

/// When a row was begun to be read.
#[derive(Clone, Copy)]
pub(super) struct Moment(u64);

impl Memory {
    pub(super) fn new() -> Self {
        Self { known: Cache::new(ROOM), age: Mutex::new(0) }
    }

    /// What is known, without waiting for anybody.
    pub(super) fn get(&self, key: &Key) -> Option<Known> {
        self.known.get(key)
    }

    /// Asked before a row is read.
    pub(super) fn moment(&self) -> Moment {
        Moment(*self.age())
    }

    /// Keeps what was read of a row, unless something was learned since.
    pub(super) fn keep(&self, key: &Key, known: &Known, begun: Moment) {
        let age = self.age();
        if *age == begun.0 {
            self.known.insert(key.clone(), known.clone());
        } else {
            self.known.remove(key);
        }
    }

    /// Forgets one; a row that is being read at this moment will not be kept.
    pub(super) fn forget(&self, key: &Key) {
        let mut age = self.age();
        *age += 1;
        self.known.remove(key);
    }

    /// Something has changed somewhere: a row that is being read at this moment will not be kept.
    pub(super) fn stir(&self) -> Moment {
        let mut age = self.age();
        *age += 1;
        Moment(*age)
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut age = self.age();
        *age += 1;
        self.known.clear();
    }

    /// Who has the connection of this identifier, if it is remembered: for one that is not in the database any more.
    pub(super) fn find(&self, id: &ConnectionId) -> Option<Key> {
        let is_it = |known: &Known| match known {
            Known::Live(live) => live.id.as_ref() == Some(id),
            Known::Lost { id: lost, .. } => lost == id,
            Known::Missing => false,
        };
        self.known.iter().find(|(_, known)| is_it(known)).map(|(key, _)| key)
    }

    fn age(&self) -> MutexGuard<'_, u64> {
        self.age.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_base::PersonId;

    use super::*;

    // spec: T-51
    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let memory = Memory::new();
        let server = ServerName::parse("a").unwrap();
        let key = Key { holder: Holder::Person(PersonId::new("usr_1")), server };
        let begun = memory.moment();
        memory.forget(&key);
        memory.keep(&key, &Known::Missing, begun);
        assert!(memory.get(&key).is_none());
        memory.keep(&key, &Known::Missing, memory.moment());
        assert!(memory.get(&key).is_some());
        let other = Key { holder: Holder::Shared, ..key };
        assert!(memory.get(&other).is_none(), "the same server, and somebody else");
    }
}
