//! People who let somebody else say yes and no in their stead for a while.

use portcullis_base::{DelegationId, PersonId, Timestamp};

use crate::{
    Store, StoreError,
    db::{Row, Tx, params, transact},
    people::is_active,
};

/// Somebody's leave for somebody else to decide on calls that wait for their word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Its identifier.
    pub id: DelegationId,
    /// Who lends their word.
    pub person: PersonId,
    /// To whom.
    pub delegate: PersonId,
    /// Why.
    pub why: String,
    /// Since when.
    pub made_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// When it was taken back before that.
    pub revoked_at: Option<Timestamp>,
    /// By whom.
    pub revoked_by: Option<PersonId>,
}

const DELEGATION: &str = "d.id, d.person, d.delegate, d.why, d.made_at, d.ends_at, d.revoked_at, d.revoked_by";

/// What is in force, where $1 is now and both people are still here.
const ALIVE: &str = "d.ends_at > $1 and d.revoked_at is null \
     and exists (select 1 from people p where p.id = d.person and p.disabled_at is null) \
     and exists (select 1 from people p where p.id = d.delegate and p.disabled_at is null)";

impl Store {
    /// Lends somebody's word, of whom at most `most` may be in force at a time; whether it was done.
    pub async fn delegate(&self, new: &Delegation, most: u32) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            if !is_active(tx, &new.person).await? || !is_active(tx, &new.delegate).await? {
                return Err(StoreError::Missing);
            }
            let sql = "select count(*) from delegations where person = $2 and ends_at > $1 and revoked_at is null";
            let have = tx.query_first(sql, &params![new.made_at, &new.person]).await?;
            if have.map_or(Ok(0), |mut row| row.take::<i64>())? >= i64::from(most) {
                return Ok(false);
            }
            tx.execute(
                "insert into delegations (id, person, delegate, why, made_at, ends_at) values ($1, $2, $3, $4, $5, $6)",
                &params![&new.id, &new.person, &new.delegate, &new.why, new.made_at, new.ends_at],
            )
            .await?;
            Ok(true)
        })
    }

    /// One of them, whether it is in force or not.
    pub async fn delegation(&self, id: &DelegationId) -> Result<Option<Delegation>, StoreError> {
        let sql = format!("select {DELEGATION} from delegations d where d.id = $1");
        self.db.query_first(&sql, &params![id]).await?.map(delegation).transpose()
    }

    /// All that are in force, the newest first.
    pub async fn delegations(&self, now: Timestamp) -> Result<Vec<Delegation>, StoreError> {
        let sql = format!("select {DELEGATION} from delegations d where {ALIVE} order by d.made_at desc, d.id");
        self.db.query(&sql, &params![now]).await?.into_iter().map(delegation).collect()
    }

    /// Those in force by which somebody has the word of others.
    pub async fn delegations_to(&self, delegate: &PersonId, now: Timestamp) -> Result<Vec<Delegation>, StoreError> {
        let sql = format!(
            "select {DELEGATION} from delegations d where {ALIVE} and d.delegate = $2 order by d.made_at, d.id"
        );
        self.db.query(&sql, &params![now, delegate]).await?.into_iter().map(delegation).collect()
    }

    /// Takes one back; whether it was in force.
    pub async fn revoke_delegation(
        &self,
        id: &DelegationId,
        by: &PersonId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let sql = "update delegations set revoked_at = $2, revoked_by = $3 where id = $1 and revoked_at is null \
                       and ends_at > $2";
            Ok(tx.execute(sql, &params![id, now, by]).await? == 1)
        })
    }
}

/// Those of somebody whose account ends, and to them; how many.
pub(crate) async fn end_delegations(tx: &mut Tx, person: &PersonId, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "update delegations set revoked_at = $2 where (person = $1 or delegate = $1) and revoked_at is null \
               and ends_at > $2";
    tx.execute(sql, &params![person, now]).await
}

fn delegation(mut row: Row) -> Result<Delegation, StoreError> {
    Ok(Delegation {
        id: row.take()?,
        person: row.take()?,
        delegate: row.take()?,
        why: row.take()?,
        made_at: row.take()?,
        ends_at: row.take()?,
        revoked_at: row.take()?,
        revoked_by: row.take()?,
    })
}
