//! What a provider says about itself (OpenID Connect Discovery), kept and asked for again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use portcullis_base::{Clock, Timestamp};
use portcullis_oauth::relying::{
    discovery::{self, DiscoveryError, ProviderMetadata},
    issuer::IssuerRule,
};
use tokio::sync::Mutex as Turn;

use crate::outbound::{Ask, Outbound};

/// How long a document serves.
const FRESH: Duration = Duration::from_hours(1);
/// How soon after a failure it is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// The discovery document of one issuer.
pub struct Discovery {
    url: String,
    rule: IssuerRule,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    fetching: Turn<()>,
}

#[derive(Clone, Default)]
struct State {
    found: Option<(Arc<ProviderMetadata>, Timestamp)>,
    failed: Option<(Timestamp, DiscoveryFailure)>,
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryFailure {
    /// Nobody answered, or not with a document.
    #[error("{0}")]
    NoAnswer(String),
    /// The document is not that of the issuer in the settings.
    #[error("{0}")]
    Wrong(String),
}

impl Discovery {
    /// The document at the well-known place of `issuer`, which must name an issuer as `rule` says.
    pub fn new(issuer: &str, rule: IssuerRule, outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        let url = discovery::document_url(issuer);
        Self { url, rule, outbound, clock, state: Mutex::default(), fetching: Turn::default() }
    }

    /// Where the document is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Which issuers are accepted.
    pub fn rule(&self) -> &IssuerRule {
        &self.rule
    }

    /// The document: fetched if it is old, the last good one if the provider does not answer now.
    pub async fn metadata(&self) -> Result<Arc<ProviderMetadata>, DiscoveryFailure> {
        let now = self.clock.now();
        if let Some(held) = self.state().settled(now) {
            return held;
        }
        let _turn = self.fetching.lock().await;
        if let Some(held) = self.state().settled(now) {
            return held;
        }
        let fetched = self.fetch().await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(metadata) => {
                if state.failed.take().is_some() {
                    tracing::info!(discovery.url = self.url, "discovery works again");
                }
                let metadata = Arc::new(metadata);
                state.found = Some((metadata.clone(), now));
                Ok(metadata)
            }
            Err(failure) => {
                if state.failed.as_ref().is_none_or(|(_, known)| *known != failure) {
                    tracing::error!(discovery.url = self.url, error.detail = %failure, "discovery failed");
                }
                state.failed = Some((now, failure.clone()));
                match &state.found {
                    Some((stale, _)) => Ok(stale.clone()),
                    None => Err(failure),
                }
            }
        }
    }

    /// When the document was last fetched.
    pub fn discovered_at(&self) -> Option<Timestamp> {
        self.state().found.map(|(_, at)| at)
    }

    /// What went wrong the last time, if it did.
    pub fn failure(&self) -> Option<(Timestamp, DiscoveryFailure)> {
        self.state().failed
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn fetch(&self) -> Result<ProviderMetadata, DiscoveryFailure> {
        let no_answer = |detail: String| DiscoveryFailure::NoAnswer(format!("{}: {detail}", self.url));
        let ask = Ask::get(&self.url, "application/json", discovery::MAX_BYTES);
        let fetched = self.outbound.fetch(ask).await.map_err(|error| no_answer(error.detail().to_owned()))?;
        if fetched.status == StatusCode::NOT_FOUND {
            let text = format!("{}: there is no such document; is the issuer in the settings right?", self.url);
            return Err(DiscoveryFailure::Wrong(text));
        }
        if !fetched.status.is_success() {
            return Err(no_answer(format!("status {}", fetched.status)));
        }
        discovery::parse(&fetched.body, &self.rule)
            .map_err(|error: DiscoveryError| DiscoveryFailure::Wrong(format!("{}: {error}", self.url)))
    }
}

impl State {
    /// The answer, if nobody needs to be asked for it now.
    fn settled(&self, now: Timestamp) -> Option<Result<Arc<ProviderMetadata>, DiscoveryFailure>> {
        let paused = self.failed.as_ref().filter(|(at, _)| now.since(*at) < PAUSE);
        match (&self.found, paused) {
            (Some((metadata, at)), paused) if paused.is_some() || now.since(*at) < FRESH => Some(Ok(metadata.clone())),
            (None, Some((_, failure))) => Some(Err(failure.clone())),
            _ => None,
        }
    }
}
