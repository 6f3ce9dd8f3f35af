//! One rule: whom and what it concerns, when it holds, and what it says.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    ask::Ask,
    condition::Condition,
    obligations::{Cap, Obligations, Redact},
    quota::Quota,
    request::Facts,
    what::{Object, What},
    who::Who,
};

/// What a rule says, weakest first: the strongest of all that apply is the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Let it through.
    Allow,
    /// A human has to agree.
    Ask,
    /// The caller has to sign in afresh, or get more scope.
    StepUp,
    /// Refuse it.
    Deny,
}

impl Effect {
    /// As it stands in rules and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::StepUp => "step_up",
            Self::Deny => "deny",
        }
    }

    /// The one called `word`.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Allow, Self::Ask, Self::StepUp, Self::Deny].into_iter().find(|effect| effect.as_str() == word)
    }
}

/// One rule, checked and compiled.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Which of the files, and which rule in it, both from 0.
    pub(crate) file: usize,
    pub(crate) item: usize,
    pub(crate) name: Arc<str>,
    pub(crate) who: Vec<Who>,
    pub(crate) what: Vec<What>,
    pub(crate) when: Option<Condition>,
    /// `None`: it has obligations only, and opens nothing.
    pub(crate) then: Option<Effect>,
    /// What kind of sign-in is fresh enough, where `then` asks for one.
    pub(crate) step_up: StepUp,
    /// What it demands, where `then` is `ask`.
    pub(crate) ask: Option<Arc<Ask>>,
    pub(crate) quotas: Vec<Arc<Quota>>,
    pub(crate) redactions: Vec<Arc<Redact>>,
    pub(crate) cap: Cap,
    pub(crate) labels: Vec<Arc<str>>,
    /// Judged and recorded, not enforced.
    pub(crate) shadow: bool,
}

/// What kind of sign-in a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// How long ago at most; `None`: any time.
    pub max_age: Option<Duration>,
    /// In one of these ways; empty: in any.
    pub acr: Vec<Arc<str>>,
}

impl Default for StepUp {
    fn default() -> Self {
        Self { max_age: Some(Duration::from_mins(15)), acr: Vec::new() }
    }
}

impl StepUp {
    /// Whether the caller signed in like that. What is not known is not so.
    pub fn is_met(&self, facts: &Facts<'_>) -> bool {
        let recent = |max_age| facts.authenticated_at.is_some_and(|at| facts.now.since(at) <= max_age);
        let sure = || facts.acr.is_some_and(|acr| self.acr.iter().any(|wanted| **wanted == *acr));
        self.max_age.is_none_or(recent) && (self.acr.is_empty() || sure())
    }
}

impl Rule {
    /// What it says to this caller: a sign-in that is fresh already is not asked for.
    pub(crate) fn effect(&self, facts: &Facts<'_>) -> Option<Effect> {
        match self.then {
            Some(Effect::StepUp) if self.step_up.is_met(facts) => Some(Effect::Allow),
            then => then,
        }
    }

    /// Whether it puts anything on calls.
    pub(crate) fn obliges(&self) -> bool {
        self.ask.is_some()
            || !self.quotas.is_empty()
            || !self.redactions.is_empty()
            || !self.cap.is_none()
            || !self.labels.is_empty()
    }

    /// Adds what it puts on a call.
    pub(crate) fn oblige(&self, obligations: &mut Obligations) {
        obligations.asks.extend(self.ask.iter().cloned());
        obligations.quotas.extend(self.quotas.iter().cloned());
        for redaction in &self.redactions {
            if !obligations.redactions.contains(redaction) {
                obligations.redactions.push(Arc::clone(redaction));
            }
        }
        obligations.cap = obligations.cap.tighter(self.cap);
        for label in &self.labels {
            if !obligations.labels.contains(label) {
                obligations.labels.push(Arc::clone(label));
            }
        }
    }

    /// Whether it matters to it what is known of the tool.
    pub(crate) fn minds_risk(&self) -> bool {
        self.what.iter().any(|what| matches!(what.object, Object::Class(_) | Object::Label(_)))
            || self.when.as_ref().is_some_and(Condition::reads_risk)
    }

    /// Whether the rule concerns the caller and the target of `facts`; its condition is another matter.
    pub(crate) fn concerns(&self, facts: &Facts<'_>) -> bool {
        let caller = facts.caller();
        self.who.iter().any(|who| who.matches(&caller)) && self.what.iter().any(|what| what.is(facts))
    }
}
