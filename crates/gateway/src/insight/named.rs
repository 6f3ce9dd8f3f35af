//! What people and clients in the numbers are called.

use std::collections::{BTreeSet, HashMap};

use portcullis_base::{ClientId, PersonId};
use portcullis_store::{Store, StoreError, Thing, UnusedKind};

use super::{Insight, Strange};

/// Notices whose people and clients get their names.
const NOTICES: usize = 100;

/// Names by identifiers.
#[derive(Default)]
pub struct Named {
    people: HashMap<String, String>,
    clients: HashMap<String, String>,
}

impl Named {
    /// The names of all who are in these numbers. Whoever is gone has none.
    pub async fn of(store: &Store, insight: &Insight) -> Result<Self, StoreError> {
        let mut people: BTreeSet<&str> = insight.people.iter().map(|top| top.name.as_str()).collect();
        let mut clients: BTreeSet<&str> = insight.clients.iter().map(|top| top.name.as_str()).collect();
        for notice in insight.notices.iter().take(NOTICES) {
            people.insert(&notice.person);
            if let Strange::New { thing: Thing::Client, names, .. } = &notice.what {
                clients.extend(names.iter().map(String::as_str));
            }
        }
        for unused in &insight.unused {
            people.insert(&unused.person);
            if unused.kind == UnusedKind::Client {
                clients.insert(&unused.name);
            }
        }
        let mut named = Self::default();
        for id in people {
            if let Some(person) = store.person(&PersonId::new(id)).await? {
                named.people.insert(id.to_owned(), person.name);
            }
        }
        for id in clients {
            if let Some(name) =
                store.client(&ClientId::new(id)).await?.and_then(|known| known.client.metadata.client_name)
            {
                named.clients.insert(id.to_owned(), name);
            }
        }
        Ok(named)
    }

    /// What somebody is called; the identifier if that is not known.
    pub fn person<'a>(&'a self, id: &'a str) -> &'a str {
        self.people.get(id).map_or(id, String::as_str)
    }

    /// What a client calls itself; the identifier if that is not known.
    pub fn client<'a>(&'a self, id: &'a str) -> &'a str {
        self.clients.get(id).map_or(id, String::as_str)
    }
}
