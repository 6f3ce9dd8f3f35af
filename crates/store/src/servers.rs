//! Servers that were registered by command or console; those of the settings file are not here.

use portcullis_base::{ServerName, Timestamp};

use crate::{
    ChangeKind, Store, StoreError,
    db::{Row, Tx, params, transact},
};

/// A server as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRow {
    /// Its name, as in `/mcp/{name}`.
    pub name: ServerName,
    /// Its entry as JSON, in the form of the settings file.
    pub entry_json: String,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// Who registered it.
    pub created_by: String,
}

impl Store {
    /// Registers a server or replaces its entry; whether it is new.
    pub async fn put_server(&self, server: &ServerRow, now: Timestamp) -> Result<bool, StoreError> {
        let ServerRow { name, entry_json, created_at, created_by } = server;
        transact!(self.db, |tx| {
            let known = tx.query_first("select name from servers where name = $1", &params![name]).await?;
            tx.execute(
                "insert into servers (name, entry, created_at, created_by) values ($1, $2, $3, $4) \
                 on conflict (name) do update set entry = excluded.entry",
                &params![name, entry_json, *created_at, created_by],
            )
            .await?;
            forget(tx, name).await?;
            tx.changed(ChangeKind::Server, name.as_str(), now);
            Ok(known.is_none())
        })
    }

    /// Changes the entry of a server that stays where it is; whether there is one. Without another entry nothing is changed.
    pub async fn change_server(
        &self,
        name: &ServerName,
        now: Timestamp,
        mut change: impl FnMut(&str) -> Option<String>,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let found = tx.query_first("select entry from servers where name = $1", &params![name]).await?;
            let Some(mut row) = found else { return Ok(false) };
            let entry: String = row.take()?;
            if let Some(changed) = change(&entry) {
                tx.execute("update servers set entry = $2 where name = $1", &params![name, &changed]).await?;
                tx.changed(ChangeKind::Server, name.as_str(), now);
            }
            Ok(true)
        })
    }

    /// Removes a server; whether there was one.
    pub async fn remove_server(&self, name: &ServerName, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let removed = tx.execute("delete from servers where name = $1", &params![name]).await? == 1;
            if removed {
                forget(tx, name).await?;
                tx.changed(ChangeKind::Server, name.as_str(), now);
            }
            Ok(removed)
        })
    }

    /// All of them, by name.
    pub async fn servers(&self) -> Result<Vec<ServerRow>, StoreError> {
        let rows = self.db.query("select name, entry, created_at, created_by from servers order by name", &[]).await?;
        rows.into_iter().map(server).collect()
    }
}

/// What was known of it may be of another server by now.
async fn forget(tx: &mut Tx, name: &ServerName) -> Result<(), StoreError> {
    tx.execute("delete from server_facts where server = $1", &params![name]).await?;
    tx.execute("delete from tool_lists where server = $1", &params![name]).await.map(drop)
}

fn server(mut row: Row) -> Result<ServerRow, StoreError> {
    Ok(ServerRow { name: row.take()?, entry_json: row.take()?, created_at: row.take()?, created_by: row.take()? })
}
