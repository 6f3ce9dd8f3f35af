//! How many calls one person has in flight, streams among them (T-62).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_base::PersonId;

/// Calls in flight by person.
pub(super) struct Crowd {
    most: usize,
    open: Mutex<HashMap<PersonId, usize>>,
}

/// One call in flight; its place is free again when this is dropped.
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    person: PersonId,
}

impl Crowd {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A place for one more call of `person`, if there is one.
    pub(super) fn enter(self: &Arc<Self>, person: &PersonId) -> Option<Seat> {
        let mut open = self.open();
        let count = open.entry(person.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { crowd: self.clone(), person: person.clone() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<PersonId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.crowd.open();
        if let Some(count) = open.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.person);
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
    }
}
