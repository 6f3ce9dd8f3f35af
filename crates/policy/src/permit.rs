//! The permit: the only key to forwarding, and this is its only birthplace.

use std::sync::Arc;

use portcullis_base::{Digest, ServerName};

use crate::{
    access::Access,
    bundle::Bundle,
    evaluate::{Decision, Reason, Shadow, judge, listed},
    request::Facts,
    rule::{Effect, StepUp},
};

/// Proof that one exact call was judged and allowed. It cannot be copied, and forwarding uses it up.
///
/// ```compile_fail
/// fn twice(permit: portcullis_policy::Permit) -> [portcullis_policy::Permit; 2] {
///     [permit.clone(), permit]
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Permit {
    rule: Arc<str>,
    revision: Arc<str>,
    call: Digest,
    server: ServerName,
    shadows: Vec<Shadow>,
}

impl Permit {
    /// The rule that allowed it.
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// The revision of the rules.
    pub fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    /// The digest of the bytes that were judged.
    pub fn call(&self) -> &Digest {
        &self.call
    }

    /// The server that it is good for.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// Rules in shadow that apply.
    pub fn shadows(&self) -> &[Shadow] {
        &self.shadows
    }
}

/// A call that is not let through, and the sentence that tells its caller why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The decision.
    pub decision: Decision,
    /// Whether the caller would not find it in a list either. Then the answer is that there is no such thing.
    pub hidden: bool,
    /// What kind of sign-in would let it through, if that is all that it lacks.
    pub step_up: Option<Box<StepUp>>,
    /// For the caller: names the rule, nothing secret.
    pub message: Box<str>,
}

/// Decides on the call whose exact bytes are `call`.
///
/// spec: RS-29: the token's scope was necessary to come here; this is about the person.
pub fn decide_call(bundle: &Bundle, access: &Access, facts: &Facts<'_>, call: &[u8]) -> Result<Permit, Denial> {
    let (decision, step_up) = judge(bundle, access, facts);
    let message = match (decision.effect, &decision.reason) {
        (Effect::Allow, _) => {
            return Ok(Permit {
                rule: decision.rule,
                revision: decision.revision,
                call: Digest::of(call),
                server: facts.server.clone(),
                shadows: decision.shadows,
            });
        }
        (_, Reason::NoAccess) => String::from("You have no access to this server."),
        (_, Reason::Unreadable(why)) => format!("The call cannot be judged: {why}."),
        (Effect::Ask, _) => format!(
            "Rule \"{}\" wants a person to approve this call first, and approvals are not available yet.",
            decision.rule
        ),
        (Effect::StepUp, _) => {
            format!("Rule \"{}\" wants a fresh sign-in for this call. Sign in again, then repeat it.", decision.rule)
        }
        (Effect::Deny, _) => format!("Rule \"{}\" does not allow this call.", decision.rule),
    };
    let hidden = decision.effect == Effect::Deny && !listed(bundle, access, facts);
    Err(Denial { decision, hidden, step_up: step_up.map(Box::new), message: message.into() })
}
