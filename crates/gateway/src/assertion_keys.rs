//! Keys of clients that sign their own assertions, fetched from their `jwks_uri`.
//!
//! Kept for some minutes. Who presents an unknown key cannot make us fetch more often than once a minute per client
//! (spec: T-38).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_base::{Clock, Timestamp};
use portcullis_oauth::jwks::{MAX_SET_BYTES, PublicKeys};
use tokio::sync::OnceCell;
use url::Url;

use crate::{
    limit::Limit,
    outbound::{Ask, Outbound},
};

/// How long a key set serves.
const FRESH: Duration = Duration::from_mins(10);
/// How long a failure stands.
const FAILED: Duration = Duration::from_mins(1);
/// How many key sets are kept.
const REMEMBERED: usize = 1_000;

/// A cache of key sets by URL.
#[derive(Default)]
pub struct AssertionKeys {
    held: Mutex<HashMap<String, Held>>,
}

/// What was found at a URL, or is being fetched, and until when that stands.
struct Held {
    found: Found,
    until: Timestamp,
}

/// The keys, if any could be had: fetched by the first who asks, waited for by everybody else.
type Found = Arc<OnceCell<Option<Arc<PublicKeys>>>>;

impl AssertionKeys {
    /// The keys at `url`; `None` if they cannot be had.
    ///
    /// spec: AS-114: fetches are limited per host; a host that is asked too often is not asked.
    pub async fn at(
        &self,
        url: &str,
        outbound: &Outbound,
        hosts: &Limit,
        clock: &dyn Clock,
    ) -> Option<Arc<PublicKeys>> {
        let now = clock.now();
        // spec: T-38: many who ask at the same moment are one fetch.
        let found = self.held(url, now);
        found
            .get_or_init(async || {
                let host = Url::parse(url).ok()?.host_str()?.to_owned();
                hosts.take(&host).ok()?;
                let keys = fetch(url, outbound).await;
                if keys.is_some() {
                    self.keep(url, &found, now.plus(FRESH));
                }
                keys
            })
            .await
            .clone()
    }

    /// What is held for `url`; a failure stands as long as it would if the fetch failed now.
    fn held(&self, url: &str, now: Timestamp) -> Found {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get(url).filter(|held| now < held.until) {
            return held.found.clone();
        }
        if held.len() >= REMEMBERED {
            held.retain(|_, held| now < held.until);
        }
        let found = Found::default();
        if held.len() < REMEMBERED {
            held.insert(url.to_owned(), Held { found: found.clone(), until: now.plus(FAILED) });
        }
        found
    }

    fn keep(&self, url: &str, found: &Found, until: Timestamp) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get_mut(url).filter(|held| Arc::ptr_eq(&held.found, found)) {
            held.until = until;
        }
    }
}

async fn fetch(url: &str, outbound: &Outbound) -> Option<Arc<PublicKeys>> {
    let ask = Ask::get(url, "application/jwk-set+json, application/json", MAX_SET_BYTES);
    match outbound.fetch(ask).await {
        Ok(fetched) if fetched.status.is_success() => PublicKeys::parse(&fetched.body).ok().map(Arc::new),
        Ok(fetched) => {
            tracing::info!(http.status = fetched.status.as_u16(), "client keys not answered");
            None
        }
        Err(error) => {
            tracing::info!(error.detail = error.detail(), "client keys not fetched");
            None
        }
    }
}
