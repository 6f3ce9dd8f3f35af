//! Reading the numbers: for pages, never for a call.

use std::collections::BTreeMap;

use portcullis_base::Timestamp;

use super::{Counts, DAY, Histogram};
use crate::{Store, StoreError, db::params};

/// What calls are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopBy {
    /// Server and tool, prompt or resource.
    Tool,
    /// The person's identifier.
    Person,
    /// The client's identifier.
    Client,
    /// The server.
    Server,
}

/// One of those with the most calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// The server; empty unless it is about a tool or a server.
    pub server: String,
    /// The tool, person or client; empty if it is about a server. [`OTHERS`](super::OTHERS) for what found no place.
    pub name: String,
    /// What was counted.
    pub counts: Counts,
}

/// What somebody can use for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// A tool or prompt.
    Tool,
    /// A server.
    Server,
    /// A client.
    Client,
}

/// Somebody used something for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// The person's identifier.
    pub person: String,
    /// What kind of thing.
    pub thing: Thing,
    /// The tool's server; empty for others.
    pub server: String,
    /// Which one.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// When the person was first seen at all.
    pub known_since: Timestamp,
}

impl Thing {
    /// As it is stored, and called in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Tool, Self::Server, Self::Client].into_iter().find(|thing| thing.as_str() == text)
    }
}

/// Calls of a row.
const CALLS: &str = "allowed + asked + denied + stepped_up";
/// The rows of a time.
const WITHIN: &str = "hours in (1, 24) and began_at >= $1 and began_at < $2";

impl Store {
    /// What was counted from `since` until `until`, in slots of so many milliseconds that are counted from `since`; those
    /// without anything are left out.
    pub async fn insight_over_time(
        &self,
        since: Timestamp,
        until: Timestamp,
        slot: i64,
    ) -> Result<Vec<(Timestamp, Counts)>, StoreError> {
        let sql = format!(
            "select (began_at - $1) / $3 as slot, {} from insight_counts where {WITHIN} group by slot order by slot",
            Counts::sums()
        );
        let rows = self.db.query(&sql, &params![since, until, slot.max(1)]).await?;
        let read = rows.into_iter().map(|mut row| {
            let number: i64 = row.take()?;
            Ok((Timestamp::from_millis(since.as_millis() + number * slot), Counts::take(&mut row)?))
        });
        read.collect()
    }

    /// Those with the most calls in that time, the most first.
    pub async fn insight_top(
        &self,
        by: TopBy,
        since: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Top>, StoreError> {
        let (server, name, some) = match by {
            TopBy::Tool => ("server", "name", "name <> ''"),
            TopBy::Person => ("''", "person", "person <> ''"),
            TopBy::Client => ("''", "client", "client <> ''"),
            TopBy::Server => ("server", "''", "server <> ''"),
        };
        let sql = format!(
            "select top_server, top_name, {} from (select {server} as top_server, {name} as top_name, insight_counts.* \
             from insight_counts where {WITHIN} and {some}) as rolled group by top_server, top_name \
             having sum({CALLS}) > 0 order by sum({CALLS}) desc, top_server, top_name limit $3",
            Counts::sums()
        );
        let rows = self.db.query(&sql, &params![since, until, i64::from(limit)]).await?;
        let read = rows
            .into_iter()
            .map(|mut row| Ok(Top { server: row.take()?, name: row.take()?, counts: Counts::take(&mut row)? }));
        read.collect()
    }

    /// How long calls took, in slots as above.
    pub async fn insight_latency(
        &self,
        since: Timestamp,
        until: Timestamp,
        slot: i64,
    ) -> Result<BTreeMap<Timestamp, Histogram>, StoreError> {
        let sql = format!(
            "select (began_at - $1) / $3 as slot, step, cast(sum(calls) as bigint) from insight_latency \
             where {WITHIN} group by slot, step"
        );
        let mut found: BTreeMap<Timestamp, Histogram> = BTreeMap::new();
        for mut row in self.db.query(&sql, &params![since, until, slot.max(1)]).await? {
            let at = Timestamp::from_millis(since.as_millis() + row.take::<i64>()? * slot);
            found.entry(at).or_default().add(row.take()?, row.take()?);
        }
        Ok(found)
    }

    /// How long calls of each server took in that time.
    pub async fn insight_latency_of_servers(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeMap<String, Histogram>, StoreError> {
        let sql = format!(
            "select server, step, cast(sum(calls) as bigint) from insight_latency where {WITHIN} group by server, step"
        );
        let mut found: BTreeMap<String, Histogram> = BTreeMap::new();
        for mut row in self.db.query(&sql, &params![since, until]).await? {
            found.entry(row.take()?).or_default().add(row.take()?, row.take()?);
        }
        Ok(found)
    }

    /// What somebody used for the first time in that time, on whichever node; the newest first, at most `limit`.
    pub async fn insight_firsts(
        &self,
        since: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<First>, StoreError> {
        let sql = "select f.person, f.what, f.server, f.name, min(f.first_at) as used_at, \
             (select min(k.first_at) from insight_firsts k where k.person = f.person) from insight_firsts f \
             where f.first_at >= $1 and f.first_at < $2 and not exists (select 1 from insight_firsts e \
             where e.person = f.person and e.what = f.what and e.server = f.server and e.name = f.name \
             and e.first_at < $1) group by f.person, f.what, f.server, f.name \
             order by used_at desc, f.person, f.what, f.server, f.name limit $3";
        let rows = self.db.query(sql, &params![since, until, i64::from(limit)]).await?;
        let read = rows.into_iter().map(|mut row| {
            let (person, what) = (row.take()?, row.take::<String>()?);
            let thing = Thing::parse(&what).ok_or_else(|| StoreError::Damaged("a thing of no kind".into()))?;
            Ok(First {
                person,
                thing,
                server: row.take()?,
                name: row.take()?,
                at: row.take()?,
                known_since: row.take()?,
            })
        });
        read.collect()
    }

    /// How many calls each person made on each day (UTC) of that time, by person and day.
    pub async fn insight_days(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(String, Timestamp, i64)>, StoreError> {
        let sql = format!(
            "select person, began_at / $3 as day, cast(sum({CALLS}) as bigint) from insight_counts \
             where {WITHIN} and person <> '' group by person, day having sum({CALLS}) > 0 order by person, day"
        );
        let rows = self.db.query(&sql, &params![since, until, DAY]).await?;
        let read = rows
            .into_iter()
            .map(|mut row| Ok((row.take()?, Timestamp::from_millis(row.take::<i64>()? * DAY), row.take()?)));
        read.collect()
    }
}
