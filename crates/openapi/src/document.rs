//! A document as it is read: JSON or YAML, bounded, and what is wrong with it.

use std::{cell::Cell, fmt};

use portcullis_base::printable;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How much of a document is read.
// spec: T-66
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the document.
    pub bytes: usize,
    /// Values in it, each use of a YAML alias counted anew.
    pub nodes: usize,
    /// How deep values may be in values.
    pub depth: usize,
    /// Operations that become tools.
    pub operations: usize,
    /// Bytes of one tool's definition.
    pub definition: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 8 << 20, nodes: 500_000, depth: 100, operations: 500, definition: 64 << 10 }
    }
}

/// Something in a document that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}; {help}")]
pub struct Problem {
    /// Where in the document, as a JSON pointer.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: String,
}

impl Problem {
    pub(crate) fn new(place: &str, what: impl fmt::Display, help: impl fmt::Display) -> Self {
        Self {
            place: printable(if place.is_empty() { "#" } else { place }, 300),
            what: printable(&what.to_string(), 500),
            help: printable(&help.to_string(), 500),
        }
    }
}

/// The document in `text`.
// spec: T-66
pub(crate) fn read(text: &str, limits: &Limits) -> Result<Value, Problem> {
    if text.len() > limits.bytes {
        let what = format_args!("the document has {} bytes, at most {} are read", text.len(), limits.bytes);
        return Err(Problem::new("", what, "take out of it what no tool needs"));
    }
    let left = Cell::new(limits.nodes);
    let node = Node { left: &left, depth: limits.depth };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value = if text.trim_start().starts_with('{') {
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = node.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        value.map_err(|error| error.to_string())
    } else {
        node.deserialize(yaml_serde::Deserializer::from_str(text)).map_err(|error| error.to_string())
    };
    value.map_err(|error| Problem::new("", format_args!("it cannot be read: {error}"), "mend it there"))
}

/// A place below `place`.
pub(crate) fn below(place: &str, key: &str) -> String {
    format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The value that a local reference (`#/components/…`) means, and its place; at most a few references are followed.
// spec: T-66, AG-21: a reference to anything outside is never fetched.
pub(crate) fn resolve<'d>(document: &'d Value, value: &'d Value, place: &str) -> Result<(&'d Value, String), Problem> {
    let (mut value, mut place) = (value, place.to_owned());
    for _ in 0..16 {
        let Some(reference) = value.get("$ref") else { return Ok((value, place)) };
        let at = below(&place, "$ref");
        let Some(reference) = reference.as_str() else {
            return Err(Problem::new(&at, "a reference is a text", "write it as \"#/components/…\""));
        };
        (value, place) = (target(document, reference, &at)?, reference.to_owned());
    }
    Err(Problem::new(&place, "references lead to references without end", "let one of them say something itself"))
}

/// What a local reference points at.
pub(crate) fn target<'d>(document: &'d Value, reference: &str, place: &str) -> Result<&'d Value, Problem> {
    let Some(pointer) = reference.strip_prefix('#').filter(|pointer| pointer.starts_with('/')) else {
        let what = format_args!("\"{reference}\" points outside of the document, and nothing is fetched");
        return Err(Problem::new(
            place,
            what,
            "bundle the document into one file, with references such as #/components/…",
        ));
    };
    let pointer = decoded(pointer);
    document.pointer(&pointer).ok_or_else(|| {
        let what = format_args!("\"{reference}\" points at nothing");
        Problem::new(place, what, "write down what it should point at, or take the reference out")
    })
}

/// A URI fragment without its percent-encoding.
fn decoded(text: &str) -> String {
    let bytes = crate::encode::decoded(text.as_bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// A member that is an object; one that is absent is an empty one.
pub(crate) fn mapping<'d>(value: &'d Value, key: &str, place: &str) -> Result<&'d Map<String, Value>, Problem> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    match value.get(key) {
        None | Some(Value::Null) => Ok(&NONE),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(Problem::new(&below(place, key), "a mapping is expected here", "write it as key: value")),
    }
}

/// A text or an empty one.
pub(crate) fn text<'d>(value: &'d Value, key: &str) -> &'d str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Foreign text of several lines, made printable and cut.
pub(crate) fn tidy(text: &str, limit: usize) -> String {
    let text: String = text.chars().take(limit).collect();
    text.trim().lines().map(|line| printable(&line.replace('\t', " "), limit)).collect::<Vec<_>>().join("\n")
}

/// Reads one value as long as there is room for it.
#[derive(Clone, Copy)]
struct Node<'b> {
    left: &'b Cell<usize>,
    depth: usize,
}

impl Node<'_> {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("it is nested too deeply"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("it has too many values"))?;
        self.left.set(left);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that JSON does not have"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(inside)? {
            // YAML reads the keys of `responses` as numbers, `null` and `true` are no keys of a document.
            let key = match key {
                Value::String(key) => key,
                Value::Number(key) => key.to_string(),
                Value::Bool(key) => key.to_string(),
                _ => return Err(A::Error::custom("a key that is no text")),
            };
            if key == "<<" {
                return Err(A::Error::custom("YAML's merge key << is not read: write out what it stands for"));
            }
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {} stands here twice", printable(&key, 60))));
            }
            let value = entries.next_value_seed(inside)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
