//! Which rules can concern a call: found by server and tool, so that a call meets only those.

use std::collections::HashMap;

use portcullis_base::{Class, Label};

use crate::{
    pattern::Pattern,
    request::{Facts, Target},
    rule::Rule,
    what::{Object, Place},
};

/// Rules by what they name in full. A rule that names several things is in several places.
#[derive(Debug, Default)]
pub(crate) struct Index {
    servers: HashMap<Box<str>, Slot>,
    /// Rules whose server is a star or has one, and those about toolboxes.
    anywhere: Slot,
}

#[derive(Debug, Default)]
struct Slot {
    tools: HashMap<Box<str>, Vec<usize>>,
    classes: Vec<(Class, Vec<usize>)>,
    labels: Vec<(Label, Vec<usize>)>,
    tags: HashMap<Box<str>, Vec<usize>>,
    /// Rules about everything, about prompts and resources, and those with stars.
    rest: Vec<usize>,
}

impl Index {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            for what in &rule.what {
                let slot = match &what.place {
                    Place::Server(Pattern::Exact(server)) => index.servers.entry(server.clone()).or_default(),
                    Place::Server(_) | Place::Toolbox(_) => &mut index.anywhere,
                };
                let places = match &what.object {
                    Object::Tool(Pattern::Exact(tool)) => slot.tools.entry(tool.clone()).or_default(),
                    Object::Class(class) => of(&mut slot.classes, *class),
                    Object::Label(label) => of(&mut slot.labels, *label),
                    Object::Tag(tag) => slot.tags.entry(tag.clone()).or_default(),
                    Object::Whole | Object::Tool(_) | Object::Prompt(_) | Object::Resource(_) => &mut slot.rest,
                };
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        index
    }

    /// The places of all rules that can concern `facts`, some more than once, in no order.
    pub(crate) fn candidates<'i>(&'i self, facts: &'i Facts<'_>) -> impl Iterator<Item = usize> + 'i {
        let (risk, labels, tags) = (facts.risk(), facts.labels, facts.tags);
        let of = move |slot: &'i Slot| {
            let named = match facts.target {
                Target::Tool(name) if !slot.tools.is_empty() => slot.tools.get(name),
                _ => None,
            };
            let classes = slot.classes.iter().filter(move |(class, _)| risk.contains(*class)).flat_map(|(_, all)| all);
            let labels = slot.labels.iter().filter(move |(label, _)| labels.contains(*label)).flat_map(|(_, all)| all);
            let tags = if slot.tags.is_empty() { &[][..] } else { tags };
            let tags = tags.iter().filter_map(|tag| slot.tags.get(&**tag)).flatten();
            named.into_iter().flatten().chain(classes).chain(labels).chain(tags).chain(&slot.rest).copied()
        };
        let server = if self.servers.is_empty() { None } else { self.servers.get(facts.server.as_str()) };
        server.map(of).into_iter().flatten().chain(of(&self.anywhere))
    }
}

/// The places for `key`, which is one of a few.
fn of<K: PartialEq>(all: &mut Vec<(K, Vec<usize>)>, key: K) -> &mut Vec<usize> {
    let at = all.iter().position(|(known, _)| *known == key).unwrap_or(all.len());
    if at == all.len() {
        all.push((key, Vec::new()));
    }
    &mut all[at].1
}
