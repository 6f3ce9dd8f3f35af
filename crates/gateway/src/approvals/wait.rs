//! Waiting for a decision.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_base::ApprovalId;
use portcullis_policy::approval::State;
use tokio::{sync::Notify, time::Instant};

use super::{ApprovalError, Approvals};

/// How many may wait at one node.
pub const MOST_WAITERS: usize = 10_000;

/// How far a call is that waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// `Pending` if patience ran out first.
    pub state: State,
    /// By whose word, if by somebody's.
    pub by: Option<String>,
    /// Why it was refused.
    pub why: Option<String>,
}

/// Who waits for what.
#[derive(Default)]
pub(super) struct Bells(Mutex<HashMap<ApprovalId, (Arc<Notify>, usize)>>);

/// A place among those who wait.
struct Seat<'a> {
    bells: &'a Bells,
    id: &'a ApprovalId,
    bell: Arc<Notify>,
}

impl Bells {
    fn lock(&self) -> MutexGuard<'_, HashMap<ApprovalId, (Arc<Notify>, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sit<'a>(&'a self, id: &'a ApprovalId) -> Option<Seat<'a>> {
        let mut waiting = self.lock();
        if seated(&waiting) >= MOST_WAITERS {
            return None;
        }
        let (bell, count) = waiting.entry(id.clone()).or_default();
        *count += 1;
        let bell = Arc::clone(bell);
        Some(Seat { bells: self, id, bell })
    }

    /// Something happened to these.
    pub(super) fn ring<'a>(&self, ids: impl IntoIterator<Item = &'a ApprovalId>) {
        let waiting = self.lock();
        for id in ids {
            if let Some((bell, _)) = waiting.get(id) {
                bell.notify_waiters();
            }
        }
    }
}

fn seated(waiting: &HashMap<ApprovalId, (Arc<Notify>, usize)>) -> usize {
    waiting.values().map(|(_, count)| count).sum()
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut waiting = self.bells.lock();
        if let Some((_, count)) = waiting.get_mut(self.id) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(self.id);
            }
        }
    }
}

impl Approvals {
    /// How far it is, once it is decided or patience has run out.
    pub async fn decided(&self, id: &ApprovalId, patience: Duration) -> Result<Decided, ApprovalError> {
        let seat = self.bells.sit(id).ok_or(ApprovalError::Crowded)?;
        let until = Instant::now() + patience;
        loop {
            let rung = seat.bell.notified();
            tokio::pin!(rung);
            // From here on no ringing is missed.
            rung.as_mut().enable();
            let row = self.parts.store.approval(id).await?.ok_or(ApprovalError::Missing)?;
            let (now, approval) = (self.now(), &row.approval);
            let state = approval.state_at(now);
            let left = until.saturating_duration_since(Instant::now());
            if state != State::Pending || left.is_zero() {
                let by = match &row.decided_by {
                    Some(person) => Some(self.said_by(approval, person).await?),
                    None => None,
                };
                return Ok(Decided { state, by, why: row.why });
            }
            let left = left.min(approval.expires_at.since(now).max(Duration::from_millis(1)));
            let _ = tokio::time::timeout(left, rung).await;
        }
    }

    /// How many wait at this node.
    pub fn waiters(&self) -> usize {
        seated(&self.bells.lock())
    }

    /// Something happened to these, here or elsewhere.
    pub fn changed(&self, ids: &[ApprovalId]) {
        self.bells.ring(ids);
    }
}
