//! Rate limits of the doors: how often a source may try, and how often it may fail.
//!
//! A generic cell rate: every key may spend a burst at once and regains one try per period. Asking and charging are two
//! steps, because some limits count only failures, and a counter that cannot be asked without being charged would
//! punish those who succeed. Keys are kept in memory and in bounded number; a full table forgets what has recovered.
//!
//! spec: T-102: nothing here locks anybody out for good, and an outsider who fails under a foreign name spends his own
//! address's tries, not the owner's.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_base::{Clock, Digest, Timestamp};

use crate::config::Config;

/// How many keys one limit remembers.
const REMEMBERED: usize = 50_000;

/// One limit over many keys.
pub struct Limit {
    clock: Arc<dyn Clock>,
    burst: u32,
    period: Duration,
    full_again: Mutex<HashMap<Digest, Timestamp>>,
}

/// There were too many tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// When to try again.
    pub retry_after: Duration,
}

impl Limit {
    /// `burst` tries at once, then one per `period`.
    pub fn new(clock: Arc<dyn Clock>, burst: u32, period: Duration) -> Self {
        Self { clock, burst, period, full_again: Mutex::default() }
    }

    /// Whether `key` has a try left; takes none.
    pub fn ask(&self, key: &str) -> Result<(), TooMany> {
        let now = self.clock.now();
        self.judge(self.table().get(&Digest::of(key.as_bytes())).copied(), now)
    }

    /// Takes one try of `key`.
    pub fn charge(&self, key: &str) {
        let now = self.clock.now();
        let mut table = self.table();
        let entry = table.entry(Digest::of(key.as_bytes())).or_insert(now);
        *entry = (*entry).max(now).plus(self.period);
        make_room(&mut table, now);
    }

    /// Takes one try of `key` if it has one left.
    pub fn take(&self, key: &str) -> Result<(), TooMany> {
        self.ask(key)?;
        self.charge(key);
        Ok(())
    }

    fn judge(&self, full_again: Option<Timestamp>, now: Timestamp) -> Result<(), TooMany> {
        let spent = full_again.map_or(Duration::ZERO, |at| at.since(now));
        let allowed = self.period * (self.burst - 1);
        let retry_after = spent.saturating_sub(allowed);
        if retry_after.is_zero() { Ok(()) } else { Err(TooMany { retry_after }) }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Digest, Timestamp>> {
        self.full_again.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what has recovered; if all of a full table still recovers, forgets those that are nearest to it.
fn make_room(table: &mut HashMap<Digest, Timestamp>, now: Timestamp) {
    if table.len() <= REMEMBERED {
        return;
    }
    table.retain(|_, at| *at > now);
    if table.len() > REMEMBERED {
        let mut ends: Vec<Timestamp> = table.values().copied().collect();
        let (_, middle, _) = ends.select_nth_unstable(REMEMBERED / 2);
        let middle = *middle;
        table.retain(|_, at| *at > middle);
    }
}

/// The source of a request as a limit sees it: an IPv4 address, or the /64 of an IPv6 address, because a single
/// subscriber has all of a /64 to choose from.
pub fn source(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// All limits of the doors. The figures are those of a person and of busy programs, far above what either needs.
pub struct Limits {
    /// Failed sign-ins of one name from one source.
    pub sign_in_name: Limit,
    /// Failed sign-ins from one source.
    pub sign_in_source: Limit,
    /// Failed client authentications and redemptions of one client (AS-75).
    pub token_client: Limit,
    /// The same from one source.
    pub token_source: Limit,
    /// Registrations from one source (AS-123).
    pub register_source: Limit,
    /// Registrations in all.
    pub register_all: Limit,
    /// Fetches of client metadata documents that one person causes (AS-114).
    pub fetch_person: Limit,
    /// The same toward one host.
    pub fetch_host: Limit,
    /// Wrong tokens of directories from one source.
    pub scim_source: Limit,
    /// Messages with a wrong signature from one source.
    pub hook_source: Limit,
    /// Any request of a door from one source (SEC-75).
    pub door_source: Limit,
}

impl Limits {
    /// The limits of `config`, all measured by `clock`.
    pub fn new(config: &Config, clock: &Arc<dyn Clock>) -> Self {
        let limit = |burst, millis| Limit::new(Arc::clone(clock), burst, Duration::from_millis(millis));
        let per_minute = |count: u32| limit(count.max(1), 60_000 / u64::from(count.max(1)));
        let sign_ins = config.limits.sign_ins_per_minute;
        let registrations = config.clients.registration_limits.per_minute;
        Self {
            sign_in_name: per_minute(sign_ins),
            sign_in_source: per_minute(sign_ins.saturating_mul(4)),
            token_client: limit(60, 1_000),
            token_source: limit(300, 200),
            register_source: per_minute(registrations),
            register_all: per_minute(registrations.saturating_mul(20)),
            fetch_person: limit(20, 6_000),
            fetch_host: limit(60, 1_000),
            scim_source: limit(20, 3_000),
            hook_source: limit(20, 3_000),
            door_source: limit(1_000, 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_base::ManualClock;

    use super::*;

    fn limit(burst: u32) -> (Arc<ManualClock>, Limit) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000)));
        (Arc::clone(&clock), Limit::new(clock, burst, Duration::from_secs(10)))
    }

    // spec: T-102
    #[test]
    fn a_burst_is_allowed_then_one_try_per_period_and_never_a_lockout() {
        let (clock, limit) = limit(3);
        for _ in 0..3 {
            assert_eq!(limit.take("a"), Ok(()));
        }
        assert_eq!(limit.take("a"), Err(TooMany { retry_after: Duration::from_secs(10) }));
        assert_eq!(limit.take("b"), Ok(()));
        clock.advance(Duration::from_secs(10));
        assert_eq!(limit.take("a"), Ok(()));
        assert!(limit.take("a").is_err());
        clock.advance(Duration::from_secs(1_000));
        for _ in 0..3 {
            assert_eq!(limit.take("a"), Ok(()));
        }
        assert!(limit.take("a").is_err());
    }

    #[test]
    fn asking_takes_nothing() {
        let (_, limit) = limit(1);
        for _ in 0..5 {
            assert_eq!(limit.ask("a"), Ok(()));
        }
        limit.charge("a");
        assert!(limit.ask("a").is_err());
    }

    #[test]
    fn a_flood_of_keys_does_not_grow_the_table_without_end() {
        let (_, limit) = limit(1);
        for key in 0..REMEMBERED + 10 {
            limit.charge(&key.to_string());
        }
        assert!(limit.table().len() <= REMEMBERED);
    }

    // spec: T-102
    #[test]
    fn rotating_inside_a_slash_64_is_one_source() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
