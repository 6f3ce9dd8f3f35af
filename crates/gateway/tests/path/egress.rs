//! The way to a server: who is believed there and what is shown, how often and how much it is asked.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::BodyExt;
use portcullis_gateway::{
    config::{self, Config, Sources},
    outbound::{Dialer, Reach},
    upstream::{
        AnswerBody, Credential, Egress, EgressError, Limits, Location, Repeatable, Upstream as Asked, UpstreamError,
        UpstreamUrl,
    },
};
use rustls::{RootCertStore, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};

use crate::upstream::{After, Reply, Speaks, Upstream, soon};

const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/path/certificates");
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(format!("{CERTIFICATES}/{name}.pem")).unwrap().map(Result::unwrap).collect()
}

/// The entry of a server with these lines in the settings.
fn entry(url: &str, lines: &str) -> config::Server {
    let lines = lines.replace("PEM", CERTIFICATES);
    let text = format!("servers:\n  - name: fake\n    url: {url}\n{lines}");
    let sources = Sources {
        file: Some(("portcullis.yaml".into(), text)),
        environment: [("SERVER_KEY".to_owned(), "sk_1".to_owned())].into(),
        ..Sources::default()
    };
    Config::load(&sources).unwrap_or_else(|problems| panic!("{problems}")).config.servers.remove(0)
}

fn asked(entry: &config::Server, limits: Limits) -> Arc<Asked> {
    let url = UpstreamUrl::parse(entry.place.url().unwrap().as_str()).unwrap();
    let egress = Arc::new(Egress::new(entry).unwrap());
    let location = Location::Url { url, reach: Reach::Private, egress };
    let limits = Limits { concurrent: entry.concurrent, ..limits };
    Arc::new(Asked::new(entry.name.clone(), location, &Dialer::new([]).unwrap(), limits))
}

fn plain(at: SocketAddr) -> Arc<Asked> {
    asked(&entry(&format!("http://{at}/mcp"), ""), Limits::default())
}

fn call(upstream: &Asked, rpc: &str) -> Request<Bytes> {
    upstream.request(Method::POST, json!({ "jsonrpc": "2.0", "id": 1, "method": rpc }).to_string().into())
}

async fn send(upstream: &Asked, request: Request<Bytes>) -> Result<Response<AnswerBody>, UpstreamError> {
    soon(upstream.send(request, &Credential::none())).await
}

/// A server of the company: its certificate is of the company's authority, and it lets in only who shows one too.
/// Tells whom it let in.
async fn company() -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let mut roots = RootCertStore::empty();
    roots.add(certificates("company").remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let visitors = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{CERTIFICATES}/company-server.key")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(visitors)
        .with_single_cert(certificates("company-server"), key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                // The request comes whole; nobody reads it.
                let _ = stream.read(&mut [0; 4096]).await?;
                drop(tell.send(shown));
                stream.write_all(OK.as_bytes()).await
            });
        }
    });
    (at, told)
}

/// spec: SEC-73
#[tokio::test]
async fn servers_of_the_company_know_its_authority_and_our_certificate() {
    let (at, mut told) = company().await;
    let url = format!("https://localhost:{}/mcp", at.port());
    let both = "    tls: { ca_file: PEM/company.pem, client_certificate: PEM/company-client.pem, client_key: file:PEM/company-client.key }\n";
    let upstream = asked(&entry(&url, both), Limits::default());
    let answer = send(&upstream, call(&upstream, "tools/list")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(told.recv().await.unwrap(), certificates("company-client")[0].to_vec());

    // Without ours it does not talk to us; without its authority, or with another one, we do not talk to it.
    let ours = "client_certificate: PEM/company-client.pem, client_key: file:PEM/company-client.key";
    for lines in [
        String::new(),
        "    tls: { ca_file: PEM/company.pem }\n".to_owned(),
        format!("    tls: {{ {ours} }}\n"),
        format!("    tls: {{ ca_file: PEM/authority.pem, {ours} }}\n"),
    ] {
        let upstream = asked(&entry(&url, &lines), Limits::default());
        let error = send(&upstream, call(&upstream, "tools/list")).await.err().unwrap_or_else(|| panic!("{lines}"));
        assert!(matches!(error, UpstreamError::Unreachable(_) | UpstreamError::Broken(_)), "{lines}: {error}");
    }
    assert!(told.try_recv().is_err(), "nobody else was let in");

    // The name is checked too: this certificate is for localhost.
    let other = entry(&url.replace("localhost", "127.0.0.2"), both);
    assert!(matches!(
        send(&asked(&other, Limits::default()), call(&upstream, "x")).await,
        Err(UpstreamError::Unreachable(_))
    ));
}

#[test]
fn key_of_another_certificate_is_refused_before_anything_is_sent() {
    let lines = "    tls: { client_certificate: PEM/company-client.pem, client_key: file:PEM/company-server.key }\n";
    let refused = Egress::new(&entry("https://mcp.example.com/mcp", lines)).err();
    let Some(EgressError::Certificates(error)) = refused else { panic!("it was taken") };
    assert!(error.to_string().contains("company-client.pem"), "{error}");
}

/// spec: UP-89, SEC-3
#[tokio::test]
async fn constant_headers_are_on_every_request() {
    let server = Upstream::start(Speaks::Modern).await;
    let lines = "    headers: { X-Team: platform, X-Server-Key: env:SERVER_KEY }\n";
    let upstream = asked(&entry(&format!("http://{}/mcp", server.at), lines), Limits::default());
    upstream.discover(&Credential::none()).await.unwrap();
    for seen in server.seen() {
        assert_eq!((seen.header("x-team"), seen.header("x-server-key")), ("platform", "sk_1"));
        assert_eq!(seen.header("host"), server.at.to_string());
    }
    let printed = format!("{:?}", upstream.request(Method::GET, Bytes::new()));
    assert!(printed.contains("platform") || !printed.contains("sk_1"), "{printed}");
    assert!(!printed.contains("sk_1"), "{printed}");
}

#[tokio::test]
async fn server_that_keeps_failing_is_left_alone_and_found_again() {
    let well = Arc::new(AtomicUsize::new(0));
    let server = Upstream::with(Speaks::Modern, {
        let well = well.clone();
        move |_| (well.load(Ordering::SeqCst) == 0).then(|| Reply::status(503))
    })
    .await;
    let upstream = plain(server.at);
    for _ in 0..5 {
        assert_eq!(send(&upstream, call(&upstream, "tools/call")).await.unwrap().status(), 503);
    }
    let flood = join_all((0..200).map(|_| send(&upstream, call(&upstream, "tools/call")))).await;
    for refused in flood {
        let error = refused.err().unwrap();
        assert!(matches!(error, UpstreamError::Resting(_)), "{error}");
        let told = error.public(upstream.name());
        assert!(told.contains("left alone for 1 s") && told.contains("Try again"), "{told}");
    }
    assert_eq!(server.seen().len(), 5, "nobody bothered it meanwhile");
    well.store(1, Ordering::SeqCst);
    Box::pin(soon(async {
        while send(&upstream, call(&upstream, "tools/list")).await.is_err() {
            tokio::task::yield_now().await;
        }
    }))
    .await;
    assert_eq!(server.seen().len(), 6, "one went to see");
    let again = join_all((0..20).map(|_| send(&upstream, call(&upstream, "tools/list")))).await;
    assert!(again.iter().all(Result::is_ok));
}

#[tokio::test]
async fn one_callers_bad_requests_are_not_everybodys_outage() {
    let server = Upstream::with(Speaks::Modern, |_| Some(Reply::status(500))).await;
    let upstream = plain(server.at);
    for _ in 0..20 {
        assert_eq!(send(&upstream, call(&upstream, "tools/call")).await.unwrap().status(), 500);
    }
}

/// A server that answers as many as it is given leave to, and knows how many it has at one time.
async fn counting() -> (SocketAddr, Arc<Semaphore>, Arc<Mutex<(usize, usize)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (leave, count) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new((0, 0))));
    let (given, counted) = (leave.clone(), count.clone());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (given, counted) = (given.clone(), counted.clone());
            tokio::spawn(async move {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    {
                        let mut count = counted.lock().unwrap();
                        count.0 += 1;
                        count.1 = count.1.max(count.0);
                    }
                    given.acquire().await.unwrap().forget();
                    counted.lock().unwrap().0 -= 1;
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (at, leave, count)
}

#[tokio::test]
async fn flood_of_calls_comes_to_the_server_a_few_at_a_time() {
    let (at, leave, count) = counting().await;
    let upstream = asked(&entry(&format!("http://{at}/mcp"), "    limits: { concurrent: 3 }\n"), Limits::default());
    let flood = join_all((0..60).map(|_| async {
        let answer = send(&upstream, call(&upstream, "tools/call")).await?;
        answer.into_body().collect().await.map_err(UpstreamError::Torn)
    }));
    let watch = async {
        soon(async {
            while count.lock().unwrap().0 < 3 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        leave.add_permits(60);
    };
    let (answers, ()) = tokio::join!(flood, watch);
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
    assert_eq!(count.lock().unwrap().1, 3);
}

#[tokio::test]
async fn who_waits_too_long_for_a_place_is_told_so_and_who_listens_takes_none() {
    let server = Upstream::with(Speaks::Modern, |_| Some(Reply::events(&[], After::Hang))).await;
    let limits = Limits { head: Duration::from_millis(300), ..Limits::default() };
    let lines = "    limits: { concurrent: 1 }\n";
    let upstream = asked(&entry(&format!("http://{}/mcp", server.at), lines), limits);
    let mut listens = upstream.request(Method::GET, Bytes::new());
    listens.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    let listeners = join_all((0..3).map(|_| send(&upstream, listens.clone()))).await;
    assert!(listeners.iter().all(Result::is_ok));
    let under_way = send(&upstream, call(&upstream, "tools/call")).await.unwrap();
    assert!(matches!(send(&upstream, call(&upstream, "tools/call")).await, Err(UpstreamError::Busy)));
    // An answer that nobody wants any more gives its place back.
    drop(under_way);
    assert!(send(&upstream, call(&upstream, "tools/call")).await.is_ok());
    assert_eq!(server.seen().len(), 5);
    assert!(UpstreamError::Busy.public(upstream.name()).contains("Try again"));
}

/// A server that answers the first request of its first connection, and breaks that off at the second one. Tells the
/// connection of each request.
async fn forgetful() -> (SocketAddr, mpsc::UnboundedReceiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, connection, tell.clone()));
        }
    });
    (at, told)
}

async fn serve(mut stream: TcpStream, connection: usize, tell: mpsc::UnboundedSender<usize>) -> std::io::Result<()> {
    for request in 0.. {
        if stream.read(&mut [0; 4096]).await? == 0 {
            break;
        }
        let _ = tell.send(connection);
        if (connection, request) == (0, 1) {
            break;
        }
        stream.write_all(OK.as_bytes()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn only_what_reads_is_sent_again_when_it_may_have_arrived() {
    let listed = |upstream: &Asked| {
        let mut request = call(upstream, "tools/list");
        request.extensions_mut().insert(Repeatable);
        request
    };
    for (again, connections) in [(true, vec![0, 0, 1]), (false, vec![0, 0])] {
        let (at, mut told) = forgetful().await;
        let upstream = plain(at);
        let first = send(&upstream, listed(&upstream)).await.unwrap();
        first.into_body().collect().await.unwrap();
        let request = if again { listed(&upstream) } else { call(&upstream, "tools/call") };
        let second = send(&upstream, request).await;
        assert_eq!(second.is_ok(), again);
        assert!(again || matches!(second, Err(UpstreamError::Broken(_))));
        let mut seen = Vec::new();
        while let Ok(connection) = told.try_recv() {
            seen.push(connection);
        }
        assert_eq!(seen, connections);
    }
}
