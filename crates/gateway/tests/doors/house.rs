//! A gateway's doors on a SQLite file, with a clock that stands still and reproducible randomness; and those who knock.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock, atomic::AtomicI64},
};

use arc_swap::ArcSwap;
use axum::{Router, body::Body, extract::ConnectInfo};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use portcullis_base::{Clock, ManualClock, PersonId, Rng, Secret, SeededRng, Timestamp};
use portcullis_gateway::{
    access,
    access_keys::AccessKeys,
    account,
    app::App,
    approvals::{self, Approvals},
    assertion_keys::AssertionKeys,
    authority::{self, Authority},
    authorization,
    config::{Config, Sources},
    connections::{self, Connections},
    ended::Ended,
    external::Externals,
    feed::{self, Feed},
    fresh::Fresh,
    home, hooks,
    identity::Providers,
    inbox,
    inspection::Inspection,
    journal::{self, Journal},
    keys::Keys,
    limit::Limits,
    login,
    notify::{self, Notify},
    origin::Origins,
    outbound::{AddressPolicy, Dialer, Outbound},
    passkeys::{self, Passkeys},
    password::{self, Passwords},
    quotas::Quotas,
    refusals::Refusals,
    roles::Appointments,
    session_labels::SessionLabels,
    snapshot::Snapshot,
    system,
    telemetry::Telemetry,
    trusted_issuer::{Reaching, Workloads},
    upstream::Upstreams,
};
use portcullis_policy::Bundle;
use portcullis_store::{NewPerson, Person, Store};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use zeroize::Zeroizing;

pub const ISSUER: &str = "http://127.0.0.1:7878";
pub const SAMPLE: &str = "http://127.0.0.1:7878/mcp/sample";
pub const PASSWORD: &str = "correct horse battery";
pub const CALLBACK: &str = "http://127.0.0.1:5000/callback";
pub const WEB_CALLBACK: &str = "https://app.example/callback";
/// From RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A gateway without listeners.
pub struct House {
    pub app: Arc<App>,
    pub clock: Arc<ManualClock>,
    router: Router,
    dir: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

/// A browser, or whatever else has cookies and an address.
pub struct Browser<'a> {
    house: &'a House,
    cookie: Option<String>,
    address: IpAddr,
    site: Option<&'static str>,
}

impl House {
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With settings.
    pub async fn with(yaml: &str) -> Self {
        Self::with_outbound(yaml, Outbound::new(Dialer::new([]).unwrap(), AddressPolicy::global_only())).await
    }

    pub async fn with_outbound(yaml: &str, outbound: Outbound) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_795_400_000_000)));
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(7));
        let file = format!("data: {}\n{SERVERS}\n{yaml}", dir.path().display());
        let sources = Sources {
            file: Some(("test.yaml".into(), file)),
            environment: SECRETS.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
            flags: Vec::new(),
        };
        let config = Config::load(&sources).unwrap_or_else(|problems| panic!("{problems:?}")).config;
        let dyn_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let keys = Arc::new(Keys::from_root(&Zeroizing::new([7; 32])));
        let seed = keys.journal_seed("test");
        let settings = journal::Settings {
            dir: &dir.path().join("journal"),
            node: "test",
            seed: &seed,
            durability: journal::Durability::Process,
            limits: journal::Limits::default(),
        };
        let store = Store::open(&config.database, clock.now()).await.unwrap();
        let bundle = Arc::new(Bundle::default());
        let (people, servers) = (HashMap::new(), HashMap::new());
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot {
            servers,
            toolboxes: HashMap::new(),
            people,
            service_accounts: 0,
            bundle: bundle.clone(),
            revision: 0,
        }));
        let (signing, ended) = (Arc::<ArcSwap<_>>::default(), Arc::<Ended>::default());
        let (fresh, access_keys) = (Arc::<Fresh>::default(), Arc::<AccessKeys>::default());
        let appointments = Appointments::new(&config.roles);
        let upstreams = Arc::new(Upstreams::new(Dialer::new([]).unwrap()));
        let providers = Arc::new(Providers::new(&config, outbound.clone(), &dyn_clock));
        let (telemetry, _) = Telemetry::new(&config.telemetry.settings, dyn_clock.clone(), &*rng);
        let journal = Journal::open(&settings, Arc::clone(&dyn_clock)).unwrap().counted_by(telemetry.clone());
        let authority = Arc::new(Authority::new(authority::Parts {
            config: &config,
            outbound: outbound.clone(),
            store: store.clone(),
            journal: journal.clone(),
            keys: keys.clone(),
            signing: signing.clone(),
            snapshot: snapshot.clone(),
            providers: providers.clone(),
            ended: ended.clone(),
            clock: dyn_clock.clone(),
            rng: rng.clone(),
        }));
        let connections = Arc::new(Connections::new(connections::Parts {
            store: store.clone(),
            journal: journal.clone(),
            keys: keys.clone(),
            authorities: authority.clone(),
            snapshot: snapshot.clone(),
            clock: dyn_clock.clone(),
            rng: rng.clone(),
        }));
        let notify = Arc::new(Notify::new(
            &config.notify,
            notify::Parts {
                store: store.clone(),
                journal: journal.clone(),
                keys: keys.clone(),
                outbound: outbound.clone(),
                appointments: appointments.clone(),
                clock: dyn_clock.clone(),
                rng: rng.clone(),
            },
        ));
        let approvals = Arc::new(Approvals::new(approvals::Parts {
            store: store.clone(),
            journal: journal.clone(),
            keys: keys.clone(),
            herald: notify.clone(),
            terms: config.approvals.terms,
            public_url: config.public_url.as_str().into(),
            node: "test".into(),
            clock: dyn_clock.clone(),
            rng: rng.clone(),
        }));
        let public_url = url::Url::parse(config.public_url.as_str()).unwrap();
        let passkeys = Passkeys::new(
            &public_url,
            passkeys::Parts {
                store: store.clone(),
                journal: journal.clone(),
                keys: keys.clone(),
                clock: dyn_clock.clone(),
                rng: rng.clone(),
            },
        );
        let feed = Feed::load(feed::Sources {
            store: store.clone(),
            journal: journal.clone(),
            servers: config.servers.clone(),
            toolboxes: config.toolboxes.iter().cloned().map(Arc::new).collect(),
            environment: config.environment.clone(),
            bundle,
            appointments: appointments.clone(),
            personal_keys: config.access_keys,
            sample: None,
            snapshot: snapshot.clone(),
            signing: signing.clone(),
            ended: ended.clone(),
            fresh: fresh.clone(),
            access_keys: access_keys.clone(),
            approvals: approvals.clone(),
            connections: connections.clone(),
            upstreams: upstreams.clone(),
            keys: keys.clone(),
            clock: dyn_clock.clone(),
            rng: rng.clone(),
            random: system::random(),
        })
        .await
        .unwrap();
        let reaching =
            Reaching { outbound: outbound.clone(), keys: providers.keys().clone(), clock: dyn_clock.clone() };
        let app = Arc::new(App {
            authority,
            approvals,
            telemetry,
            sinks: Vec::new(),
            notify,
            labels: Arc::new(SessionLabels::new(store.clone(), dyn_clock.clone())),
            quotas: Arc::new(Quotas::new(store.clone(), "test".into(), dyn_clock.clone(), &*rng)),
            passkeys,
            connections,
            externals: Arc::new(Externals::new(&config, &appointments, &reaching, &store)),
            workloads: Workloads::new(&config, reaching),
            providers,
            node: "test".into(),
            refusals: Refusals::new(journal.clone(), dyn_clock.clone()),
            journal,
            origins: Arc::new(Origins::new(&url::Url::parse(ISSUER).unwrap(), config.listen, [])),
            limits: Limits::new(&config, &dyn_clock),
            passwords: Passwords::new(2, &*rng),
            assertion_keys: AssertionKeys::default(),
            index_lag: Arc::new(AtomicI64::new(0)),
            inspection: Inspection::default(),
            decision_point: Arc::default(),
            clock: dyn_clock,
            store,
            signing,
            snapshot,
            ended,
            fresh,
            access_keys,
            feed,
            outbound,
            upstreams,
            appointments,
            config,
            rng,
            keys,
        });
        authorization::configured::settle(&app).await.unwrap();
        let router = Router::new()
            .merge(authorization::routes(&app))
            .merge(login::routes(&app))
            .merge(home::routes(&app))
            .merge(account::routes(&app))
            .merge(inbox::routes(&app))
            .merge(hooks::routes(&app))
            .merge(access::routes(&app))
            .fallback(home::nowhere)
            .with_state(Arc::clone(&app));
        Self { app, clock, router, dir }
    }

    /// The state alone, the house gone.
    pub fn into_app(self) -> Arc<App> {
        self.app
    }

    /// The lines of the journal so far.
    pub fn journal(&self) -> Vec<Value> {
        let mut files: Vec<_> = std::fs::read_dir(self.dir.path().join("journal/test"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .collect();
        files.sort();
        let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The kinds of events in the journal so far, without its own and what a start brings.
    pub fn events(&self) -> Vec<String> {
        let kinds = self.journal().into_iter().filter_map(|line| line["event"].as_str().map(str::to_owned));
        kinds
            .filter(|kind| !["checkpoint", "key.rotated"].contains(&&**kind) && !kind.starts_with("journal."))
            .collect()
    }

    /// Every byte of the database as text, to look for what must not be in it.
    pub fn database(&self) -> String {
        let files = ["portcullis.db", "portcullis.db-wal", "portcullis.sqlite", "portcullis.sqlite-wal"];
        let read = |file: &str| std::fs::read(self.dir.path().join(file)).unwrap_or_default();
        let all: Vec<u8> = files.into_iter().flat_map(read).collect();
        assert!(!all.is_empty(), "the database is in one of {files:?}");
        String::from_utf8_lossy(&all).into_owned()
    }

    pub async fn person(&self, name: &str) -> Person {
        self.person_with(name, None, &[]).await
    }

    pub async fn admin(&self, name: &str) -> Person {
        self.person_with(name, Some(self.app.clock.now()), &[]).await
    }

    pub async fn person_with(&self, name: &str, admin_at: Option<Timestamp>, groups: &[&str]) -> Person {
        // One hash for all: it is slow on purpose.
        static HASH: OnceLock<Secret> = OnceLock::new();
        let hash = HASH.get_or_init(|| password::hash(&Secret::new(PASSWORD.into()), &SeededRng::new(1)));
        let new = NewPerson {
            id: PersonId::random(&*self.app.rng),
            name: name.into(),
            display_name: name.into(),
            email: None,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            password_hash: Some(hash.clone()),
            admin_at,
        };
        self.app.store.create_person(&new, self.app.clock.now()).await.unwrap()
    }

    /// A browser that nobody has used yet.
    pub fn browser(&self) -> Browser<'_> {
        Browser { house: self, cookie: None, address: IpAddr::V4(Ipv4Addr::LOCALHOST), site: None }
    }

    /// A browser in which `name` has signed in.
    pub async fn signed_in(&self, name: &str) -> Browser<'_> {
        let mut browser = self.browser();
        let answer = browser.sign_in(name, PASSWORD, "/").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        browser
    }

    /// Registers a client and gives its identifier.
    pub async fn register(&self, body: Value) -> Value {
        let answer = self.post_json("/oauth/register", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()
    }

    /// A public client with these redirect URIs that may refresh.
    pub async fn public_client(&self, redirect_uris: &[&str]) -> String {
        let answer = self
            .register(serde_json::json!({
                "client_name": "Test client",
                "redirect_uris": redirect_uris,
                "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code", "refresh_token"],
            }))
            .await;
        answer["client_id"].as_str().unwrap().to_owned()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.browser().get(path).await
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// A form of a program: no cookie, no origin.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(program_form(path).body(Body::from(encode(form))).unwrap()).await
    }

    pub async fn post_basic(&self, path: &str, id: &str, secret: &str, form: &[(&str, &str)]) -> Answer {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        let request = program_form(path).header(header::AUTHORIZATION, format!("Basic {basic}"));
        self.send(request.body(Body::from(encode(form))).unwrap()).await
    }

    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        let peer: SocketAddr = (Ipv4Addr::LOCALHOST, 40_000).into();
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        request.headers_mut().entry(header::HOST).or_insert_with(|| "127.0.0.1:7878".parse().unwrap());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// The whole way of `client` to a code, in a browser that is signed in.
    pub async fn code(&self, browser: &Browser<'_>, client: &str, redirect_uri: &str) -> String {
        let page = browser.get(&authorize(client, redirect_uri, &[])).await;
        let answer = browser.approve(&page).await;
        answer.location_parameter("code").unwrap_or_else(|| panic!("no code: {answer:?}"))
    }

    pub async fn redeem(&self, client: &str, redirect_uri: &str, code: &str) -> Answer {
        self.post(
            "/oauth/token",
            &[
                ("grant_type", "authorization_code"),
                ("client_id", client),
                ("code", code),
                ("redirect_uri", redirect_uri),
                ("code_verifier", VERIFIER),
                ("resource", SAMPLE),
            ],
        )
        .await
    }

    pub async fn refresh(&self, client: &str, token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
        self.post("/oauth/token", &form).await
    }

    /// Signed in, consented, redeemed: the answer of the token endpoint.
    pub async fn tokens(&self, browser: &Browser<'_>, client: &str, redirect_uri: &str) -> Value {
        let code = self.code(browser, client, redirect_uri).await;
        let answer = self.redeem(client, redirect_uri, &code).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }
}

impl Browser<'_> {
    /// The same browser at another address.
    pub fn at(mut self, address: &str) -> Self {
        self.address = address.parse().unwrap();
        self
    }

    /// What the browser says of where its navigations come from.
    pub fn coming_from(mut self, site: Option<&'static str>) -> Self {
        self.site = site;
        self
    }

    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    pub fn with_cookie(mut self, cookie: Option<&str>) -> Self {
        self.cookie = cookie.map(str::to_owned);
        self
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let peer: SocketAddr = (self.address, 40_000).into();
        request.extension(ConnectInfo(peer))
    }

    pub async fn get(&self, path: &str) -> Answer {
        let mut request = self.request(Method::GET, path);
        if let Some(site) = self.site {
            request = request.header("sec-fetch-site", site);
        }
        self.house.send(request.body(Body::empty()).unwrap()).await
    }

    /// A form of one of our pages.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let own = [("origin", ISSUER), ("sec-fetch-site", "same-origin")];
        self.post_from(&own, path, form).await
    }

    /// A form with these headers.
    pub async fn post_from(&self, headers: &[(&str, &str)], path: &str, form: &[(&str, &str)]) -> Answer {
        let mut request =
            self.request(Method::POST, path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.house.send(request.body(Body::from(encode(form))).unwrap()).await
    }

    pub async fn sign_in(&mut self, name: &str, password: &str, return_to: &str) -> Answer {
        let form = [("name", name), ("password", password), ("return_to", return_to)];
        let answer = self.post("/login", &form).await;
        self.keep_cookie(&answer);
        answer
    }

    pub fn keep_cookie(&mut self, answer: &Answer) {
        if let Some(cookie) = answer.headers.get(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
    }

    pub async fn approve(&self, page: &Answer) -> Answer {
        self.decide(page, "approve", &[]).await
    }

    /// Answers a consent page.
    pub async fn decide(&self, page: &Answer, decision: &str, more: &[(&str, &str)]) -> Answer {
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let (transaction, token) = (page.field("transaction"), page.field("form_token"));
        let mut form = vec![("transaction", &*transaction), ("form_token", &*token), ("decision", decision)];
        form.extend(more);
        self.post("/oauth/authorize", &form).await
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    /// A parameter of the address that the browser is sent to.
    pub fn location_parameter(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(self.location()).ok()?;
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The value of a hidden field.
    pub fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let at = self.text.find(&start).unwrap_or_else(|| panic!("no field {name} in {}", self.text)) + start.len();
        self.text[at..].split('"').next().unwrap().to_owned()
    }

    /// The named error of a JSON answer.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// The address a client sends a person to, with parameters replaced, added or (when empty) left out.
pub fn authorize(client: &str, redirect_uri: &str, changes: &[(&str, &str)]) -> String {
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", SAMPLE),
        ("scope", "mcp:read mcp:call"),
        ("state", "st4te"),
    ];
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        if !value.is_empty() {
            pairs.push((name, value));
        }
    }
    format!("/oauth/authorize?{}", encode(&pairs))
}

pub fn encode(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn program_form(path: &str) -> http::request::Builder {
    Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
}

const SECRETS: [(&str, &str); 5] = [
    ("REPORT_SECRET", "s3cret-of-the-report"),
    ("HOOK_KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("DECISION_KEY", "whsec_dGhlIHNlY3JldCBvZiB0aGUgZGVjaXNpb25z"),
    ("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5"),
    ("SLACK_BOT_TOKEN", "xoxb-secret-of-the-bot"),
];

/// The servers behind every house; an upstream is never asked here.
const SERVERS: &str = "
servers:
  - { name: sample, url: 'http://127.0.0.1:9/mcp', description: A few tools to try the gateway with. }
  - { name: other, url: 'http://127.0.0.1:9/other' }
  - { name: vault, url: 'http://127.0.0.1:9/vault', access: [group:ops] }
";
