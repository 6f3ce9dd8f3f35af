//! Keys of issuers: fetched when they are needed, followed when they rotate, and never fetched because somebody floods us.
//!
//! A set serves for a while without a question; after that it still serves while a new one is fetched behind; much later
//! nobody is served before the new one is there, unless the issuer does not answer. A key that a set does not have is
//! asked for once, and then not again for a minute, whoever asks (spec: T-38).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_base::{Clock, Timestamp};
use portcullis_oauth::jwks::{self, PublicKeys};
use tokio::sync::Mutex as Turn;

use crate::outbound::{Ask, Outbound};

/// A set serves this long without a question.
const FRESH: Duration = Duration::from_mins(10);
/// After this a new set is waited for.
const OLD: Duration = Duration::from_hours(1);
/// A set serves no longer than this while its issuer does not answer.
const STALE: Duration = Duration::from_hours(24);
/// spec: T-38: "refetch at most once per 60 s per issuer".
const PAUSE: Duration = Duration::from_mins(1);
/// Without any keys nothing works, so they are asked for sooner.
const PAUSE_WITHOUT: Duration = Duration::from_secs(5);
/// How many sets are kept; only administrators name them.
const REMEMBERED: usize = 1_000;

/// Key sets by URL. Cheap to clone.
#[derive(Clone, Default)]
pub struct IssuerKeys {
    held: Arc<Mutex<HashMap<String, Arc<Held>>>>,
}

/// There are no keys to check with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keys at {url} cannot be had: {why}")]
pub struct IssuerKeysError {
    url: String,
    why: String,
}

#[derive(Default)]
struct Held {
    state: Mutex<State>,
    fetching: Turn<()>,
}

#[derive(Clone, Default)]
struct State {
    keys: Option<(Arc<PublicKeys>, Timestamp)>,
    tried_at: Option<Timestamp>,
    problem: Option<String>,
}

/// What is looked for in a set.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Any,
    Named(&'a str),
    Newest,
}

/// What is to be done before the keys are used.
enum Need {
    Nothing,
    Behind,
    First,
}

impl IssuerKeys {
    /// The keys at `url`, among them the one named `kid` if the issuer has it.
    pub async fn keys_for(
        &self,
        url: &str,
        kid: Option<&str>,
        outbound: &Outbound,
        clock: &dyn Clock,
    ) -> Result<Arc<PublicKeys>, IssuerKeysError> {
        self.get(url, kid.map_or(Wanted::Any, Wanted::Named), outbound, clock).await
    }

    /// The keys at `url` as they are now: for a signature that fits none of those we have, as keys without a name rotate
    /// too. Asked for no more often than a key that we do not know.
    pub async fn newest(
        &self,
        url: &str,
        outbound: &Outbound,
        clock: &dyn Clock,
    ) -> Result<Arc<PublicKeys>, IssuerKeysError> {
        self.get(url, Wanted::Newest, outbound, clock).await
    }

    async fn get(
        &self,
        url: &str,
        wanted: Wanted<'_>,
        outbound: &Outbound,
        clock: &dyn Clock,
    ) -> Result<Arc<PublicKeys>, IssuerKeysError> {
        let held = self.held(url);
        let now = clock.now();
        match held.need(wanted, now) {
            Need::Nothing => {}
            Need::First => held.fetch(url, wanted, outbound, now).await,
            Need::Behind => {
                let (held, url, outbound) = (held.clone(), url.to_owned(), outbound.clone());
                tokio::spawn(async move { held.fetch(&url, Wanted::Any, &outbound, now).await });
            }
        }
        let state = held.state();
        match state.keys {
            Some((keys, at)) if now.since(at) < STALE => Ok(keys),
            _ => {
                let why = state.problem.unwrap_or_else(|| "the last set is too old".into());
                Err(IssuerKeysError { url: url.to_owned(), why })
            }
        }
    }

    fn held(&self, url: &str) -> Arc<Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= REMEMBERED && !held.contains_key(url) {
            held.clear();
        }
        held.entry(url.to_owned()).or_default().clone()
    }
}

impl Held {
    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn need(&self, wanted: Wanted<'_>, now: Timestamp) -> Need {
        let state = self.state();
        let pause = if state.keys.is_some() { PAUSE } else { PAUSE_WITHOUT };
        // spec: T-38: what was not found a moment ago is not looked for again.
        if state.tried_at.is_some_and(|tried| now.since(tried) < pause) {
            return Need::Nothing;
        }
        let there = |keys: &PublicKeys| match wanted {
            Wanted::Any => true,
            Wanted::Named(kid) => keys.has(kid),
            Wanted::Newest => false,
        };
        match &state.keys {
            Some((keys, at)) if there(keys) => match now.since(*at) {
                age if age < FRESH => Need::Nothing,
                age if age < OLD => Need::Behind,
                _ => Need::First,
            },
            _ => Need::First,
        }
    }

    async fn fetch(&self, url: &str, wanted: Wanted<'_>, outbound: &Outbound, now: Timestamp) {
        let _turn = self.fetching.lock().await;
        // Somebody else may have been there while this one waited.
        if matches!(self.need(wanted, now), Need::Nothing) {
            return;
        }
        let fetched = fetch(url, outbound).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tried_at = Some(now);
        match fetched {
            Ok(keys) => {
                state.keys = Some((Arc::new(keys), now));
                state.problem = None;
            }
            Err(problem) => {
                tracing::warn!(keys.url = url, error.detail = %problem, "the keys of an issuer were not fetched");
                state.problem = Some(problem);
            }
        }
    }
}

async fn fetch(url: &str, outbound: &Outbound) -> Result<PublicKeys, String> {
    let ask = Ask::get(url, "application/jwk-set+json, application/json", jwks::MAX_PROVIDER_SET_BYTES);
    let fetched = outbound.fetch(ask).await.map_err(|error| error.detail().to_owned())?;
    if !fetched.status.is_success() {
        return Err(format!("status {}", fetched.status));
    }
    let keys = PublicKeys::parse_provider(&fetched.body).map_err(|error| error.to_string())?;
    if keys.is_empty() { Err("no key that could be used".into()) } else { Ok(keys) }
}
