//! The servers behind the gateway: where they are, how they are spoken to, what they speak.
//!
//! A request to an upstream is built here from nothing: no function of this module takes a client's headers, so no
//! credential that came in can go out (SEC-3).

mod adapter;
mod ask;
mod breaker;
mod connect;
mod credential;
mod discover;
mod egress;
mod exchange;
mod known;
mod legacy;
pub mod line;
mod line_adapter;
mod modern_line;
mod openapi;
mod places;
mod pool;
mod sse;
pub mod stdio;

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
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use portcullis_base::ServerName;
use portcullis_oauth::upstream::challenge::Challenge;
use tokio::time::timeout;

pub use adapter::{Adapter, Answering, Asker, Conversation};
pub use connect::{InProcess, UpstreamUrl, UpstreamUrlError};
pub use credential::Credential;
pub use discover::{DiscoverError, Discovery, Transport};
pub use egress::{Egress, EgressError};
pub use exchange::Repeatable;
pub use known::{Tools, Viewer};
pub use legacy::{Counts, Reason};
pub use line_adapter::LineAdapter;
pub use places::For;
pub use pool::AnswerBody;

pub(crate) use ask::{CLIENT_INFO, Way, answer_in, lower, whole};

use self::{
    breaker::Breaker,
    connect::Connector,
    known::Known,
    legacy::Legacy,
    places::Places,
    pool::Pool,
    stdio::{Host, Processes},
};
use crate::{
    config::{Allow, Process},
    outbound::{DialError, Dialer, Reach, USER_AGENT},
    tools::{Book, Origin},
};

/// Idle connections kept to one upstream.
const IDLE_CONNECTIONS: usize = 256;

/// How long taking leave of all servers may take.
const FAREWELL: Duration = Duration::from_secs(3);

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
    /// A program that is run here.
    Command {
        /// It and its arguments.
        argv: Arc<[String]>,
        /// What its processes may see and take.
        process: Arc<Process>,
        /// What it may ask of clients, and tell them.
        allow: Allow,
    },
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
    /// What is kept open for clients of today.
    pub bridging: Bridging,
}

/// Bounds of what is kept open at a server of the revisions with sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridging {
    /// Sessions for one person.
    pub sessions: usize,
    /// How long a session is kept that nobody uses.
    pub idle: Duration,
    /// Calls of one person that wait for input.
    pub parked: usize,
    /// How long a call waits for input.
    pub park: Duration,
}

impl Default for Bridging {
    fn default() -> Self {
        Self { sessions: 32, idle: Duration::from_mins(5), parked: 16, park: Duration::from_mins(10) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_mins(1),
            idle: Duration::from_mins(5),
            total: Duration::from_hours(1),
            concurrent: crate::config::Server::CONCURRENT,
            bridging: Bridging::default(),
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
    /// Its process or session could not be started; nothing was sent.
    #[error("it could not be started: {0}")]
    Start(Arc<str>),
    /// The line to it ended before the answer came.
    #[error("{0}")]
    Ended(#[from] line::Ended),
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
            Self::Start(_) => "the upstream could not be started",
            Self::Ended(_) => "the upstream ended before it answered",
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
            Self::Start(_) => format!("The server {name} could not be started."),
            Self::Ended(_) => format!("The server {name} ended before it answered."),
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
    book: Book,
    adapter: Option<Arc<dyn Adapter>>,
    document: Option<openapi::Document>,
    legacy: Arc<Legacy>,
    ids: AtomicU64,
}

impl Upstream {
    /// An upstream, not yet contacted.
    pub fn new(name: ServerName, location: Location, dialer: &Dialer, limits: Limits) -> Self {
        Self::hosted(name, location, dialer, limits, None)
    }

    /// The same, which `host` runs if it is a command.
    pub fn hosted(
        name: ServerName,
        location: Location,
        dialer: &Dialer,
        limits: Limits,
        host: Option<&Arc<Host>>,
    ) -> Self {
        let mut headers = HeaderMap::with_capacity(16);
        let mut allow = Allow::LOCAL;
        if let Location::Url { egress, .. } = &location {
            headers.extend(egress.headers.clone());
            allow = egress.allow;
        }
        let document = match &location {
            Location::Url { egress, .. } => egress.openapi.clone().map(openapi::Document::new),
            Location::InProcess(_) | Location::Command { .. } => None,
        };
        let connector = match location {
            Location::Url { url, reach, egress } => {
                let dialer = match &egress.certificates {
                    Some(certificates) => dialer.clone().with_certificates(certificates),
                    None => dialer.clone(),
                };
                Connector::Network { url, dialer, reach, egress }
            }
            Location::InProcess(dial) => Connector::InProcess(dial),
            Location::Command { argv, process, allow: named } => {
                allow = named;
                let processes =
                    |host| Processes::new(name.clone(), argv.clone(), process.clone(), host, dialer.clone());
                let lines = host.map(processes);
                Connector::Process { argv, process, allow, lines: lines.map(Arc::new) }
            }
        };
        let adapter = connector
            .lines()
            .map(|lines| -> Arc<dyn Adapter> { Arc::new(LineAdapter::new(name.clone(), lines, limits, allow)) });
        let legacy = Legacy::new(name.clone(), limits, allow);
        headers.insert(header::HOST, connector.authority());
        headers.insert(header::USER_AGENT, USER_AGENT);
        // spec: T-61: the plain form; what comes encoded all the same is refused.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Self {
            breaker: Breaker::new(name.clone()),
            places: Places::new(limits.concurrent),
            book: Book::new(name.clone()),
            name,
            path: connector.path(),
            connector,
            headers,
            pool: Arc::new(Pool::new(IDLE_CONNECTIONS)),
            limits,
            known: Known::default(),
            adapter,
            document,
            legacy,
            ids: AtomicU64::new(1),
        }
    }

    /// Its configured name.
    pub fn name(&self) -> &ServerName {
        &self.name
    }

    /// What could not be carried between the eras.
    pub fn counts(&self) -> &Arc<Counts> {
        self.adapter.as_ref().and_then(|adapter| adapter.counts()).unwrap_or_else(|| self.legacy.counts())
    }

    /// What is known of its tools.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Whether it is an API and no MCP server.
    pub fn is_api(&self) -> bool {
        self.document.is_some()
    }

    /// Who wrote its definitions.
    pub fn origin(&self) -> Origin {
        match (&self.connector, &self.document) {
            (_, Some(document)) => document.known().map_or(Origin::Stranger, Origin::Api),
            (Connector::InProcess(_), None) => Origin::Ours,
            (Connector::Network { .. } | Connector::Process { .. }, None) => Origin::Stranger,
        }
    }

    /// Calls that wait for input of their people.
    pub fn waiting(&self) -> usize {
        self.legacy.waiting()
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
    pub fn request(&self, method: Method, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// All upstreams in use, kept across changes of the settings that do not touch them.
pub struct Upstreams {
    dialer: Dialer,
    host: Option<Arc<Host>>,
    open: ArcSwap<HashMap<ServerName, Arc<Upstream>>>,
    changing: Mutex<()>,
}

impl Upstreams {
    /// No upstreams yet.
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer, host: None, open: ArcSwap::default(), changing: Mutex::new(()) }
    }

    /// The same, with a place where servers that are commands are run.
    pub fn hosting(self, host: Arc<Host>) -> Self {
        Self { host: Some(host), ..self }
    }

    /// Where servers that are commands are run.
    pub fn host(&self) -> Option<&Arc<Host>> {
        self.host.as_ref()
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
        let upstream =
            Arc::new(Upstream::hosted(name.clone(), location.clone(), &self.dialer, limits, self.host.as_ref()));
        let mut open = HashMap::clone(&self.open.load());
        open.insert(name.clone(), upstream.clone());
        self.open.store(Arc::new(open));
        upstream
    }

    /// Calls that wait for input of their people, at all of them.
    pub fn waiting(&self) -> usize {
        self.open.load().values().map(|upstream| upstream.waiting()).sum()
    }

    /// What could not be carried to and from each of them.
    pub fn counts(&self) -> Vec<(ServerName, Arc<Counts>)> {
        self.open.load().iter().map(|(name, upstream)| (name.clone(), upstream.counts().clone())).collect()
    }

    /// Takes leave of all of them, not for long: no session of ours stays open there.
    // spec: TR-135
    pub async fn close(&self) {
        let open = self.open.load_full();
        drop(timeout(FAREWELL, join_all(open.values().map(|upstream| upstream.close()))).await);
    }

    /// Forgets every upstream that is not where `place` says, or nowhere. Calls that are under way there end as they would.
    pub fn retain<'a>(&self, place: impl Fn(&ServerName) -> Option<(&'a Location, Limits)>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = HashMap::clone(&self.open.load());
        open.retain(|name, upstream| place(name).is_some_and(|(location, limits)| upstream.is_at(location, limits)));
        self.open.store(Arc::new(open));
    }
}

impl Upstream {
    async fn close(&self) {
        self.legacy.close().await;
        if let Some(adapter) = &self.adapter {
            adapter.close().await;
        }
    }

    fn is_at(&self, location: &Location, limits: Limits) -> bool {
        let same = match (&self.connector, location) {
            (
                Connector::Network { url, reach, egress, .. },
                Location::Url { url: new, reach: allowed, egress: way },
            ) => url == new && reach == allowed && (Arc::ptr_eq(egress, way) || egress == way),
            (Connector::InProcess(dial), Location::InProcess(new)) => Arc::ptr_eq(dial, new),
            (
                Connector::Process { argv, process, allow, .. },
                Location::Command { argv: program, process: new, allow: named },
            ) => argv == program && process == new && allow == named,
            _ => false,
        };
        same && self.limits == limits
    }
}
