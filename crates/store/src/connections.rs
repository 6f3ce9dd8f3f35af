//! What people have at servers: their accounts there, and keys.
//!
//! A connection has one holder and one server; nothing finds or changes one without naming both or its identifier. What is
//! sealed changes only from the version that the caller saw, so that of a refresh, a new sign-in and a removal that meet,
//! the later one wins and a removal always does (spec: T-51).

use portcullis_base::{ConnectionId, Holder, PersonId, ServerName, Timestamp};

use crate::{
    ChangeKind, FlowStage, Listed, Paging, Store, StoreError,
    db::{Row, Tx, params, transact},
    people::is_active,
};

/// What somebody has at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its identifier; stays when it is made again.
    pub id: ConnectionId,
    /// Whose it is.
    pub holder: Holder,
    /// Where.
    pub server: ServerName,
    /// What kind of credential.
    pub kind: ConnectionKind,
    /// Who issued it, if an authorization server did.
    pub issuer: Option<String>,
    /// What it is for, as the authorization server was told.
    pub resource: Option<String>,
    /// Who we are to the issuer.
    pub client_id: Option<String>,
    /// The scopes that it has.
    pub scopes: Vec<String>,
    /// The scopes that the server asked for beyond these, until it is made again.
    pub wants: Vec<String>,
    /// Whose account it is at the server, to be shown.
    pub account: Option<String>,
    /// The credential, sealed; none is left when it is known to be dead.
    pub sealed: Option<Vec<u8>>,
    /// When it expires, if that is known.
    pub expires_at: Option<Timestamp>,
    /// Grows with whatever replaces what is sealed. The first one is the moment when the connection was made, so that one made
    /// in the place of one that was removed is later than that was.
    pub version: i64,
    /// Whether it works.
    pub state: ConnectionState,
    /// A code: why it needs a sign-in, or why it cannot be renewed at present.
    pub why: Option<String>,
    /// Since when it cannot be renewed.
    pub failing_since: Option<Timestamp>,
    /// When it is to be renewed without anybody asking; `None` if it cannot be.
    pub renew_at: Option<Timestamp>,
    /// When a refresh was begun whose end nobody has seen yet.
    pub refresh_begun_at: Option<Timestamp>,
    /// Until when somebody is refreshing it.
    pub leased_until: Option<Timestamp>,
    /// When it was first made.
    pub created_at: Timestamp,
    /// When what is sealed was last replaced.
    pub refreshed_at: Timestamp,
    /// When it was last used, roughly.
    pub used_at: Option<Timestamp>,
}

/// What kind of credential a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    /// Tokens of an authorization server.
    OAuth,
    /// A key that somebody typed.
    Key,
}

/// Whether a connection works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// It does, as far as is known.
    Good,
    /// Its holder must sign in at the server again.
    NeedsSignIn,
}

/// A connection to be made, or to be made again.
#[derive(Clone, Copy, Debug)]
pub struct NewConnection<'a> {
    /// A fresh identifier, should there be none yet.
    pub id: &'a ConnectionId,
    /// Whose it is.
    pub holder: &'a Holder,
    /// Where.
    pub server: &'a ServerName,
    /// What kind of credential.
    pub kind: ConnectionKind,
    /// Who issued it.
    pub issuer: Option<&'a str>,
    /// What it is for.
    pub resource: Option<&'a str>,
    /// Who we are to the issuer.
    pub client_id: Option<&'a str>,
    /// The scopes that it has.
    pub scopes: &'a [String],
    /// Whose account it is at the server.
    pub account: Option<&'a str>,
    /// The credential, sealed.
    pub sealed: &'a [u8],
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it is to be renewed without anybody asking; `None` if it cannot be.
    pub renew_at: Option<Timestamp>,
}

/// A connection that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeConnection {
    /// As it is now.
    pub connection: Connection,
    /// As it was before, so that what it held can be given back.
    pub replaced: Option<Connection>,
}

/// What a refresh gave.
#[derive(Clone, Copy, Debug)]
pub struct RefreshedConnection<'a> {
    /// The new credential, sealed.
    pub sealed: &'a [u8],
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The scopes that it has; `None` if they are the same.
    pub scopes: Option<&'a [String]>,
    /// When it is to be renewed next.
    pub renew_at: Option<Timestamp>,
}

/// Whether a connection may be refreshed by who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leased {
    /// By nobody else until the lease ends.
    Yes,
    /// Somebody else is at it, or it is another version by now, or gone.
    No,
}

/// Which connections are to be renewed, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionsDue<'a> {
    /// How many at most.
    pub limit: u32,
    /// Who refreshes them.
    pub lease: &'a str,
    /// Until when nobody else does.
    pub lease_until: Timestamp,
}

const CONNECTION: &str = "c.id, c.holder, c.server, c.kind, c.issuer, c.resource, c.client_id, c.scopes, c.wants, c.account, c.sealed, \
     c.expires_at, c.version, c.state, c.why, c.failing_since, c.renew_at, c.refresh_begun_at, c.leased_until, \
     c.created_at, c.refreshed_at, c.used_at";

impl Store {
    /// What `holder` has at `server`.
    pub async fn connection(&self, holder: &Holder, server: &ServerName) -> Result<Option<Connection>, StoreError> {
        let sql = format!("select {CONNECTION} from connections c where c.holder = $1 and c.server = $2");
        self.db.query_first(&sql, &params![holder, server]).await?.map(connection).transpose()
    }

    /// The connection of this identifier: what a node asks when the feed names one.
    pub async fn connection_by_id(&self, id: &ConnectionId) -> Result<Option<Connection>, StoreError> {
        let sql = format!("select {CONNECTION} from connections c where c.id = $1");
        self.db.query_first(&sql, &params![id]).await?.map(connection).transpose()
    }

    /// What a person has, by server.
    pub async fn connections_of(&self, person: &PersonId) -> Result<Vec<Connection>, StoreError> {
        let sql = format!("select {CONNECTION} from connections c where c.holder = $1 order by c.server");
        self.db.query(&sql, &params![person]).await?.into_iter().map(connection).collect()
    }

    /// What anybody has at a server, the shared one among them.
    pub async fn connections_at(&self, server: &ServerName) -> Result<Vec<Connection>, StoreError> {
        let sql = format!("select {CONNECTION} from connections c where c.server = $1 order by c.created_at, c.id");
        self.db.query(&sql, &params![server]).await?.into_iter().map(connection).collect()
    }

    /// How many there are in each state.
    pub async fn count_connections(&self) -> Result<Vec<(ConnectionState, u64)>, StoreError> {
        let mut counts = ConnectionState::ALL.map(|state| (state, 0));
        for mut row in self.db.query("select state, count(*) from connections group by state", &[]).await? {
            let (state, count) = (ConnectionState::parse(&row.take::<String>()?)?, row.take::<i64>()?);
            counts.iter_mut().filter(|(known, _)| *known == state).for_each(|(_, of)| *of = count.unsigned_abs());
        }
        Ok(counts.to_vec())
    }

    /// Part of all of them, by server.
    pub async fn all_connections(&self, paging: Paging) -> Result<Listed<Connection>, StoreError> {
        let counted = self.db.query_first("select count(*) from connections", &[]).await?;
        let total: i64 = counted.map_or(Ok(0), |mut row| row.take())?;
        let sql =
            format!("select {CONNECTION} from connections c order by c.server, c.created_at, c.id limit $1 offset $2");
        let rows = self.db.query(&sql, &params![i64::from(paging.take), i64::from(paging.skip)]).await?;
        let items = rows.into_iter().map(connection).collect::<Result<_, _>>()?;
        Ok(Listed { total: total.unsigned_abs(), items })
    }

    /// Makes a connection, or makes it again in its place: identifier, settings and history of use stay. A refresh under
    /// way comes too late. [`StoreError::Missing`] if the person is not there or is disabled.
    pub async fn put_connection(&self, new: &NewConnection<'_>, now: Timestamp) -> Result<MadeConnection, StoreError> {
        transact!(self.db, |tx| {
            if let Some(person) = new.holder.person()
                && !is_active(tx, person).await?
            {
                return Err(StoreError::Missing);
            }
            let replaced = at(tx, new.holder, new.server).await?;
            tx.execute(
                "insert into connections (id, holder, server, kind, issuer, resource, client_id, scopes, account, sealed, \
                 expires_at, version, state, renew_at, created_at, refreshed_at) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13, 'good', $12, $13, $13) \
                 on conflict (holder, server) do update set kind = excluded.kind, issuer = excluded.issuer, \
                 resource = excluded.resource, client_id = excluded.client_id, scopes = excluded.scopes, wants = '', \
                 account = excluded.account, sealed = excluded.sealed, expires_at = excluded.expires_at, \
                 version = connections.version + 1, state = excluded.state, why = null, failing_since = null, \
                 renew_at = excluded.renew_at, refresh_begun_at = null, leased_until = null, lease = null, \
                 refreshed_at = excluded.refreshed_at",
                &params![
                    new.id,
                    new.holder,
                    new.server,
                    new.kind.as_str(),
                    new.issuer,
                    new.resource,
                    new.client_id,
                    new.scopes.join(" "),
                    new.account,
                    new.sealed,
                    new.expires_at,
                    new.renew_at,
                    now
                ],
            )
            .await?;
            let connection = at(tx, new.holder, new.server).await?.ok_or(StoreError::Conflict)?;
            tx.changed(ChangeKind::Connection, connection.id.as_str(), now);
            Ok(MadeConnection { connection, replaced })
        })
    }

    /// Takes the refresh of this version of a connection, unless somebody else has it. That it was begun is written before
    /// anything is sent: whoever finds it begun and the lease over goes on at once.
    ///
    /// spec: UP-43
    pub async fn lease_connection(
        &self,
        id: &ConnectionId,
        version: i64,
        lease: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Leased, StoreError> {
        transact!(self.db, |tx| take_lease(tx, id, version, lease, (until, now)).await)
    }

    /// Writes what a refresh gave, if it was of this version; whether it did. If not, the connection was made again, removed
    /// or refreshed by somebody else meanwhile.
    ///
    /// spec: UP-43; T-51: a removal wins.
    pub async fn connection_refreshed(
        &self,
        id: &ConnectionId,
        version: i64,
        refreshed: &RefreshedConnection<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let written = tx
                .execute(
                    "update connections set sealed = $3, expires_at = $4, scopes = coalesce($5, scopes), renew_at = $6, \
                     version = version + 1, state = 'good', why = null, failing_since = null, refresh_begun_at = null, \
                     leased_until = null, lease = null, refreshed_at = $7 where id = $1 and version = $2",
                    &params![
                        id,
                        version,
                        refreshed.sealed,
                        refreshed.expires_at,
                        refreshed.scopes.map(|scopes| scopes.join(" ")),
                        refreshed.renew_at,
                        now
                    ],
                )
                .await?;
            Ok(told(tx, id, written, now))
        })
    }

    /// Notes that the refresh that `lease` stands for came to nothing for now, why, and when it is to be tried again; what
    /// is sealed stays. Whether the lease was still there.
    pub async fn connection_failing(
        &self,
        id: &ConnectionId,
        lease: &str,
        why: &str,
        again_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let noted = tx
                .execute(
                    "update connections set why = $3, failing_since = coalesce(failing_since, $5), renew_at = $4, \
                     refresh_begun_at = null, leased_until = null, lease = null \
                     where id = $1 and lease = $2 and state = 'good'",
                    &params![id, lease, why, again_at, now],
                )
                .await?;
            Ok(noted == 1)
        })
    }

    /// Notes that this version of a connection is dead and drops what was sealed; the connection stays, and needs a sign-in.
    /// With a lease, only if it is still there: who lost it cannot know what a faster one has been given meanwhile. Without
    /// one, only if nobody refreshes. Whether it was noted.
    ///
    /// spec: UP-43
    pub async fn connection_needs_sign_in(
        &self,
        id: &ConnectionId,
        version: i64,
        lease: Option<&str>,
        why: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let noted = tx
                .execute(
                    "update connections set sealed = null, expires_at = null, renew_at = null, version = version + 1, \
                     state = 'needs_sign_in', why = $4, failing_since = null, refresh_begun_at = null, \
                     leased_until = null, lease = null where id = $1 and version = $2 and state = 'good' \
                     and coalesce(case when leased_until > $5 or lease = $3 then lease end, '') = coalesce($3, '')",
                    &params![id, version, lease, why, now],
                )
                .await?;
            Ok(told(tx, id, noted, now))
        })
    }

    /// Notes which scopes the server asked for beyond those that there are, beside those noted before, so that whoever is
    /// sent to allow them is asked for them on any page of any node.
    ///
    /// spec: UP-46
    pub async fn connection_wants(
        &self,
        holder: &Holder,
        server: &ServerName,
        scopes: &[String],
    ) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            let Some(row) = at(tx, holder, server).await? else { return Ok(()) };
            let mut wants = row.wants;
            wants.extend(scopes.iter().filter(|scope| !wants.contains(scope)).cloned().collect::<Vec<_>>());
            tx.execute("update connections set wants = $2 where id = $1", &params![&row.id, wants.join(" ")]).await?;
            Ok(())
        })
    }

    /// Notes that these were used. The caller does so now and then, for many at once.
    pub async fn connection_used(&self, ids: &[ConnectionId], now: Timestamp) -> Result<(), StoreError> {
        transact!(self.db, |tx| {
            for id in ids {
                tx.execute(
                    "update connections set used_at = $2 where id = $1 and (used_at is null or used_at < $2)",
                    &params![id, now],
                )
                .await?;
            }
            Ok(())
        })
    }

    /// Removes what `holder` has at `server`, and the list of tools that was seen with it; what it was, so that it can be
    /// given back.
    ///
    /// spec: UP-47, T-51
    pub async fn remove_connection(
        &self,
        holder: &Holder,
        server: &ServerName,
        now: Timestamp,
    ) -> Result<Option<Connection>, StoreError> {
        transact!(self.db, |tx| {
            let removed = at(tx, holder, server).await?;
            tx.execute("delete from tool_lists where holder = $1 and server = $2", &params![holder, server]).await?;
            tx.execute("delete from connections where holder = $1 and server = $2", &params![holder, server]).await?;
            if let Some(connection) = &removed {
                tx.changed(ChangeKind::Connection, connection.id.as_str(), now);
            }
            Ok(removed)
        })
    }

    /// Removes what anybody has at `server`: it is no server of ours any more. spec: UP-47
    pub async fn remove_connections_at(
        &self,
        server: &ServerName,
        now: Timestamp,
    ) -> Result<Vec<Connection>, StoreError> {
        let sql = format!("select {CONNECTION} from connections c where c.server = $1 order by c.created_at, c.id");
        transact!(self.db, |tx| {
            let rows = tx.query(&sql, &params![server]).await?;
            let removed = rows.into_iter().map(connection).collect::<Result<Vec<_>, _>>()?;
            tx.execute("delete from connections where server = $1", &params![server]).await?;
            tx.execute("delete from tool_lists where server = $1", &params![server]).await?;
            for connection in &removed {
                tx.changed(ChangeKind::Connection, connection.id.as_str(), now);
            }
            Ok(removed)
        })
    }

    /// Connections that are to be renewed now, and those whose refresh somebody began and did not live to end. They are
    /// leased to the caller: another node that asks gets others. Those of people who were ended are left alone.
    pub async fn connections_due(
        &self,
        due: &ConnectionsDue<'_>,
        now: Timestamp,
    ) -> Result<Vec<Connection>, StoreError> {
        let sql = format!(
            "select {CONNECTION} from connections c left join people p on p.id = c.holder \
             where c.state = 'good' and c.kind = 'oauth' and (c.leased_until is null or c.leased_until <= $1) \
             and (c.renew_at <= $1 or c.refresh_begun_at is not null) and p.disabled_at is null \
             order by coalesce(c.refresh_begun_at, c.renew_at), c.id limit $2"
        );
        transact!(self.db, |tx| {
            let rows = tx.query(&sql, &params![now, i64::from(due.limit)]).await?;
            let mut leased = Vec::with_capacity(rows.len());
            for row in rows {
                let connection = connection(row)?;
                let times = (due.lease_until, now);
                if take_lease(tx, &connection.id, connection.version, due.lease, times).await? == Leased::Yes {
                    leased.push(connection);
                }
            }
            Ok(leased)
        })
    }
}

/// The connections of a person whose account ends, each with what can be given back. Flows under way end too, so that none
/// of them makes a connection afterwards.
pub(crate) async fn end_connections(
    tx: &mut Tx,
    person: &PersonId,
    now: Timestamp,
) -> Result<Vec<Connection>, StoreError> {
    let sql = format!("select {CONNECTION} from connections c where c.holder = $1 order by c.server");
    let rows = tx.query(&sql, &params![person]).await?;
    let ended = rows.into_iter().map(connection).collect::<Result<Vec<_>, _>>()?;
    tx.execute("delete from connections where holder = $1", &params![person]).await?;
    tx.execute(
        "delete from connect_flows where person = $1 and stage = $2",
        &params![person, FlowStage::Asked.as_str()],
    )
    .await?;
    // What has arrived is over, and given back with all that nobody agreed to.
    tx.execute("update connect_flows set expires_at = $1 where person = $2", &params![now, person]).await?;
    tx.execute("delete from tool_lists where holder = $1", &params![person]).await?;
    for connection in &ended {
        tx.changed(ChangeKind::Connection, connection.id.as_str(), now);
    }
    Ok(ended)
}

async fn take_lease(
    tx: &mut Tx,
    id: &ConnectionId,
    version: i64,
    lease: &str,
    (until, now): (Timestamp, Timestamp),
) -> Result<Leased, StoreError> {
    let taken = tx
        .execute(
            "update connections set lease = $3, leased_until = $4, refresh_begun_at = $5 \
             where id = $1 and version = $2 and state = 'good' and (leased_until is null or leased_until <= $5)",
            &params![id, version, lease, until, now],
        )
        .await?;
    Ok(if taken == 1 { Leased::Yes } else { Leased::No })
}

async fn at(tx: &mut Tx, holder: &Holder, server: &ServerName) -> Result<Option<Connection>, StoreError> {
    let sql = format!("select {CONNECTION} from connections c where c.holder = $1 and c.server = $2");
    tx.query_first(&sql, &params![holder, server]).await?.map(connection).transpose()
}

fn told(tx: &mut Tx, id: &ConnectionId, rows: u64, now: Timestamp) -> bool {
    if rows == 1 {
        tx.changed(ChangeKind::Connection, id.as_str(), now);
    }
    rows == 1
}

impl ConnectionKind {
    const ALL: [Self; 2] = [Self::OAuth, Self::Key];

    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OAuth => "oauth",
            Self::Key => "key",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, StoreError> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| StoreError::Damaged("a connection is of a kind that is not known".into()))
    }
}

impl ConnectionState {
    const ALL: [Self; 2] = [Self::Good, Self::NeedsSignIn];

    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NeedsSignIn => "needs_sign_in",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| StoreError::Damaged("a connection is in a state that is not known".into()))
    }
}

fn scopes(text: &str) -> Vec<String> {
    text.split(' ').filter(|scope| !scope.is_empty()).map(Into::into).collect()
}

fn connection(mut row: Row) -> Result<Connection, StoreError> {
    Ok(Connection {
        id: row.take()?,
        holder: row.take()?,
        server: row.take()?,
        kind: ConnectionKind::parse(&row.take::<String>()?)?,
        issuer: row.take()?,
        resource: row.take()?,
        client_id: row.take()?,
        scopes: scopes(&row.take::<String>()?),
        wants: scopes(&row.take::<String>()?),
        account: row.take()?,
        sealed: row.take()?,
        expires_at: row.take()?,
        version: row.take()?,
        state: ConnectionState::parse(&row.take::<String>()?)?,
        why: row.take()?,
        failing_since: row.take()?,
        renew_at: row.take()?,
        refresh_begun_at: row.take()?,
        leased_until: row.take()?,
        created_at: row.take()?,
        refreshed_at: row.take()?,
        used_at: row.take()?,
    })
}
