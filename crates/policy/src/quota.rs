//! Limits over time: what is counted, for whom, and how much of it.

mod claim;
mod counter;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    claim::{Claim, Unclaimable},
    counter::{Counter, Exhausted, Limit, Reservation},
};
use crate::{amount::Amount, path::Path, seconds};

/// Whose calls are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Each person's.
    Person,
    /// Each client's.
    Client,
    /// Those of each server.
    Server,
    /// Those of each tool of each server.
    Tool,
    /// Those of each class, by the gravest of a tool.
    Class,
    /// Those with the same arguments, however they are written: a program that loops.
    Arguments,
    /// All that the rule concerns.
    Rule,
}

impl Per {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Person, Self::Client, Self::Server, Self::Tool, Self::Class, Self::Arguments, Self::Rule];

    /// As it stands in rules and keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Client => "client",
            Self::Server => "server",
            Self::Tool => "tool",
            Self::Class => "class",
            Self::Arguments => "arguments",
            Self::Rule => "rule",
        }
    }

    /// The one called `word`.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|per| per.as_str() == word)
    }
}

/// A limit that a rule puts on calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// The rule.
    pub rule: Arc<str>,
    /// Which of the rule's limits, from 0.
    pub place: u32,
    /// What is counted apart, in a fixed order, none of them twice.
    pub per: Box<[Per]>,
    /// Over which time; always there if `calls` or `sum` is.
    #[serde(with = "optional_seconds", rename = "window_seconds")]
    pub window: Option<Duration>,
    /// How many calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// How much of an argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<Sum>,
    /// How many calls at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
}

/// How much of an argument may be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// The argument.
    pub of: Path,
    /// The most of it.
    pub most: Amount,
    /// The argument that names its unit, such as a currency: each is counted apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Path>,
}

mod optional_seconds {
    use super::{Duration, seconds};
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands it over like that")]
    pub(super) fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => seconds::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_secs))
    }
}
