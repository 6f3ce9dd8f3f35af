//! The steps of the judgement, in their order.

use portcullis_base::{Class, Classes, Labels};
use serde::Serialize;
use serde_json::Value;

use crate::{
    evidence::{Evidence, Finding, Flaw, Ledger, Rule},
    fields, hints, name, schema,
    server::Server,
    tables::Sureness,
    text::{self, Input},
    usage::{self, Usage},
    words,
};

/// A tool, as a server lists it.
#[derive(Clone, Copy, Debug)]
pub struct Tool<'a> {
    /// The name by which it is called.
    pub name: &'a str,
    /// Its definition, as JSON text: an element of `tools` of `tools/list`.
    pub definition: &'a str,
    /// The HTTP method of the operation behind it, if it comes from an OpenAPI document.
    pub method: Option<&'a str>,
    /// What an administrator decided about this very definition.
    pub decided: Option<&'a Override>,
}

impl<'a> Tool<'a> {
    /// The tool `name` as `definition` describes it.
    pub fn new(name: &'a str, definition: &'a str) -> Self {
        Self { name, definition, method: None, decided: None }
    }
}

/// An administrator's word. Whoever keeps it binds it to the digest of the definition: of another one it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// What the tool is.
    pub classes: Classes,
    /// Its labels, if they are to be others than were found.
    pub labels: Option<Labels>,
    /// Why, in the administrator's words.
    pub reason: String,
}

/// What a tool may do, and why we think so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// What counts.
    pub classes: Classes,
    /// What was found, also where an administrator decided otherwise.
    pub found: Classes,
    /// What else matters.
    pub labels: Labels,
    /// How sure this is, of a hundred; below [`Assessment::SURE`] a person should look.
    pub confidence: u8,
    /// What was seen, in the order of the rules.
    pub evidence: Vec<Evidence>,
    /// What is wrong with the definition.
    pub findings: Vec<Finding>,
    /// How far the definition limits its use.
    pub usage: Usage,
}

impl Assessment {
    /// Below this confidence a person should look.
    pub const SURE: u8 = 50;

    /// Whether a person should look.
    pub fn needs_review(&self) -> bool {
        self.confidence < Self::SURE
    }
}

/// Definitions of more bytes are judged by their name alone, and as unknown.
const LARGEST: usize = 1 << 20;
const LONGEST_TITLE: usize = 256;

/// Judges `tool` as one of `server`.
pub fn classify(tool: &Tool<'_>, server: &Server) -> Assessment {
    let parsed = (tool.definition.len() <= LARGEST).then(|| serde_json::from_str(tool.definition).ok()).flatten();
    let definition = parsed.unwrap_or(Value::Null);
    let mut ledger = Ledger::default();
    let named = name::judge(tool.name, server, &mut ledger);
    if definition.is_null() {
        ledger.class(Rule::TooLarge, "it cannot be read", "", Class::Unknown);
    }

    let inputs = fields::collect(definition.get("inputSchema"));
    let input = schema::input(&inputs);
    if named.check && input == Input::Bound && ledger.classes == Class::Execute.into() {
        let last = named.tokens.last().map_or("", |token| token.text.as_str());
        ledger.lower(Rule::NameNoun, last, "nothing of free form is run", Class::Execute.into(), Class::Read);
    }
    let of = |name: &str| definition.get(name).and_then(Value::as_str).unwrap_or("");
    let annotated = definition.get("annotations").and_then(|all| all.get("title")).and_then(Value::as_str);
    for title in [Some(of("title")), annotated].into_iter().flatten() {
        text::judge(Rule::Title, &words::clean(title, LONGEST_TITLE), &named, input, &mut ledger);
    }
    let description = words::clean(of("description"), text::LONGEST);
    text::judge(Rule::Text, &description, &named, input, &mut ledger);
    name::neighbours(&named, server, &mut ledger);
    schema::judge(&inputs, &named, &description, &mut ledger);
    if let Some(method) = tool.method {
        judge_method(method, &named, &mut ledger);
    }
    if ledger.classes.is_empty() {
        ledger.class(Rule::Nothing, "", "", Class::Unknown);
    }
    let said = hints::Said::of(&definition);
    hints::judge(said, server.source, &named, &mut ledger);
    name::labels(&named, server, &mut ledger);
    text::labels(&description, &mut ledger);
    let outputs = fields::collect(definition.get("outputSchema"));
    schema::output(&outputs, &mut ledger);

    let found = ledger.classes;
    let confidence = confidence(&ledger, &named);
    let (classes, labels, confidence) = match tool.decided {
        Some(decided) => {
            let labels = decided.labels.unwrap_or(ledger.labels);
            ledger.note(Rule::Override, &decided.reason, "", decided.classes, decided.labels.unwrap_or(Labels::NONE));
            (if decided.classes.is_empty() { Classes::UNKNOWN } else { decided.classes }, labels, 100)
        }
        None => (found, ledger.labels, confidence),
    };
    hints::compare(said, classes, &mut ledger);
    let usage = usage::measure(&definition, &inputs, &description, classes, said, &ledger.findings);
    Assessment { classes, found, labels, confidence, evidence: ledger.evidence, findings: ledger.findings, usage }
}

/// What the HTTP method of an operation says: what deletes or changes is believed, what gets only where nothing else speaks.
fn judge_method(method: &str, named: &name::Named, ledger: &mut Ledger) {
    let method = method.to_ascii_uppercase();
    match method.as_str() {
        "DELETE" => ledger.class(Rule::Method, &method, "", Class::Destructive),
        // Searches are often posted.
        "POST" if named.how == name::How::Shielded && ledger.classes == Class::Read.into() => {
            ledger.note(Rule::Method, &method, "a search may be posted", Classes::NONE, Labels::NONE);
        }
        "POST" | "PUT" | "PATCH" => ledger.class(Rule::Method, &method, "", Class::Write),
        "GET" | "HEAD" | "OPTIONS" if ledger.classes.is_within(Class::Read.into()) => {
            ledger.class(Rule::Method, &method, "", Class::Read);
        }
        _ => {}
    }
}

fn confidence(ledger: &Ledger, named: &name::Named) -> u8 {
    let primary = ledger.classes.primary();
    let mut weight = ledger.weight();
    let by_name = matches!(named.how, name::How::Verb(_));
    weight -= match named.sure {
        Sureness::Weak if by_name && primary == Class::Destructive => 15,
        Sureness::Doubtful if by_name && primary == Class::Execute => 35,
        _ => 0,
    };
    if ledger.has(Flaw::NameConflict) || ledger.evidence.iter().any(|one| one.rule == Rule::NameUnreadable) {
        weight -= 25;
    }
    if ledger.evidence.iter().any(|one| one.rule == Rule::TextForeign) && primary == Class::Unknown {
        weight = 20;
    }
    weight.clamp(0, 100) as u8
}
