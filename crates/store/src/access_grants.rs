//! Rights to use a server that end: given upon a wish, or taken when the glass is broken.

use portcullis_base::{AccessGrantId, AccessRequestId, Classes, PersonId, ServerName, Timestamp};

use crate::{
    ChangeKind, Store, StoreError,
    approvals::{damaged, json, read_json},
    db::{Row, Tx, params, transact},
    people::is_active,
};

/// A right to use a server that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessGrant {
    /// Its identifier.
    pub id: AccessGrantId,
    /// Whose.
    pub person: PersonId,
    /// Which server.
    pub server: ServerName,
    /// How it was come by.
    pub kind: AccessGrantKind,
    /// For calls of which classes.
    pub classes: Classes,
    /// The only tool that it is for.
    pub tool: Option<String>,
    /// The wish that it answers.
    pub request: Option<AccessRequestId>,
    /// Who gave it.
    pub given_by: PersonId,
    /// Why.
    pub why: String,
    /// When it was given.
    pub made_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// When it was taken back before that.
    pub revoked_at: Option<Timestamp>,
    /// By whom.
    pub revoked_by: Option<PersonId>,
}

/// How a right was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessGrantKind {
    /// Somebody asked, and somebody answered.
    Request,
    /// Somebody who may broke the glass.
    BreakGlass,
}

const GRANT: &str = "g.id, g.person, g.server, g.kind, g.classes, g.tool, g.request, g.given_by, g.why, g.made_at, g.ends_at, \
     g.revoked_at, g.revoked_by";

impl Store {
    /// Gives a right that answers no wish.
    pub async fn give_access(&self, grant: &AccessGrant) -> Result<(), StoreError> {
        transact!(self.db, |tx| put(tx, grant).await)
    }

    /// All rights that hold at this moment. They end by themselves: whoever keeps them looks at the time.
    pub async fn access_grants(&self, now: Timestamp) -> Result<Vec<AccessGrant>, StoreError> {
        let sql = format!(
            "select {GRANT} from access_grants g join people p on p.id = g.person where g.ends_at > $1 \
             and g.revoked_at is null and p.disabled_at is null order by g.made_at, g.id"
        );
        self.db.query(&sql, &params![now]).await?.into_iter().map(grant).collect()
    }

    /// One of them, whether it holds or not.
    pub async fn access_grant(&self, id: &AccessGrantId) -> Result<Option<AccessGrant>, StoreError> {
        let sql = format!("select {GRANT} from access_grants g where g.id = $1");
        self.db.query_first(&sql, &params![id]).await?.map(grant).transpose()
    }

    /// What one person was given, the newest first.
    pub async fn access_grants_of(&self, person: &PersonId) -> Result<Vec<AccessGrant>, StoreError> {
        let sql =
            format!("select {GRANT} from access_grants g where g.person = $1 order by g.made_at desc, g.id limit 200");
        self.db.query(&sql, &params![person]).await?.into_iter().map(grant).collect()
    }

    /// Takes a right back before its end; whether it held.
    pub async fn revoke_access(&self, id: &AccessGrantId, by: &PersonId, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let revoked = tx
                .execute(
                    "update access_grants set revoked_at = $2, revoked_by = $3 where id = $1 and revoked_at is null \
                     and ends_at > $2",
                    &params![id, now, by],
                )
                .await?;
            if revoked == 1 {
                tx.changed(ChangeKind::AccessGrant, id.as_str(), now);
            }
            Ok(revoked == 1)
        })
    }
}

pub(crate) async fn put(tx: &mut Tx, grant: &AccessGrant) -> Result<(), StoreError> {
    if !is_active(tx, &grant.person).await? {
        return Err(StoreError::Missing);
    }
    tx.execute(
        "insert into access_grants (id, person, server, kind, classes, tool, request, given_by, why, made_at, ends_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        &params![
            &grant.id,
            &grant.person,
            &grant.server,
            grant.kind.as_str(),
            json(&grant.classes)?,
            grant.tool.as_deref(),
            grant.request.as_ref(),
            &grant.given_by,
            &grant.why,
            grant.made_at,
            grant.ends_at
        ],
    )
    .await?;
    tx.changed(ChangeKind::AccessGrant, grant.id.as_str(), grant.made_at);
    Ok(())
}

/// The rights of somebody whose account ends; how many there were.
pub(crate) async fn end_access_grants(tx: &mut Tx, person: &PersonId, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "update access_grants set revoked_at = $2 where person = $1 and revoked_at is null and ends_at > $2 \
               returning id";
    let mut ended = 0;
    for mut row in tx.query(sql, &params![person, now]).await? {
        tx.changed(ChangeKind::AccessGrant, row.take::<String>()?, now);
        ended += 1;
    }
    Ok(ended)
}

impl AccessGrantKind {
    const ALL: [Self; 2] = [Self::Request, Self::BreakGlass];

    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::BreakGlass => "break_glass",
        }
    }
}

fn grant(mut row: Row) -> Result<AccessGrant, StoreError> {
    Ok(AccessGrant {
        id: row.take()?,
        person: row.take()?,
        server: row.take()?,
        kind: {
            let text: String = row.take()?;
            let known = AccessGrantKind::ALL.into_iter().find(|kind| kind.as_str() == text);
            known.ok_or_else(|| damaged("how a right was come by"))?
        },
        classes: read_json(&row.take::<String>()?, "the classes of a right")?,
        tool: row.take()?,
        request: row.take()?,
        given_by: row.take()?,
        why: row.take()?,
        made_at: row.take()?,
        ends_at: row.take()?,
        revoked_at: row.take()?,
        revoked_by: row.take()?,
    })
}
