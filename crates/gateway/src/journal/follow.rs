//! Who follows the journal, and how far each has come: nothing is removed that one of them has not taken.

use std::sync::{
    Arc, Mutex, MutexGuard, Weak,
    atomic::{AtomicU64, Ordering},
};

/// Somebody who takes lines from the journal and remembers durably how far. Dropped, nobody waits for it any more.
#[derive(Debug)]
pub struct Follower {
    taken: Arc<AtomicU64>,
}

impl Follower {
    /// Says that all lines up to `seq` were taken, and that this is remembered durably.
    pub fn taken(&self, seq: u64) {
        self.taken.store(seq, Ordering::Relaxed);
    }
}

/// All who follow.
#[derive(Debug, Default)]
pub(super) struct Followers {
    all: Mutex<Vec<(String, Weak<AtomicU64>)>>,
}

impl Followers {
    pub(super) fn add(&self, name: &str, taken: u64) -> Follower {
        let taken = Arc::new(AtomicU64::new(taken));
        self.all().push((name.to_owned(), Arc::downgrade(&taken)));
        Follower { taken }
    }

    /// The one who is farthest behind, and where it is.
    pub(super) fn slowest(&self) -> Option<(String, u64)> {
        let mut all = self.all();
        all.retain(|(_, taken)| taken.strong_count() > 0);
        let places =
            all.iter().filter_map(|(name, taken)| Some((name.clone(), taken.upgrade()?.load(Ordering::Relaxed))));
        places.min_by_key(|(_, taken)| *taken)
    }

    fn all(&self) -> MutexGuard<'_, Vec<(String, Weak<AtomicU64>)>> {
        self.all.lock().expect("no holder of the followers panics")
    }
}
