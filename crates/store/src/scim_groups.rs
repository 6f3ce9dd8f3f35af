//! Groups as a provider's directory announces them. Their names are groups of the people who are in them.

use std::collections::BTreeSet;

use portcullis_base::Timestamp;

use crate::{
    ChangeKind, Listed, Paging, ScimWrite, Store, StoreError,
    db::{Row, Tx, params, transact},
    people::name_key,
    scim_users::pairs,
};

/// A group of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimGroup {
    /// Its identifier, ours.
    pub id: String,
    /// The provider whose directory it is.
    pub provider: String,
    /// Its name, which rules use.
    pub display_name: String,
    /// The directory's own identifier for it.
    pub external_id: Option<String>,
    /// Grows with every change.
    pub version: i64,
    /// When it was announced.
    pub created_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// Who is in it; nobody if they were not asked for.
    pub members: Vec<ScimMember>,
}

/// A user in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimMember {
    /// The user's identifier.
    pub id: String,
    /// The user's name.
    pub user_name: String,
}

/// Whether to read who is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// They are read.
    Read,
    /// They are not.
    Skipped,
}

/// Which groups of a directory.
#[derive(Clone, Copy, Debug)]
pub enum ScimGroupLookup<'a> {
    /// All of them.
    All,
    /// The one with this name, without regard to case.
    DisplayName(&'a str),
    /// Those with this identifier of the directory's own.
    ExternalId(&'a str),
}

/// What a directory says of a group. Its name has no control characters.
#[derive(Clone, Copy, Debug)]
pub struct NewScimGroup<'a> {
    /// A fresh identifier; for a change, the one it has.
    pub id: &'a str,
    /// The provider whose directory it is.
    pub provider: &'a str,
    /// Its name.
    pub display_name: &'a str,
    /// The directory's own identifier for it.
    pub external_id: Option<&'a str>,
    /// The identifiers of the users in it.
    pub members: &'a BTreeSet<String>,
}

const GROUP: &str = "d.id, d.provider, d.display_name, d.external_id, d.version, d.created_at, d.changed_at";
const MEMBERS: &str = "(select string_agg(u.id || ' ' || u.user_name, '\n') from scim_members m \
     join scim_users u on u.id = m.user_id where m.group_id = d.id)";

impl Store {
    /// Takes in a new group.
    pub async fn create_scim_group(
        &self,
        new: &NewScimGroup<'_>,
        now: Timestamp,
    ) -> Result<ScimWrite<ScimGroup>, StoreError> {
        transact!(self.db, |tx| {
            if is_taken(tx, new).await? {
                return Ok(ScimWrite::Taken);
            }
            if let Some(unknown) = unknown_member(tx, new, &BTreeSet::new()).await? {
                return Ok(ScimWrite::NoSuchMember(unknown));
            }
            tx.execute(
                "insert into scim_groups (id, provider, display_name, display_name_key, external_id, version, created_at, \
                 changed_at) values ($1, $2, $3, $4, $5, 1, $6, $6)",
                &params![new.id, new.provider, new.display_name, name_key(new.display_name), new.external_id, now],
            )
            .await?;
            set_members(tx, new, &BTreeSet::new(), now).await?;
            tx.changed(ChangeKind::Person, new.id, now);
            read(tx, new.provider, new.id).await?.ok_or(StoreError::Conflict).map(ScimWrite::Done)
        })
    }

    /// Takes in what has changed of a group, unless it has changed since `version`. Who is no longer in it loses what it gave
    /// as soon as the feed was read.
    pub async fn change_scim_group(
        &self,
        to: &NewScimGroup<'_>,
        version: i64,
        now: Timestamp,
    ) -> Result<ScimWrite<ScimGroup>, StoreError> {
        transact!(self.db, |tx| {
            let Some(before) = read(tx, to.provider, to.id).await? else { return Ok(ScimWrite::Missing) };
            if before.version != version {
                return Ok(ScimWrite::Stale);
            }
            if is_taken(tx, to).await? {
                return Ok(ScimWrite::Taken);
            }
            let members = before.members.into_iter().map(|member| member.id).collect();
            if let Some(unknown) = unknown_member(tx, to, &members).await? {
                return Ok(ScimWrite::NoSuchMember(unknown));
            }
            set_members(tx, to, &members, now).await?;
            tx.execute(
                "update scim_groups set display_name = $2, display_name_key = $3, external_id = $4, \
                 version = version + 1, changed_at = $5 where id = $1",
                &params![to.id, to.display_name, name_key(to.display_name), to.external_id, now],
            )
            .await?;
            tx.changed(ChangeKind::Person, to.id, now);
            read(tx, to.provider, to.id).await?.ok_or(StoreError::Conflict).map(ScimWrite::Done)
        })
    }

    /// Takes out a group, unless it has changed since `version`.
    pub async fn delete_scim_group(
        &self,
        provider: &str,
        id: &str,
        version: i64,
        now: Timestamp,
    ) -> Result<ScimWrite<ScimGroup>, StoreError> {
        transact!(self.db, |tx| {
            let Some(before) = read(tx, provider, id).await? else { return Ok(ScimWrite::Missing) };
            if before.version != version {
                return Ok(ScimWrite::Stale);
            }
            for member in &before.members {
                bump(tx, &member.id, now).await?;
            }
            tx.execute("delete from scim_members where group_id = $1", &params![id]).await?;
            tx.execute("delete from scim_groups where id = $1", &params![id]).await?;
            tx.changed(ChangeKind::Person, id, now);
            Ok(ScimWrite::Done(before))
        })
    }

    /// A group of this directory.
    pub async fn scim_group(
        &self,
        provider: &str,
        id: &str,
        members: Members,
    ) -> Result<Option<ScimGroup>, StoreError> {
        let sql = format!("select {} where d.provider = $1 and d.id = $2", columns(members));
        self.db.query_first(&sql, &params![provider, id]).await?.map(group).transpose()
    }

    /// Part of a directory's groups, in the order in which they were announced.
    pub async fn scim_groups(
        &self,
        provider: &str,
        which: ScimGroupLookup<'_>,
        paging: Paging,
        members: Members,
    ) -> Result<Listed<ScimGroup>, StoreError> {
        let (condition, key) = match which {
            ScimGroupLookup::All => ("$2 = $2", String::new()),
            ScimGroupLookup::DisplayName(name) => ("d.display_name_key = $2", name_key(name)),
            ScimGroupLookup::ExternalId(id) => ("d.external_id = $2", id.to_owned()),
        };
        let from = format!("where d.provider = $1 and {condition}");
        let counted = self
            .db
            .query_first(&format!("select count(*) from scim_groups d {from}"), &params![provider, &key])
            .await?;
        let total: i64 = counted.map_or(Ok(0), |mut row| row.take())?;
        let sql = format!("select {} {from} order by d.created_at, d.id limit $3 offset $4", columns(members));
        let rows =
            self.db.query(&sql, &params![provider, &key, i64::from(paging.take), i64::from(paging.skip)]).await?;
        let items = rows.into_iter().map(group).collect::<Result<_, _>>()?;
        Ok(Listed { total: u64::try_from(total).unwrap_or(0), items })
    }
}

fn columns(members: Members) -> String {
    let members = match members {
        Members::Read => MEMBERS,
        Members::Skipped => "null",
    };
    format!("{GROUP}, {members} from scim_groups d")
}

async fn is_taken(tx: &mut Tx, new: &NewScimGroup<'_>) -> Result<bool, StoreError> {
    let rows = tx
        .query(
            "select 1 from scim_groups where provider = $1 and display_name_key = $2 and id <> $3",
            &params![new.provider, name_key(new.display_name), new.id],
        )
        .await?;
    Ok(!rows.is_empty())
}

async fn unknown_member(
    tx: &mut Tx,
    to: &NewScimGroup<'_>,
    known: &BTreeSet<String>,
) -> Result<Option<String>, StoreError> {
    for id in to.members.difference(known) {
        let rows = tx
            .query(
                "select 1 from scim_users where id = $1 and provider = $2 and deleted_at is null",
                &params![id, to.provider],
            )
            .await?;
        if rows.is_empty() {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

async fn set_members(
    tx: &mut Tx,
    to: &NewScimGroup<'_>,
    before: &BTreeSet<String>,
    now: Timestamp,
) -> Result<(), StoreError> {
    for id in to.members.difference(before) {
        tx.execute("insert into scim_members (group_id, user_id) values ($1, $2)", &params![to.id, id]).await?;
        bump(tx, id, now).await?;
    }
    for id in before.difference(to.members) {
        tx.execute("delete from scim_members where group_id = $1 and user_id = $2", &params![to.id, id]).await?;
        bump(tx, id, now).await?;
    }
    Ok(())
}

/// A user shows the groups it is in.
async fn bump(tx: &mut Tx, user: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("update scim_users set version = version + 1, changed_at = $2 where id = $1", &params![user, now])
        .await
        .map(drop)
}

async fn read(tx: &mut Tx, provider: &str, id: &str) -> Result<Option<ScimGroup>, StoreError> {
    let sql = format!("select {} where d.provider = $1 and d.id = $2", columns(Members::Read));
    tx.query_first(&sql, &params![provider, id]).await?.map(group).transpose()
}

fn group(mut row: Row) -> Result<ScimGroup, StoreError> {
    Ok(ScimGroup {
        id: row.take()?,
        provider: row.take()?,
        display_name: row.take()?,
        external_id: row.take()?,
        version: row.take()?,
        created_at: row.take()?,
        changed_at: row.take()?,
        members: pairs(row.take()?)?.into_iter().map(|(id, user_name)| ScimMember { id, user_name }).collect(),
    })
}
