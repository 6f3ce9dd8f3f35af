//! One call: the rules that were looked at, what each of them says, and what came of it.

use std::{fmt, sync::Arc};

use serde::Serialize;

use super::Given;
use crate::{
    access::Access,
    bundle::Bundle,
    condition::Judge,
    evaluate::{Holds, Reason, applies, judge, listed},
    obligations::Obligations,
    place::Step,
    request::Facts,
    rule::{Effect, Rule},
};

/// The reason for one decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What is done.
    pub effect: Effect,
    /// The rule that says so; `access` is the access list of the server.
    pub rule: Arc<str>,
    /// The revision of the rules.
    pub revision: Arc<str>,
    /// Why, where that is not the rule itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What is put on the call if it goes on.
    pub obligations: Obligations,
    /// Whether the caller finds it in lists.
    pub listed: bool,
    /// The rules that were looked at, in their order.
    pub rules: Vec<Considered>,
    /// How many others there are: they cannot concern what is called.
    pub others: usize,
    /// What the access list says; it counts where no rule has an effect.
    pub access: Effect,
    /// The facts.
    pub facts: Given,
}

/// A rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// Its name.
    pub rule: Arc<str>,
    /// Where it stands: `file:line`.
    pub place: String,
    /// As whom it concerns the caller; nothing if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// As what it concerns the target; nothing if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Its condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Whether the condition holds; nothing if it could not be judged, or there was no reason to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    /// Why the condition could not be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unjudged: Option<String>,
    /// Whether it applies.
    pub applies: bool,
    /// What it says to this call, if it applies and has an effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// What it puts on the call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obliges: Vec<&'static str>,
    /// Whether it is judged and not enforced.
    pub shadow: bool,
    /// Whether it is the one that decides.
    pub decides: bool,
}

/// Why the call that `facts` tell of is decided as it is.
pub fn explain(bundle: &Bundle, access: &Access, facts: &Facts<'_>) -> Explanation {
    let (decision, _) = judge(bundle, access, facts);
    let mut judge = Judge::new(facts);
    let rules: Vec<_> = bundle
        .candidates(facts)
        .map(|rule| {
            let mut considered = consider(bundle, rule, facts, &mut judge);
            considered.decides = considered.applies && !rule.shadow && rule.name == decision.rule;
            considered
        })
        .collect();
    let because = match decision.reason {
        Reason::Rule => None,
        Reason::NoAccess => Some("the access list of the server does not name the caller".to_owned()),
        Reason::Unjudged(why) => Some(format!("the rule's condition cannot be judged: {why}")),
        Reason::Unreadable(why) => Some(format!("the call cannot be read: {why}")),
    };
    Explanation {
        effect: decision.effect,
        rule: decision.rule,
        revision: decision.revision,
        because,
        obligations: decision.obligations,
        listed: listed(bundle, access, facts),
        others: bundle.len() - rules.len(),
        rules,
        access: access.effect(facts.guest(), facts.target, facts.risk()),
        facts: Given::of(facts),
    }
}

fn consider(bundle: &Bundle, rule: &Rule, facts: &Facts<'_>, judge: &mut Judge<'_>) -> Considered {
    let (file, line) = bundle.place(rule, &[Step::Member("rule")]);
    let caller = facts.caller();
    let who = rule.who.iter().find(|who| who.matches(&caller)).map(ToString::to_string);
    let what = rule.what.iter().find(|what| what.is(facts)).map(ToString::to_string);
    let (mut holds, mut unjudged) = (None, None);
    if who.is_some() && what.is_some() && rule.when.is_some() {
        match applies(rule, judge) {
            Ok(Holds::Yes) => holds = Some(true),
            Ok(Holds::No) => holds = Some(false),
            Ok(Holds::Unjudged(why)) => unjudged = Some(why),
            Err(why) => unjudged = Some(why.to_owned()),
        }
    }
    let applies = who.is_some() && what.is_some() && holds != Some(false);
    let effect = rule.effect(facts).filter(|effect| applies && (unjudged.is_none() || *effect != Effect::Allow));
    let obliges = [
        ("ask", rule.ask.is_some()),
        ("quota", !rule.quotas.is_empty()),
        ("redact", !rule.redactions.is_empty()),
        ("cap", !rule.cap.is_none()),
        ("label", !rule.labels.is_empty()),
    ];
    Considered {
        rule: Arc::clone(&rule.name),
        place: format!("{file}:{line}"),
        who,
        what,
        when: rule.when.as_ref().map(|condition| condition.text().to_owned()),
        holds,
        unjudged,
        applies,
        effect,
        obliges: obliges.into_iter().filter(|(_, has)| *has).map(|(word, _)| word).collect(),
        shadow: rule.shadow,
        decides: false,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Given { name, client, server, through, target, classes, method, .. } = &self.facts;
        writeln!(f, "{} by \"{}\" (rules {})", self.effect.as_str(), self.rule, self.revision)?;
        if let Some(because) = &self.because {
            writeln!(f, "  because {because}")?;
        }
        let through = through.as_ref().map(|through| format!(" through {through}")).unwrap_or_default();
        let classes: Vec<_> = classes.iter().map(portcullis_base::Class::as_str).collect();
        let classes = if classes.is_empty() { "not known".to_owned() } else { classes.join(", ") };
        writeln!(
            f,
            "{name} with {client}: {method} {} at {server}{through}; class {classes}",
            target.name().unwrap_or("-")
        )?;
        let all = self.rules.len() + self.others;
        writeln!(f, "Rules looked at: {} of {all}", self.rules.len())?;
        for rule in &self.rules {
            writeln!(f, "  {rule}")?;
        }
        let used = if &*self.rule == "access" { "" } else { ", which a rule overrules" };
        writeln!(f, "Access list: {}{used}", self.access.as_str())?;
        for ask in &self.obligations.asks {
            let approvers = ask.approvers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let assurance = ask.assurance.as_str();
            writeln!(f, "Wants {} of {approvers}, at least by {assurance} (\"{}\")", ask.quorum, ask.rule)?;
        }
        for quota in &self.obligations.quotas {
            writeln!(f, "Counts against limit {} of \"{}\"", quota.place + 1, quota.rule)?;
        }
        let shown = if self.listed { "shown" } else { "not shown" };
        writeln!(f, "In lists it is {shown}.")
    }
}

impl fmt::Display for Considered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", if self.decides { "*" } else { "-" }, self.rule, self.place)?;
        if self.shadow {
            f.write_str(", in shadow")?;
        }
        f.write_str(": ")?;
        match (&self.who, &self.what) {
            (None, _) => return f.write_str("does not concern the caller"),
            (_, None) => return f.write_str("does not concern this"),
            (Some(who), Some(what)) => write!(f, "{who}, {what}")?,
        }
        if let Some(when) = &self.when {
            match (self.holds, &self.unjudged) {
                (Some(false), _) => return write!(f, "; does not hold: {when}"),
                (_, Some(why)) => write!(f, "; cannot be judged ({why}): {when}")?,
                _ => write!(f, "; holds: {when}")?,
            }
        }
        match (self.effect, self.obliges.as_slice()) {
            (Some(effect), []) => write!(f, " → {}", effect.as_str()),
            (Some(effect), obliges) => write!(f, " → {}, with {}", effect.as_str(), obliges.join(", ")),
            (None, []) => f.write_str(" → nothing"),
            (None, obliges) => write!(f, " → {}", obliges.join(", ")),
        }
    }
}
