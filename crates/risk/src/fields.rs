//! The parameters of a tool, found wherever they stand in its schema.

use serde_json::{Map, Value};

use crate::words;

/// One parameter.
#[derive(Debug)]
pub(crate) struct Field<'a> {
    /// Its name as it stands.
    pub(crate) name: &'a str,
    /// Its words, joined: `apiKey` is `api_key`.
    pub(crate) key: String,
    pub(crate) schema: &'a Value,
    /// Its schema says what it must be like.
    pub(crate) bound: bool,
}

/// What was found in a schema.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) all: Vec<Field<'a>>,
    /// The first object that may hold anything.
    pub(crate) open: Option<String>,
    /// Not all of it was looked at.
    pub(crate) cut: bool,
}

const MOST_NODES: usize = 20_000;
const MOST_FIELDS: usize = 1000;
/// Text of at most so many characters is no program and no message.
const SHORT: u64 = 64;
/// Of more values nobody knows what they are.
const MOST_CHOICES: usize = 500;

/// The parameters in `schema`, at any depth, also where only a `$ref` would lead.
pub(crate) fn collect(schema: Option<&Value>) -> Fields<'_> {
    let mut fields = Fields::default();
    let Some(schema) = schema else { return fields };
    let mut left: Vec<(&Value, &str)> = vec![(schema, "")];
    let mut seen = 0;
    while let Some((node, name)) = left.pop() {
        seen += 1;
        if seen > MOST_NODES || fields.all.len() > MOST_FIELDS {
            fields.cut = true;
            break;
        }
        match node {
            Value::Object(object) => {
                openness(object, name, &mut fields);
                // The last is looked at first: what stands first is to be pushed last.
                for (keyword, value) in object.iter().rev() {
                    match (keyword.as_str(), value) {
                        ("properties" | "patternProperties" | "dependentSchemas", Value::Object(properties)) => {
                            left.extend(properties.iter().rev().map(|(name, value)| (value, name.as_str())));
                        }
                        ("enum" | "const" | "default" | "example" | "examples" | "required" | "not", _) => {}
                        (_, Value::Object(_) | Value::Array(_)) => left.push((value, name)),
                        _ => {}
                    }
                }
                if let Some(Value::Object(properties)) = object.get("properties") {
                    let room = MOST_FIELDS + 1 - fields.all.len().min(MOST_FIELDS);
                    fields.all.extend(properties.iter().take(room).map(|(name, schema)| field(name, schema)));
                }
            }
            Value::Array(items) => {
                let room = MOST_NODES.saturating_sub(left.len());
                fields.cut |= items.len() > room;
                left.extend(items.iter().take(room).filter(|item| !item.is_string()).map(|item| (item, name)));
            }
            _ => {}
        }
    }
    fields
}

fn field<'a>(name: &'a str, schema: &'a Value) -> Field<'a> {
    let tokens: Vec<String> = words::name(name).tokens.into_iter().map(|token| token.text).collect();
    Field { name, key: tokens.join("_"), schema, bound: is_bound(schema) }
}

fn openness(object: &Map<String, Value>, name: &str, fields: &mut Fields<'_>) {
    if fields.open.is_some() {
        return;
    }
    let called = if name.is_empty() { "the arguments".to_owned() } else { format!("“{name}”") };
    let far = object.get("$ref").and_then(Value::as_str).is_some_and(|to| !to.starts_with('#'));
    let is_object = object.get("type").is_some_and(|kind| is_type(kind, "object"));
    let empty = object.get("properties").is_none_or(|all| all.as_object().is_some_and(Map::is_empty));
    let closed = match object.get("additionalProperties") {
        Some(Value::Bool(more)) => !more,
        // A schema for what else there may be is a bound.
        Some(Value::Object(more)) => !more.is_empty(),
        _ => false,
    };
    if far || is_object && !closed && !(name.is_empty() && empty && object.get("properties").is_some()) {
        fields.open = Some(called);
    }
}

/// Whether `kind`, one word or several, has `word`.
pub(crate) fn is_type(kind: &Value, word: &str) -> bool {
    match kind {
        Value::String(one) => one == word,
        Value::Array(several) => several.iter().any(|one| one == word),
        _ => false,
    }
}

/// Formats that leave no room for a program or a message.
const NARROW: &[&str] = &["date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"];

fn is_bound(schema: &Value) -> bool {
    let word = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
    let narrow = word("pattern").is_some_and(|pattern| {
        let anything = [".*", ".+", "\\s\\S", "\\S\\s"].iter().any(|any| pattern.contains(any));
        pattern.starts_with('^') && pattern.ends_with('$') && !anything
    });
    is_fixed(schema)
        || narrow
        || word("format").is_some_and(|format| NARROW.contains(&format))
        || schema.get("maxLength").and_then(Value::as_u64).is_some_and(|most| most <= SHORT)
        || !may_be(schema, "string")
}

fn is_fixed(schema: &Value) -> bool {
    schema.get("const").is_some() || choices(schema).is_some()
}

/// The values that `schema` allows, if it names them.
fn choices(schema: &Value) -> Option<Vec<&Value>> {
    if let Some(Value::Array(all)) = schema.get("enum") {
        return (all.len() <= MOST_CHOICES).then(|| all.iter().collect());
    }
    let Some(Value::Array(all)) = schema.get("oneOf").or_else(|| schema.get("anyOf")) else { return None };
    let each = all.iter().take(MOST_CHOICES + 1).map(|one| one.get("const")).collect::<Option<Vec<_>>>()?;
    (!each.is_empty() && each.len() <= MOST_CHOICES).then_some(each)
}

/// Whether `schema` allows a value of type `word`.
pub(crate) fn may_be(schema: &Value, word: &str) -> bool {
    schema.get("type").is_none_or(|kind| is_type(kind, word))
}

impl Field<'_> {
    /// The values it is limited to, in lower case, if they are all words.
    pub(crate) fn choices(&self) -> Option<Vec<String>> {
        choices(self.schema)?.into_iter().map(|one| one.as_str().map(str::to_ascii_lowercase)).collect()
    }

    /// It is one of values that are known beforehand.
    pub(crate) fn is_fixed(&self) -> bool {
        is_fixed(self.schema)
    }

    pub(crate) fn is_text(&self) -> bool {
        may_be(self.schema, "string")
    }

    pub(crate) fn is_flag(&self) -> bool {
        may_be(self.schema, "boolean")
    }
}
