//! Codes and refresh tokens: the law decides, we apply. Both are looked up by digest and stored as nothing else
//! (spec: AS-87, T-44).

use portcullis_base::{Digest, Timestamp};
use portcullis_oauth::{
    grant::{Code, Grant, RefreshToken},
    pkce::Challenge,
    token::{RedeemFacts, Redeemed, RefreshFacts, Refreshed},
};

use crate::{
    Store, StoreError,
    db::{Tx, params, transact},
    grants::{GRANT, grant, revoke, touch},
    last_use,
};

/// The refresh token that comes with the first access token, if one does.
#[derive(Clone, Copy, Debug)]
pub struct FirstRefresh {
    /// Its digest.
    pub hash: Digest,
    /// When it dies if it is not used; never after its grant.
    pub expires_at: Timestamp,
}

impl Store {
    /// Redeems a code. `decide` may be asked more than once; what it said last was applied, and comes back with the grant
    /// (unless the code is unknown).
    ///
    /// spec: AS-67, T-9: however many present a code at once, one of them gets tokens.
    pub async fn redeem(
        &self,
        code: &Digest,
        first_refresh: &FirstRefresh,
        now: Timestamp,
        mut decide: impl FnMut(Option<&RedeemFacts>) -> Redeemed,
    ) -> Result<(Redeemed, Option<Grant>), StoreError> {
        transact!(self.db, |tx| {
            let facts = redeem_facts(tx, code).await?;
            let decision = decide(facts.as_ref());
            let Some(RedeemFacts { grant, .. }) = facts else { return Ok((decision, None)) };
            match &decision {
                Redeemed::Issue { with_refresh } => {
                    let redeemed = tx
                        .execute(
                            "update codes set redeemed_at = $2 where hash = $1 and redeemed_at is null",
                            &params![code, now],
                        )
                        .await?;
                    if redeemed == 0 {
                        return Err(StoreError::Conflict);
                    }
                    if *with_refresh {
                        issue(tx, &grant, &first_refresh.hash, first_refresh.expires_at, now).await?;
                    }
                    touch(tx, &grant.id, now).await?;
                    last_use::touch(tx, &grant.client, now).await?;
                }
                Redeemed::Revoke(_, why) => drop(revoke(tx, &grant.id, *why, now).await?),
                Redeemed::Refuse(_) => {}
            }
            Ok((decision, Some(grant)))
        })
    }

    /// Refreshes: replaces a token by its successor, which dies unused at `successor_expires_at`. `decide` may be asked
    /// more than once; what it said last was applied, and comes back with the grant (unless the token is unknown).
    ///
    /// spec: AS-80, AS-81, AS-82, T-40: however many present a token at once, there is one successor.
    pub async fn refresh(
        &self,
        token: &Digest,
        successor: &Digest,
        successor_expires_at: Timestamp,
        now: Timestamp,
        mut decide: impl FnMut(Option<&RefreshFacts>) -> Refreshed,
    ) -> Result<(Refreshed, Option<Grant>), StoreError> {
        transact!(self.db, |tx| {
            let facts = refresh_facts(tx, token).await?;
            let decision = decide(facts.as_ref());
            let Some(RefreshFacts { grant, .. }) = facts else { return Ok((decision, None)) };
            match &decision {
                Refreshed::Rotate(_) => {
                    let replaced = tx
                        .execute(
                            "update refresh_tokens set replaced_at = $2, successor = $3 \
                             where hash = $1 and replaced_at is null",
                            &params![token, now, successor],
                        )
                        .await?;
                    if replaced == 0 {
                        return Err(StoreError::Conflict);
                    }
                    issue(tx, &grant, successor, successor_expires_at, now).await?;
                    touch(tx, &grant.id, now).await?;
                    last_use::touch(tx, &grant.client, now).await?;
                }
                Refreshed::Revoke(_, why) => drop(revoke(tx, &grant.id, *why, now).await?),
                Refreshed::Redeliver(_) | Refreshed::Refuse(_) => {}
            }
            Ok((decision, Some(grant)))
        })
    }

    /// The grant that a refresh token stands for, also one that was replaced: for revocation and introspection.
    pub async fn grant_of_refresh(&self, token: &Digest) -> Result<Option<(RefreshToken, Grant)>, StoreError> {
        let sql = refresh_sql();
        let Some(mut row) = self.db.query_first(&sql, &params![token]).await? else { return Ok(None) };
        let RefreshFacts { token, grant, .. } = read_refresh(&mut row, token)?;
        Ok(Some((token, grant)))
    }
}

/// spec: AS-82, AS-85: never beyond the absolute end of the grant.
async fn issue(
    tx: &mut Tx,
    grant: &Grant,
    hash: &Digest,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "insert into refresh_tokens (hash, grant_id, issued_at, expires_at) values ($1, $2, $3, $4)",
        &params![hash, &grant.id, now, expires_at.min(grant.expires_at)],
    )
    .await
    .map(drop)
}

async fn redeem_facts(tx: &mut Tx, hash: &Digest) -> Result<Option<RedeemFacts>, StoreError> {
    let sql = format!(
        "select c.challenge, c.expires_at, c.redeemed_at, p.disabled_at, {GRANT} \
         from codes c join grants g on g.id = c.grant_id join people p on p.id = g.person where c.hash = $1"
    );
    let Some(mut row) = tx.query_first(&sql, &params![hash]).await? else { return Ok(None) };
    let challenge =
        Challenge::parse(&row.take::<String>()?).map_err(|_| StoreError::Damaged("the challenge of a code".into()))?;
    let (expires_at, redeemed_at) = (row.take()?, row.take()?);
    let person_active = row.take::<Option<Timestamp>>()?.is_none();
    let grant = grant(&mut row)?;
    let code = Code { hash: *hash, grant: grant.id.clone(), challenge, expires_at, redeemed_at };
    Ok(Some(RedeemFacts { code, grant, person_active }))
}

fn refresh_sql() -> String {
    format!(
        "select r.issued_at, r.expires_at, r.replaced_at, r.successor, s.replaced_at, p.disabled_at, {GRANT} \
         from refresh_tokens r join grants g on g.id = r.grant_id join people p on p.id = g.person \
         left join refresh_tokens s on s.hash = r.successor where r.hash = $1"
    )
}

async fn refresh_facts(tx: &mut Tx, hash: &Digest) -> Result<Option<RefreshFacts>, StoreError> {
    let row = tx.query_first(&refresh_sql(), &params![hash]).await?;
    row.map(|mut row| read_refresh(&mut row, hash)).transpose()
}

fn read_refresh(row: &mut crate::db::Row, hash: &Digest) -> Result<RefreshFacts, StoreError> {
    let (issued_at, expires_at, replaced_at, successor) = (row.take()?, row.take()?, row.take()?, row.take()?);
    let successor_used = row.take::<Option<Timestamp>>()?.is_some();
    let person_active = row.take::<Option<Timestamp>>()?.is_none();
    let grant = grant(row)?;
    let token = RefreshToken {
        hash: *hash,
        grant: grant.id.clone(),
        issued_at,
        expires_at,
        replaced_at,
        successor,
        successor_used,
    };
    Ok(RefreshFacts { token, grant, person_active })
}
