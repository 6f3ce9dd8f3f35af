//! A process that ends as soon as it is started is not started again at once. spec: TR-159

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The first rest; each one after it is twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);
/// Who has run for so long is started again without a rest.
const STEADY: Duration = Duration::from_secs(60);
/// How many are kept in mind.
const MOST: usize = 1024;

/// How the processes of one server fared lately, by whose they are.
#[derive(Default)]
pub(super) struct Rests(Mutex<HashMap<String, Rest>>);

struct Rest {
    times: u32,
    until: Instant,
    how: String,
}

impl Rests {
    /// Whether one may be started now; the error says how long not, and how it ended.
    pub(super) fn look(&self, key: &str, now: Instant) -> Result<(), String> {
        let rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match rests.get(key).filter(|rest| now < rest.until) {
            None => Ok(()),
            Some(Rest { times, until, how }) => Err(format!(
                "it ended soon after its start{}, and is left alone for {} s more. The last time: {how}",
                if *times > 1 { format!(", {times} times in a row") } else { String::new() },
                (*until - now).as_secs() + 1
            )),
        }
    }

    /// It ended without having been told to, or could not be started at all.
    pub(super) fn failed(&self, key: &str, now: Instant, how: &str) {
        let mut rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rests.len() >= MOST {
            rests.retain(|_, rest| now < rest.until);
        }
        if rests.len() >= MOST && !rests.contains_key(key) {
            return;
        }
        let times = rests.get(key).map_or(0, |rest| rest.times) + 1;
        let length = FIRST.saturating_mul(1 << (times - 1).min(16)).min(LONGEST);
        rests.insert(key.to_owned(), Rest { times, until: now + length, how: how.to_owned() });
    }

    /// It ended after it had run for so long: that is no loop.
    pub(super) fn ended(&self, key: &str, ran: Duration, now: Instant, how: Option<&str>) {
        let mut rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ran >= STEADY || how.is_none() {
            rests.remove(key);
        }
        drop(rests);
        if let Some(how) = how {
            self.failed(key, now, how);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: TR-159
    #[test]
    fn rest_grows_to_a_minute_and_a_steady_run_ends_it() {
        let (rests, mut now) = (Rests::default(), Instant::now());
        for length in [1, 2, 4, 8, 16, 32, 60, 60] {
            rests.look("ana", now).expect("rested");
            rests.ended("ana", Duration::ZERO, now, Some("it ended with status 1"));
            let why = rests.look("ana", now + Duration::from_secs(length - 1)).expect_err("resting");
            assert!(why.contains("it ended with status 1"), "{why}");
            rests.look("bob", now).expect("another's");
            now += Duration::from_secs(length);
        }
        rests.ended("ana", STEADY, now, Some("it ended with status 1"));
        rests.look("ana", now + FIRST).expect("a short rest again");
        rests.ended("ana", Duration::ZERO, now, None);
        rests.look("ana", now).expect("ended in order");
    }
}
