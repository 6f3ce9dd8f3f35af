//! Lines of a YAML text: found by reading it again and stopping where the fault is, which works for every way in which
//! YAML can be written.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A step from a value to one in it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'s> {
    /// An item of a list, from 0.
    Item(usize),
    /// A member of a map; as the last step, its name rather than its value.
    Member(&'s str),
}

/// A text that is a list, and where its items begin: so that the line of something in an item is found by reading that
/// item again and not the whole.
pub(crate) struct Places<'t> {
    text: &'t str,
    /// Bytes and lines of where the items begin; empty if that is not plain to see.
    items: Vec<(usize, usize)>,
}

impl<'t> Places<'t> {
    /// For `text`, which is a list of so many items.
    pub(crate) fn new(text: &'t str, count: usize) -> Self {
        let mut items = Vec::with_capacity(count);
        let (mut at, mut indent) = (0, None);
        for (line, content) in text.split_inclusive('\n').enumerate() {
            let inner = content.trim_start_matches(' ');
            let depth = content.len() - inner.len();
            if inner.starts_with("- ") || inner.trim_end() == "-" {
                let first = *indent.get_or_insert(depth);
                items.extend((first == depth).then_some((at, line)));
            }
            at += content.len();
        }
        if items.len() != count {
            items.clear();
        }
        Self { text, items }
    }

    /// The line, from 1, of what `steps` lead to from an item.
    pub(crate) fn line(&self, item: usize, steps: &[Step<'_>]) -> usize {
        let all = |first| std::iter::once(Step::Item(first)).chain(steps.iter().copied()).collect::<Vec<_>>();
        if let Some((start, line)) = self.items.get(item) {
            let end = self.items.get(item + 1).map_or(self.text.len(), |(start, _)| *start);
            // An item that uses an alias of another one cannot be read by itself.
            if let Some(found) = find(&self.text[*start..end], &all(0)) {
                return line + found;
            }
        }
        line_of(self.text, &all(item))
    }
}

/// The line, from 1, of what `steps` lead to; of the nearest place on the way if they lead nowhere.
pub(crate) fn line_of(text: &str, steps: &[Step<'_>]) -> usize {
    find(text, steps).unwrap_or(1)
}

/// The same; `None` if the text cannot be read.
fn find(text: &str, steps: &[Step<'_>]) -> Option<usize> {
    for length in (0..=steps.len()).rev() {
        let stopped = Seek { steps: &steps[..length] }.deserialize(yaml_serde::Deserializer::from_str(text)).err()?;
        let said = stopped.to_string();
        if said.contains(HERE) {
            return stopped.location().map(|at| at.line());
        } else if !said.contains(NOTHING) {
            return None;
        }
    }
    None
}

const HERE: &str = "this is the place";
const NOTHING: &str = "nothing there";

#[derive(Clone, Copy)]
struct Seek<'s> {
    steps: &'s [Step<'s>],
}

impl Seek<'_> {
    fn here<T, E: Error>(self) -> Result<T, E> {
        Err(E::custom(if self.steps.is_empty() { HERE } else { NOTHING }))
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.here()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.here()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.here()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.here()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.here()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.here()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), rest)) = self.steps.split_first() else { return self.here() };
        for _ in 0..*wanted {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return self.here();
            }
        }
        items.next_element_seed(Seek { steps: rest })?;
        self.here()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Some((Step::Member(wanted), rest)) = self.steps.split_first() else { return self.here() };
        while let Some(found) = members.next_key_seed(Name { wanted, last: rest.is_empty() })? {
            if found {
                members.next_value_seed(Seek { steps: rest })?;
                return self.here();
            }
            members.next_value::<IgnoredAny>()?;
        }
        self.here()
    }
}

/// Reads a member's name; stops there if it is the wanted one and the last step.
struct Name<'s> {
    wanted: &'s str,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_any(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        match (name == self.wanted, self.last) {
            (true, true) => Err(E::custom(HERE)),
            (found, _) => Ok(found),
        }
    }

    fn visit_bool<E: Error>(self, name: bool) -> Result<bool, E> {
        self.visit_str(&name.to_string())
    }

    fn visit_i64<E: Error>(self, name: i64) -> Result<bool, E> {
        self.visit_str(&name.to_string())
    }

    fn visit_u64<E: Error>(self, name: u64) -> Result<bool, E> {
        self.visit_str(&name.to_string())
    }

    fn visit_f64<E: Error>(self, name: f64) -> Result<bool, E> {
        self.visit_str(&name.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Step::{Item, Member},
        *,
    };

    #[test]
    fn lines_are_found_in_block_and_flow_style() {
        let text = "# rules\n- rule: a\n  who: ['*']\n\n- rule: b\n  who:\n    - person:x\n    - grp:y\n  then:\n    deny\n- {rule: c,\n   who: ['*'],\n   thn: deny}\n";
        for (steps, line) in [
            (&[Item(0), Member("rule")][..], 2),
            (&[Item(1)], 5),
            (&[Item(1), Member("who")], 6),
            (&[Item(1), Member("who"), Item(1)], 8),
            (&[Item(2), Member("thn")], 13),
            (&[Item(2), Member("nothing")], 11),
            (&[], 2),
        ] {
            assert_eq!(line_of(text, steps), line, "{steps:?}");
            if let [Item(item), rest @ ..] = steps {
                for places in [Places::new(text, 3), Places::new(text, 4)] {
                    assert_eq!(places.line(*item, rest), line, "{steps:?} of {} items", places.items.len());
                }
            }
        }
        let aliased = "- &a [x]\n- [*a,\n  {y: *a}]\n";
        assert_eq!(Places::new(aliased, 2).line(1, &[Item(1), Member("y")]), 3);
        let inner = "# c\n  - - a\n    - b\n  -\n    - c\n";
        assert_eq!(Places::new(inner, 2).items, [(4, 1), (20, 3)]);
        assert_eq!(Places::new(inner, 2).line(1, &[Item(0)]), 5);
    }
}
