//! What an administrator says a tool is, and what follows from that and from its definition.

use std::collections::BTreeMap;

use portcullis_base::{Class, Classes, Digest, Labels};

use super::sheet::Page;

/// An administrator's word on one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it is.
    pub classes: Classes,
    /// Its labels, if they are to be others than were found.
    pub labels: Option<Labels>,
    /// Why, in the administrator's words.
    pub reason: Box<str>,
    /// The only definition that it is said of. Without one it is said of whatever its server calls so.
    pub definition: Option<Digest>,
}

/// Verdicts by the names of their tools.
pub type Verdicts = BTreeMap<Box<str>, Verdict>;

/// What a tool may do, as rules and hints go by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Risk {
    /// Its classes; none if nobody listed it.
    pub classes: Classes,
    /// What else matters.
    pub labels: Labels,
    /// The digest of the definition that says so.
    pub definition: Option<Digest>,
}

impl Risk {
    /// Of a tool of which `page` is known and `verdict` was said.
    pub fn of(page: Option<&Page>, verdict: Option<&Verdict>) -> Self {
        let definition = page.map(|page| page.definition);
        let found = page.map_or_else(Self::default, |page| Self {
            classes: page.assessment.classes,
            labels: page.assessment.labels,
            definition,
        });
        // spec: T-75: what was said of one definition says nothing of what the server made of it since.
        let said = verdict.filter(|said| said.definition.is_none_or(|of| definition == Some(of)));
        let Some(said) = said else { return found };
        let classes = if said.classes.is_empty() { Classes::UNKNOWN } else { said.classes };
        Self { classes, labels: said.labels.unwrap_or(found.labels), definition }
    }
}

impl Verdict {
    /// Whether it says that a tool is milder than anything may be, whatever its server makes of the tool.
    pub fn is_blind(&self) -> bool {
        self.definition.is_none() && !self.classes.contains(Class::Unknown)
    }
}
