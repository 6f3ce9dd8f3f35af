//! Who may use a server, as its entry in the database has it.

use portcullis_base::Classes;
use portcullis_policy::AccessEntry;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A group that may use a server, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Granted {
    /// Its members read; everything else asks.
    Safely(String),
    /// Its members do what is named.
    Named {
        /// The group.
        group: String,
        /// What they may do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allow: Option<Named>,
        /// What asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ask: Option<Named>,
    },
}

/// A list of classes by their names, or a star for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named(pub Classes);

impl Granted {
    /// The group.
    pub fn group(&self) -> &str {
        match self {
            Self::Safely(group) | Self::Named { group, .. } => group,
        }
    }

    /// The entry of the access list.
    pub(super) fn entry(&self) -> AccessEntry {
        match self {
            Self::Safely(group) => AccessEntry::safe(group.as_str()),
            Self::Named { group, allow, ask } => {
                AccessEntry::of(group.as_str(), allow.map(|named| named.0), ask.map(|named| named.0))
            }
        }
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        let classes = words.iter().try_fold(Classes::NONE, |all, word| {
            AccessEntry::classes(word).map(|classes| all.or(classes)).map_err(|error| D::Error::custom(error.message))
        });
        classes.map(Self)
    }
}
