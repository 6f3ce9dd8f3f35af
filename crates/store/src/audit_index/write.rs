//! Feeding the index, and taking from it what is too old or is to be fed again.

use portcullis_base::Timestamp;

use super::{
    AuditCursor, AuditEntry,
    bucket::{Bucket, LINES},
    filter::folded,
};
use crate::{
    Store, StoreError,
    db::{PORTIONS, Param, Tx, insert_sql, params, transact},
    insight::{self, Tally},
};

const OPEN: [&str; 4] = ["node", "seq", "happened_at", "line"];
const NAMES: [&str; 5] = ["term", "field", "name", "folded", "last_at"];

/// What becomes true together with the lines: how far the journal is indexed, and the numbers that come of them.
struct Moved<'a> {
    cursor: &'a AuditCursor,
    tally: Tally,
}

impl Store {
    /// Adds entries of one journal, in their order, and moves its cursor from the line `after` on, in one commit.
    ///
    /// `false`, and nothing is done, if the cursor is elsewhere: somebody else has fed the journal, or has it fed again.
    pub async fn append_audit(
        &self,
        entries: &[AuditEntry],
        after: i64,
        cursor: &AuditCursor,
    ) -> Result<bool, StoreError> {
        let node = cursor.node.as_str();
        // Lines that were indexed already stay as they are: the writer's repair after a crash may give a number again.
        let fresh: Vec<AuditEntry> =
            entries.iter().filter(|entry| entry.row.node == node && entry.row.seq > after).cloned().collect();
        let moved = Moved { cursor, tally: Tally::of(node, &fresh) };
        while self.open_lines(node).await? >= LINES {
            let open = self.waiting(node).await?;
            self.replace(node, after, &[Bucket::pack(&open)?], open.last(), &[], None).await?;
        }
        if self.open_lines(node).await? + fresh.len() < LINES {
            return self.replace(node, after, &[], None, &fresh, Some(&moved)).await;
        }
        // Packing takes a while and holds up nobody: that nothing has changed meanwhile is seen by the cursor.
        let mut all = self.waiting(node).await?;
        let open_to = all.last().cloned();
        all.extend(fresh);
        let whole = all.len() / LINES * LINES;
        let buckets = all[..whole].chunks(LINES).map(Bucket::pack).collect::<Result<Vec<_>, _>>()?;
        self.replace(node, after, &buckets, open_to.as_ref(), &all[whole..], Some(&moved)).await
    }

    async fn open_lines(&self, node: &str) -> Result<usize, StoreError> {
        let sql = "select count(*) from audit_open where node = $1";
        let row = self.db.query_first(sql, &params![node]).await?;
        row.map_or(Ok(0), |mut row| row.take::<i64>().map(|count| count as usize))
    }

    /// The oldest lines of a journal that wait for their bucket.
    async fn waiting(&self, node: &str) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = "select line from audit_open where node = $1 order by seq limit $2";
        let rows = self.db.query(sql, &params![node, LINES as i64]).await?;
        let lines = rows.into_iter().map(|mut row| row.take::<String>()).collect::<Result<Vec<_>, _>>()?;
        Ok(lines.into_iter().filter_map(AuditEntry::of).collect())
    }

    /// Writes buckets, takes away the open lines up to `closed`, which are in them, and adds new open lines.
    async fn replace(
        &self,
        node: &str,
        after: i64,
        buckets: &[Bucket],
        closed: Option<&AuditEntry>,
        open: &[AuditEntry],
        moved: Option<&Moved<'_>>,
    ) -> Result<bool, StoreError> {
        let row = |entry: &AuditEntry| {
            Vec::from(params![entry.row.node.clone(), entry.row.seq, entry.row.at, entry.line.clone()])
        };
        transact!(self.db, |tx| {
            let found = tx.query_first("select seq from audit_cursors where node = $1", &params![node]).await?;
            if found.map_or(Ok(0), |mut row| row.take::<i64>())? != after {
                return Ok(false);
            }
            for bucket in buckets {
                write(tx, node, bucket).await?;
            }
            if let Some(closed) = closed {
                let sql = "delete from audit_open where node = $1 and seq <= $2";
                tx.execute(sql, &params![node, closed.row.seq]).await?;
            }
            let rows: Vec<_> = open.iter().map(row).collect();
            tx.insert_many("audit_open", &OPEN, &rows).await?;
            if let Some(Moved { cursor: AuditCursor { node, seq }, tally }) = moved {
                tally.write(tx).await?;
                let sql = "insert into audit_cursors (node, seq) values ($1, $2) \
                           on conflict (node) do update set seq = excluded.seq";
                tx.execute(sql, &params![node, *seq]).await?;
            }
            Ok(true)
        })
    }

    /// Forgets what is known of a journal, so that it is indexed again from its beginning; also by those who feed it now.
    pub async fn forget_audit(&self, node: &str, now: Timestamp) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            insight::forget(tx, node).await?;
            tx.execute("delete from audit_cursors where node = $1", &params![node]).await?;
            tx.execute("delete from audit_open where node = $1", &params![node]).await?;
            tx.execute("update audit_buckets set forgotten_at = $1 where node = $2", &params![now, node]).await
        })?;
        self.delete_forgotten().await
    }

    /// Forgets what happened before `before`, a bucket at a time; and what was being forgotten when somebody died over it.
    pub async fn expire_audit(&self, before: Timestamp) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            tx.execute("delete from audit_open where happened_at < $1", &params![before]).await?;
            tx.execute("delete from audit_names where last_at < $1", &params![before]).await?;
            let sql = "update audit_buckets set forgotten_at = $1 where last_at < $1 and forgotten_at is null";
            tx.execute(sql, &params![before]).await
        })?;
        self.delete_forgotten().await
    }

    async fn delete_forgotten(&self) -> Result<(), StoreError> {
        let sql = "select bucket from audit_buckets where forgotten_at is not null order by bucket";
        for mut row in self.db.query(sql, &[]).await? {
            let bucket: i64 = row.take()?;
            transact!(self.db, |tx| {
                tx.execute("delete from audit_places where bucket = $1", &params![bucket]).await?;
                tx.execute("delete from audit_chunks where bucket = $1", &params![bucket]).await?;
                tx.execute("delete from audit_buckets where bucket = $1", &params![bucket]).await
            })?;
            // Others want to write in between.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

async fn write(tx: &mut Tx, node: &str, bucket: &Bucket) -> Result<(), StoreError> {
    let made = tx
        .query_first(
            "insert into audit_buckets (node, first_at, last_at, lines, times) values ($1, $2, $3, $4, $5) returning bucket",
            &params![node, bucket.first_at, bucket.last_at, bucket.lines as i64, &bucket.times],
        )
        .await?;
    let id: i64 = made.ok_or_else(|| StoreError::Damaged("a bucket got no number".into()))?.take()?;
    let chunks: Vec<_> =
        bucket.chunks.iter().enumerate().map(|(n, chunk)| Vec::from(params![id, n as i64, chunk])).collect();
    tx.insert_many("audit_chunks", &["bucket", "chunk", "lines"], &chunks).await?;
    let places: Vec<_> = bucket.places.iter().map(|(term, places)| Vec::from(params![id, *term, places])).collect();
    tx.insert_many("audit_places", &["bucket", "term", "places"], &places).await?;
    let mut rest = bucket.names.as_slice();
    for size in PORTIONS {
        let sql = format!(
            "{} on conflict (term) do update set last_at = excluded.last_at where audit_names.last_at < excluded.last_at",
            insert_sql("audit_names", &NAMES, size)
        );
        while rest.len() >= size {
            let (portion, after) = rest.split_at(size);
            let values: Vec<Param<'_>> = portion
                .iter()
                .flat_map(|(term, field, name)| params![*term, field.as_str(), name, folded(name), bucket.last_at])
                .collect();
            tx.execute(&sql, &values).await?;
            rest = after;
        }
    }
    Ok(())
}
