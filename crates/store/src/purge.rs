//! Forgetting what is over. Run now and then, by any node; several at once do no harm.
//!
//! What was used up stays for a while after its end, so that presenting it again is still recognised as a replay.

use std::time::Duration;

use portcullis_base::Timestamp;

use crate::{
    ChangeKind, Store, StoreError, TOKENS_ALIVE,
    db::{params, transact},
};

/// Rows deleted by [`Store::purge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many, of all kinds.
    pub rows: u64,
}

/// A code is recognised as replayed for a day (spec: AS-67), unless its grant goes earlier.
const CODES_REMEMBERED: Duration = Duration::from_hours(24);
/// Longer than tokens live, and longer than a node is out of touch without being restarted.
const CHANGES_REMEMBERED: Duration = Duration::from_hours(24);
/// Somebody whom a directory took away and announces again within this time is the same person.
const DELETED_REMEMBERED: Duration = Duration::from_hours(24 * 400);
/// Rows per commit: others want to write in between.
const PORTION: i64 = 500;

impl Store {
    /// Deletes what has expired. Clients have rules of their own: [`Store::purge_clients`].
    pub async fn purge(&self, now: Timestamp) -> Result<Purged, StoreError> {
        let codes = now.minus(CODES_REMEMBERED);
        let grants = now.minus(TOKENS_ALIVE * 2);
        let statements = [
            ("delete from spent where hash in (select hash from spent where expires_at < $1 limit $2)", now),
            ("delete from sessions where hash in (select hash from sessions where expires_at < $1 limit $2)", now),
            (
                "delete from invitations where hash in (select hash from invitations where expires_at < $1 limit $2)",
                now,
            ),
            (
                "delete from ended_sessions where id in (select id from ended_sessions where expires_at < $1 limit $2)",
                now,
            ),
            (
                // What has arrived is given back first: `take_stale_arrivals`.
                "delete from connect_flows where state_hash in \
                 (select state_hash from connect_flows where stage = 'asked' and expires_at < $1 limit $2)",
                now,
            ),
            ("delete from codes where hash in (select hash from codes where expires_at < $1 limit $2)", codes),
            // A replaced token is kept as long as one that was not: its replay ends the grant (spec: AS-81).
            (
                "delete from refresh_tokens where hash in (select hash from refresh_tokens where expires_at < $1 limit $2)",
                now,
            ),
            // Codes, refresh tokens and access keys of a grant go with it.
            ("delete from grants where id in (select id from grants where expires_at < $1 limit $2)", grants),
            ("delete from grants where id in (select id from grants where revoked_at < $1 limit $2)", grants),
            // The person stays, in the records and in the way of their own return.
            (
                "delete from scim_users where id in (select id from scim_users where deleted_at < $1 limit $2)",
                now.minus(DELETED_REMEMBERED),
            ),
            (
                "delete from changes where revision in (select revision from changes where changed_at < $1 \
                 and revision < (select max(revision) from changes) limit $2)",
                now.minus(CHANGES_REMEMBERED),
            ),
        ];
        let rows = self.purge_signing_keys(now).await? + self.delete_in_portions(&statements).await?;
        Ok(Purged { rows })
    }

    /// Deletes approvals, votes, approvals ahead, wishes and rights that were over before `before`, and what counts for no
    /// limit any more.
    pub async fn purge_rights(&self, before: Timestamp, now: Timestamp) -> Result<Purged, StoreError> {
        let statements = [
            // Their votes go along. What waits is first found expired.
            (
                "delete from approvals where id in (select id from approvals where state not in \
                 ('pending', 'granted', 'running') and coalesce(ended_at, decided_at, expires_at) < $1 limit $2)",
                before,
            ),
            (
                "delete from standing_grants where id in (select id from standing_grants \
                 where ends_at < $1 or revoked_at < $1 limit $2)",
                before,
            ),
            (
                "delete from access_requests where id in (select id from access_requests \
                 where state <> 'open' and decided_at < $1 limit $2)",
                before,
            ),
            (
                "delete from access_grants where id in (select id from access_grants \
                 where ends_at < $1 or revoked_at < $1 limit $2)",
                before,
            ),
            (
                "delete from delegations where id in (select id from delegations \
                 where ends_at < $1 or revoked_at < $1 limit $2)",
                before,
            ),
            (
                "delete from quota_windows where quota in (select quota from quota_windows where ends_at < $1 limit $2)",
                now,
            ),
            (
                "delete from session_labels where (person, client, label) in (select person, client, label \
                 from session_labels where ends_at < $1 limit $2)",
                now,
            ),
        ];
        self.delete_in_portions(&statements).await.map(|rows| Purged { rows })
    }

    async fn delete_in_portions(&self, statements: &[(&str, Timestamp)]) -> Result<u64, StoreError> {
        let mut rows = 0;
        for (sql, before) in statements {
            loop {
                let deleted = transact!(self.db, |tx| tx.execute(sql, &params![*before, PORTION]).await)?;
                rows += deleted;
                if deleted < PORTION as u64 {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        Ok(rows)
    }

    async fn purge_signing_keys(&self, now: Timestamp) -> Result<u64, StoreError> {
        transact!(self.db, |tx| {
            let rows = tx.query("delete from signing_keys where retires_at < $1 returning kid", &params![now]).await?;
            let mut purged = 0;
            for mut row in rows {
                tx.changed(ChangeKind::SigningKey, row.take::<String>()?, now);
                purged += 1;
            }
            Ok(purged)
        })
    }
}
