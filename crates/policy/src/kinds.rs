//! Kinds of JSON values, as schemas promise them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::{Map, Value};

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const NULL: Self = Self(1);
    pub(crate) const BOOL: Self = Self(2);
    pub(crate) const NUMBER: Self = Self(4);
    pub(crate) const TEXT: Self = Self(8);
    pub(crate) const LIST: Self = Self(16);
    pub(crate) const MAP: Self = Self(32);
    /// Not in JSON, but in conditions.
    pub(crate) const BYTES: Self = Self(64);
    pub(crate) const ANY: Self = Self(127);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::BOOL, "true or false"),
            (Self::NUMBER, "a number"),
            (Self::TEXT, "a text"),
            (Self::BYTES, "bytes"),
            (Self::LIST, "a list"),
            (Self::MAP, "an object"),
            (Self::NULL, "null"),
        ];
        let names = names.iter().filter(|(kinds, _)| self.meets(*kinds)).map(|(_, name)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(" or "))
    }
}

/// What a value can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) kinds: Kinds,
    /// If it is a text, one of these.
    pub(crate) words: Option<Arc<[Arc<str>]>>,
    /// Whether these are what somebody wrote, rather than all that it can be.
    pub(crate) written: bool,
    /// If it is a list, of these.
    pub(crate) item: Option<Arc<Type>>,
    /// If it is an object, with these.
    pub(crate) fields: Option<Arc<Fields>>,
}

/// The members of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) members: BTreeMap<Box<str>, Type>,
    /// Whether there may be others.
    pub(crate) open: bool,
}

/// The deepest that a schema is followed.
const DEPTH: usize = 12;
/// The most parts of a schema that are looked at.
const PARTS: usize = 4000;

impl Type {
    pub(crate) fn of(kinds: Kinds) -> Self {
        Self { kinds, words: None, written: false, item: None, fields: None }
    }

    pub(crate) fn any() -> Self {
        Self::of(Kinds::ANY)
    }

    pub(crate) fn words(words: Arc<[Arc<str>]>) -> Self {
        Self { words: Some(words), ..Self::of(Kinds::TEXT) }
    }

    pub(crate) fn list(item: Self) -> Self {
        Self { item: Some(Arc::new(item)), ..Self::of(Kinds::LIST) }
    }

    pub(crate) fn fields(fields: Fields) -> Self {
        Self { fields: Some(Arc::new(fields)), ..Self::of(Kinds::MAP) }
    }

    /// What is the one or the other.
    pub(crate) fn or(self, other: Self) -> Self {
        /// What is known of a kind that both may be, is known if both know it.
        fn both<T>(a: (bool, Option<T>), b: (bool, Option<T>), join: impl FnOnce(T, T) -> T) -> Option<T> {
            match (a, b) {
                ((true, Some(a)), (true, Some(b))) => Some(join(a, b)),
                ((true, known), (false, _)) | ((false, _), (true, known)) => known,
                _ => None,
            }
        }
        let is = |kind: Kinds| (self.kinds.meets(kind), other.kinds.meets(kind));
        let ((a_text, b_text), (a_list, b_list), (a_map, b_map)) = (is(Kinds::TEXT), is(Kinds::LIST), is(Kinds::MAP));
        let (alike, written) = (self.written == other.written, self.written || other.written);
        let words = both((a_text, self.words), (b_text, other.words), |a, b| {
            let more = b.iter().filter(|word| !a.contains(word)).cloned();
            a.iter().cloned().chain(more.collect::<Vec<_>>()).collect()
        });
        Self {
            kinds: self.kinds.or(other.kinds),
            words: words.filter(|_| alike || !(a_text && b_text)),
            written,
            item: both((a_list, self.item), (b_list, other.item), |a, b| Arc::new((*a).clone().or((*b).clone()))),
            fields: both((a_map, self.fields), (b_map, other.fields), |a, b| Arc::new((*a).clone().or((*b).clone()))),
        }
    }

    /// What a JSON Schema promises. What it says in ways that are not followed here is taken to be anything.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        Reader { root: schema, parts: PARTS }.read(schema, 0)
    }
}

impl Fields {
    fn or(mut self, other: Self) -> Self {
        for (name, kind) in other.members {
            let joined = match self.members.remove(&name) {
                Some(own) => own.or(kind),
                None => kind,
            };
            self.members.insert(name, joined);
        }
        self.open |= other.open;
        self
    }
}

struct Reader<'s> {
    root: &'s Value,
    /// How many more are looked at.
    parts: usize,
}

impl<'s> Reader<'s> {
    fn read(&mut self, schema: &'s Value, depth: usize) -> Type {
        let Value::Object(map) = schema else { return Type::any() };
        if depth > DEPTH || self.parts == 0 {
            return Type::any();
        }
        self.parts -= 1;
        if let Some(target) = map.get("$ref") {
            let target = target.as_str().and_then(|target| target.strip_prefix('#'));
            return match target.and_then(|target| self.root.pointer(target)) {
                Some(target) => self.read(target, depth + 1),
                None => Type::any(),
            };
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(Value::Array(choices)) = map.get(key) {
                let choices: Vec<_> = choices.iter().map(|choice| self.read(choice, depth + 1)).collect();
                return choices.into_iter().reduce(Type::or).unwrap_or_else(Type::any);
            }
        }
        if ["allOf", "not", "if", "$dynamicRef"].iter().any(|key| map.contains_key(*key)) {
            return Type::any();
        }
        let mut kind = Type::of(kinds(map));
        if let Some(words) = words(map) {
            kind.words = kind.kinds.meets(Kinds::TEXT).then_some(words);
        }
        if kind.kinds.meets(Kinds::LIST)
            && let Some(items) = map.get("items")
        {
            kind.item = Some(Arc::new(self.read(items, depth + 1)));
        }
        if kind.kinds.meets(Kinds::MAP)
            && let Some(Value::Object(properties)) = map.get("properties")
        {
            let members = properties.iter().map(|(name, schema)| (name.as_str().into(), self.read(schema, depth + 1)));
            let members = members.collect();
            let other = map.get("additionalProperties").is_some_and(|other| *other != Value::Bool(false));
            kind.fields = Some(Arc::new(Fields { members, open: other || map.contains_key("patternProperties") }));
        }
        kind
    }
}

fn kinds(map: &Map<String, Value>) -> Kinds {
    let one = |word: &str| match word {
        "null" => Kinds::NULL,
        "boolean" => Kinds::BOOL,
        "number" | "integer" => Kinds::NUMBER,
        "string" => Kinds::TEXT,
        "array" => Kinds::LIST,
        "object" => Kinds::MAP,
        _ => Kinds::ANY,
    };
    let of_value = |value: &Value| match value {
        Value::Null => Kinds::NULL,
        Value::Bool(_) => Kinds::BOOL,
        Value::Number(_) => Kinds::NUMBER,
        Value::String(_) => Kinds::TEXT,
        Value::Array(_) => Kinds::LIST,
        Value::Object(_) => Kinds::MAP,
    };
    let said = match (map.get("type"), map.get("const"), map.get("enum")) {
        (Some(Value::String(word)), ..) => Some(one(word)),
        (Some(Value::Array(words)), ..) => {
            words.iter().map(|word| word.as_str().map_or(Kinds::ANY, one)).reduce(Kinds::or)
        }
        (_, Some(value), _) => Some(of_value(value)),
        (_, _, Some(Value::Array(values))) => values.iter().map(of_value).reduce(Kinds::or),
        _ if map.contains_key("properties") => Some(Kinds::MAP),
        _ => None,
    };
    said.unwrap_or(Kinds::ANY)
}

/// The texts among the values that there can be, if there are only so many.
fn words(map: &Map<String, Value>) -> Option<Arc<[Arc<str>]>> {
    let values = match (map.get("const"), map.get("enum")) {
        (Some(value), _) => std::slice::from_ref(value),
        (_, Some(Value::Array(values))) => values.as_slice(),
        _ => return None,
    };
    Some(values.iter().filter_map(Value::as_str).map(Arc::from).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_followed_as_far_as_they_are_plain() {
        let schema = json!({
            "type": "object",
            "properties": {
                "amount": {"type": "integer"},
                "currency": {"enum": ["eur", "usd", null]},
                "to": {"type": "array", "items": {"$ref": "#/$defs/mail"}},
                "either": {"anyOf": [{"type": "string"}, {"type": "number"}]},
                "extra": {"type": "object", "additionalProperties": {"type": "string"}},
                "meta": {"properties": {"a": true}, "additionalProperties": true},
                "odd": {"allOf": [{"type": "string"}]},
                "self": {"$ref": "#"},
            },
            "$defs": {"mail": {"type": "string"}},
        });
        let read = Type::of_schema(&schema);
        let fields = read.fields.unwrap();
        assert!(!fields.open);
        let of = |name: &str| &fields.members[name];
        assert_eq!(of("amount").kinds, Kinds::NUMBER);
        assert_eq!(
            (of("currency").kinds, of("currency").words.as_ref().unwrap().len()),
            (Kinds::TEXT.or(Kinds::NULL), 2)
        );
        assert_eq!(of("to").item.as_ref().unwrap().kinds, Kinds::TEXT);
        assert_eq!(of("either").kinds, Kinds::TEXT.or(Kinds::NUMBER));
        assert_eq!(of("extra").fields, None);
        assert!(of("meta").fields.as_ref().unwrap().open);
        assert_eq!(*of("odd"), Type::any());
        assert_eq!(of("self").kinds, Kinds::MAP);
        for schema in [json!(true), json!({"$ref": "https://x.example/s"}), json!({"$ref": "#/nothing"}), json!({})] {
            assert_eq!(Type::of_schema(&schema), Type::any());
        }
    }
}
