//! Identifiers that may be used once: consent pages, client assertions.

use portcullis_base::{Digest, Timestamp};

use crate::{
    Store, StoreError,
    db::{Tx, params, transact},
};

impl Store {
    /// Whether an identifier was spent: for what is spent only after all that it stands for is done.
    pub async fn is_spent(&self, id: &str) -> Result<bool, StoreError> {
        let hash = Digest::of(id.as_bytes());
        Ok(self.db.query_first("select 1 from spent where hash = $1", &params![&hash]).await?.is_some())
    }

    /// Spends an identifier; `false` if it was spent before. Remembered until `expires_at`, when its bearer is refused for
    /// its age anyway. For identifiers that a client chooses, the caller puts the client's identifier in front.
    ///
    /// spec: AS-63
    pub async fn spend(&self, id: &str, expires_at: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| spend(tx, id, expires_at).await)
    }
}

/// Stored as a digest: the identifier may be long.
pub(crate) async fn spend(tx: &mut Tx, id: &str, expires_at: Timestamp) -> Result<bool, StoreError> {
    let hash = Digest::of(id.as_bytes());
    let spent = tx
        .execute(
            "insert into spent (hash, expires_at) values ($1, $2) on conflict (hash) do nothing",
            &params![&hash, expires_at],
        )
        .await?;
    Ok(spent == 1)
}
