//! Numbers that grow old: hours become days, days end; and a journal that is indexed again is counted again.

use portcullis_base::Timestamp;

use super::{Counts, DAY};
use crate::{
    Store, StoreError,
    db::{Tx, params, transact},
};

/// Hours are told apart for so long.
const HOURS_KEPT: i64 = 90 * DAY;
/// Days are kept for so long.
const DAYS_KEPT: i64 = 731 * DAY;

impl Store {
    /// Folds hours that are over for 90 days into days, and forgets days after two years. Run now and then, by any node. How
    /// many days were folded.
    pub async fn fold_insight(&self, now: Timestamp) -> Result<u64, StoreError> {
        let today = now.as_millis().div_euclid(DAY) * DAY;
        let mut folded = 0;
        // A day at a time: others want to write in between.
        while fold_a_day(self, today - HOURS_KEPT).await? {
            folded += 1;
            tokio::task::yield_now().await;
        }
        for table in ["insight_counts", "insight_latency"] {
            let sql = format!("delete from {table} where hours = 24 and began_at < $1");
            transact!(self.db, |tx| tx.execute(&sql, &params![today - DAYS_KEPT]).await)?;
        }
        Ok(folded)
    }
}

async fn fold_a_day(store: &Store, before: i64) -> Result<bool, StoreError> {
    let (columns, sums) = (Counts::COLUMNS.join(", "), Counts::sums());
    let added: Vec<_> =
        Counts::COLUMNS.iter().map(|name| format!("{name} = insight_counts.{name} + excluded.{name}")).collect();
    // "where true" keeps SQLite from taking the conflict clause for the condition of a join.
    let counts = format!(
        "insert into insight_counts (hours, began_at, node, person, server, name, client, {columns}) \
         select 24, cast($1 as bigint), node, person, server, name, client, {sums} from insight_counts \
         where hours = 1 and began_at >= $1 and began_at < $2 group by node, person, server, name, client \
         on conflict (hours, began_at, node, person, server, name, client) do update set {}",
        added.join(", ")
    );
    let latency = "insert into insight_latency (hours, began_at, node, server, step, calls) \
         select 24, cast($1 as bigint), node, server, step, cast(sum(calls) as bigint) from insight_latency \
         where hours = 1 and began_at >= $1 and began_at < $2 group by node, server, step \
         on conflict (hours, began_at, node, server, step) do update set calls = insight_latency.calls + excluded.calls";
    transact!(store.db, |tx| {
        let oldest = "select min(began_at) from (select min(began_at) as began_at from insight_counts where hours = 1 \
             and began_at < $1 union all select min(began_at) from insight_latency where hours = 1 and began_at < $1) as old";
        let found = tx.query_first(oldest, &params![before]).await?;
        let Some(first) = found.map_or(Ok(None), |mut row| row.take::<Option<i64>>())? else { return Ok(false) };
        let day = first.div_euclid(DAY) * DAY;
        tx.execute(&counts, &params![day, day + DAY]).await?;
        tx.execute(latency, &params![day, day + DAY]).await?;
        for table in ["insight_counts", "insight_latency"] {
            let sql = format!("delete from {table} where hours = 1 and began_at >= $1 and began_at < $2");
            tx.execute(&sql, &params![day, day + DAY]).await?;
        }
        Ok(true)
    })
}

/// Takes the numbers of a journal away, in the commit that takes its cursor away.
pub(crate) async fn forget(tx: &mut Tx, node: &str) -> Result<(), StoreError> {
    for table in ["insight_counts", "insight_latency", "insight_firsts"] {
        tx.execute(&format!("delete from {table} where node = $1"), &params![node]).await?;
    }
    Ok(())
}
