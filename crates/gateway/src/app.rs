//! What the doors share. Parts are given what they need; only doors, jobs and the router know this.

use std::sync::{Arc, atomic::AtomicI64};

use arc_swap::ArcSwap;
use portcullis_audit::Actor;
use portcullis_base::{Clock, PersonId, Rng, SessionId, Timestamp};
use portcullis_mcp::{scan, sse};
use portcullis_oauth::jwks::KeySet;
use portcullis_store::{Extent, Store, StoreError};

use crate::{
    access_keys::AccessKeys,
    approvals::Approvals,
    assertion_keys::AssertionKeys,
    authority::Authority,
    config::Config,
    connections::Connections,
    decision_point::DecisionPoint,
    desk::Desk,
    ended::Ended,
    external::Externals,
    feed::Feed,
    fresh::Fresh,
    identity::{Providers, refresh::Renewal},
    inspection::Inspection,
    journal::Journal,
    keys::Keys,
    limit::Limits,
    notify::Notify,
    offboard::{self, How, OffboardError, Offboarding},
    origin::Origins,
    outbound::Outbound,
    passkeys::Passkeys,
    password::Passwords,
    proxy,
    quotas::Quotas,
    refusals::Refusals,
    roles::Appointments,
    session_labels::SessionLabels,
    sinks,
    snapshot::Snapshot,
    telemetry::Telemetry,
    trusted_issuer::Workloads,
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
    /// The name of this node.
    pub node: Arc<str>,
    /// The root key's keys.
    pub keys: Arc<Keys>,
    /// The keys that sign access tokens.
    pub signing: Arc<ArcSwap<KeySet>>,
    /// Servers, people and rules.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Revoked grants and closed sessions.
    pub ended: Arc<Ended>,
    /// Fresh sign-ins that a rule asked for.
    pub fresh: Arc<Fresh>,
    /// Personal access keys.
    pub access_keys: Arc<AccessKeys>,
    /// Authorization servers of others, each in front of one endpoint.
    pub externals: Arc<Externals>,
    /// Issuers whose tokens let workloads in.
    pub workloads: Workloads,
    /// Who has which credential at which server.
    pub connections: Arc<Connections>,
    /// How fresh all that is.
    pub feed: Feed,
    /// Calls that wait for humans.
    pub approvals: Arc<Approvals>,
    /// Those who are told of them.
    pub notify: Arc<Notify>,
    /// What was taken of limits.
    pub quotas: Arc<Quotas>,
    /// A decision point of the company, asked in addition to the rules.
    pub decision_point: Arc<DecisionPoint>,
    /// What rules call sessions.
    pub labels: Arc<SessionLabels>,
    /// Passkeys of people.
    pub passkeys: Passkeys,
    /// Journal lines that are not in the index yet.
    pub index_lag: Arc<AtomicI64>,
    /// How those are to whom the record is sent.
    pub sinks: Vec<Arc<sinks::Status>>,
    /// What is wrong or odd in the rules, in view of the tools that there are.
    pub inspection: Inspection,
    /// Which hosts and pages may talk to us.
    pub origins: Arc<Origins>,
    /// The guarded client.
    pub outbound: Outbound,
    /// Which groups have which role.
    pub appointments: Appointments,
    /// Identity providers.
    pub providers: Arc<Providers>,
    /// The servers behind us.
    pub upstreams: Arc<Upstreams>,
    /// We as the client of their authorization servers.
    pub authority: Arc<Authority>,
    /// What was turned away, for the record.
    pub refusals: Refusals,
    /// How often one may try.
    pub limits: Limits,
    /// Password checks, a few at a time.
    pub passwords: Passwords,
    /// Numbers, traces and the line of each request.
    pub telemetry: Arc<Telemetry>,
    /// Keys that clients publish for their assertions.
    pub assertion_keys: AssertionKeys,
}

impl App {
    /// Whether the database answers.
    pub async fn is_ready(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    /// Where something is changed at somebody's request.
    pub fn desk(&self, by: Actor) -> Desk<'_> {
        let Self { store, journal, clock, rng, .. } = self;
        Desk { store, journal, clock: &**clock, rng: &**rng, by }
    }

    /// Asking identity providers again.
    pub fn renewal(&self) -> Renewal<'_> {
        Renewal {
            providers: &self.providers,
            settings: &self.config.identity,
            store: &self.store,
            journal: &self.journal,
            keys: &self.keys,
            ended: &self.ended,
            feed: &self.feed,
            clock: &*self.clock,
            rng: &*self.rng,
        }
    }

    /// Ends a person's access at `by`'s word; this node knows at once, others within a second.
    pub async fn offboard(
        &self,
        by: Actor,
        person: &PersonId,
        extent: Extent,
        how: &How,
    ) -> Result<Option<offboard::Done>, OffboardError> {
        let offboarding = Offboarding::new(self.desk(by), &self.keys)
            .through(&self.providers)
            .here(&self.ended)
            .connections(&self.connections);
        let done = offboarding.end(person, extent, how).await;
        if let Err(error) = self.feed.catch_up().await {
            tracing::warn!(%error, "the change feed cannot be read; the end of a person is known by their grants only");
        }
        done
    }

    /// Lets the calls of this node know of a change at once; other nodes learn of it from the feed, and so does this one
    /// should that fail.
    pub async fn make_known(&self) {
        if let Err(error) = self.feed.catch_up().await {
            tracing::warn!(%error, "a change is known to the calls of this node a moment later");
        }
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
            hold: self.config.approvals.hold,
            arguments: self.config.audit.arguments,
            results: self.config.audit.results,
            reads_without_journal: self.config.audit.reads_without_journal,
            legacy_sse: self.config.legacy_sse,
            identity_assertions: self.config.trusts_identity_assertions(),
            ..proxy::Settings::new(self.config.public_url.as_str(), Origins::clone(&self.origins))
        };
        proxy::Parts {
            journal: self.journal.clone(),
            snapshot: self.snapshot.clone(),
            signing: self.signing.clone(),
            ended: self.ended.clone(),
            fresh: self.fresh.clone(),
            access_keys: self.access_keys.clone(),
            approvals: self.approvals.clone(),
            externals: self.externals.clone(),
            session_closed,
            keys: self.keys.clone(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
            connections: self.connections.clone(),
            store: self.store.clone(),
            upstreams: self.upstreams.clone(),
            quotas: self.quotas.clone(),
            decision_point: self.decision_point.clone(),
            labels: self.labels.clone(),
            settings,
        }
    }
}
