//! How many calls one person has in flight, streams among them (T-62), and which sessions have any.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_base::PersonId;

/// Calls in flight by whose they are.
pub(super) struct Crowd<K: Eq + Hash = PersonId> {
    most: usize,
    open: Mutex<HashMap<K, usize>>,
}

/// One call in flight; its place is free again when this is dropped.
pub(super) struct Seat<K: Eq + Hash = PersonId> {
    crowd: Arc<Crowd<K>>,
    whose: K,
}

impl<K: Clone + Eq + Hash> Crowd<K> {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A place for one more call of `whose`, if there is one.
    pub(super) fn enter(self: &Arc<Self>, whose: &K) -> Option<Seat<K>> {
        let mut open = self.open();
        let count = open.entry(whose.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { crowd: self.clone(), whose: whose.clone() })
    }

    /// Whether a call of `whose` is in flight.
    pub(super) fn has(&self, whose: &K) -> bool {
        self.open().contains_key(whose)
    }
}

impl<K: Eq + Hash> Crowd<K> {
    fn open(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut open = self.crowd.open();
        if let Some(count) = open.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec: T-62
    #[test]
    fn a_person_has_only_so_many_calls() {
        let crowd = Crowd::new(2);
        let (alice, bob) = (PersonId::new("alice"), PersonId::new("bob"));
        let first = crowd.enter(&alice);
        let second = crowd.enter(&alice);
        assert!(first.is_some() && second.is_some() && crowd.enter(&alice).is_none());
        assert!(crowd.enter(&bob).is_some());
        drop(first);
        assert!(crowd.enter(&alice).is_some());
        assert!(crowd.has(&alice) && !crowd.has(&bob));
    }
}
