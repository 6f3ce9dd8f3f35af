//! Facts of one call and the rules in force: one decision, with the rule that made it and what it puts on the call.
//!
//! The access list of the server comes first: whoever is not on it is told nothing more. Then the strongest effect of all
//! written rules that apply decides, and among equals the one that stands first. Where none of them has an effect, the
//! access list says by the classes of the tool whether it is allowed, asked about or denied.

use std::sync::Arc;

use portcullis_base::{Class, Classes};

use crate::{
    access::Access,
    ask::{Ask, Assurance},
    bundle::Bundle,
    condition::{Condition, Judge, Unjudged},
    obligations::{Obligations, Redact},
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
    /// What it would have said; nothing if it only has obligations.
    pub effect: Option<Effect>,
}

impl Shadow {
    /// As it stands in records.
    pub fn as_str(&self) -> &'static str {
        self.effect.map_or("oblige", Effect::as_str)
    }
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
    /// What is put on the call if it goes on: now, or when the demands are met. If it does not: what is masked in its record.
    pub obligations: Obligations,
    /// Rules in shadow that apply: for the record only.
    pub shadows: Vec<Shadow>,
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
        obligations: Obligations::default(),
        shadows: Vec::new(),
    };
    if !access.admits(facts.guest()) {
        decision.reason = Reason::NoAccess;
        decision.obligations = unseen(bundle, facts);
        return (decision, None);
    }
    // spec: T-60: arguments of an unexpected type are not passed on as they are.
    if facts.arguments.is_some_and(|arguments| !arguments.trim_start().starts_with('{')) {
        decision.reason = Reason::Unreadable("its arguments are not an object");
        decision.obligations = unseen(bundle, facts);
        return (decision, None);
    }

    let mut strongest: Option<(Effect, &Rule, Reason)> = None;
    let mut obligations = Obligations::default();
    let mut judge = Judge::new(facts);
    for rule in bundle.candidates(facts) {
        let effect = rule.effect(facts);
        let known = strongest.as_ref().map(|(effect, ..)| *effect);
        // Nothing that a rule says changes a denial but what is recorded of it, and one that is not stronger changes only
        // what is put on the call.
        let idle = (known == Some(Effect::Deny) && rule.redactions.is_empty()) || (effect <= known && !rule.obliges());
        if (idle && !rule.shadow) || !rule.concerns(facts) {
            continue;
        }
        let holds = match applies(rule, &mut judge) {
            Ok(holds) => holds,
            Err(why) => {
                decision.reason = Reason::Unreadable(why);
                decision.obligations = unseen(bundle, facts);
                return (decision, None);
            }
        };
        let (effect, reason) = match holds {
            Holds::No => continue,
            Holds::Yes => (effect, Reason::Rule),
            // Fails closed: what cannot be judged permits nothing, and restricts.
            Holds::Unjudged(why) => (effect.filter(|effect| *effect != Effect::Allow), Reason::Unjudged(why)),
        };
        if rule.shadow {
            decision.shadows.push(Shadow { rule: Arc::clone(&rule.name), effect });
            continue;
        }
        rule.oblige(&mut obligations);
        if let Some(effect) = effect.filter(|effect| Some(*effect) > known) {
            strongest = Some((effect, rule, reason));
        }
    }

    let mut wanted = None;
    if let Some((effect, rule, reason)) = strongest {
        decision.effect = effect;
        decision.rule = Arc::clone(&rule.name);
        decision.reason = reason;
        wanted = (effect == Effect::StepUp).then(|| rule.step_up.clone());
    } else {
        decision.effect = access.effect(facts.guest(), facts.target, facts.risk());
        if decision.effect == Effect::Ask {
            obligations.asks.push(Arc::new(safe(&decision.rule, facts.risk())));
        }
    }
    match decision.effect {
        Effect::Allow | Effect::Ask => {
            for ask in &mut obligations.asks {
                human(ask, facts.risk());
            }
            decision.obligations = obligations;
        }
        Effect::StepUp | Effect::Deny => decision.obligations = recorded(obligations.redactions),
    }
    (decision, wanted)
}

/// What is left for a call that does not go on: it is recorded all the same.
fn recorded(redactions: Vec<Arc<Redact>>) -> Obligations {
    Obligations { redactions, ..Obligations::default() }
}

/// The same where nothing was judged: whatever could apply.
fn unseen(bundle: &Bundle, facts: &Facts<'_>) -> Obligations {
    let mut redactions: Vec<Arc<Redact>> = Vec::new();
    for rule in bundle.candidates(facts).filter(|rule| !rule.redactions.is_empty() && !rule.shadow) {
        if rule.concerns(facts) {
            redactions.extend(rule.redactions.iter().cloned());
        }
    }
    recorded(redactions)
}

/// What the access list demands.
fn safe(rule: &Arc<str>, risk: Classes) -> Ask {
    let money = risk.contains(Class::Financial);
    Ask { rather: money.then_some(Assurance::Passkey), ..Ask::plain(Arc::clone(rule)) }
}

/// Raises what a demand takes for a human's word, where much is at stake.
// spec: T-107: "destructive/financial tiers need the web page (session + passkey) or a verified chat channel"
fn human(ask: &mut Arc<Ask>, risk: Classes) {
    let grave = [Class::Destructive, Class::Execute, Class::Financial].into_iter().any(|class| risk.contains(class));
    if grave && ask.assurance < Assurance::Chat {
        Arc::make_mut(ask).assurance = Assurance::Chat;
    }
}

/// Whether a condition holds.
pub(crate) enum Holds {
    Yes,
    No,
    /// It cannot be said, and why.
    Unjudged(String),
}

/// Whether `rule`, which concerns the call, applies to it.
pub(crate) fn applies(rule: &Rule, judge: &mut Judge<'_>) -> Result<Holds, &'static str> {
    let Some(condition) = &rule.when else { return Ok(Holds::Yes) };
    match judge.holds(condition) {
        Ok(true) => Ok(Holds::Yes),
        Ok(false) => Ok(Holds::No),
        Err(Unjudged::Failed(why)) => Ok(Holds::Unjudged(why)),
        Err(Unjudged::Unreadable(why)) => Err(why),
    }
}

/// Whether the caller finds what `facts` name in a list: unless a call of it would be denied whatever its arguments.
///
/// spec: RS-27: what may not be used is not shown. A rule that asks, or denies some arguments, does not hide.
pub fn listed(bundle: &Bundle, access: &Access, facts: &Facts<'_>) -> bool {
    if !access.admits(facts.guest()) {
        return false;
    }
    let facts = Facts { arguments: None, ..*facts };
    let mut judge = Judge::new(&facts);
    let mut shown = access.effect(facts.guest(), facts.target, facts.risk()) != Effect::Deny;
    for rule in bundle.candidates(&facts) {
        let Some(then) = rule.then.filter(|_| !rule.shadow) else { continue };
        // Once it is shown, only what hides it matters.
        if (shown && then != Effect::Deny) || !rule.concerns(&facts) {
            continue;
        }
        let open = rule.when.as_ref().is_some_and(Condition::reads_arguments);
        if then != Effect::Deny {
            shown |= open
                || match applies(rule, &mut judge) {
                    Ok(Holds::Yes) => true,
                    Ok(Holds::Unjudged(_)) => then != Effect::Allow,
                    Ok(Holds::No) | Err(_) => false,
                };
        } else if !open && !matches!(applies(rule, &mut judge), Ok(Holds::No)) {
            return false;
        }
    }
    shown
}

/// Whether the decision could be another one if more was known of the tool than `facts` say.
pub fn hinges_on_risk(bundle: &Bundle, access: &Access, facts: &Facts<'_>) -> bool {
    let decision = decide(bundle, access, facts);
    if matches!(decision.reason, Reason::NoAccess | Reason::Unreadable(_)) {
        return false;
    }
    let by_list = Arc::ptr_eq(&decision.rule, bundle.access_rule());
    match decision.effect {
        _ if by_list && !access.is_open(facts.guest()) => true,
        // Nothing is stronger than a denial; another class could only take the tool out of its rule.
        Effect::Deny => bundle.rules().iter().any(|rule| Arc::ptr_eq(&rule.name, &decision.rule) && rule.minds_risk()),
        // What a human's word takes depends on the class.
        Effect::Ask => true,
        Effect::Allow | Effect::StepUp => bundle.rules().iter().any(Rule::minds_risk),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_base::{ClientId, Label, Labels, PersonId, ServerName, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::{access::AccessEntry, request::Target, source::Source, who::Kind};

    /// Every rule looked at, nothing skipped, nothing remembered: slow and plain.
    fn naive(bundle: &Bundle, access: &Access, facts: &Facts<'_>) -> (Effect, Arc<str>, Obligations) {
        let mut best: Option<(Effect, Arc<str>)> = None;
        let mut on = Obligations::default();
        for rule in bundle.rules().iter().filter(|rule| !rule.shadow && rule.concerns(facts)) {
            let holds = rule.when.as_ref().map_or(Ok(true), |condition| Judge::new(facts).holds(condition));
            let effect = rule.effect(facts);
            if holds.as_ref().is_ok_and(|holds| !holds) {
                continue;
            }
            on.asks.extend(rule.ask.clone());
            on.quotas.extend(rule.quotas.iter().cloned());
            on.labels
                .extend(rule.labels.iter().filter(|label| !on.labels.contains(label)).cloned().collect::<Vec<_>>());
            on.cap.items = [on.cap.items, rule.cap.items].into_iter().flatten().min();
            let Some(effect) = effect.filter(|effect| holds.is_ok() || *effect != Effect::Allow) else { continue };
            if best.as_ref().is_none_or(|(best, _)| effect > *best) {
                best = Some((effect, Arc::clone(&rule.name)));
            }
        }
        let (effect, rule) = best.unwrap_or_else(|| {
            let answers = facts.risk().iter().map(|class| {
                let of =
                    access.entries.iter().filter(|entry| *entry.group == *"*" || facts.groups.contains(&entry.group));
                let of: Vec<_> = of.collect();
                match () {
                    () if of.iter().any(|entry| entry.allow.contains(class)) => Effect::Allow,
                    () if of.iter().any(|entry| entry.ask.contains(class)) => Effect::Ask,
                    () => Effect::Deny,
                }
            });
            let effect = answers.max().unwrap_or(Effect::Allow);
            if effect == Effect::Ask {
                on.asks.push(Arc::new(safe(bundle.access_rule(), facts.risk())));
            }
            (effect, Arc::clone(bundle.access_rule()))
        });
        (effect, rule, if effect <= Effect::Ask { on } else { Obligations::default() })
    }

    fn some_rule() -> impl Strategy<Value = String> {
        let who =
            prop::sample::select(vec!["'*'", "person:alice", "group:a", "[group:b, 'role:admin']", "service:alice"]);
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
                "class:write",
                "s1/class:read",
                "'s*/class:unknown'",
                "label:bulk",
                "tag:pci",
                "s2/tag:pci",
                "toolbox:daily",
                "toolbox:*/x",
            ],
            1..4,
        );
        let when = prop::sample::select(vec!["", "when: args.n > 1,", "when: args.missing,", "when: server == 's1',"]);
        let then = prop::sample::select(vec![
            "then: allow,",
            "then: ask,",
            "then: step_up,",
            "then: step_up, step_up: {max_age: 30s},",
            "then: step_up, step_up: {acr: [mfa, hwk]},",
            "then: deny,",
            "label: x,",
            "then: allow, label: [x, y],",
            "quota: {calls: 1, window: 1h},",
            "then: ask, cap: {items: 3},",
            "cap: {items: 2},",
        ]);
        (who, what, when, then, prop::bool::weighted(0.1)).prop_map(|(who, what, when, then, shadow)| {
            format!("who: {who}, what: [{}], {when} {then} shadow: {shadow}}}\n", what.join(", "))
        })
    }

    fn some_access() -> impl Strategy<Value = Access> {
        let word = || prop::sample::subsequence(vec!["read", "write", "unknown", "*"], 0..3);
        let entry = (prop::sample::select(vec!["*", "a", "b"]), word(), word()).prop_map(|(group, allow, ask)| {
            let classes = |words: Vec<&str>| {
                words.iter().map(|word| AccessEntry::classes(word).expect("a class")).fold(Classes::NONE, Classes::or)
            };
            AccessEntry { group: group.into(), allow: classes(allow), ask: classes(ask) }
        });
        prop::collection::vec(entry, 1..4).prop_map(|mut entries| {
            entries[0].group = "*".into();
            Access::of(entries)
        })
    }

    proptest! {
        #[test]
        fn index_agrees_with_looking_at_every_rule(
            rules in prop::collection::vec(some_rule(), 0..12),
            access in some_access(),
            server in "s[123]",
            name in "[xyz]{1,2}",
            kind in 0..6,
            group in "[abc]",
            n in 0..3,
            classes in prop::sample::subsequence(vec![Class::Read, Class::Write, Class::Unknown], 0..3),
            (bulk, tagged, through, service) in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
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
            let (tags, toolbox) = (["pci".into()], ServerName::parse("daily").expect("a name"));
            let facts = Facts {
                person: &PersonId::new("usr_1"),
                name: "alice",
                kind: if service { Kind::Service } else { Kind::Person },
                groups: &[group.into()],
                roles: &["admin"],
                client: &ClientId::new("c"),
                server: &ServerName::parse(&server).expect("a name"),
                through: through.then_some(&toolbox),
                method: "tools/call",
                target,
                classes: classes.into_iter().collect(),
                labels: if bulk { Label::Bulk.into() } else { Labels::NONE },
                tags: if tagged { &tags } else { &[] },
                arguments: Some(&arguments),
                authenticated_at: Some(Timestamp::from_secs(1_795_400_000 - 60)),
                acr: Some("mfa"),
                address: None,
                session_labels: &[],
                now: Timestamp::from_secs(1_795_400_000),
            };
            let decision = decide(&bundle, &access, &facts);
            let blank = Facts { classes: Classes::NONE, labels: Labels::NONE, ..facts };
            if kind > 2 && !hinges_on_risk(&bundle, &access, &blank) {
                let blind = decide(&bundle, &access, &blank);
                prop_assert_eq!((blind.effect, &blind.obligations), (decision.effect, &decision.obligations));
            }
            let (effect, rule) = (decision.effect, Arc::clone(&decision.rule));
            prop_assert_eq!((effect, rule, decision.obligations), naive(&bundle, &access, &facts));
            // What is explained is what was decided.
            let told = crate::evidence::explain(&bundle, &access, &facts);
            let said = told.rules.iter().filter(|rule| !rule.shadow).filter_map(|rule| Some((rule.effect?, &rule.rule)));
            let strongest = said.fold(None, |best: Option<(Effect, &Arc<str>)>, (effect, rule)| match best {
                Some((strongest, _)) if strongest >= effect => best,
                _ => Some((effect, rule)),
            });
            prop_assert_eq!(strongest.map_or((told.access, "access"), |(effect, rule)| (effect, rule)), (effect, &*told.rule));
            let deciding: Vec<_> = told.rules.iter().filter(|rule| rule.decides).map(|rule| &rule.rule).collect();
            prop_assert_eq!(deciding, strongest.iter().map(|(_, rule)| *rule).collect::<Vec<_>>());
            // What is not shown is never let through.
            if !listed(&bundle, &access, &facts) {
                prop_assert_eq!(effect, Effect::Deny);
            }
        }
    }
}
