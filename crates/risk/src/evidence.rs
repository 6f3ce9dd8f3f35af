//! Why a tool has its classes: every one of them names what was seen, in a sentence that a person can check.

use std::fmt;

use portcullis_base::{Class, Classes, Label, Labels, printable};
use serde::{Serialize, Serializer};

/// Which rule spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An administrator said so.
    Override,
    /// The first word of the name is a verb.
    NameFirst,
    /// A later word of the name is a verb that does something.
    NameInner,
    /// The last word of the name is something to look at.
    NameNoun,
    /// A word of the name that makes it graver, or milder.
    NameWord,
    /// The name is written so that it deceives the eye, or cannot be read.
    NameUnreadable,
    /// A verb of the title.
    Title,
    /// A verb of the description.
    Text,
    /// The description is in letters of which nothing was understood.
    TextForeign,
    /// Words of the description beyond its verb.
    TextWord,
    /// It does something, and to money.
    Money,
    /// A parameter.
    Field,
    /// The definition was too large to look at the whole of it.
    TooLarge,
    /// The HTTP method of an operation.
    Method,
    /// A hint of the server.
    Hint,
    /// What the tool gives back.
    Output,
    /// What the whole server is for.
    Server,
    /// Nothing matched.
    Nothing,
}

impl Rule {
    /// As it stands in records.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::NameFirst => "name.first",
            Self::NameInner => "name.inner",
            Self::NameNoun => "name.noun",
            Self::NameWord => "name.word",
            Self::NameUnreadable => "name.unreadable",
            Self::Title => "title.verb",
            Self::Text => "description.verb",
            Self::TextForeign => "description.foreign",
            Self::TextWord => "description.word",
            Self::Money => "money",
            Self::Field => "schema.field",
            Self::TooLarge => "definition.size",
            Self::Method => "http.method",
            Self::Hint => "annotation",
            Self::Output => "schema.output",
            Self::Server => "server",
            Self::Nothing => "nothing",
        }
    }

    /// How much a class is worth that stands on this rule alone, of a hundred.
    const fn weight(self) -> u8 {
        match self {
            Self::Override => 100,
            Self::NameFirst => 80,
            Self::NameInner | Self::NameNoun | Self::NameWord | Self::Money | Self::Method => 65,
            Self::Hint => 50,
            Self::Title | Self::Text | Self::TextWord | Self::Server => 40,
            Self::Field | Self::Output => 35,
            Self::Nothing => 30,
            Self::NameUnreadable | Self::TextForeign | Self::TooLarge => 20,
        }
    }

    /// Rules of one origin agree with each other for nothing.
    const fn origin(self) -> u8 {
        match self {
            Self::Override => 0,
            Self::NameFirst
            | Self::NameInner
            | Self::NameNoun
            | Self::NameWord
            | Self::NameUnreadable
            | Self::Money => 1,
            Self::Title => 2,
            Self::Text | Self::TextForeign | Self::TextWord => 3,
            Self::Field | Self::Output | Self::TooLarge => 4,
            Self::Method => 5,
            Self::Hint => 6,
            Self::Server | Self::Nothing => 7,
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// One thing that was seen, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Which rule spoke.
    pub rule: Rule,
    /// The word, field or hint, made printable.
    pub seen: Box<str>,
    /// Why it matters; empty where the rule says it all.
    pub note: &'static str,
    /// The classes that follow.
    pub classes: Classes,
    /// The labels that follow.
    pub labels: Labels,
    /// The classes that follow no more.
    pub lowers: Classes,
}

/// A sentence without its full stop, such as: The name begins with “delete”: destructive
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = &self.seen;
        match self.rule {
            Rule::Override => write!(f, "An administrator decided: {seen}")?,
            Rule::NameFirst => write!(f, "The name begins with “{seen}”")?,
            Rule::NameInner => write!(f, "The name contains the verb “{seen}”")?,
            Rule::NameNoun => write!(f, "The name ends with “{seen}”")?,
            Rule::NameWord => write!(f, "The name contains “{seen}”")?,
            Rule::NameUnreadable => write!(f, "The name “{seen}” cannot be taken as it looks")?,
            Rule::Title => write!(f, "The title says “{seen}”")?,
            Rule::Text | Rule::TextWord => write!(f, "The description says “{seen}”")?,
            Rule::TextForeign => write!(f, "Nothing of the description was understood")?,
            Rule::Money => write!(f, "It acts on “{seen}”")?,
            Rule::Field => write!(f, "It takes “{seen}”")?,
            Rule::TooLarge => write!(f, "The definition is too large: {seen}")?,
            Rule::Method => write!(f, "It is the HTTP method {seen}")?,
            Rule::Hint => write!(f, "The server says {seen}")?,
            Rule::Output => write!(f, "It gives back “{seen}”")?,
            Rule::Server => write!(f, "The server is for {seen}")?,
            Rule::Nothing => write!(f, "Nothing tells what it does")?,
        }
        if !self.note.is_empty() {
            write!(f, " ({})", self.note)?;
        }
        let mut first = true;
        let follows = self.classes.iter().map(Class::as_str).chain(self.labels.iter().map(Label::as_str));
        for word in follows {
            f.write_str(if first { ": " } else { ", " })?;
            f.write_str(word)?;
            first = false;
        }
        for class in self.lowers.iter() {
            f.write_str(if first { ": not " } else { ", not " })?;
            f.write_str(class.as_str())?;
            first = false;
        }
        Ok(())
    }
}

/// How grave a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Of little weight.
    Low,
    /// Worth a look.
    Medium,
    /// Worth a change.
    High,
}

/// What is wrong with a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// The name promises less than the rest says.
    NameConflict,
    /// The hints promise less than the rest says.
    AnnotLie,
    /// It does something and has no hints.
    AnnotMissing,
    /// A model would have to write a secret down.
    AsksSecret,
    /// A parameter that it does not need, into which a model pours what it knows.
    ExfilParam,
    /// Its arguments may be anything.
    OpenSchema,
}

impl Flaw {
    /// As it stands in records and reports.
    pub const fn id(self) -> &'static str {
        match self {
            Self::NameConflict => "RISK-NAME-CONFLICT",
            Self::AnnotLie => "RISK-ANNOT-LIE",
            Self::AnnotMissing => "RISK-ANNOT-MISSING",
            Self::AsksSecret => "TOOL-ASKS-SECRET",
            Self::ExfilParam => "TOOL-EXFIL-PARAM",
            Self::OpenSchema => "TOOL-OPEN-SCHEMA",
        }
    }
}

impl Serialize for Flaw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// A [`Flaw`] of this tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub flaw: Flaw,
    /// How grave it is here.
    pub severity: Severity,
    /// Where it was seen, made printable.
    pub seen: Box<str>,
}

/// A sentence without its full stop.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = &self.seen;
        match self.flaw {
            Flaw::NameConflict => write!(f, "The name sounds as if it only read, but there is {seen}"),
            Flaw::AnnotLie => write!(f, "The server says readOnlyHint: true of a tool that is {seen}"),
            Flaw::AnnotMissing => write!(f, "A tool that is {seen} has no annotations"),
            Flaw::AsksSecret => write!(f, "The model would have to write down “{seen}”"),
            Flaw::ExfilParam => write!(f, "The parameter “{seen}” invites the model to tell what it knows"),
            Flaw::OpenSchema => write!(f, "The schema leaves open what {seen} may hold"),
        }
    }
}

const LONGEST_SEEN: usize = 80;
const MOST_EVIDENCE: usize = 48;
const MOST_FINDINGS: usize = 16;

/// Foreign words for a person's eyes.
pub(crate) fn seen(text: &str) -> Box<str> {
    printable(text, LONGEST_SEEN).into()
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) classes: Classes,
    pub(crate) labels: Labels,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) findings: Vec<Finding>,
    /// For each class the rules that it stands on.
    grounds: Vec<(Class, Rule)>,
}

impl Ledger {
    pub(crate) fn add(&mut self, rule: Rule, what: &str, classes: Classes, labels: Labels) {
        self.note(rule, what, "", classes, labels);
    }

    pub(crate) fn class(&mut self, rule: Rule, what: &str, note: &'static str, class: Class) {
        self.note(rule, what, note, class.into(), Labels::NONE);
    }

    pub(crate) fn label(&mut self, rule: Rule, what: &str, label: Label) {
        if !self.labels.contains(label) {
            self.note(rule, what, "", Classes::NONE, label.into());
        }
    }

    pub(crate) fn note(&mut self, rule: Rule, what: &str, note: &'static str, classes: Classes, labels: Labels) {
        let is_new = !classes.is_within(self.classes) || !labels.is_within(self.labels);
        self.classes = self.classes.or(classes);
        self.labels = self.labels.or(labels);
        for class in classes.iter() {
            if !self.grounds.contains(&(class, rule)) {
                self.grounds.push((class, rule));
            }
        }
        let one = Evidence { rule, seen: seen(what), note, classes, labels, lowers: Classes::NONE };
        // However much there is, a class never stands there without a reason.
        if (is_new || self.evidence.len() < MOST_EVIDENCE) && !self.evidence.contains(&one) {
            self.evidence.push(one);
        }
    }

    /// Takes `lowers` away; `gives` instead if nothing is left.
    pub(crate) fn lower(&mut self, rule: Rule, what: &str, note: &'static str, lowers: Classes, gives: Class) {
        for class in lowers.iter() {
            self.classes = self.classes.without(class);
            self.grounds.retain(|(ground, _)| *ground != class);
        }
        let classes = if self.classes.is_empty() { gives.into() } else { Classes::NONE };
        self.classes = self.classes.or(classes);
        self.grounds.extend(classes.iter().map(|class| (class, rule)));
        self.evidence.push(Evidence { rule, seen: seen(what), note, classes, labels: Labels::NONE, lowers });
    }

    pub(crate) fn find(&mut self, flaw: Flaw, severity: Severity, what: &str) {
        let one = Finding { flaw, severity, seen: seen(what) };
        if self.findings.len() < MOST_FINDINGS && !self.findings.contains(&one) {
            self.findings.push(one);
        }
    }

    /// Whether `class` stands on the name and on nothing else that is said.
    pub(crate) fn only_by_name(&self, class: Class) -> bool {
        let strange = [Rule::Hint, Rule::Field, Rule::Method, Rule::NameWord];
        !self.grounds.iter().any(|(ground, rule)| *ground == class && strange.contains(rule))
    }

    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.findings.iter().any(|finding| finding.flaw == flaw)
    }

    /// What the gravest class stands on, of a hundred: the best ground, and ten for each further origin that agrees.
    pub(crate) fn weight(&self) -> i32 {
        let primary = self.classes.primary();
        let rules = || self.grounds.iter().filter(|(class, _)| *class == primary).map(|(_, rule)| *rule);
        let best = rules().map(Rule::weight).max().unwrap_or(0);
        let origins = rules().fold(0_u32, |seen, rule| seen | 1 << rule.origin()).count_ones();
        i32::from(best) + 10 * (origins.max(1) as i32 - 1)
    }
}
