//! What rules call that which a person does through a client: on every node, and through restarts.

use std::sync::Arc;

use portcullis_base::{ClientId, PersonId, Timestamp};

use crate::{
    Store, StoreError,
    db::{params, transact},
};

impl Store {
    /// What `person` does through `client` is called all of `labels` until `ends_at`, or longer if it is already.
    pub async fn label_session(
        &self,
        person: &PersonId,
        client: &ClientId,
        labels: &[Arc<str>],
        ends_at: Timestamp,
    ) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            for label in labels {
                tx.execute(
                    "insert into session_labels (person, client, label, ends_at) values ($1, $2, $3, $4) \
                     on conflict (person, client, label) do update set ends_at = excluded.ends_at \
                     where session_labels.ends_at < excluded.ends_at",
                    &params![person, client, &**label, ends_at],
                )
                .await?;
            }
            Ok(())
        })
    }

    /// What it is called at `now`, in a fixed order.
    pub async fn session_labels(
        &self,
        person: &PersonId,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Vec<Arc<str>>, StoreError> {
        let sql = "select label from session_labels where person = $1 and client = $2 and ends_at > $3 order by label";
        let rows = self.db.query(sql, &params![person, client, now]).await?;
        rows.into_iter().map(|mut row| row.take::<String>().map(Into::into)).collect()
    }
}
