//! A web server that publishes documents over TLS as `docs.example`, and counts who asks.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use portcullis_gateway::outbound::{AddressPolicy, Dialer, Outbound, Resolve, Resolving};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/path/certificates");

/// The server.
pub struct Publisher {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, String>,
    asked: Vec<String>,
}

struct Here;

impl Resolve for Here {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) })
    }
}

impl Publisher {
    pub async fn new() -> Self {
        let certificates = CertificateDer::pem_file_iter(format!("{CERTIFICATES}/docs.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(format!("{CERTIFICATES}/docs.key")).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates.map(Result::unwrap).collect(), key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await?;
                    let mut head = vec![0; 4096];
                    let read = stream.read(&mut head).await?;
                    let head = String::from_utf8_lossy(&head[..read]);
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let answer = {
                        let mut state = state.lock().unwrap();
                        let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned();
                        let answer = state.answers.get(&path).cloned().unwrap_or(missing);
                        state.asked.push(path);
                        answer
                    };
                    stream.write_all(answer.as_bytes()).await?;
                    stream.shutdown().await
                });
            }
        });
        Self { port, state }
    }

    /// A guarded client that trusts this server's authority, and may reach it although it is on this machine.
    pub fn outbound(&self) -> Outbound {
        let authority = format!("{CERTIFICATES}/authority.pem");
        let dialer = Dialer::new([Path::new(&authority)]).unwrap().with_resolver(Arc::new(Here));
        Outbound::new(dialer, AddressPolicy::naming([format!("docs.example:{}", self.port).as_str()]).unwrap())
    }

    /// The address of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("https://docs.example:{}{path}", self.port)
    }

    /// From now on `path` is answered like this.
    pub fn answer(&self, path: &str, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
        self.state.lock().unwrap().answers.insert(path.into(), answer);
    }

    /// From now on `path` has this document.
    pub fn publish(&self, path: &str, document: &Value) {
        let headers = "content-type: application/json\r\ncache-control: max-age=600\r\n";
        self.answer(path, "200 OK", headers, &document.to_string());
    }

    /// How often `path` was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|asked| *asked == path).count()
    }
}
