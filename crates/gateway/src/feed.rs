//! Keeping up: what other nodes, and commands on this machine, change in the database arrives here within a quarter of a
//! second, and what this node must not go on without is known to be stale.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use portcullis_base::{ApprovalId, Clock, ConnectionId, GrantId, Rng, ServerName};
use portcullis_oauth::jwks::KeySet;
use portcullis_policy::{Access, Bundle};
use portcullis_store::{Change, ChangeKind, PersonKind, Store, StoreError};
use ring::rand::SystemRandom;

use crate::{
    access_keys::AccessKeys,
    approvals::Approvals,
    config,
    ended::Ended,
    fresh::{Fresh, SignIn},
    journal::Journal,
    key_ring,
    keys::Keys,
    roles::Appointments,
    signing::{self, Loaded},
    snapshot::{Person, Server, Snapshot},
    toolbox::Toolbox,
    upstream::{InProcess, Limits, Location, Upstreams},
};

/// How often the change feed is read.
pub const POLL: Duration = Duration::from_millis(250);
/// After this long without the feed nothing is known of revocations any more, and calls are refused. spec: SEC-76
const PATIENCE: Duration = Duration::from_secs(30);

/// The name of the sample server.
pub const SAMPLE: &str = "sample";

/// What the feed keeps fresh, and from what.
pub struct Feed {
    sources: Sources,
    seen: AtomicI64,
    heard: Mutex<Instant>,
    /// Held while something is taken in: what was read earlier must not be stored over what was read later.
    turn: tokio::sync::Mutex<()>,
}

/// Who remembers connections, and must hear of every change.
pub trait Follower: Send + Sync {
    /// These have changed, or are gone.
    fn changed<'a>(&'a self, ids: &'a [ConnectionId]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Changes may have been missed: nothing that is remembered is to be relied on.
    fn forget_all(&self);
}

/// Where the snapshot comes from.
pub struct Sources {
    /// The database.
    pub store: Store,
    /// The record.
    pub journal: Journal,
    /// Servers of the settings file.
    pub servers: Vec<config::Server>,
    /// Endpoints over several servers.
    pub toolboxes: Vec<Arc<Toolbox>>,
    /// The rules.
    pub bundle: Arc<Bundle>,
    /// Whether personal access keys are good.
    pub personal_keys: config::AccessKeys,
    /// What references to secrets in entries of the database are followed with.
    pub environment: config::Environment,
    /// Which groups have which role.
    pub appointments: Appointments,
    /// The sample server and who may use it, unless it was switched off.
    pub sample: Option<(InProcess, Access)>,
    /// What is kept fresh: servers, people, rules.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What is kept fresh: signing keys.
    pub signing: Arc<ArcSwap<KeySet>>,
    /// What is kept fresh: what was ended.
    pub ended: Arc<Ended>,
    /// What is kept fresh: sign-ins that a rule asked for.
    pub fresh: Arc<Fresh>,
    /// What is kept fresh: personal access keys.
    pub access_keys: Arc<AccessKeys>,
    /// Who waits for approvals, and what was approved ahead.
    pub approvals: Arc<Approvals>,
    /// What is kept fresh: credentials that are in memory.
    pub connections: Arc<dyn Follower>,
    /// Connections of servers that are gone are closed.
    pub upstreams: Arc<Upstreams>,
    /// Opens signing keys.
    pub keys: Arc<Keys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Randomness for signatures.
    pub random: SystemRandom,
}

/// Why the state cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signing keys.
    #[error(transparent)]
    Signing(#[from] signing::SigningError),
}

impl Feed {
    /// Loads everything once.
    pub async fn load(sources: Sources) -> Result<Self, FeedError> {
        // Read first: what changes while the rest is loaded is then seen again, not missed.
        let revision = sources.store.revision().await?;
        let feed = Self {
            sources,
            seen: AtomicI64::new(revision),
            heard: Mutex::new(Instant::now()),
            turn: tokio::sync::Mutex::default(),
        };
        feed.load_signing_keys().await?;
        feed.load_snapshot(revision).await?;
        let now = feed.sources.clock.now();
        feed.sources.ended.end_grants(feed.sources.store.revoked_grants_alive(now).await?, now);
        feed.load_closed_sessions().await?;
        feed.load_access_keys().await?;
        feed.load_fresh_sign_ins().await?;
        feed.load_standing_grants().await?;
        Ok(feed)
    }

    /// Whether revocations are still being heard of.
    pub fn is_fresh(&self) -> bool {
        self.heard.lock().expect("no holder of this lock panics").elapsed() < PATIENCE
    }

    /// Takes in what has changed since the last time.
    pub async fn catch_up(&self) -> Result<(), FeedError> {
        let _turn = self.turn.lock().await;
        self.sources.keys.turn(self.sources.clock.now());
        let changes = self.sources.store.changes_since(self.seen.load(Ordering::Acquire)).await?;
        if !self.is_fresh() {
            // What was pruned meanwhile is not told any more.
            self.sources.connections.forget_all();
        }
        *self.heard.lock().expect("no holder of this lock panics") = Instant::now();
        let Some(last) = changes.last().map(|change| change.revision) else {
            // Calls look at the time themselves; this is for what goes on for long and looks when something has changed.
            return if self.has_ended_right() {
                self.load_snapshot(self.seen.load(Ordering::Acquire)).await
            } else {
                Ok(())
            };
        };
        let any = |kinds: &[ChangeKind]| changes.iter().any(|change| kinds.contains(&change.kind));
        let revoked = revoked(&changes);
        self.sources.access_keys.forget(&revoked);
        self.sources.ended.end_grants(revoked, self.sources.clock.now());
        self.sources.connections.changed(&connections(&changes)).await?;
        if any(&[ChangeKind::SessionEnded]) {
            self.load_closed_sessions().await?;
        }
        if any(&[ChangeKind::Person, ChangeKind::Server, ChangeKind::AccessGrant]) || self.has_ended_right() {
            self.load_snapshot(last).await?;
        }
        if any(&[ChangeKind::AccessKey]) {
            self.load_access_keys().await?;
        }
        if any(&[ChangeKind::GrantFresh]) {
            self.load_fresh_sign_ins().await?;
        }
        if any(&[ChangeKind::KeyRing]) {
            key_ring::reload(&self.sources.store, &self.sources.keys, self.sources.clock.now()).await?;
        }
        if any(&[ChangeKind::SigningKey]) {
            self.load_signing_keys().await?;
        }
        if any(&[ChangeKind::StandingGrant]) {
            self.load_standing_grants().await?;
        }
        // Last: whoever waits may go on, and must find all the rest as it is by now.
        self.sources.approvals.changed(&approvals(&changes));
        self.seen.store(last, Ordering::Release);
        Ok(())
    }

    /// Loads the signing keys, and makes one if it is time.
    pub async fn load_signing_keys(&self) -> Result<(), FeedError> {
        let Sources { store, keys, rng, random, clock, .. } = &self.sources;
        let Loaded { set, made } = signing::load(store, keys, &**rng, random, clock.now()).await?;
        self.sources.signing.store(Arc::new(set));
        if let Some(event) = made
            && let Err(error) = self.sources.journal.append(event).await
        {
            tracing::error!(%error, "that a signing key was made could not be written");
        }
        Ok(())
    }

    async fn load_closed_sessions(&self) -> Result<(), FeedError> {
        for (session, until) in self.sources.store.ended_mcp_sessions(self.sources.clock.now()).await? {
            self.sources.ended.end_session(session, until);
        }
        Ok(())
    }

    /// Loads the access keys. While they are switched off none is held, so none is good. spec: RS-35
    pub async fn load_access_keys(&self) -> Result<(), FeedError> {
        let Sources { store, access_keys, personal_keys, clock, .. } = &self.sources;
        if personal_keys.enabled {
            access_keys.hold(store.access_keys_alive(clock.now()).await?);
        }
        Ok(())
    }

    async fn load_fresh_sign_ins(&self) -> Result<(), FeedError> {
        let Sources { store, fresh, clock, .. } = &self.sources;
        for grant in store.fresh_grants(clock.now()).await? {
            fresh.note(grant.grant, SignIn { at: grant.authenticated_at, acr: grant.acr.map(Into::into) });
        }
        Ok(())
    }

    async fn load_standing_grants(&self) -> Result<(), FeedError> {
        Ok(self.sources.approvals.load_standing().await?)
    }

    async fn load_snapshot(&self, revision: i64) -> Result<(), FeedError> {
        let sources = &self.sources;
        let mut snapshot = Snapshot {
            servers: HashMap::new(),
            toolboxes: HashMap::new(),
            people: HashMap::new(),
            service_accounts: 0,
            bundle: sources.bundle.clone(),
            revision,
        };
        if let (Some((dial, access)), Ok(name)) = (&sources.sample, ServerName::parse(SAMPLE)) {
            let sample = Server {
                name: name.clone(),
                location: Location::InProcess(dial.clone()),
                limits: Limits::default(),
                access: access.clone(),
                description: Some(
                    "The sample server: a notebook and a make-believe company that everyone shares".into(),
                ),
                credential: Arc::new(config::Credential::None),
                request_headers: Arc::default(),
                tools: config::ToolList::Public,
                allow: config::Allow::LOCAL,
                risk: Arc::default(),
                audit: config::ServerAudit::default(),
            };
            snapshot.servers.insert(name, Arc::new(sample));
        }
        for row in sources.store.servers().await? {
            let entry = config::Entry::from_json(&row.entry_json).map_err(|error| error.to_string());
            match entry.and_then(|entry| entry.server(&sources.environment).map_err(|error| error.to_string())) {
                Ok(entry) => insert(&mut snapshot, &entry),
                Err(error) => {
                    tracing::error!(server.name = %row.name, %error, "an entry in the database is not usable");
                }
            }
        }
        // The file has the last word: what stands there is not changed elsewhere.
        for entry in &sources.servers {
            insert(&mut snapshot, entry);
        }
        self.open_toolboxes(&mut snapshot);
        for grant in sources.store.access_grants(sources.clock.now()).await? {
            snapshot.give(&grant);
        }
        for person in sources.store.people().await? {
            let groups: Arc<[Arc<str>]> = person.groups.iter().map(|group| group.as_str().into()).collect();
            let roles = sources.appointments.of_person(&person);
            let name = person.name.as_str().into();
            let shut_out = !person.is_active() || !sources.appointments.admit(&person);
            let email = person.email.map(Into::into);
            let known = Person { name, email, groups, roles, shut_out, kind: person.kind };
            snapshot.service_accounts += usize::from(known.kind == PersonKind::Service && !known.shut_out);
            snapshot.people.insert(person.id, Arc::new(known));
        }
        let out = snapshot.people.iter().filter(|(_, person)| person.shut_out).map(|(id, _)| id.clone());
        sources.ended.keep_out(out.collect());
        sources.upstreams.retain(|name| snapshot.servers.get(name).map(|server| (&server.location, server.limits)));
        sources.snapshot.store(Arc::new(snapshot));
        Ok(())
    }
}

impl Feed {
    /// The endpoints over several servers: those of the settings, and the one over all.
    fn open_toolboxes(&self, snapshot: &mut Snapshot) {
        for toolbox in &self.sources.toolboxes {
            snapshot.toolboxes.insert(toolbox.name.clone(), toolbox.clone());
        }
        // spec: AG-6, AG-12: in the order of the file, then of the alphabet, so that nothing moves what is there.
        let mut names: Vec<_> = self.sources.servers.iter().map(|entry| entry.name.clone()).collect();
        let mut others: Vec<_> = snapshot.servers.keys().filter(|name| !names.contains(name)).cloned().collect();
        others.sort_unstable();
        names.extend(others);
        let all = Toolbox::all(names);
        snapshot.toolboxes.insert(all.name.clone(), all);
        for name in snapshot.toolboxes.keys().filter(|name| snapshot.servers.contains_key(*name)) {
            tracing::error!(toolbox.name = %name, "a server has the name of a toolbox, and its place");
        }
    }
}

impl Feed {
    /// Whether the time of a right is over that is still in the snapshot.
    fn has_ended_right(&self) -> bool {
        let now = self.sources.clock.now();
        self.sources.snapshot.load().rights().any(|(_, right)| right.ends_at <= now)
    }
}

fn insert(snapshot: &mut Snapshot, entry: &config::Server) {
    match Server::of(entry) {
        Ok(server) => drop(snapshot.servers.insert(entry.name.clone(), Arc::new(server))),
        Err(error) => tracing::error!(server.name = %entry.name, %error, "an entry is not usable"),
    }
}

fn connections(changes: &[Change]) -> Vec<ConnectionId> {
    let changed = changes.iter().filter(|change| change.kind == ChangeKind::Connection);
    let mut changed: Vec<_> = changed.map(|change| ConnectionId::new(change.key.as_str())).collect();
    changed.sort_unstable();
    changed.dedup();
    changed
}

fn approvals(changes: &[Change]) -> Vec<ApprovalId> {
    let changed = changes.iter().filter(|change| change.kind == ChangeKind::Approval);
    changed.map(|change| ApprovalId::new(change.key.as_str())).collect()
}

fn revoked(changes: &[Change]) -> Vec<GrantId> {
    let revoked = changes.iter().filter(|change| change.kind == ChangeKind::GrantRevoked);
    revoked.map(|change| GrantId::new(change.key.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, poll_fn},
        task::Poll,
    };

    use portcullis_base::{ManualClock, SeededRng, Timestamp};
    use portcullis_policy::approval::Terms;
    use portcullis_store::DatabaseSettings;
    use zeroize::Zeroizing;

    use super::*;
    use crate::{
        approvals,
        journal::{self, Journal},
        outbound::Dialer,
        system,
    };

    struct Nobody;

    impl Follower for Nobody {
        fn changed<'a>(&'a self, _: &'a [ConnectionId]) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async { Ok(()) })
        }

        fn forget_all(&self) {}
    }

    async fn feed(dir: &tempfile::TempDir) -> Feed {
        let start = Timestamp::from_secs(1_800_000_000);
        let store = Store::open(&DatabaseSettings::Sqlite(dir.path().join("db")), start).await.unwrap();
        let bundle = Arc::new(Bundle::default());
        let empty = Snapshot {
            servers: HashMap::new(),
            toolboxes: HashMap::new(),
            people: HashMap::new(),
            service_accounts: 0,
            bundle: bundle.clone(),
            revision: 0,
        };
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(1));
        let (clock, snapshot) = (Arc::new(ManualClock::new(start)), Arc::new(ArcSwap::from_pointee(empty)));
        let keys = Arc::new(Keys::from_root(&Zeroizing::new([1; 32])));
        let settings = journal::Settings {
            dir: &dir.path().join("journal"),
            node: "test",
            seed: &keys.journal_seed("test"),
            durability: journal::Durability::Process,
            limits: journal::Limits::default(),
        };
        let journal = Journal::open(&settings, clock.clone()).unwrap();
        let sources = Sources {
            journal: journal.clone(),
            connections: Arc::new(Nobody),
            approvals: Arc::new(Approvals::new(approvals::Parts {
                store: store.clone(),
                journal,
                keys: keys.clone(),
                herald: Arc::new(approvals::Nobody),
                terms: Terms::default(),
                public_url: "http://127.0.0.1:7878".into(),
                node: "test".into(),
                clock: clock.clone(),
                rng: rng.clone(),
            })),
            store,
            servers: Vec::new(),
            toolboxes: Vec::new(),
            bundle,
            personal_keys: config::AccessKeys { enabled: false, longest: Duration::ZERO },
            environment: config::Environment::default(),
            appointments: Appointments::default(),
            sample: None,
            snapshot,
            signing: Arc::default(),
            ended: Arc::default(),
            fresh: Arc::default(),
            access_keys: Arc::default(),
            upstreams: Arc::new(Upstreams::new(Dialer::new([]).unwrap())),
            keys,
            clock,
            rng,
            random: system::random(),
        };
        Feed::load(sources).await.unwrap()
    }

    // spec: SEC-76
    #[tokio::test]
    async fn feed_that_is_not_heard_is_not_fresh_until_it_is_heard_again() {
        let dir = tempfile::tempdir().unwrap();
        let feed = feed(&dir).await;
        assert!(feed.is_fresh());
        *feed.heard.lock().unwrap() = Instant::now().checked_sub(PATIENCE).unwrap();
        assert!(!feed.is_fresh());
        feed.catch_up().await.unwrap();
        assert!(feed.is_fresh());
    }

    #[tokio::test]
    async fn nobody_takes_in_changes_while_somebody_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let feed = feed(&dir).await;
        let now = Timestamp::from_secs(1_800_000_001);
        let name = ServerName::parse("server").unwrap();
        let entry_json = r#"{"name":"server","url":"https://mcp.example.com/mcp"}"#.to_owned();
        let row =
            portcullis_store::ServerRow { name: name.clone(), entry_json, created_at: now, created_by: "x".into() };
        feed.sources.store.put_server(&row, now).await.unwrap();
        let known = || feed.sources.snapshot.load().servers.contains_key(&name);

        let turn = feed.turn.lock().await;
        let mut round = Box::pin(feed.catch_up());
        // SQLite answers at once: only the turn can hold this up.
        assert!(poll_fn(|cx| Poll::Ready(round.as_mut().poll(cx).is_pending())).await);
        assert!(!known(), "it could be stored over by somebody who read earlier");
        drop(turn);
        round.await.unwrap();
        assert!(known());
    }
}
