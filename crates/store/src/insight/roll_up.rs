//! From lines to numbers: a batch is counted in memory first, and what comes of it is added in few statements.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Deserialize;

use super::{Counts, Histogram, OTHERS, Thing, hour};
use crate::{
    AuditEntry, StoreError,
    db::{Param, Tx, params},
};

/// Rows that one person can make in an hour at one node. What is more is counted under [`OTHERS`].
pub const MOST_KEYS: usize = 500;
/// Things that are remembered to have been used by one person, at one node.
const MOST_FIRSTS: i64 = 2_000;
/// Longer texts are cut: they are part of a key, and PostgreSQL refuses long ones.
const LONGEST: usize = 200;
/// Rows are added so many at a time, and the rest one by one.
const PORTIONS: [usize; 2] = [16, 1];

static ADD_COUNTS: LazyLock<[String; 2]> = LazyLock::new(|| {
    let keys = ["hours", "began_at", "node", "person", "server", "name", "client"];
    PORTIONS.map(|rows| add_sql("insight_counts", &keys, Counts::COLUMNS, rows))
});
static ADD_LATENCY: LazyLock<[String; 2]> = LazyLock::new(|| {
    let keys = ["hours", "began_at", "node", "server", "step"];
    PORTIONS.map(|rows| add_sql("insight_latency", &keys, &["calls"], rows))
});

/// What a row of numbers is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    began_at: i64,
    person: String,
    server: String,
    name: String,
    client: String,
}

/// The numbers of a batch of lines of one journal.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    node: String,
    counts: BTreeMap<Key, Counts>,
    latency: BTreeMap<(i64, String, i64), i64>,
    firsts: BTreeMap<String, BTreeMap<(Thing, String, String), i64>>,
}

#[derive(Deserialize)]
struct Timed {
    details: Details,
}

#[derive(Deserialize)]
struct Details {
    duration_us: i64,
}

impl Tally {
    /// Counts lines of the journal of `node`. A line that says nothing that is counted is left out, whatever is in it.
    pub(crate) fn of<'a>(node: &str, entries: impl IntoIterator<Item = &'a AuditEntry>) -> Self {
        let mut tally = Self { node: node.to_owned(), ..Self::default() };
        for entry in entries {
            tally.add(entry);
        }
        tally
    }

    fn add(&mut self, entry: &AuditEntry) {
        let row = &entry.row;
        let said = (row.kind.as_str(), row.effect.as_deref(), row.outcome.as_deref());
        let mut counts = Counts::default();
        match said {
            ("call.decided", Some("allow"), _) => counts.allowed = 1,
            ("call.decided", Some("ask"), _) => counts.asked = 1,
            ("call.decided", Some("step_up"), _) => counts.stepped_up = 1,
            ("call.decided", _, _) => counts.denied = 1,
            ("call.ended", _, Some("success")) => counts.succeeded = 1,
            ("call.ended", _, Some("timeout")) => counts.timed_out = 1,
            ("call.ended", _, Some("unknown")) => counts.unknown = 1,
            ("call.ended", _, _) => counts.failed = 1,
            ("approval.asked", ..) => counts.approvals_asked = 1,
            ("approval.granted", ..) => counts.approvals_granted = 1,
            ("approval.refused", ..) => counts.approvals_refused = 1,
            ("approval.expired", ..) => counts.approvals_expired = 1,
            _ => return,
        }
        let began_at = hour(row.at);
        let [person, server, name, client] =
            [&row.person, &row.server, &row.name, &row.client].map(|text| cut(text.as_deref().unwrap_or_default()));
        if row.kind == "call.ended"
            && let Ok(Timed { details }) = serde_json::from_str(&entry.line)
        {
            counts.micros = details.duration_us.max(0);
            *self.latency.entry((began_at, server.clone(), Histogram::step(details.duration_us))).or_default() += 1;
        }
        if row.kind == "call.decided" && !person.is_empty() {
            let firsts = self.firsts.entry(person.clone()).or_default();
            let none = String::new;
            // Each document is read for the first time by somebody: that says nothing.
            let is_resource = row.method.as_deref().is_some_and(|method| method.starts_with("resources/"));
            for (thing, server, name) in [
                (Thing::Tool, server.clone(), name.clone()),
                (Thing::Server, none(), server.clone()),
                (Thing::Client, none(), client.clone()),
            ] {
                if name.is_empty() || (is_resource && thing == Thing::Tool) {
                    continue;
                }
                let first = firsts.entry((thing, server, name)).or_insert(row.at.as_millis());
                *first = row.at.as_millis().min(*first);
            }
        }
        *self.counts.entry(Key { began_at, person, server, name, client }).or_default() += counts;
    }

    /// Adds the numbers to those that are there, in the commit that moves the journal's cursor behind the lines.
    pub(crate) async fn write(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let node = self.node.as_str();
        let counts = self.within_bounds(tx).await?;
        let rows: Vec<Vec<Param<'_>>> = counts
            .iter()
            .map(|(key, counts)| {
                let Key { began_at, person, server, name, client } = key;
                let key = params![1_i64, *began_at, node, person, server, name, client];
                key.into_iter().chain(counts.params()).collect()
            })
            .collect();
        add(tx, &ADD_COUNTS, rows).await?;
        let rows: Vec<Vec<Param<'_>>> = self
            .latency
            .iter()
            .map(|((began_at, server, step), calls)| params![1_i64, *began_at, node, server, *step, *calls].into())
            .collect();
        add(tx, &ADD_LATENCY, rows).await?;
        self.write_firsts(tx).await
    }

    /// What of it may be written: a person who has too many rows gets no new ones.
    async fn within_bounds(&self, tx: &mut Tx) -> Result<BTreeMap<Key, Counts>, StoreError> {
        let mut counts = self.counts.clone();
        let mut groups: BTreeMap<(i64, &str), usize> = BTreeMap::new();
        for key in self.counts.keys() {
            *groups.entry((key.began_at, &key.person)).or_default() += 1;
        }
        for ((began_at, person), fresh) in groups {
            let of = params![began_at, &self.node, person];
            let there = "from insight_counts where hours = 1 and began_at = $1 and node = $2 and person = $3";
            let count = tx.query_first(&format!("select count(*) {there}"), &of).await?;
            let mut room = MOST_KEYS.saturating_sub(count.map_or(Ok(0), |mut row| row.take::<i64>())? as usize);
            if fresh <= room {
                continue;
            }
            let mut known = BTreeSet::new();
            for mut row in tx.query(&format!("select server, name, client {there}"), &of).await? {
                let (server, name, client) = (row.take()?, row.take()?, row.take()?);
                known.insert(Key { began_at, person: person.to_owned(), server, name, client });
            }
            for (key, found) in self.counts.iter().filter(|(key, _)| (key.began_at, &*key.person) == (began_at, person))
            {
                if known.contains(key) {
                    continue;
                }
                if room > 0 {
                    room -= 1;
                    continue;
                }
                counts.remove(key);
                let others = Key { name: OTHERS.to_owned(), client: OTHERS.to_owned(), ..key.clone() };
                *counts.entry(others).or_default() += *found;
            }
        }
        Ok(counts)
    }

    async fn write_firsts(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let node = self.node.as_str();
        for (person, things) in &self.firsts {
            let mut fresh = 0;
            for ((thing, server, name), first_at) in things {
                let sql = "insert into insight_firsts (node, person, what, server, name, first_at) \
                     values ($1, $2, $3, $4, $5, $6) on conflict (node, person, what, server, name) do nothing";
                fresh += tx.execute(sql, &params![node, person, thing.as_str(), server, name, *first_at]).await?;
            }
            if fresh == 0 {
                continue;
            }
            let sql = "select count(*) from insight_firsts where node = $1 and person = $2";
            let count = tx.query_first(sql, &params![node, person]).await?;
            let too_many = count.map_or(Ok(0), |mut row| row.take::<i64>())? - MOST_FIRSTS;
            if too_many > 0 {
                let sql = "delete from insight_firsts where node = $1 and person = $2 and (what, server, name) in \
                     (select what, server, name from insight_firsts where node = $1 and person = $2 \
                     order by first_at desc, what desc, server desc, name desc limit $3)";
                tx.execute(sql, &params![node, person, too_many]).await?;
            }
        }
        Ok(())
    }
}

async fn add(tx: &mut Tx, statements: &[String; 2], mut rows: Vec<Vec<Param<'_>>>) -> Result<(), StoreError> {
    for (size, sql) in PORTIONS.into_iter().zip(statements) {
        while rows.len() >= size {
            let values: Vec<Param<'_>> = rows.drain(rows.len() - size..).flatten().collect();
            tx.execute(sql, &values).await?;
        }
    }
    Ok(())
}

/// A statement that adds so many rows to those that are there.
fn add_sql(table: &str, keys: &[&str], sums: &[&str], rows: usize) -> String {
    let columns = [keys, sums].concat();
    let width = columns.len();
    let row = |n: usize| {
        let numbers: Vec<String> = (1..=width).map(|column| format!("${}", n * width + column)).collect();
        format!("({})", numbers.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    let sums: Vec<String> = sums.iter().map(|sum| format!("{sum} = {table}.{sum} + excluded.{sum}")).collect();
    format!(
        "insert into {table} ({}) values {} on conflict ({}) do update set {}",
        columns.join(", "),
        rows.join(", "),
        keys.join(", "),
        sums.join(", ")
    )
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
