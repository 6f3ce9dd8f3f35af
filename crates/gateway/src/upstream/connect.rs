//! Where an upstream is, and one fresh connection to it: plain, secured, or inside this process.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Uri};
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use url::{Position, Url};

use super::{Egress, UpstreamError, line::Lines, stdio::Processes};
use crate::{
    config::{Allow, Process, Speaks},
    outbound::{Dialer, Reach},
};

/// Opens a connection to a server inside this process.
pub type InProcess = Arc<dyn Fn() -> DuplexStream + Send + Sync>;

/// The address of an upstream MCP endpoint, checked once.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamUrl(Arc<Checked>);

#[derive(PartialEq, Eq)]
struct Checked {
    url: Url,
    path: Uri,
    authority: HeaderValue,
}

/// Why a text is not the address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{url}\" is not the address of an MCP server: {why}")]
pub struct UpstreamUrlError {
    url: String,
    why: String,
}

impl UpstreamUrl {
    /// Checks `text`.
    pub fn parse(text: &str) -> Result<Self, UpstreamUrlError> {
        let wrong = |why: &str| UpstreamUrlError { url: portcullis_base::printable(text, 200), why: why.to_owned() };
        let url = Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("it must begin with https:// or http://"));
        }
        let Some(host) = url.host_str() else { return Err(wrong("it names no host")) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("user name and password do not belong into it"));
        }
        if url.fragment().is_some() {
            return Err(wrong("it must not have a fragment (#)"));
        }
        let authority = match url.port() {
            Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
            None => HeaderValue::try_from(host),
        };
        let path = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]);
        let (Ok(authority), Ok(path)) = (authority, path) else { return Err(wrong("it cannot be sent in a request")) };
        Ok(Self(Arc::new(Checked { url, path, authority })))
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        self.0.url.as_str()
    }

    /// Whether the host is this machine by its very name: `localhost`, `127.0.0.0/8` or `::1`.
    pub fn is_loopback(&self) -> bool {
        match self.0.url.host() {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamUrl({})", self.as_str())
    }
}

/// What a connection is opened to.
pub(super) enum Connector {
    Network {
        url: UpstreamUrl,
        dialer: Dialer,
        reach: Reach,
        egress: Arc<Egress>,
    },
    InProcess(InProcess),
    /// A process, which is not spoken to over HTTP: somebody answers for it.
    Process {
        argv: Arc<[String]>,
        process: Arc<Process>,
        allow: Allow,
        lines: Option<Arc<Processes>>,
    },
}

impl Connector {
    pub(super) fn speaks(&self) -> Speaks {
        match self {
            Self::Network { egress, .. } => egress.speaks,
            Self::InProcess(_) | Self::Process { .. } => Speaks::Auto,
        }
    }

    pub(super) fn url(&self) -> Option<&Url> {
        match self {
            Self::Network { url, .. } => Some(&url.0.url),
            Self::InProcess(_) | Self::Process { .. } => None,
        }
    }

    /// What opens lines to it, if it is not spoken to over HTTP.
    pub(super) fn lines(&self) -> Option<Arc<dyn Lines>> {
        match self {
            Self::Process { lines: Some(lines), .. } => Some(lines.clone()),
            _ => None,
        }
    }

    pub(super) fn path(&self) -> Uri {
        match self {
            Self::Network { url, .. } => url.0.path.clone(),
            Self::InProcess(_) | Self::Process { .. } => Uri::from_static("/mcp"),
        }
    }

    pub(super) fn authority(&self) -> HeaderValue {
        match self {
            Self::Network { url, .. } => url.0.authority.clone(),
            Self::InProcess(_) | Self::Process { .. } => HeaderValue::from_static("localhost"),
        }
    }

    /// A connection with nothing sent on it yet.
    pub(super) async fn open(&self) -> Result<SendRequest<Full<Bytes>>, UpstreamError> {
        match self {
            Self::InProcess(dial) => converse(dial()).await,
            Self::Process { .. } => Err(UpstreamError::Unusable("it is a process, and not spoken to over HTTP")),
            Self::Network { url, dialer, reach, .. } => {
                let url = &url.0.url;
                let host = url.host().expect("an upstream address has a host");
                let port = url.port_or_known_default().expect("http and https have a default port");
                let stream = dialer.connect(&host, port, *reach).await?;
                if url.scheme() == "https" {
                    converse(dialer.secure(&host, stream).await?).await
                } else {
                    // spec: SEC-73: unencrypted only where an administrator named the private host.
                    if *reach == Reach::Global {
                        return Err(UpstreamError::Unusable("its address is http:// and not named as private"));
                    }
                    converse(stream).await
                }
            }
        }
    }
}

async fn converse<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // spec: T-68: one strict parser; what it does not accept ends the connection.
    let (sender, connection) = http1::Builder::new()
        .max_headers(100)
        .max_buf_size(256 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(UpstreamError::Broken)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(sender)
}
