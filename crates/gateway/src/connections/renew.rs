//! Renewing: one at a time for each connection, in this process and among all nodes.
//!
//! Whoever renews has a lease in the database, taken for the version that they saw. That a refresh was begun is written
//! before anything is sent, and the new pair before anything uses it. So whatever dies in between, the next one knows that
//! an answer may have been lost, and asks again while the authorization server still remembers.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use portcullis_audit::{Kind, Outcome};
use portcullis_base::{Timestamp, token};
use portcullis_store::{Connection, ConnectionState, Leased, RefreshedConnection};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Connections, REST,
    contents::{Contents, Kept, owner},
    lack::{EXPIRED, FORGOTTEN, UNREADABLE},
    live::{Known, Live, Renewing},
    look::{Fit, Idle, fit, next_renewal},
    memory::Key,
    round,
    turns::Turn,
};
use crate::authority::{Held, RefreshError};

/// Nobody else refreshes for so long. A node that died blocks nobody for longer.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// How long one question to the authorization server may take.
const ANSWER: Duration = Duration::from_secs(9);
/// All questions together: they end before the lease does.
const ANSWERS: Duration = Duration::from_secs(14);
/// How often it is asked before it is given a rest: a lost answer is asked for again at once, while it is known there.
const ATTEMPTS: u32 = 2;
/// Before it is asked again.
const PAUSE: Duration = Duration::from_millis(200);
/// How often is looked whether another one has finished.
const GLANCE: Duration = Duration::from_millis(100);
/// How long another one is waited for.
const OTHER: Duration = Duration::from_secs(18);
/// How long is tried to write down what an authorization server gave: nobody has it but us.
const WRITING: Duration = Duration::from_mins(2);
/// The shortest and the longest rest of an authorization server that does not answer.
const RESTS: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(10));

/// What came of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    /// Something is known now that was not before: look again.
    Known,
    /// Nothing was learned.
    Nothing,
    /// We are not known there any more: who cannot wait connects anew.
    Forgotten,
}

impl Connections {
    /// Renews what is `than` or older, and waits for that.
    ///
    /// spec: UP-43: "50 parallel calls cause one refresh."
    pub(super) async fn renew(self: &Arc<Self>, key: &Key, than: i64) -> Renewed {
        let renewed = self.renewing.wait(key, || self.clone().renewal(key.clone(), than)).await;
        renewed.unwrap_or(Renewed::Nothing)
    }

    /// The same without waiting.
    pub(super) fn renew_behind(self: &Arc<Self>, key: &Key, than: i64) {
        self.renewing.board(key, || self.clone().renewal(key.clone(), than));
    }

    async fn renewal(self: Arc<Self>, key: Key, than: i64) -> Renewed {
        let renewed = self.take_and_renew(&key, than).await;
        if renewed != Renewed::Known
            && let Some(Known::Live(live)) = self.memory.get(&key)
        {
            live.rest_until(self.parts.clock.now().plus(REST));
            live.forgotten.store(renewed == Renewed::Forgotten, Ordering::Relaxed);
        }
        renewed
    }

    async fn take_and_renew(&self, key: &Key, than: i64) -> Renewed {
        let deadline = Instant::now() + OTHER;
        while Instant::now() < deadline {
            let begun = self.memory.moment();
            let Ok(row) = self.parts.store.connection(&key.holder, &key.server).await else { return Renewed::Nothing };
            let row = match row {
                Some(row) if row.version <= than && row.state == ConnectionState::Good => row,
                // Somebody was faster: with a renewal, a new sign-in, a removal.
                other => {
                    self.learn(key, other.as_ref(), begun);
                    return Renewed::Known;
                }
            };
            let now = self.parts.clock.now();
            if row.leased_until.is_none_or(|until| until <= now)
                && let Some(turn) = self.turns.take(&row.id)
            {
                let lease = token::<16>(&*self.parts.rng);
                let until = now.plus(LEASE);
                match self.parts.store.lease_connection(&row.id, row.version, &lease, until, now).await {
                    Ok(Leased::Yes) => return self.renew_leased(row, &lease, turn).await,
                    Ok(Leased::No) => {}
                    Err(_) => return Renewed::Nothing,
                }
            }
            sleep(GLANCE).await;
        }
        Renewed::Nothing
    }

    /// Renews a row that is leased to us.
    pub(super) async fn renew_leased(&self, row: Connection, lease: &str, _turn: Turn) -> Renewed {
        let Some(Kept { at, connected_at, contents: Contents::Tokens(held) }) = self.open(&row) else {
            return self.failing(&row, lease, UNREADABLE, "what is sealed does not open").await;
        };
        let (started, mut asked) = (Instant::now(), 0);
        loop {
            asked += 1;
            match self.ask(&row, &held, ANSWER.min(ANSWERS.saturating_sub(started.elapsed()))).await {
                Ok(new) => {
                    let kept = Kept { at, connected_at, contents: Contents::Tokens(new) };
                    return self.keep_renewed(&row, kept).await;
                }
                Err(RefreshError::Ended(code)) => return self.over(&row, lease, &code).await,
                Err(RefreshError::Client(text)) => return self.failing(&row, lease, "client", &text).await,
                Err(RefreshError::Forgotten(text)) => {
                    self.failing(&row, lease, FORGOTTEN, &text).await;
                    return Renewed::Forgotten;
                }
                Err(RefreshError::Unavailable(text)) if asked >= ATTEMPTS => {
                    return self.failing(&row, lease, "unavailable", &text).await;
                }
                Err(RefreshError::Unavailable(_)) => sleep(PAUSE).await,
            }
        }
    }

    async fn ask(&self, row: &Connection, held: &Held, patience: Duration) -> Result<Held, RefreshError> {
        if held.refresh.is_none() {
            return Err(RefreshError::Ended(EXPIRED.to_owned()));
        }
        let Some(server) = self.server(&row.server) else {
            return Err(RefreshError::Unavailable("the server is not in the settings any more".to_owned()));
        };
        if fit(row, &server) != Fit::Good {
            return Err(RefreshError::Unavailable("the settings describe another server by now".to_owned()));
        }
        let asked = timeout(patience, self.parts.authorities.refresh(&server, held)).await;
        asked.unwrap_or_else(|_| Err(RefreshError::Unavailable("no answer in time".to_owned())))
    }

    /// Writes the new pair down, and goes on trying to: nobody else has it.
    ///
    /// spec: UP-43: "persist the new pair before using it".
    async fn keep_renewed(&self, row: &Connection, kept: Kept) -> Renewed {
        let Contents::Tokens(held) = &kept.contents else { return Renewed::Nothing };
        let sealed = kept.seal(&self.parts.keys, &owner(row), &*self.parts.rng);
        let started = Instant::now();
        let mut pause = PAUSE;
        let written = loop {
            let now = self.parts.clock.now();
            let refreshed = RefreshedConnection {
                sealed: &sealed,
                expires_at: held.expires_at,
                scopes: Some(&held.scopes),
                renew_at: self.next_of(row, held, now),
            };
            match self.parts.store.connection_refreshed(&row.id, row.version, &refreshed, now).await {
                Ok(written) => break written,
                Err(error) if started.elapsed() > WRITING => {
                    tracing::error!(%error, server.name = %row.server, "a renewed credential could not be written down");
                    return Renewed::Nothing;
                }
                Err(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(REST);
        };
        let key = Key { holder: row.holder.clone(), server: row.server.clone() };
        if !written {
            self.memory.forget(&key);
            self.too_late(row, held).await;
            return Renewed::Known;
        }
        // Calls go on with the old one until the new one is there, and none of them reads the row.
        self.memory.stir();
        self.read(&key).await;
        let event = self.event(Kind::ConnectionRefreshed, row).outcome(Outcome::Success);
        match self.parts.journal.append(event).await {
            Ok(_) => Renewed::Known,
            Err(error) => {
                tracing::error!(%error, server.name = %row.server, "a renewal could not be recorded");
                Renewed::Nothing
            }
        }
    }

    fn next_of(&self, row: &Connection, held: &Held, now: Timestamp) -> Option<Timestamp> {
        let mut share = [0];
        self.parts.rng.fill(&mut share);
        let renewing = if held.refresh.is_some() { Renewing::Possible } else { Renewing::Impossible };
        let last = row.used_at.unwrap_or(row.created_at).max(self.used_here(row));
        let idle = if now.since(last) < round::ACTIVE { Idle::No } else { Idle::Yes };
        next_renewal(renewing, idle, (now, held.expires_at), share[0])
    }

    /// When it was last used on this node, if that is not in the database yet.
    fn used_here(&self, row: &Connection) -> Timestamp {
        let used = self.used.lock().expect("no holder of this lock panics");
        used.iter().rev().find(|(id, _)| *id == row.id).map_or(row.created_at, |(_, at)| *at)
    }

    /// It was removed, or made again, while we asked. What we got for one that was removed goes back: a removal wins.
    ///
    /// spec: T-51
    async fn too_late(&self, row: &Connection, held: &Held) {
        let there = self.parts.store.connection(&row.holder, &row.server).await;
        if matches!(&there, Ok(there) if there.as_ref().is_none_or(|there| there.id != row.id)) {
            let told = timeout(ANSWER, self.parts.authorities.revoke(held)).await;
            tracing::info!(server.name = %row.server, revoked = ?told.ok(), "renewed after its end; given back");
        }
    }

    /// The authorization server says that it is over; it is, unless somebody else has something newer by now.
    ///
    /// spec: UP-43: "on `invalid_grant` drop the pair and mark the connection as needing consent".
    async fn over(&self, row: &Connection, lease: &str, code: &str) -> Renewed {
        let now = self.parts.clock.now();
        let why = portcullis_base::printable(code, 60);
        let noted = self.parts.store.connection_needs_sign_in(&row.id, row.version, Some(lease), &why, now).await;
        self.lost(row, noted, &why).await
    }

    /// Nothing came to renew it, and it has ended; `None` if that cannot be written down.
    pub(super) async fn expired(&self, key: &Key, live: &Live) -> Option<()> {
        let id = live.id.as_ref()?;
        let row = self.parts.store.connection(&key.holder, &key.server).await.ok()?;
        let Some(row) = row.filter(|row| row.id == *id && row.version == live.version) else {
            self.memory.forget(key);
            return Some(());
        };
        let now = self.parts.clock.now();
        let noted = self.parts.store.connection_needs_sign_in(id, live.version, None, EXPIRED, now).await;
        (self.lost(&row, noted, EXPIRED).await == Renewed::Known).then_some(())
    }

    async fn lost(&self, row: &Connection, noted: Result<bool, portcullis_store::StoreError>, why: &str) -> Renewed {
        self.memory.forget(&Key { holder: row.holder.clone(), server: row.server.clone() });
        match noted {
            Ok(true) => {}
            Ok(false) => return Renewed::Known,
            Err(error) => {
                tracing::error!(%error, server.name = %row.server, "the end of a connection could not be written down");
                return Renewed::Nothing;
            }
        }
        let event = self.event(Kind::ConnectionLost, row).outcome(Outcome::Failure).text("why", why.to_owned());
        if let Err(error) = self.parts.journal.append(event).await {
            tracing::error!(%error, server.name = %row.server, "the end of a connection could not be recorded");
        }
        Renewed::Known
    }

    /// Nothing was learned. What there is stays; the rests grow.
    async fn failing(&self, row: &Connection, lease: &str, why: &str, detail: &str) -> Renewed {
        let now = self.parts.clock.now();
        let since = row.failing_since.map_or(Duration::ZERO, |since| now.since(since));
        let again = now.plus((since / 2).clamp(RESTS.0, RESTS.1));
        tracing::warn!(
            server.name = %row.server, connection.id = %row.id, error.detail = detail, "a credential could not be renewed"
        );
        if let Err(error) = self.parts.store.connection_failing(&row.id, lease, why, again, now).await {
            tracing::error!(%error, server.name = %row.server, "a failed renewal could not be noted");
        }
        Renewed::Nothing
    }
}
