//! People who can sign in.
//!
//! There is always an administrator once there was one: the last one cannot be disabled, also not by two requests that
//! each disable the other (spec: T-95).

use portcullis_base::{PersonId, Secret, Timestamp};

use crate::{
    ChangeKind, Store, StoreError,
    db::{Row, Tx, params, transact},
};

/// Who an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonKind {
    /// Somebody who signs in.
    Person,
    /// A machine, which somebody owns.
    Service,
}

impl PersonKind {
    /// The text for storage and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Person, Self::Service].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A person, or a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Never reused.
    pub id: PersonId,
    /// Who the account is for.
    pub kind: PersonKind,
    /// Who answers for a service account.
    pub owner: Option<PersonId>,
    /// The account name, unique without regard to case.
    pub name: String,
    /// The name to show.
    pub display_name: String,
    /// Mail address, if known.
    pub email: Option<String>,
    /// The groups the person is in, besides `*`: those given here, at their providers and in the directory, each once, in
    /// order.
    pub groups: Vec<String>,
    /// Those of them that were given here.
    pub local_groups: Vec<String>,
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
///
/// The groups come with it, however many people are read. No list of groups as JSON and no name of a group has a line break
/// in it.
pub(crate) const PERSON: &str = "p.id, p.kind, p.owner, p.name, p.display_name, p.email, p.member_of, \
     (select string_agg(i.member_of, '\n') from identities i where i.person = p.id and i.ended_at is null), \
     (select string_agg(d.display_name, '\n') from scim_groups d join scim_members m on m.group_id = d.id \
      join scim_users u on u.id = m.user_id where u.person = p.id and u.deleted_at is null), \
     p.admin_at, p.disabled_at, p.created_at";

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

    /// Gives a person these groups here; what providers and the directory say of them stays. Whether the person exists.
    pub async fn set_local_groups(&self, id: &PersonId, groups: &[String], now: Timestamp) -> Result<bool, StoreError> {
        let member_of = group_json(groups)?;
        transact!(self.db, |tx| {
            let known = tx.execute("update people set member_of = $2 where id = $1", &params![id, &member_of]).await?;
            if known == 1 {
                tx.changed(ChangeKind::Person, id.as_str(), now);
            }
            Ok(known == 1)
        })
    }

    /// Makes a person administrator since `admin_at`, or no longer one; whether the person exists.
    ///
    /// spec: T-95: the last administrator is protected.
    pub async fn set_admin(
        &self,
        id: &PersonId,
        admin_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let Some(before) = admin_state(tx, id).await? else { return Ok(false) };
            tx.execute("update people set admin_at = $2 where id = $1", &params![id, admin_at]).await?;
            if before == AdminState::Acting && admin_at.is_none() && !has_administrator(tx).await? {
                return Err(StoreError::LastAdministrator);
            }
            tx.changed(ChangeKind::Person, id.as_str(), now);
            Ok(true)
        })
    }

    /// Lets a disabled person in again; whether this changed anything. What was ended stays ended.
    pub async fn enable_person(&self, id: &PersonId, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| enable(tx, id, now).await)
    }

    /// Every group that anybody is in: for rules that name a group nobody is in.
    pub async fn groups_known(&self) -> Result<Vec<String>, StoreError> {
        let mut groups: Vec<String> = self.people().await?.into_iter().flat_map(|person| person.groups).collect();
        let directory = self.db.query("select display_name from scim_groups", &[]).await?;
        for mut row in directory {
            groups.push(row.take()?);
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }
}

/// Whether there is such an account and it is not disabled.
pub(crate) async fn is_active(tx: &mut Tx, id: &PersonId) -> Result<bool, StoreError> {
    Ok(!tx.query("select 1 from people where id = $1 and disabled_at is null", &params![id]).await?.is_empty())
}

/// Whether somebody could act as administrator.
#[derive(PartialEq, Eq)]
enum AdminState {
    Acting,
    Other,
}

async fn admin_state(tx: &mut Tx, id: &PersonId) -> Result<Option<AdminState>, StoreError> {
    let found = tx.query_first("select admin_at, disabled_at from people where id = $1", &params![id]).await?;
    let Some(mut row) = found else { return Ok(None) };
    let (admin_at, disabled_at): (Option<Timestamp>, Option<Timestamp>) = (row.take()?, row.take()?);
    Ok(Some(if admin_at.is_some() && disabled_at.is_none() { AdminState::Acting } else { AdminState::Other }))
}

/// Disables a person; whether this changed anything. What they hold is the caller's to end.
///
/// spec: T-95: the last administrator is protected.
pub(crate) async fn disable(tx: &mut Tx, id: &PersonId, now: Timestamp) -> Result<bool, StoreError> {
    let Some(before) = admin_state(tx, id).await? else { return Ok(false) };
    let changed = tx
        .execute("update people set disabled_at = $2 where id = $1 and disabled_at is null", &params![id, now])
        .await?;
    if changed == 0 {
        return Ok(false);
    }
    if before == AdminState::Acting && !has_administrator(tx).await? {
        return Err(StoreError::LastAdministrator);
    }
    tx.changed(ChangeKind::Person, id.as_str(), now);
    Ok(true)
}

pub(crate) async fn enable(tx: &mut Tx, id: &PersonId, now: Timestamp) -> Result<bool, StoreError> {
    let changed = tx
        .execute("update people set disabled_at = null where id = $1 and disabled_at is not null", &params![id])
        .await?;
    if changed == 1 {
        tx.changed(ChangeKind::Person, id.as_str(), now);
    }
    Ok(changed == 1)
}

const ADMINISTRATORS: &str = "select count(*) from people where admin_at is not null and disabled_at is null";

pub(crate) async fn has_administrator(tx: &mut Tx) -> Result<bool, StoreError> {
    let row = tx.query_first(ADMINISTRATORS, &[]).await?;
    Ok(row.map_or(Ok(0), |mut row| row.take::<i64>())? > 0)
}

pub(crate) async fn create(tx: &mut Tx, new: &NewPerson, now: Timestamp) -> Result<Person, StoreError> {
    let NewPerson { id, name, display_name, email, groups, password_hash, admin_at } = new;
    let member_of = group_json(groups)?;
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
        kind: PersonKind::Person,
        owner: None,
        name: name.clone(),
        display_name: display_name.clone(),
        email: email.clone(),
        groups: union(groups.clone(), None, None)?,
        local_groups: groups.clone(),
        admin_at: *admin_at,
        disabled_at: None,
        created_at: now,
    })
}

/// The first of `names` that is free, else the first of them with the smallest number behind it that makes it free.
pub(crate) async fn free_name(tx: &mut Tx, names: &[String]) -> Result<String, StoreError> {
    let mut first = None;
    for name in names.iter().filter(|name| !name.is_empty()) {
        if is_free(tx, name).await? {
            return Ok(name.clone());
        }
        first = first.or(Some(name.as_str()));
    }
    let first = first.unwrap_or("person");
    let mut number = 1_u64;
    loop {
        number += 1;
        let name = format!("{first}-{number}");
        if is_free(tx, &name).await? {
            return Ok(name);
        }
    }
}

pub(crate) async fn is_free(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    Ok(tx.query("select 1 from people where name_key = $1", &params![name_key(name)]).await?.is_empty())
}

/// Lower case, by Rust's rules on both engines: theirs differ.
pub(crate) fn name_key(name: &str) -> String {
    name.to_lowercase()
}

pub(crate) fn person(row: &mut Row) -> Result<Person, StoreError> {
    let local;
    Ok(Person {
        id: row.take()?,
        kind: PersonKind::parse(&row.take::<String>()?)
            .ok_or_else(|| StoreError::Damaged("an account of an unknown kind".into()))?,
        owner: row.take()?,
        name: row.take()?,
        display_name: row.take()?,
        email: row.take()?,
        local_groups: {
            local = group_list(&row.take::<String>()?)?;
            local.clone()
        },
        groups: union(local, row.take()?, row.take()?)?,
        admin_at: row.take()?,
        disabled_at: row.take()?,
        created_at: row.take()?,
    })
}

/// The local groups, those of the identities (a JSON list per line), and those of the directory (a name per line).
fn union(
    mut groups: Vec<String>,
    identities: Option<String>,
    directory: Option<String>,
) -> Result<Vec<String>, StoreError> {
    for list in identities.iter().flat_map(|lists| lists.lines()) {
        groups.extend(group_list(list)?);
    }
    groups.extend(directory.iter().flat_map(|names| names.lines()).map(str::to_owned));
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

pub(crate) fn group_list(json: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(json).map_err(|why| StoreError::Damaged(format!("a list of groups: {why}")))
}

pub(crate) fn group_json(groups: &[String]) -> Result<String, StoreError> {
    serde_json::to_string(groups).map_err(|why| StoreError::Damaged(why.to_string()))
}
