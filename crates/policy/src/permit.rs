//! The permit: the only key to forwarding, and this is its only birthplace. A decision makes one, or a decision that asks
//! together with an approval that was used up.

use std::sync::Arc;

use portcullis_base::{Digest, ServerName};

use crate::{
    access::Access,
    approval::{Arguments, By, Call, Spent},
    bundle::{ACCESS, Bundle},
    evaluate::{Decision, Reason, Shadow, judge, listed},
    obligations::Obligations,
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
///
/// Nobody else makes one:
///
/// ```compile_fail
/// fn forged(server: portcullis_base::ServerName) -> portcullis_policy::Permit {
///     portcullis_policy::Permit { server, ..unreachable!() }
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Permit {
    rule: Arc<str>,
    revision: Arc<str>,
    call: Digest,
    server: ServerName,
    obligations: Obligations,
    shadows: Vec<Shadow>,
    by: Option<By>,
}

impl Permit {
    /// The permit for a call that humans had to agree to, and did: the demands of `denial` are among those that were met, and
    /// what was approved is what was judged. If not, the denial stands.
    ///
    /// spec: T-80, T-96
    pub fn approved(denial: Denial, spent: Spent) -> Result<Self, Denial> {
        let Denial { decision, held: Some(held), .. } = &denial else { return Err(denial) };
        if !spent.is_for(&held.subject, &decision.obligations.asks) {
            return Err(denial);
        }
        Ok(Self {
            rule: Arc::clone(&decision.rule),
            revision: Arc::clone(&decision.revision),
            call: held.call,
            server: held.server.clone(),
            obligations: decision.obligations.clone(),
            shadows: decision.shadows.clone(),
            by: Some(spent.by().clone()),
        })
    }

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

    /// What the rules put on it: limits, what is masked and cut, labels. Demands have been met.
    pub fn obligations(&self) -> &Obligations {
        &self.obligations
    }

    /// Rules in shadow that apply.
    pub fn shadows(&self) -> &[Shadow] {
        &self.shadows
    }

    /// What was used up for it, where humans had to agree.
    pub fn by(&self) -> Option<&By> {
        self.by.as_ref()
    }
}

/// A call that is not let through, and the sentence that tells its caller why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The decision.
    pub decision: Box<Decision>,
    /// Whether the caller would not find it in a list either. Then the answer is that there is no such thing.
    pub hidden: bool,
    /// What kind of sign-in would let it through, if that is all that it lacks.
    pub step_up: Option<Box<StepUp>>,
    /// For the caller: names the rule, nothing secret.
    pub message: Box<str>,
    /// What waits, where a human may still let it through.
    held: Option<Box<Held>>,
}

impl Denial {
    /// Whether the access list says so: the right to such calls can be asked for.
    pub fn is_by_access_list(&self) -> bool {
        let Decision { effect, rule, reason, .. } = &*self.decision;
        *effect == Effect::Deny && **rule == *ACCESS && *reason == Reason::Rule
    }
}

/// A call that humans have to agree to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    subject: Digest,
    call: Digest,
    server: ServerName,
}

/// Decides on the call whose exact bytes are `call`.
///
/// spec: RS-29: the token's scope was necessary to come here; this is about the person.
pub fn decide_call(bundle: &Bundle, access: &Access, facts: &Facts<'_>, call: &[u8]) -> Result<Permit, Denial> {
    let (mut decision, step_up) = judge(bundle, access, facts);
    let held = if decision.effect == Effect::Ask { hold(facts, call) } else { None };
    if decision.effect == Effect::Ask && held.is_none() {
        // spec: T-60: nobody can agree to what can be read in two ways.
        decision.effect = Effect::Deny;
        decision.reason = Reason::Unreadable("its arguments can be read in more than one way");
        let redactions = std::mem::take(&mut decision.obligations.redactions);
        decision.obligations = Obligations { redactions, ..Obligations::default() };
    }
    let message = match (decision.effect, &decision.reason) {
        (Effect::Allow, _) => {
            return Ok(Permit {
                rule: decision.rule,
                revision: decision.revision,
                call: Digest::of(call),
                server: facts.server.clone(),
                obligations: decision.obligations,
                shadows: decision.shadows,
                by: None,
            });
        }
        (_, Reason::NoAccess) => String::from("You have no access to this server."),
        (_, Reason::Unreadable(why)) => format!("The call cannot be judged: {why}."),
        (effect, _) if Arc::ptr_eq(&decision.rule, bundle.access_rule()) => String::from(match effect {
            Effect::Ask => "A call of this kind wants a person to approve it first.",
            _ => "The access list of this server does not allow this call.",
        }),
        (Effect::Ask, _) => format!("Rule \"{}\" wants a person to approve this call first.", decision.rule),
        (Effect::StepUp, _) => {
            format!("Rule \"{}\" wants a fresh sign-in for this call. Sign in again, then repeat it.", decision.rule)
        }
        (Effect::Deny, _) => format!("Rule \"{}\" does not allow this call.", decision.rule),
    };
    let hidden = decision.effect == Effect::Deny && !listed(bundle, access, facts);
    let decision = Box::new(decision);
    Err(Denial { decision, hidden, step_up: step_up.map(Box::new), message: message.into(), held: held.map(Box::new) })
}

/// What an approval of this call has to be for. `None`: its arguments cannot be bound.
fn hold(facts: &Facts<'_>, call: &[u8]) -> Option<Held> {
    let arguments = Arguments::read(facts.arguments).ok()?;
    let subject = Call {
        tenant: "",
        person: facts.person,
        client: facts.client,
        server: facts.server,
        target: facts.target,
        definition: None,
        arguments: &arguments,
    }
    .subject();
    Some(Held { subject, call: Digest::of(call), server: facts.server.clone() })
}
