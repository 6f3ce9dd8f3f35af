//! In the background: what is in use is renewed before a call has to wait for it, what is idle is kept alive, and a renewal
//! that somebody did not live to end is taken up.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use portcullis_base::token;
use portcullis_store::{ConnectionsDue, StoreError};

use super::{
    Connections,
    renew::{LEASE, Renewed},
};

/// A round begins this often.
pub const EVERY: Duration = Duration::from_secs(10);
/// Renewed at the same time; all of them must fit into one lease.
const AT_ONCE: u32 = 8;
/// What was used so lately is renewed ahead of its end.
pub(super) const ACTIVE: Duration = Duration::from_hours(1);
/// What nobody uses is renewed so often, so that its refresh token does not end of idleness.
pub(super) const IDLE: Duration = Duration::from_hours(12);

/// What a round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Renewed, or known to be dead now.
    pub settled: u32,
    /// Nothing was learned.
    pub unavailable: u32,
}

impl Connections {
    /// Renews whatever is due.
    pub async fn round(self: &Arc<Self>) -> Result<Round, StoreError> {
        let mut round = Round::default();
        loop {
            let now = self.parts.clock.now();
            let lease = token::<16>(&*self.parts.rng);
            let due = ConnectionsDue { limit: AT_ONCE, lease: &lease, lease_until: now.plus(LEASE) };
            let due = self.parts.store.connections_due(&due, now).await?;
            if due.is_empty() {
                return Ok(round);
            }
            let renewing = stream::iter(due).map(|row| {
                let (all, lease) = (self.clone(), lease.clone());
                // A task of its own: a refresh token that was spent has a successor, whatever becomes of this round.
                tokio::spawn(async move {
                    match all.turns.take(&row.id) {
                        Some(turn) => all.renew_leased(row, &lease, turn).await,
                        None => Renewed::Nothing,
                    }
                })
            });
            let renewed: Vec<_> = renewing.buffer_unordered(AT_ONCE as usize).collect().await;
            for renewed in renewed {
                match renewed {
                    Ok(Renewed::Known) => round.settled += 1,
                    Ok(Renewed::Nothing | Renewed::Forgotten) | Err(_) => round.unavailable += 1,
                }
            }
        }
    }

    /// Writes down what was used: beside the calls, many at once.
    pub async fn note_used(&self) -> Result<(), StoreError> {
        let used = std::mem::take(&mut *self.used.lock().expect("no holder of this lock panics"));
        if used.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = used.into_iter().map(|(id, _)| id).collect();
        self.parts.store.connection_used(&ids, self.parts.clock.now()).await
    }
}
