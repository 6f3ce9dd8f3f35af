//! The index of the journals: rows to search by. Fed in the background in large batches, rebuilt at will; the journal
//! stays the record.

use std::sync::LazyLock;

use portcullis_audit::IndexRow;
use portcullis_base::Timestamp;

use crate::{
    Store, StoreError,
    db::{Param, Row, params, transact},
    insight::{self, Tally},
};

/// A journal line with the members it is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// What it is found by.
    pub row: IndexRow,
    /// The line as it is in the journal, without its line end.
    pub line: String,
}

/// How far a journal has been indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCursor {
    /// Whose journal.
    pub node: String,
    /// The last line indexed.
    pub seq: i64,
    /// The first line of the segment it is in: the segment's name.
    pub segment: i64,
    /// Where in that segment the next line begins, in bytes.
    pub segment_bytes: i64,
}

/// Which entries to find: those that match everything that is set.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// The person's identifier or account name.
    pub person: Option<String>,
    /// The client's identifier.
    pub client: Option<String>,
    /// The server's name.
    pub server: Option<String>,
    /// The beginning of the kind, such as `token.` or `call.decided`.
    pub kind: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// The MCP method.
    pub method: Option<String>,
    /// The tool, prompt, resource or other object.
    pub name: Option<String>,
    /// The call.
    pub call: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// Which part of what was found, newest first.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// At most so many entries.
    pub limit: u32,
    /// Only entries older than this one: the `at`, `node` and `seq` of the last one of the page before.
    pub before: Option<(Timestamp, String, i64)>,
}

pub(crate) const COLUMNS: [&str; 16] = [
    "node",
    "seq",
    "happened_at",
    "kind",
    "call_id",
    "person",
    "person_name",
    "client",
    "address",
    "server",
    "method",
    "name",
    "outcome",
    "effect",
    "rule",
    "line",
];

/// Rows are inserted so many at a time, and the rest in smaller portions: few statements, each prepared once.
const PORTIONS: [usize; 3] = [64, 8, 1];
static INSERTS: LazyLock<[String; 3]> = LazyLock::new(|| PORTIONS.map(insert_sql));

impl Store {
    /// Adds entries and moves the cursor, in one commit. Entries that are there already stay as they are.
    pub async fn append_audit(&self, entries: &[AuditEntry], cursor: &AuditCursor) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            let at = tx.query_first("select seq from audit_cursors where node = $1", &params![&cursor.node]).await?;
            let after = at.map_or(Ok(0), |mut row| row.take::<i64>())?;
            let fresh = entries.iter().filter(|entry| entry.row.node == cursor.node && entry.row.seq > after);
            Tally::of(&cursor.node, fresh).write(tx).await?;
            let mut rest = entries;
            for (size, sql) in PORTIONS.into_iter().zip(INSERTS.iter()) {
                while rest.len() >= size {
                    let (portion, after) = rest.split_at(size);
                    let values: Vec<Param<'_>> = portion.iter().flat_map(values).collect();
                    tx.execute(sql, &values).await?;
                    rest = after;
                }
            }
            let AuditCursor { node, seq, segment, segment_bytes } = cursor;
            tx.execute(
                "insert into audit_cursors (node, seq, segment, segment_bytes) values ($1, $2, $3, $4) \
                 on conflict (node) do update set seq = excluded.seq, segment = excluded.segment, \
                 segment_bytes = excluded.segment_bytes",
                &params![node, *seq, *segment, *segment_bytes],
            )
            .await
        })
        .map(drop)
    }

    /// How far the journal of `node` has been indexed.
    pub async fn audit_cursor(&self, node: &str) -> Result<Option<AuditCursor>, StoreError> {
        let sql = "select node, seq, segment, segment_bytes from audit_cursors where node = $1";
        let Some(mut row) = self.db.query_first(sql, &params![node]).await? else { return Ok(None) };
        let (node, seq, segment, segment_bytes) = (row.take()?, row.take()?, row.take()?, row.take()?);
        Ok(Some(AuditCursor { node, seq, segment, segment_bytes }))
    }

    /// Forgets what is known of a journal, so that it is indexed again from its beginning.
    pub async fn forget_audit(&self, node: &str) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            insight::forget(tx, node).await?;
            tx.execute("delete from audit_cursors where node = $1", &params![node]).await?;
            tx.execute("delete from audit_index where node = $1", &params![node]).await
        })
        .map(drop)
    }

    /// Finds entries, the newest first.
    pub async fn audit(&self, filter: &AuditFilter, page: &AuditPage) -> Result<Vec<AuditEntry>, StoreError> {
        let (sql, values) = query_sql(filter, page);
        self.db.query(&sql, &values).await?.into_iter().map(entry).collect()
    }
}

fn insert_sql(rows: usize) -> String {
    let width = COLUMNS.len();
    let row = |n: usize| {
        let numbers: Vec<String> = (1..=width).map(|column| format!("${}", n * width + column)).collect();
        format!("({})", numbers.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(
        "insert into audit_index ({}) values {} on conflict (node, seq) do nothing",
        COLUMNS.join(", "),
        rows.join(", ")
    )
}

fn values(entry: &AuditEntry) -> [Param<'_>; 16] {
    let AuditEntry { row, line } = entry;
    params![
        &row.node,
        row.seq,
        row.at,
        &row.kind,
        row.call.as_ref(),
        row.person.as_ref(),
        row.person_name.as_ref(),
        row.client.as_ref(),
        row.address.as_ref(),
        row.server.as_ref(),
        row.method.as_ref(),
        row.name.as_ref(),
        row.outcome.as_ref(),
        row.effect.as_ref(),
        row.rule.as_ref(),
        line
    ]
}

/// Writes the statement for the conditions that are set, and no others: so the engine sees which index helps.
fn query_sql<'a>(filter: &'a AuditFilter, page: &'a AuditPage) -> (String, Vec<Param<'a>>) {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    let mut add = |condition: &str, value: Param<'a>| {
        values.push(value);
        conditions.push(condition.replace('$', &format!("${}", values.len())));
    };
    let AuditFilter { person, client, server, kind, outcome, method, name, call, since, until } = filter;
    let texts = [
        ("(person = $ or person_name = $)", person),
        ("client = $", client),
        ("server = $", server),
        ("outcome = $", outcome),
        ("method = $", method),
        ("name = $", name),
        ("call_id = $", call),
    ];
    for (condition, value) in texts {
        if let Some(value) = value {
            add(condition, value.into());
        }
    }
    if let Some(kind) = kind {
        add("kind >= $", kind.into());
        add("kind < $", format!("{kind}\u{10ffff}").into());
    }
    if let Some(since) = since {
        add("happened_at >= $", (*since).into());
    }
    if let Some(until) = until {
        add("happened_at < $", (*until).into());
    }
    if let Some((at, node, seq)) = &page.before {
        // Implied by the next one; it is there for the index.
        add("happened_at <= $", (*at).into());
        let n = values.len();
        conditions.push(format!("(happened_at, node, seq) < (${}, ${}, ${})", n + 1, n + 2, n + 3));
        values.extend(params![*at, node, *seq]);
    }
    let conditions = if conditions.is_empty() { String::new() } else { format!("where {} ", conditions.join(" and ")) };
    values.push(i64::from(page.limit).into());
    let sql = format!(
        "select {} from audit_index {conditions}order by happened_at desc, node desc, seq desc limit ${}",
        COLUMNS.join(", "),
        values.len()
    );
    (sql, values)
}

pub(crate) fn entry(mut row: Row) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        row: IndexRow {
            node: row.take()?,
            seq: row.take()?,
            at: row.take()?,
            kind: row.take()?,
            call: row.take()?,
            person: row.take()?,
            person_name: row.take()?,
            client: row.take()?,
            address: row.take()?,
            server: row.take()?,
            method: row.take()?,
            name: row.take()?,
            outcome: row.take()?,
            effect: row.take()?,
            rule: row.take()?,
        },
        line: row.take()?,
    })
}
