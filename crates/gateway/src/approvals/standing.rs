//! What was approved ahead, in memory, so that a call that needs nobody's word costs nothing.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use portcullis_base::{PersonId, StandingGrantId, Timestamp};
use portcullis_policy::{Target, approval::Standing};
use portcullis_store::{Store, StoreError};

use super::Wanted;

/// Everything that was approved ahead and is alive.
#[derive(Default)]
pub(super) struct StandingGrants(RwLock<HashMap<PersonId, Vec<Standing>>>);

impl StandingGrants {
    /// Loads them.
    pub(super) async fn load(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let mut all: HashMap<PersonId, Vec<Standing>> = HashMap::new();
        for row in store.standing_grants_alive(now).await? {
            all.entry(row.standing.person.clone()).or_default().push(row.standing);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }

    /// Those that may cover a call.
    pub(super) fn candidates(&self, wanted: &Wanted<'_>, now: Timestamp) -> Vec<Standing> {
        let Target::Tool(tool) = wanted.target else { return Vec::new() };
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let own = all.get(wanted.person).map_or(&[][..], Vec::as_slice);
        let fits = |one: &&Standing| {
            one.server == *wanted.server && *one.tool == *tool && one.client == *wanted.client && now < one.ends_at
        };
        own.iter().filter(fits).cloned().collect()
    }

    /// One of them is used up or gone.
    pub(super) fn forget(&self, id: &StandingGrantId) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for own in all.values_mut() {
            own.retain(|one| one.id != *id);
        }
    }
}
