//! The only way out for a process that may reach some hosts and no others: a proxy that listens inside its own network.
//!
//! The listener is in the process's name space, so whoever comes to it is that process or something that it started, and
//! they can go nowhere else: there is no address, no route and no resolver besides it. What is asked for is looked up in the
//! list before anything is resolved, and then dialled under the same rule as everything else that the gateway dials.
//!
//! What is checked is whom a tunnel leads to. What is said inside it is between the two, so a host that passes on for others
//! (a proxy, a content network that believes a `Host` header) leads further than its name.

use std::{
    collections::HashSet,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, client, server, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_base::{ServerName, printable};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use url::Host;

use super::lively::Lively;
use crate::{
    config::{self, Hosts},
    outbound::{DialError, Dialer, Place, Reach, Refused},
};

/// Connections of one process at one time; more wait until one of them has ended.
const CONNECTIONS: usize = 64;
/// Bytes and header lines of a request's head, and of an answer's.
const HEAD: usize = 32 << 10;
const HEADERS: usize = 100;
/// How long a head may take, and how long a connection may wait for the next one.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long resolving and connecting may take.
const DIAL: Duration = Duration::from_secs(15);
/// How long nothing may be said on a connection.
const IDLE: Duration = Duration::from_mins(10);
/// Hosts that are named in the log when they are refused, for each process; more are counted.
const TOLD: usize = 20;
/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// What stands for itself on one connection and is not passed on (RFC 9110, 7.6.1).
const OWN_TO_A_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Body = Either<Full<Bytes>, Incoming>;

/// The way out of one process.
pub(super) struct WayOut {
    name: ServerName,
    hosts: Hosts,
    dialer: Dialer,
    refused: AtomicU64,
    told: Mutex<HashSet<String>>,
}

/// Whom a request is for.
struct Target {
    host: Host,
    port: u16,
}

/// A tunnel that was granted: the process's side becomes its own when the answer is sent.
struct Tunnel {
    near: OnUpgrade,
    far: TcpStream,
}

impl WayOut {
    pub(super) fn new(name: ServerName, hosts: Hosts, dialer: Dialer) -> Arc<Self> {
        Arc::new(Self { name, hosts, dialer, refused: AtomicU64::new(0), told: Mutex::default() })
    }

    /// How often something was refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Serves whoever comes to `listener`. With this future ends every connection.
    pub(super) async fn keep(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut open = JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            while open.try_join_next().is_some() {}
            let Ok((stream, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let this = self.clone();
            open.spawn(async move {
                this.serve(stream).await;
                drop(place);
            });
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let (stream, silence) = Lively::new(stream, IDLE);
        let granted = Arc::<Mutex<Option<Tunnel>>>::default();
        let service = service_fn(|request| {
            let (this, granted) = (self.clone(), granted.clone());
            async move { Ok::<_, Infallible>(this.answer(request, &granted).await) }
        });
        let connection = server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let carried = async {
            if connection.await.is_err() {
                return;
            }
            let tunnel = granted.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(Tunnel { near, mut far }) = tunnel else { return };
            if let Ok(near) = near.await {
                let _ = copy_bidirectional(&mut TokioIo::new(near), &mut far).await;
            }
        };
        tokio::select! {
            () = carried => {}
            () = silence.lasts() => {}
        }
    }

    async fn answer(&self, mut request: Request<Incoming>, granted: &Mutex<Option<Tunnel>>) -> Response<Body> {
        let Some(target) = Target::of(&request) else {
            return told(StatusCode::BAD_REQUEST, "this is a proxy: CONNECT host:port, or http:// with a host");
        };
        let far = match self.dial(&target).await {
            Ok(far) => far,
            Err(answer) => return answer,
        };
        if request.method() == Method::CONNECT {
            let near = hyper::upgrade::on(&mut request);
            *granted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Tunnel { near, far });
            return Response::new(Either::Left(Full::default()));
        }
        pass_on(request, far)
            .await
            .unwrap_or_else(|_| told(StatusCode::BAD_GATEWAY, "the host gave no answer that can be passed on"))
    }

    /// A connection to `target`, if that is on the list and where it may be.
    // spec: T-89: "egress allow list (default none)"
    async fn dial(&self, target: &Target) -> Result<TcpStream, Response<Body>> {
        let named = printable(&target.to_string(), 300);
        let Some(known) = self.hosts.find(&target.host, target.port) else {
            self.refuse(&named, "not on its list");
            let why = format!(
                "{named} is not among the hosts that the server \"{}\" may reach. Its settings would allow it by \
                 network: [..., \"{named}\"]",
                self.name
            );
            return Err(told(StatusCode::FORBIDDEN, why));
        };
        let reach = if known.may_be_private() { Reach::Private } else { Reach::Global };
        let host = config::borrowed(&target.host);
        let dialled = self.dialer.connect(&host, target.port, reach);
        match timeout(DIAL, dialled).await {
            Ok(Ok(far)) => Ok(far),
            Ok(Err(DialError::Refused(Refused(address)))) => {
                let private = Place::of(address) == Place::Private;
                self.refuse(
                    &named,
                    if private { "it is on a private network" } else { "its address is never reached" },
                );
                let help = if private {
                    format!(" Its settings would allow it by network: [..., {{ host: \"{named}\", private: true }}]")
                } else {
                    String::new()
                };
                Err(told(StatusCode::FORBIDDEN, format!("{named} is at an address that may not be reached.{help}")))
            }
            Ok(Err(error)) => {
                tracing::debug!(server.name = %self.name, network.host = named, %error, "a host cannot be reached");
                Err(told(StatusCode::BAD_GATEWAY, format!("{named} cannot be reached")))
            }
            Err(_) => Err(told(StatusCode::GATEWAY_TIMEOUT, format!("{named} cannot be reached in time"))),
        }
    }

    fn refuse(&self, host: &str, why: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD && told.insert(host.to_owned()) {
            tracing::warn!(server.name = %self.name, network.host = host, error.detail = why, "a server was kept from a host");
        }
    }
}

impl Target {
    /// Whom a request to a proxy is for; nobody if it is none.
    fn of(request: &Request<Incoming>) -> Option<Self> {
        let authority = request.uri().authority().filter(|authority| !authority.as_str().contains('@'))?;
        let scheme = request.uri().scheme();
        let port = match (request.method() == Method::CONNECT, scheme) {
            (true, None) => authority.port_u16()?,
            (false, Some(scheme)) if *scheme == Scheme::HTTP => authority.port_u16().unwrap_or(80),
            _ => return None,
        };
        Some(Self { host: config::host(authority.host())?, port })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Passes a plain request on. It is written anew, for the host that was checked and with nothing of this connection.
async fn pass_on(request: Request<Incoming>, far: TcpStream) -> Result<Response<Body>, Box<dyn std::error::Error>> {
    let (mut head, body) = request.into_parts();
    let host = HeaderValue::from_str(head.uri.authority().map_or("", |authority| authority.as_str()))?;
    head.uri = head.uri.path_and_query().map_or_else(|| Uri::from_static("/"), |path| Uri::from(path.clone()));
    let_go(&mut head.headers);
    head.headers.insert(header::HOST, host);
    let (mut sender, connection) = client::conn::http1::Builder::new()
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .handshake::<_, Incoming>(TokioIo::new(far))
        .await?;
    // Ends with the answer's body, which is read by the connection that asked.
    tokio::spawn(connection);
    let mut answer = sender.send_request(Request::from_parts(head, body)).await?;
    let_go(answer.headers_mut());
    Ok(answer.map(Either::Right))
}

/// Takes out what stands for one connection only.
fn let_go(headers: &mut HeaderMap) {
    let named: Vec<_> = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok()).collect();
    let named: Vec<_> = named.iter().flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect();
    for name in named.iter().map(String::as_str).chain(OWN_TO_A_CONNECTION) {
        headers.remove(name);
    }
}

fn told(status: StatusCode, why: impl AsRef<str>) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::from(format!("portcullis: {}\n", why.as_ref()))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// The variables by which a program knows of its way out.
pub(super) fn variables(proxy: SocketAddr, hosts: &Hosts) -> Vec<(String, String)> {
    const NAMES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    // Yarn looks at its own alone, and Node only where it is told to.
    const OTHERS: [&str; 2] = ["YARN_HTTP_PROXY", "YARN_HTTPS_PROXY"];
    let url = format!("http://{proxy}");
    // What it starts for itself on its own loopback is no business of ours, unless that of this machine was listed.
    let own = ["localhost", "127.0.0.1", "[::1]"];
    let own = own.into_iter().filter(|name| config::host(name).is_some_and(|host| !hosts.has(&host)));
    let own = own.map(|name| name.trim_matches(['[', ']'])).collect::<Vec<_>>().join(",");
    let mut all: Vec<_> = NAMES.into_iter().chain(OTHERS).map(|name| (name.to_owned(), url.clone())).collect();
    all.push(("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned()));
    all.extend(["NO_PROXY", "no_proxy"].map(|name| (name.to_owned(), own.clone())));
    all
}
