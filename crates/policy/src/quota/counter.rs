//! Counting over a time: what was taken is in slots, and what is over is forgotten slot by slot.
//!
//! A slot counts until all of it is over, so that in no stretch of time as long as the window more is let through than
//! the limit says; what is taken is given back up to one slot late.

use std::{fmt, sync::Arc, time::Duration};

use portcullis_base::Timestamp;
use serde::{Deserialize, Serialize};

use super::Claim;
use crate::amount::Amount;

/// Into how many slots a window is cut.
const SLOTS: i64 = 24;

/// What was taken of one limit by one of those whom it is counted for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counter {
    /// Oldest first.
    slots: Vec<Slot>,
    /// When each call that runs is given up at the latest.
    running: Vec<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    /// Which one since 1970.
    at: i64,
    calls: u64,
    amount: Amount,
}

/// What a call took, until it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    slot: Option<i64>,
    amount: Amount,
    running: Option<Timestamp>,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many calls in that time.
    Calls(u64, Duration),
    /// So much in that time; then, how much is left.
    Sum(Amount, Duration, Amount),
    /// So many calls at a time.
    Concurrent(u32),
}

/// A limit is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// The rule.
    pub rule: Arc<str>,
    /// What it limits.
    pub limit: Limit,
    /// Of what an amount is.
    pub unit: Option<Box<str>>,
    /// From when on the same call would be let through, if nobody else takes anything; `None`: never, or when one of
    /// those that run has ended.
    pub retry_at: Option<Timestamp>,
}

impl Counter {
    /// Takes what `claim` wants, or says why not. Until it is told how the call ended, it counts as made; a call that is
    /// not heard of for `lease` no longer counts as running.
    ///
    /// spec: T-79: it is taken before the call is made.
    pub fn reserve(&mut self, claim: &Claim, now: Timestamp, lease: Duration) -> Result<Reservation, Exhausted> {
        let quota = &claim.quota;
        let exhausted =
            |limit, retry_at| Exhausted { rule: Arc::clone(&quota.rule), limit, unit: claim.unit.clone(), retry_at };
        self.running.retain(|until| *until > now);
        if let Some(most) = quota.concurrent
            && self.running.len() >= most as usize
        {
            return Err(exhausted(Limit::Concurrent(most), None));
        }
        let mut taken = None;
        if let Some(window) = quota.window {
            let length = slot_length(window);
            // Should the clock go back, what is new is as new as what is there.
            let here = (now.as_millis().div_euclid(length)).max(self.slots.last().map_or(i64::MIN, |slot| slot.at));
            self.slots.retain(|slot| slot.at >= here - SLOTS);
            let calls = quota.calls.map(|most| {
                let room = |slots: &[Slot]| slots.iter().map(|slot| slot.calls).sum::<u64>() < most;
                (Limit::Calls(most, window), self.until(length, room))
            });
            let sum = quota.sum.as_ref().map(|sum| {
                let taken = |slots: &[Slot]| slots.iter().fold(Amount::ZERO, |all, slot| all.plus(slot.amount));
                let room = |slots: &[Slot]| taken(slots).plus(claim.amount) <= sum.most;
                (Limit::Sum(sum.most, window, sum.most.minus(taken(&self.slots))), self.until(length, room))
            });
            let full = || calls.iter().chain(&sum).filter(|(_, until)| *until != Until::Now);
            if let Some((limit, _)) = full().next() {
                // The last of them is the one to wait for.
                let retry = full().map(|(_, until)| until).max();
                return Err(exhausted(*limit, if let Some(Until::Then(at)) = retry { Some(*at) } else { None }));
            }
            match self.slots.last_mut().filter(|slot| slot.at == here) {
                Some(slot) => {
                    slot.calls = slot.calls.saturating_add(1);
                    slot.amount = slot.amount.plus(claim.amount);
                }
                None => self.slots.push(Slot { at: here, calls: 1, amount: claim.amount }),
            }
            taken = Some(here);
        }
        let running = quota.concurrent.map(|_| now.plus(lease));
        self.running.extend(running);
        Ok(Reservation { slot: taken, amount: claim.amount, running })
    }

    /// The call was made: what it took stays taken.
    pub fn commit(&mut self, reservation: &Reservation) {
        let running = reservation.running.and_then(|until| self.running.iter().position(|at| *at == until));
        if let Some(at) = running {
            self.running.swap_remove(at);
        }
    }

    /// The call was not made, and surely had no effect: what it took is given back.
    pub fn rollback(&mut self, reservation: &Reservation) {
        self.commit(reservation);
        if let Some(slot) = self.slots.iter_mut().find(|slot| Some(slot.at) == reservation.slot) {
            slot.calls = slot.calls.saturating_sub(1);
            slot.amount = slot.amount.minus(reservation.amount);
        }
        self.slots.retain(|slot| slot.calls > 0);
    }

    /// Whether it counts nothing any more, so that it need not be kept.
    pub fn is_over(&self, window: Option<Duration>, now: Timestamp) -> bool {
        let over = |length: i64, slot: &Slot| now >= end(slot.at, length);
        let counted = window.is_none_or(|window| self.slots.iter().all(|slot| over(slot_length(window), slot)));
        counted && self.running.iter().all(|until| *until <= now)
    }

    /// From when on there is `room`, as slots are over.
    fn until(&self, length: i64, room: impl Fn(&[Slot]) -> bool) -> Until {
        match (0..=self.slots.len()).find(|gone| room(&self.slots[*gone..])) {
            Some(0) => Until::Now,
            Some(gone) => Until::Then(end(self.slots[gone - 1].at, length)),
            None => Until::Never,
        }
    }
}

/// From when on there is room for a call, soonest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    Now,
    Then(Timestamp),
    Never,
}

/// In milliseconds; at least one.
fn slot_length(window: Duration) -> i64 {
    let millis = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
    (millis / SLOTS + i64::from(millis % SLOTS != 0)).max(1)
}

fn end(slot: i64, length: i64) -> Timestamp {
    Timestamp::from_millis(slot.saturating_add(SLOTS + 1).saturating_mul(length))
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule \"{}\" allows at most ", self.rule)?;
        let unit = self.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
        match self.limit {
            Limit::Calls(most, window) => write!(f, "{most} of these calls in {}", span(window))?,
            Limit::Sum(most, window, left) => {
                write!(f, "{most}{unit} in {}, of which {left}{unit} are left", span(window))?;
            }
            Limit::Concurrent(most) => {
                return write!(f, "{most} of these calls at a time. Wait until one of them has ended.");
            }
        }
        match self.retry_at {
            Some(at) => write!(f, ". The same call is possible again at {at}."),
            None => f.write_str(". This call is more than that by itself."),
        }
    }
}

/// A time as rules write it.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let (unit, scale) = units.into_iter().find(|(_, scale)| seconds.is_multiple_of(*scale)).unwrap_or(("s", 1));
    format!("{}{unit}", seconds / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quota::{Per, Quota, Sum};

    fn claim(calls: Option<u64>, most: Option<u32>, concurrent: Option<u32>, window: u64, amount: u32) -> Claim {
        let sum = most.map(|most| Sum { of: crate::Path::parse("amount").unwrap(), most: most.into(), unit: None });
        let window = (calls.is_some() || sum.is_some()).then(|| Duration::from_secs(window));
        let per = [Per::Person].into();
        let quota = Arc::new(Quota { rule: "r".into(), place: 0, per, window, calls, sum, concurrent });
        Claim { quota, key: "k".into(), amount: amount.into(), unit: None }
    }

    const START: Timestamp = Timestamp::from_secs(1_795_400_003);
    const LEASE: Duration = Duration::from_mins(5);

    #[test]
    fn limit_that_is_reached_says_when_to_come_back() {
        let mut counter = Counter::default();
        let pay = |amount| claim(None, Some(500), None, 86_400, amount);
        counter.reserve(&pay(300), START, LEASE).unwrap();
        let later = START.plus(Duration::from_hours(5));
        counter.reserve(&pay(200), later, LEASE).unwrap();
        let full = counter.reserve(&pay(1), later, LEASE).unwrap_err();
        assert_eq!(full.limit, Limit::Sum(500.into(), Duration::from_hours(24), Amount::ZERO));
        let retry = full.retry_at.unwrap();
        assert!(retry >= START.plus(Duration::from_hours(24)) && retry <= START.plus(Duration::from_hours(25)));
        assert!(counter.clone().reserve(&pay(300), retry, LEASE).is_ok());
        assert!(counter.clone().reserve(&pay(301), retry, LEASE).is_err());
        let told = full.to_string();
        assert!(told.starts_with("Rule \"r\" allows at most 500 in 1d, of which 0 are left. The same call"), "{told}");
        let never = counter.reserve(&pay(501), later, LEASE).unwrap_err();
        assert_eq!((never.retry_at, never.to_string().contains("more than that by itself")), (None, true));
    }

    #[test]
    fn what_was_not_done_is_given_back_and_what_runs_is_counted_until_it_ends() {
        let mut counter = Counter::default();
        let both = claim(Some(2), Some(10), Some(1), 60, 10);
        let first = counter.reserve(&both, START, LEASE).unwrap();
        let busy = counter.reserve(&both, START, LEASE).unwrap_err();
        assert_eq!((busy.limit, busy.retry_at), (Limit::Concurrent(1), None));
        counter.rollback(&first);
        assert!(counter.is_over(Some(Duration::from_secs(60)), START));
        let second = counter.reserve(&both, START, LEASE).unwrap();
        counter.commit(&second);
        assert!(matches!(counter.reserve(&both, START, LEASE).unwrap_err().limit, Limit::Sum(..)));
        // Given back twice, it is given back once.
        counter.rollback(&second);
        counter.rollback(&second);
        counter.reserve(&both, START, LEASE).unwrap();
        // A call that is never heard of again does not hold its place for ever.
        let later = START.plus(LEASE);
        assert!(counter.reserve(&both, later, LEASE).is_ok());
        let stored = serde_json::to_string(&counter).unwrap();
        assert_eq!(serde_json::from_str::<Counter>(&stored).unwrap(), counter, "{stored}");
    }

    proptest! {
        /// spec: T-79: "counters … never exceed"
        #[test]
        fn no_stretch_of_the_window_has_more_than_the_limit(
            steps in prop::collection::vec((-2_000_i64..20_000, 0_u32..6, 0..4), 1..60),
            (calls, most, window) in (1_u64..6, 1_u32..20, 1_u64..90),
        ) {
            let (mut counter, mut now, mut made, mut back) = (Counter::default(), START, Vec::new(), START);
            for (step, amount, end) in steps {
                now = Timestamp::from_millis(now.as_millis() + step);
                // A clock that went back is not what is looked at here.
                now = now.max(back);
                back = now;
                let wanted = claim(Some(calls), Some(most), None, window, amount);
                match counter.reserve(&wanted, now, LEASE) {
                    Ok(reservation) if end == 0 => counter.rollback(&reservation),
                    Ok(reservation) => {
                        counter.commit(&reservation);
                        made.push((now, amount));
                    }
                    Err(full) => {
                        // What it says is so: not a moment before, and then.
                        if let Some(at) = full.retry_at {
                            let before = Timestamp::from_millis(at.as_millis() - 1);
                            prop_assert!(counter.clone().reserve(&wanted, before, LEASE).is_err());
                            prop_assert!(counter.clone().reserve(&wanted, at, LEASE).is_ok());
                            prop_assert!(at > now);
                        }
                    }
                }
                prop_assert!(counter.slots.len() <= SLOTS as usize + 1);
                let since = now.minus(Duration::from_secs(window));
                let recent: Vec<_> = made.iter().filter(|(at, _)| *at > since).collect();
                prop_assert!(recent.len() as u64 <= calls);
                prop_assert!(recent.iter().map(|(_, amount)| amount).sum::<u32>() <= most);
            }
        }
    }
}
