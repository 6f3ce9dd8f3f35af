//! OAuth clients: registered ones, those known by a document, and configured ones.
//!
//! Registration is open to strangers, so its rows are bounded: a cap, and an end for what is not used (spec: T-20, AS-123).

use std::time::Duration;

use portcullis_base::{ClientId, Timestamp};
use portcullis_oauth::{
    client::{Client, ClientKind},
    grant::RevokedWhy,
};

use crate::{
    ChangeKind, Store, StoreError, TOKENS_ALIVE,
    consents::forget_client,
    db::{Row, Tx, params, transact},
    grants::{GrantsOf, revoke_grants},
    last_use::{self, USED_EVERY},
};

/// A client and what we keep beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredClient {
    /// The client.
    pub client: Client,
    /// When somebody last approved it or used a token of it, to the hour; `None` if nobody ever did.
    pub last_used_at: Option<Timestamp>,
    /// Until when its document need not be fetched again.
    pub fresh_until: Option<Timestamp>,
    /// The validator its document came with.
    pub etag: Option<String>,
}

/// How long clients live without being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLife {
    /// A registered client that was never used.
    pub unused_for: Duration,
    /// Any other registered or document client.
    pub idle_for: Duration,
}

impl Default for ClientLife {
    /// spec: AS-123: 24 hours and 90 days.
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { unused_for: day, idle_for: day * 90 }
    }
}

/// A registered client this young is not evicted for a newer one: its person may be signing in right now.
const SETTLING: Duration = Duration::from_mins(10);

pub(crate) const CLIENT: &str = "id, kind, metadata, secret_hash, created_at, last_used_at, fresh_until, etag";

impl Store {
    /// Stores a newly registered client. At the cap the oldest client that was never used makes room; clients in use are
    /// never evicted for a new one, so then [`StoreError::TooManyClients`] is the answer.
    ///
    /// spec: T-20, AS-123
    pub async fn put_registered(&self, client: &Client, cap: u32, now: Timestamp) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            let counted = tx
                .query_first("select count(*) from clients where kind = $1", &params![ClientKind::Registered.as_str()])
                .await?;
            let registered: i64 = counted.map_or(Ok(0), |mut row| row.take())?;
            if registered >= i64::from(cap) {
                let evictable = tx
                    .query_first(
                        "select id from clients where kind = $1 and last_used_at is null and created_at < $2 \
                         order by created_at, id limit 1",
                        &params![ClientKind::Registered.as_str(), now.minus(SETTLING)],
                    )
                    .await?;
                let Some(mut row) = evictable else { return Err(StoreError::TooManyClients { limit: cap }) };
                remove(tx, &row.take()?, now).await?;
            }
            put_client(tx, client, None, None).await
        })
    }

    /// Stores a client from its document, new or fetched again. If what a consent depends on has changed, the remembered
    /// consents are dropped; whether that was so.
    ///
    /// spec: AS-116, T-25
    pub async fn put_document(
        &self,
        client: &Client,
        fresh_until: Timestamp,
        etag: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            put_client(tx, client, Some(fresh_until), etag).await?;
            note_change(tx, client, now).await
        })
    }

    /// Stores a client from the settings file; whether what a consent depends on has changed.
    pub async fn put_configured(&self, client: &Client, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            put_client(tx, client, None, None).await?;
            note_change(tx, client, now).await
        })
    }

    /// The client with this identifier.
    pub async fn client(&self, id: &ClientId) -> Result<Option<StoredClient>, StoreError> {
        let sql = format!("select {CLIENT} from clients where id = $1");
        self.db.query_first(&sql, &params![id]).await?.map(stored_client).transpose()
    }

    /// All clients, the youngest first.
    pub async fn clients(&self) -> Result<Vec<StoredClient>, StoreError> {
        let sql = format!("select {CLIENT} from clients order by created_at desc, id");
        self.db.query(&sql, &[]).await?.into_iter().map(stored_client).collect()
    }

    /// How many clients of this kind there are.
    pub async fn count_clients(&self, kind: ClientKind) -> Result<i64, StoreError> {
        let row = self.db.query_first("select count(*) from clients where kind = $1", &params![kind.as_str()]).await?;
        row.map_or(Ok(0), |mut row| row.take())
    }

    /// Notes that a client was used.
    pub async fn touch_client(&self, id: &ClientId, now: Timestamp) -> Result<(), StoreError> {
        transact!(self.db, |tx| last_use::touch(tx, id, now).await)
    }

    /// Removes a client and all that belongs to it; whether there was one.
    pub async fn remove_client(&self, id: &ClientId, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| remove(tx, id, now).await)
    }

    /// Removes clients that were never used or not for long, with all that belongs to them; how many.
    ///
    /// spec: T-20, AS-123
    pub async fn purge_clients(&self, life: ClientLife, now: Timestamp) -> Result<u64, StoreError> {
        // A token that is still alive keeps its client, however short the settings are.
        let idle_since = now.minus(life.idle_for.max(TOKENS_ALIVE + USED_EVERY));
        let unused_since = now.minus(life.unused_for);
        let mut purged = 0;
        loop {
            // In small portions, each on its own: others want to write in between.
            let removed = transact!(self.db, |tx| {
                let rows = tx
                    .query(
                        "select id from clients where kind <> $1 and \
                         ((last_used_at is null and created_at < $2) or last_used_at < $3) \
                         order by id limit 100",
                        &params![ClientKind::Configured.as_str(), unused_since, idle_since],
                    )
                    .await?;
                let mut removed = 0;
                for mut row in rows {
                    removed += u64::from(remove(tx, &row.take()?, now).await?);
                }
                Ok(removed)
            })?;
            purged += removed;
            if removed == 0 {
                return Ok(purged);
            }
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) async fn put_client(
    tx: &mut Tx,
    client: &Client,
    fresh_until: Option<Timestamp>,
    etag: Option<&str>,
) -> Result<(), StoreError> {
    let metadata = serde_json::to_string(&client.metadata).map_err(|why| StoreError::Damaged(why.to_string()))?;
    // The document hash is written by `note_change`, which compares it first.
    tx.execute(
        "insert into clients (id, kind, metadata, secret_hash, document_hash, created_at, fresh_until, etag) \
         values ($1, $2, $3, $4, $5, $6, $7, $8) \
         on conflict (id) do update set kind = excluded.kind, metadata = excluded.metadata, \
         secret_hash = excluded.secret_hash, fresh_until = excluded.fresh_until, etag = excluded.etag",
        &params![
            &client.id,
            client.kind.as_str(),
            metadata,
            client.secret.as_ref(),
            &client.document_hash,
            client.created_at,
            fresh_until,
            etag
        ],
    )
    .await
    .map(drop)
}

async fn note_change(tx: &mut Tx, client: &Client, now: Timestamp) -> Result<bool, StoreError> {
    let changed = tx
        .execute(
            "update clients set document_hash = $2 where id = $1 and document_hash <> $2",
            &params![&client.id, &client.document_hash],
        )
        .await?;
    if changed == 0 {
        return Ok(false);
    }
    forget_client(tx, &client.id).await?;
    tx.changed(ChangeKind::Client, client.id.as_str(), now);
    Ok(true)
}

/// Removes a client with its consents and grants; codes and refresh tokens go with the grants.
async fn remove(tx: &mut Tx, id: &ClientId, now: Timestamp) -> Result<bool, StoreError> {
    // Announced as revoked first: other nodes refuse what is alive of them before they notice that the rows are gone.
    revoke_grants(tx, &GrantsOf::Client(id), RevokedWhy::ClientRemoved, now).await?;
    forget_client(tx, id).await?;
    let removed = tx.execute("delete from clients where id = $1", &params![id]).await? == 1;
    if removed {
        tx.changed(ChangeKind::Client, id.as_str(), now);
    }
    Ok(removed)
}

pub(crate) fn stored_client(mut row: Row) -> Result<StoredClient, StoreError> {
    let id = row.take()?;
    let kind = ClientKind::parse(&row.take::<String>()?)
        .ok_or_else(|| StoreError::Damaged("a client of an unknown kind".into()))?;
    let metadata = serde_json::from_str(&row.take::<String>()?)
        .map_err(|why| StoreError::Damaged(format!("metadata of a client: {why}")))?;
    let client = Client::new(id, kind, metadata, row.take()?, row.take()?);
    Ok(StoredClient { client, last_used_at: row.take()?, fresh_until: row.take()?, etag: row.take()? })
}
