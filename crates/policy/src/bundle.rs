//! All rules in force: read, checked and indexed once, replaced whole.

use std::{collections::HashMap, sync::Arc};

use portcullis_base::{Digest, ServerName};

use crate::{
    condition::Condition,
    index::Index,
    obligations::Obligations,
    place::{Places, Step},
    read::{self, Found},
    request::Facts,
    rule::Rule,
    source::{RuleError, Source},
    what::{Place, What},
    who::Who,
};

/// The name under which a server's access list decides.
pub(crate) const ACCESS: &str = "access";

/// A group or role that a rule names, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The group or role.
    pub name: Arc<str>,
    /// The rule that names it.
    pub rule: Arc<str>,
    /// The file.
    pub file: Arc<str>,
    /// The line in it, from 1.
    pub line: usize,
}

/// A file, kept to say where in it something stands.
#[derive(Debug)]
struct Text {
    name: Arc<str>,
    content: Box<str>,
    /// How many rules it has.
    count: usize,
}

/// The rules in force.
#[derive(Debug)]
pub struct Bundle {
    groups: Vec<Mention>,
    roles: Vec<Mention>,
    rules: Vec<Rule>,
    texts: Vec<Text>,
    index: Index,
    revision: Arc<str>,
    access_rule: Arc<str>,
}

impl Default for Bundle {
    fn default() -> Self {
        Self::load(&[]).expect("no rules are valid rules")
    }
}

impl Bundle {
    /// Reads and checks `sources`; every fault that is found is told, and any of them means none is used.
    pub fn load(sources: &[Source<'_>]) -> Result<Self, Vec<RuleError>> {
        let mut rules: Vec<Rule> = Vec::new();
        let mut faults = Vec::new();
        let mut places: HashMap<Arc<str>, String> = HashMap::new();
        let (mut texts, mut kept) = (Vec::new(), Vec::new());
        let (mut groups, mut roles) = (Vec::new(), Vec::new());
        for source in sources {
            texts.extend_from_slice(source.text.as_bytes());
            // No YAML text holds a zero byte: the same rules cut into other files are another revision.
            texts.push(0);
            let file: Arc<str> = source.name.into();
            let found = read::rules(source, kept.len(), &mut faults);
            kept.push(Text { name: Arc::clone(&file), content: source.text.into(), count: found.count });
            for Found { rule, line, named } in found.rules {
                for (who, line) in named {
                    let (kind, name) = match who {
                        Who::Group(name) => (&mut groups, name),
                        Who::Role(name) => (&mut roles, name),
                        Who::Everybody | Who::Person(_) | Who::Client(_) | Who::Service(_) => continue,
                    };
                    let (rule, file) = (Arc::clone(&rule.name), Arc::clone(&file));
                    kind.push(Mention { name: name.into(), rule, file, line });
                }
                let place = format!("{}:{line}", source.name);
                let taken = if &*rule.name == ACCESS {
                    Some("the access lists of servers".to_owned())
                } else {
                    places.insert(Arc::clone(&rule.name), place)
                };
                if let Some(other) = taken {
                    let message = format!("the name \"{}\" belongs to {other}", rule.name);
                    faults.push(RuleError { file: source.name.into(), line, message, nearest: None });
                }
                rules.push(rule);
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut revision = Digest::of(&texts).to_base64url();
        revision.truncate(12);
        let index = Index::new(&rules);
        Ok(Self { groups, roles, rules, texts: kept, index, revision: revision.into(), access_rule: ACCESS.into() })
    }

    /// The revision: a short digest of all texts.
    pub fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none, so that access lists alone decide.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Every group that a rule names, each time it does: one that nobody is in may be one that was renamed.
    pub fn groups(&self) -> &[Mention] {
        &self.groups
    }

    /// Every role that a rule names, each time it does.
    pub fn roles(&self) -> &[Mention] {
        &self.roles
    }

    /// Whether it matters to any rule what the session is called.
    pub fn reads_session(&self) -> bool {
        self.rules.iter().any(|rule| rule.when.as_ref().is_some_and(Condition::reads_session))
    }

    /// What rules may mask and cut in what `server` says, whoever it is that they concern: for an answer of which it is not
    /// known what it answers.
    pub fn veils(&self, server: &ServerName) -> Obligations {
        let mut all = Obligations::default();
        for rule in
            self.rules.iter().filter(|rule| !rule.shadow && (!rule.redactions.is_empty() || !rule.cap.is_none()))
        {
            let is_here = |what: &What| match &what.place {
                Place::Server(pattern) => pattern.is(server.as_str()),
                Place::Toolbox(_) => true,
            };
            if rule.what.iter().any(is_here) {
                rule.oblige(&mut all);
            }
        }
        Obligations { redactions: all.redactions, cap: all.cap, ..Obligations::default() }
    }

    pub(crate) fn access_rule(&self) -> &Arc<str> {
        &self.access_rule
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The file that `rule` stands in, and the line of what `steps` lead to from it.
    pub(crate) fn place(&self, rule: &Rule, steps: &[Step<'_>]) -> (&Arc<str>, usize) {
        let Text { name, content, count } = &self.texts[rule.file];
        (name, Places::new(content, *count).line(rule.item, steps))
    }

    /// The files, each with its text and how many rules it has.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Arc<str>, &str, usize)> {
        self.texts.iter().map(|text| (&text.name, &*text.content, text.count))
    }

    /// The rules that can concern `facts`, in their order.
    pub(crate) fn candidates(&self, facts: &Facts<'_>) -> impl Iterator<Item = &Rule> {
        let mut places: Vec<_> = self.index.candidates(facts).collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| &self.rules[place])
    }
}
