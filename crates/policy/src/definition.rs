//! Tools as their servers define them, as far as rules need to know.

use std::{collections::BTreeMap, sync::Arc};

use portcullis_base::{Classes, Labels, ServerName};

use crate::kinds::Type;

/// The tools of all servers, as far as they are known.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    pub(crate) servers: BTreeMap<ServerName, Option<BTreeMap<Box<str>, Definition>>>,
}

/// What is known of a tool.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its classes.
    pub classes: Classes,
    /// Its labels.
    pub labels: Labels,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
    pub(crate) arguments: Type,
}

impl Definition {
    /// A tool with an `inputSchema`, as raw JSON.
    pub fn new(schema: &str) -> Self {
        let arguments = serde_json::from_str(schema).map_or_else(|_| Type::any(), |schema| Type::of_schema(&schema));
        Self { classes: Classes::NONE, labels: Labels::NONE, tags: Vec::new(), arguments }
    }
}

impl Definitions {
    /// A server whose tools are not known, unless they are.
    pub fn server(&mut self, name: ServerName) {
        self.servers.entry(name).or_default();
    }

    /// A tool of a server, and with it all others that are told: what is not told of this server is not there.
    pub fn tool(&mut self, server: ServerName, name: &str, definition: Definition) {
        self.servers.entry(server).or_default().get_or_insert_default().insert(name.into(), definition);
    }
}
