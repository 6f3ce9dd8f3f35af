//! The guarded client against names that lie and servers that do what they should not.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portcullis_base::Secret;
use portcullis_gateway::outbound::{AddressPolicy, Ask, Dialer, FetchError, Fetched, Outbound, Resolve, Resolving};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use crate::upstream::soon;

const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/path/certificates");

/// Gives the next of its answers at every question.
struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Names {
    fn of(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self { answers: answers.iter().map(parse).collect(), asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, _host: &'a str, port: u16) -> Resolving<'a> {
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = &self.answers[n.min(self.answers.len() - 1)];
        let answer: Vec<_> = answer.iter().map(|ip| SocketAddr::from((*ip, port))).collect();
        Box::pin(async move { Ok(answer) })
    }
}

/// A server that answers every connection with `bytes`, over TLS for `docs.example`, and tells what it was asked.
async fn secured(bytes: impl Into<Vec<u8>>) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
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
    let at = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    let bytes: Arc<[u8]> = bytes.into().into();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, tell, bytes) = (acceptor.clone(), tell.clone(), bytes.clone());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await?;
                drop(tell.send(String::from_utf8_lossy(&head[..read]).into_owned()));
                stream.write_all(&bytes).await?;
                if bytes.is_empty() {
                    std::future::pending::<()>().await;
                }
                stream.shutdown().await
            });
        }
    });
    (at, told)
}

/// A client that trusts the test authority and to which an administrator named `docs.example` at `port`.
fn client(port: u16, names: Arc<Names>) -> Outbound {
    let authority = format!("{CERTIFICATES}/authority.pem");
    let dialer = Dialer::new([Path::new(&authority)]).unwrap().with_resolver(names);
    Outbound::new(dialer, AddressPolicy::naming([format!("docs.example:{port}").as_str()]).unwrap())
}

async fn get(client: &Outbound, url: &str) -> Result<Fetched, FetchError> {
    soon(client.fetch(Ask::get(url, "application/json", 1000))).await
}

fn here() -> Arc<Names> {
    Names::of(&[&["127.0.0.1"]])
}

/// spec: T-23, SEC-10
#[tokio::test]
async fn a_document_is_fetched_without_anything_that_could_be_a_credential() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncache-control: max-age=60\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\n{}";
    let (at, mut told) = secured(answer).await;
    let client = client(at.port(), here());
    let got = get(&client, &format!("https://docs.example:{}/client.json?a=b#part", at.port())).await.unwrap();
    assert_eq!((got.status.as_u16(), got.is_json(), &got.body[..]), (200, true, &b"{}"[..]));
    assert_eq!(got.max_age(), Some(Duration::from_mins(1)));
    let asked = told.recv().await.unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /client.json?a=b http/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: docs.example:{}", at.port())) && asked.contains("accept: application/json"));
    assert!(!asked.contains("cookie") && !asked.contains("authorization"));
    get(&client, &format!("https://docs.example:{}/", at.port())).await.unwrap();
    assert!(!told.recv().await.unwrap().to_ascii_lowercase().contains("cookie"), "cookies are not kept");
    let url = format!("https://docs.example:{}/", at.port());
    let bearer = Some(Secret::new("Bearer for-this-host".into()));
    client.fetch(Ask::form(&url, "a=b".into(), 1000).authorized(bearer)).await.unwrap();
    let asked = told.recv().await.unwrap();
    assert!(asked.starts_with("POST / ") && asked.contains("\r\nauthorization: Bearer for-this-host\r\n"), "{asked}");
    let broken = Ask::get(&url, "application/json", 1000).authorized(Some(Secret::new("two\r\nlines: x".into())));
    assert!(client.fetch(broken).await.is_err());
}

/// spec: T-23, SEC-10, SEC-11
#[tokio::test]
async fn names_are_asked_once_and_every_answer_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let canary = async {
        drop(listener.accept().await);
        panic!("somebody connected");
    };
    let attacks = async {
        let answers: [&[&str]; 8] = [
            &["127.0.0.1"],
            &["169.254.169.254"],
            &["1.1.1.1", "127.0.0.1"],
            &["1.1.1.1", "10.0.0.1", "8.8.8.8"],
            &["::1"],
            &["::ffff:127.0.0.1"],
            &["64:ff9b::7f00:1"],
            &["2002:7f00:1::"],
        ];
        for answer in answers {
            // The second answer would be harmless, or harmful: nobody asks for it.
            let names = Names::of(&[answer, &["127.0.0.1"]]);
            let error = get(&client(port, names.clone()), "https://rebind.example/").await.unwrap_err();
            assert!(error.detail().contains("may be reached"), "{answer:?}: {}", error.detail());
            assert_eq!(names.asked.load(Ordering::SeqCst), 1, "{answer:?}");
        }
        for url in [
            "http://docs.example/",
            "https://docs.example:8443/",
            "https://rebind.example:444/",
            "ftp://rebind.example/",
            "file:///etc/passwd",
            "https://user:secret@rebind.example/",
            "https://localhost/",
            "https://intranet/",
            "https://printer.local/",
            "https://db.internal./",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://①②⑦.0.0.1/",
            "nonsense",
        ] {
            let names = Names::of(&[&["127.0.0.1"]]);
            let error = get(&client(port, names.clone()), url).await.unwrap_err();
            assert_eq!(names.asked.load(Ordering::SeqCst), 0, "{url} was resolved");
            // spec: SEC-13
            assert!(
                !error.to_string().contains("127.0.0.1") && error.to_string().starts_with("the address"),
                "{error}"
            );
        }
    };
    tokio::select! {
        () = canary => {}
        () = attacks => {}
    }
}

/// spec: T-23, T-29, T-61, SEC-13
#[tokio::test]
async fn what_a_document_server_must_not_do_ends_the_fetch() {
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{}", "x".repeat(1001));
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
        "100\r\n".to_owned() + &"x".repeat(256) + "\r\n"
    );
    let endless = chunked.clone() + &("100\r\n".to_owned() + &"x".repeat(256) + "\r\n").repeat(10);
    let table = [
        (
            "redirect",
            "HTTP/1.1 302 Found\r\nlocation: https://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "redirect",
        ),
        ("encoded", "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx".to_owned(), "encoded"),
        ("large", large, "more than"),
        ("endless", endless, "more than"),
        ("torn", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx".to_owned(), ""),
        ("not http", "SSH-2.0-OpenSSH_9\r\n".to_owned(), ""),
        ("headers without end", format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(10_000)), ""),
    ];
    for (name, answer, detail) in table {
        let (at, _told) = secured(answer).await;
        let error = get(&client(at.port(), here()), &format!("https://docs.example:{}/", at.port())).await.unwrap_err();
        assert!(error.detail().contains(detail), "{name}: {}", error.detail());
        assert!(error.to_string().starts_with("the address "), "{name}: {error}");
    }
    let (at, _told) = secured("").await;
    let impatient = client(at.port(), here()).with_total(Duration::from_millis(200));
    assert!(
        get(&impatient, &format!("https://docs.example:{}/", at.port()))
            .await
            .unwrap_err()
            .detail()
            .contains("too long")
    );
}

/// spec: SEC-73
#[tokio::test]
async fn a_server_that_cannot_prove_its_name_is_not_believed() -> io::Result<()> {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let (at, mut told) = secured(answer).await;
    let url = format!("https://docs.example:{}/", at.port());
    let policy = || AddressPolicy::naming([format!("docs.example:{}", at.port()).as_str()]).unwrap();
    let untrusting = Outbound::new(Dialer::new([]).unwrap().with_resolver(here()), policy());
    assert!(get(&untrusting, &url).await.is_err(), "the authority is not trusted");
    let authority = format!("{CERTIFICATES}/authority.pem");
    let dialer = Dialer::new([Path::new(&authority)]).unwrap().with_resolver(here());
    let other = AddressPolicy::naming([format!("other.example:{}", at.port()).as_str()]).unwrap();
    let error = get(&Outbound::new(dialer, other), &format!("https://other.example:{}/", at.port())).await;
    assert!(error.is_err(), "the certificate is for another name");
    assert!(told.try_recv().is_err(), "nothing was said to it");
    assert!(Dialer::new([Path::new("/nowhere.pem")]).is_err());
    Ok(())
}
