//! What is known of servers, across restarts: what they said of themselves, and the tools that people saw there.

use portcullis_base::{Digest, Holder, ServerName, Timestamp};

use crate::{
    Store, StoreError,
    db::{Row, params, transact},
    people::{group_json, group_list},
};

/// What a server said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// Where it was said; of a server that moved nothing is known.
    pub url: String,
    /// The protocol revisions it speaks.
    pub versions: Vec<String>,
    /// When this was learned.
    pub learned_at: Timestamp,
}

/// A list of tools that somebody saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolList {
    /// Digest of the list.
    pub digest: Digest,
    /// The list, as JSON.
    pub list: String,
    /// When it was last seen.
    pub seen_at: Timestamp,
}

impl Store {
    /// What `server` said of itself.
    pub async fn server_facts(&self, server: &ServerName) -> Result<Option<ServerFacts>, StoreError> {
        let row = self
            .db
            .query_first("select url, versions, learned_at from server_facts where server = $1", &params![server])
            .await?;
        row.map(facts).transpose()
    }

    /// Writes what `server` said of itself.
    pub async fn put_server_facts(&self, server: &ServerName, facts: &ServerFacts) -> Result<(), StoreError> {
        let versions = group_json(&facts.versions)?;
        transact!(self.db, |tx| {
            tx.execute(
                "insert into server_facts (server, url, versions, learned_at) values ($1, $2, $3, $4) \
                 on conflict (server) do update set url = excluded.url, versions = excluded.versions, \
                 asks_credential_at = case when server_facts.url = excluded.url then server_facts.asks_credential_at end, \
                 learned_at = excluded.learned_at",
                &params![server, &facts.url, &versions, facts.learned_at],
            )
            .await?;
            Ok(())
        })
    }

    /// Notes that `server`, at this address, has asked for a credential.
    pub async fn server_asks(&self, server: &ServerName, url: &str, now: Timestamp) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            tx.execute(
                "insert into server_facts (server, url, versions, asks_credential_at, learned_at) \
                 values ($1, $2, '[]', $3, $3) on conflict (server) do update set \
                 versions = case when server_facts.url = excluded.url then server_facts.versions else '[]' end, \
                 url = excluded.url, asks_credential_at = excluded.asks_credential_at",
                &params![server, url, now],
            )
            .await?;
            Ok(())
        })
    }

    /// Whether `server`, at this address, has ever asked for a credential.
    pub async fn has_server_asked(&self, server: &ServerName, url: &str) -> Result<bool, StoreError> {
        let sql = "select 1 from server_facts where server = $1 and url = $2 and asks_credential_at is not null";
        Ok(self.db.query_first(sql, &params![server, url]).await?.is_some())
    }

    /// The tools that `holder` last saw at `server`; without a holder, those that everybody sees.
    pub async fn tool_list(
        &self,
        server: &ServerName,
        holder: Option<&Holder>,
    ) -> Result<Option<ToolList>, StoreError> {
        let row = self
            .db
            .query_first(
                "select digest, list, seen_at from tool_lists where server = $1 and holder = $2",
                &params![server, column(holder)],
            )
            .await?;
        row.map(tool_list).transpose()
    }

    /// The tools that anybody last saw at `server`: for how many there are and what they cost, not for showing them.
    pub async fn newest_tool_list(&self, server: &ServerName) -> Result<Option<ToolList>, StoreError> {
        let sql = "select digest, list, seen_at from tool_lists where server = $1 order by seen_at desc limit 1";
        self.db.query_first(sql, &params![server]).await?.map(tool_list).transpose()
    }

    /// The tools that people last saw at `server` and whose they are, the newest lists first, so many at most.
    pub async fn tool_lists(
        &self,
        server: &ServerName,
        most: u32,
    ) -> Result<Vec<(Option<Holder>, ToolList)>, StoreError> {
        let sql =
            "select holder, digest, list, seen_at from tool_lists where server = $1 order by seen_at desc limit $2";
        let rows = self.db.query(sql, &params![server, i64::from(most)]).await?;
        let read = |mut row: Row| {
            let holder: String = row.take()?;
            let holder = (!holder.is_empty()).then(|| Holder::from_stored(&holder));
            Ok((holder, tool_list(row)?))
        };
        rows.into_iter().map(read).collect()
    }

    /// What is another after every list that is written: how many there are, and when the newest was seen.
    pub async fn tool_lists_mark(&self) -> Result<(i64, Option<Timestamp>), StoreError> {
        let row = self.db.query_first("select count(*), max(seen_at) from tool_lists", &params![]).await?;
        row.map_or(Ok((0, None)), |mut row| Ok((row.take()?, row.take()?)))
    }

    /// Writes the tools that `holder` sees at `server`; without a holder, those that everybody sees.
    pub async fn put_tool_list(
        &self,
        server: &ServerName,
        holder: Option<&Holder>,
        seen: &ToolList,
    ) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            tx.execute(
                "insert into tool_lists (server, holder, digest, list, seen_at) values ($1, $2, $3, $4, $5) \
                 on conflict (server, holder) do update set digest = excluded.digest, list = excluded.list, \
                 seen_at = excluded.seen_at",
                &params![server, column(holder), &seen.digest, &seen.list, seen.seen_at],
            )
            .await?;
            Ok(())
        })
    }
}

/// No holder is the empty text.
fn column(holder: Option<&Holder>) -> &str {
    holder.map_or("", Holder::as_str)
}

fn facts(mut row: Row) -> Result<ServerFacts, StoreError> {
    Ok(ServerFacts { url: row.take()?, versions: group_list(&row.take::<String>()?)?, learned_at: row.take()? })
}

fn tool_list(mut row: Row) -> Result<ToolList, StoreError> {
    Ok(ToolList { digest: row.take()?, list: row.take()?, seen_at: row.take()? })
}
