//! The end of a person's access, in one commit.

use portcullis_base::{ClientId, GrantId, PersonId, Timestamp};
use portcullis_oauth::grant::RevokedWhy;

use crate::{
    ACCESS_KEY, Connection, Store, StoreError,
    connections::end_connections,
    db::{Tx, params, transact},
    grants::{GrantsOf, revoke_grants},
    people::{disable, is_active},
};

/// How much of a person's access ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The account: the person can no longer sign in.
    Account,
    /// Whatever they are signed in to; they may sign in again.
    SignIns,
}

/// What was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offboarded {
    /// Who.
    pub person: PersonId,
    /// The account name.
    pub name: String,
    /// Whether the account was still open.
    pub was_active: bool,
    /// How many browser sessions.
    pub sessions: u64,
    /// Which grants, those of access keys among them.
    pub grants: Vec<EndedGrant>,
    /// How many of the grants were access keys.
    pub access_keys: u64,
    /// How many remembered consents.
    pub consents: u64,
    /// The identities at providers, each with what can be given back there.
    pub identities: Vec<EndedIdentity>,
    /// What they had at servers, each with what can be given back there. They are no longer in the database.
    pub connections: Vec<Connection>,
    /// The names of living service accounts that the person owned. They go on: somebody else must answer for them.
    pub owned: Vec<String>,
}

/// A grant that was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedGrant {
    /// Its identifier.
    pub id: GrantId,
    /// The client.
    pub client: ClientId,
    /// The endpoint.
    pub resource: String,
}

/// An identity of somebody who was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedIdentity {
    /// The provider.
    pub provider: String,
    /// The issuer.
    pub issuer: String,
    /// Who they are to it.
    pub subject: String,
    /// The refresh token that was kept, sealed. It is no longer in the database.
    pub refresh_sealed: Option<Vec<u8>>,
}

impl Store {
    /// Ends a person's access; `None` if there is no such person. Ending it again ends what is left.
    ///
    /// spec: T-53; T-95: the last administrator is protected.
    pub async fn offboard(
        &self,
        id: &PersonId,
        extent: Extent,
        now: Timestamp,
    ) -> Result<Option<Offboarded>, StoreError> {
        transact!(self.db, |tx| {
            let Some(mut row) = tx.query_first("select name from people where id = $1", &params![id]).await? else {
                return Ok(None);
            };
            let name = row.take()?;
            let was_active = is_active(tx, id).await?;
            let why = match extent {
                Extent::Account => {
                    disable(tx, id, now).await?;
                    RevokedWhy::Offboarded
                }
                Extent::SignIns => RevokedWhy::SignedOutAtProvider,
            };
            let sessions = tx.execute("delete from sessions where person = $1", &params![id]).await?;
            let consents = tx.execute("delete from consents where person = $1", &params![id]).await?;
            let revoked = revoke_grants(tx, &GrantsOf::Person(id), why, now).await?;
            let grants = grants(tx, &revoked).await?;
            let access_keys = grants.iter().filter(|grant| grant.client.as_str() == ACCESS_KEY).count() as u64;
            let identities = match extent {
                Extent::Account => identities(tx, id, why, now).await?,
                Extent::SignIns => Vec::new(),
            };
            let connections = match extent {
                Extent::Account => end_connections(tx, id, now).await?,
                Extent::SignIns => Vec::new(),
            };
            let owned = owned(tx, id).await?;
            let person = id.clone();
            Ok(Some(Offboarded {
                person,
                name,
                was_active,
                sessions,
                grants,
                access_keys,
                consents,
                identities,
                connections,
                owned,
            }))
        })
    }
}

async fn grants(tx: &mut Tx, ids: &[GrantId]) -> Result<Vec<EndedGrant>, StoreError> {
    let mut grants = Vec::with_capacity(ids.len());
    for id in ids {
        let row = tx.query_first("select id, client, resource from grants where id = $1", &params![id]).await?;
        let mut row = row.ok_or(StoreError::Conflict)?;
        grants.push(EndedGrant { id: row.take()?, client: row.take()?, resource: row.take()? });
    }
    grants.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(grants)
}

/// The identities end too, so that what their providers said of groups counts again only after a new sign-in.
async fn identities(
    tx: &mut Tx,
    person: &PersonId,
    why: RevokedWhy,
    now: Timestamp,
) -> Result<Vec<EndedIdentity>, StoreError> {
    let rows = tx
        .query(
            "select provider, issuer, subject, refresh_sealed from identities where person = $1 \
             order by provider, issuer, subject",
            &params![person],
        )
        .await?;
    tx.execute(
        "update identities set refresh_sealed = null, ended_at = coalesce(ended_at, $2), \
         ended_why = coalesce(ended_why, $3) where person = $1",
        &params![person, now, why.as_str()],
    )
    .await?;
    let identity = |mut row: crate::db::Row| {
        Ok(EndedIdentity {
            provider: row.take()?,
            issuer: row.take()?,
            subject: row.take()?,
            refresh_sealed: row.take()?,
        })
    };
    rows.into_iter().map(identity).collect()
}

async fn owned(tx: &mut Tx, person: &PersonId) -> Result<Vec<String>, StoreError> {
    let rows = tx
        .query("select name from people where owner = $1 and disabled_at is null order by name_key", &params![person])
        .await?;
    rows.into_iter().map(|mut row| row.take()).collect()
}
