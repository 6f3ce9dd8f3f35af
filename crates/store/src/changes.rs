//! What changed since revision n: how one node learns what another one, or a command, did.
//!
//! A node polls [`Store::changes_since`] with the last revision it has seen and rebuilds what the changes name. Pruned
//! changes are older than any token, and the newest is never pruned: who slept longer than the feed reaches still sees
//! that there is something new.

use portcullis_base::Timestamp;

use crate::{
    Store, StoreError,
    db::{Row, params},
};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Grows with every change; never reused.
    pub revision: i64,
    /// What changed.
    pub kind: ChangeKind,
    /// Which one of them.
    pub key: String,
    /// When.
    pub at: Timestamp,
}

/// What can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A grant was revoked; the key is its identifier.
    GrantRevoked,
    /// A person was created, changed or disabled, or is in other groups; the key is its identifier.
    Person,
    /// A server was put or removed; the key is its name.
    Server,
    /// A signing key was put or retired; the key is its `kid`.
    SigningKey,
    /// An MCP session was closed; the key is its identifier.
    SessionEnded,
    /// A client changed or was removed; the key is its identifier.
    Client,
    /// An access key was made; the key is the identifier of its grant. Its end is that of the grant.
    AccessKey,
    /// The person of a grant has signed in afresh; the key is the grant's identifier.
    GrantFresh,
    /// Something somebody has at a server was made, renewed, lost or removed; the key is the connection's identifier.
    Connection,
    /// The key ring has another key, or one less; the key is the number of the data key, or the name of a root key.
    KeyRing,
    /// Something happened to an approval; the key is its identifier.
    Approval,
    /// An approval ahead was made or revoked; the key is its identifier.
    StandingGrant,
    /// Somebody was given a right to use a server, or lost one; the key is its identifier.
    AccessGrant,
    /// Somebody wishes to use a server, or was answered; the key is the identifier of the wish.
    AccessRequest,
    /// A node has left a mark, so that an older copy of the database is known as one; the key is the node's name.
    Mark,
    /// Written by a release that knows more kinds than this one.
    Other,
}

impl ChangeKind {
    const ALL: [Self; 15] = [
        Self::GrantRevoked,
        Self::Person,
        Self::Server,
        Self::SigningKey,
        Self::SessionEnded,
        Self::Client,
        Self::AccessKey,
        Self::GrantFresh,
        Self::Connection,
        Self::KeyRing,
        Self::Approval,
        Self::StandingGrant,
        Self::AccessGrant,
        Self::AccessRequest,
        Self::Mark,
    ];

    /// The text in the feed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GrantRevoked => "grant_revoked",
            Self::Person => "person",
            Self::Server => "server",
            Self::SigningKey => "signing_key",
            Self::SessionEnded => "session_ended",
            Self::Client => "client",
            Self::AccessKey => "access_key",
            Self::GrantFresh => "grant_fresh",
            Self::Connection => "connection",
            Self::KeyRing => "key_ring",
            Self::Approval => "approval",
            Self::StandingGrant => "standing_grant",
            Self::AccessGrant => "access_grant",
            Self::AccessRequest => "access_request",
            Self::Mark => "mark",
            Self::Other => "other",
        }
    }

    fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).unwrap_or(Self::Other)
    }
}

impl Store {
    /// The newest revision; 0 before the first change. Read it before loading what the feed keeps fresh.
    pub async fn revision(&self) -> Result<i64, StoreError> {
        let row = self.db.query_first("select coalesce(max(revision), 0) from changes", &[]).await?;
        row.map_or(Ok(0), |mut row| row.take())
    }

    /// What changed after `revision`, oldest first. spec: AS-89
    pub async fn changes_since(&self, revision: i64) -> Result<Vec<Change>, StoreError> {
        let rows = self
            .db
            .query(
                "select revision, kind, change_key, changed_at from changes where revision > $1 order by revision",
                &params![revision],
            )
            .await?;
        rows.into_iter().map(change).collect()
    }
}

fn change(mut row: Row) -> Result<Change, StoreError> {
    Ok(Change {
        revision: row.take()?,
        kind: ChangeKind::parse(&row.take::<String>()?),
        key: row.take()?,
        at: row.take()?,
    })
}
