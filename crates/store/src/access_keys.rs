//! Access keys: for clients that cannot do OAuth. Each is a grant of its own, so ending the grant ends the key.

use portcullis_base::{ClientId, Digest, GrantId, PersonId, Timestamp};
use portcullis_oauth::{grant::Grant, scope::Scopes};

use crate::{
    ChangeKind, Store, StoreError,
    db::{Row, params, transact},
    grants::{self, scopes},
    people::is_active,
};

/// The client that stands in the grants of access keys.
pub const ACCESS_KEY: &str = "access-key";

/// An access key to be made.
#[derive(Clone, Debug)]
pub struct NewAccessKey<'a> {
    /// Digest of the key; the key itself is never stored.
    pub hash: Digest,
    /// A fresh identifier for its grant, by which it is listed and ended.
    pub grant: GrantId,
    /// Whose it is.
    pub person: &'a PersonId,
    /// What they call it.
    pub name: &'a str,
    /// The endpoint.
    pub resource: &'a str,
    /// What it may be used for.
    pub scopes: &'a Scopes,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When they last proved who they are.
    pub authenticated_at: Option<Timestamp>,
    /// The public identifier of the browser session it was made in.
    pub session: Option<&'a str>,
}

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKeyRow {
    /// Digest of the key.
    pub hash: Digest,
    /// Its grant.
    pub grant: GrantId,
    /// Whose it is.
    pub person: PersonId,
    /// What they call it.
    pub name: String,
    /// The endpoint.
    pub resource: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, roughly.
    pub last_used_at: Option<Timestamp>,
    /// When its person had last proved who they are.
    pub authenticated_at: Option<Timestamp>,
}

const ACCESS_KEY_ROW: &str = "k.hash, k.grant_id, g.person, k.name, g.resource, g.scopes, g.created_at, g.expires_at, \
     g.last_used_at, g.authenticated_at";

impl Store {
    /// Makes an access key; [`StoreError::Missing`] if the person is not there or is disabled.
    pub async fn create_access_key(&self, new: &NewAccessKey<'_>, now: Timestamp) -> Result<(), StoreError> {
        let grant = Grant {
            id: new.grant.clone(),
            person: new.person.clone(),
            client: ClientId::new(ACCESS_KEY),
            resource: new.resource.into(),
            scopes: new.scopes.clone(),
            redirect_uri: String::new(),
            created_at: now,
            expires_at: new.expires_at,
            authenticated_at: new.authenticated_at,
            acr: None,
            session: new.session.map(Into::into),
            revoked: None,
        };
        transact!(self.db, |tx| {
            if !is_active(tx, new.person).await? {
                return Err(StoreError::Missing);
            }
            grants::insert(tx, &grant).await?;
            tx.execute(
                "insert into access_keys (hash, grant_id, name) values ($1, $2, $3)",
                &params![&new.hash, &new.grant, new.name],
            )
            .await?;
            tx.changed(ChangeKind::AccessKey, new.grant.as_str(), now);
            Ok(())
        })
    }

    /// A person's living access keys, the youngest first.
    pub async fn access_keys_of(&self, person: &PersonId, now: Timestamp) -> Result<Vec<AccessKeyRow>, StoreError> {
        let sql = format!(
            "select {ACCESS_KEY_ROW} from access_keys k join grants g on g.id = k.grant_id \
             where g.person = $1 and g.revoked_at is null and g.expires_at > $2 order by g.created_at desc, g.id"
        );
        self.db.query(&sql, &params![person, now]).await?.into_iter().map(access_key).collect()
    }

    /// All living access keys: what a node loads when it starts, and again when the feed says that there is a new one.
    pub async fn access_keys_alive(&self, now: Timestamp) -> Result<Vec<AccessKeyRow>, StoreError> {
        let sql = format!(
            "select {ACCESS_KEY_ROW} from access_keys k join grants g on g.id = k.grant_id \
             where g.revoked_at is null and g.expires_at > $1"
        );
        self.db.query(&sql, &params![now]).await?.into_iter().map(access_key).collect()
    }
}

fn access_key(mut row: Row) -> Result<AccessKeyRow, StoreError> {
    Ok(AccessKeyRow {
        hash: row.take()?,
        grant: row.take()?,
        person: row.take()?,
        name: row.take()?,
        resource: row.take()?,
        scopes: scopes(&mut row)?,
        created_at: row.take()?,
        expires_at: row.take()?,
        last_used_at: row.take()?,
        authenticated_at: row.take()?,
    })
}
