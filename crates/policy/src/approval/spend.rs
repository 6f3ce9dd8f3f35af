//! Using up an approval: the only thing that it is good for, and only once.

use std::sync::Arc;

use portcullis_base::{ApprovalId, Digest, StandingGrantId, Timestamp};

use super::{Approval, Call, State};
use crate::ask::Ask;

/// Proof that a human agreed to one exact call and that this was used up. It cannot be made elsewhere nor copied:
///
/// ```compile_fail
/// fn forged(demands: std::sync::Arc<[portcullis_policy::Ask]>) -> portcullis_policy::approval::Spent {
///     portcullis_policy::approval::Spent { demands, ..unreachable!() }
/// }
/// ```
///
/// ```compile_fail
/// fn twice(spent: portcullis_policy::approval::Spent) -> [portcullis_policy::approval::Spent; 2] {
///     [spent.clone(), spent]
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Spent {
    pub(super) by: By,
    pub(super) subject: Digest,
    pub(super) demands: Arc<[Ask]>,
}

/// What was used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// An approval of this call.
    Approval(ApprovalId),
    /// An approval ahead.
    Standing(StandingGrantId),
}

/// Why an approval cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpendError {
    /// It is not granted, or no longer. spec: T-81
    Not(State),
    /// The call is not the one that was approved. spec: T-80
    Changed,
    /// A demand is not met.
    Unmet,
}

impl Spent {
    /// What was used up.
    pub fn by(&self) -> &By {
        &self.by
    }

    /// Whether it was for this subject, and all of these demands are among those that were met.
    pub(crate) fn is_for(&self, subject: &Digest, demands: &[Arc<Ask>]) -> bool {
        // spec: T-96: rules that were made stricter while it waited are not met by what was said under the old ones.
        self.subject == *subject && !demands.is_empty() && demands.iter().all(|ask| self.demands.contains(ask))
    }
}

/// Uses up an approval for `call`, whose binding is computed anew. Whoever stores it makes it `Running` in the same
/// transaction and goes on only if that was done.
///
/// spec: T-80, T-81
pub fn spend(approval: &Approval, call: &Call<'_>, now: Timestamp) -> Result<Spent, SpendError> {
    match approval.state_at(now) {
        State::Granted => {}
        state => return Err(SpendError::Not(state)),
    }
    if call.binding(&approval.nonce, approval.expires_at) != approval.binding {
        return Err(SpendError::Changed);
    }
    if !approval.is_met() {
        return Err(SpendError::Unmet);
    }
    Ok(Spent { by: By::Approval(approval.id.clone()), subject: call.subject(), demands: Arc::clone(&approval.demands) })
}
