//! Limits that rules put on calls: what a call takes is taken before anything is sent, and given back if nothing was.
//!
//! Promises:
//! - However many calls come at once, no limit is exceeded: it is reserved first, all of it or nothing (spec: T-79).
//! - What is limited over at most a minute, and how many calls run at a time, is counted in the memory of this node; longer
//!   times and amounts are counted in rows, for all nodes together. A call that no such rule concerns meets neither.
//! - What was sent counts, whatever became of it; what was not is given back, also when this process dies in between.
//!
//! Deliberately absent: which limits concern a call, and how they are counted, which `policy` says.

mod held;
mod short;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portcullis_base::{CallId, Clock, Rng, Timestamp, token};
use portcullis_policy::{Claim, Exhausted, Facts, Limit, Obligations, Quota, Unclaimable};
use portcullis_store::{QuotaHold, Run, Store, StoreError};

pub use self::held::{Departure, Held, Lost};
use self::short::{Short, Untaken};

/// What is limited over no longer than this is counted in memory, unless it is an amount.
const SHORT: Duration = Duration::from_mins(1);
/// For how long what this node holds is believed to be under way without a word of it.
const LEASE: Duration = Duration::from_mins(1);
/// When a call that waits for others to end may try again.
const SOON: Duration = Duration::from_secs(1);

/// The limits of this run of this node.
pub struct Quotas {
    store: Store,
    clock: Arc<dyn Clock>,
    node: Arc<str>,
    run: String,
    short: Short,
    /// Calls of this run that hold something in rows.
    rows: AtomicUsize,
}

/// Why a call may not go on.
#[derive(Debug)]
pub enum Untold {
    /// A limit is reached, or the call does not tell how much it takes.
    Over(Over),
    /// It cannot be counted.
    Store(StoreError),
}

/// A call that a limit holds up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// The rule whose limit it is.
    pub rule: Arc<str>,
    /// For the caller: names the rule, nothing secret.
    pub message: Box<str>,
    /// When the same call is possible again, if nobody else takes anything; `None`: never as it is.
    pub retry_after: Option<Duration>,
}

impl Over {
    fn exhausted(why: &Exhausted, now: Timestamp) -> Self {
        let retry_after = match (why.retry_at, why.limit) {
            (Some(at), _) => Some(at.since(now)),
            (None, Limit::Concurrent(_)) => Some(SOON),
            (None, _) => None,
        };
        Self { rule: Arc::clone(&why.rule), message: why.to_string().into(), retry_after }
    }

    fn crowded(rule: &Arc<str>) -> Self {
        let message =
            format!("Rule \"{rule}\" limits these calls, and so many are counted here that this one cannot be.");
        Self { rule: Arc::clone(rule), message: message.into(), retry_after: Some(SHORT) }
    }

    /// The same in whole seconds, rounded up.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|time| time.as_millis().div_ceil(1000) as u64)
    }
}

impl From<Unclaimable> for Over {
    fn from(why: Unclaimable) -> Self {
        Self { message: why.to_string().into(), rule: why.rule, retry_after: None }
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Quotas {
    /// How often [`Quotas::heartbeat`] has to come.
    pub const HEARTBEAT: Duration = Duration::from_secs(15);

    /// Those of this run of `node`.
    pub fn new(store: Store, node: Arc<str>, clock: Arc<dyn Clock>, rng: &dyn Rng) -> Self {
        let run = token::<12>(rng);
        Self { store, clock, node, run, short: Short::default(), rows: AtomicUsize::new(0) }
    }

    /// Takes what `call` needs of all that limits it, or nothing. `None`: nothing limits it.
    ///
    /// spec: T-79: before it is sent.
    pub async fn claim(
        self: &Arc<Self>,
        obligations: &Obligations,
        facts: &Facts<'_>,
        call: &CallId,
    ) -> Result<Option<Held>, Untold> {
        let (mut short, mut rows) = (Vec::new(), Vec::new());
        for quota in &obligations.quotas {
            let claim = quota.claim(facts).map_err(|why| Untold::Over(why.into()))?;
            if let Some(claim) = claim {
                let (here, everywhere) = divided(claim);
                short.extend(here);
                rows.extend(everywhere);
            }
        }
        if short.is_empty() && rows.is_empty() {
            return Ok(None);
        }
        let now = self.clock.now();
        let taken = self.short.take(&short, facts.person, now).map_err(|why| {
            Untold::Over(match why {
                Untaken::Exhausted(why) => Over::exhausted(&why, now),
                Untaken::Crowded(rule) => Over::crowded(&rule),
            })
        })?;
        // From here on it is given back by being dropped.
        let mut held = Held::new(Arc::clone(self), call.clone(), taken);
        if !rows.is_empty() {
            held.in_rows();
            let hold = QuotaHold { call, run: self.this_run(), lease: LEASE, claims: &rows };
            match self.store.reserve_quota(&hold, now).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => {
                    held.not_in_rows();
                    return Err(Untold::Over(Over::exhausted(&why, now)));
                }
                // It may be there all the same.
                Err(error) => return Err(Untold::Store(error)),
            }
        }
        Ok(Some(held))
    }

    /// Settles what earlier runs of this node held, and what any node holds that was not heard of for too long: what they
    /// had not sent is given back.
    pub async fn settle(&self) -> Result<u64, StoreError> {
        self.store.release_quotas(self.this_run(), self.clock.now()).await
    }

    /// Says that this run goes on, and settles what others left behind.
    pub async fn heartbeat(&self) -> Result<(), StoreError> {
        if self.rows.load(Ordering::Relaxed) > 0 {
            self.store.renew_run(self.this_run(), self.clock.now().plus(LEASE)).await?;
        }
        self.settle().await.map(drop)
    }

    fn this_run(&self) -> Run<'_> {
        Run { node: &self.node, run: &self.run }
    }
}

/// What is counted in memory, and what in rows.
fn divided(claim: Claim) -> (Option<Claim>, Option<Claim>) {
    let quota = &claim.quota;
    if quota.sum.is_none() && quota.window.is_none_or(|window| window <= SHORT) {
        return (Some(claim), None);
    }
    if quota.concurrent.is_none() {
        return (None, Some(claim));
    }
    let here = Quota { window: None, calls: None, sum: None, ..Quota::clone(quota) };
    let everywhere = Quota { concurrent: None, ..Quota::clone(quota) };
    let with = |quota| Claim { quota: Arc::new(quota), ..claim.clone() };
    (Some(with(here)), Some(with(everywhere)))
}

#[cfg(test)]
mod tests;
