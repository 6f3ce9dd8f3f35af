//! A call's arguments as a CEL value: read strictly, and not more than a condition may be given.

use std::{cell::Cell, collections::HashMap, fmt, sync::Arc};

use super::cost::Size;
use cel::{Value, objects::Key};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The most bytes that conditions are judged on.
const BYTES: usize = 64 << 10;
/// The most values in them.
const MEMBERS: u64 = 20_000;
/// The deepest they nest.
const DEPTH: usize = 64;

/// Arguments, and how large they are.
pub(super) struct Arguments {
    pub(super) value: Value,
    pub(super) size: Size,
}

/// Why there is no value.
#[derive(Debug)]
pub(super) enum ArgumentsError {
    /// They are no JSON object.
    Unreadable(&'static str),
    /// They are more than conditions are judged on.
    TooLarge(&'static str),
}

impl Arguments {
    /// Reads the raw JSON text.
    ///
    /// spec: T-57, T-60: what the upstream could read in another way than we do is not judged at all.
    pub(super) fn read(text: &str) -> Result<Self, ArgumentsError> {
        if text.len() > BYTES {
            return Err(ArgumentsError::TooLarge("the arguments are larger than conditions are judged on"));
        }
        let budget = Budget { members: Cell::new(MEMBERS), exceeded: Cell::new(false) };
        let mut reader = serde_json::Deserializer::from_str(text);
        let read =
            Read { budget: &budget, depth: 0 }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        match read {
            Ok(value @ Value::Map(_)) => {
                // The object itself is one more, and so that nothing is free, each weighs some bytes.
                let items = MEMBERS - budget.members.get() + 1;
                Ok(Self { value, size: Size { bytes: text.len() as u64 + 8 * items, items } })
            }
            Ok(_) => Err(ArgumentsError::Unreadable("its arguments are not an object")),
            Err(_) if budget.exceeded.get() => {
                Err(ArgumentsError::TooLarge("the arguments hold more values than conditions are judged on"))
            }
            Err(_) => Err(ArgumentsError::Unreadable("its arguments are not valid JSON")),
        }
    }
}

struct Budget {
    members: Cell<u64>,
    exceeded: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Read<'b> {
    budget: &'b Budget,
    depth: usize,
}

impl Read<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let left = self.budget.members.get();
        if left == 0 || self.depth >= DEPTH {
            self.budget.exceeded.set(true);
            return Err(E::custom("too large"));
        }
        self.budget.members.set(left - 1);
        Ok(Self { budget: self.budget, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Read<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::UInt(value), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.deeper()?)? {
            list.push(item);
        }
        Ok(Value::List(Arc::new(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = HashMap::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self.deeper()?)?;
            if map.insert(Key::from(name), value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Map(map.into()))
    }
}
