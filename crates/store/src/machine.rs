//! Machines: service accounts, and the grants that client credentials and assertions stand on.

use portcullis_base::{ClientId, GrantId, PersonId, Timestamp};
use portcullis_oauth::{client::Client, grant::Grant, scope::Scopes};

use crate::{
    ChangeKind, NewPerson, Person, PersonKind, Store, StoreError, StoredClient,
    clients::{CLIENT, put_client, stored_client},
    db::{params, transact},
    grants::{self, GRANT, grant, touch},
    last_use,
    people::{self, PERSON, is_active, person},
};

/// A service account to be made.
#[derive(Clone, Debug)]
pub struct NewServiceAccount<'a> {
    /// A fresh identifier; the text of its client's identifier too.
    pub id: PersonId,
    /// Its name, already checked.
    pub name: &'a str,
    /// Who answers for it.
    pub owner: &'a PersonId,
    /// The groups it is in, besides `*`.
    pub groups: &'a [String],
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The account.
    pub person: Person,
    /// The account name of who answers for it, if there is one.
    pub owner_name: Option<String>,
    /// What it authenticates as; none if that was removed.
    pub client: Option<StoredClient>,
}

impl Store {
    /// Makes a service account and the client it authenticates as; [`StoreError::Taken`] if the name is in use,
    /// [`StoreError::Missing`] if the owner does not exist.
    pub async fn create_service_account(
        &self,
        new: &NewServiceAccount<'_>,
        client: &Client,
        now: Timestamp,
    ) -> Result<Person, StoreError> {
        let account = NewPerson {
            id: new.id.clone(),
            name: new.name.to_owned(),
            display_name: new.name.to_owned(),
            email: None,
            groups: new.groups.to_vec(),
            password_hash: None,
            admin_at: None,
        };
        transact!(self.db, |tx| {
            if !is_active(tx, new.owner).await? {
                return Err(StoreError::Missing);
            }
            let person = people::create(tx, &account, now).await?;
            tx.execute(
                "update people set kind = $2, owner = $3 where id = $1",
                &params![&new.id, PersonKind::Service.as_str(), new.owner],
            )
            .await?;
            put_client(tx, client, None, None).await?;
            Ok(Person { kind: PersonKind::Service, owner: Some(new.owner.clone()), ..person })
        })
    }

    /// Gives a service account another owner; whether there is such an account. [`StoreError::Missing`] if there is no
    /// such owner.
    pub async fn set_owner(&self, id: &PersonId, owner: &PersonId, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            if !is_active(tx, owner).await? {
                return Err(StoreError::Missing);
            }
            let known = tx
                .execute(
                    "update people set owner = $2 where id = $1 and kind = $3",
                    &params![id, owner, PersonKind::Service.as_str()],
                )
                .await?;
            if known == 1 {
                tx.changed(ChangeKind::Person, id.as_str(), now);
            }
            Ok(known == 1)
        })
    }

    /// Every service account, by name.
    pub async fn service_accounts(&self) -> Result<Vec<ServiceAccount>, StoreError> {
        let sql = format!(
            "select {PERSON}, o.name from people p left join people o on o.id = p.owner where p.kind = $1 \
             order by p.name_key"
        );
        let mut accounts = Vec::new();
        for mut row in self.db.query(&sql, &params![PersonKind::Service.as_str()]).await? {
            accounts.push(ServiceAccount { person: person(&mut row)?, owner_name: row.take()?, client: None });
        }
        let sql = format!("select {CLIENT} from clients where id in (select id from people where kind = $1)");
        for row in self.db.query(&sql, &params![PersonKind::Service.as_str()]).await? {
            let client = stored_client(row)?;
            let owner = accounts.iter_mut().find(|account| account.person.id.as_str() == client.client.id.as_str());
            if let Some(account) = owner {
                account.client = Some(client);
            }
        }
        Ok(accounts)
    }

    /// The grant on which a machine's access tokens stand: the living one for exactly this, or a new one. `None` if the
    /// account is not there or is disabled. There is no refresh token, and no page was shown.
    pub async fn machine_grant(
        &self,
        wanted: &MachineGrant<'_>,
        new: &GrantId,
        now: Timestamp,
    ) -> Result<Option<Grant>, StoreError> {
        let MachineGrant { person, client, resource, scopes, expires_at } = wanted;
        transact!(self.db, |tx| {
            if !is_active(tx, person).await? {
                return Ok(None);
            }
            let sql = format!(
                "select {GRANT} from grants g where g.person = $1 and g.client = $2 and g.resource = $3 \
                 and g.scopes = $4 and g.redirect_uri = '' and g.revoked_at is null and g.expires_at > $5 limit 1"
            );
            let known = tx.query_first(&sql, &params![*person, *client, *resource, scopes.to_string(), now]).await?;
            last_use::touch(tx, client, now).await?;
            if let Some(mut row) = known {
                let mut known = grant(&mut row)?;
                known.expires_at = known.expires_at.max(*expires_at);
                tx.execute("update grants set expires_at = $2 where id = $1", &params![&known.id, known.expires_at])
                    .await?;
                touch(tx, &known.id, now).await?;
                return Ok(Some(known));
            }
            let grant = Grant {
                id: new.clone(),
                person: (*person).clone(),
                client: (*client).clone(),
                resource: (*resource).to_owned(),
                scopes: (*scopes).clone(),
                redirect_uri: String::new(),
                created_at: now,
                expires_at: *expires_at,
                authenticated_at: None,
                acr: None,
                session: None,
                revoked: None,
            };
            grants::insert(tx, &grant).await?;
            touch(tx, &grant.id, now).await?;
            Ok(Some(grant))
        })
    }
}

/// What a machine's access token is to stand on.
#[derive(Clone, Copy, Debug)]
pub struct MachineGrant<'a> {
    /// The service account, or the person whom an assertion speaks of.
    pub person: &'a PersonId,
    /// Who asks.
    pub client: &'a ClientId,
    /// The endpoint.
    pub resource: &'a str,
    /// What it may be used for.
    pub scopes: &'a Scopes,
    /// Until when at least.
    pub expires_at: Timestamp,
}
