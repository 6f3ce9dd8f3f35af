//! What was ended before its time: grants that were revoked, sessions that were closed.
//!
//! Kept in memory so that a call can be refused without a database read. Filled at start, by this node's own doors at once,
//! and by what other nodes and commands write to the change feed (`sync`). An entry is needed only as long as a token or
//! session id made before it could still be presented.

use std::{
    collections::{HashMap, HashSet},
    sync::{RwLock, RwLockReadGuard},
    time::Duration,
};

use portcullis_base::{GrantId, PersonId, SessionId, Timestamp};
use tokio::sync::watch;

/// No access token outlives this (the cap of `tokens.access`, with leeway), so neither does a revoked grant's entry.
pub const GRANT_MEMORY: Duration = Duration::from_secs(2 * 60 * 60);

/// The set of ended grants and sessions.
pub struct Ended {
    sets: RwLock<Sets>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct Sets {
    grants: HashMap<GrantId, Timestamp>,
    sessions: HashMap<SessionId, Timestamp>,
    people: HashSet<PersonId>,
    closing: bool,
}

impl Default for Ended {
    fn default() -> Self {
        Self { sets: RwLock::default(), version: watch::Sender::new(0) }
    }
}

impl Ended {
    /// Whether this grant was revoked. spec: AS-89
    pub fn has_grant(&self, grant: &GrantId) -> bool {
        self.sets().grants.contains_key(grant)
    }

    /// Whether this session was closed by its client.
    pub fn has_session(&self, session: &SessionId) -> bool {
        self.sets().sessions.contains_key(session)
    }

    /// Whether this person was switched off: for what has no grant of ours behind it.
    pub fn has_person(&self, person: &PersonId) -> bool {
        self.sets().people.contains(person)
    }

    /// Who is switched off, all of them.
    pub fn keep_out(&self, people: HashSet<PersonId>) {
        if self.sets().people != people {
            self.change(|sets| sets.people = people);
        }
    }

    /// Remembers revoked grants until no token of theirs can be alive.
    pub fn end_grants(&self, grants: impl IntoIterator<Item = GrantId>, now: Timestamp) {
        self.change(|sets| sets.grants.extend(grants.into_iter().map(|grant| (grant, now.plus(GRANT_MEMORY)))));
    }

    /// Remembers a closed session until its id would have expired by itself.
    pub fn end_session(&self, session: SessionId, until: Timestamp) {
        self.change(|sets| {
            sets.sessions.insert(session, until);
        });
    }

    /// This node is about to stop: who only listens has nothing more to hear.
    pub fn close(&self) {
        self.change(|sets| sets.closing = true);
    }

    /// Whether this node is about to stop.
    pub fn is_closing(&self) -> bool {
        self.sets().closing
    }

    /// Forgets what can no longer be presented.
    pub fn forget(&self, now: Timestamp) {
        let mut sets = self.sets.write().expect("no holder of this lock panics");
        sets.grants.retain(|_, until| *until > now);
        sets.sessions.retain(|_, until| *until > now);
    }

    /// Wakes at every change, so that an open stream can look whether it was its own. spec: RS-25
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn sets(&self) -> RwLockReadGuard<'_, Sets> {
        self.sets.read().expect("no holder of this lock panics")
    }

    fn change(&self, with: impl FnOnce(&mut Sets)) {
        with(&mut self.sets.write().expect("no holder of this lock panics"));
        self.version.send_modify(|version| *version += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: AS-89, RS-25
    #[test]
    fn ended_grants_are_known_at_once_and_forgotten_when_harmless() {
        let ended = Ended::default();
        let mut watch = ended.watch();
        let (grant, now) = (GrantId::new("grt_1"), Timestamp::from_secs(1_000));
        assert!(!ended.has_grant(&grant));
        ended.end_grants([grant.clone()], now);
        assert!(ended.has_grant(&grant) && watch.has_changed().unwrap());
        watch.mark_unchanged();

        ended.end_session(SessionId::new("ses_1"), now.plus(Duration::from_secs(5)));
        assert!(watch.has_changed().unwrap());
        ended.forget(now.plus(Duration::from_secs(6)));
        assert!(ended.has_grant(&grant) && !ended.has_session(&SessionId::new("ses_1")));
        ended.forget(now.plus(GRANT_MEMORY));
        assert!(!ended.has_grant(&grant));
    }

    // spec: T-53, RS-25
    #[test]
    fn people_are_kept_out_until_they_are_let_in_again() {
        let ended = Ended::default();
        let (mut watch, person) = (ended.watch(), PersonId::new("usr_1"));
        ended.keep_out(HashSet::from([person.clone()]));
        assert!(ended.has_person(&person) && watch.has_changed().unwrap());
        watch.mark_unchanged();
        ended.keep_out(HashSet::from([person.clone()]));
        assert!(!watch.has_changed().unwrap(), "no news wakes nobody");
        ended.keep_out(HashSet::new());
        assert!(!ended.has_person(&person));
    }
}
