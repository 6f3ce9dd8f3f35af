//! What is in force, for people: the rules as they stand in their files, and what follows from them class by class.

use std::{sync::Arc, time::Duration};

use portcullis_base::{Class, ClientId, ServerName};
use serde::Serialize;

use super::{Given, Risk, Subject};
use crate::{
    access::Access,
    ask::Ask,
    bundle::Bundle,
    evaluate::decide,
    place::{Places, Step},
    quota::Quota,
    request::Facts,
    rule::{Effect, Rule},
    what::{Object, Place, What},
    who::{Somebody, Who},
};

/// A rule as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Its name.
    pub rule: Arc<str>,
    /// The file.
    pub file: Arc<str>,
    /// The line in it, from 1.
    pub line: usize,
    /// Whom it concerns.
    pub who: Vec<String>,
    /// What it concerns.
    pub what: Vec<String>,
    /// Its condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What it says; nothing if it only puts something on calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<Effect>,
    /// What it puts on calls, each in a few words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obliges: Vec<String>,
    /// Whether it is judged and not enforced.
    pub shadow: bool,
}

/// What rules have to be about. What is not said may be anything.
#[derive(Clone, Copy, Default)]
pub struct About<'a> {
    /// A caller; through which client is another matter.
    pub somebody: Option<Somebody<'a>>,
    /// A client.
    pub client: Option<&'a ClientId>,
    /// A server.
    pub server: Option<&'a ServerName>,
    /// A tool of it.
    pub tool: Option<&'a str>,
    /// What is known of that tool.
    pub risk: Option<Risk>,
}

/// What is decided about tools of one class that no rule names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The class.
    pub class: Class,
    /// What is decided.
    pub effect: Effect,
    /// The rule that decides; `access` is the access list of the server.
    pub rule: Arc<str>,
    /// Rules with a condition that can make it another answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Arc<str>>,
}

impl Bundle {
    /// The rules that can be about `about`, as they were written.
    pub fn written(&self, about: &About<'_>) -> Vec<Written> {
        let mut written = Vec::new();
        for (file, (name, text, count)) in self.files().enumerate() {
            let places = Places::new(text, count);
            let here = self.rules().iter().filter(|rule| rule.file == file && about.is_of(rule));
            written.extend(here.map(|rule| Written {
                line: places.line(rule.item, &[Step::Member("rule")]),
                file: Arc::clone(name),
                rule: Arc::clone(&rule.name),
                who: rule.who.iter().map(ToString::to_string).collect(),
                what: rule.what.iter().map(ToString::to_string).collect(),
                when: rule.when.as_ref().map(|condition| condition.text().to_owned()),
                then: rule.then,
                obliges: obliges(rule),
                shadow: rule.shadow,
            }));
        }
        written
    }
}

/// What is decided class by class about tools of the server of `given` that no rule names, for its caller.
pub fn answers(bundle: &Bundle, access: &Access, given: &Given) -> Vec<Answer> {
    // No tool is called like this, and no pattern but the star fits it.
    let given = Given { target: Subject::Tool("".into()), arguments: None, ..given.clone() };
    let answer = |class: &Class| {
        let given = Given { classes: (*class).into(), ..given.clone() };
        given.with(|facts: &Facts<'_>| {
            let decision = decide(bundle, access, facts);
            let concerned = bundle.candidates(facts).filter(|rule| !rule.shadow && rule.concerns(facts));
            let concerned: Vec<_> = concerned.filter(|rule| rule.then.is_some()).collect();
            // Whatever a condition comes to, a denial that has none stays one.
            let settled = !access.admits(facts.guest())
                || concerned.iter().any(|rule| rule.then == Some(Effect::Deny) && rule.when.is_none());
            let open = concerned.iter().filter(|rule| !settled && rule.when.is_some());
            Answer {
                class: *class,
                effect: decision.effect,
                rule: decision.rule,
                depends_on: open.map(|rule| Arc::clone(&rule.name)).collect(),
            }
        })
    };
    Class::ALL.iter().map(answer).collect()
}

/// Whether a call that was decided like this, by a rule or by the access list of its server, would have been decided in another
/// way had a rule in shadow that says `said` been in force.
pub fn overrules(said: Option<Effect>, decided: Effect, by_rule: bool) -> bool {
    said.is_some_and(|said| if by_rule { said > decided } else { said != decided })
}

impl About<'_> {
    fn is_of(&self, rule: &Rule) -> bool {
        rule.who.iter().any(|who| self.is_by(who)) && rule.what.iter().any(|what| self.is_on(what))
    }

    fn is_by(&self, who: &Who) -> bool {
        match who {
            Who::Everybody => true,
            Who::Client(id) => self.client.is_none_or(|client| client.as_str() == &**id),
            Who::Person(_) | Who::Group(_) | Who::Role(_) | Who::Service(_) => {
                self.somebody.is_none_or(|somebody| who.matches(&somebody))
            }
        }
    }

    fn is_on(&self, what: &What) -> bool {
        let here = match &what.place {
            Place::Server(pattern) => self.server.is_none_or(|server| pattern.is(server.as_str())),
            Place::Toolbox(_) => true,
        };
        here && match &what.object {
            Object::Whole | Object::Tag(_) => true,
            Object::Tool(pattern) => self.tool.is_none_or(|tool| pattern.is(tool)),
            Object::Prompt(_) | Object::Resource(_) => self.tool.is_none(),
            Object::Class(class) => self.risk.is_none_or(|(classes, _)| classes.contains(*class)),
            Object::Label(label) => self.risk.is_none_or(|(_, labels)| labels.contains(*label)),
        }
    }
}

/// What a rule puts on calls, in words.
fn obliges(rule: &Rule) -> Vec<String> {
    let mut words = Vec::new();
    words.extend(rule.ask.iter().map(|ask| demand(ask)));
    if rule.then == Some(Effect::StepUp) {
        let ways: Vec<_> = rule.step_up.acr.iter().map(|acr| &**acr).collect();
        let ways = if ways.is_empty() { String::new() } else { format!(" by {}", ways.join(" or ")) };
        let age = rule.step_up.max_age.map(|age| format!(" in the last {}", spoken(age))).unwrap_or_default();
        words.push(format!("a sign-in{ways}{age}"));
    }
    words.extend(rule.quotas.iter().map(|quota| limit(quota)));
    if !rule.redactions.is_empty() {
        let masked: Vec<_> = rule.redactions.iter().map(ToString::to_string).collect();
        words.push(format!("masks {}", masked.join(", ")));
    }
    words.extend(rule.cap.items.map(|items| format!("at most {items} items of a result")));
    words.extend(rule.cap.bytes.map(|bytes| format!("at most {bytes} bytes of a result")));
    if !rule.labels.is_empty() {
        words.push(format!("labels the session {}", rule.labels.join(", ")));
    }
    words
}

fn demand(ask: &Ask) -> String {
    let approvers: Vec<_> = ask.approvers.iter().map(ToString::to_string).collect();
    let of = approvers.join(" or ");
    format!(
        "the word of {} of {of}, at least by {}, within {}",
        ask.quorum,
        ask.assurance.as_str(),
        spoken(ask.expires)
    )
}

fn limit(quota: &Quota) -> String {
    let mut most = Vec::new();
    most.extend(quota.calls.map(|calls| format!("{calls} calls")));
    most.extend(quota.sum.as_ref().map(|sum| {
        let unit = sum.unit.as_ref().map(|unit| format!(" of each args.{unit}")).unwrap_or_default();
        format!("{} in args.{}{unit}", sum.most, sum.of)
    }));
    let window = quota.window.map(|window| format!(" in {}", spoken(window))).unwrap_or_default();
    let mut words: Vec<_> = most.into_iter().map(|most| format!("{most}{window}")).collect();
    words.extend(quota.concurrent.map(|calls| format!("{calls} calls at a time")));
    let per: Vec<_> = quota.per.iter().map(|per| per.as_str()).collect();
    format!("at most {} per {}", words.join(" and "), per.join(" and "))
}

/// A time as it stands in rules.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let fitting = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    fitting.map_or_else(|| format!("{seconds}s"), |(unit, letter)| format!("{}{letter}", seconds / unit))
}
