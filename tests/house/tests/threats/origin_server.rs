//! Somebody else's https server, which answers as a test tells it to, and a listener that only notices being touched.

use std::{
    collections::HashMap,
    fs,
    net::TcpListener as StdListener,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// What is answered at one path.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status, header lines, a body.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Nothing, with the connection held open.
    Silence,
    /// The connection is cut.
    Cut,
}

/// An https server under the name `localhost` with a certificate of its own authority.
pub struct OriginServer {
    /// `localhost:port`.
    pub host: String,
    /// The authority's certificate.
    pub ca_file: PathBuf,
    state: Arc<Mutex<State>>,
    _folder: TempDir,
}

#[derive(Default)]
struct State {
    replies: HashMap<String, Reply>,
    requests: Vec<String>,
}

impl OriginServer {
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        make_certificates(folder.path())?;
        let chain = CertificateDer::pem_file_iter(folder.path().join("leaf.pem"))?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(folder.path().join("leaf.key"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let host = format!("localhost:{}", listener.local_addr()?.port());
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(acceptor.clone(), stream, shared.clone()));
            }
        });
        Ok(Self { host, ca_file: folder.path().join("ca.pem"), state, _folder: folder })
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.host)
    }

    /// Settings of a gateway that trusts this server's authority and lets it be reached.
    pub fn settings(&self) -> String {
        format!(
            "outbound: {{ ca_file: {} }}\nclients: {{ metadata_documents: {{ private_hosts: [\"{}\"], timeout: 1s }} }}",
            self.ca_file.display(),
            self.host
        )
    }

    /// Answers at `path` from now on.
    pub fn put(&self, path: &str, reply: Reply) {
        self.state().replies.insert(path.to_owned(), reply);
    }

    /// Answers with a JSON document.
    pub fn put_json(&self, path: &str, document: &Value) {
        self.put_cached(path, document, "max-age=600");
    }

    /// The same with a word about how long it may be kept.
    pub fn put_cached(&self, path: &str, document: &Value, cache: &str) {
        let headers = vec![("content-type", "application/json".to_owned()), ("cache-control", cache.to_owned())];
        self.put(path, Reply::Whole(200, headers, document.to_string().into_bytes()));
    }

    /// The heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream, state: Arc<Mutex<State>>) -> Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut head).await? > 0, "closed");
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let reply = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests.push(head);
        state.replies.get(&path).cloned()
    };
    match reply {
        Some(Reply::Silence) => {
            // Until the other side has had enough.
            while stream.read_u8().await.is_ok() {}
            return Ok(());
        }
        Some(Reply::Cut) => return Ok(()),
        Some(Reply::Whole(status, headers, body)) => {
            let mut text =
                format!("HTTP/1.1 {status} Reply\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
            for (name, value) in headers {
                text.extend([name, ": ", &value, "\r\n"]);
            }
            text.push_str("\r\n");
            stream.write_all(text.as_bytes()).await?;
            stream.write_all(&body).await?;
        }
        None => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?,
    }
    stream.shutdown().await?;
    Ok(())
}

/// An authority and a certificate for `localhost`, by the `openssl` program.
fn make_certificates(folder: &Path) -> Result<()> {
    let make = |arguments: &str| -> Result<()> {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .context("the openssl program makes the certificates of these tests")?;
        ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    fs::write(folder.join("leaf.ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")?;
    make(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=house-authority"))?;
    make(&format!("req {key} -keyout leaf.key -out leaf.csr -subj /CN=localhost").replace(" -days 2", ""))?;
    make("x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 7 -days 2 -extfile leaf.ext -out leaf.pem")
}

/// A listener nobody should ever connect to.
pub struct Canary {
    listener: StdListener,
    pub port: u16,
}

impl Canary {
    pub fn new() -> Result<Self> {
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// How many connections there were since it was last asked. What has connected is in the backlog, accepted or not.
    pub fn touched(&self) -> usize {
        std::iter::from_fn(|| self.listener.accept().ok()).count()
    }
}
