//! A small world: servers, people, and an authorization server that does what it is told.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue};
use portcullis_audit::Actor;
use portcullis_base::{Clock, Holder, ManualClock, PersonId, Secret, SeededRng, ServerName, Timestamp, token};
use portcullis_oauth::upstream::challenge::Wanted;
use portcullis_policy::Bundle;
use portcullis_store::{Connection, DatabaseSettings, NewPerson, PersonKind, Store};
use tempfile::TempDir;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::{
    authority::{Held, MintError, Minted, RefreshError, Revocation, Whom},
    config::{Allow, Credential, HeaderCredential, Holders, KeySource, OAuth, ServerAudit, ToolList},
    connections::{Authorities, Connections, Parts, Presented},
    feed::Follower,
    journal::{self, Durability, Journal},
    keys::Keys,
    outbound::Reach,
    snapshot::{Server, Snapshot},
    upstream::{Location, UpstreamUrl},
};

pub(crate) const START: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// What the authorization server does with the next request; without a word it answers.
pub(crate) enum Act {
    /// It fails before it does anything.
    Fail,
    /// It does not know us.
    Forget,
    /// It does its work, and the answer is lost.
    Lose,
    /// It waits for [`Script::let_go`], then does its work.
    Wait,
    /// It does its work, and waits with the answer.
    Dawdle,
}

/// One grant, as the authorization server knows it.
struct Grant {
    /// How often it was renewed.
    turn: u32,
    /// When it was last renewed: the token before is good for a little longer.
    turned_at: Timestamp,
}

/// A scripted authorization server.
pub(crate) struct Script {
    clock: Arc<ManualClock>,
    grants: Mutex<HashMap<String, Grant>>,
    acts: Mutex<VecDeque<Act>>,
    pub rotates: bool,
    pub asked: AtomicUsize,
    pub minted: AtomicUsize,
    pub begun: Notify,
    pub go: Notify,
    pub revoked: Mutex<Vec<String>>,
    pub heard: Mutex<Vec<Option<Vec<String>>>>,
    pub revocation: Mutex<Revocation>,
}

/// How long the token before the last is good: an answer may have been lost.
const GRACE: Duration = Duration::from_secs(30);

impl Script {
    pub(crate) fn new(clock: Arc<ManualClock>, rotates: bool) -> Arc<Self> {
        Arc::new(Self {
            clock,
            grants: Mutex::default(),
            acts: Mutex::default(),
            rotates,
            asked: AtomicUsize::new(0),
            minted: AtomicUsize::new(0),
            begun: Notify::new(),
            go: Notify::new(),
            revoked: Mutex::default(),
            heard: Mutex::default(),
            revocation: Mutex::new(Revocation::Done),
        })
    }

    pub(crate) fn next(&self, acts: impl IntoIterator<Item = Act>) {
        self.acts.lock().unwrap().extend(acts);
    }

    pub(crate) fn forget(&self) {
        self.acts.lock().unwrap().clear();
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Ends a grant, as the person can there.
    pub(crate) fn end(&self, grant: &str) {
        self.grants.lock().unwrap().remove(grant).unwrap();
    }

    /// A person signs in there for `server`.
    pub(crate) fn grant(&self, server: &ServerName, account: &str, scopes: &[&str]) -> Held {
        let name = format!("{server}.{account}.{}", self.grants.lock().unwrap().len());
        self.grants.lock().unwrap().insert(name.clone(), Grant { turn: 0, turned_at: self.clock.now() });
        let text = serde_json::json!({
            "server": server, "client": {"issuer": "https://as.example", "client_id": "us", "method": "none", "way": "configured"},
            "resource": "https://mcp.example/", "scopes": scopes, "account": account,
            "access": format!("access-{name}-0"), "refresh": format!("{name}/0"),
            "expires_at": self.clock.now().plus(HOUR), "token_endpoint": "https://as.example/token",
            "revocation_endpoint": null,
        });
        Held::from_sealed_text(&Secret::new(text.to_string())).unwrap()
    }

    fn work(&self, held: &Held) -> Result<Held, RefreshError> {
        let over = || RefreshError::Ended("invalid_grant".into());
        let refresh = held.refresh.as_ref().unwrap().reveal().to_owned();
        let (name, turn) = refresh.split_once('/').unwrap();
        let turn: u32 = turn.parse().unwrap();
        let mut grants = self.grants.lock().unwrap();
        let now = self.clock.now();
        let grant = grants.get_mut(name).ok_or_else(over)?;
        if !self.rotates {
            grant.turn += 1;
        } else if turn == grant.turn {
            *grant = Grant { turn: turn + 1, turned_at: now };
        } else if turn + 1 != grant.turn || now.since(grant.turned_at) > GRACE {
            // Presented again: somebody has stolen it, for all it knows.
            grants.remove(name);
            return Err(over());
        }
        let turn = grants[name].turn;
        let refresh = if self.rotates { format!("{name}/{turn}") } else { refresh.clone() };
        let mut new = held.clone();
        new.access = Secret::new(format!("access-{name}-{turn}"));
        new.refresh = Some(Secret::new(refresh));
        new.expires_at = Some(now.plus(HOUR));
        Ok(new)
    }
}

impl Authorities for Script {
    fn refresh<'a>(&'a self, _: &'a Server, held: &'a Held) -> BoxFuture<'a, Result<Held, RefreshError>> {
        async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let act = self.acts.lock().unwrap().pop_front();
            self.begun.notify_one();
            match act {
                Some(Act::Fail) => Err(RefreshError::Unavailable("500".into())),
                Some(Act::Forget) => Err(RefreshError::Forgotten("invalid_client".into())),
                Some(Act::Lose) => self.work(held).and(Err(RefreshError::Unavailable("cut off".into()))),
                Some(Act::Wait) => {
                    self.go.notified().await;
                    self.work(held)
                }
                Some(Act::Dawdle) => {
                    let done = self.work(held);
                    self.go.notified().await;
                    done
                }
                None => {
                    // Others get a chance to come between.
                    tokio::task::yield_now().await;
                    self.work(held)
                }
            }
        }
        .boxed()
    }

    fn mint<'a>(&'a self, server: &'a Server, whom: &'a Whom) -> BoxFuture<'a, Result<Minted, MintError>> {
        async move {
            let turn = self.minted.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if matches!(self.acts.lock().unwrap().pop_front(), Some(Act::Fail)) {
                return Err(MintError::Unavailable("500".into()));
            }
            Ok(Minted {
                access: Secret::new(format!("minted-{}-{}-{turn}", server.name, whom.person)),
                expires_at: Some(self.clock.now().plus(HOUR)),
                scopes: Vec::new(),
            })
        }
        .boxed()
    }

    fn heard(&self, _: &Server, wanted: &Wanted) {
        self.heard.lock().unwrap().push(wanted.scope.clone());
    }

    fn assertion(&self, server: &Server, whom: &Whom) -> Result<(HeaderValue, Timestamp), MintError> {
        let value = format!("assertion-{}-{}", server.name, whom.person);
        Ok((HeaderValue::from_str(&value).unwrap(), self.clock.now().plus(Duration::from_mins(1))))
    }

    fn revoke<'a>(&'a self, held: &'a Held) -> BoxFuture<'a, Revocation> {
        async move {
            self.revoked.lock().unwrap().push(held.refresh.as_ref().unwrap().reveal().to_owned());
            self.revocation.lock().unwrap().clone()
        }
        .boxed()
    }
}

/// One node and what it stands on.
pub(crate) struct Stage {
    pub dir: Arc<TempDir>,
    pub clock: Arc<ManualClock>,
    pub script: Arc<Script>,
    pub store: Store,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub connections: Arc<Connections>,
    pub server: Arc<Server>,
}

impl Stage {
    /// A node with one server that wants OAuth, and one person, Ada.
    pub(crate) async fn new() -> Self {
        Self::with(true).await
    }

    pub(crate) async fn with(rotates: bool) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let script = Script::new(clock.clone(), rotates);
        let stage = Self::node(Arc::new(tempfile::tempdir().unwrap()), clock, script, 1).await;
        stage.add_person("ada").await;
        stage
    }

    /// Another node on the same database.
    pub(crate) fn beside(&self, node: u64) -> impl Future<Output = Self> + Send + use<> {
        Self::node(self.dir.clone(), self.clock.clone(), self.script.clone(), node)
    }

    async fn node(dir: Arc<TempDir>, clock: Arc<ManualClock>, script: Arc<Script>, node: u64) -> Self {
        let store = store(dir.path()).await;
        let server = Arc::new(server("mail", Credential::OAuth(OAuth::default())));
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot([server.clone()])));
        let connections = Arc::new(Connections::new(Parts {
            store: store.clone(),
            journal: journal(dir.path(), &clock, node),
            keys: Arc::new(Keys::from_root(&Zeroizing::new([7; 32]))),
            authorities: script.clone(),
            snapshot: snapshot.clone(),
            clock: clock.clone(),
            rng: Arc::new(SeededRng::new(node)),
        }));
        Self { dir, clock, script, store, snapshot, connections, server }
    }

    /// The servers are these from now on; the first is the one that is called.
    pub(crate) fn set_up(&mut self, servers: &[Server]) {
        let servers: Vec<_> = servers.iter().map(copy).map(Arc::new).collect();
        self.server = servers[0].clone();
        self.snapshot.store(Arc::new(snapshot(servers)));
    }

    pub(crate) async fn add_person(&self, name: &str) -> PersonId {
        let new = NewPerson {
            id: person(name),
            name: name.into(),
            display_name: name.into(),
            email: None,
            groups: Vec::new(),
            password_hash: None,
            admin_at: None,
        };
        self.store.create_person(&new, self.clock.now()).await.unwrap().id
    }

    /// Connects somebody at the server.
    pub(crate) async fn connect(&self, name: &str) {
        self.connect_for(&["read"], name).await;
    }

    pub(crate) async fn connect_for(&self, scopes: &[&str], name: &str) {
        let held = self.script.grant(&self.server.name, name, scopes);
        self.connections.connect(Actor::default(), &holder(name), &self.server, &held).await.unwrap();
    }

    pub(crate) async fn call(&self, name: &str) -> Result<String, crate::connections::Lack> {
        let presented = self.connections.credential(&self.server, &whom(name)).await?;
        Ok(shown(&presented))
    }

    pub(crate) async fn row(&self, name: &str) -> Option<Connection> {
        self.store.connection(&holder(name), &self.server.name).await.unwrap()
    }

    /// Takes in what changed since the beginning.
    pub(crate) async fn catch_up(&self) {
        let changes = self.store.changes_since(0).await.unwrap();
        let ids: HashSet<_> = changes
            .into_iter()
            .filter(|change| change.kind == portcullis_store::ChangeKind::Connection)
            .map(|change| portcullis_base::ConnectionId::new(change.key))
            .collect();
        self.connections.changed(&ids.into_iter().collect::<Vec<_>>()).await.unwrap();
    }

    /// What stands in all journals, as text.
    pub(crate) fn journal(&self) -> String {
        let mut text = String::new();
        let mut folders = vec![self.dir.path().join("journal")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(read) = std::fs::read_to_string(&path) {
                    text.push_str(&read);
                }
            }
        }
        text
    }
}

async fn store(dir: &Path) -> Store {
    Store::open(&DatabaseSettings::Sqlite(dir.join("db")), START).await.unwrap()
}

fn journal(dir: &Path, clock: &Arc<ManualClock>, node: u64) -> Journal {
    let settings = journal::Settings {
        dir: &dir.join("journal"),
        node: &format!("n{node}-{}", token::<4>(&crate::system::SystemRng::new()).replace(['_', '-'], "x")),
        seed: &[5; 32],
        durability: Durability::Process,
        limits: journal::Limits::default(),
    };
    Journal::open(&settings, Arc::<ManualClock>::clone(clock)).unwrap()
}

pub(crate) fn snapshot(servers: impl IntoIterator<Item = Arc<Server>>) -> Snapshot {
    Snapshot {
        servers: servers.into_iter().map(|server| (server.name.clone(), server)).collect(),
        toolboxes: HashMap::new(),
        people: HashMap::new(),
        service_accounts: 0,
        bundle: Arc::new(Bundle::default()),
        revision: 0,
    }
}

pub(crate) fn server(name: &str, credential: Credential) -> Server {
    server_at("https://mcp.example/mcp", name, credential)
}

pub(crate) fn server_at(url: &str, name: &str, credential: Credential) -> Server {
    let url = UpstreamUrl::parse(url).unwrap();
    Server {
        name: ServerName::parse(name).unwrap(),
        location: Location::Url { url, reach: Reach::Global, egress: Arc::default() },
        limits: crate::upstream::Limits::default(),
        access: portcullis_policy::Access::open(),
        description: None,
        credential: Arc::new(credential),
        request_headers: Arc::default(),
        allow: Allow::REMOTE,
        risk: Arc::default(),
        audit: ServerAudit::default(),
        tools: ToolList::Personal,
    }
}

fn copy(server: &Server) -> Server {
    server_at(server.url().unwrap().as_str(), server.name.as_str(), Credential::clone(&server.credential))
}

pub(crate) fn keyed(key: KeySource) -> Credential {
    Credential::Header(HeaderCredential {
        header: http::header::AUTHORIZATION,
        prefix: "Bearer ".into(),
        key,
        label: "API key".into(),
        help: None,
        pattern: None,
        options: Vec::new(),
    })
}

pub(crate) fn shared() -> Credential {
    Credential::OAuth(OAuth { holders: Holders::Shared, ..OAuth::default() })
}

pub(crate) fn person(name: &str) -> PersonId {
    PersonId::new(format!("usr_{name}"))
}

pub(crate) fn holder(name: &str) -> Holder {
    Holder::Person(person(name))
}

pub(crate) fn whom(name: &str) -> Whom {
    Whom { person: person(name), kind: PersonKind::Person, name: name.into(), groups: Arc::default() }
}

/// The value of the header that a request would carry.
pub(crate) fn shown(presented: &Presented) -> String {
    let mut headers = HeaderMap::new();
    presented.credential.apply(&mut headers);
    headers.values().next().map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}
