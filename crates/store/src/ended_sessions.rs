//! MCP sessions that their client closed. Session ids are sealed values without a row; only an early end needs one.

use portcullis_base::{SessionId, Timestamp};

use crate::{
    ChangeKind, Store, StoreError,
    db::{params, transact},
};

impl Store {
    /// Remembers that an MCP session ended; `false` if it had ended before.
    pub async fn end_mcp_session(
        &self,
        id: &SessionId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let ended = tx
                .execute(
                    "insert into ended_sessions (id, ended_at, expires_at) values ($1, $2, $3) \
                     on conflict (id) do nothing",
                    &params![id, now, expires_at],
                )
                .await?;
            if ended == 1 {
                tx.changed(ChangeKind::SessionEnded, id.as_str(), now);
            }
            Ok(ended == 1)
        })
    }

    /// The ended sessions whose identifiers have not run out, with the time when they do.
    pub async fn ended_mcp_sessions(&self, now: Timestamp) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        let rows =
            self.db.query("select id, expires_at from ended_sessions where expires_at > $1", &params![now]).await?;
        rows.into_iter().map(|mut row| Ok((row.take()?, row.take()?))).collect()
    }
}
