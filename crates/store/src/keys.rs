//! Signing keys: public halves as JWK, private halves sealed by the caller before they come here (spec: T-44).

use portcullis_base::Timestamp;

use crate::{
    ChangeKind, Store, StoreError,
    db::{Row, params, transact},
};

/// A signing key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// Its key id.
    pub kid: String,
    /// The sealed private key.
    pub sealed: Vec<u8>,
    /// The public key as JWK.
    pub public_jwk: String,
    /// From when on it signs.
    pub activates_at: Timestamp,
    /// From when on nothing it signed is accepted and it is no longer published.
    pub retires_at: Timestamp,
}

impl Store {
    /// The keys that are not retired, the oldest first.
    pub async fn signing_keys(&self, now: Timestamp) -> Result<Vec<SigningKeyRow>, StoreError> {
        let rows = self
            .db
            .query(
                "select kid, sealed, public_jwk, activates_at, retires_at from signing_keys \
                 where retires_at > $1 order by activates_at, kid",
                &params![now],
            )
            .await?;
        rows.into_iter().map(signing_key).collect()
    }

    /// Adds a key, if the newest one that is not retired is still the one that the caller saw (`None`: there was none);
    /// whether it did. So of several nodes that find it time to rotate, one does.
    pub async fn put_signing_key(
        &self,
        key: &SigningKeyRow,
        seen: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let newest = tx
                .query_first(
                    "select kid from signing_keys where retires_at > $1 order by activates_at desc, kid desc limit 1",
                    &params![now],
                )
                .await?;
            let newest: Option<String> = newest.map(|mut row| row.take()).transpose()?;
            if newest.as_deref() != seen {
                return Ok(false);
            }
            tx.execute(
                "insert into signing_keys (kid, sealed, public_jwk, activates_at, retires_at) \
                 values ($1, $2, $3, $4, $5)",
                &params![&key.kid, &key.sealed, &key.public_jwk, key.activates_at, key.retires_at],
            )
            .await?;
            tx.changed(ChangeKind::SigningKey, &key.kid, now);
            Ok(true)
        })
    }
}

fn signing_key(mut row: Row) -> Result<SigningKeyRow, StoreError> {
    Ok(SigningKeyRow {
        kid: row.take()?,
        sealed: row.take()?,
        public_jwk: row.take()?,
        activates_at: row.take()?,
        retires_at: row.take()?,
    })
}
