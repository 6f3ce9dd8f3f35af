//! How far a definition itself limits the use of its tool.

use portcullis_base::{Class, Classes};
use serde::Serialize;
use serde_json::Value;

use crate::{
    evidence::{Finding, Flaw},
    fields::{Fields, may_be},
    hints::Said,
    words,
};

/// What a definition says of the limits of its tool, each of a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The description says what the tool is not for, or what it leaves behind.
    pub purpose: u8,
    /// The share of parameters that are bound.
    pub bounds: u8,
    /// Nothing but the named parameters is accepted.
    pub closed: u8,
    /// Something is required, or nothing is asked for.
    pub required: u8,
    /// There are hints, and they are true.
    pub hints: u8,
    /// A rate, a quota or an approval is declared.
    pub rate: u8,
    /// It only reads: the last three are asked of nobody who reads.
    pub reads: bool,
}

/// Whether a rule of the gateway limits a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruled {
    /// A quota, a limit or an approval stands before it.
    Yes,
    /// Nothing but the tool itself.
    No,
}

impl Usage {
    /// All of it, of a hundred.
    pub fn score(&self, ruled: Ruled) -> u8 {
        let rate = if ruled == Ruled::Yes { 100 } else { u32::from(self.rate) };
        let part = |value: u8, weight: u32| u32::from(value) * weight;
        let said = part(self.purpose, 20) + part(self.bounds, 30) + part(self.closed, 10);
        let all = if self.reads {
            said / 60
        } else {
            (said + part(self.required, 10) + part(self.hints, 10) + rate * 20) / 100
        };
        all.min(100) as u8
    }
}

const BOUNDARIES: &[&str] = &[
    "only",
    "must not",
    "requires",
    "irreversible",
    "limit",
    "limited to",
    "at most",
    "does not",
    "before calling",
    "do not use",
    "cannot be undone",
    "not intended",
];
const WINDOWS: &str = "second seconds minute minutes hour hours day days week month";

pub(crate) fn measure(
    definition: &Value,
    fields: &Fields<'_>,
    text: &str,
    classes: Classes,
    said: Said,
    findings: &[Finding],
) -> Usage {
    let full = |yes| if yes { 100 } else { 0 };
    let lower = text.to_lowercase();
    let words: Vec<String> =
        words::sentences(&lower).take(60).flat_map(words::sentence).map(|word| word.text).collect();
    let spoken = format!(" {} ", words.join(" "));
    // The word must have an object: one that ends the text says nothing.
    let purpose = BOUNDARIES
        .iter()
        .any(|boundary| spoken.split_once(&format!(" {boundary} ")).is_some_and(|(_, rest)| !rest.trim().is_empty()));
    let schema = definition.get("inputSchema");
    let of_schema = |name: &str| schema.and_then(|schema| schema.get(name));
    let required = of_schema("required").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
    Usage {
        purpose: full(purpose),
        bounds: bounds(fields),
        closed: full(of_schema("additionalProperties") == Some(&Value::Bool(false))),
        required: full(required || fields.all.is_empty()),
        hints: full(!said.is_silent() && !findings.iter().any(|one| one.flaw == Flaw::AnnotLie)),
        rate: full(rate(&words) || declared(definition.get("_meta"))),
        reads: classes == Class::Read.into(),
    }
}

/// The share of strings, numbers and lists that say what they must be like.
fn bounds(fields: &Fields<'_>) -> u8 {
    let mut counted = 0_usize;
    let mut bound = 0_usize;
    for field in &fields.all {
        let has = |names: &[&str]| names.iter().any(|name| field.schema.get(name).is_some());
        let is = |kind: &str| field.schema.get("type").is_some() && may_be(field.schema, kind);
        let fixed = has(&["enum", "const"]);
        let one = if is("string") {
            fixed || has(&["pattern", "format", "maxLength"])
        } else if is("number") || is("integer") {
            fixed || has(&["minimum", "exclusiveMinimum"]) && has(&["maximum", "exclusiveMaximum"])
        } else if is("array") {
            fixed || has(&["maxItems"])
        } else if field.schema.get("type").is_none() {
            fixed
        } else {
            continue;
        };
        counted += 1;
        bound += usize::from(one);
    }
    (bound * 100).checked_div(counted).map_or(100, |share| share as u8)
}

/// A number, and soon after it a stretch of time: "30 calls per hour", "10 requests a minute".
fn rate(words: &[String]) -> bool {
    words.iter().enumerate().any(|(at, word)| {
        let next: Vec<&str> = words.iter().skip(at + 1).take(5).map(String::as_str).collect();
        let calls = next.iter().any(|word| ["call", "calls", "request", "requests", "times"].contains(word));
        let stretch = next.windows(2).any(|pair| {
            let each = ["per", "every", "each"].contains(&pair[0]) || calls && ["a", "an"].contains(&pair[0]);
            each && crate::tables::among(WINDOWS, pair[1])
        });
        word.parse::<u32>().is_ok() && stretch
    })
}

fn declared(meta: Option<&Value>) -> bool {
    let Some(Value::Object(meta)) = meta else { return false };
    meta.keys().take(64).any(|key| {
        words::name(key)
            .tokens
            .iter()
            .any(|token| ["rate", "ratelimit", "quota", "limit", "limits", "approval"].contains(&token.text.as_str()))
    })
}
