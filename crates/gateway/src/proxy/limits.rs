//! A call that a limit holds up: recorded as refused by the rule whose limit it is, and told when it is possible again.

use std::sync::Arc;

use portcullis_audit::{Decision, Event, Outcome};
use portcullis_mcp::{ProtocolError, message::INTERNAL_ERROR, message::INVALID_PARAMS};
use serde_json::json;

use super::{
    decide::{Deed, write},
    parts::Parts,
    refusal::Refusal,
};
use crate::quotas::Untold;

/// Writes that `deed`, which `rule` had let go on, is held up, and how that is told.
// spec: T-62: "answers say when to retry", as an error of the call like every refusal by the rules.
pub(super) async fn refused(
    parts: &Parts,
    event: Event,
    (rule, revision): (&Arc<str>, &Arc<str>),
    why: Untold,
    deed: &Deed<'_>,
) -> Refusal {
    let (event, revision) = (event.outcome(Outcome::Denied), revision.clone());
    let over = match why {
        Untold::Over(over) => over,
        Untold::Store(error) => {
            tracing::error!(%error, "what a call takes of its limits cannot be counted");
            let decision = Decision { effect: "deny", rule: rule.clone(), revision };
            write(parts, event.decided(decision).text("limit", "it could not be counted")).await;
            // Nothing is let through that is not counted.
            let text = "The call cannot be counted at the moment, so it is not made. Try again in a few seconds.";
            return ProtocolError::new(INTERNAL_ERROR, 503, text).with_id(deed.id).into();
        }
    };
    let decision = Decision { effect: "deny", rule: over.rule.clone(), revision };
    write(parts, event.decided(decision).text("limit", over.message.to_string())).await;
    let status = if deed.id.is_some() { 200 } else { 429 };
    let mut error = ProtocolError::new(INVALID_PARAMS, status, over.message.to_string()).with_id(deed.id);
    let mut data = json!({ "rule": over.rule });
    if let Some(seconds) = over.retry_after_seconds() {
        data["retryAfterSeconds"] = seconds.into();
    }
    error.data = Some(Box::new(data));
    error.into()
}
