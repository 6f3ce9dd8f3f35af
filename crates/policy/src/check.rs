//! Rules against the tools that there are: what a rule says of a tool that is not there, of an argument that the tool does
//! not have, or of a value that it never takes, is a mistake; so is a rule that never decides anything.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_base::ServerName;

use crate::{
    bundle::Bundle,
    condition::{ConditionError, types::Scope},
    definition::{Definition, Definitions},
    kinds::{Kinds, Type},
    nearest::nearest,
    obligations::Redact,
    path::{Path, PathStep},
    pattern::Pattern,
    place::Step,
    rule::{Effect, Rule},
    source::RuleError,
    what::{Object, Place, What},
    who::Who,
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Something was not checked.
    Note,
    /// It may be meant like that.
    Caution,
    /// It cannot be meant like that.
    Fault,
}

/// Something found in rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub weight: Weight,
    /// Where, and what.
    pub error: RuleError,
}

impl Bundle {
    /// The rules, unless they contradict each other or themselves, whatever tools there are.
    pub fn consistent(self) -> Result<Self, Vec<RuleError>> {
        let findings = self.check(&Definitions::default());
        let faults = findings.into_iter().filter(|finding| finding.weight == Weight::Fault);
        let faults: Vec<_> = faults.map(|finding| finding.error).collect();
        if faults.is_empty() { Ok(self) } else { Err(faults) }
    }

    /// What is wrong or odd in the rules, in view of the tools that there are.
    pub fn check(&self, definitions: &Definitions) -> Vec<Finding> {
        let labels = self.rules().iter().flat_map(|rule| rule.labels.iter().cloned()).collect::<BTreeSet<_>>();
        let mut check = Check {
            bundle: self,
            definitions,
            labels: Type::words(labels.into_iter().collect()),
            skipped: BTreeSet::new(),
            findings: Vec::new(),
        };
        for rule in self.rules() {
            check.targets(rule);
            check.arguments(rule);
            check.opens(rule);
        }
        check.unreachable();
        check.contradictions();
        check.findings
    }
}

struct Check<'c> {
    bundle: &'c Bundle,
    definitions: &'c Definitions,
    /// The labels that rules put on sessions.
    labels: Type,
    /// Servers that were told to be skipped.
    skipped: BTreeSet<&'c ServerName>,
    findings: Vec<Finding>,
}

/// A tool by its server and name.
type Tool<'c> = (&'c ServerName, &'c str, &'c Definition);

impl<'c> Check<'c> {
    fn find(&mut self, weight: Weight, rule: &Rule, steps: &[Step<'_>], message: String, nearest: Option<String>) {
        let (file, line) = self.bundle.place(rule, steps);
        self.findings.push(Finding { weight, error: RuleError { file: file.to_string(), line, message, nearest } });
    }

    /// Whether there is what the rule names.
    fn targets(&mut self, rule: &Rule) {
        let definitions = self.definitions;
        // Where no server is known, nobody can say that one is not there.
        if definitions.servers.is_empty() {
            return;
        }
        for (at, what) in rule.what.iter().enumerate() {
            let steps = [Step::Member("what"), Step::Item(at)];
            let Place::Server(pattern) = &what.place else { continue };
            let fitting = || definitions.servers.iter().filter(|(name, _)| pattern.is(name.as_str()));
            if fitting().next().is_none() {
                if *pattern != Pattern::Any {
                    let names = definitions.servers.keys().map(ServerName::as_str);
                    let nearest = nearest(&pattern.to_string(), names).map(Into::into);
                    let message = format!("there is no server \"{pattern}\"");
                    self.find(Weight::Caution, rule, &steps, message, nearest);
                }
                continue;
            }
            let Object::Tool(tool) = &what.object else { continue };
            if *tool == Pattern::Any {
                continue;
            }
            let tools = || fitting().filter_map(|(_, tools)| tools.as_ref()).flatten().map(|(name, _)| &**name);
            if tools().any(|name| tool.is(name)) {
                continue;
            }
            let unknown: Vec<_> = fitting().filter(|(_, tools)| tools.is_none()).map(|(name, _)| name).collect();
            for name in &unknown {
                if self.skipped.insert(name) {
                    let message =
                        format!("the tools of \"{name}\" are not known, so what rules say of them is not checked");
                    self.find(Weight::Note, rule, &steps, message, None);
                }
            }
            if unknown.is_empty() {
                let named = matches!((pattern, tool), (Pattern::Exact(_), Pattern::Exact(_)));
                let message = format!("no tool of \"{pattern}\" is called \"{tool}\"");
                let nearest = nearest(&tool.to_string(), tools()).map(|name| format!("{pattern}/{name}"));
                self.find(if named { Weight::Fault } else { Weight::Caution }, rule, &steps, message, nearest);
            }
        }
    }

    /// The tools that the rule concerns, of those that are known.
    fn concerned(&self, rule: &Rule) -> Vec<Tool<'c>> {
        let known = self.definitions.servers.iter().filter_map(|(name, tools)| Some((name, tools.as_ref()?)));
        let tools = known.flat_map(|(server, tools)| tools.iter().map(move |(name, tool)| (server, &**name, tool)));
        let is = |what: &What, (server, name, tool): &Tool<'c>| what.is_about(server.as_str(), name, tool);
        tools.filter(|tool| rule.what.iter().any(|what| is(what, tool))).collect()
    }

    /// Whether some of what the rule concerns is not known to be a tool with known arguments.
    fn is_wider(&self, rule: &Rule) -> bool {
        rule.what.iter().any(|what| match &what.object {
            Object::Prompt(_) | Object::Resource(_) => true,
            Object::Whole | Object::Tool(_) | Object::Class(_) | Object::Label(_) | Object::Tag(_) => {
                let Place::Server(pattern) = &what.place else { return false };
                self.definitions.servers.iter().any(|(name, tools)| tools.is_none() && pattern.is(name.as_str()))
            }
        })
    }

    /// Whether the tools have the arguments that the rule speaks of, and these are what it takes them for.
    fn arguments(&mut self, rule: &Rule) {
        let (tools, wider) = (self.concerned(rule), self.is_wider(rule));
        let labels = self.labels.clone();
        if let Some(condition) = &rule.when {
            let anywhere = condition.fits(Scope { arguments: None, labels: Some(&labels) });
            if let Err(ConditionError { message, nearest }) = anywhere {
                return self.find(Weight::Fault, rule, &[Step::Member("when")], message, nearest);
            }
            let refused: Vec<_> = tools
                .iter()
                .filter_map(|(server, name, tool)| {
                    let called = format!("{server}/{name}");
                    let scope = Scope { arguments: Some((&tool.arguments, &called)), labels: Some(&labels) };
                    condition.fits(scope).err()
                })
                .collect();
            let restricts = rule.then != Some(Effect::Allow);
            self.told(rule, &[Step::Member("when")], &Refused { errors: refused, of: tools.len(), wider }, || {
                (restricts && !condition.has_guards()).then(|| {
                    let does = match rule.then {
                        Some(Effect::Deny) => "denies",
                        Some(Effect::Ask) => "asks about",
                        Some(Effect::StepUp) => "wants a sign-in for",
                        Some(Effect::Allow) | None => "applies to",
                    };
                    format!("there the condition has no answer and the rule {does} every call; has(args.…) asks first")
                })
            });
        }
        for (place, quota) in rule.quotas.iter().enumerate() {
            let Some(sum) = &quota.sum else { continue };
            let steps = if rule.quotas.len() > 1 {
                vec![Step::Member("quota"), Step::Item(place)]
            } else {
                vec![Step::Member("quota")]
            };
            for (path, kinds) in
                std::iter::once((&sum.of, Kinds::NUMBER)).chain(sum.unit.iter().map(|unit| (unit, Kinds::TEXT)))
            {
                let refused = tools.iter().filter_map(|tool| reach(*tool, path, kinds).err()).collect();
                self.told(rule, &steps, &Refused { errors: refused, of: tools.len(), wider }, || {
                    Some("there the limit lets no call through".to_owned())
                });
            }
        }
        for (place, redaction) in rule.redactions.iter().enumerate() {
            let Redact::Argument(path) = &**redaction else { continue };
            let steps = [Step::Member("redact"), Step::Item(place)];
            let refused = tools.iter().filter_map(|tool| reach(*tool, path, Kinds::ANY).err()).collect();
            self.told(rule, &steps, &Refused { errors: refused, of: tools.len(), wider }, || None);
        }
    }

    /// A fault if no tool fits, and a caution with what follows from it if some do not.
    fn told(&mut self, rule: &Rule, steps: &[Step<'_>], found: &Refused, consequence: impl FnOnce() -> Option<String>) {
        let Some(ConditionError { message, nearest }) = found.errors.first() else { return };
        if found.errors.len() == found.of && !found.wider {
            let more = found.of - 1;
            let message = if more == 0 { message.clone() } else { format!("{message}; nor does it fit {more} others") };
            return self.find(Weight::Fault, rule, steps, message, nearest.clone());
        }
        if let Some(consequence) = consequence() {
            let others = match found.errors.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            self.find(Weight::Caution, rule, steps, format!("{message}{others}: {consequence}"), None);
        }
    }

    /// A rule that opens everything is told each time: it is easily written, and easily forgotten.
    fn opens(&mut self, rule: &Rule) {
        let everything = |what: &What| what.place == Place::Server(Pattern::Any) && what.object == Object::Whole;
        if rule.then == Some(Effect::Allow)
            && rule.when.is_none()
            && !rule.shadow
            && let Some(at) = rule.what.iter().position(everything)
        {
            let message = "this allows everything on every server, and nobody is asked before a tool destroys, executes, sends or spends";
            self.find(Weight::Caution, rule, &[Step::Member("what"), Step::Item(at)], message.into(), None);
        }
    }

    /// Rules that never decide, because another one denies all that they concern.
    fn unreachable(&mut self) {
        let rules = self.bundle.rules();
        let denies: Vec<_> = rules
            .iter()
            .filter(|rule| rule.then == Some(Effect::Deny) && rule.when.is_none() && !rule.shadow)
            .collect();
        for rule in rules.iter().filter(|rule| !rule.shadow) {
            let covering = denies.iter().find(|deny| {
                // Of two that deny the same, the first one decides.
                let first = rule.then != Some(Effect::Deny) || (deny.file, deny.item) < (rule.file, rule.item);
                !std::ptr::eq(**deny, rule) && first && covers(deny, rule)
            });
            if let Some(deny) = covering {
                let (file, line) = self.bundle.place(deny, &[Step::Member("rule")]);
                let message =
                    format!("this rule never decides: \"{}\" at {file}:{line} denies all that it concerns", deny.name);
                self.find(Weight::Caution, rule, &[Step::Member("rule")], message, None);
            }
        }
    }

    /// Rules that say different things of the same, and those that say the same twice.
    fn contradictions(&mut self) {
        let mut seen: BTreeMap<(Vec<String>, Vec<String>, &str), &Rule> = BTreeMap::new();
        for rule in self.bundle.rules().iter().filter(|rule| !rule.shadow && rule.then.is_some()) {
            let sorted = |mut all: Vec<String>| {
                all.sort_unstable();
                all.dedup();
                all
            };
            let who = sorted(rule.who.iter().map(ToString::to_string).collect());
            let what = sorted(rule.what.iter().map(ToString::to_string).collect());
            let key = (who, what, rule.when.as_ref().map_or("", |condition| condition.text()));
            let Some(other) = seen.get(&key).copied() else {
                seen.insert(key, rule);
                continue;
            };
            let (file, line) = self.bundle.place(other, &[Step::Member("rule")]);
            let place = format!("\"{}\" at {file}:{line}", other.name);
            let word = |rule: &Rule| rule.then.map_or("", Effect::as_str);
            if rule.then != other.then {
                let message = format!("this says {} of what {place} says {} of", word(rule), word(other));
                self.find(Weight::Fault, rule, &[Step::Member("then")], message, None);
            } else if !rule.obliges() && rule.step_up == other.step_up {
                let message = format!("this says the same as {place}");
                self.find(Weight::Caution, rule, &[Step::Member("rule")], message, None);
            }
        }
    }
}

/// Tools that something does not fit, and how many there are.
struct Refused {
    errors: Vec<ConditionError>,
    of: usize,
    wider: bool,
}

/// Whether `all` concerns everybody and everything that `one` does.
fn covers(all: &Rule, one: &Rule) -> bool {
    let who = |wanted: &Who| all.who.iter().any(|who| *who == Who::Everybody || who == wanted);
    one.who.iter().all(who) && one.what.iter().all(|wanted| all.what.iter().any(|what| what.covers(wanted)))
}

/// Whether the tool has something of one of `kinds` at `path`.
fn reach((server, name, tool): Tool<'_>, path: &Path, kinds: Kinds) -> Result<(), ConditionError> {
    let mut here = tool.arguments.clone();
    for (depth, step) in path.steps().iter().enumerate() {
        here = match step {
            PathStep::Member(member) => match here.fields {
                Some(fields) if !fields.members.contains_key(member) && !fields.open => {
                    let what = if depth == 0 { "argument" } else { "member" };
                    return Err(ConditionError {
                        message: format!("{server}/{name} has no {what} \"{member}\""),
                        nearest: nearest(member, fields.members.keys().map(|name| &**name)).map(Into::into),
                    });
                }
                Some(fields) => fields.members.get(member).cloned().unwrap_or_else(Type::any),
                None => Type::any(),
            },
            PathStep::Item(_) | PathStep::Each => here.item.map_or_else(Type::any, |item| (*item).clone()),
        };
    }
    if here.kinds.meets(kinds) {
        return Ok(());
    }
    let message = format!("\"{path}\" of {server}/{name} is {}, and not {kinds}", here.kinds);
    Err(ConditionError { message, nearest: None })
}
