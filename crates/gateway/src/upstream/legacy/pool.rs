//! Sessions that are open, and for whom.
//!
//! A session belongs to one person with one credential (or to those who share both) and to clients of the same
//! abilities, because a session is told once for all what its client can do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use portcullis_base::{PersonId, SessionId};
use portcullis_mcp::dialect::Abilities;
use tokio::{
    sync::{Mutex as Door, Notify},
    time::timeout_at,
};

use super::wire::Caller;
use crate::upstream::{Bridging, UpstreamError, credential::Mark, line::Sharing};

/// Sessions of one kind over lines: each is a process or a connection of its own.
const LINES: usize = 4;
/// How long a call waits for its turn.
const QUEUE: Duration = Duration::from_secs(10);
/// How often it is looked for sessions that nobody uses.
const SWEEP: Duration = Duration::from_secs(15);

/// Who may be in one session together.
// spec: BR-40: "keyed by (principal or shared service identity, upstream, credential, bridged capability set)"
// spec: TR-161
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::upstream) struct Key {
    person: Option<PersonId>,
    credential: Mark,
    abilities: Abilities,
    conversation: Option<SessionId>,
}

impl Key {
    pub(in crate::upstream) fn new(caller: &Caller, sharing: Sharing, abilities: &Abilities) -> Self {
        let conversation = caller.conversation.clone().filter(|_| sharing == Sharing::Session);
        Self {
            person: caller.person.clone().filter(|_| sharing != Sharing::Shared),
            credential: caller.credential.mark(),
            // Tasks are driven here, whoever the client is: the server is not told.
            abilities: Abilities { tasks: false, ..abilities.clone() },
            conversation,
        }
    }

    /// The same for clients of whatever abilities.
    pub(in crate::upstream) fn whosoever(&self) -> Self {
        Self { abilities: Abilities::default(), ..self.clone() }
    }
}

/// What is kept in a pool.
pub(in crate::upstream) trait Kept: Send + Sync + 'static {
    /// Leave to be the one call that the server turns to the client for.
    type Turn: Send + Sync;

    /// That leave, if nobody has it.
    fn turn(&self) -> Option<Self::Turn>;

    /// Whether it is of no more use.
    fn is_over(&self) -> bool;

    /// Ends it.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// What opens one more.
pub(in crate::upstream) trait Opens: Sync {
    /// What is opened.
    type Kept: Kept;

    /// Opens it.
    fn open(&self) -> impl Future<Output = Result<Self::Kept, UpstreamError>> + Send;
}

/// All sessions with one server.
pub(in crate::upstream) struct Pool<S: Kept> {
    slots: Mutex<HashMap<Key, Arc<Slot<S>>>>,
    bounds: Bridging,
    sweeping: Mutex<bool>,
}

/// The sessions of one kind.
struct Slot<S: Kept> {
    /// The one in which the last call was made comes first: what is asked after a call is asked of whoever knows of it.
    sessions: Mutex<Vec<Arc<Pooled<S>>>>,
    /// Held while one is being opened.
    door: Door<()>,
    /// Somebody has done with one.
    freed: Notify,
}

struct Pooled<S: Kept> {
    session: S,
    used: Mutex<Used>,
}

struct Used {
    by: usize,
    last: Instant,
}

/// The use of a session.
pub(in crate::upstream) struct Lease<S: Kept> {
    slot: Arc<Slot<S>>,
    pooled: Arc<Pooled<S>>,
    turn: Option<S::Turn>,
}

/// A session that is open, without keeping it so.
pub(in crate::upstream) struct Open<S: Kept>(Arc<Pooled<S>>);

impl<S: Kept> std::ops::Deref for Open<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0.session
    }
}

/// What a session is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Use {
    /// Something during which the server has no reason to turn to the client.
    Plain,
    /// A call during which it may.
    Interactive,
}

impl<S: Kept> Lease<S> {
    /// Takes the session out of the pool: it is no more.
    pub(in crate::upstream) fn lose(&self) {
        self.slot.remove(&self.pooled);
    }
}

impl<S: Kept> std::ops::Deref for Lease<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.pooled.session
    }
}

impl<S: Kept> Drop for Lease<S> {
    fn drop(&mut self) {
        drop(self.turn.take());
        let mut used = lock(&self.pooled.used);
        used.by -= 1;
        used.last = Instant::now();
        drop(used);
        self.slot.freed.notify_one();
    }
}

impl<S: Kept> Pool<S> {
    pub(in crate::upstream) fn new(bounds: Bridging) -> Arc<Self> {
        Arc::new(Self { slots: Mutex::default(), bounds, sweeping: Mutex::default() })
    }

    /// A session of this kind, opened if there is none.
    pub(in crate::upstream) async fn take(
        self: &Arc<Self>,
        key: &Key,
        purpose: Use,
        opening: &impl Opens<Kept = S>,
    ) -> Result<Lease<S>, UpstreamError> {
        let deadline = tokio::time::Instant::now() + QUEUE;
        loop {
            let slot = self.slot(key);
            let freed = slot.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(lease) = slot.free(purpose) {
                return Ok(lease);
            }
            if !self.may_grow(key, &slot) {
                timeout_at(deadline, freed).await.map_err(|_| UpstreamError::Busy)?;
                continue;
            }
            let _door = slot.door.lock().await;
            if let Some(lease) = slot.free(purpose) {
                return Ok(lease);
            }
            if !self.may_grow(key, &slot) {
                continue;
            }
            self.make_room(key).await?;
            let session = opening.open().await?;
            let pooled = Arc::new(Pooled { session, used: Mutex::new(Used { by: 0, last: Instant::now() }) });
            let lease = slot.lease(&pooled, purpose).ok_or(UpstreamError::Busy)?;
            lock(&slot.sessions).insert(0, pooled);
            // The sweeper may have taken an empty slot away meanwhile.
            lock(&self.slots).insert(key.clone(), slot.clone());
            self.sweep();
            return Ok(lease);
        }
    }

    /// Whether one more of this kind may be opened, if there is none to be had.
    fn may_grow(&self, key: &Key, slot: &Slot<S>) -> bool {
        let open = lock(&slot.sessions).len();
        open == 0 || (open < LINES && self.has_room(key))
    }

    fn slot(&self, key: &Key) -> Arc<Slot<S>> {
        let new = || Arc::new(Slot { sessions: Mutex::default(), door: Door::default(), freed: Notify::new() });
        lock(&self.slots).entry(key.clone()).or_insert_with(new).clone()
    }

    /// Sessions of one person, whatever their clients can do.
    fn of_person(&self, key: &Key) -> Vec<Arc<Slot<S>>> {
        lock(&self.slots).iter().filter(|(other, _)| other.person == key.person).map(|(_, slot)| slot.clone()).collect()
    }

    /// The sessions of those whose `key` is, whatever their clients can do.
    pub(in crate::upstream) fn near(&self, key: &Key) -> Vec<Open<S>> {
        let whose = key.whosoever();
        let slots = lock(&self.slots);
        let theirs = slots.iter().filter(|(other, _)| other.whosoever() == whose);
        theirs.flat_map(|(_, slot)| lock(&slot.sessions).clone()).map(Open).collect()
    }

    fn has_room(&self, key: &Key) -> bool {
        self.of_person(key).iter().map(|slot| lock(&slot.sessions).len()).sum::<usize>() < self.bounds.sessions
    }

    /// Closes the one that was not used for longest, if there are as many as may be.
    // spec: BR-58: "maximum per user and per upstream"
    async fn make_room(&self, key: &Key) -> Result<(), UpstreamError> {
        while !self.has_room(key) {
            let slots = self.of_person(key);
            let idle = slots.iter().flat_map(|slot| slot.idle()).min_by_key(|(since, _)| *since);
            let (_, oldest) = idle.ok_or(UpstreamError::Busy)?;
            let mut taken = false;
            for slot in &slots {
                taken |= slot.remove(&oldest);
            }
            if taken {
                oldest.session.close().await;
            }
        }
        Ok(())
    }

    /// Ends every session, also those in use.
    pub(in crate::upstream) async fn close(&self) {
        let slots: Vec<_> = lock(&self.slots).drain().map(|(_, slot)| slot).collect();
        let sessions: Vec<_> = slots.iter().flat_map(|slot| std::mem::take(&mut *lock(&slot.sessions))).collect();
        join_all(sessions.iter().map(|pooled| pooled.session.close())).await;
    }

    /// Has somebody look after idle sessions as long as there are any.
    fn sweep(self: &Arc<Self>) {
        if std::mem::replace(&mut *lock(&self.sweeping), true) {
            return;
        }
        let every = SWEEP.min(self.bounds.idle);
        // A pool that nobody needs any more goes, and what is in it: a process that has somebody's key, for instance.
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(pool) = pool.upgrade() else { return };
                for session in pool.idle_for(pool.bounds.idle) {
                    session.session.close().await;
                }
                let slots = lock(&pool.slots);
                if slots.is_empty() {
                    *lock(&pool.sweeping) = false;
                    return;
                }
            }
        });
    }

    /// Takes out what nobody has used for so long.
    // spec: BR-58: "idle timeout"
    fn idle_for(&self, long: Duration) -> Vec<Arc<Pooled<S>>> {
        let mut slots = lock(&self.slots);
        let mut out = Vec::new();
        for slot in slots.values() {
            for (since, pooled) in slot.idle() {
                if (since.elapsed() >= long || pooled.session.is_over()) && slot.remove(&pooled) {
                    out.push(pooled);
                }
            }
        }
        slots.retain(|_, slot| !lock(&slot.sessions).is_empty() || Arc::strong_count(slot) > 1);
        out
    }
}

impl<S: Kept> Slot<S> {
    /// The use of one that is there.
    fn free(self: &Arc<Self>, purpose: Use) -> Option<Lease<S>> {
        let mut sessions = lock(&self.sessions);
        sessions.retain(|pooled| !pooled.session.is_over());
        let (at, lease) =
            sessions.iter().enumerate().find_map(|(at, pooled)| Some((at, self.lease(pooled, purpose)?)))?;
        if purpose == Use::Interactive {
            sessions[..=at].rotate_right(1);
        }
        Some(lease)
    }

    fn lease(self: &Arc<Self>, pooled: &Arc<Pooled<S>>, purpose: Use) -> Option<Lease<S>> {
        let turn = match purpose {
            Use::Plain => None,
            Use::Interactive => Some(pooled.session.turn()?),
        };
        let mut used = lock(&pooled.used);
        used.by += 1;
        used.last = Instant::now();
        drop(used);
        Some(Lease { slot: self.clone(), pooled: pooled.clone(), turn })
    }

    fn idle(&self) -> Vec<(Instant, Arc<Pooled<S>>)> {
        let idle = |pooled: &Arc<Pooled<S>>| {
            let used = lock(&pooled.used);
            (used.by == 0).then(|| (used.last, pooled.clone()))
        };
        lock(&self.sessions).iter().filter_map(idle).collect()
    }

    /// Takes one out; `false` if it is in use again or not here.
    fn remove(&self, pooled: &Arc<Pooled<S>>) -> bool {
        let mut sessions = lock(&self.sessions);
        let before = sessions.len();
        sessions.retain(|other| !Arc::ptr_eq(other, pooled));
        sessions.len() < before
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
