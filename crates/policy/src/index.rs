//! Which rules can concern a call: found by server and tool, so that a call meets only those.

use std::collections::HashMap;

use crate::{
    request::{Facts, Target},
    rule::{Object, Pattern, Rule},
};

/// Rules by what they name in full. A rule that names several things is in several places.
#[derive(Debug, Default)]
pub(crate) struct Index {
    servers: HashMap<Box<str>, Slot>,
    /// Rules whose server is a star or has one.
    anywhere: Slot,
}

#[derive(Debug, Default)]
struct Slot {
    tools: HashMap<Box<str>, Vec<usize>>,
    /// Rules about everything, about prompts and resources, and those with stars.
    rest: Vec<usize>,
}

impl Index {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            for what in &rule.what {
                let slot = match &what.server {
                    Pattern::Exact(server) => index.servers.entry(server.clone()).or_default(),
                    Pattern::Any | Pattern::Glob(_) => &mut index.anywhere,
                };
                let places = match &what.object {
                    Object::Tool(Pattern::Exact(tool)) => slot.tools.entry(tool.clone()).or_default(),
                    _ => &mut slot.rest,
                };
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        index
    }

    /// The places of all rules that can concern `facts`, some more than once, in no order.
    pub(crate) fn candidates<'i>(&'i self, facts: &Facts<'_>) -> impl Iterator<Item = usize> + 'i {
        let of = |slot: &'i Slot| {
            let named = match facts.target {
                Target::Tool(name) if !slot.tools.is_empty() => slot.tools.get(name),
                _ => None,
            };
            named.into_iter().flatten().chain(&slot.rest).copied()
        };
        let server = if self.servers.is_empty() { None } else { self.servers.get(facts.server.as_str()) };
        server.map(of).into_iter().flatten().chain(of(&self.anywhere))
    }
}
