//! What the data path is made of. It knows these parts and nothing of the house around them.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use portcullis_audit::Keep;
use portcullis_base::{Clock, Rng, ServerName, SessionId, Timestamp};
use portcullis_mcp::scan;
use portcullis_oauth::jwks::KeySet;
use portcullis_policy::Target;
use portcullis_store::Store;
use url::form_urlencoded;

use super::relay::StreamLimits;
use crate::{
    access_keys::AccessKeys,
    approvals::Approvals,
    config::{LegacySse, ReadsWithoutJournal},
    connections::Connections,
    decision_point::DecisionPoint,
    ended::Ended,
    external::Externals,
    fresh::Fresh,
    journal::Journal,
    keys::Keys,
    origin::Origins,
    quotas::Quotas,
    session_labels::SessionLabels,
    snapshot::Snapshot,
    upstream::Upstreams,
};

/// The longest name of a tool that stands in a link.
const LONGEST_TOOL: usize = 128;

/// Remembers beyond this process that a session was closed, until the given moment.
pub type SessionClosed = Arc<dyn Fn(SessionId, Timestamp) + Send + Sync>;

/// What the data path is given.
#[derive(Clone)]
pub struct Parts {
    /// Where everything is recorded.
    pub journal: Journal,
    /// Servers, people, rules.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The keys that tokens are verified with.
    pub signing: Arc<ArcSwap<KeySet>>,
    /// What was ended before its time.
    pub ended: Arc<Ended>,
    /// Fresh sign-ins that a rule asked for.
    pub fresh: Arc<Fresh>,
    /// Personal access keys.
    pub access_keys: Arc<AccessKeys>,
    /// Calls that wait for humans.
    pub approvals: Arc<Approvals>,
    /// Authorization servers of others.
    pub externals: Arc<Externals>,
    /// Called when a client closes its session.
    pub session_closed: SessionClosed,
    /// For sealing session ids and marking event ids.
    pub keys: Arc<Keys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// What people have at the servers behind us.
    pub connections: Arc<Connections>,
    /// What is remembered of those servers.
    pub store: Store,
    /// The servers behind us.
    pub upstreams: Arc<Upstreams>,
    /// What was taken of limits.
    pub quotas: Arc<Quotas>,
    /// A decision point of the company, asked in addition to the rules.
    pub decision_point: Arc<DecisionPoint>,
    /// What rules call sessions.
    pub labels: Arc<SessionLabels>,
    /// Settings of the data path.
    pub settings: Settings,
}

/// Settings of the data path.
#[derive(Clone)]
pub struct Settings {
    /// The issuer, without a slash at the end; endpoints are `{public_url}/mcp/{name}`.
    pub public_url: Arc<str>,
    /// Which pages may call, for the answers to browsers.
    pub origins: Arc<Origins>,
    /// The largest request body.
    pub body: usize,
    /// Bounds of a request's JSON.
    pub json: scan::Limits,
    /// Bounds of streams.
    pub streams: StreamLimits,
    /// Calls that one person may have in flight, open streams among them.
    pub calls_per_person: usize,
    /// Verified tokens that are remembered.
    pub tokens: usize,
    /// How long a call is held that waits for a human. What waits goes on waiting after it.
    pub hold: Duration,
    /// How much of a call's arguments is recorded, where its server says nothing else.
    pub arguments: Keep,
    /// How much of its result.
    pub results: Keep,
    /// What becomes of reads while the journal cannot be written.
    pub reads_without_journal: ReadsWithoutJournal,
    /// Whether the two endpoints of 2024-11-05 are there.
    pub legacy_sse: LegacySse,
    /// Whether a provider is trusted for identity assertions.
    pub identity_assertions: bool,
}

impl Settings {
    /// Where somebody asks for the right to use what is called `name`, or one tool of it. It gives nobody a right, and there is
    /// such a page for every name (spec: T-55).
    pub(super) fn access_link(&self, name: &ServerName, target: &Target<'_>) -> String {
        let link = format!("{}/access/{name}", self.public_url);
        match *target {
            Target::Tool(tool) if tool.len() <= LONGEST_TOOL => {
                let tool: String = form_urlencoded::byte_serialize(tool.as_bytes()).collect();
                format!("{link}?tool={tool}")
            }
            _ => link,
        }
    }

    /// The defaults for a gateway at `public_url`.
    pub fn new(public_url: &str, origins: Origins) -> Self {
        Self {
            public_url: public_url.into(),
            origins: Arc::new(origins),
            body: 4 << 20,
            json: scan::Limits::default(),
            streams: StreamLimits::default(),
            calls_per_person: 256,
            tokens: 50_000,
            hold: Duration::from_mins(5),
            arguments: Keep::default(),
            results: Keep::Digest,
            reads_without_journal: ReadsWithoutJournal::Allow,
            legacy_sse: LegacySse::Off,
            identity_assertions: false,
        }
    }
}
