//! Rights that nobody uses: what could be taken away.

use portcullis_base::Timestamp;

use crate::{
    Store, StoreError,
    access_keys::ACCESS_KEY,
    db::{Param, Row, params},
};

/// What is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusedKind {
    /// What a person let a client do.
    Client,
    /// An access key.
    AccessKey,
    /// A right to a server that ends.
    Access,
    /// Calls approved ahead.
    Standing,
    /// An account or a key at a server.
    Connection,
}

impl UnusedKind {
    /// As the API calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::AccessKey => "access_key",
            Self::Access => "access",
            Self::Standing => "approved_ahead",
            Self::Connection => "connection",
        }
    }
}

/// A right that nobody used for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// What it is.
    pub kind: UnusedKind,
    /// Its identifier.
    pub id: String,
    /// Whose: a person's identifier, or `shared`.
    pub person: String,
    /// The client's identifier, the name of the key or tool; empty for a connection.
    pub name: String,
    /// The endpoint or server that it is good for.
    pub place: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was last used. Not known for [`UnusedKind::Access`].
    pub used_at: Option<Timestamp>,
}

impl Store {
    /// What holds at `now`, was made before `before` and was not used since then: at most `limit` of each kind, those first
    /// that were not used for the longest time.
    pub async fn unused(&self, before: Timestamp, now: Timestamp, limit: u32) -> Result<Vec<Unused>, StoreError> {
        let most = i64::from(limit);
        let mut found = Vec::new();
        // Grants of access keys have a client of ours.
        let grants = "select g.id, g.person, coalesce(k.name, g.client), g.resource, g.created_at, g.last_used_at, g.client \
             from grants g join people p on p.id = g.person left join access_keys k on k.grant_id = g.id \
             where g.revoked_at is null and g.expires_at > $2 and p.disabled_at is null and g.created_at < $1 \
             and coalesce(g.last_used_at, g.created_at) < $1 order by coalesce(g.last_used_at, g.created_at), g.id limit $3";
        for mut row in self.db.query(grants, &params![before, now, most]).await? {
            let mut unused = read(&mut row, UnusedKind::Client)?;
            if row.take::<String>()? == ACCESS_KEY {
                unused.kind = UnusedKind::AccessKey;
            }
            found.push(unused);
        }
        // Nobody notes the use of these; their calls were counted.
        let access = "with used as materialized (select distinct person, server, name from insight_counts \
             where hours in (1, 24) and began_at >= $1 and allowed + asked > 0) \
             select g.id, g.person, coalesce(g.tool, ''), g.server, g.made_at, null from access_grants g \
             join people p on p.id = g.person where g.revoked_at is null and g.ends_at > $2 and p.disabled_at is null \
             and g.made_at < $1 and not exists (select 1 from used u where u.person = g.person and u.server = g.server \
             and (g.tool is null or u.name = g.tool)) order by g.made_at, g.id limit $3";
        found.extend(self.rarely_used(access, &params![before, now, most], UnusedKind::Access).await?);
        let standing = "select s.id, s.person, s.tool, s.server, s.made_at, s.used_at from standing_grants s \
             join people p on p.id = s.person where s.revoked_at is null and s.ends_at > $2 and p.disabled_at is null \
             and (s.uses_left is null or s.uses_left > 0) and s.made_at < $1 and coalesce(s.used_at, s.made_at) < $1 \
             order by coalesce(s.used_at, s.made_at), s.id limit $3";
        found.extend(self.rarely_used(standing, &params![before, now, most], UnusedKind::Standing).await?);
        let connections = "select c.id, c.holder, '', c.server, c.created_at, c.used_at from connections c \
             where c.created_at < $1 and coalesce(c.used_at, c.created_at) < $1 \
             order by coalesce(c.used_at, c.created_at), c.id limit $2";
        found.extend(self.rarely_used(connections, &params![before, most], UnusedKind::Connection).await?);
        Ok(found)
    }

    async fn rarely_used(&self, sql: &str, values: &[Param<'_>], kind: UnusedKind) -> Result<Vec<Unused>, StoreError> {
        self.db.query(sql, values).await?.into_iter().map(|mut row| read(&mut row, kind)).collect()
    }
}

fn read(row: &mut Row, kind: UnusedKind) -> Result<Unused, StoreError> {
    Ok(Unused {
        kind,
        id: row.take()?,
        person: row.take()?,
        name: row.take()?,
        place: row.take()?,
        made_at: row.take()?,
        used_at: row.take()?,
    })
}
