//! Everything sealed that is kept, wherever it is: for sealing it again when there is a newer key. The store cannot open any
//! of it; it only knows which key a value says it was sealed with, which is how it begins.

use std::collections::BTreeMap;

use portcullis_base::{ApprovalId, ConnectionId, Holder, ServerName};

use crate::{
    Store, StoreError,
    db::{Row, params, transact},
};

/// A sealed value and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRow {
    /// Whose.
    pub owner: SealedOwner,
    /// The value.
    pub sealed: Vec<u8>,
}

/// Whose a sealed value is, as far as it needs to be known to open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedOwner {
    /// A private signing key, by its `kid`.
    SigningKey(String),
    /// The refresh token of somebody at their provider.
    Identity {
        /// The issuer.
        issuer: String,
        /// Who they are to it.
        subject: String,
    },
    /// What ends a browser session at its provider too.
    Session {
        /// The public name of the session.
        id: String,
        /// The issuer.
        issuer: String,
        /// Who they are to it.
        subject: String,
    },
    /// What somebody has at a server.
    Connection {
        /// The connection.
        id: ConnectionId,
        /// Whose it is.
        holder: Holder,
        /// Where.
        server: ServerName,
        /// Who issued it.
        issuer: Option<String>,
    },
    /// Our own secret at an authorization server, by its issuer.
    Client(String),
    /// A call that waits for humans, or waited.
    Approval(ApprovalId),
}

/// Where sealed values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedPlace {
    /// Our signing keys.
    SigningKeys,
    /// What people's providers gave.
    Identities,
    /// What ends browser sessions at providers.
    Sessions,
    /// What people have at servers.
    Connections,
    /// Our registrations.
    Clients,
    /// Calls that wait for humans, or waited.
    Approvals,
}

impl SealedPlace {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::SigningKeys, Self::Identities, Self::Sessions, Self::Connections, Self::Clients, Self::Approvals];

    /// Table and column.
    const fn column(self) -> (&'static str, &'static str) {
        match self {
            Self::SigningKeys => ("signing_keys", "sealed"),
            Self::Identities => ("identities", "refresh_sealed"),
            Self::Sessions => ("sessions", "logout_hint"),
            Self::Connections => ("connections", "sealed"),
            Self::Clients => ("upstream_clients", "sealed"),
            Self::Approvals => ("approvals", "sealed"),
        }
    }

    /// The columns that tell whose a value is, in an order that is the same every time.
    const fn owner(self) -> (&'static str, &'static str) {
        match self {
            Self::SigningKeys => ("kid", "kid"),
            Self::Identities => ("issuer, subject", "issuer, subject"),
            Self::Sessions => ("id, coalesce(issuer, ''), coalesce(subject, '')", "id"),
            Self::Connections => ("id, holder, server, issuer", "id"),
            Self::Clients => ("issuer", "issuer"),
            Self::Approvals => ("id", "id"),
        }
    }
}

impl Store {
    /// Whether anything is in here that only the right root key opens; also asked of a database that waits for its
    /// migration.
    pub async fn holds_sealed(&self) -> Result<bool, StoreError> {
        let found = self.status().await?.found;
        let places: &[SealedPlace] = match found {
            0 => &[],
            1 => &SealedPlace::ALL[..1],
            2 => &SealedPlace::ALL[..3],
            3 => &SealedPlace::ALL[..5],
            _ => &SealedPlace::ALL,
        };
        for place in places {
            let (table, column) = place.column();
            let sql = format!("select 1 from {table} where {column} is not null limit 1");
            if self.db.query_first(&sql, &[]).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many values begin with each of the first `length` bytes that there are.
    pub async fn sealed_by_prefix(&self, length: u8) -> Result<BTreeMap<Vec<u8>, u64>, StoreError> {
        let mut all = BTreeMap::new();
        for place in SealedPlace::ALL {
            let (table, column) = place.column();
            let sql = format!(
                "select substr({column}, 1, {length}), count(*) from {table} where {column} is not null \
                 group by substr({column}, 1, {length})"
            );
            for mut row in self.db.query(&sql, &[]).await? {
                let prefix: Vec<u8> = row.take()?;
                *all.entry(prefix).or_default() += row.take::<i64>()?.unsigned_abs();
            }
        }
        Ok(all)
    }

    /// Values of one place that do not begin with `prefix`: at most `take` of them, after the first `skip`.
    pub async fn sealed_otherwise(
        &self,
        place: SealedPlace,
        prefix: &[u8],
        (skip, take): (u32, u32),
    ) -> Result<Vec<SealedRow>, StoreError> {
        let (table, column) = place.column();
        let (owner, order) = place.owner();
        let length = prefix.len();
        let sql = format!(
            "select {column}, {owner} from {table} where substr({column}, 1, {length}) <> $1 \
             order by {order} limit $2 offset $3"
        );
        let rows = self.db.query(&sql, &params![prefix, i64::from(take), i64::from(skip)]).await?;
        rows.into_iter().map(|row| sealed(place, row)).collect()
    }

    /// Writes a value sealed anew in place of the one that was read, if that is still there; whether it was. Nobody else
    /// needs to hear of it: what is in it is the same.
    pub async fn seal_again(&self, row: &SealedRow, again: &[u8]) -> Result<bool, StoreError> {
        let old = &row.sealed;
        transact!(self.db, |tx| {
            let written = match &row.owner {
                SealedOwner::SigningKey(kid) => {
                    let sql = "update signing_keys set sealed = $1 where sealed = $2 and kid = $3";
                    tx.execute(sql, &params![again, old, kid]).await?
                }
                SealedOwner::Identity { issuer, subject } => {
                    let sql = "update identities set refresh_sealed = $1 where refresh_sealed = $2 and issuer = $3 \
                               and subject = $4";
                    tx.execute(sql, &params![again, old, issuer, subject]).await?
                }
                SealedOwner::Session { id, .. } => {
                    let sql = "update sessions set logout_hint = $1 where logout_hint = $2 and id = $3";
                    tx.execute(sql, &params![again, old, id]).await?
                }
                SealedOwner::Connection { id, .. } => {
                    let sql = "update connections set sealed = $1 where sealed = $2 and id = $3";
                    tx.execute(sql, &params![again, old, id]).await?
                }
                SealedOwner::Client(issuer) => {
                    let sql = "update upstream_clients set sealed = $1 where sealed = $2 and issuer = $3";
                    tx.execute(sql, &params![again, old, issuer]).await?
                }
                SealedOwner::Approval(id) => {
                    let sql = "update approvals set sealed = $1 where sealed = $2 and id = $3";
                    tx.execute(sql, &params![again, old, id]).await?
                }
            };
            Ok(written == 1)
        })
    }
}

fn sealed(place: SealedPlace, mut row: Row) -> Result<SealedRow, StoreError> {
    let sealed = row.take()?;
    let owner = match place {
        SealedPlace::SigningKeys => SealedOwner::SigningKey(row.take()?),
        SealedPlace::Identities => SealedOwner::Identity { issuer: row.take()?, subject: row.take()? },
        SealedPlace::Sessions => SealedOwner::Session { id: row.take()?, issuer: row.take()?, subject: row.take()? },
        SealedPlace::Connections => {
            SealedOwner::Connection { id: row.take()?, holder: row.take()?, server: row.take()?, issuer: row.take()? }
        }
        SealedPlace::Clients => SealedOwner::Client(row.take()?),
        SealedPlace::Approvals => SealedOwner::Approval(row.take()?),
    };
    Ok(SealedRow { owner, sealed })
}
