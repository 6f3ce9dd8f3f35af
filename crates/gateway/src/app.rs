//! What the doors share. Parts are given what they need; only doors, jobs and the router know this.

use std::sync::{Arc, atomic::AtomicI64};

use arc_swap::ArcSwap;
use portcullis_base::{Clock, Rng, SessionId, Timestamp};
use portcullis_mcp::{scan, sse};
use portcullis_oauth::jwks::KeySet;
use portcullis_store::{Store, StoreError};

use crate::{
    assertion_keys::AssertionKeys, config::Config, ended::Ended, feed::Feed, journal::Journal, keys::Keys,
    limit::Limits, origin::Origins, outbound::Outbound, password::Passwords, proxy, snapshot::Snapshot,
    upstream::Upstreams,
};

/// The running gateway.
pub struct App {
    /// Valid settings.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The database.
    pub store: Store,
    /// The record.
    pub journal: Journal,
    /// The root key's keys.
    pub keys: Arc<Keys>,
    /// The keys that sign access tokens.
    pub signing: Arc<ArcSwap<KeySet>>,
    /// Servers, people and rules.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Revoked grants and closed sessions.
    pub ended: Arc<Ended>,
    /// How fresh all that is.
    pub feed: Feed,
    /// Journal lines that are not in the index yet.
    pub index_lag: Arc<AtomicI64>,
    /// Which hosts and pages may talk to us.
    pub origins: Arc<Origins>,
    /// The guarded client.
    pub outbound: Outbound,
    /// The servers behind us.
    pub upstreams: Arc<Upstreams>,
    /// How often one may try.
    pub limits: Limits,
    /// Password checks, a few at a time.
    pub passwords: Passwords,
    /// Keys that clients publish for their assertions.
    pub assertion_keys: AssertionKeys,
}

impl App {
    /// Whether the database answers.
    pub async fn is_ready(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    /// What the data path is made of.
    pub fn proxy_parts(self: &Arc<Self>) -> proxy::Parts {
        use proxy::StreamLimits;

        let app = self.clone();
        let session_closed = Arc::new(move |session: SessionId, until: Timestamp| {
            let app = app.clone();
            tokio::spawn(async move {
                if let Err(error) = app.store.end_mcp_session(&session, app.clock.now(), until).await {
                    tracing::error!(%error, "a closed session is known to this node only");
                }
            });
        });
        let limits = &self.config.limits;
        let settings = proxy::Settings {
            origins: self.origins.clone(),
            body: limits.body,
            json: scan::Limits { depth: limits.depth, nodes: limits.nodes },
            streams: StreamLimits {
                sse: sse::Limits { event: limits.answer, ..sse::Limits::default() },
                ..StreamLimits::default()
            },
            calls_per_person: limits.concurrent_calls as usize,
            arguments: self.config.audit.arguments,
            ..proxy::Settings::new(self.config.public_url.as_str(), Origins::clone(&self.origins))
        };
        proxy::Parts {
            journal: self.journal.clone(),
            snapshot: self.snapshot.clone(),
            signing: self.signing.clone(),
            ended: self.ended.clone(),
            session_closed,
            keys: self.keys.clone(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
            upstreams: self.upstreams.clone(),
            settings,
        }
    }
}
