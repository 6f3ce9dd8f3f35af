//! Facts about this installation, each written once: such as the check value of its root key.

use crate::{
    Store, StoreError,
    db::{params, transact},
};

impl Store {
    /// The value under `key`.
    pub async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let row = self.db.query_first("select meta_value from meta where meta_key = $1", &params![key]).await?;
        row.map(|mut row| row.take()).transpose()
    }

    /// Writes `value` under `key` unless something is there; what is there now.
    pub async fn claim_meta(&self, key: &str, value: &str) -> Result<String, StoreError> {
        transact!(self.db, |tx| {
            tx.execute(
                "insert into meta (meta_key, meta_value) values ($1, $2) on conflict (meta_key) do nothing",
                &params![key, value],
            )
            .await?;
            let row = tx.query_first("select meta_value from meta where meta_key = $1", &params![key]).await?;
            row.ok_or(StoreError::Conflict)?.take()
        })
    }
}
