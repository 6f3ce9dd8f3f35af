//! A connection is made: somebody came back from an authorization server, or typed a key.

use portcullis_audit::{Actor, Kind, Outcome};
use portcullis_base::{ConnectionId, Holder, Secret};
use portcullis_store::{Connection, ConnectionKind, NewConnection, StoreError};

use super::{
    Connections,
    contents::{Contents, Kept},
    give_back::may_share_agreement,
    live::{Renewing, origin},
    look::{Idle, next_renewal},
    memory::Key,
};
use crate::{
    authority::Held,
    config::{Credential, Holders},
    journal::JournalError,
    snapshot::Server,
    vault::Owner,
};

/// Why nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The holder's account is switched off, or is not one that can have this connection by the settings.
    #[error("this holder can have no such connection")]
    NotAllowed,
    /// It cannot be sent to the server.
    #[error("this cannot be sent to the server")]
    Unfit,
    /// The database.
    #[error(transparent)]
    Store(StoreError),
    /// The record.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<StoreError> for ConnectError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing => Self::NotAllowed,
            error => Self::Store(error),
        }
    }
}

impl Connections {
    /// Keeps what an authorization server gave to `holder` for `server`, in the place of what there was.
    pub async fn connect(
        &self,
        by: Actor,
        holder: &Holder,
        server: &Server,
        held: &Held,
    ) -> Result<ConnectionId, ConnectError> {
        if matches!(*server.credential, Credential::Header(_)) || held.server != server.name {
            return Err(ConnectError::NotAllowed);
        }
        if super::look::bearer(held.access.reveal()).is_none() {
            return Err(ConnectError::Unfit);
        }
        self.put(by, holder, server, Contents::Tokens(held.clone())).await
    }

    /// Keeps a key that was typed, with what stands before it in the header.
    pub async fn put_key(
        &self,
        by: Actor,
        holder: &Holder,
        server: &Server,
        prefix: &str,
        key: &Secret,
    ) -> Result<ConnectionId, ConnectError> {
        let Credential::Header(settings) = &*server.credential else { return Err(ConnectError::NotAllowed) };
        let is_prefix = settings.prefix == prefix || settings.options.iter().any(|option| option.prefix == prefix);
        let fits = settings.pattern.as_ref().is_none_or(|pattern| pattern.fits(key.reveal()));
        if !is_prefix || !fits || http::HeaderValue::from_str(key.reveal()).is_err() {
            return Err(ConnectError::Unfit);
        }
        self.put(by, holder, server, Contents::Key { key: key.clone(), prefix: prefix.to_owned() }).await
    }

    async fn put(
        &self,
        by: Actor,
        holder: &Holder,
        server: &Server,
        contents: Contents,
    ) -> Result<ConnectionId, ConnectError> {
        // spec: UP-40: whose it is is the administrator's word, not that of whoever asks.
        let fits = match server.credential.holders() {
            Some(Holders::Each) => holder.person().is_some(),
            Some(Holders::Shared) => *holder == Holder::Shared,
            None => false,
        };
        if !fits {
            return Err(ConnectError::NotAllowed);
        }
        let now = self.parts.clock.now();
        let kept = Kept { at: origin(server).ok_or(ConnectError::NotAllowed)?, connected_at: now, contents };
        let held = match &kept.contents {
            Contents::Tokens(held) => Some(held),
            Contents::Key { .. } => None,
        };
        let kind = if held.is_some() { ConnectionKind::OAuth } else { ConnectionKind::Key };
        let owner = Owner::connection(holder, &server.name, held.map(Held::issuer));
        let sealed = kept.seal(&self.parts.keys, &owner, &*self.parts.rng);
        let mut share = [0];
        self.parts.rng.fill(&mut share);
        let id = ConnectionId::random(&*self.parts.rng);
        let renewing = match held {
            Some(held) if held.refresh.is_some() => Renewing::Possible,
            _ => Renewing::Impossible,
        };
        let expires_at = held.and_then(|held| held.expires_at);
        let new = NewConnection {
            id: &id,
            holder,
            server: &server.name,
            kind,
            issuer: held.map(Held::issuer),
            resource: held.and_then(|held| held.resource.as_deref()),
            client_id: held.map(|held| held.client.client_id.as_str()),
            scopes: held.map_or(&[], |held| &held.scopes),
            account: held.and_then(|held| held.account.as_deref()),
            sealed: &sealed,
            expires_at,
            renew_at: next_renewal(renewing, Idle::No, (now, expires_at), share[0]),
        };
        let made = self.parts.store.put_connection(&new, now).await?;
        self.memory.forget(&Key { holder: holder.clone(), server: server.name.clone() });
        let event = self.event_by(by, Kind::ConnectionMade, &made.connection).outcome(Outcome::Success);
        let event = event.text("kind", made.connection.kind.as_str());
        let event = match made.replaced {
            // spec: UP-47: nobody comes back to what another account gave.
            Some(old) if !may_share_agreement(&old, new.issuer, new.account) => {
                let end = self.give_back().one(&old).await;
                event.text("replaced_account", old.account.unwrap_or_default()).text("replaced_revoked", end.told())
            }
            Some(Connection { account: Some(account), .. }) => event.text("replaced_account", account),
            _ => event,
        };
        self.parts.journal.append(event).await?;
        self.tell(holder, &server.name);
        Ok(made.connection.id)
    }
}
