//! Grants: made by an approval, ended by a revocation.

use std::time::Duration;

use portcullis_base::{ClientId, GrantId, PersonId, Timestamp};
use portcullis_oauth::{
    client::{ClientKind, ClientMetadata},
    consent::ConsentKey,
    grant::{Code, Grant, Revoked, RevokedWhy},
    scope::Scopes,
};

use crate::{
    ACCESS_KEY, ChangeKind, Store, StoreError, consents,
    db::{Row, Tx, params, transact},
    last_use,
    spent::spend,
};

/// No access token is alive longer than this after it was issued: the cap on their lifetime (60 minutes), and room for
/// clocks that differ. Revoked grants stay in the feed for as long.
pub const TOKENS_ALIVE: Duration = Duration::from_mins(75);

/// What a person's approval on the consent page brings about, all in one commit.
#[derive(Clone, Debug)]
pub struct Approval<'a> {
    /// The consent page's transaction: it can be approved once.
    pub transaction: &'a str,
    /// When that page is too old anyway.
    pub transaction_expires_at: Timestamp,
    /// What was granted.
    pub grant: &'a Grant,
    /// The code that stands for it.
    pub code: &'a Code,
    /// The consent to be remembered, if that was asked for and is allowed.
    pub remember: Option<&'a ConsentKey>,
}

/// What became of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approved {
    /// The grant and its code are stored.
    Stored,
    /// This page was approved before; nothing was stored.
    AlreadySpent,
}

/// A grant as a page shows it. spec: AS-91
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// Its identifier.
    pub id: GrantId,
    /// Who consented.
    pub person: PersonId,
    /// The client.
    pub client: ClientId,
    /// The name the client gives itself, if it is still known and has one.
    pub client_name: Option<String>,
    /// How the client is known, if it still is.
    pub client_kind: Option<ClientKind>,
    /// The endpoint.
    pub resource: String,
    /// What was granted.
    pub scopes: Scopes,
    /// Where the code was sent.
    pub redirect_uri: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was last used, roughly.
    pub last_used_at: Option<Timestamp>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A grant whose person has signed in again since tokens of it were issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshGrant {
    /// The grant.
    pub grant: GrantId,
    /// When they last proved who they are.
    pub authenticated_at: Timestamp,
    /// How, in the provider's words.
    pub acr: Option<String>,
}

/// Which grants.
pub(crate) enum GrantsOf<'a> {
    Person(&'a PersonId),
    Client(&'a ClientId),
    Resource(&'a str),
}

/// The columns of a [`Grant`] in the order in which [`grant`] reads them.
pub(crate) const GRANT: &str = "g.id, g.person, g.client, g.resource, g.scopes, g.redirect_uri, g.created_at, \
     g.expires_at, g.authenticated_at, g.acr, g.session, g.revoked_at, g.revoked_why";

impl Store {
    /// Stores what was approved, unless the same page was approved before.
    ///
    /// Whether the person is still active is asked when the code is redeemed.
    pub async fn approve(&self, approval: &Approval<'_>, now: Timestamp) -> Result<Approved, StoreError> {
        let Approval { transaction, transaction_expires_at, grant, code, remember } = approval;
        transact!(self.db, |tx| {
            if !spend(tx, transaction, *transaction_expires_at).await? {
                return Ok(Approved::AlreadySpent);
            }
            insert(tx, grant).await?;
            tx.execute(
                "insert into codes (hash, grant_id, challenge, expires_at) values ($1, $2, $3, $4)",
                &params![&code.hash, &code.grant, code.challenge.as_str(), code.expires_at],
            )
            .await?;
            if let Some(key) = remember {
                consents::remember(tx, key, now).await?;
            }
            last_use::touch(tx, &grant.client, now).await?;
            Ok(Approved::Stored)
        })
    }

    /// The grant with this identifier.
    pub async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        let sql = format!("select {GRANT} from grants g where g.id = $1");
        self.db.query_first(&sql, &params![id]).await?.map(|mut row| grant(&mut row)).transpose()
    }

    /// A person's living grants, the youngest first; access keys have a list of their own. spec: AS-91
    pub async fn grants_of(&self, person: &PersonId, now: Timestamp) -> Result<Vec<GrantRow>, StoreError> {
        let rows = self
            .db
            .query(
                "select g.id, g.person, g.client, c.metadata, c.kind, g.resource, g.scopes, g.redirect_uri, \
                 g.created_at, g.last_used_at, g.expires_at \
                 from grants g left join clients c on c.id = g.client \
                 where g.person = $1 and g.revoked_at is null and g.expires_at > $2 and g.client <> $3 \
                 order by g.created_at desc, g.id",
                &params![person, now, ACCESS_KEY],
            )
            .await?;
        rows.into_iter().map(grant_row).collect()
    }

    /// Ends a grant; whether it was alive. Who takes back a consent is asked again, so what was remembered of it goes too.
    ///
    /// spec: AS-89
    pub async fn revoke_grant(&self, id: &GrantId, why: RevokedWhy, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let revoked = revoke(tx, id, why, now).await?;
            if revoked && matches!(why, RevokedWhy::Person | RevokedWhy::Administrator) {
                tx.execute(
                    "delete from consents where (person, client) in (select person, client from grants where id = $1)",
                    &params![id],
                )
                .await?;
            }
            Ok(revoked)
        })
    }

    /// Ends every living grant at an endpoint, such as that of a server that was removed; which ones. Whoever used it is
    /// asked again: another server may come to stand under the same name.
    pub async fn revoke_grants_at(
        &self,
        resource: &str,
        why: RevokedWhy,
        now: Timestamp,
    ) -> Result<Vec<GrantId>, StoreError> {
        let which = GrantsOf::Resource(resource);
        transact!(self.db, |tx| {
            tx.execute(
                "delete from consents where (person, client) in (select person, client from grants where resource = $1)",
                &params![resource],
            )
            .await?;
            revoke_grants(tx, &which, why, now).await
        })
    }

    /// The revoked grants whose access tokens could still be alive: what a node loads when it starts, after reading
    /// [`Store::revision`]; from there on the feed of changes tells it.
    pub async fn revoked_grants_alive(&self, now: Timestamp) -> Result<Vec<GrantId>, StoreError> {
        let since = now.minus(TOKENS_ALIVE);
        let rows = self.db.query("select id from grants where revoked_at > $1", &params![since]).await?;
        rows.into_iter().map(|mut row| row.take()).collect()
    }

    /// Notes that the person of a living grant has proved again who they are, and tells the nodes; whether there is such a
    /// grant. What is older than what is known changes nothing.
    pub async fn fresh_sign_in(
        &self,
        id: &GrantId,
        authenticated_at: Timestamp,
        acr: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let fresh = tx
                .execute(
                    "update grants set authenticated_at = $2, acr = $3, freshened_at = $4 where id = $1 \
                     and revoked_at is null and expires_at > $4 \
                     and (authenticated_at is null or authenticated_at <= $2)",
                    &params![id, authenticated_at, acr, now],
                )
                .await?;
            if fresh == 1 {
                tx.changed(ChangeKind::GrantFresh, id.as_str(), now);
            }
            Ok(fresh == 1)
        })
    }

    /// The living grants whose person has signed in afresh since the oldest access token that could still be alive: such a
    /// token knows an older sign-in.
    pub async fn fresh_grants(&self, now: Timestamp) -> Result<Vec<FreshGrant>, StoreError> {
        let rows = self
            .db
            .query(
                "select id, authenticated_at, acr from grants where freshened_at > $1 and revoked_at is null",
                &params![now.minus(TOKENS_ALIVE)],
            )
            .await?;
        let fresh =
            |mut row: Row| Ok(FreshGrant { grant: row.take()?, authenticated_at: row.take()?, acr: row.take()? });
        rows.into_iter().map(fresh).collect()
    }

    /// Notes when grants, and so their clients, were last used.
    pub async fn touch_grants(&self, used: &[(GrantId, Timestamp)]) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            for (id, at) in used {
                touch(tx, id, *at).await?;
                let client = tx.query_first("select client from grants where id = $1", &params![id]).await?;
                if let Some(mut row) = client {
                    last_use::touch(tx, &row.take()?, *at).await?;
                }
            }
            Ok(())
        })
    }
}

/// Stores a grant, with the sign-in of the session that it was approved in: the session may be gone when that one ends.
pub(crate) async fn insert(tx: &mut Tx, grant: &Grant) -> Result<(), StoreError> {
    let session = grant.session.as_deref();
    let born = tx.query_first("select issuer, subject, sid from sessions where id = $1", &params![session]).await?;
    let (issuer, subject, sid): (Option<String>, Option<String>, Option<String>) = match born {
        Some(mut row) => (row.take()?, row.take()?, row.take()?),
        None => (None, None, None),
    };
    tx.execute(
        "insert into grants (id, person, client, resource, scopes, redirect_uri, created_at, expires_at, \
         authenticated_at, acr, session, issuer, subject, sid) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        &params![
            &grant.id,
            &grant.person,
            &grant.client,
            &grant.resource,
            grant.scopes.to_string(),
            &grant.redirect_uri,
            grant.created_at,
            grant.expires_at,
            grant.authenticated_at,
            grant.acr.as_deref(),
            session,
            issuer,
            subject,
            sid
        ],
    )
    .await
    .map(drop)
}

pub(crate) async fn touch(tx: &mut Tx, id: &GrantId, at: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "update grants set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at < $2)",
        &params![id, at],
    )
    .await
    .map(drop)
}

pub(crate) async fn revoke(tx: &mut Tx, id: &GrantId, why: RevokedWhy, now: Timestamp) -> Result<bool, StoreError> {
    let revoked = tx
        .execute(
            "update grants set revoked_at = $2, revoked_why = $3 where id = $1 and revoked_at is null",
            &params![id, now, why.as_str()],
        )
        .await?;
    if revoked == 1 {
        tx.changed(ChangeKind::GrantRevoked, id.as_str(), now);
    }
    Ok(revoked == 1)
}

pub(crate) async fn revoke_grants(
    tx: &mut Tx,
    which: &GrantsOf<'_>,
    why: RevokedWhy,
    now: Timestamp,
) -> Result<Vec<GrantId>, StoreError> {
    let (column, key) = match which {
        GrantsOf::Person(id) => ("person", id.as_str()),
        GrantsOf::Client(id) => ("client", id.as_str()),
        GrantsOf::Resource(resource) => ("resource", *resource),
    };
    let sql = format!(
        "update grants set revoked_at = $2, revoked_why = $3 \
         where {column} = $1 and revoked_at is null and expires_at > $4 returning id"
    );
    // A grant at its end may have tokens that are not.
    let rows = tx.query(&sql, &params![key, now, why.as_str(), now.minus(TOKENS_ALIVE)]).await?;
    let ids: Vec<GrantId> = rows.into_iter().map(|mut row| row.take()).collect::<Result<_, _>>()?;
    for id in &ids {
        tx.changed(ChangeKind::GrantRevoked, id.as_str(), now);
    }
    Ok(ids)
}

pub(crate) fn grant(row: &mut Row) -> Result<Grant, StoreError> {
    Ok(Grant {
        id: row.take()?,
        person: row.take()?,
        client: row.take()?,
        resource: row.take()?,
        scopes: scopes(row)?,
        redirect_uri: row.take()?,
        created_at: row.take()?,
        expires_at: row.take()?,
        authenticated_at: row.take()?,
        acr: row.take()?,
        session: row.take()?,
        revoked: revoked(row)?,
    })
}

pub(crate) fn scopes(row: &mut Row) -> Result<Scopes, StoreError> {
    Scopes::parse(&row.take::<String>()?).map_err(|_| StoreError::Damaged("scopes of a grant".into()))
}

fn revoked(row: &mut Row) -> Result<Option<Revoked>, StoreError> {
    let (at, why): (Option<Timestamp>, Option<String>) = (row.take()?, row.take()?);
    let Some(at) = at else { return Ok(None) };
    let why = why.as_deref().and_then(RevokedWhy::parse);
    Ok(Some(Revoked { at, why: why.ok_or_else(|| StoreError::Damaged("why a grant was revoked".into()))? }))
}

fn grant_row(mut row: Row) -> Result<GrantRow, StoreError> {
    let (id, person, client) = (row.take()?, row.take()?, row.take()?);
    let metadata: Option<String> = row.take()?;
    let metadata = metadata.and_then(|text| serde_json::from_str::<ClientMetadata>(&text).ok());
    Ok(GrantRow {
        id,
        person,
        client,
        client_name: metadata.and_then(|metadata| metadata.client_name),
        client_kind: row.take::<Option<String>>()?.as_deref().and_then(ClientKind::parse),
        resource: row.take()?,
        scopes: scopes(&mut row)?,
        redirect_uri: row.take()?,
        created_at: row.take()?,
        last_used_at: row.take()?,
        expires_at: row.take()?,
    })
}
