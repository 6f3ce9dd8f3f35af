//! What the rules let go on and a decision point of the company does not: recorded as denied by `decision_point`.

use std::sync::Arc;

use portcullis_audit::{Decision, Event, Outcome};
use portcullis_mcp::{ProtocolError, message::INVALID_PARAMS};

use super::{
    decide::{Deed, write},
    parts::Parts,
    refusal::Refusal,
};
use crate::decision_point::Refused;

/// What such a refusal is called in records.
const RULE: &str = "decision_point";

/// Writes that `deed` was taken away, and how that is told: like every refusal by the rules.
pub(super) async fn refused(
    parts: &Parts,
    event: Event,
    revision: &Arc<str>,
    Refused { message, reason }: Refused,
    deed: &Deed<'_>,
) -> Refusal {
    let decision = Decision { effect: "deny", rule: RULE.into(), revision: revision.clone() };
    write(parts, event.outcome(Outcome::Denied).decided(decision).text("reason", reason)).await;
    let status = if deed.id.is_some() { 200 } else { 403 };
    ProtocolError::new(INVALID_PARAMS, status, message).with_id(deed.id).into()
}
