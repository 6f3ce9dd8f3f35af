//! What one call holds, from before it is sent until it has ended.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use portcullis_base::CallId;
use portcullis_policy::Counter;
use portcullis_store::StoreError;

use super::{Quotas, short::Taken};

/// What one call took of its limits. Dropped, it is settled: used if the call was sent, given back if not.
#[must_use]
pub struct Held {
    quotas: Arc<Quotas>,
    call: CallId,
    short: Vec<Taken>,
    rows: bool,
    sent: Arc<AtomicBool>,
}

/// For whoever sends the call: says so before it does.
pub struct Departure {
    quotas: Arc<Quotas>,
    call: CallId,
    rows: bool,
    sent: Arc<AtomicBool>,
}

/// The call may not be sent: what it took was given back because nobody heard of it for too long, or that cannot be known.
#[derive(Debug)]
pub struct Lost;

impl Held {
    pub(super) fn new(quotas: Arc<Quotas>, call: CallId, short: Vec<Taken>) -> Self {
        Self { quotas, call, short, rows: false, sent: Arc::default() }
    }

    /// It holds, or may hold, something in rows.
    pub(super) fn in_rows(&mut self) {
        self.rows = true;
        self.quotas.rows.fetch_add(1, Ordering::Relaxed);
    }

    /// It holds nothing there after all.
    pub(super) fn not_in_rows(&mut self) {
        self.rows = false;
        self.quotas.rows.fetch_sub(1, Ordering::Relaxed);
    }

    /// For whoever sends the call.
    pub fn departure(&self) -> Departure {
        let Self { quotas, call, rows, sent, .. } = self;
        Departure { quotas: quotas.clone(), call: call.clone(), rows: *rows, sent: sent.clone() }
    }
}

impl Departure {
    /// Says that the call is about to be sent: from now on what it took is used, whatever becomes of this process.
    pub async fn leave(&self) -> Result<(), Lost> {
        if self.sent.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.rows {
            match self.quotas.store.quota_sent(&self.call, self.quotas.clock.now()).await {
                Ok(true) => {}
                Ok(false) => return Err(Lost),
                Err(error) => {
                    tracing::error!(%error, "a limited call cannot be noted, so it is not sent");
                    return Err(Lost);
                }
            }
        }
        self.sent.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The call was surely not made after all.
    pub fn undone(&self) {
        self.sent.store(false, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let sent = self.sent.load(Ordering::Relaxed);
        let end = if sent { Counter::commit } else { Counter::rollback };
        self.quotas.short.settle(std::mem::take(&mut self.short), end, self.quotas.clock.now());
        if !self.rows {
            return;
        }
        let (quotas, call) = (self.quotas.clone(), self.call.clone());
        let settle = async move {
            if let Err(error) = settled(&quotas, &call, sent).await {
                tracing::error!(%error, call.id = %call, "what a call took of a limit is settled when the node starts again");
            }
            quotas.rows.fetch_sub(1, Ordering::Relaxed);
        };
        // At the end of the process the rows wait for the next start.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(settle);
        }
    }
}

async fn settled(quotas: &Quotas, call: &CallId, sent: bool) -> Result<bool, StoreError> {
    if sent { quotas.store.commit_quota(call).await } else { quotas.store.roll_back_quota(call).await }
}
