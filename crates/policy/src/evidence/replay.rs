//! Calls of the past, judged by two sets of rules: what would change.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use portcullis_base::ServerName;
use serde::Serialize;

use super::{Given, Subject};
use crate::{
    access::Access,
    bundle::Bundle,
    evaluate::{Decision, Reason, decide, hinges_on_risk},
    request::Facts,
    rule::{Effect, Rule},
};

/// The most tools that are told one by one.
const TOOLS: usize = 1000;
/// The most examples of each change of a tool.
const EXAMPLES: usize = 3;

/// Rules, and the access lists that go with them.
#[derive(Clone, Copy)]
pub struct Side<'s> {
    /// The rules.
    pub bundle: &'s Bundle,
    /// The access list of a server.
    pub access: &'s dyn Fn(&ServerName) -> Access,
}

/// A call of the past.
#[derive(Clone, Debug)]
pub struct Past {
    /// Its facts, as far as they are told.
    pub given: Given,
    /// What of them is not told, or not as it was.
    pub untold: Vec<Untold>,
    /// What was decided.
    pub decided: Effect,
}

/// What a record does not tell of a call, or not as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Untold {
    /// Its arguments; they are left out, masked or cut.
    Arguments,
    /// What its tool was taken for.
    Risk,
    /// When and how its person had signed in.
    SignIn,
    /// The labels of its session.
    Session,
}

/// What would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// How many calls were looked at.
    pub calls: u64,
    /// Those of them that are decided alike.
    pub same: u64,
    /// Those of which nobody can say: a rule that concerns them reads what is not told.
    pub uncertain: u64,
    /// What that is; a call of which several things are missing counts for each.
    pub untold: BTreeMap<Untold, u64>,
    /// Those that were decided in another way when they were made than the first side decides them: its rules, or the
    /// groups of people, were others then.
    pub otherwise: u64,
    /// How many change from what to what, by which rules, the most first.
    pub changes: Vec<Change>,
    /// The same tool by tool, those with the most changes first.
    pub tools: Vec<Changed>,
    /// Changes of tools beyond the most that are told.
    pub beyond: u64,
}

/// So many calls that are decided in another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What was decided.
    pub before: Effect,
    /// What would be.
    pub after: Effect,
    /// How many.
    pub count: u64,
    /// The rules that decided them: before, and after.
    pub rules: (Arc<str>, Arc<str>),
    /// Some of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Given>,
}

/// A tool some of whose calls are decided in another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The server.
    pub server: ServerName,
    /// What on it.
    pub target: Subject,
    /// What changes, the most first.
    pub changes: Vec<Change>,
}

/// From what to what, by which rules.
type Kind = (Effect, Effect, Arc<str>, Arc<str>);
type Changes = BTreeMap<Kind, Change>;

/// Judges calls of the past one after the other by both sides.
pub struct Replaying<'s> {
    before: Side<'s>,
    after: Side<'s>,
    replay: Replay,
    all: Changes,
    tools: BTreeMap<(ServerName, Subject), Changes>,
}

impl<'s> Replaying<'s> {
    /// Nothing judged yet.
    pub fn new(before: Side<'s>, after: Side<'s>) -> Self {
        Self { before, after, replay: Replay::default(), all: Changes::new(), tools: BTreeMap::new() }
    }

    /// How many were looked at.
    pub fn calls(&self) -> u64 {
        self.replay.calls
    }

    /// Judges one more.
    pub fn judge(&mut self, past: Past) {
        let Past { given, untold, decided } = past;
        self.replay.calls += 1;
        let (was, is, missing) = given.with(|facts| {
            let of = |side: &Side<'_>| {
                let access = (side.access)(facts.server);
                let decision = decide(side.bundle, &access, facts);
                let missing: Vec<_> = untold
                    .iter()
                    .copied()
                    .filter(|one| matters(*one, side.bundle, &access, facts, &decision))
                    .collect();
                (decision, missing)
            };
            let ((was, mut missing), (is, more)) = (of(&self.before), of(&self.after));
            missing.extend(more);
            (was, is, missing)
        });
        if !missing.is_empty() {
            self.replay.uncertain += 1;
            for one in untold.into_iter().filter(|one| missing.contains(one)) {
                *self.replay.untold.entry(one).or_default() += 1;
            }
            return;
        }
        self.replay.otherwise += u64::from(was.effect != decided);
        if was.effect == is.effect {
            self.replay.same += 1;
            return;
        }
        let kind = (was.effect, is.effect, Arc::clone(&was.rule), Arc::clone(&is.rule));
        let change = || Change {
            before: was.effect,
            after: is.effect,
            count: 0,
            rules: (Arc::clone(&was.rule), Arc::clone(&is.rule)),
            examples: Vec::new(),
        };
        self.all.entry(kind.clone()).or_insert_with(change).count += 1;
        let tool = (given.server.clone(), given.target.clone());
        if self.tools.len() >= TOOLS && !self.tools.contains_key(&tool) {
            self.replay.beyond += 1;
            return;
        }
        let changed = self.tools.entry(tool).or_default().entry(kind).or_insert_with(change);
        changed.count += 1;
        if changed.examples.len() < EXAMPLES {
            changed.examples.push(given);
        }
    }

    /// What came of them.
    pub fn finish(self) -> Replay {
        let sorted = |changes: Changes| {
            let mut changes: Vec<_> = changes.into_values().collect();
            changes.sort_by_key(|change| Reverse(change.count));
            changes
        };
        let changed = |((server, target), changes)| Changed { server, target, changes: sorted(changes) };
        let mut tools: Vec<_> = self.tools.into_iter().map(changed).collect();
        let count = |tool: &Changed| tool.changes.iter().map(|change| change.count).sum::<u64>();
        tools.sort_by_key(|tool| Reverse(count(tool)));
        Replay { changes: sorted(self.all), tools, ..self.replay }
    }
}

impl Replay {
    /// How many calls come out as `effect` that came out as something else.
    pub fn now(&self, effect: Effect) -> u64 {
        self.changes.iter().filter(|change| change.after == effect).map(|change| change.count).sum()
    }

    /// How many calls come out in another way.
    pub fn changed(&self) -> u64 {
        self.changes.iter().map(|change| change.count).sum()
    }
}

/// Judges `past` by both sides.
pub fn replay(before: &Side<'_>, after: &Side<'_>, past: impl IntoIterator<Item = Past>) -> Replay {
    let mut replaying = Replaying::new(*before, *after);
    past.into_iter().for_each(|past| replaying.judge(past));
    replaying.finish()
}

/// Whether `decision` could be another one if `untold` was told.
fn matters(untold: Untold, bundle: &Bundle, access: &Access, facts: &Facts<'_>, decision: &Decision) -> bool {
    if decision.reason == Reason::NoAccess {
        return false;
    }
    if untold == Untold::Risk {
        return hinges_on_risk(bundle, access, facts);
    }
    let concerned: Vec<_> = bundle.candidates(facts).filter(|rule| !rule.shadow && rule.concerns(facts)).collect();
    // Nothing is stronger than a denial that reads none of it.
    let denies = |rule: &&Rule| rule.name == decision.rule && !reads(rule, untold);
    if decision.effect == Effect::Deny && decision.reason == Reason::Rule && concerned.iter().any(denies) {
        return false;
    }
    concerned.iter().any(|rule| rule.then.is_some() && reads(rule, untold))
}

/// Whether what is not told matters to a rule.
fn reads(rule: &Rule, untold: Untold) -> bool {
    let reads = |variable| rule.when.as_ref().is_some_and(|condition| condition.reads(variable));
    match untold {
        Untold::Arguments => reads("args"),
        Untold::Risk => rule.minds_risk(),
        Untold::SignIn => rule.then == Some(Effect::StepUp) || reads("signin"),
        Untold::Session => reads("session"),
    }
}
