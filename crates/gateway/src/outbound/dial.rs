//! Opening a connection: resolve once, vet every address, connect to a vetted one, and nothing else.

use std::{future::Future, io, net::SocketAddr, path::Path, pin::Pin, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::Host;

use super::address::{Reach, Refused};
use crate::config::{self, Tls};

/// What HTTP/1.1 is called in TLS.
const HTTP: &[u8] = b"http/1.1";
/// How long one address may take to accept a connection before the next is tried.
const CONNECT: Duration = Duration::from_secs(3);

/// The answer of a resolver.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Turns a name into addresses. An argument, so that a test can play a rebinding name server.
pub trait Resolve: Send + Sync {
    /// The addresses of `host`, with `port`.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The operating system's resolver.
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Why no connection came about. `Display` is for the log, never for a requester.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("cannot resolve the name: {0}")]
    Resolve(io::Error),
    /// The name leads where we do not go.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nobody accepted.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The other side did not prove who it is.
    #[error("cannot secure the connection: {0}")]
    Secure(io::Error),
}

/// Certificates could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot read certificates from {file}: {why}")]
pub struct CertificatesError {
    file: String,
    why: String,
}

/// Opens connections under the address rule.
#[derive(Clone)]
pub struct Dialer {
    resolver: Arc<dyn Resolve>,
    roots: Arc<RootCertStore>,
    tls: TlsConnector,
}

/// Certificates for one server: whom to believe there, and what to show.
#[derive(Clone, PartialEq)]
pub struct Certificates {
    /// Its authority: this one alone is believed. Empty: whoever the dialer believes.
    authority: Vec<CertificateDer<'static>>,
    client: Option<Arc<ClientCertificate>>,
}

#[derive(PartialEq)]
struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Certificates {
    /// Reads the files that the settings name, and checks that key and certificate belong together.
    pub fn read(settings: &Tls) -> Result<Self, CertificatesError> {
        let authority = settings.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let client = settings.client.as_ref().map(ClientCertificate::read).transpose()?.map(Arc::new);
        let read = Self { authority, client };
        let file = settings.client.as_ref().map(|it| it.certificate.display().to_string());
        let ours = settings.ca_file.as_ref().map(|path| path.display().to_string());
        let file = file.or(ours).unwrap_or_default();
        read.tls(&Arc::new(RootCertStore::empty())).map_err(|why| CertificatesError { file, why })?;
        Ok(read)
    }

    fn tls(&self, usual: &Arc<RootCertStore>) -> Result<TlsConnector, String> {
        let mut roots = usual.clone();
        if !self.authority.is_empty() {
            let mut own = RootCertStore::empty();
            for certificate in &self.authority {
                own.add(certificate.clone()).map_err(|e| e.to_string())?;
            }
            roots = Arc::new(own);
        }
        connector(roots, self.client.as_deref())
    }
}

impl ClientCertificate {
    fn read(settings: &config::ClientCertificate) -> Result<Self, CertificatesError> {
        let file = settings.certificate.display().to_string();
        let key = PrivateKeyDer::from_pem_slice(settings.key.reveal().as_bytes())
            .map_err(|e| CertificatesError { file, why: format!("its key is not a private key in PEM form: {e}") })?;
        Ok(Self { chain: certificates(&settings.certificate)?, key })
    }
}

impl Dialer {
    /// A dialer that trusts what the operating system trusts, and the authorities in `extra` (PEM files) too.
    pub fn new<'a>(extra: impl IntoIterator<Item = &'a Path>) -> Result<Self, CertificatesError> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        for file in extra {
            for certificate in certificates(file)? {
                let wrong =
                    |e: rustls::Error| CertificatesError { file: file.display().to_string(), why: e.to_string() };
                roots.add(certificate).map_err(wrong)?;
            }
        }
        if roots.is_empty() {
            tracing::warn!("no trusted certificate authorities found on this machine: no https server can be verified");
        }
        let roots = Arc::new(roots);
        let tls = connector(roots.clone(), None).expect("without a certificate of ours nothing can be wrong");
        Ok(Self { resolver: Arc::new(SystemResolver), roots, tls })
    }

    /// The same dialer with the certificates of one server.
    pub fn with_certificates(mut self, certificates: &Certificates) -> Self {
        self.tls = certificates.tls(&self.roots).expect("it was tried when the certificates were read");
        self
    }

    /// The same dialer with another source of addresses.
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// A connection to `host` on `port`, going no further than `reach`.
    pub async fn connect(&self, host: &Host<&str>, port: u16, reach: Reach) -> Result<TcpStream, DialError> {
        let addresses = match host {
            Host::Ipv4(ip) => vec![SocketAddr::from((*ip, port))],
            Host::Ipv6(ip) => vec![SocketAddr::from((*ip, port))],
            Host::Domain(name) => self.resolver.resolve(name, port).await.map_err(DialError::Resolve)?,
        };
        reach.vet(&addresses)?;
        // spec: T-23: the vetted addresses are dialled, the name is not asked again.
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(DialError::Connect)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
            }
        }
        Err(DialError::Connect(last))
    }

    /// TLS for HTTP on `stream`, with the name that was asked for.
    pub async fn secure(&self, host: &Host<&str>, stream: TcpStream) -> Result<TlsStream<TcpStream>, DialError> {
        self.secure_for(host, stream, vec![HTTP.to_vec()]).await
    }

    /// TLS for any of `protocols`, by their registered names; none: it is not said which one.
    pub async fn secure_for(
        &self,
        host: &Host<&str>,
        stream: TcpStream,
        protocols: Vec<Vec<u8>>,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let name = match host {
            Host::Ipv4(ip) => ServerName::from(std::net::IpAddr::from(*ip)),
            Host::Ipv6(ip) => ServerName::from(std::net::IpAddr::from(*ip)),
            Host::Domain(name) => ServerName::try_from((*name).to_owned())
                .map_err(|e| DialError::Secure(io::Error::new(io::ErrorKind::InvalidInput, e)))?,
        };
        self.tls.with_alpn(protocols).connect(name, stream).await.map_err(DialError::Secure)
    }
}

/// The certificates in a PEM file; there is at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let wrong = |why: String| CertificatesError { file: file.display().to_string(), why };
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found.map_err(|e| wrong(e.to_string()))? {
        found if found.is_empty() => Err(wrong("there is no certificate in it".into())),
        found => Ok(found),
    }
}

fn connector(roots: Arc<RootCertStore>, client: Option<&ClientCertificate>) -> Result<TlsConnector, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the ring provider has the default protocol versions")
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let (chain, key) = (client.chain.clone(), client.key.clone_key());
            builder.with_client_auth_cert(chain, key).map_err(|e| e.to_string())?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}
