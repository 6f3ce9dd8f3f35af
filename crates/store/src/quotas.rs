//! Limits over time that hold over all nodes: a call takes its part before it goes on, and gives it back if it did not.
//!
//! The law counts; what it has counted is kept as it says it. spec: T-79

use std::time::Duration;

use portcullis_base::{CallId, Timestamp};
use portcullis_policy::{Claim, Counter, Exhausted, Reservation};

use crate::{
    Run, Store, StoreError,
    approvals::{json, read_json},
    db::{Row, Tx, params, transact},
};

/// What a call takes, of all that limits it.
#[derive(Clone, Copy, Debug)]
pub struct QuotaHold<'a> {
    /// The call.
    pub call: &'a CallId,
    /// Who runs it.
    pub run: Run<'a>,
    /// For how long that is known to be alive. See [`Store::renew_run`].
    pub lease: Duration,
    /// What it takes, each of another limit.
    pub claims: &'a [Claim],
}

impl Store {
    /// Takes all that a call needs, or nothing, and says then what there is too little of and when to try again.
    ///
    /// spec: T-79: however many try at once, no limit is exceeded.
    pub async fn reserve_quota(
        &self,
        hold: &QuotaHold<'_>,
        now: Timestamp,
    ) -> Result<Result<(), Exhausted>, StoreError> {
        transact!(self.db, |tx| {
            let mut taken = Vec::with_capacity(hold.claims.len());
            for claim in hold.claims {
                let quota = name(claim);
                let mut counter = counter(tx, &quota).await?.unwrap_or_default();
                match counter.reserve(claim, now, hold.lease) {
                    Ok(reservation) => taken.push((quota, counter, reservation, ends_at(claim, hold.lease, now))),
                    // Nothing is written yet.
                    Err(why) => return Ok(Err(why)),
                }
            }
            for (quota, counter, reservation, ends_at) in taken {
                tx.execute(
                    "insert into quota_windows (quota, counter, ends_at) values ($1, $2, $3) \
                     on conflict (quota) do update set counter = excluded.counter, ends_at = excluded.ends_at",
                    &params![&quota, json(&counter)?, ends_at],
                )
                .await?;
                tx.execute(
                    "insert into quota_holds (call_id, quota, reservation, node, run, leased_until) \
                     values ($1, $2, $3, $4, $5, $6)",
                    &params![hold.call, &quota, json(&reservation)?, hold.run.node, hold.run.run, now.plus(hold.lease)],
                )
                .await?;
            }
            Ok(Ok(()))
        })
    }

    /// Notes that the call is about to leave: from now on what it took is used, whatever becomes of this node. Whether it
    /// still had it.
    pub async fn quota_sent(&self, call: &CallId, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let sql = "update quota_holds set sent_at = $2 where call_id = $1";
            Ok(tx.execute(sql, &params![call, now]).await? > 0)
        })
    }

    /// The call has ended, and what it took is used. Once; whether it had any.
    pub async fn commit_quota(&self, call: &CallId) -> Result<bool, StoreError> {
        transact!(self.db, |tx| settle(tx, call, Counter::commit).await)
    }

    /// The call was not made, and surely had no effect: what it took is given back. Once; whether it had any.
    pub async fn roll_back_quota(&self, call: &CallId) -> Result<bool, StoreError> {
        transact!(self.db, |tx| settle(tx, call, Counter::rollback).await)
    }

    /// Settles what runs held that are over: earlier ones of this node, and those of any node that were not renewed in
    /// time. What had not been sent is given back; what had counts as used, for nobody knows. How many.
    pub async fn release_quotas(&self, run: Run<'_>, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "delete from quota_holds where (node = $1 and run <> $2) or leased_until <= $3 \
                   returning quota, reservation, sent_at";
        transact!(self.db, |tx| {
            let rows = tx.query(sql, &params![run.node, run.run, now]).await?;
            let count = rows.len() as u64;
            for mut row in rows {
                let (quota, reservation) = held(&mut row)?;
                let sent = row.take::<Option<Timestamp>>()?.is_some();
                let end = if sent { Counter::commit } else { Counter::rollback };
                change(tx, &quota, |counter| end(counter, &reservation)).await?;
            }
            Ok(count)
        })
    }
}

/// The limit, whose it is counted for, and over which time: what was counted over another time is not what it is about.
fn name(claim: &Claim) -> String {
    let window = claim.quota.window.map_or(0, |window| window.as_secs());
    format!("{window}s {}", claim.key)
}

/// When nothing of it counts any more, at the latest.
fn ends_at(claim: &Claim, lease: Duration, now: Timestamp) -> Timestamp {
    now.plus(claim.quota.window.unwrap_or_default()).plus(claim.quota.window.unwrap_or_default()).plus(lease)
}

async fn settle(tx: &mut Tx, call: &CallId, end: fn(&mut Counter, &Reservation)) -> Result<bool, StoreError> {
    let sql = "delete from quota_holds where call_id = $1 returning quota, reservation";
    let rows = tx.query(sql, &params![call]).await?;
    let had = !rows.is_empty();
    for mut row in rows {
        let (quota, reservation) = held(&mut row)?;
        change(tx, &quota, |counter| end(counter, &reservation)).await?;
    }
    Ok(had)
}

async fn change(tx: &mut Tx, quota: &str, change: impl FnOnce(&mut Counter)) -> Result<(), StoreError> {
    let Some(mut counter) = counter(tx, quota).await? else { return Ok(()) };
    change(&mut counter);
    let sql = "update quota_windows set counter = $2 where quota = $1";
    tx.execute(sql, &params![quota, json(&counter)?]).await.map(drop)
}

async fn counter(tx: &mut Tx, quota: &str) -> Result<Option<Counter>, StoreError> {
    let row = tx.query_first("select counter from quota_windows where quota = $1", &params![quota]).await?;
    row.map(|mut row| read_json(&row.take::<String>()?, "what was counted for a limit")).transpose()
}

fn held(row: &mut Row) -> Result<(String, Reservation), StoreError> {
    Ok((row.take()?, read_json(&row.take::<String>()?, "what a call took of a limit")?))
}
