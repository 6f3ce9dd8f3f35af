//! Whether a value fits a schema, as far as that is cheap to say.
//!
//! Checked are references, types, `enum`, `const`, bounds, lengths, patterns that a linear engine reads, items,
//! properties, `required`, `additionalProperties`, `allOf`, and that `anyOf` and `oneOf` fit at least once. What is not
//! checked here (`not`, `if`, `format`, `dependent…`, `unevaluated…`, the "once" of `oneOf`) is left to the API, which
//! checks its own input: a refusal of ours is always right, our silence promises nothing.

use std::{cell::RefCell, collections::HashMap};

use portcullis_base::printable;
use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};

/// Steps of one check.
const STEPS: usize = 200_000;
const DEPTH: usize = 100;
/// The longest pattern and the longest text that is held against one, and how large a pattern may become.
const PATTERN: usize = 1000;
const MATCHED: usize = 4 << 10;
const COMPILED: usize = 256 << 10;

/// Why arguments make no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {what}")]
pub struct Refused {
    /// Which argument: `body.pets[0].name`.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

impl Refused {
    pub(crate) fn new(path: &str, what: impl Into<String>) -> Self {
        Self { path: printable(path, 200), what: what.into() }
    }
}

/// Whether `value` fits `schema`, whose references are to its own `$defs`.
// spec: T-66
pub(crate) fn check(schema: &Value, value: &Value, path: &str) -> Result<(), Refused> {
    let definitions = schema.get("$defs").and_then(Value::as_object);
    let mut check = Check { definitions, steps: STEPS, patterns: RefCell::default(), entered: Vec::new() };
    match check.value(schema, value, path, DEPTH) {
        Ok(()) => Ok(()),
        Err(Stop::Refused(refused)) => Err(refused),
        Err(Stop::TooMuch) => Err(Refused::new(path, "is too large or too deep to be checked: send less at one time")),
    }
}

struct Check<'s> {
    definitions: Option<&'s Map<String, Value>>,
    steps: usize,
    patterns: RefCell<HashMap<&'s str, Option<Regex>>>,
    /// References that are being followed, and for which value: coming back to the same pair says nothing new.
    entered: Vec<(&'s str, *const Value)>,
}

enum Stop {
    Refused(Refused),
    TooMuch,
}

fn refuse<T>(path: &str, what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Refused(Refused::new(path, what)))
}

impl<'s> Check<'s> {
    fn value(&mut self, schema: &'s Value, value: &Value, path: &str, depth: usize) -> Result<(), Stop> {
        let depth = depth.checked_sub(1).ok_or(Stop::TooMuch)?;
        self.steps = self.steps.checked_sub(1).ok_or(Stop::TooMuch)?;
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return refuse(path, "must not be there"),
            _ => return Ok(()),
        };
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let target = name.strip_prefix("#/$defs/").and_then(|name| self.definitions?.get(name));
            let here = (name, std::ptr::from_ref(value));
            if let Some(target) = target
                && !self.entered.contains(&here)
            {
                self.entered.push(here);
                let fits = self.value(target, value, path, depth);
                self.entered.pop();
                fits?;
            }
        }
        if let Some(kind) = schema.get("type") {
            of_type(kind, value, path)?;
        }
        if let Some(Value::Array(list)) = schema.get("enum") {
            self.steps = self.steps.checked_sub(list.len()).ok_or(Stop::TooMuch)?;
            if !list.iter().any(|one| equal(one, value)) {
                return refuse(path, format!("must be one of {}", shown(list)));
            }
        }
        if let Some(constant) = schema.get("const")
            && !equal(constant, value)
        {
            return refuse(path, format!("must be {}", shown(std::slice::from_ref(constant))));
        }
        match value {
            Value::Number(number) => bounded(schema, number, path)?,
            Value::String(text) => self.text(schema, text, path)?,
            Value::Array(items) => self.items(schema, items, path, depth)?,
            Value::Object(members) => self.members(schema, members, path, depth)?,
            _ => {}
        }
        for one in list(schema, "allOf") {
            self.value(one, value, path, depth)?;
        }
        for keyword in ["anyOf", "oneOf"] {
            let mut first = None;
            for one in list(schema, keyword) {
                match self.value(one, value, path, depth) {
                    Ok(()) => {
                        first = None;
                        break;
                    }
                    Err(Stop::TooMuch) => return Err(Stop::TooMuch),
                    Err(refused) => first = first.or(Some(refused)),
                }
            }
            match first {
                Some(Stop::Refused(refused)) => {
                    return refuse(path, format!("fits none of its alternatives (for the first: {refused})"));
                }
                Some(stop) => return Err(stop),
                None => {}
            }
        }
        Ok(())
    }

    fn text(&mut self, schema: &'s Map<String, Value>, text: &str, path: &str) -> Result<(), Stop> {
        let length = text.chars().count() as u64;
        if schema.get("minLength").and_then(Value::as_u64).is_some_and(|least| length < least) {
            return refuse(path, format!("is too short (at least {} characters)", schema["minLength"]));
        }
        if schema.get("maxLength").and_then(Value::as_u64).is_some_and(|most| length > most) {
            return refuse(path, format!("is too long (at most {} characters)", schema["maxLength"]));
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && self.matches(pattern, text)? == Some(false)
        {
            return refuse(path, format!("does not match the pattern {}", printable(pattern, 200)));
        }
        Ok(())
    }

    /// Whether `text` matches; `None` where nobody can say at a fair price.
    // spec: T-66: a linear engine, bounded in pattern and text.
    fn matches(&mut self, pattern: &'s str, text: &str) -> Result<Option<bool>, Stop> {
        if text.len() > MATCHED {
            return Ok(None);
        }
        self.steps = self.steps.checked_sub(10 + text.len() / 16).ok_or(Stop::TooMuch)?;
        let mut patterns = self.patterns.borrow_mut();
        let compiled = patterns.entry(pattern).or_insert_with(|| {
            let built = RegexBuilder::new(pattern).size_limit(COMPILED).build();
            (pattern.len() <= PATTERN).then(|| built.ok())?
        });
        Ok(compiled.as_ref().map(|regex| regex.is_match(text)))
    }

    fn items(&mut self, schema: &'s Map<String, Value>, items: &[Value], path: &str, depth: usize) -> Result<(), Stop> {
        let count = items.len() as u64;
        if schema.get("minItems").and_then(Value::as_u64).is_some_and(|least| count < least) {
            return refuse(path, format!("has too few items (at least {})", schema["minItems"]));
        }
        if schema.get("maxItems").and_then(Value::as_u64).is_some_and(|most| count > most) {
            return refuse(path, format!("has too many items (at most {})", schema["maxItems"]));
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            self.steps = self.steps.checked_sub(items.len() * items.len() / 2).ok_or(Stop::TooMuch)?;
            let twice = items.iter().enumerate().find(|(n, item)| items[..*n].iter().any(|one| equal(one, item)));
            if let Some((n, _)) = twice {
                return refuse(&format!("{path}[{n}]"), "is in the list already");
            }
        }
        let first = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (n, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(n).or_else(|| schema.get("items")) {
                self.value(schema, item, &format!("{path}[{n}]"), depth)?;
            }
        }
        Ok(())
    }

    fn members(
        &mut self,
        schema: &'s Map<String, Value>,
        members: &Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Result<(), Stop> {
        for name in list(schema, "required").filter_map(Value::as_str) {
            if !members.contains_key(name) {
                return refuse(&member(path, name), "is missing");
            }
        }
        let count = members.len() as u64;
        if schema.get("minProperties").and_then(Value::as_u64).is_some_and(|least| count < least) {
            return refuse(path, format!("has too few members (at least {})", schema["minProperties"]));
        }
        if schema.get("maxProperties").and_then(Value::as_u64).is_some_and(|most| count > most) {
            return refuse(path, format!("has too many members (at most {})", schema["maxProperties"]));
        }
        let known = schema.get("properties").and_then(Value::as_object);
        let by_pattern = schema.get("patternProperties").and_then(Value::as_object);
        for (name, value) in members {
            let path = member(path, name);
            let mut said = false;
            if let Some(schema) = known.and_then(|known| known.get(name)) {
                said = true;
                self.value(schema, value, &path, depth)?;
            }
            for (pattern, schema) in by_pattern.into_iter().flatten() {
                match self.matches(pattern, name)? {
                    Some(true) => {
                        said = true;
                        self.value(schema, value, &path, depth)?;
                    }
                    Some(false) => {}
                    None => said = true,
                }
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) if !said => {
                    let names: Vec<_> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
                    return refuse(&path, format!("is unknown here; known is: {}", printable(&names, 400)));
                }
                Some(schema) if !said => self.value(schema, value, &path, depth)?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn list<'s>(schema: &'s Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'s Value> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

fn member(path: &str, name: &str) -> String {
    let name = printable(name, 60);
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn of_type(kind: &Value, value: &Value, path: &str) -> Result<(), Stop> {
    let is = |kind: &Value| match (kind.as_str(), value) {
        (Some("string"), Value::String(_))
        | (Some("number"), Value::Number(_))
        | (Some("boolean"), Value::Bool(_))
        | (Some("array"), Value::Array(_))
        | (Some("object"), Value::Object(_))
        | (Some("null"), Value::Null) => true,
        (Some("integer"), Value::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        _ => false,
    };
    let (fits, expected) = match kind {
        Value::Array(all) => {
            (all.iter().any(is), all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "))
        }
        one => (is(one), one.as_str().unwrap_or_default().to_owned()),
    };
    if fits { Ok(()) } else { refuse(path, format!("must be of type {expected}, not {}", named(value))) }
}

fn named(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn bounded(schema: &Map<String, Value>, number: &Number, path: &str) -> Result<(), Stop> {
    let Some(value) = number.as_f64() else { return Ok(()) };
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    if bound("minimum").is_some_and(|least| value < least) {
        return refuse(path, format!("must be at least {}", schema["minimum"]));
    }
    if bound("maximum").is_some_and(|most| value > most) {
        return refuse(path, format!("must be at most {}", schema["maximum"]));
    }
    if bound("exclusiveMinimum").is_some_and(|least| value <= least) {
        return refuse(path, format!("must be more than {}", schema["exclusiveMinimum"]));
    }
    if bound("exclusiveMaximum").is_some_and(|most| value >= most) {
        return refuse(path, format!("must be less than {}", schema["exclusiveMaximum"]));
    }
    // Of integers only: remainders of decimal fractions are not what they look like.
    if let (Some(value), Some(step)) = (number.as_i64(), schema.get("multipleOf").and_then(Value::as_i64))
        && step > 0
        && value % step != 0
    {
        return refuse(path, format!("must be a multiple of {step}"));
    }
    Ok(())
}

/// Equal as JSON values: `1` and `1.0` are one number.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64()),
        _ => a == b,
    }
}

fn shown(values: &[Value]) -> String {
    let all: Vec<_> = values.iter().take(20).map(Value::to_string).collect();
    let more = if values.len() > all.len() { ", …" } else { "" };
    format!("{}{more}", printable(&all.join(", "), 400))
}
