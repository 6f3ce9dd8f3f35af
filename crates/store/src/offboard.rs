//! The end of a person's access, in one commit.

use portcullis_base::{ClientId, GrantId, PersonId, Timestamp};
use portcullis_oauth::grant::RevokedWhy;

use crate::{
    ACCESS_KEY, Connection, Store, StoreError,
    access_grants::end_access_grants,
    access_requests::end_access_requests,
    approvals::end_approvals,
    connections::end_connections,
    db::{Tx, params, transact},
    delegations::end_delegations,
    grants::{GrantsOf, revoke_grants},
    people::{disable, is_active},
    standing_grants::end_standing_grants,
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
    /// What they could do with the word of a human, or say as one.
    pub rights: EndedRights,
    /// What they had at servers, each with what can be given back there. They are no longer in the database.
    pub connections: Vec<Connection>,
    /// The names of living service accounts that the person owned. They go on: somebody else must answer for them.
    pub owned: Vec<String>,
}

/// What somebody who was ended could do with the word of a human, or say as one: how much of each there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedRights {
    /// Calls of theirs that waited for somebody, or were approved by them and not run.
    pub approvals: u64,
    /// Approvals ahead, theirs and those that they gave others.
    pub standing: u64,
    /// Wishes that nobody has answered.
    pub wishes: u64,
    /// Rights to servers that would have ended by themselves.
    pub access: u64,
    /// Words that they lent, or were lent.
    pub delegations: u64,
    /// Passkeys.
    pub passkeys: u64,
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
    /// Disables a person and ends their sessions, grants and rights; whether this changed anything.
    ///
    /// spec: T-53; T-95: the last administrator is protected.
    pub async fn disable_person(&self, id: &PersonId, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            if !disable(tx, id, now).await? {
                return Ok(false);
            }
            tx.execute("delete from sessions where person = $1", &params![id]).await?;
            tx.execute("delete from consents where person = $1", &params![id]).await?;
            revoke_grants(tx, &GrantsOf::Person(id), RevokedWhy::PersonDisabled, now).await?;
            end_rights(tx, id, now).await?;
            Ok(true)
        })
    }

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
            let (rights, connections) = match extent {
                Extent::Account => (end_rights(tx, id, now).await?, end_connections(tx, id, now).await?),
                Extent::SignIns => (EndedRights::default(), Vec::new()),
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
                rights,
                connections,
                owned,
            }))
        })
    }
}

/// What somebody whose account ends could do with the word of a human, or say as one.
///
/// spec: T-53: "disable => ... cancel pending approvals"
pub(crate) async fn end_rights(tx: &mut Tx, id: &PersonId, now: Timestamp) -> Result<EndedRights, StoreError> {
    Ok(EndedRights {
        approvals: end_approvals(tx, id, now).await?,
        standing: end_standing_grants(tx, id, now).await?,
        wishes: end_access_requests(tx, id, now).await?,
        access: end_access_grants(tx, id, now).await?,
        delegations: end_delegations(tx, id, now).await?,
        passkeys: tx.execute("delete from passkeys where person = $1", &params![id]).await?,
    })
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
