//! Who may see a server at all: the `access` list of its settings.

use std::sync::Arc;

use serde::Deserialize;

/// The access list of one server. Empty: nobody.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Access {
    /// Its entries; one that matches is enough.
    pub entries: Vec<AccessEntry>,
}

/// One entry: a group, and the classes of calls that it may make or must ask for.
///
/// Membership alone decides until tools have risk classes; the two lists are kept for then.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessEntry {
    /// The group; `*` is everybody who is signed in.
    pub group: Arc<str>,
    /// Classes that are allowed.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Classes that wait for a human.
    #[serde(default)]
    pub ask: Vec<String>,
}

impl Default for Access {
    fn default() -> Self {
        let everybody = AccessEntry { group: "*".into(), allow: Vec::new(), ask: Vec::new() };
        Self { entries: vec![everybody] }
    }
}

impl Access {
    /// Whether a member of `groups` may see the server.
    pub fn admits(&self, groups: &[Arc<str>]) -> bool {
        self.entries.iter().any(|entry| &*entry.group == "*" || groups.contains(&entry.group))
    }
}
