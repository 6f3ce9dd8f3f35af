//! Who we are at authorization servers that registered us. Kept by issuer and used nowhere else (spec: UP-21).

use portcullis_base::Timestamp;

use crate::{
    Store, StoreError,
    db::{Row, params, transact},
};

/// A registration of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamClientRow {
    /// Who registered us.
    pub issuer: String,
    /// How: a code.
    pub way: String,
    /// Who we are there.
    pub client_id: String,
    /// Client secret and registration token, sealed.
    pub sealed: Option<Vec<u8>>,
    /// How a token request is proved there.
    pub auth_method: String,
    /// What the registration answered, without secrets, as JSON.
    pub metadata: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends, if it does.
    pub expires_at: Option<Timestamp>,
}

const CLIENT: &str = "issuer, way, client_id, sealed, auth_method, metadata, created_at, expires_at";

impl Store {
    /// Our registration at `issuer`, also one that is over.
    pub async fn upstream_client(&self, issuer: &str) -> Result<Option<UpstreamClientRow>, StoreError> {
        let sql = format!("select {CLIENT} from upstream_clients where issuer = $1");
        self.db.query_first(&sql, &params![issuer]).await?.map(client).transpose()
    }

    /// All of them, by issuer.
    pub async fn upstream_clients(&self) -> Result<Vec<UpstreamClientRow>, StoreError> {
        let sql = format!("select {CLIENT} from upstream_clients order by issuer");
        self.db.query(&sql, &[]).await?.into_iter().map(client).collect()
    }

    /// Writes a registration in place of the one whose client the caller saw (`None`: there was none); whether it did. So of
    /// several nodes that register at once, all use what one of them got.
    pub async fn put_upstream_client(&self, row: &UpstreamClientRow, seen: Option<&str>) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let there = tx
                .query_first("select client_id from upstream_clients where issuer = $1", &params![&row.issuer])
                .await?;
            let there: Option<String> = there.map(|mut row| row.take()).transpose()?;
            if there.as_deref() != seen {
                return Ok(false);
            }
            tx.execute("delete from upstream_clients where issuer = $1", &params![&row.issuer]).await?;
            tx.execute(
                "insert into upstream_clients (issuer, way, client_id, sealed, auth_method, metadata, created_at, expires_at) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8)",
                &params![
                    &row.issuer,
                    &row.way,
                    &row.client_id,
                    row.sealed.as_ref(),
                    &row.auth_method,
                    &row.metadata,
                    row.created_at,
                    row.expires_at
                ],
            )
            .await?;
            Ok(true)
        })
    }

    /// Forgets the registration at `issuer`, if it is still this client; whether it was.
    pub async fn remove_upstream_client(&self, issuer: &str, client_id: &str) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let removed = tx
                .execute(
                    "delete from upstream_clients where issuer = $1 and client_id = $2",
                    &params![issuer, client_id],
                )
                .await?;
            Ok(removed == 1)
        })
    }
}

fn client(mut row: Row) -> Result<UpstreamClientRow, StoreError> {
    Ok(UpstreamClientRow {
        issuer: row.take()?,
        way: row.take()?,
        client_id: row.take()?,
        sealed: row.take()?,
        auth_method: row.take()?,
        metadata: row.take()?,
        created_at: row.take()?,
        expires_at: row.take()?,
    })
}
