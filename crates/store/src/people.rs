//! People who can sign in.
//!
//! There is always an administrator once there was one: the last one cannot be disabled, also not by two requests that
//! each disable the other (spec: T-95).

use portcullis_base::{PersonId, Secret, Timestamp};
use portcullis_oauth::grant::RevokedWhy;

use crate::{
    ChangeKind, Store, StoreError,
    db::{Row, Tx, params, transact},
    grants::{GrantsOf, revoke_grants},
};

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Never reused.
    pub id: PersonId,
    /// The account name, unique without regard to case.
    pub name: String,
    /// The name to show.
    pub display_name: String,
    /// Mail address, if known.
    pub email: Option<String>,
    /// The groups the person is in, besides `*`.
    pub groups: Vec<String>,
    /// Set for administrators.
    pub admin_at: Option<Timestamp>,
    /// Set when the person may no longer sign in.
    pub disabled_at: Option<Timestamp>,
    /// When the account was made.
    pub created_at: Timestamp,
}

impl Person {
    /// Whether the person may sign in and use what they were granted.
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// Whether the person is an administrator who may act.
    pub fn is_admin(&self) -> bool {
        self.admin_at.is_some() && self.is_active()
    }
}

/// A person to be created.
#[derive(Clone, Debug)]
pub struct NewPerson {
    /// A fresh identifier.
    pub id: PersonId,
    /// The account name, already checked.
    pub name: String,
    /// The name to show.
    pub display_name: String,
    /// Mail address, if known.
    pub email: Option<String>,
    /// The groups the person is in, besides `*`.
    pub groups: Vec<String>,
    /// The argon2id hash of the password in PHC form; none for people of an identity provider.
    pub password_hash: Option<Secret>,
    /// Set for administrators.
    pub admin_at: Option<Timestamp>,
}

/// The columns of a [`Person`] in the order in which [`person`] reads them.
pub(crate) const PERSON: &str =
    "p.id, p.name, p.display_name, p.email, p.member_of, p.admin_at, p.disabled_at, p.created_at";

impl Store {
    /// Creates a person; [`StoreError::Taken`] if the name is in use.
    pub async fn create_person(&self, new: &NewPerson, now: Timestamp) -> Result<Person, StoreError> {
        transact!(self.db, |tx| create(tx, new, now).await)
    }

    /// The person with this identifier.
    pub async fn person(&self, id: &PersonId) -> Result<Option<Person>, StoreError> {
        let sql = format!("select {PERSON} from people p where p.id = $1");
        self.db.query_first(&sql, &params![id]).await?.map(|mut row| person(&mut row)).transpose()
    }

    /// The person with this account name, and the hash of their password.
    pub async fn person_by_name(&self, name: &str) -> Result<Option<(Person, Option<Secret>)>, StoreError> {
        let sql = format!("select {PERSON}, p.password_hash from people p where p.name_key = $1");
        let Some(mut row) = self.db.query_first(&sql, &params![name_key(name)]).await? else { return Ok(None) };
        Ok(Some((person(&mut row)?, row.take::<Option<String>>()?.map(Secret::new))))
    }

    /// Everybody, by name.
    pub async fn people(&self) -> Result<Vec<Person>, StoreError> {
        let sql = format!("select {PERSON} from people p order by p.name_key");
        self.db.query(&sql, &[]).await?.iter_mut().map(person).collect()
    }

    /// How many administrators may act.
    pub async fn administrators(&self) -> Result<i64, StoreError> {
        let row = self.db.query_first(ADMINISTRATORS, &[]).await?;
        row.map_or(Ok(0), |mut row| row.take())
    }

    /// Sets a new password and ends the sessions that the old one opened; whether the person exists.
    pub async fn set_password(&self, id: &PersonId, hash: &Secret, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let known =
                tx.execute("update people set password_hash = $2 where id = $1", &params![id, hash.reveal()]).await?;
            tx.execute("delete from sessions where person = $1", &params![id]).await?;
            if known == 1 {
                tx.changed(ChangeKind::Person, id.as_str(), now);
            }
            Ok(known == 1)
        })
    }

    /// Disables a person and ends their sessions and grants; whether this changed anything.
    ///
    /// spec: T-95: the last administrator is protected.
    pub async fn disable_person(&self, id: &PersonId, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let found = tx.query_first("select admin_at from people where id = $1", &params![id]).await?;
            let Some(mut row) = found else { return Ok(false) };
            let admin_at: Option<Timestamp> = row.take()?;
            let changed = tx
                .execute("update people set disabled_at = $2 where id = $1 and disabled_at is null", &params![id, now])
                .await?;
            if changed == 0 {
                return Ok(false);
            }
            if admin_at.is_some() && !has_administrator(tx).await? {
                return Err(StoreError::LastAdministrator);
            }
            tx.execute("delete from sessions where person = $1", &params![id]).await?;
            tx.execute("delete from consents where person = $1", &params![id]).await?;
            revoke_grants(tx, &GrantsOf::Person(id), RevokedWhy::PersonDisabled, now).await?;
            tx.changed(ChangeKind::Person, id.as_str(), now);
            Ok(true)
        })
    }
}

const ADMINISTRATORS: &str = "select count(*) from people where admin_at is not null and disabled_at is null";

pub(crate) async fn has_administrator(tx: &mut Tx) -> Result<bool, StoreError> {
    let row = tx.query_first(ADMINISTRATORS, &[]).await?;
    Ok(row.map_or(Ok(0), |mut row| row.take::<i64>())? > 0)
}

pub(crate) async fn create(tx: &mut Tx, new: &NewPerson, now: Timestamp) -> Result<Person, StoreError> {
    let NewPerson { id, name, display_name, email, groups, password_hash, admin_at } = new;
    let member_of = serde_json::to_string(groups).map_err(|why| StoreError::Damaged(why.to_string()))?;
    tx.execute(
        "insert into people (id, name, name_key, display_name, email, member_of, password_hash, admin_at, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &params![
            id,
            name,
            name_key(name),
            display_name,
            email.as_ref(),
            member_of,
            password_hash.as_ref().map(Secret::reveal),
            *admin_at,
            now
        ],
    )
    .await?;
    tx.changed(ChangeKind::Person, id.as_str(), now);
    Ok(Person {
        id: id.clone(),
        name: name.clone(),
        display_name: display_name.clone(),
        email: email.clone(),
        groups: groups.clone(),
        admin_at: *admin_at,
        disabled_at: None,
        created_at: now,
    })
}

/// Lower case, by Rust's rules on both engines: theirs differ.
fn name_key(name: &str) -> String {
    name.to_lowercase()
}

pub(crate) fn person(row: &mut Row) -> Result<Person, StoreError> {
    Ok(Person {
        id: row.take()?,
        name: row.take()?,
        display_name: row.take()?,
        email: row.take()?,
        groups: serde_json::from_str(&row.take::<String>()?).map_err(|why| StoreError::Damaged(why.to_string()))?,
        admin_at: row.take()?,
        disabled_at: row.take()?,
        created_at: row.take()?,
    })
}
