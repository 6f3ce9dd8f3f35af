//! A server that keeps failing is left alone for a while, and so are its callers: they are told at once instead of
//! waiting for it one after the other. Then one call goes to see whether it is back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use portcullis_base::ServerName;

/// Failures in a row, with no success between them, until a server is left alone.
const PATIENCE: u32 = 5;
/// The first rest. Each one after it is twice as long, as long as the server is not back.
const FIRST: Duration = Duration::from_secs(1);
/// The longest rest.
const LONGEST: Duration = Duration::from_secs(30);

/// What is known of how a server fares.
pub(super) struct Breaker {
    name: ServerName,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    rest: Option<Rest>,
}

struct Rest {
    /// When the next one may go to see.
    until: Instant,
    length: Duration,
}

/// A server is left alone for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resting(pub Duration);

/// Leave to try. What comes of it is reported; if its owner goes away without a word, nothing was learnt.
pub(super) struct Attempt {
    breaker: Arc<Breaker>,
    probe: bool,
}

impl Breaker {
    pub(super) fn new(name: ServerName) -> Arc<Self> {
        Arc::new(Self { name, state: Mutex::default() })
    }

    /// Leave to send one request.
    pub(super) fn attempt(self: &Arc<Self>, now: Instant) -> Result<Attempt, Resting> {
        let mut state = self.state();
        let probe = match &mut state.rest {
            None => false,
            Some(rest) if now < rest.until => return Err(Resting(rest.until - now)),
            // Whoever is out to see may be at a call that takes long by its nature: the others wait for the rest once
            // more and not for that call.
            Some(rest) => {
                rest.until = now + rest.length;
                true
            }
        };
        Ok(Attempt { breaker: self.clone(), probe })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// The server is there.
    pub(super) fn went_well(mut self) {
        self.probe = false;
        let mut state = self.breaker.state();
        state.failures = 0;
        if state.rest.take().is_some() {
            tracing::info!(server.name = %self.breaker.name, "the server is back");
        }
    }

    /// It is not, or not able to do anything.
    pub(super) fn failed(mut self, now: Instant) {
        let probe = std::mem::take(&mut self.probe);
        let mut state = self.breaker.state();
        state.failures = state.failures.saturating_add(1);
        let length = match &state.rest {
            // Sent before the rest began: it says nothing new.
            Some(_) if !probe => return,
            Some(rest) => (rest.length * 2).min(LONGEST),
            None if state.failures < PATIENCE => return,
            None => FIRST,
        };
        state.rest = Some(Rest { until: now + length, length });
        tracing::warn!(
            server.name = %self.breaker.name,
            failures = state.failures,
            rest_ms = length.as_millis() as u64,
            "the server keeps failing and is left alone for a while"
        );
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.probe
            && let Some(rest) = &mut self.breaker.state().rest
        {
            rest.until = rest.until.min(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Arc<Breaker> {
        Breaker::new(ServerName::parse("acme").unwrap())
    }

    fn fail(breaker: &Arc<Breaker>, now: Instant) {
        breaker.attempt(now).unwrap_or_else(|_| panic!("resting")).failed(now);
    }

    #[test]
    fn failures_in_a_row_lead_to_rests_that_grow_to_a_limit() {
        let (breaker, mut now) = (breaker(), Instant::now());
        for _ in 1..PATIENCE {
            fail(&breaker, now);
        }
        breaker.attempt(now).unwrap_or_else(|_| panic!("resting")).went_well();
        for _ in 0..PATIENCE {
            fail(&breaker, now);
        }
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let rest = Duration::from_secs(seconds);
            assert_eq!(breaker.attempt(now).err(), Some(Resting(rest)));
            assert!(breaker.attempt(now + rest.mul_f32(0.99)).is_err());
            now += rest;
            fail(&breaker, now);
        }
    }

    #[test]
    fn one_at_a_time_goes_to_see_and_what_it_finds_counts() {
        let (breaker, start) = (breaker(), Instant::now());
        let late = breaker.attempt(start).unwrap_or_else(|_| panic!("resting"));
        for _ in 0..PATIENCE {
            fail(&breaker, start);
        }
        let now = start + FIRST;
        let probe = breaker.attempt(now).unwrap_or_else(|_| panic!("resting"));
        assert!(breaker.attempt(now).is_err());
        // A failure from before the rest prolongs nothing.
        late.failed(now);
        drop(probe);
        let probe = breaker.attempt(now).unwrap_or_else(|_| panic!("its owner went away, so somebody else may"));
        probe.went_well();
        let both = (breaker.attempt(now), breaker.attempt(now));
        assert!(both.0.is_ok() && both.1.is_ok());
    }

    #[test]
    fn one_who_sees_for_long_keeps_nobody_out() {
        let (breaker, start) = (breaker(), Instant::now());
        for _ in 0..PATIENCE {
            fail(&breaker, start);
        }
        let slow = breaker.attempt(start + FIRST).unwrap_or_else(|_| panic!("resting"));
        assert_eq!(breaker.attempt(start + FIRST).err(), Some(Resting(FIRST)));
        let quick = breaker.attempt(start + 2 * FIRST).unwrap_or_else(|_| panic!("it waits for a call"));
        quick.went_well();
        slow.failed(start + 3 * FIRST);
        assert!(breaker.attempt(start + 3 * FIRST).is_ok(), "it was seen to be back meanwhile");
    }
}
