//! A database that was brought back from a copy: what it would bring back to life is ended.
//!
//! spec: T-101

use portcullis_base::{PersonId, Timestamp};
use portcullis_oauth::grant::RevokedWhy;

use crate::{
    ChangeKind, Store, StoreError,
    access_grants::end_access_grants,
    approvals::end_approvals,
    db::transact,
    delegations::end_delegations,
    grants::{GrantsOf, revoke_grants},
    standing_grants::end_standing_grants,
};

/// What was ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedByRestore {
    /// Browser sessions.
    pub sessions: u64,
    /// Grants with their codes and tokens, those of access keys among them.
    pub grants: u64,
    /// Calls that waited for somebody, or were approved and not run.
    pub approvals: u64,
    /// Approvals ahead.
    pub standing: u64,
    /// Rights to servers that would have ended by themselves.
    pub access: u64,
    /// Words that were lent.
    pub delegations: u64,
    /// Keys that signed access tokens.
    pub signing_keys: u64,
}

impl Store {
    /// Leaves a mark that `node` is there; the revision by then, which an older copy of this database has not reached.
    pub async fn mark(&self, node: &str, now: Timestamp) -> Result<i64, StoreError> {
        transact!(self.db, |tx| {
            tx.changed(ChangeKind::Mark, node, now);
            Ok(())
        })?;
        self.revision().await
    }

    /// Ends everybody's sessions, grants, approvals and rights for a time: each may have been ended or used up already after
    /// the copy was made. Tokens that this database knows nothing of end with the keys that signed them.
    pub async fn end_what_was_restored(&self, now: Timestamp) -> Result<EndedByRestore, StoreError> {
        transact!(self.db, |tx| {
            let mut ended = EndedByRestore {
                sessions: tx.execute("delete from sessions", &[]).await?,
                signing_keys: tx.execute("delete from signing_keys", &[]).await?,
                ..EndedByRestore::default()
            };
            tx.execute("delete from consents", &[]).await?;
            let people: Vec<PersonId> = tx
                .query("select id from people order by id", &[])
                .await?
                .into_iter()
                .map(|mut row| row.take())
                .collect::<Result<_, _>>()?;
            for person in &people {
                ended.grants +=
                    revoke_grants(tx, &GrantsOf::Person(person), RevokedWhy::Restored, now).await?.len() as u64;
                ended.approvals += end_approvals(tx, person, now).await?;
                ended.standing += end_standing_grants(tx, person, now).await?;
                ended.access += end_access_grants(tx, person, now).await?;
                ended.delegations += end_delegations(tx, person, now).await?;
            }
            Ok(ended)
        })
    }
}
