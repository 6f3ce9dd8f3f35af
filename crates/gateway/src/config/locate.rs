//! Where in a YAML text a key stands.
//!
//! The YAML reader keeps places only for its errors, so the place of a key is found by reading the text again and
//! failing on purpose at that key. It is exact for every style of YAML, and only paid for when a place is shown.

use std::{collections::BTreeSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use yaml_serde::Value;

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    /// A key of a mapping.
    Key(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// A way into a document.
pub(super) type Path = Vec<Step>;

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub line: usize,
    pub column: usize,
}

/// A path as people write it: `servers[1].url`.
pub(super) fn show(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Key(key) if out.is_empty() => out.push_str(key),
            Step::Key(key) => {
                out.push('.');
                out.push_str(key);
            }
            Step::Index(index) => out.extend([String::from("["), index.to_string(), String::from("]")]),
        }
    }
    out
}

/// The place of the key or item at `path`; of its nearest enclosing one that exists otherwise.
pub(super) fn locate(text: &str, path: &[Step]) -> Option<Position> {
    (1..=path.len()).rev().find_map(|len| {
        let seed = Descend { path: &path[..len] };
        let error = seed.deserialize(yaml_serde::Deserializer::from_str(text)).err()?;
        let found = error.to_string().contains(MARK);
        error.location().filter(|_| found).map(|at| Position { line: at.line(), column: at.column() })
    })
}

/// The place of the first key that stands twice in one mapping.
pub(super) fn duplicate(text: &str) -> Option<Position> {
    let error = Unique.deserialize(yaml_serde::Deserializer::from_str(text)).err()?;
    let found = error.to_string().contains(MARK);
    error.location().filter(|_| found).map(|at| Position { line: at.line(), column: at.column() })
}

const MARK: &str = "\u{1}here\u{1}";

/// Goes down `path` and fails on arrival.
struct Descend<'a> {
    path: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Descend<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Descend<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the way to a key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.path.split_first() else { return skip_map(map) };
        while let Some(found) = map.next_key_seed(KeySeed { wanted, last: rest.is_empty() })? {
            if found {
                map.next_value_seed(Descend { path: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), rest)) = self.path.split_first() else { return skip_seq(seq) };
        for _ in 0..*wanted {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        if rest.is_empty() {
            seq.next_element_seed(Fail)?;
        } else {
            seq.next_element_seed(Descend { path: rest })?;
        }
        skip_seq(seq)
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Goes everywhere and fails at a key that its mapping has already.
#[derive(Clone, Copy)]
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while map.next_key_seed(Fresh(&mut seen))?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key that must not have been seen before.
struct Fresh<'a>(&'a mut BTreeSet<String>);

impl<'de> DeserializeSeed<'de> for Fresh<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Fresh<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<(), E> {
        if self.0.insert(key.to_owned()) { Ok(()) } else { Err(E::custom(MARK)) }
    }
}

/// Whether a key is the wanted one; fails there when it is the end of the way.
struct KeySeed<'a> {
    wanted: &'a str,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        match (key == self.wanted, self.last) {
            (true, true) => Err(E::custom(MARK)),
            (found, _) => Ok(found),
        }
    }
}

/// Fails wherever it is.
struct Fail;

impl<'de> DeserializeSeed<'de> for Fail {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fail {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom(MARK))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom(MARK))
    }
    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Err(E::custom(MARK))
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Err(E::custom(MARK))
    }
    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Err(E::custom(MARK))
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Err(E::custom(MARK))
    }
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Err(E::custom(MARK))
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Err(E::custom(MARK))
    }
    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        Err(E::custom(MARK))
    }
}

/// The value at `path`.
pub(super) fn at<'v>(value: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match (value, step) {
        (Value::Mapping(map), Step::Key(key)) => map.get(key.as_str()),
        (Value::Sequence(list), Step::Index(index)) => list.get(*index),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Step {
        Step::Key(name.into())
    }

    #[test]
    fn keys_are_found_in_every_style_of_yaml() {
        let text = "# head\nlisten: x\nservers:\n  - name: a\n    url: >\n      long\n  - { name: b,\n      url: c }\n\"audit\": {durability: power}\nempty:\n";
        let line = |path: &[Step]| locate(text, path).map(|at| (at.line, at.column));
        assert_eq!(line(&[key("listen")]), Some((2, 1)));
        assert_eq!(line(&[key("servers"), Step::Index(0), key("url")]), Some((5, 5)));
        assert_eq!(line(&[key("servers"), Step::Index(1)]), Some((7, 5)));
        assert_eq!(line(&[key("servers"), Step::Index(1), key("url")]), Some((8, 7)));
        assert_eq!(line(&[key("audit"), key("durability")]), Some((9, 11)));
        assert_eq!(line(&[key("empty")]), Some((10, 1)));
    }

    #[test]
    fn second_of_two_equal_keys_is_found() {
        let line = |text| duplicate(text).map(|at| at.line);
        assert_eq!(line("a: 1\nb:\n  - {c: 1}\n  - c: 1\n    d: 2\n    c: 3\n"), Some(6));
        assert_eq!(line("a: 1\nb: {a: 1}\nA: 2\n"), None);
    }

    #[test]
    fn missing_key_is_placed_at_what_encloses_it() {
        let text = "a:\n  b: 1\nlist:\n  - x: 1\n";
        let line = |path: &[Step]| locate(text, path).map(|at| at.line);
        assert_eq!(line(&[key("a"), key("missing")]), Some(1));
        assert_eq!(line(&[key("list"), Step::Index(0), key("url")]), Some(4));
        assert_eq!(line(&[key("none")]), None);
        assert_eq!(line(&[key("a"), key("b"), key("deeper")]), Some(2));
    }
}
