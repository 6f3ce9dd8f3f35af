//! Signed reports of what was ended for a person, as they were signed.

use portcullis_base::{PersonId, Timestamp};

use crate::{
    Store, StoreError,
    db::{Row, params, transact},
};

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// Its identifier.
    pub id: String,
    /// Whom it is about.
    pub person: PersonId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its text, with the signature.
    pub report: String,
}

/// So many are listed.
const LISTED: i64 = 500;

impl Store {
    /// Keeps a report; one that was kept before is written again with what was learned since.
    pub async fn put_report(&self, row: &ReportRow) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            tx.execute(
                "insert into reports (id, person, created_at, report) values ($1, $2, $3, $4) \
                 on conflict (id) do update set report = excluded.report",
                &params![&row.id, &row.person, row.created_at, &row.report],
            )
            .await
        })
        .map(drop)
    }

    /// The report with this identifier.
    pub async fn report(&self, id: &str) -> Result<Option<ReportRow>, StoreError> {
        let sql = "select id, person, created_at, report from reports where id = $1";
        self.db.query_first(sql, &params![id]).await?.map(report).transpose()
    }

    /// The newest reports, the newest first.
    pub async fn reports(&self) -> Result<Vec<ReportRow>, StoreError> {
        let sql = "select id, person, created_at, report from reports order by created_at desc, id limit $1";
        self.db.query(sql, &params![LISTED]).await?.into_iter().map(report).collect()
    }
}

fn report(mut row: Row) -> Result<ReportRow, StoreError> {
    Ok(ReportRow { id: row.take()?, person: row.take()?, created_at: row.take()?, report: row.take()? })
}
