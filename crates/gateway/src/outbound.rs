//! The one guarded client for everything we fetch that somebody else named: client documents, key sets, metadata.
//!
//! https on port 443, unless an administrator named `host:port`; global addresses only, checked after resolution; no
//! redirects, no cookies, no credentials but those given for one request, no decompression, a time limit and a size limit. What went wrong is told in two
//! texts: a generic one for whoever asked (SEC-13) and a precise one for the log.

mod address;
mod dial;

use std::{io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use portcullis_base::Secret;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

pub use address::{AddressPolicy, Place, Reach, Refused};
pub use dial::{Certificates, CertificatesError, DialError, Dialer, Resolve, Resolving, SystemResolver};

/// The whole exchange, from the name to the last byte.
const TOTAL: Duration = Duration::from_secs(5);

/// How this gateway names itself to those it asks.
pub(crate) const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));

/// The guarded client.
#[derive(Clone)]
pub struct Outbound {
    dialer: Dialer,
    policy: Arc<AddressPolicy>,
    total: Duration,
}

/// One thing to fetch.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// Where.
    pub url: &'a str,
    /// What is to be done there.
    pub method: Method,
    /// The media type we want.
    pub accept: &'static str,
    /// The most bytes the answer's body may have.
    pub limit: usize,
    /// What is sent along: media type and bytes.
    pub body: Option<(&'static str, Bytes)>,
    /// What proves who asks: the value of the `Authorization` header, for this one host.
    pub authorization: Option<Secret>,
    /// Headers besides.
    pub headers: HeaderMap,
}

/// What came back, whatever its status; redirects never come back.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The status.
    pub status: StatusCode,
    /// All headers, `cache-control` and `etag` among them.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why nothing came back. `Display` is the text for the requester and tells nothing of our network.
#[derive(Debug, thiserror::Error)]
#[error("{public}")]
pub struct FetchError {
    public: &'static str,
    detail: String,
}

impl<'a> Ask<'a> {
    /// To read what is at `url`, of at most `limit` bytes.
    pub fn get(url: &'a str, accept: &'static str, limit: usize) -> Self {
        let headers = HeaderMap::new();
        Self { url, method: Method::GET, accept, limit, body: None, authorization: None, headers }
    }

    /// To post a form to `url`; the answer is JSON of at most `limit` bytes.
    pub fn form(url: &'a str, form: String, limit: usize) -> Self {
        let body = Some(("application/x-www-form-urlencoded", form.into()));
        Self { method: Method::POST, body, ..Self::get(url, "application/json", limit) }
    }

    /// To post JSON to `url`; the answer is JSON of at most `limit` bytes.
    pub fn json(url: &'a str, json: String, limit: usize) -> Self {
        let body = Some(("application/json", json.into()));
        Self { method: Method::POST, body, ..Self::get(url, "application/json", limit) }
    }

    /// The same with an `Authorization` header.
    #[must_use]
    pub fn authorized(self, authorization: Option<Secret>) -> Self {
        Self { authorization, ..self }
    }
}

impl FetchError {
    fn new(public: &'static str, detail: impl ToString) -> Self {
        Self { public, detail: detail.to_string() }
    }

    /// What really happened: for the log only.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether somebody answered, only not with what is asked for: with a redirect, packed, or with too much.
    pub fn was_answered(&self) -> bool {
        self.public == UNUSABLE
    }
}

impl Fetched {
    /// Whether the body calls itself JSON: `application/json` or a `+json` type.
    pub fn is_json(&self) -> bool {
        let value = self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
    }

    /// For how long the answer may be kept; zero for `no-store` and `no-cache`, `None` if it does not say.
    pub fn max_age(&self) -> Option<Duration> {
        let value = self.headers.get(header::CACHE_CONTROL)?.to_str().ok()?.to_ascii_lowercase();
        let directives = || value.split(',').map(str::trim);
        if directives().any(|d| d == "no-store" || d == "no-cache") {
            return Some(Duration::ZERO);
        }
        let seconds = directives().find_map(|d| d.strip_prefix("max-age="))?;
        seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
    }
}

impl Outbound {
    /// A client that reaches the world, and the private hosts `policy` names.
    pub fn new(dialer: Dialer, policy: AddressPolicy) -> Self {
        Self { dialer, policy: Arc::new(policy), total: TOTAL }
    }

    /// The same client with another time limit.
    pub fn with_total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// The same client that may also reach `host` at `port` on a private network: for what a server says of itself, where
    /// an administrator named that server.
    ///
    /// spec: SEC-11, T-28
    pub fn reaching(mut self, host: &str, port: u16) -> Self {
        self.policy = Arc::new(AddressPolicy::clone(&self.policy).and(host, port));
        self
    }

    /// The same client with the certificates of one server.
    pub fn with_certificates(mut self, certificates: &Certificates) -> Self {
        self.dialer = self.dialer.with_certificates(certificates);
        self
    }

    /// Fetches one thing.
    pub async fn fetch(&self, ask: Ask<'_>) -> Result<Fetched, FetchError> {
        let limit = ask.limit;
        self.in_time(async { receive(Box::pin(self.exchange(ask)).await?, limit).await }).await
    }

    /// Asks, and reads nothing but status and headers of the answer, redirects included. The body of what comes back is
    /// empty.
    pub async fn knock(&self, ask: Ask<'_>) -> Result<Fetched, FetchError> {
        let asked = async {
            let (head, _) = Box::pin(self.exchange(ask)).await?.into_parts();
            Ok(Fetched { status: head.status, headers: head.headers, body: Bytes::new() })
        };
        self.in_time(asked).await
    }

    /// A connection to `host` at `port`, for what speaks no HTTP: to a global address, or to a host that was named.
    pub async fn dial(&self, host: &Host<&str>, port: u16) -> Result<TcpStream, DialError> {
        self.dialer.connect(host, port, self.policy.reach(&host.to_string(), port)).await
    }

    /// TLS on a connection that speaks no HTTP, with the name that was asked for.
    pub async fn secure(&self, host: &Host<&str>, stream: TcpStream) -> Result<TlsStream<TcpStream>, DialError> {
        self.dialer.secure_for(host, stream, Vec::new()).await
    }

    async fn in_time(&self, asked: impl Future<Output = Result<Fetched, FetchError>>) -> Result<Fetched, FetchError> {
        match tokio::time::timeout(self.total, asked).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::new(CANNOT, "it took too long")),
        }
    }

    async fn exchange(&self, ask: Ask<'_>) -> Result<http::Response<Incoming>, FetchError> {
        let target = self.target(ask.url)?;
        let request = request(&target.url, &ask)?;
        let host = target.url.host().expect("checked by `target`");
        let stream = self.dialer.connect(&host, target.port, target.reach).await.map_err(unreachable)?;
        if target.secure {
            let stream = self.dialer.secure(&host, stream).await.map_err(unreachable)?;
            speak(stream, request).await
        } else {
            // spec: SEC-10: plain http leaves this machine for nobody.
            let peer = stream.peer_addr().map_err(|e| FetchError::new(CANNOT, e))?;
            if !peer.ip().is_loopback() {
                return Err(FetchError::new(NOT_ALLOWED, "plain http beyond this machine"));
            }
            speak(stream, request).await
        }
    }

    fn target(&self, text: &str) -> Result<Target, FetchError> {
        let url = Url::parse(text).map_err(|e| FetchError::new(NOT_ALLOWED, e))?;
        let refuse = |why: &str| Err(FetchError::new(NOT_ALLOWED, why));
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return refuse("neither https nor http"),
        };
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return refuse("no host") };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("a user name in the URL");
        }
        let reach = self.policy.reach(url.host_str().unwrap_or_default(), port);
        // spec: T-23: "https + port 443"; anything else must have been named.
        if reach == Reach::Global && (!secure || port != 443) {
            return refuse("not https on port 443");
        }
        if let Host::Domain(name) = &host
            && reach == Reach::Global
            && local_name(name)
        {
            return refuse("a name of the local network");
        }
        Ok(Target { url, secure, port, reach })
    }
}

struct Target {
    url: Url,
    secure: bool,
    port: u16,
    reach: Reach,
}

const CANNOT: &str = "the address could not be fetched";
const NOT_ALLOWED: &str = "the address is not one that may be fetched";
const UNUSABLE: &str = "the address did not give a usable answer";

/// Names that mean the local machine or network by agreement, whatever a resolver says.
fn local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default();
    !name.contains('.') || matches!(last, "localhost" | "local" | "internal" | "onion") || name.ends_with(".home.arpa")
}

// spec: SEC-13: an address that may not be reached and one where nobody answers look the same to the requester.
fn unreachable(error: DialError) -> FetchError {
    FetchError::new(CANNOT, error)
}

fn request(url: &Url, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, FetchError> {
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut builder = Request::builder()
        .method(ask.method.clone())
        .uri(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, ask.accept)
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close");
    for (name, value) in &ask.headers {
        builder = builder.header(name, value);
    }
    if let Some(authorization) = &ask.authorization {
        let mut value = HeaderValue::from_str(authorization.reveal())
            .map_err(|_| FetchError::new(NOT_ALLOWED, "credentials that cannot stand in a header"))?;
        value.set_sensitive(true);
        builder = builder.header(header::AUTHORIZATION, value);
    }
    let built = match &ask.body {
        Some((media_type, body)) => builder.header(header::CONTENT_TYPE, *media_type).body(Full::new(body.clone())),
        None => builder.body(Full::new(Bytes::new())),
    };
    built.map_err(|e| FetchError::new(NOT_ALLOWED, e))
}

async fn speak<S>(stream: S, request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |e: hyper::Error| FetchError::new(CANNOT, e);
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(64)
        .max_buf_size(32 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // Ends with the exchange: the body we hold keeps it alive, dropping that closes it.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "fetch connection ended");
        }
    });
    sender.send_request(request).await.map_err(broken)
}

async fn receive(response: http::Response<Incoming>, limit: usize) -> Result<Fetched, FetchError> {
    let (head, mut body) = response.into_parts();
    // spec: T-29: redirects are not followed, not even shown.
    if head.status.is_redirection() {
        return Err(FetchError::new(UNUSABLE, format!("a redirect ({})", head.status)));
    }
    // spec: T-61: we asked for the plain form; an encoded one is not unpacked.
    if head.headers.get(header::CONTENT_ENCODING).is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(FetchError::new(UNUSABLE, "an encoded body"));
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| FetchError::new(CANNOT, e))?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > limit {
                return Err(FetchError::new(UNUSABLE, format!("more than {limit} bytes")));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(Fetched { status: head.status, headers: head.headers, body: whole.freeze() })
}

impl From<FetchError> for io::Error {
    fn from(error: FetchError) -> Self {
        Self::other(error.detail)
    }
}
