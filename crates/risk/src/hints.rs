//! The hints of a tool: what a server says, and what this gateway says instead.

use portcullis_base::{Class, Classes, Label, Labels};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Assessment,
    evidence::{Flaw, Ledger, Rule, Severity},
    name::Named,
    server::Source,
    tables::Sureness,
};

/// The four hints that a client is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hints {
    /// `readOnlyHint`
    #[serde(rename = "readOnlyHint")]
    pub read_only: bool,
    /// `destructiveHint`
    #[serde(rename = "destructiveHint")]
    pub destructive: bool,
    /// `idempotentHint`
    #[serde(rename = "idempotentHint")]
    pub idempotent: bool,
    /// `openWorldHint`
    #[serde(rename = "openWorldHint")]
    pub open_world: bool,
}

/// The hints that follow from `assessment`, whatever the server said.
pub fn hints(assessment: &Assessment) -> Hints {
    Hints::of(assessment.classes, assessment.labels)
}

impl Hints {
    /// The hints that follow from these classes and labels.
    ///
    /// spec: T-75: a client that asks nobody because of a hint goes by our class.
    pub fn of(classes: Classes, labels: Labels) -> Self {
        let has = |some: &[Class]| some.iter().any(|class| classes.contains(*class));
        let read_only = classes == Class::Read.into();
        let beyond = labels.contains(Label::UntrustedContent) || labels.contains(Label::PublicSink);
        let unknown = classes.is_empty() || classes.contains(Class::Unknown);
        Self {
            read_only,
            destructive: unknown || has(&[Class::Execute, Class::Destructive, Class::Financial]),
            // Nothing tells that doing it twice is doing it once.
            idempotent: read_only,
            open_world: beyond || unknown || has(&[Class::Egress, Class::Execute, Class::Financial]),
        }
    }
}

/// What the server said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) read_only: Option<bool>,
    pub(crate) destructive: Option<bool>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) open_world: Option<bool>,
}

impl Said {
    pub(crate) fn of(definition: &Value) -> Self {
        let hint = |name: &str| definition.get("annotations")?.get(name)?.as_bool();
        Self {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        }
    }

    pub(crate) fn is_silent(self) -> bool {
        self == Self::default()
    }

    /// All four as they are when nobody says anything: some kits write them out.
    fn are_defaults(self) -> bool {
        self == Self {
            read_only: Some(false),
            destructive: Some(true),
            idempotent: Some(false),
            open_world: Some(true),
        }
    }
}

/// Lets hints make matters graver, and those of a trusted `source` milder where nothing strong speaks against it.
///
/// spec: T-75
pub(crate) fn judge(said: Said, source: Source, named: &Named, ledger: &mut Ledger) {
    let mild = Classes::from(Class::Read).with(Class::Write).with(Class::Unknown);
    let unread = ledger.classes.is_within(Class::Read.into()) && !ledger.classes.is_empty();
    if said.destructive == Some(true) && said.read_only != Some(true) {
        if !unread {
            ledger.class(Rule::Hint, "destructiveHint: true", "", Class::Destructive);
        } else if !said.are_defaults() {
            ledger.class(Rule::Hint, "destructiveHint: true", "of what sounds like reading", Class::Destructive);
        }
    }
    if said.open_world == Some(true) && ledger.classes.contains(Class::Write) {
        ledger.class(Rule::Hint, "openWorldHint: true", "", Class::Egress);
    }
    if source == Source::Trusted {
        if said.read_only == Some(true) {
            if ledger.classes.is_within(mild) {
                let lowers = ledger.classes.without(Class::Read);
                if lowers.is_empty() {
                    ledger.class(Rule::Hint, "readOnlyHint: true", "", Class::Read);
                } else {
                    let note = "a definition that somebody has looked at";
                    ledger.lower(Rule::Hint, "readOnlyHint: true", note, lowers, Class::Read);
                }
            }
        } else if said.destructive == Some(false)
            && named.sure == Sureness::Weak
            && ledger.classes.contains(Class::Destructive)
            && ledger.only_by_name(Class::Destructive)
        {
            let note = "a definition that somebody has looked at";
            ledger.lower(Rule::Hint, "destructiveHint: false", note, Class::Destructive.into(), Class::Write);
        }
    }
}

/// Says where the hints promise less than what was found, or where there are none.
pub(crate) fn compare(said: Said, classes: Classes, ledger: &mut Ledger) {
    let does = classes.without(Class::Read).without(Class::Unknown);
    if said.read_only == Some(true) && !does.is_empty() {
        let grave = [Class::Execute, Class::Destructive, Class::Financial].iter().any(|class| does.contains(*class));
        let severity = if grave { Severity::High } else { Severity::Medium };
        ledger.find(Flaw::AnnotLie, severity, does.primary().as_str());
    }
    if said.is_silent() && classes != Class::Read.into() {
        ledger.find(Flaw::AnnotMissing, Severity::Info, classes.primary().as_str());
    }
}
