//! Counters in memory: calls over a short time, and calls at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_base::{PersonId, Timestamp};
use portcullis_policy::{Claim, Counter, Exhausted, Reservation};

/// How many counters there are at most, and how many of them one person's calls may have brought about.
const MOST: usize = 20_000;
const MOST_OF_ONE: usize = 2_000;
/// A full table is looked through for what is over at most this often.
const SWEEP: Duration = Duration::from_secs(1);
/// Calls that run are known here to the last; none of them is ever given up.
const RUNNING: Duration = Duration::from_hours(24 * 365);

#[derive(Default)]
pub(super) struct Short(Mutex<Counters>);

#[derive(Default)]
struct Counters {
    all: HashMap<Arc<str>, Entry>,
    /// How many each person's calls have brought about.
    made: HashMap<PersonId, usize>,
    swept: Option<Timestamp>,
}

struct Entry {
    counter: Counter,
    window: Option<Duration>,
    maker: PersonId,
}

/// What a call took of one counter.
pub(super) struct Taken {
    key: Arc<str>,
    reservation: Reservation,
}

/// Why nothing was taken.
#[derive(Debug)]
pub(super) enum Untaken {
    /// A limit is reached.
    Exhausted(Exhausted),
    /// There is no room for another counter; the rule that wants one.
    Crowded(Arc<str>),
}

impl Short {
    /// Takes all that `claims` say, or nothing.
    pub(super) fn take(&self, claims: &[Claim], person: &PersonId, now: Timestamp) -> Result<Vec<Taken>, Untaken> {
        let mut counters = self.counters();
        let mut taken = Vec::with_capacity(claims.len());
        for claim in claims {
            match counters.take(claim, person, now) {
                Ok(one) => taken.push(one),
                Err(why) => {
                    counters.settle(taken, Counter::rollback, now);
                    return Err(why);
                }
            }
        }
        Ok(taken)
    }

    /// What was taken is used, or given back.
    pub(super) fn settle(&self, taken: Vec<Taken>, end: fn(&mut Counter, &Reservation), now: Timestamp) {
        if !taken.is_empty() {
            self.counters().settle(taken, end, now);
        }
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.counters().all.len()
    }
}

impl Counters {
    fn take(&mut self, claim: &Claim, person: &PersonId, now: Timestamp) -> Result<Taken, Untaken> {
        let window = claim.quota.window;
        // What is counted over another time is counted apart.
        let key: Arc<str> = format!("{}s {}", window.map_or(0, |window| window.as_secs()), claim.key).into();
        if !self.all.contains_key(&key) {
            self.make_room(person, now).ok_or_else(|| Untaken::Crowded(Arc::clone(&claim.quota.rule)))?;
            *self.made.entry(person.clone()).or_default() += 1;
        }
        let new = || Entry { counter: Counter::default(), window, maker: person.clone() };
        let entry = self.all.entry(Arc::clone(&key)).or_insert_with(new);
        match entry.counter.reserve(claim, now, RUNNING) {
            Ok(reservation) => Ok(Taken { key, reservation }),
            Err(why) => Err(Untaken::Exhausted(why)),
        }
    }

    fn settle(&mut self, taken: Vec<Taken>, end: fn(&mut Counter, &Reservation), now: Timestamp) {
        for Taken { key, reservation } in taken {
            let Some(entry) = self.all.get_mut(&key) else { continue };
            end(&mut entry.counter, &reservation);
            if entry.counter.is_over(entry.window, now)
                && let Some(entry) = self.all.remove(&key)
            {
                self.unmade(&entry.maker);
            }
        }
    }

    /// Whether there is room for another counter that `person` brings about.
    // spec: T-62: one person's calls do not take the place of everybody's.
    fn make_room(&mut self, person: &PersonId, now: Timestamp) -> Option<()> {
        let is_room =
            |this: &Self| this.all.len() < MOST && this.made.get(person).is_none_or(|made| *made < MOST_OF_ONE);
        if !is_room(self) && self.swept.is_none_or(|swept| now.since(swept) >= SWEEP || now < swept) {
            self.swept = Some(now);
            let Self { all, made, .. } = self;
            made.clear();
            all.retain(|_, entry| {
                let kept = !entry.counter.is_over(entry.window, now);
                if kept {
                    *made.entry(entry.maker.clone()).or_default() += 1;
                }
                kept
            });
        }
        is_room(self).then_some(())
    }

    fn unmade(&mut self, maker: &PersonId) {
        if let Some(made) = self.made.get_mut(maker) {
            *made -= 1;
            if *made == 0 {
                self.made.remove(maker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_policy::{Amount, Per, Quota};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_400_000);

    fn claim(key: &str, calls: Option<u64>, concurrent: Option<u32>) -> Claim {
        let window = calls.map(|_| Duration::from_mins(1));
        let per = [Per::Person].into();
        let quota = Arc::new(Quota { rule: "r".into(), place: 0, per, window, calls, sum: None, concurrent });
        Claim { quota, key: key.into(), amount: Amount::ZERO, unit: None }
    }

    #[test]
    fn all_of_it_is_taken_or_nothing_and_what_counts_nothing_is_forgotten() {
        let (short, alice) = (Short::default(), PersonId::new("alice"));
        let both = [claim("a", Some(2), None), claim("b", None, Some(1))];
        let first = short.take(&both, &alice, NOW).unwrap();
        assert!(matches!(short.take(&both, &alice, NOW), Err(Untaken::Exhausted(_))));
        short.settle(first, Counter::commit, NOW);
        assert_eq!(short.len(), 1, "nothing runs");
        // The one that could not run took no call.
        let second = short.take(&both, &alice, NOW).unwrap();
        assert!(short.take(&both[..1], &alice, NOW).is_err());
        short.settle(second, Counter::rollback, NOW);
        short.settle(short.take(&both[..1], &alice, NOW).unwrap(), Counter::commit, NOW);
        assert!(short.take(&both[..1], &alice, NOW).is_err());
        let later = NOW.plus(Duration::from_secs(63));
        assert!(short.take(&both[..1], &alice, later).is_ok());
    }

    // spec: T-62
    #[test]
    fn one_person_does_not_fill_the_table() {
        let (short, alice, bob) = (Short::default(), PersonId::new("alice"), PersonId::new("bob"));
        let one = |n: usize| [claim(&format!("tool_{n}"), Some(1), None)];
        for n in 0..MOST_OF_ONE {
            assert!(short.take(&one(n), &alice, NOW).is_ok());
        }
        assert!(matches!(short.take(&one(MOST_OF_ONE), &alice, NOW), Err(Untaken::Crowded(rule)) if &*rule == "r"));
        assert!(short.take(&one(MOST_OF_ONE), &bob, NOW).is_ok());
        let later = NOW.plus(Duration::from_secs(63));
        assert!(short.take(&one(MOST_OF_ONE + 1), &alice, later).is_ok());
        assert_eq!(short.len(), 1, "what is over makes room");
    }
}
