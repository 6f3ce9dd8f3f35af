//! What was found out about a server's authorization server, kept for a while and asked for again.
//!
//! spec: UP-12: bounded, and asked again when what is kept does not do: when nobody knows us any more, when a fresh token
//! is refused, and when the server points elsewhere.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_base::{ServerName, Timestamp};
use portcullis_oauth::upstream::{challenge::Wanted, server::ServerMetadata};
use tokio::sync::Mutex as Turn;

use super::{Authority, AuthorityError, Trouble, terms::Terms, walk::Walk};
use crate::snapshot::Server;

/// What was found serves so long without a question.
const FRESH: Duration = Duration::from_hours(1);
/// And no longer than this while nobody answers.
const STALE: Duration = Duration::from_hours(24);
/// How soon after a failure it is tried again, and how often a server may point elsewhere.
const PAUSE: Duration = Duration::from_secs(5);
/// How often something is asked again because it does not do.
const AGAIN: Duration = Duration::from_mins(1);
/// Whoever is about to be sent to an authorization server is sent by what is no older than this.
const NOW: Duration = Duration::from_secs(1);
/// How many servers are remembered; only administrators name them.
const REMEMBERED: usize = 4_096;

/// A server's authorization server, and what is asked for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who issues tokens for the server.
    pub issuer: String,
    /// What it publishes, checked.
    pub metadata: ServerMetadata,
    /// What is sent as `resource`, if something is. spec: UP-30
    pub resource: Option<String>,
    /// What is asked for when nothing else is known; empty: the authorization server chooses. spec: UP-37
    pub scopes: Vec<String>,
    /// What the server's own document lists.
    pub listed: Option<Vec<String>>,
}

/// What is known of servers.
#[derive(Default)]
pub(super) struct Finds(Mutex<HashMap<ServerName, Arc<Slot>>>);

/// What is known of one server with one set of settings.
struct Slot {
    settings: String,
    state: Mutex<State>,
    turn: Turn<()>,
}

#[derive(Clone, Default)]
struct State {
    found: Option<(Arc<Found>, Timestamp)>,
    failed: Option<(AuthorityError, Timestamp)>,
    /// What the server said the last time when it refused.
    challenge: Option<Wanted>,
}

/// How new it must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// As it is kept.
    Any,
    /// Newer than this.
    Below(Duration),
}

impl Authority {
    /// The authorization server of `server`. `challenge` is what the server said when it refused, if it just did.
    pub async fn discover(&self, server: &Server, challenge: Option<&Wanted>) -> Result<Arc<Found>, AuthorityError> {
        let slot = self.finds.slot(server);
        let age = if slot.hear(challenge) { Age::Below(PAUSE) } else { Age::Any };
        self.find(server, &slot, age).await
    }

    /// The same, asked again unless that was done a minute ago: what is kept does not do. spec: UP-12
    pub async fn discover_again(&self, server: &Server) -> Result<Arc<Found>, AuthorityError> {
        let slot = self.finds.slot(server);
        self.find(server, &slot, Age::Below(AGAIN)).await
    }

    /// The same for somebody who is about to be sent there: a person at a page waits, and must not be sent to where the server
    /// has moved away from. spec: UP-12, UP-13
    pub(super) async fn discover_now(&self, server: &Server) -> Result<Arc<Found>, AuthorityError> {
        let slot = self.finds.slot(server);
        self.find(server, &slot, Age::Below(NOW)).await
    }

    /// Takes in what a server said when it refused a call: the next person is sent by it, also where the server says it to
    /// no one who only knocks.
    ///
    /// spec: UP-2, UP-12: "when the challenge points elsewhere".
    pub fn heard(&self, server: &Server, wanted: &Wanted) {
        self.finds.slot(server).hear(Some(wanted));
    }

    /// What the server wanted when it last refused somebody without a token. spec: UP-37
    pub(super) fn challenged(&self, server: &Server) -> Option<Vec<String>> {
        self.finds.slot(server).state().challenge?.scope
    }

    async fn find(&self, server: &Server, slot: &Slot, age: Age) -> Result<Arc<Found>, AuthorityError> {
        if let Some(settled) = slot.state().settled(self.clock.now(), age) {
            return settled;
        }
        let _turn = slot.turn.lock().await;
        let now = self.clock.now();
        let state = slot.state();
        if let Some(settled) = state.settled(now, age) {
            return settled;
        }
        let terms = Terms::of(server)?;
        let walked = Walk::new(self, server, &terms).go(state.challenge.as_ref()).await;
        // A server means what it said and is not asked in other ways instead; the next time it may say something else.
        if walked.as_ref().is_err_and(|error| error.trouble != Trouble::Unavailable) {
            slot.unhear();
        }
        slot.learn(walked, now, server)
    }
}

impl Finds {
    fn slot(&self, server: &Server) -> Arc<Slot> {
        // Secrets do not show in it, and nothing of what is found depends on them.
        let settings = format!("{:?} {:?}", server.url(), server.credential);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = all.get(&server.name).filter(|slot| slot.settings == settings) {
            return slot.clone();
        }
        if all.len() >= REMEMBERED {
            all.clear();
        }
        let slot = Arc::new(Slot { settings, state: Mutex::default(), turn: Turn::default() });
        all.insert(server.name.clone(), slot.clone());
        slot
    }
}

impl Slot {
    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what a server says when it refuses; whether it points elsewhere than before.
    fn hear(&self, challenge: Option<&Wanted>) -> bool {
        // Who has a token that does not reach far enough is told about one operation, not about how to begin.
        let Some(challenge) = challenge.filter(|challenge| !challenge.needs_more_scope()) else { return false };
        if challenge.resource_metadata.is_none() && challenge.scope.is_none() {
            return false;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.challenge.replace(challenge.clone()).and_then(|before| before.resource_metadata);
        challenge.resource_metadata.is_some() && challenge.resource_metadata != before
    }

    fn unhear(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).challenge = None;
    }

    fn learn(
        &self,
        walked: Result<Found, AuthorityError>,
        now: Timestamp,
        server: &Server,
    ) -> Result<Arc<Found>, AuthorityError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match walked {
            Ok(found) => {
                let found = Arc::new(found);
                state.failed = None;
                state.found = Some((found.clone(), now));
                Ok(found)
            }
            Err(error) => {
                if state.failed.as_ref().is_none_or(|(known, _)| *known != error) {
                    tracing::warn!(server.name = %server.name, error.detail = error.detail, "no authorization server");
                }
                state.failed = Some((error.clone(), now));
                match &state.found {
                    // Silence changes nothing; a plain word that is not true does.
                    Some((found, at)) if error.trouble == Trouble::Unavailable && now.since(*at) < STALE => {
                        Ok(found.clone())
                    }
                    _ => {
                        state.found = None;
                        Err(error)
                    }
                }
            }
        }
    }
}

impl State {
    /// The answer, if nobody needs to be asked for it now.
    fn settled(&self, now: Timestamp, age: Age) -> Option<Result<Arc<Found>, AuthorityError>> {
        let limit = match age {
            Age::Any => FRESH,
            Age::Below(limit) => limit,
        };
        let paused = self.failed.as_ref().filter(|(_, at)| now.since(*at) < PAUSE);
        match (&self.found, paused) {
            (Some((found, at)), paused) if now.since(*at) < limit || paused.is_some() => Some(Ok(found.clone())),
            (None, Some((error, _))) => Some(Err(error.clone())),
            _ => None,
        }
    }
}
