//! People as a provider's directory announces them.
//!
//! Each stands for a person of ours. Names are unique per directory without regard to case; what the directory calls somebody
//! in its own terms (`external_id`) finds them again after they were deleted, a name does not: names are given again to others
//! (spec: T-52).

use portcullis_base::{PersonId, Timestamp};

use crate::{
    ChangeKind, LinkBy, NewPerson, Store, StoreError,
    db::{Row, Tx, params, transact},
    people::{self, enable, free_name, is_free, name_key},
};

/// Somebody whom a directory announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimUser {
    /// Its identifier, ours.
    pub id: String,
    /// The provider whose directory it is.
    pub provider: String,
    /// Whom it stands for.
    pub person: PersonId,
    /// Its name in the directory.
    pub user_name: String,
    /// The directory's own identifier for it.
    pub external_id: Option<String>,
    /// Its other attributes as JSON.
    pub attributes: String,
    /// Grows with every change.
    pub version: i64,
    /// When it was announced.
    pub created_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// When the directory deactivated it.
    pub deactivated_at: Option<Timestamp>,
    /// When the person was disabled, by whomever.
    pub disabled_at: Option<Timestamp>,
    /// The directory's groups that it is in: identifier and name.
    pub groups: Vec<(String, String)>,
}

impl ScimUser {
    /// Whether the person may sign in: the directory and we must agree.
    pub fn is_active(&self) -> bool {
        self.deactivated_at.is_none() && self.disabled_at.is_none()
    }
}

/// Whether the directory lets somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimState {
    /// It does.
    Active,
    /// It does not.
    Inactive,
}

/// What a directory says of somebody.
#[derive(Clone, Copy, Debug)]
pub struct NewScimUser<'a> {
    /// A fresh identifier; for a change, the one it has.
    pub id: &'a str,
    /// The provider whose directory it is.
    pub provider: &'a str,
    /// Its name in the directory.
    pub user_name: &'a str,
    /// The directory's own identifier for it.
    pub external_id: Option<&'a str>,
    /// Its mail address.
    pub email: Option<&'a str>,
    /// The name to show.
    pub display_name: &'a str,
    /// Its other attributes as JSON.
    pub attributes: &'a str,
    /// Whether it is let in.
    pub state: ScimState,
}

/// What became of a change to what a directory said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScimWrite<T> {
    /// It is stored.
    Done(T),
    /// There is no such thing.
    Missing,
    /// It has changed since that version.
    Stale,
    /// The name is in use in this directory.
    Taken,
    /// There is no user of this identifier in this directory to be a member.
    NoSuchMember(String),
}

/// Which users of a directory.
#[derive(Clone, Copy, Debug)]
pub enum ScimUserLookup<'a> {
    /// All of them.
    All,
    /// The one with this name, without regard to case.
    UserName(&'a str),
    /// Those with this identifier of the directory's own.
    ExternalId(&'a str),
}

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Paging {
    /// How many are left out at the beginning.
    pub skip: u32,
    /// How many at most.
    pub take: u32,
}

impl Paging {
    /// The whole list.
    pub const WHOLE: Self = Self { skip: 0, take: u32::MAX };
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// How long the whole list is.
    pub total: u64,
    /// The part.
    pub items: Vec<T>,
}

const USER: &str = "u.id, u.provider, u.person, u.user_name, u.external_id, u.attributes, u.version, u.created_at, \
     u.changed_at, u.deactivated_at, p.disabled_at, \
     (select string_agg(d.id || ' ' || d.display_name, '\n') from scim_members m join scim_groups d on d.id = m.group_id \
      where m.user_id = u.id) \
     from scim_users u join people p on p.id = u.person";

impl Store {
    /// Takes in somebody new. The person is, in this order: the one whom the directory announced before under the same
    /// `external_id`; the one who signed in at this provider already and is recognised by `link`; a new one, with the first
    /// free of the account names that begin with the user's name. [`ScimWrite::Taken`] if the name is in use.
    ///
    /// A person who was ended by a deletion of the directory is let in again by its return. One who was disabled here stays
    /// disabled.
    pub async fn create_scim_user(
        &self,
        new: &NewScimUser<'_>,
        link: LinkBy,
        new_person: &PersonId,
        now: Timestamp,
    ) -> Result<ScimWrite<ScimUser>, StoreError> {
        transact!(self.db, |tx| {
            if is_taken(tx, new).await? {
                return Ok(ScimWrite::Taken);
            }
            let person = match returning(tx, new, now).await? {
                Some(person) => person,
                None => match recognised(tx, new, link).await? {
                    Some(person) => person,
                    None => make_person(tx, new, new_person, now).await?,
                },
            };
            let deactivated_at = (new.state == ScimState::Inactive).then_some(now);
            tx.execute(
                "insert into scim_users (id, provider, person, user_name, user_name_key, external_id, email_key, attributes, \
                 version, created_at, changed_at, deactivated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9, $10)",
                &params![
                    new.id,
                    new.provider,
                    &person,
                    new.user_name,
                    name_key(new.user_name),
                    new.external_id,
                    new.email.map(str::to_lowercase),
                    new.attributes,
                    now,
                    deactivated_at
                ],
            )
            .await?;
            describe(tx, &person, new, now).await?;
            let stored = read(tx, new.provider, new.id).await?.ok_or(StoreError::Conflict)?;
            Ok(ScimWrite::Done(stored))
        })
    }

    /// Takes in what has changed of somebody, unless it has changed since `version`.
    ///
    /// Who becomes active again is let in again. Who becomes inactive must have been ended before: that is more than a row.
    pub async fn change_scim_user(
        &self,
        to: &NewScimUser<'_>,
        version: i64,
        now: Timestamp,
    ) -> Result<ScimWrite<ScimUser>, StoreError> {
        transact!(self.db, |tx| {
            let Some(before) = read(tx, to.provider, to.id).await? else { return Ok(ScimWrite::Missing) };
            if before.version != version {
                return Ok(ScimWrite::Stale);
            }
            if is_taken(tx, to).await? {
                return Ok(ScimWrite::Taken);
            }
            let deactivated_at = match to.state {
                ScimState::Active => None,
                ScimState::Inactive => before.deactivated_at.or(Some(now)),
            };
            tx.execute(
                "update scim_users set user_name = $2, user_name_key = $3, external_id = $4, email_key = $5, \
                 attributes = $6, version = version + 1, changed_at = $7, deactivated_at = $8 where id = $1",
                &params![
                    to.id,
                    to.user_name,
                    name_key(to.user_name),
                    to.external_id,
                    to.email.map(str::to_lowercase),
                    to.attributes,
                    now,
                    deactivated_at
                ],
            )
            .await?;
            if to.state == ScimState::Active && before.deactivated_at.is_some() {
                enable(tx, &before.person, now).await?;
            }
            rename(tx, &before, to).await?;
            describe(tx, &before.person, to, now).await?;
            let stored = read(tx, to.provider, to.id).await?.ok_or(StoreError::Conflict)?;
            Ok(ScimWrite::Done(stored))
        })
    }

    /// Takes out somebody, unless it has changed since `version`; whom it stood for. The person must have been ended before,
    /// and stays in the records.
    pub async fn delete_scim_user(
        &self,
        provider: &str,
        id: &str,
        version: i64,
        now: Timestamp,
    ) -> Result<ScimWrite<PersonId>, StoreError> {
        transact!(self.db, |tx| {
            let Some(before) = read(tx, provider, id).await? else { return Ok(ScimWrite::Missing) };
            if before.version != version {
                return Ok(ScimWrite::Stale);
            }
            tx.execute(
                "update scim_groups set version = version + 1, changed_at = $2 \
                 where id in (select group_id from scim_members where user_id = $1)",
                &params![id, now],
            )
            .await?;
            tx.execute("delete from scim_members where user_id = $1", &params![id]).await?;
            tx.execute(
                "update scim_users set deleted_at = $2, deactivated_at = coalesce(deactivated_at, $2), attributes = '{}' \
                 where id = $1",
                &params![id, now],
            )
            .await?;
            tx.changed(ChangeKind::Person, before.person.as_str(), now);
            Ok(ScimWrite::Done(before.person))
        })
    }

    /// Somebody of this directory.
    pub async fn scim_user(&self, provider: &str, id: &str) -> Result<Option<ScimUser>, StoreError> {
        let sql = format!("select {USER} where u.provider = $1 and u.id = $2 and u.deleted_at is null");
        self.db.query_first(&sql, &params![provider, id]).await?.map(user).transpose()
    }

    /// Part of a directory, in the order in which it was announced.
    pub async fn scim_users(
        &self,
        provider: &str,
        which: ScimUserLookup<'_>,
        paging: Paging,
    ) -> Result<Listed<ScimUser>, StoreError> {
        let (condition, key) = match which {
            ScimUserLookup::All => ("$2 = $2", String::new()),
            ScimUserLookup::UserName(name) => ("u.user_name_key = $2", name_key(name)),
            ScimUserLookup::ExternalId(id) => ("u.external_id = $2", id.to_owned()),
        };
        let from = format!("where u.provider = $1 and u.deleted_at is null and {condition}");
        let counted =
            self.db.query_first(&format!("select count(*) from scim_users u {from}"), &params![provider, &key]).await?;
        let total: i64 = counted.map_or(Ok(0), |mut row| row.take())?;
        let sql = format!("select {USER} {from} order by u.created_at, u.id limit $3 offset $4");
        let rows =
            self.db.query(&sql, &params![provider, &key, i64::from(paging.take), i64::from(paging.skip)]).await?;
        let items = rows.into_iter().map(user).collect::<Result<_, _>>()?;
        Ok(Listed { total: u64::try_from(total).unwrap_or(0), items })
    }
}

async fn is_taken(tx: &mut Tx, new: &NewScimUser<'_>) -> Result<bool, StoreError> {
    let rows = tx
        .query(
            "select 1 from scim_users where provider = $1 and user_name_key = $2 and id <> $3 and deleted_at is null",
            &params![new.provider, name_key(new.user_name), new.id],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// The person whom the directory announced before as the same one.
async fn returning(tx: &mut Tx, new: &NewScimUser<'_>, now: Timestamp) -> Result<Option<PersonId>, StoreError> {
    let Some(external_id) = new.external_id else { return Ok(None) };
    let found = tx
        .query_first(
            "select u.person, u.deleted_at, p.disabled_at from scim_users u join people p on p.id = u.person \
             where u.provider = $1 and u.external_id = $2 and u.deleted_at is not null and not exists \
             (select 1 from scim_users o where o.person = u.person and o.deleted_at is null) \
             order by u.deleted_at desc limit 1",
            &params![new.provider, external_id],
        )
        .await?;
    let Some(mut row) = found else { return Ok(None) };
    let person: PersonId = row.take()?;
    let (deleted_at, disabled_at): (Timestamp, Option<Timestamp>) = (row.take()?, row.take()?);
    // Who was disabled after the directory let them go was disabled by somebody else.
    if new.state == ScimState::Active && disabled_at.is_some_and(|at| at <= deleted_at) {
        enable(tx, &person, now).await?;
    }
    Ok(Some(person))
}

/// The person who signed in at this provider before its directory announced them.
async fn recognised(tx: &mut Tx, new: &NewScimUser<'_>, link: LinkBy) -> Result<Option<PersonId>, StoreError> {
    let (column, key) = match link {
        LinkBy::Nothing => return Ok(None),
        LinkBy::ExternalId => ("external_id", new.external_id.map(str::to_owned)),
        LinkBy::VerifiedEmail => ("email_key", new.email.map(str::to_lowercase)),
    };
    let Some(key) = key else { return Ok(None) };
    let sql = format!(
        "select distinct i.person from identities i where i.provider = $1 and i.{column} = $2 and not exists \
         (select 1 from scim_users u where u.person = i.person and u.deleted_at is null)"
    );
    let mut rows = tx.query(&sql, &params![new.provider, key]).await?.into_iter();
    match (rows.next(), rows.next()) {
        (Some(mut row), None) => Ok(Some(row.take()?)),
        _ => Ok(None),
    }
}

async fn make_person(
    tx: &mut Tx,
    new: &NewScimUser<'_>,
    id: &PersonId,
    now: Timestamp,
) -> Result<PersonId, StoreError> {
    let person = NewPerson {
        id: id.clone(),
        name: free_name(tx, &[new.user_name.to_owned()]).await?,
        display_name: new.display_name.to_owned(),
        email: new.email.map(str::to_owned),
        groups: Vec::new(),
        password_hash: None,
        admin_at: None,
    };
    people::create(tx, &person, now).await?;
    if new.state == ScimState::Inactive {
        tx.execute("update people set disabled_at = $2 where id = $1", &params![id, now]).await?;
    }
    Ok(id.clone())
}

/// An account that was named after the user follows a new name, if that is free.
async fn rename(tx: &mut Tx, before: &ScimUser, to: &NewScimUser<'_>) -> Result<(), StoreError> {
    let renamed = before.user_name != to.user_name;
    let same_key = name_key(&before.user_name) == name_key(to.user_name);
    if renamed && (same_key || is_free(tx, to.user_name).await?) {
        tx.execute(
            "update people set name = $2, name_key = $3 where id = $1 and name_key = $4",
            &params![&before.person, to.user_name, name_key(to.user_name), name_key(&before.user_name)],
        )
        .await?;
    }
    Ok(())
}

async fn describe(tx: &mut Tx, person: &PersonId, as_: &NewScimUser<'_>, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "update people set display_name = $2, email = $3 where id = $1",
        &params![person, as_.display_name, as_.email],
    )
    .await?;
    tx.changed(ChangeKind::Person, person.as_str(), now);
    Ok(())
}

async fn read(tx: &mut Tx, provider: &str, id: &str) -> Result<Option<ScimUser>, StoreError> {
    let sql = format!("select {USER} where u.provider = $1 and u.id = $2 and u.deleted_at is null");
    tx.query_first(&sql, &params![provider, id]).await?.map(user).transpose()
}

fn user(mut row: Row) -> Result<ScimUser, StoreError> {
    Ok(ScimUser {
        id: row.take()?,
        provider: row.take()?,
        person: row.take()?,
        user_name: row.take()?,
        external_id: row.take()?,
        attributes: row.take()?,
        version: row.take()?,
        created_at: row.take()?,
        changed_at: row.take()?,
        deactivated_at: row.take()?,
        disabled_at: row.take()?,
        groups: pairs(row.take()?)?,
    })
}

/// One pair per line: an identifier without spaces, a space, a name without line breaks.
pub(crate) fn pairs(text: Option<String>) -> Result<Vec<(String, String)>, StoreError> {
    let damaged = || StoreError::Damaged("a list of members".into());
    let pair = |line: &str| line.split_once(' ').map(|(id, name)| (id.to_owned(), name.to_owned())).ok_or_else(damaged);
    let mut pairs: Vec<_> = text.iter().flat_map(|text| text.lines()).map(pair).collect::<Result<_, _>>()?;
    pairs.sort_unstable();
    Ok(pairs)
}
