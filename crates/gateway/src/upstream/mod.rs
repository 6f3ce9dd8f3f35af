//! The servers behind the gateway: where they are, how they are spoken to, what they speak.
//!
//! A request to an upstream is built here from nothing: no function of this module takes a client's headers, so no
//! credential that came in can go out (SEC-3).

mod ask;
mod breaker;
mod connect;
mod credential;
mod discover;
mod egress;
mod exchange;
mod known;
mod places;
mod pool;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use portcullis_base::ServerName;
use portcullis_oauth::upstream::challenge::Challenge;

pub use connect::{InProcess, UpstreamUrl, UpstreamUrlError};
pub use credential::Credential;
pub use discover::{DiscoverError, Discovery};
pub use egress::{Egress, EgressError};
pub use exchange::Repeatable;
pub use known::{Tools, Viewer};
pub use places::For;
pub use pool::AnswerBody;

pub(crate) use ask::{answer_in, lower, whole};

use self::{breaker::Breaker, connect::Connector, known::Known, places::Places, pool::Pool};
use crate::outbound::{DialError, Dialer, Reach, USER_AGENT};

/// Idle connections kept to one upstream.
const IDLE_CONNECTIONS: usize = 256;

/// What an administrator said about a server's whereabouts.
#[derive(Clone)]
pub enum Location {
    /// At a URL; on a private network only if that was allowed.
    Url {
        /// Where.
        url: UpstreamUrl,
        /// How far a connection to it may reach.
        reach: Reach,
        /// By which way.
        egress: Arc<Egress>,
    },
    /// In this process.
    InProcess(InProcess),
}

/// Time limits of one exchange (TR-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until the head of the answer.
    pub head: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// The whole answer, however lively.
    pub total: Duration,
    /// Exchanges at one time.
    pub concurrent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_mins(1),
            idle: Duration::from_mins(5),
            total: Duration::from_hours(1),
            concurrent: crate::config::Server::CONCURRENT,
        }
    }
}

/// Why an upstream gave no usable answer. `Display` is for the log; the caller is told [`public`](Self::public).
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection.
    #[error(transparent)]
    Unreachable(#[from] DialError),
    /// No answer in time.
    #[error("no answer in time")]
    Late,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(hyper::Error),
    /// The body of the answer broke off.
    #[error("the answer broke off: {0}")]
    Torn(io::Error),
    /// It failed so often that it is left alone for so long; nothing was sent.
    #[error("it keeps failing and is left alone for {} ms", .0.as_millis())]
    Resting(Duration),
    /// It could not be asked what it speaks a moment ago, and is not asked again at once; nothing was sent.
    #[error("it could not be asked what it speaks a moment ago")]
    Asked,
    /// As much as it may be given at one time is under way, and went on for too long; nothing was sent.
    #[error("too many requests to it are under way")]
    Busy,
    /// It says itself that it failed.
    #[error("it failed with status {0}")]
    Failed(u16),
    /// It answered, but with something that cannot be used.
    #[error("unusable answer: {0}")]
    Unusable(&'static str),
    /// It wants credentials, or others than it got.
    #[error("it refuses our credentials (status {status})")]
    Credentials {
        /// What it answered with.
        status: u16,
        /// What it says that it wants.
        challenges: Vec<Challenge>,
    },
}

impl UpstreamError {
    /// The kind of failure, for the record.
    pub fn note(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "the upstream cannot be reached",
            Self::Late => "the upstream did not answer in time",
            Self::Broken(_) | Self::Torn(_) => "the connection to the upstream broke",
            Self::Resting(_) => "the upstream keeps failing and is left alone for a while",
            Self::Asked => "the upstream could not be asked what it speaks a moment ago",
            Self::Busy => "too many requests to the upstream are under way",
            Self::Failed(_) => "the upstream says that it failed",
            Self::Unusable(why) => why,
            Self::Credentials { .. } => "the upstream does not accept the gateway's credentials",
        }
    }

    /// What the caller may know: the configured name and the kind of failure, nothing of the inside.
    // spec: BR-10
    pub fn public(&self, name: &ServerName) -> String {
        match self {
            Self::Unreachable(_) => format!("The server {name} cannot be reached."),
            Self::Late => format!("The server {name} did not answer in time."),
            Self::Broken(_) | Self::Torn(_) => format!("The server {name} broke off the connection."),
            Self::Resting(rest) => format!(
                "The server {name} has failed several times in a row, so it is left alone for {} s. Try again then.",
                rest.as_millis().div_ceil(1000)
            ),
            Self::Asked => format!("The server {name} gave no usable answer a moment ago. Try again in a few seconds."),
            Self::Busy => format!("The server {name} has too much to do at the moment. Try again in a few seconds."),
            Self::Failed(_) => format!("The server {name} failed."),
            Self::Unusable(_) => format!("The server {name} gave an answer that cannot be used."),
            Self::Credentials { .. } => format!("The server {name} does not accept the gateway's credentials."),
        }
    }
}

/// One server behind the gateway.
pub struct Upstream {
    name: ServerName,
    connector: Connector,
    path: Uri,
    headers: HeaderMap,
    pool: Arc<Pool>,
    limits: Limits,
    breaker: Arc<Breaker>,
    places: Arc<Places>,
    known: Known,
    ids: AtomicU64,
}

impl Upstream {
    /// An upstream, not yet contacted.
    pub fn new(name: ServerName, location: Location, dialer: &Dialer, limits: Limits) -> Self {
        let mut headers = HeaderMap::with_capacity(16);
        if let Location::Url { egress, .. } = &location {
            headers.extend(egress.headers.clone());
        }
        let connector = match location {
            Location::Url { url, reach, egress } => {
                let dialer = match &egress.certificates {
                    Some(certificates) => dialer.clone().with_certificates(certificates),
                    None => dialer.clone(),
                };
                Connector::Network { url, dialer, reach, egress }
            }
            Location::InProcess(dial) => Connector::InProcess(dial),
        };
        headers.insert(header::HOST, connector.authority());
        headers.insert(header::USER_AGENT, USER_AGENT);
        // spec: T-61: the plain form; what comes encoded all the same is refused.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Self {
            breaker: Breaker::new(name.clone()),
            places: Places::new(limits.concurrent),
            name,
            path: connector.path(),
            connector,
            headers,
            pool: Arc::new(Pool::new(IDLE_CONNECTIONS)),
            limits,
            known: Known::default(),
            ids: AtomicU64::new(1),
        }
    }

    /// Its configured name.
    pub fn name(&self) -> &ServerName {
        &self.name
    }

    /// Its time limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// An id that no other request to it has.
    // spec: TR-131: "a fresh JSON-RPC id for each upstream request"
    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// A request to it with nothing in it but what every request has.
    pub fn request(&self, method: Method, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// All upstreams in use, kept across changes of the settings that do not touch them.
pub struct Upstreams {
    dialer: Dialer,
    open: ArcSwap<HashMap<ServerName, Arc<Upstream>>>,
    changing: Mutex<()>,
}

impl Upstreams {
    /// No upstreams yet.
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer, open: ArcSwap::default(), changing: Mutex::new(()) }
    }

    /// The upstream called `name`, made on first use and made anew when it moved.
    pub fn open(&self, name: &ServerName, location: &Location, limits: Limits) -> Arc<Upstream> {
        if let Some(upstream) = self.open.load().get(name)
            && upstream.is_at(location, limits)
        {
            return upstream.clone();
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upstream) = self.open.load().get(name)
            && upstream.is_at(location, limits)
        {
            return upstream.clone();
        }
        let upstream = Arc::new(Upstream::new(name.clone(), location.clone(), &self.dialer, limits));
        let mut open = HashMap::clone(&self.open.load());
        open.insert(name.clone(), upstream.clone());
        self.open.store(Arc::new(open));
        upstream
    }

    /// Forgets every upstream that `keep` does not want.
    pub fn retain(&self, keep: impl Fn(&ServerName) -> bool) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = HashMap::clone(&self.open.load());
        open.retain(|name, _| keep(name));
        self.open.store(Arc::new(open));
    }
}

impl Upstream {
    fn is_at(&self, location: &Location, limits: Limits) -> bool {
        let same = match (&self.connector, location) {
            (
                Connector::Network { url, reach, egress, .. },
                Location::Url { url: new, reach: allowed, egress: way },
            ) => url == new && reach == allowed && (Arc::ptr_eq(egress, way) || egress == way),
            (Connector::InProcess(dial), Location::InProcess(new)) => Arc::ptr_eq(dial, new),
            _ => false,
        };
        same && self.limits == limits
    }
}
