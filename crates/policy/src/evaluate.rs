//! Facts of one call and the rules in force: one decision, with the rule that made it.
//!
//! The access list of the server comes first: whoever is not on it is told nothing more. Then the strongest effect of all
//! rules that apply decides, and among equals the one that stands first. Being on the access list is itself the weakest
//! allow; without it and without a rule the answer is no.

use std::sync::Arc;

use crate::{
    access::Access,
    bundle::Bundle,
    condition::{Condition, Judge, Unjudged},
    request::Facts,
    rule::{Effect, Rule, StepUp},
};

/// Why the decision is what it is, where that changes the answer to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule, or the access list, says so.
    Rule,
    /// The caller is not on the server's access list: for them the server does not exist.
    NoAccess,
    /// A rule's condition could not be judged, and so the rule applies. The text is for the log.
    Unjudged(String),
    /// The call itself cannot be read. The text is for the caller.
    Unreadable(&'static str),
}

/// What a rule in shadow would have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The rule.
    pub rule: Arc<str>,
    /// What it would have done.
    pub effect: Effect,
}

/// The decision on one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub effect: Effect,
    /// The rule that says so; `access` is the server's access list.
    pub rule: Arc<str>,
    /// The revision of the rules.
    pub revision: Arc<str>,
    /// Why.
    pub reason: Reason,
    /// Rules in shadow that apply: for the record only.
    pub shadows: Vec<Shadow>,
}

/// The strongest rule so far and its place; a place beyond all rules is the access list.
struct Strongest {
    effect: Effect,
    place: usize,
    reason: Reason,
}

/// Decides on one call.
///
/// spec: T-54: the one function that everything which reaches a server goes through, keyed by person, server, method and
/// object.
pub fn decide(bundle: &Bundle, access: &Access, facts: &Facts<'_>) -> Decision {
    judge(bundle, access, facts).0
}

/// The decision, and what kind of sign-in would change it.
pub(crate) fn judge(bundle: &Bundle, access: &Access, facts: &Facts<'_>) -> (Decision, Option<StepUp>) {
    let mut decision = Decision {
        effect: Effect::Deny,
        rule: Arc::clone(bundle.access_rule()),
        revision: Arc::clone(bundle.revision()),
        reason: Reason::Rule,
        shadows: Vec::new(),
    };
    if !access.admits(facts.groups) {
        decision.reason = Reason::NoAccess;
        return (decision, None);
    }
    // spec: T-60: arguments of an unexpected type are not passed on as they are.
    if facts.arguments.is_some_and(|arguments| !arguments.trim_start().starts_with('{')) {
        decision.reason = Reason::Unreadable("its arguments are not an object");
        return (decision, None);
    }

    let mut strongest = Strongest { effect: Effect::Allow, place: usize::MAX, reason: Reason::Rule };
    let mut judge = Judge::new(facts);
    for place in bundle.index().candidates(facts) {
        let rule = &bundle.rules()[place];
        let effect = rule.effect(facts);
        let weaker = effect < strongest.effect || (effect == strongest.effect && place >= strongest.place);
        if (weaker && !rule.shadow) || !rule.concerns(facts) {
            continue;
        }
        let reason = match applies(rule, effect, &mut judge) {
            Ok(Some(reason)) => reason,
            Ok(None) => continue,
            Err(why) => {
                decision.reason = Reason::Unreadable(why);
                return (decision, None);
            }
        };
        if !rule.shadow {
            strongest = Strongest { effect, place, reason };
        } else if !decision.shadows.iter().any(|shadow| shadow.rule == rule.name) {
            decision.shadows.push(Shadow { rule: Arc::clone(&rule.name), effect });
        }
    }
    let rule = bundle.rules().get(strongest.place);
    if let Some(rule) = rule {
        decision.rule = Arc::clone(&rule.name);
    }
    decision.effect = strongest.effect;
    decision.reason = strongest.reason;
    let wanted = rule.filter(|rule| strongest.effect == Effect::StepUp && rule.then == Effect::StepUp);
    (decision, wanted.map(|rule| rule.step_up.clone()))
}

/// Whether `rule`, which concerns the call and would have `effect`, applies to it, and for which reason.
fn applies(rule: &Rule, effect: Effect, judge: &mut Judge<'_>) -> Result<Option<Reason>, &'static str> {
    let Some(condition) = &rule.when else { return Ok(Some(Reason::Rule)) };
    match judge.holds(condition) {
        Ok(holds) => Ok(holds.then_some(Reason::Rule)),
        // Fails closed: what cannot be judged is not allowed by this rule, and is denied or asked about by it.
        Err(Unjudged::Failed(_)) if effect == Effect::Allow => Ok(None),
        Err(Unjudged::Failed(why)) => Ok(Some(Reason::Unjudged(why))),
        Err(Unjudged::Unreadable(why)) => Err(why),
    }
}

/// Whether the caller finds what `facts` name in a list: unless a call of it would be denied whatever its arguments.
///
/// spec: RS-27: what may not be used is not shown. A rule that asks, or denies some arguments, does not hide.
pub fn listed(bundle: &Bundle, access: &Access, facts: &Facts<'_>) -> bool {
    if !access.admits(facts.groups) {
        return false;
    }
    let facts = Facts { arguments: None, ..*facts };
    let mut judge = Judge::new(&facts);
    let mut denied = bundle.index().candidates(&facts).map(|place| &bundle.rules()[place]).filter(|rule| {
        let open = rule.when.as_ref().is_some_and(Condition::reads_arguments);
        rule.then == Effect::Deny && !rule.shadow && !open && rule.concerns(&facts)
    });
    !denied.any(|rule| !matches!(applies(rule, rule.then, &mut judge), Ok(None)))
}

#[cfg(test)]
mod tests {
    use portcullis_base::{ClientId, PersonId, ServerName, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::{request::Target, source::Source};

    /// Every rule looked at, nothing skipped: slow and plain.
    fn naive(bundle: &Bundle, facts: &Facts<'_>) -> (Effect, Arc<str>) {
        let mut best = (Effect::Allow, Arc::clone(bundle.access_rule()));
        let mut named = false;
        for rule in bundle.rules().iter().filter(|rule| !rule.shadow && rule.concerns(facts)) {
            let holds = rule.when.as_ref().map_or(Ok(true), |condition| Judge::new(facts).holds(condition));
            let effect = rule.effect(facts);
            let applies = holds.unwrap_or(effect != Effect::Allow);
            if applies && (effect > best.0 || (effect == best.0 && !named)) {
                best = (effect, Arc::clone(&rule.name));
                named = true;
            }
        }
        best
    }

    fn some_rule() -> impl Strategy<Value = String> {
        let who = prop::sample::select(vec!["'*'", "person:alice", "group:a", "[group:b, 'role:admin']"]);
        let what = prop::sample::subsequence(
            vec![
                "'*'",
                "s1",
                "s1/x",
                "s1/*",
                "s2/y",
                "s2/prompt:x",
                "'*/x'",
                "'s*'",
                "'*/resource:x*'",
                "s1/x*",
                "s1/y",
            ],
            1..4,
        );
        let when = prop::sample::select(vec!["", "when: args.n > 1,", "when: args.missing,", "when: server == 's1',"]);
        let then = prop::sample::select(vec![
            "allow",
            "ask",
            "step_up",
            "step_up, step_up: {max_age: 30s}",
            "step_up, step_up: {acr: [mfa, hwk]}",
            "deny",
        ]);
        (who, what, when, then, prop::bool::weighted(0.1)).prop_map(|(who, what, when, then, shadow)| {
            format!("who: {who}, what: [{}], {when} then: {then}, shadow: {shadow}}}\n", what.join(", "))
        })
    }

    proptest! {
        #[test]
        fn index_agrees_with_looking_at_every_rule(
            rules in prop::collection::vec(some_rule(), 0..12),
            server in "s[123]",
            name in "[xyz]{1,2}",
            kind in 0..5,
            group in "[abc]",
            n in 0..3,
        ) {
            let rule = |(place, rule): (usize, &String)| format!("- {{rule: r{place}, {rule}");
            let text = rules.iter().enumerate().map(rule).collect::<Vec<_>>().concat();
            let bundle = Bundle::load(&[Source { name: "rules.yaml", text: &text }]).expect("these are rules");
            let target = match kind {
                0 => Target::None,
                1 => Target::Prompt(&name),
                2 => Target::Resource(&name),
                _ => Target::Tool(&name),
            };
            let arguments = format!("{{\"n\":{n}}}");
            let facts = Facts {
                person: &PersonId::new("usr_1"),
                name: "alice",
                groups: &[group.into()],
                roles: &["admin"],
                client: &ClientId::new("c"),
                server: &ServerName::parse(&server).expect("a name"),
                method: "tools/call",
                target,
                arguments: Some(&arguments),
                authenticated_at: Some(Timestamp::from_secs(1_795_400_000 - 60)),
                acr: Some("mfa"),
                now: Timestamp::from_secs(1_795_400_000),
            };
            let decision = decide(&bundle, &Access::default(), &facts);
            prop_assert_eq!((decision.effect, decision.rule), naive(&bundle, &facts));
        }
    }
}
