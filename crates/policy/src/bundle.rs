//! All rules in force: read, checked and indexed once, replaced whole.

use std::{collections::HashMap, sync::Arc};

use portcullis_base::Digest;

use crate::{
    index::Index,
    read::{self, Found},
    rule::{Rule, Who},
    source::{RuleError, Source},
};

/// The name under which a server's access list decides.
const ACCESS: &str = "access";

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

/// The rules in force.
#[derive(Debug)]
pub struct Bundle {
    groups: Vec<Mention>,
    roles: Vec<Mention>,
    rules: Vec<Rule>,
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
        let mut texts = Vec::new();
        let (mut groups, mut roles) = (Vec::new(), Vec::new());
        for source in sources {
            texts.extend_from_slice(source.text.as_bytes());
            // No YAML text holds a zero byte: the same rules cut into other files are another revision.
            texts.push(0);
            let file: Arc<str> = source.name.into();
            for Found { rule, line, named } in read::rules(source, &mut faults) {
                for (who, line) in named {
                    let (kind, name) = match who {
                        Who::Group(name) => (&mut groups, name),
                        Who::Role(name) => (&mut roles, name),
                        Who::Everybody | Who::Person(_) | Who::Client(_) => continue,
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
        Ok(Self { groups, roles, rules, index, revision: revision.into(), access_rule: ACCESS.into() })
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

    pub(crate) fn access_rule(&self) -> &Arc<str> {
        &self.access_rule
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }
}
