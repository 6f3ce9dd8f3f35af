//! A connection ends: it is removed here first, so that nothing can use it, and then given back to whoever issued it.

use std::time::Duration;

use futures_util::future::join_all;
use portcullis_audit::{Actor, Kind, Outcome};
use portcullis_base::{Holder, ServerName, Timestamp};
use portcullis_store::{Connection, ConnectionKind};
use tokio::time::timeout;

use super::{
    Authorities, ConnectError, Connections,
    contents::{Contents, Kept},
    memory::Key,
};
use crate::{authority::Revocation, keys::Keys};

/// How long an authorization server has to take back what it gave.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of a connection that was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnected {
    /// Who had issued it; `None` for a key.
    pub issuer: Option<String>,
    /// What became of it there; `None` if nothing was left to give back.
    pub revoked: Option<Revocation>,
}

/// Gives back what was removed.
#[derive(Clone, Copy)]
pub struct GiveBack<'a> {
    /// Opens what is sealed.
    pub keys: &'a Keys,
    /// Whom it is given back to; `None` where nobody can be reached from here.
    pub authorities: Option<&'a dyn Authorities>,
}

/// A connection that was removed, and what became of it where it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenBack {
    /// Where it was.
    pub server: ServerName,
    /// Whose account it was there, if that is known.
    pub account: Option<String>,
    /// What became of it.
    pub end: Disconnected,
}

impl GiveBack<'_> {
    /// Gives all of these back, beside each other, within a few seconds.
    ///
    /// spec: UP-47
    pub async fn all(&self, removed: &[Connection]) -> Vec<GivenBack> {
        join_all(removed.iter().map(|row| async move {
            let end = self.one(row).await;
            GivenBack { server: row.server.clone(), account: row.account.clone(), end }
        }))
        .await
    }

    pub(super) async fn one(&self, row: &Connection) -> Disconnected {
        let issuer = row.issuer.clone();
        if row.sealed.is_none() || row.kind == ConnectionKind::Key {
            return Disconnected { issuer, revoked: None };
        }
        let failed = |why: &str| Some(Revocation::Failed(why.to_owned()));
        let revoked = match (Kept::open(self.keys, row), self.authorities) {
            (Some(Kept { contents: Contents::Tokens(held), .. }), Some(authorities)) => {
                match timeout(PATIENCE, authorities.revoke(&held)).await {
                    Ok(revoked) => Some(revoked),
                    Err(_) => failed("it did not answer in time"),
                }
            }
            (Some(_), _) => failed("it could not be asked from here"),
            (None, _) => failed("the stored tokens were sealed with another key"),
        };
        Disconnected { issuer, revoked }
    }
}

/// Whether what `row` holds may live on the same agreement as what `issuer` gave for `account`. Many providers end all that
/// an account has agreed to with the first token that is given back.
pub fn may_share_agreement(row: &Connection, issuer: Option<&str>, account: Option<&str>) -> bool {
    let same_account = match (row.account.as_deref(), account) {
        (Some(one), Some(other)) => one == other,
        // Who does not say may be anybody.
        _ => true,
    };
    row.issuer.as_deref() == issuer && same_account
}

impl Connections {
    /// How what was removed is given back.
    pub fn give_back(&self) -> GiveBack<'_> {
        GiveBack { keys: &self.parts.keys, authorities: Some(&*self.parts.authorities) }
    }

    /// Ends what `holder` has at `server`, and gives it back; `None` if there was nothing.
    ///
    /// spec: UP-47: "when a user disconnects, is removed, or the upstream is deleted".
    pub async fn disconnect(
        &self,
        by: Actor,
        holder: &Holder,
        server: &ServerName,
    ) -> Result<Option<Disconnected>, ConnectError> {
        let removed = self.parts.store.remove_connection(holder, server, self.now()).await?;
        self.memory.forget(&Key { holder: holder.clone(), server: server.clone() });
        let Some(row) = removed else { return Ok(None) };
        let end = self.give_back().one(&row).await;
        self.record_end(by, &row, &end).await?;
        Ok(Some(end))
    }

    /// Ends what anybody has at a server that is taken away.
    pub async fn disconnect_all(&self, by: &Actor, server: &ServerName) -> Result<Vec<GivenBack>, ConnectError> {
        let removed = self.parts.store.remove_connections_at(server, self.now()).await?;
        for row in &removed {
            self.memory.forget(&Key { holder: row.holder.clone(), server: row.server.clone() });
        }
        let given_back = self.give_back().all(&removed).await;
        for (row, given) in removed.iter().zip(&given_back) {
            self.record_end(by.clone(), row, &given.end).await?;
        }
        Ok(given_back)
    }

    /// Forgets what was removed with its holder, without waiting for the feed. spec: T-51
    pub fn forget(&self, removed: &[Connection]) {
        for row in removed {
            self.memory.forget(&Key { holder: row.holder.clone(), server: row.server.clone() });
        }
    }

    async fn record_end(&self, by: Actor, row: &Connection, end: &Disconnected) -> Result<(), ConnectError> {
        let event = self.event_by(by, Kind::ConnectionDisconnected, row).outcome(Outcome::Success);
        self.parts.journal.append(event.text("revoked", end.told())).await?;
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }
}

impl Disconnected {
    /// What became of it where it was issued, in a few words, for records and reports.
    pub fn told(&self) -> String {
        match &self.revoked {
            None => "nothing to give back".to_owned(),
            Some(Revocation::Done) => "taken back".to_owned(),
            Some(Revocation::NotOffered) => "not offered there".to_owned(),
            Some(Revocation::Failed(why)) => format!("failed: {}", portcullis_base::printable(why, 300)),
        }
    }
}
