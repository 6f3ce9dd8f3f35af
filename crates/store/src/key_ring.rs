//! The key ring: data keys, each wrapped by every root key that may open it. Which key is whose, and what wrapping is, is
//! the caller's; nothing here can be opened with what is here (spec: T-44).

use portcullis_base::Timestamp;

use crate::{
    ChangeKind, Store, StoreError,
    db::{Row, Tx, params, transact},
};

/// A data key as one root key opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRingRow {
    /// The number of the data key; they are counted from one.
    pub id: i64,
    /// The name of the root key that opens it.
    pub root_key: String,
    /// The data key, wrapped.
    pub wrapped: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it seals: not before every node knows it.
    pub active_from: Timestamp,
    /// When it stopped opening what it sealed.
    pub retired_at: Option<Timestamp>,
}

const RING: &str =
    "select id, root_key_id, wrapped, created_at, active_from, retired_at from key_ring order by id, root_key_id";

impl Store {
    /// The whole ring; empty if there is none yet, also in a database that was not migrated yet.
    pub async fn key_ring(&self) -> Result<Vec<KeyRingRow>, StoreError> {
        if self.status().await?.found < SINCE {
            return Ok(Vec::new());
        }
        rows(self.db.query(RING, &[]).await?)
    }

    /// Begins the ring with its first key, unless somebody else did; the ring as it is now.
    pub async fn claim_key_ring(&self, first: &KeyRingRow, now: Timestamp) -> Result<Vec<KeyRingRow>, StoreError> {
        transact!(self.db, |tx| {
            let there = rows(tx.query(RING, &[]).await?)?;
            if !there.is_empty() {
                return Ok(there);
            }
            insert(tx, first).await?;
            tx.changed(ChangeKind::KeyRing, first.id.to_string(), now);
            Ok(vec![first.clone()])
        })
    }

    /// Adds rows to the ring, if it is still what the caller saw; whether it did. New keys and new wrappings both come so.
    pub async fn add_to_key_ring(
        &self,
        new: &[KeyRingRow],
        seen: &[KeyRingRow],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            if rows(tx.query(RING, &[]).await?)? != seen {
                return Ok(false);
            }
            for row in new {
                insert(tx, row).await?;
                tx.changed(ChangeKind::KeyRing, row.id.to_string(), now);
            }
            Ok(true)
        })
    }

    /// Retires a data key: it opens nothing any more, and is gone. Of the first one the row stays whole: what grows from it
    /// for ever is still needed. Whether the key was there and not retired.
    pub async fn retire_data_key(&self, id: i64, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let retired = tx
                .execute(
                    "update key_ring set retired_at = $2, \
                     wrapped = case when id = (select min(id) from key_ring) then wrapped else $3 end \
                     where id = $1 and retired_at is null",
                    &params![id, now, &[][..]],
                )
                .await?;
            if retired > 0 {
                tx.changed(ChangeKind::KeyRing, id.to_string(), now);
            }
            Ok(retired > 0)
        })
    }

    /// Takes away a root key: it opens no data key any more. Whether it did; not if a data key would be lost by that.
    pub async fn retire_root_key(&self, root_key: &str, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let only = tx
                .query_first(
                    "select 1 from key_ring k where k.root_key_id = $1 and not exists \
                     (select 1 from key_ring o where o.id = k.id and o.root_key_id <> $1)",
                    &params![root_key],
                )
                .await?;
            if only.is_some() {
                return Ok(false);
            }
            let gone = tx.execute("delete from key_ring where root_key_id = $1", &params![root_key]).await?;
            if gone > 0 {
                tx.changed(ChangeKind::KeyRing, root_key, now);
            }
            Ok(gone > 0)
        })
    }
}

/// The schema that brought the ring.
const SINCE: i64 = 3;

async fn insert(tx: &mut Tx, row: &KeyRingRow) -> Result<(), StoreError> {
    tx.execute(
        "insert into key_ring (id, root_key_id, wrapped, created_at, active_from, retired_at) \
         values ($1, $2, $3, $4, $5, $6)",
        &params![row.id, &row.root_key, &row.wrapped, row.created_at, row.active_from, row.retired_at],
    )
    .await
    .map(drop)
}

fn rows(rows: Vec<Row>) -> Result<Vec<KeyRingRow>, StoreError> {
    let one = |mut row: Row| {
        Ok(KeyRingRow {
            id: row.take()?,
            root_key: row.take()?,
            wrapped: row.take()?,
            created_at: row.take()?,
            active_from: row.take()?,
            retired_at: row.take()?,
        })
    };
    rows.into_iter().map(one).collect()
}
