//! Consents that a person asked to be remembered.
//!
//! spec: T-6, AS-131: looked up by a digest over everything the consent was for; a cookie has no say in it.

use portcullis_base::{ClientId, PersonId, Timestamp};
use portcullis_oauth::consent::ConsentKey;

use crate::{
    Store, StoreError,
    db::{Tx, params, transact},
};

impl Store {
    /// Whether exactly this was consented to and remembered.
    pub async fn is_consent_remembered(&self, key: &ConsentKey) -> Result<bool, StoreError> {
        Ok(!self.db.query("select 1 from consents where hash = $1", &params![&key.digest()]).await?.is_empty())
    }

    /// Forgets what a person consented to for a client; how many consents that were.
    pub async fn forget_consents(&self, person: &PersonId, client: &ClientId) -> Result<u64, StoreError> {
        transact!(self.db, |tx| {
            tx.execute("delete from consents where person = $1 and client = $2", &params![person, client]).await
        })
    }
}

pub(crate) async fn remember(tx: &mut Tx, key: &ConsentKey, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "insert into consents (hash, person, client, created_at) values ($1, $2, $3, $4) on conflict (hash) do nothing",
        &params![&key.digest(), &key.person, &key.client, now],
    )
    .await
    .map(drop)
}

/// spec: AS-116, T-25: also drops consents that a client which changes back would find again.
pub(crate) async fn forget_client(tx: &mut Tx, client: &ClientId) -> Result<(), StoreError> {
    tx.execute("delete from consents where client = $1", &params![client]).await.map(drop)
}
