//! The link by which the first administrator gets in.
//!
//! spec: T-95: it is printed where only the operator sees it, works once, expires, and is worth nothing as soon as there
//! is an administrator.

use portcullis_base::{Digest, Timestamp};

use crate::{
    NewPerson, Person, Store, StoreError,
    db::{params, transact},
    people::{create, has_administrator},
};

impl Store {
    /// Issues an invitation, which voids the earlier ones; `false` if an administrator exists already.
    pub async fn issue_invitation(
        &self,
        hash: &Digest,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            tx.execute("delete from invitations", &[]).await?;
            if has_administrator(tx).await? {
                return Ok(false);
            }
            tx.execute(
                "insert into invitations (hash, created_at, expires_at) values ($1, $2, $3)",
                &params![hash, now, expires_at],
            )
            .await?;
            Ok(true)
        })
    }

    /// Whether an invitation would be accepted: for the page that asks for a name and a password.
    pub async fn is_invitation_open(&self, hash: &Digest, now: Timestamp) -> Result<bool, StoreError> {
        let rows = self
            .db
            .query(
                "select 1 from invitations where hash = $1 and used_at is null and expires_at > $2 \
                 and not exists (select 1 from people where admin_at is not null and disabled_at is null)",
                &params![hash, now],
            )
            .await?;
        Ok(!rows.is_empty())
    }

    /// Uses an invitation up and makes its holder administrator; `None` if it is used, expired or void.
    ///
    /// If the name is taken ([`StoreError::Taken`]) the invitation stays good.
    pub async fn redeem_invitation(
        &self,
        hash: &Digest,
        new: &NewPerson,
        now: Timestamp,
    ) -> Result<Option<Person>, StoreError> {
        let new = NewPerson { admin_at: Some(now), ..new.clone() };
        transact!(self.db, |tx| {
            if has_administrator(tx).await? {
                return Ok(None);
            }
            let used = tx
                .execute(
                    "update invitations set used_at = $2 where hash = $1 and used_at is null and expires_at > $2",
                    &params![hash, now],
                )
                .await?;
            if used == 0 {
                return Ok(None);
            }
            create(tx, &new, now).await.map(Some)
        })
    }
}
