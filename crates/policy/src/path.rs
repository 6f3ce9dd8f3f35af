//! The way to a value in JSON: `amount`, `items[*].price`, `to[0]`, `meta["a b"]`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

use crate::source::Misread;

/// The most steps.
const STEPS: usize = 16;
/// The longest text.
const LENGTH: usize = 256;

/// A way to values, from an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(Box<[PathStep]>);

/// One step of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathStep {
    /// Into the member of this name.
    Member(Box<str>),
    /// Into the item at this place, from 0.
    Item(usize),
    /// Into every item.
    Each,
}

/// What is at a path cannot be said: the text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

impl Path {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, Misread> {
        let wrong = || Misread::new(format!("\"{text}\" is no path; write it as amount, items[*].price or to[0]"));
        if text.is_empty() || text.len() > LENGTH {
            return Err(wrong());
        }
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix("[\"") {
                let (name, after) = inside.split_once("\"]").ok_or_else(wrong)?;
                steps.push(PathStep::Member(name.into()));
                rest = after;
            } else if let Some(inside) = rest.strip_prefix('[') {
                let (place, after) = inside.split_once(']').ok_or_else(wrong)?;
                let step = if place == "*" { Some(PathStep::Each) } else { place.parse().ok().map(PathStep::Item) };
                // A path begins with a member: arguments and results are objects.
                steps.push(step.filter(|_| !steps.is_empty()).ok_or_else(wrong)?);
                rest = after;
            } else {
                let name = if steps.is_empty() { rest } else { rest.strip_prefix('.').ok_or_else(wrong)? };
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let (name, after) = name.split_at(end);
                let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@');
                if name.is_empty() || !name.chars().all(plain) {
                    return Err(wrong());
                }
                steps.push(PathStep::Member(name.into()));
                rest = after;
            }
        }
        if steps.len() > STEPS {
            return Err(Misread::new(format!("\"{text}\" has more than {STEPS} steps")));
        }
        Ok(Self(steps.into()))
    }

    /// Its steps, at least one.
    pub fn steps(&self) -> &[PathStep] {
        &self.0
    }

    /// The raw texts of all values in `json` that it leads to.
    pub fn find<'j>(&self, json: &'j str) -> Result<Vec<&'j str>, NotJson> {
        let mut found = Vec::new();
        find(&self.0, json.trim(), &mut found)?;
        Ok(found)
    }
}

fn find<'j>(steps: &[PathStep], json: &'j str, found: &mut Vec<&'j str>) -> Result<(), NotJson> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(json);
        return Ok(());
    };
    match step {
        PathStep::Member(name) if json.starts_with('{') => {
            let members: Members<'j> = serde_json::from_str(json).map_err(|_| NotJson)?;
            members
                .0
                .iter()
                .filter(|(member, _)| **member == **name)
                .try_for_each(|(_, value)| find(rest, value, found))
        }
        PathStep::Item(_) | PathStep::Each if json.starts_with('[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| NotJson)?;
            let wanted = |at: usize| matches!(step, PathStep::Each) || *step == PathStep::Item(at);
            let mut items = items.iter().enumerate().filter(|(at, _)| wanted(*at));
            items.try_for_each(|(_, item)| find(rest, item.get(), found))
        }
        _ => Ok(()),
    }
}

/// The members of an object in their order, each with its raw text.
struct Members<'j>(Vec<(String, &'j str)>);

impl<'j> Deserialize<'j> for Members<'j> {
    fn deserialize<D: Deserializer<'j>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'j> serde::de::Visitor<'j> for Reader {
            type Value = Members<'j>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'j>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'j RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Reader)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Member(name) if name.contains(|c: char| !c.is_alphanumeric() && !"_-$@".contains(c)) => {
                    write!(f, "[\"{name}\"]")?;
                }
                PathStep::Member(name) if at == 0 => f.write_str(name)?,
                PathStep::Member(name) => write!(f, ".{name}")?,
                PathStep::Item(place) => write!(f, "[{place}]")?,
                PathStep::Each => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_raw_texts() {
        let json = r#" {"amount":1.50,"items":[{"price":2e1},{"price":"x"},{}],"to":["a","b"],"a.b":{"c":null}} "#;
        for (path, found) in [
            ("amount", &["1.50"][..]),
            ("items[*].price", &["2e1", "\"x\""]),
            ("items[1].price", &["\"x\""]),
            ("to[0]", &["\"a\""]),
            ("[\"a.b\"].c", &["null"]),
            ("amount.x", &[]),
            ("nothing", &[]),
            ("to[9]", &[]),
        ] {
            let parsed = Path::parse(path).unwrap();
            assert_eq!(parsed.find(json).unwrap(), found, "{path}");
            assert_eq!(parsed.to_string(), path);
        }
        assert_eq!(Path::parse("a").unwrap().find("{\"a\":"), Err(NotJson));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "a..b", ".a", "a.", "[0]", "[*].a", "a[", "a[x]", "a[\"x]", "a b", &"a.".repeat(200), "a/b"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
        let long = vec!["a"; STEPS + 1].join(".");
        assert!(Path::parse(&long).is_err() && Path::parse(&long[2..]).is_ok());
    }
}
