//! All rules in force: read, checked and indexed once, replaced whole.

use std::{collections::HashMap, sync::Arc};

use portcullis_base::Digest;

use crate::{
    index::Index,
    read,
    rule::Rule,
    source::{RuleError, Source},
};

/// The name under which a server's access list decides.
const ACCESS: &str = "access";

/// The rules in force.
#[derive(Debug)]
pub struct Bundle {
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
        for source in sources {
            texts.extend_from_slice(source.text.as_bytes());
            // No YAML text holds a zero byte: the same rules cut into other files are another revision.
            texts.push(0);
            for (rule, line) in read::rules(source, &mut faults) {
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
        Ok(Self { index: Index::new(&rules), rules, revision: revision.into(), access_rule: ACCESS.into() })
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
