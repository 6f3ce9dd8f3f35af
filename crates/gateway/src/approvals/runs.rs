//! The one run of what was granted, and what becomes of runs whose node died.

use std::time::Duration;

use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::ApprovalId;
use portcullis_policy::approval::{SpendError, Spent, spend};

use super::{ApprovalError, Approvals, Stored, Wanted};

/// How long a run is believed to go on without a word of its node.
const LEASE: Duration = Duration::from_mins(1);

/// A run that began.
#[derive(Debug)]
pub struct Started {
    /// Proof of it, for the permit.
    pub spent: Spent,
    /// What runs.
    pub stored: Stored,
}

/// Why it did not begin.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// The law.
    #[error("it cannot be run: {0:?}")]
    Law(SpendError),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] ApprovalError),
}

impl Approvals {
    /// How often [`Approvals::heartbeat`] has to come.
    pub const HEARTBEAT: Duration = Duration::from_secs(15);

    /// Begins to run `wanted`, which is the call as it is now, for which `id` was granted. Whoever gets an answer makes the
    /// stored call and says [`done`](Self::done).
    ///
    /// spec: T-80, T-81: once, and only if nothing has changed.
    pub async fn run(&self, id: &ApprovalId, wanted: &Wanted<'_>) -> Result<Started, NotRun> {
        let (parts, now) = (&self.parts, self.now());
        let arguments = wanted.read()?;
        let call = wanted.bound(&parts.public_url, &arguments);
        let begun = parts
            .store
            .spend_approval(id, self.this_run(), now.plus(LEASE), now, |row| {
                // Before it is used up: what cannot be opened cannot be made.
                let stored = self.stored(row)?;
                let spent = spend(&row.approval, &call, now).map_err(NotRun::Law)?;
                Ok(Started { spent, stored })
            })
            .await
            .map_err(ApprovalError::from)?;
        self.bells.ring([id]);
        begun.ok_or(ApprovalError::Missing)?
    }

    /// The run has ended, in a word: `success`, `failure`. Whether it was still ours.
    pub async fn done(&self, id: &ApprovalId, outcome: &str) -> Result<bool, ApprovalError> {
        let done = self.parts.store.approval_done(id, self.this_run(), outcome, self.now()).await?;
        self.bells.ring([id]);
        Ok(done)
    }

    /// To be called when the node starts, before it takes calls: what its earlier runs left is marked.
    ///
    /// spec: T-87
    pub async fn start(&self) -> Result<(), ApprovalError> {
        self.lose().await
    }

    /// Says that this run goes on, and marks what others left behind.
    pub async fn heartbeat(&self) -> Result<(), ApprovalError> {
        self.parts.store.renew_run(self.this_run(), self.now().plus(LEASE)).await?;
        self.lose().await
    }

    /// Marks what is over.
    pub async fn expire(&self) -> Result<(), ApprovalError> {
        let now = self.now();
        let expired = self.parts.store.expire_approvals(now).await?;
        self.bells.ring(&expired);
        for id in expired {
            self.note(Kind::ApprovalExpired, &id, Outcome::Timeout).await?;
        }
        self.parts.store.expire_access_requests(now).await?;
        Ok(())
    }

    async fn lose(&self) -> Result<(), ApprovalError> {
        let lost = self.parts.store.lose_runs(self.this_run(), self.now()).await?;
        self.bells.ring(&lost);
        for id in lost {
            tracing::warn!(approval.id = %id, "nobody knows whether an approved call was made; it is not made again");
            self.note(Kind::ApprovalUnknown, &id, Outcome::Unknown).await?;
        }
        Ok(())
    }

    async fn note(&self, kind: Kind, id: &ApprovalId, outcome: Outcome) -> Result<(), ApprovalError> {
        let event = match self.parts.store.approval(id).await? {
            Some(row) => self.event(kind, Actor::default(), &row),
            None => Event::new(kind, self.now()).text("approval", id.as_str().to_owned()),
        };
        self.parts.journal.append(event.outcome(outcome)).await?;
        Ok(())
    }
}
