//! What servers of toolboxes listed a moment ago, for each caller: so that a call finds its tool without another list, a
//! second page continues the first, and a server that does not answer is shown as it was (BR-97).

use std::sync::Arc;

use portcullis_base::{ClientId, Digest, Holder, PersonId, ServerName};
use portcullis_mcp::{Method, ranking::Index};
use quick_cache::{Weighter, sync::Cache};
use tokio::time::Instant;

/// Bytes of lists that are kept.
const BYTES: u64 = 64 << 20;
/// Lists that are kept, about.
const LISTS: usize = 4096;
/// Indexes for searching that are kept.
const INDEXES: usize = 16;

/// Something that servers list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl Kind {
    pub(super) fn of(method: Method) -> Self {
        match method {
            Method::PromptsList => Self::Prompts,
            Method::ResourcesList => Self::Resources,
            Method::ResourceTemplatesList => Self::Templates,
            _ => Self::Tools,
        }
    }

    pub(super) fn method(self) -> Method {
        match self {
            Self::Tools => Method::ToolsList,
            Self::Prompts => Method::PromptsList,
            Self::Resources => Method::ResourcesList,
            Self::Templates => Method::ResourceTemplatesList,
        }
    }

    /// The member of the result that has the list.
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of an item that tells it from others.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }
}

/// Whose list of what.
// spec: BR-92, BR-94: another person, another client, other capabilities: another list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub server: ServerName,
    pub person: PersonId,
    pub client: ClientId,
    pub capabilities: Digest,
    pub kind: Kind,
}

/// What a list was made with; with something else it is another list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Basis {
    /// The connection at the server, and its version.
    pub connection: Option<(Holder, i64)>,
    /// The settings, people and rules.
    pub revision: i64,
}

/// One server's list, read to its end.
pub(super) struct List {
    pub basis: Basis,
    pub items: Vec<Item>,
    pub ttl: u64,
    pub public: bool,
    /// It was cut, because it had no end.
    pub cut: bool,
    pub at: Instant,
    bytes: u64,
}

/// One item as its server has it.
pub(super) struct Item {
    pub name: Box<str>,
    pub raw: Box<str>,
}

impl List {
    pub(super) fn new(basis: Basis, items: Vec<Item>, (ttl, public): (u64, bool), cut: bool) -> Self {
        let bytes = items.iter().map(|item| (item.name.len() + item.raw.len() + size_of::<Item>()) as u64).sum();
        Self { basis, items, ttl, public, cut, at: Instant::now(), bytes }
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<List>> for Weight {
    fn weight(&self, _: &Key, list: &Arc<List>) -> u64 {
        list.bytes + size_of::<Key>() as u64 + 256
    }
}

/// The lists that are kept.
pub(in crate::proxy) struct Shelf {
    lists: Cache<Key, Arc<List>, Weight>,
    indexes: Cache<Digest, Arc<Index>>,
}

impl Shelf {
    pub(in crate::proxy) fn new() -> Self {
        Self { lists: Cache::with_weighter(LISTS, BYTES, Weight), indexes: Cache::new(INDEXES) }
    }

    pub(super) fn put(&self, key: Key, list: Arc<List>) {
        self.lists.insert(key, list);
    }

    /// The list as it was last seen.
    pub(super) fn last(&self, key: &Key) -> Option<Arc<List>> {
        self.lists.get(key)
    }

    /// The index of these definitions, made once.
    pub(super) fn index<'d>(&self, definitions: impl Iterator<Item = &'d str> + Clone) -> Arc<Index> {
        let all: Vec<&str> = definitions.clone().collect();
        let digest = Digest::of(all.join("\n").as_bytes());
        if let Some(known) = self.indexes.get(&digest) {
            return known;
        }
        let index = Arc::new(Index::new(definitions));
        self.indexes.insert(digest, index.clone());
        index
    }
}
