//! Names of people and clients, for pages.

use std::collections::HashMap;

use portcullis_base::{ClientId, PersonId};
use portcullis_store::StoreError;

use crate::app::App;

/// Names of people and clients, each looked up once.
#[derive(Default)]
pub struct Names {
    people: HashMap<PersonId, String>,
    clients: HashMap<ClientId, String>,
}

impl Names {
    /// What somebody is called.
    pub async fn person(&mut self, app: &App, id: &PersonId) -> Result<String, StoreError> {
        if let Some(name) = self.people.get(id) {
            return Ok(name.clone());
        }
        let found = app.store.person(id).await?;
        let name = found.map_or_else(|| id.as_str().to_owned(), |person| person.name);
        self.people.insert(id.clone(), name.clone());
        Ok(name)
    }

    /// What a client calls itself.
    pub async fn client(&mut self, app: &App, id: &ClientId) -> Result<String, StoreError> {
        if let Some(name) = self.clients.get(id) {
            return Ok(name.clone());
        }
        let found = app.store.client(id).await?.and_then(|known| known.client.metadata.client_name);
        let name = found.unwrap_or_else(|| id.as_str().to_owned());
        self.clients.insert(id.clone(), name.clone());
        Ok(name)
    }
}
