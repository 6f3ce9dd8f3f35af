//! A gateway's data path on a socket, a person with a token, and a client that says exactly what it is told to say.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use portcullis_audit::Actor;
use portcullis_base::{
    ClientId, Clock, GrantId, Holder, ManualClock, PersonId, Rng, Secret, SeededRng, ServerName, Timestamp,
};
use portcullis_gateway::{
    approvals::{self, Approvals},
    authority::{Held, MintError, Minted, RefreshError, Revocation, Whom},
    config::{Allow, Config, Credential, ServerAudit, Sources, ToolList},
    connections::{self, Authorities, Connections},
    decision_point::DecisionPoint,
    ended::Ended,
    journal::{self, Journal},
    keys::Keys,
    origin::{Exposure, Origins},
    outbound::{Dialer, Reach},
    proxy::{Answer, Parts, Proxy, Settings},
    quotas::Quotas,
    roles::Roles,
    session_labels::SessionLabels,
    snapshot::{Person, Server, Snapshot},
    system::SystemClock,
    toolbox::Toolbox,
    tools::Verdicts,
    transport::Watched,
    upstream::{Counts, Egress, InProcess, Limits, Location, Upstream, UpstreamUrl, Upstreams},
};
use portcullis_oauth::{
    access::AccessClaims,
    jwks::{KeySet, ScheduledKey, SigningKey},
    scope::Scopes,
    upstream::challenge::Wanted,
};
use portcullis_policy::{Access, AccessEntry, Bundle, Source, approval::Terms};
use portcullis_sample::Sample;
use portcullis_store::{DatabaseSettings, NewPerson, PersonKind, Store};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use url::Url;
use zeroize::Zeroizing;

/// A gateway in this process.
pub struct Gateway {
    pub address: SocketAddr,
    pub ended: Arc<Ended>,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub journal: Journal,
    pub public_url: String,
    pub connections: Arc<Connections>,
    pub issuer: Arc<Issuer>,
    pub approvals: Arc<Approvals>,
    pub store: Store,
    signing: Arc<ArcSwap<KeySet>>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    pub data: Arc<TempDir>,
    upstreams: Arc<Upstreams>,
}

/// How a gateway is set up.
pub struct Setup {
    pub servers: Vec<(&'static str, SocketAddr)>,
    /// Endpoints over several servers, as the settings write them; the one over all is always there.
    pub toolboxes: &'static str,
    /// Whether the sample server is there, as `sample`.
    pub sample: bool,
    pub limits: Limits,
    pub access: Access,
    pub rules: &'static str,
    /// What the servers want to see.
    pub credential: Credential,
    pub tools: ToolList,
    /// What the servers may ask of clients.
    pub allow: Allow,
    /// What an administrator says the servers' tools are.
    pub risk: Verdicts,
    pub request_headers: Vec<HeaderName>,
    /// Who is asked in addition to the rules.
    pub decision_point: Arc<DecisionPoint>,
    /// What it is called, if not by its address.
    pub public_url: Option<String>,
    /// Where data is, to start again on it.
    pub data: Option<Arc<TempDir>>,
    /// The clock, where it is to be moved.
    pub clock: Option<Arc<ManualClock>>,
    pub settings: fn(&mut Settings),
}

impl Default for Setup {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            servers: Vec::new(),
            toolboxes: "",
            sample: false,
            limits: Limits { head: 5 * second, idle: 5 * second, total: 20 * second, ..Limits::default() },
            access: Access::open(),
            rules: "",
            credential: Credential::None,
            tools: ToolList::Personal,
            allow: Allow::REMOTE,
            risk: Verdicts::new(),
            request_headers: Vec::new(),
            decision_point: Arc::default(),
            public_url: None,
            data: None,
            clock: None,
            settings: |_| {},
        }
    }
}

/// The grant behind all tokens of `person`.
pub fn grant(person: &str) -> GrantId {
    GrantId::new(format!("grt_{person}"))
}

/// A group that nobody in these tests is in.
pub fn nobodys_access() -> Access {
    Access::of(vec![AccessEntry::open("elsewhere")])
}

impl Gateway {
    /// A gateway with one server called `fake`.
    pub async fn before(upstream: SocketAddr) -> Self {
        Self::start(Setup { servers: vec![("fake", upstream)], ..Setup::default() }).await
    }

    pub async fn start(setup: Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let public_url = setup.public_url.unwrap_or_else(|| format!("http://{address}"));
        // A journal is one process's, also of two in one test.
        let journal = if setup.data.is_some() { "journal-again" } else { "journal" };
        let data = setup.data.unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let clock: Arc<dyn Clock> = match setup.clock {
            Some(clock) => clock,
            None => Arc::new(SystemClock),
        };
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(7));
        let keys = Arc::new(Keys::from_root(&Zeroizing::new([7; 32])));
        let journal = Journal::open(
            &journal::Settings {
                dir: &data.path().join(journal),
                node: "test",
                seed: &keys.journal_seed("test"),
                durability: journal::Durability::Process,
                limits: journal::Limits::default(),
            },
            clock.clone(),
        )
        .unwrap();
        let sources: &[Source<'_>] =
            if setup.rules.is_empty() { &[] } else { &[Source { name: "rules.yaml", text: setup.rules }] };
        let servers = setup.servers.iter().map(|(name, at)| {
            let name = ServerName::parse(name).unwrap();
            let url = UpstreamUrl::parse(&format!("http://{at}/mcp")).unwrap();
            let server = Server {
                name: name.clone(),
                location: Location::Url {
                    url,
                    reach: Reach::Private,
                    egress: Arc::new(Egress::default().allowing(setup.allow)),
                },
                limits: setup.limits,
                access: setup.access.clone(),
                description: None,
                credential: Arc::new(setup.credential.clone()),
                request_headers: setup.request_headers.clone().into(),
                tools: setup.tools,
                allow: setup.allow,
                risk: Arc::new(setup.risk.clone()),
                audit: ServerAudit::default(),
            };
            (name, Arc::new(server))
        });
        let mut servers: HashMap<_, _> = servers.collect();
        if setup.sample {
            let name = ServerName::parse("sample").unwrap();
            let location = Location::InProcess(in_process(Sample::new(clock.clone(), rng.clone())));
            let (access, limits) = (setup.access.clone(), setup.limits);
            let server = Server {
                name: name.clone(),
                location,
                limits,
                access,
                description: None,
                credential: Arc::new(Credential::None),
                request_headers: Arc::default(),
                tools: ToolList::Public,
                allow: Allow::LOCAL,
                risk: Arc::default(),
                audit: ServerAudit::default(),
            };
            servers.insert(name, Arc::new(server));
        }
        let people = ["alice", "bob"].map(|name| {
            let groups: Arc<[Arc<str>]> = [Arc::from("staff")].into();
            (
                PersonId::new(name),
                Arc::new(Person {
                    name: name.into(),
                    email: None,
                    groups,
                    roles: Roles::default(),
                    shut_out: false,
                    kind: PersonKind::Person,
                }),
            )
        });
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot {
            service_accounts: 0,
            toolboxes: toolboxes(setup.toolboxes, &setup.servers),
            servers,
            people: HashMap::from(people),
            bundle: Arc::new(Bundle::load(sources).unwrap()),
            revision: 1,
        }));
        let store = people_in(data.path(), clock.now()).await;
        let issuer = Arc::<Issuer>::default();
        let connections = Arc::new(Connections::new(connections::Parts {
            store: store.clone(),
            journal: journal.clone(),
            keys: keys.clone(),
            authorities: issuer.clone(),
            snapshot: snapshot.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
        }));
        let approvals = Arc::new(Approvals::new(approvals::Parts {
            store: store.clone(),
            journal: journal.clone(),
            keys: keys.clone(),
            herald: Arc::new(approvals::Nobody),
            terms: Terms::default(),
            public_url: public_url.as_str().into(),
            node: "test".into(),
            clock: clock.clone(),
            rng: rng.clone(),
        }));
        let ended = Arc::new(Ended::default());
        let signing = Arc::new(ArcSwap::from_pointee(keyset()));
        let url = Url::parse(&public_url).unwrap();
        let mut settings = Settings::new(&public_url, Origins::new(&url, address, ["https://app.example"]));
        (setup.settings)(&mut settings);
        let origins = settings.origins.clone();
        let upstreams = Arc::new(Upstreams::new(Dialer::new([]).unwrap()));
        let proxy = Arc::new(Proxy::new(Parts {
            journal: journal.clone(),
            snapshot: snapshot.clone(),
            signing: signing.clone(),
            ended: ended.clone(),
            fresh: Arc::default(),
            access_keys: Arc::default(),
            approvals: approvals.clone(),
            externals: Arc::default(),
            session_closed: Arc::new(|_, _| {}),
            keys,
            clock: clock.clone(),
            rng: rng.clone(),
            connections: connections.clone(),
            store: store.clone(),
            upstreams: upstreams.clone(),
            decision_point: setup.decision_point,
            labels: Arc::new(SessionLabels::new(store.clone(), clock.clone())),
            quotas: Arc::new(Quotas::new(store.clone(), "test".into(), clock.clone(), &*rng)),
            settings,
        }));
        tokio::spawn(listen(listener, proxy, origins));
        Self {
            address,
            ended,
            snapshot,
            journal,
            public_url,
            connections,
            issuer,
            approvals,
            store,
            signing,
            clock,
            rng,
            data,
            upstreams,
        }
    }

    /// The time there.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A token of `person` for `fake`, for everything.
    pub fn token(&self, person: &str) -> String {
        self.token_for(person, "fake", "mcp:read mcp:call", Duration::from_mins(5))
    }

    pub fn token_for(&self, person: &str, server: &str, scopes: &str, lifetime: Duration) -> String {
        let now = Timestamp::from_secs(self.clock.now().as_secs());
        let claims = AccessClaims {
            person: PersonId::new(person),
            audience: format!("{}/mcp/{server}", self.public_url),
            client: ClientId::new("https://client.example/id"),
            scopes: Scopes::parse(scopes).unwrap(),
            issued_at: now,
            expires_at: now.plus(lifetime),
            id: portcullis_base::token::<16>(&*self.rng),
            grant: grant(person),
            authenticated_at: None,
            acr: None,
        };
        let signing = self.signing.load();
        claims.sign(&self.public_url, signing.current(now).unwrap()).unwrap()
    }

    /// Connects `person` at `fake` with this access token; the issuer renews it.
    pub async fn connect(&self, person: &str, access: &str) {
        let server = self.snapshot.load().servers[&ServerName::parse("fake").unwrap()].clone();
        let held = serde_json::json!({
            "server": server.name, "client": {"issuer": "https://as.example", "client_id": "us",
                "method": "none", "way": "configured"},
            "resource": null, "scopes": ["read"], "account": person, "access": access, "refresh": "refresh-canary",
            "expires_at": self.clock.now().plus(Duration::from_hours(1)), "token_endpoint": "https://as.example/token",
            "revocation_endpoint": null,
        });
        let held = Held::from_sealed_text(&Secret::new(held.to_string())).unwrap();
        let holder = Holder::Person(PersonId::new(person));
        self.connections.connect(Actor::default(), &holder, &server, &held).await.unwrap();
    }

    /// Switches an account off.
    pub fn disable(&self, person: &str) {
        let now = self.snapshot.load();
        let mut people = now.people.clone();
        let (name, groups) = (person.into(), [].into());
        people.insert(
            PersonId::new(person),
            Arc::new(Person {
                name,
                email: None,
                groups,
                roles: Roles::default(),
                shut_out: true,
                kind: PersonKind::Person,
            }),
        );
        let (servers, toolboxes) = (now.servers.clone(), now.toolboxes.clone());
        let (bundle, revision) = (now.bundle.clone(), now.revision + 1);
        self.snapshot.store(Arc::new(Snapshot { servers, toolboxes, people, service_accounts: 0, bundle, revision }));
    }

    /// A client with a token of `person` for the endpoint called `name`.
    pub fn client_at(&self, person: &str, name: &str) -> Client {
        let token = self.token_for(person, name, "mcp:read mcp:call", Duration::from_mins(5));
        Client { at: self.address, path: format!("/mcp/{name}"), token: Some(token) }
    }

    /// Has other settings in force from now on.
    pub fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let now = self.snapshot.load();
        let mut next = Snapshot {
            servers: now.servers.clone(),
            toolboxes: now.toolboxes.clone(),
            people: now.people.clone(),
            service_accounts: now.service_accounts,
            bundle: now.bundle.clone(),
            revision: now.revision + 1,
        };
        change(&mut next);
        self.snapshot.store(Arc::new(next));
    }

    /// A client with a token of `person`.
    pub fn client(&self, person: &str) -> Client {
        Client { at: self.address, path: "/mcp/fake".into(), token: Some(self.token(person)) }
    }

    fn fake(&self) -> Arc<Upstream> {
        let server = self.snapshot.load().servers[&ServerName::parse("fake").unwrap()].clone();
        self.upstreams.open(&server.name, &server.location, server.limits)
    }

    /// What could not be carried to and from `fake`.
    pub fn counts(&self) -> Arc<Counts> {
        self.fake().counts().clone()
    }

    /// Calls at `fake` that wait for their people.
    pub fn waiting(&self) -> usize {
        self.fake().waiting()
    }

    /// Takes leave of the servers, as at the end of the process.
    pub async fn leave(&self) {
        self.upstreams.close().await;
    }

    /// What stands in the journal so far.
    pub async fn records(&self) -> Vec<Value> {
        self.journal.tick().await;
        let mut files: Vec<_> =
            std::fs::read_dir(self.data.path().join("journal/test")).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// An authorization server that renews what it is asked to renew, until its grants are ended.
#[derive(Default)]
pub struct Issuer {
    pub asked: AtomicUsize,
    pub ended: AtomicBool,
}

impl Authorities for Issuer {
    fn refresh<'a>(&'a self, _: &'a Server, held: &'a Held) -> BoxFuture<'a, Result<Held, RefreshError>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut renewed = held.clone();
        renewed.access = Secret::new(format!("renewed-{turn}"));
        let over = self.ended.load(Ordering::SeqCst);
        Box::pin(async move { if over { Err(RefreshError::Ended("invalid_grant".into())) } else { Ok(renewed) } })
    }

    fn mint<'a>(&'a self, _: &'a Server, _: &'a Whom) -> BoxFuture<'a, Result<Minted, MintError>> {
        Box::pin(async { Err(MintError::Unavailable("nothing is made here".into())) })
    }

    fn heard(&self, _: &Server, _: &Wanted) {}

    fn assertion(&self, _: &Server, _: &Whom) -> Result<(HeaderValue, Timestamp), MintError> {
        Err(MintError::Unavailable("nothing is signed here".into()))
    }

    fn revoke<'a>(&'a self, _: &'a Held) -> BoxFuture<'a, Revocation> {
        Box::pin(async { Revocation::Done })
    }
}

/// A database with the people of these tests in it.
async fn people_in(data: &Path, now: Timestamp) -> Store {
    let store = Store::open(&DatabaseSettings::Sqlite(data.join("db")), now).await.unwrap();
    for name in ["alice", "bob"] {
        let new = NewPerson {
            id: PersonId::new(name),
            name: name.into(),
            display_name: name.into(),
            email: None,
            groups: Vec::new(),
            password_hash: None,
            admin_at: None,
        };
        drop(store.create_person(&new, now).await);
    }
    store
}

fn toolboxes(text: &str, servers: &[(&str, SocketAddr)]) -> HashMap<ServerName, Arc<Toolbox>> {
    let text = if text.is_empty() { String::new() } else { format!("toolboxes:\n{text}") };
    let sources = Sources { file: Some(("portcullis.yaml".into(), text)), ..Sources::default() };
    let loaded = Config::load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    let all = Toolbox::all(servers.iter().map(|(name, _)| ServerName::parse(name).unwrap()));
    let toolboxes = loaded.config.toolboxes.into_iter().map(Arc::new).chain([all]);
    toolboxes.map(|toolbox| (toolbox.name.clone(), toolbox)).collect()
}

fn in_process(sample: Sample) -> InProcess {
    let sample = Arc::new(sample);
    Arc::new(move || {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let sample = sample.clone();
        tokio::spawn(async move { sample.serve_connection(theirs).await });
        ours
    })
}

#[expect(clippy::disallowed_methods, reason = "signing keys are parsed with ring's own source of randomness")]
fn keyset() -> KeySet {
    let random = ring::rand::SystemRandom::new();
    let key = SigningKey::from_pkcs8(&SigningKey::generate(&random).unwrap(), random).unwrap();
    let (activates_at, retires_at) = (Timestamp::from_secs(0), Timestamp::from_secs(i64::MAX / 2000));
    KeySet::new(vec![ScheduledKey { key, activates_at, retires_at }])
}

async fn listen(listener: TcpListener, proxy: Arc<Proxy>, origins: Arc<Origins>) {
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let (proxy, origins) = (proxy.clone(), origins.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (proxy, origins) = (proxy.clone(), origins.clone());
                async move {
                    let checked = origins.check(request.uri(), request.headers(), Exposure::Guarded);
                    Ok::<_, io::Error>(match checked {
                        Ok(()) => Box::pin(proxy.serve(request, Some(peer.ip()))).await,
                        Err(status) => {
                            let mut response = http::Response::new(Answer::empty());
                            *response.status_mut() = status;
                            response
                        }
                    })
                }
            });
            let stream = TokioIo::new(Watched::new(stream));
            drop(hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await);
        });
    }
}

/// A client that sends what it is told.
#[derive(Clone)]
pub struct Client {
    pub at: SocketAddr,
    pub path: String,
    pub token: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What came back so far.
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Incoming,
    text: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Stream {
    /// The next event's text; `None` at the end. A broken stream ends with `Some("broken")`.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.into();
                return Some(event);
            }
            match self.body.frame().await? {
                Ok(frame) => self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap()),
                Err(_) => return Some("broken".into()),
            }
        }
    }

    /// The next message, signs of life skipped.
    pub async fn message(&mut self) -> Option<Value> {
        loop {
            let event = self.next().await?;
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data:")) {
                return Some(serde_json::from_str(data.trim()).unwrap_or(Value::Null));
            }
        }
    }
}

impl Client {
    pub fn without_token(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub fn to(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    /// Sends exactly these headers, besides host and token.
    pub async fn send(&self, method: Method, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Stream {
        let body: Bytes = body.into();
        let mut request = Request::builder().method(method).uri(&self.path).body(Full::new(body)).unwrap();
        let out = request.headers_mut();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            out.insert("host", HeaderValue::try_from(self.at.to_string()).unwrap());
        }
        if let Some(token) = &self.token {
            out.append("authorization", HeaderValue::try_from(format!("Bearer {token}")).unwrap());
        }
        for (name, value) in headers {
            out.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        let stream = TcpStream::connect(self.at).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        Stream { status: head.status, headers: head.headers, body, text: String::new() }
    }

    pub async fn exchange(&self, method: Method, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Got {
        let Stream { status, headers, body, .. } = self.send(method, headers, body).await;
        let body = body.collect().await.map_or(Bytes::from_static(b"broken"), http_body_util::Collected::to_bytes);
        Got { status, headers, body }
    }

    /// A POST of JSON.
    pub async fn post(&self, headers: &[(&str, &str)], body: &Value) -> Got {
        let all: Vec<_> = POST.iter().chain(headers).copied().collect();
        self.exchange(Method::POST, &all, body.to_string()).await
    }

    /// A POST of JSON whose answer is a stream.
    pub async fn stream(&self, headers: &[(&str, &str)], body: &Value) -> Stream {
        let all: Vec<_> = POST.iter().chain(headers).copied().collect();
        self.send(Method::POST, &all, body.to_string()).await
    }

    /// A correct modern request.
    pub async fn modern(&self, method: &str, params: Value) -> Got {
        let (headers, body) = modern(method, params);
        self.post(&borrowed(&headers), &body).await
    }

    /// A correct modern request whose answer is a stream.
    pub async fn modern_stream(&self, method: &str, params: Value) -> Stream {
        let (headers, body) = modern(method, params);
        self.stream(&borrowed(&headers), &body).await
    }

    /// Opens a session; its id.
    pub async fn initialize(&self) -> String {
        let got = self.post(&[], &initialize("2025-11-25")).await;
        assert_eq!(got.status, 200, "{got:?}");
        got.header("mcp-session-id").to_owned()
    }

    /// A request in a session.
    pub async fn within(&self, session: &str, body: &Value) -> Got {
        self.post(&[("mcp-session-id", session), ("mcp-protocol-version", "2025-11-25")], body).await
    }
}

const POST: [(&str, &str); 2] =
    [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

pub fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Headers and body of a correct modern request with id 1.
pub fn modern(method: &str, mut params: Value) -> (Vec<(String, String)>, Value) {
    let mut headers = vec![
        ("mcp-protocol-version".to_owned(), "2026-07-28".to_owned()),
        ("mcp-method".to_owned(), method.to_owned()),
    ];
    let name = match method {
        "tools/call" | "prompts/get" => params["name"].as_str(),
        "resources/read" => params["uri"].as_str(),
        "tasks/get" | "tasks/update" | "tasks/cancel" => params["taskId"].as_str(),
        _ => None,
    };
    headers.extend(name.map(|name| ("mcp-name".to_owned(), name.to_owned())));
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    if params["_meta"]["io.modelcontextprotocol/clientCapabilities"].is_null() {
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = serde_json::json!({});
    }
    (headers, serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
}

pub fn initialize(version: &str) -> Value {
    serde_json::json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } })
}

pub fn call(id: impl Into<Value>, tool: &str) -> Value {
    let id: Value = id.into();
    serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": {} } })
}
