//! Requests to the one server that a bridge leads to.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use portcullis_gateway::{
    outbound::{Dialer, Reach},
    upstream::UpstreamUrl,
};
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Position, Url};

use crate::failure::{Failure, Result};

/// Connections that are kept open while nothing is asked.
const IDLE: usize = 4;

/// How long a connection may be quiet before it is tried, how often, and in which time.
const QUIET: Duration = Duration::from_mins(1);
const KNOCKS: u32 = 4;
const AGAIN: Duration = Duration::from_secs(15);

const AGENT: HeaderValue = HeaderValue::from_static(concat!("portcullis-bridge/", env!("CARGO_PKG_VERSION")));

type Sender = SendRequest<Full<Bytes>>;

/// The server, and connections to it.
pub struct Link {
    url: Url,
    path: Uri,
    host: HeaderValue,
    dialer: Dialer,
    idle: Arc<Mutex<Vec<Sender>>>,
}

/// What the server answers: its head, and a body that is read piece by piece. Who drops it early closes its connection, by
/// which the server learns that nobody listens any more.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    /// Goes back to the idle ones when the body has ended.
    lease: Option<(Sender, Arc<Mutex<Vec<Sender>>>)>,
}

impl Link {
    /// To the server at `url`.
    pub fn new(url: &UpstreamUrl, dialer: Dialer) -> Result<Self> {
        let wrong = || Failure::usage(format!("{url} cannot be asked"));
        let url = Url::parse(url.as_str()).map_err(|_| wrong())?;
        let path = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]).map_err(|_| wrong())?;
        let host = HeaderValue::try_from(&url[Position::BeforeHost..Position::AfterPort]).map_err(|_| wrong())?;
        Ok(Self { url, path, host, dialer, idle: Arc::default() })
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Sends one request and gives the head of the answer.
    pub async fn send(&self, method: Method, headers: HeaderMap, body: Bytes) -> Result<Answer> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, self.host.clone());
        request.headers_mut().insert(header::USER_AGENT, AGENT);
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let was_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) if sender.is_closed() => continue,
                Some(sender) => sender,
                None => self.open().await?,
            };
            if let Err(error) = sender.ready().await {
                if was_kept {
                    continue;
                }
                return Err(self.broken(&error));
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let lease = Some((sender, self.idle.clone()));
                    return Ok(Answer { status: head.status, headers: head.headers, body, lease });
                }
                // An idle connection that had ended: nothing of the request was sent, so it may be sent again.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if was_kept => request = unsent,
                    _ => return Err(self.broken(error.error())),
                },
            }
        }
    }

    fn broken(&self, error: &hyper::Error) -> Failure {
        Failure::new(format!("the connection to {} broke: {error}", self.place()))
    }

    /// Scheme, host and port: what may be told of an address whose path can be a secret.
    pub fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    async fn open(&self) -> Result<Sender> {
        let away = |error: String| Failure::new(format!("{} cannot be reached: {error}", self.place()));
        let (Some(host), Some(port)) = (self.url.host(), self.url.port_or_known_default()) else {
            return Err(away("it names no host".into()));
        };
        // The person named the place, so it may be on their own network.
        let stream = self.dialer.connect(&host, port, Reach::Private).await.map_err(|error| {
            away(error.to_string()).help("if it is running and the address is right, the next request will reach it")
        })?;
        // A server that is gone, or a network that was left, is noticed also while nothing is said.
        let alive = sockopt::set_socket_keepalive(&stream, true)
            .and_then(|()| sockopt::set_tcp_keepidle(&stream, QUIET))
            .and_then(|()| sockopt::set_tcp_keepintvl(&stream, AGAIN))
            .and_then(|()| sockopt::set_tcp_keepcnt(&stream, KNOCKS));
        alive.map_err(|error| away(error.to_string()))?;
        let opened = if self.url.scheme() == "https" {
            let stream = self.dialer.secure(&host, stream).await.map_err(|error| away(error.to_string()))?;
            converse(stream).await
        } else {
            // spec: SEC-10: what the person proves themselves with does not cross a network in the open.
            if !stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()) {
                return Err(away("http:// is for this computer only".into()).help("use the https:// address"));
            }
            converse(stream).await
        };
        opened.map_err(|error| away(error.to_string()))
    }
}

impl Answer {
    /// The next bytes of the body; `None` at its end.
    pub async fn piece(&mut self) -> Option<std::result::Result<Bytes, String>> {
        loop {
            let Some(frame) = self.body.frame().await else {
                if let Some((sender, idle)) = self.lease.take() {
                    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
                    if idle.len() < IDLE && !sender.is_closed() {
                        idle.push(sender);
                    }
                }
                return None;
            };
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                Ok(Err(_)) => {}
                Err(error) => {
                    self.lease = None;
                    return Some(Err(error.to_string()));
                }
            }
        }
    }

    /// All of the body, of at most `limit` bytes.
    pub async fn whole(&mut self, limit: usize) -> std::result::Result<Bytes, String> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await {
            let piece = piece?;
            if whole.len() + piece.len() > limit {
                return Err(format!("the answer is longer than {limit} bytes"));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Whether the answer is an event stream.
    pub fn is_stream(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
    }
}

async fn converse<S>(stream: S) -> hyper::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http1::Builder::new().max_headers(100).max_buf_size(256 * 1024).handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // What broke is told by the request that it broke.
        let _ = connection.await;
    });
    Ok(sender)
}
