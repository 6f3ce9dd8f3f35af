//! From a row to what is known.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64},
};

use http::{HeaderName, HeaderValue, header};
use portcullis_base::Timestamp;
use portcullis_store::{Connection, ConnectionKind, ConnectionState};

use super::{
    Connections,
    contents::{Contents, Kept},
    lack::{EXPIRED, ISSUER, UNREADABLE},
    live::{Known, Live, Renewing, moments},
    memory::{Key, Moment},
};
use crate::{config::Credential, snapshot::Server, upstream};

impl Connections {
    /// Reads the row once for all who ask at this moment; `None` if the database does not answer.
    pub(super) async fn look(self: &Arc<Self>, key: &Key) -> Option<Known> {
        let flight = || {
            let (all, key) = (self.clone(), key.clone());
            async move { all.read(&key).await }
        };
        self.looking.wait(key, flight).await.flatten()
    }

    /// Reads the row, and keeps what it says.
    pub(super) async fn read(&self, key: &Key) -> Option<Known> {
        let begun = self.memory.moment();
        match self.parts.store.connection(&key.holder, &key.server).await {
            Ok(row) => Some(self.learn(key, row.as_ref(), begun)),
            Err(error) => {
                tracing::error!(%error, server.name = %key.server, "a connection cannot be read");
                None
            }
        }
    }

    /// Keeps what a row that was read since `begun` says. What only the settings of this moment say is not kept: they may be
    /// set right the next.
    pub(super) fn learn(&self, key: &Key, row: Option<&Connection>, begun: Moment) -> Known {
        let known = self.understand(key, row);
        let fits = row.is_none_or(|row| self.server(&row.server).is_some_and(|server| fit(row, &server) == Fit::Good));
        if fits {
            self.memory.keep(key, &known, begun);
        } else {
            self.memory.forget(key);
        }
        known
    }

    /// What a row means by the settings of this moment.
    fn understand(&self, key: &Key, row: Option<&Connection>) -> Known {
        let (Some(row), Some(server)) = (row, self.server(&key.server)) else { return Known::Missing };
        let lost = |why: &str| Known::Lost { id: row.id.clone(), version: row.version, why: why.into() };
        match fit(row, &server) {
            Fit::OtherKind => return Known::Missing,
            _ if row.holder != key.holder || row.server != key.server => return Known::Missing,
            _ if row.state == ConnectionState::NeedsSignIn => return lost(row.why.as_deref().unwrap_or(EXPIRED)),
            Fit::OtherIssuer => return lost(ISSUER),
            Fit::Good => {}
        }
        match self.open(row).and_then(|kept| self.live(row, kept, &server)) {
            Some(live) => Known::Live(Arc::new(live)),
            None => lost(UNREADABLE),
        }
    }

    /// Opens what is sealed in a row.
    pub(super) fn open(&self, row: &Connection) -> Option<Kept> {
        Kept::open(&self.parts.keys, row)
    }

    fn live(&self, row: &Connection, kept: Kept, server: &Server) -> Option<Live> {
        let Kept { at, connected_at, contents } = kept;
        let mut share = [0];
        self.parts.rng.fill(&mut share);
        let (header, expires_at, renewing) = match contents {
            Contents::Tokens(held) => {
                let renewing = if held.refresh.is_some() { Renewing::Possible } else { Renewing::Impossible };
                (bearer(held.access.reveal())?, held.expires_at, renewing)
            }
            Contents::Key { key, prefix } => {
                let Credential::Header(settings) = &*server.credential else { return None };
                let value = HeaderValue::from_str(&[&prefix, key.reveal()].concat()).ok()?;
                ((settings.header.clone(), value), None, Renewing::Impossible)
            }
        };
        // An end that is none: nothing is known of it.
        let expires_at = expires_at.filter(|end| *end > row.refreshed_at);
        let moments = expires_at.map(|end| moments(row.refreshed_at, end, share[0]));
        Some(Live {
            id: Some(row.id.clone()),
            version: row.version,
            credential: upstream::Credential::new([header], row.holder.clone()).renewal_of(format!(
                "{} {}",
                row.id,
                connected_at.as_millis()
            )),
            scopes: row.scopes.clone(),
            at,
            settings: server.credential.clone(),
            expires_at,
            renew_at: moments.map(|(early, _)| early),
            late_at: moments.map(|(_, late)| late),
            renewing,
            connected_at,
            not_before: AtomicI64::new(i64::MIN),
            forgotten: AtomicBool::new(false),
            noted: AtomicI64::new(i64::MIN),
        })
    }
}

/// Whether a row is for the server as the administrator describes it now. What does not fit is not used, and is kept: the
/// description may have been a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Good,
    OtherKind,
    OtherIssuer,
}

pub(super) fn fit(row: &Connection, server: &Server) -> Fit {
    let keyed = matches!(*server.credential, Credential::Header(_));
    if server.credential.holders().is_none() || keyed != (row.kind == ConnectionKind::Key) {
        return Fit::OtherKind;
    }
    // spec: UP-4: what another issuer gave is not for this server.
    let pinned = server.credential.oauth().and_then(|oauth| oauth.issuer.as_ref());
    if pinned.is_some_and(|pinned| Some(pinned) != row.issuer.as_ref()) { Fit::OtherIssuer } else { Fit::Good }
}

/// spec: UP-42: "only in `Authorization: Bearer`".
pub(super) fn bearer(access: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((header::AUTHORIZATION, HeaderValue::from_str(&["Bearer ", access].concat()).ok()?))
}

/// The moment when a connection that nobody uses is renewed all the same, and the one in use.
pub(super) fn next_renewal(
    renewing: Renewing,
    idle: Idle,
    (from, end): (Timestamp, Option<Timestamp>),
    share: u8,
) -> Option<Timestamp> {
    if renewing == Renewing::Impossible {
        return None;
    }
    let seldom = from.plus(super::round::IDLE * (192 + u32::from(share) / 2) / 256);
    match (idle, end) {
        (Idle::No, Some(end)) => Some(moments(from, end, share).0),
        _ => Some(seldom),
    }
}

/// Whether a connection was used of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// It was.
    No,
    /// It was not: it is kept alive, and no more.
    Yes,
}
