//! When a client was last used: grants and tokens note it, and clients that nobody uses are forgotten by it.

use std::time::Duration;

use portcullis_base::{ClientId, Timestamp};

use crate::{
    StoreError,
    db::{Tx, params},
};

/// `last_used_at` is written at most this often.
pub(crate) const USED_EVERY: Duration = Duration::from_hours(1);

/// Notes a use, to the hour: many grants share a client.
pub(crate) async fn touch(tx: &mut Tx, id: &ClientId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "update clients set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at < $3)",
        &params![id, now, now.minus(USED_EVERY)],
    )
    .await
    .map(drop)
}
