//! How often rules decided, counted in the index of the journals: for pages, never for a call.

use portcullis_base::Timestamp;

use crate::{
    AuditEntry, Store, StoreError,
    audit_index::{COLUMNS, entry},
    db::params,
};

/// How often a rule said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleHits {
    /// The rule; `access` is the access list of a server.
    pub rule: String,
    /// What it said.
    pub effect: String,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
}

const DECIDED: &str = "call.decided";

impl Store {
    /// What rules said since then, of the newest `most` decisions; so that it takes its time from nobody.
    pub async fn rule_hits(&self, since: Timestamp, most: u32) -> Result<Vec<RuleHits>, StoreError> {
        let sql = "select rule, effect, count(*), max(happened_at) from (select rule, effect, happened_at from audit_index \
             where kind = $1 and happened_at >= $2 order by happened_at desc limit $3) as recent \
             where rule is not null and effect is not null group by rule, effect order by rule, effect";
        let rows = self.db.query(sql, &params![DECIDED, since, i64::from(most)]).await?;
        let hits = rows.into_iter().map(|mut row| {
            let (rule, effect, count, last) = (row.take()?, row.take()?, row.take::<i64>()?, row.take()?);
            Ok(RuleHits { rule, effect, count: u64::try_from(count).unwrap_or_default(), last })
        });
        hits.collect()
    }

    /// Decisions of which a rule in shadow said something, of the newest `most` since then: the newest `take` of them.
    pub async fn shadowed(&self, since: Timestamp, most: u32, take: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let columns = COLUMNS.join(", ");
        let sql = format!(
            "select {columns} from (select {columns} from audit_index where kind = $1 and happened_at >= $2 \
             order by happened_at desc limit $3) as recent where line like '%\"shadow\":%' \
             order by happened_at desc, node desc, seq desc limit $4"
        );
        let values = params![DECIDED, since, i64::from(most), i64::from(take)];
        self.db.query(&sql, &values).await?.into_iter().map(entry).collect()
    }
}
