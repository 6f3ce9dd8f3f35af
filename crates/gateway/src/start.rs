//! From settings to a running gateway, and back to a quiet end.

use std::{
    collections::HashMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use portcullis_audit::{Event, Kind};
use portcullis_base::{Clock, Digest, Rng, ServerName, token};
use portcullis_policy::{Access, Bundle, RuleError, Source};
use portcullis_sample::Sample;
use portcullis_store::{Store, StoreError};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    access_keys::AccessKeys,
    app::App,
    approvals::{self, ApprovalError, Approvals},
    assertion_keys::AssertionKeys,
    authority::{self, Authority},
    authorization,
    config::{Config, Problems},
    connections::{self, Connections},
    decision_point::DecisionPoint,
    ended::Ended,
    epoch::{self, EpochError},
    exporting,
    external::Externals,
    feed::{Feed, FeedError, SAMPLE, Sources},
    fresh::Fresh,
    identity::Providers,
    indexing::Indexing,
    inspection::{Inspection, recalled},
    jobs,
    journal::{self, Journal, JournalError},
    limit::Limits,
    listener,
    notify::{self, Notify},
    operations,
    origin::Origins,
    outbound::{AddressPolicy, CertificatesError, Dialer, Outbound},
    passkeys::{self, Passkeys},
    password::Passwords,
    quotas::Quotas,
    refusals::Refusals,
    roles::Appointments,
    router,
    session_labels::SessionLabels,
    sinks::{self, SinkError, Sinks},
    snapshot::{Server, ServerError, Snapshot},
    system,
    telemetry::Telemetry,
    trusted_issuer::{Reaching, Workloads},
    unlock::{UnlockError, Unlocked, unlock},
    upstream::{InProcess, Upstreams, stdio::Host},
    witness::{self, Witness},
};

/// The administrator's one-time link is good for so long.
const INVITATION: Duration = Duration::from_hours(1);
/// Bytes in flight between the gateway and the sample server.
const PIPE: usize = 64 * 1024;

/// Why the gateway does not start. Each says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address} ({key}): {error}{advice}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The settings key.
        key: &'static str,
        /// What the system said.
        error: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// The data directory cannot be used.
    #[error("data directory {path}: {error}")]
    Data {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A rule is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Rules(Vec<RuleError>),
    /// A host in a list of private hosts is not `host:port`.
    #[error(
        "`{0}` in a `private_hosts` list is not a host with a port: write it as `host:port`, such as `mcp.internal:8443`"
    )]
    PrivateHost(String),
    /// A certificate file.
    #[error("outbound.ca_file: {0}")]
    Certificates(#[from] CertificatesError),
    /// The certificates of the decision point.
    #[error("decision_point.tls: {0}")]
    DecisionPoint(CertificatesError),
    /// The certificates of a sink.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// An entry of the settings: its certificates or headers.
    #[error("servers ({name}): {error}")]
    Server {
        /// The server.
        name: ServerName,
        /// What is wrong.
        error: ServerError,
    },
    /// What toolboxes name.
    #[error(transparent)]
    Toolboxes(Problems),
    /// The root key, and what it must open.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// How old the database is.
    #[error("epoch: {0}")]
    Epoch(#[from] EpochError),
    /// What earlier runs left behind.
    #[error("approvals: {0}")]
    Approvals(#[from] ApprovalError),
    /// State in the database.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// What a start depends on besides the settings.
pub struct Surroundings {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Who may use the sample server, if it stands behind the gate.
    pub sample: Option<Access>,
    /// What starts servers that are commands: this very binary, or another that calls `portcullis_sandbox::launch`.
    pub launcher: PathBuf,
}

impl Surroundings {
    /// The real clock and real randomness.
    pub fn real(sample: bool) -> Self {
        Self {
            clock: Arc::new(system::SystemClock),
            rng: Arc::new(system::SystemRng::new()),
            sample: sample.then(Access::default),
            launcher: Host::THIS.into(),
        }
    }
}

/// A gateway that runs.
pub struct Running {
    /// What its doors share.
    pub app: Arc<App>,
    /// With which the administrator is created; only while there is none.
    pub invitation: Option<String>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    indexing: Indexing,
    witnesses: Vec<Arc<Witness>>,
    sinks: sinks::Running,
}

/// Checks the rules of the settings without starting anything.
pub fn rules(config: &Config) -> Result<Bundle, Vec<RuleError>> {
    let sources: Vec<_> = config.rules.iter().map(|rules| Source { name: &rules.file, text: &rules.text }).collect();
    Bundle::load(&sources)?.consistent()
}

/// The client for what the gateway itself asks: guarded as the settings say, its connections made by `dialer`.
pub fn outbound(config: &Config, dialer: Dialer) -> Result<Outbound, StartError> {
    let named = config.clients.metadata_documents.private_hosts.iter().chain(&config.outbound.private_hosts);
    let policy = AddressPolicy::naming(named.map(String::as_str)).map_err(StartError::PrivateHost)?;
    Ok(Outbound::new(dialer, policy))
}

/// The name of this node, made once per data directory: two nodes on one database must not share it.
pub fn node(data: &Path, rng: &dyn Rng) -> io::Result<String> {
    let file = data.join("node");
    match fs::read_to_string(&file) {
        Ok(name) => Ok(name.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 4];
            rng.fill(&mut bytes);
            let name = format!("node-{:08x}", u32::from_be_bytes(bytes));
            fs::write(&file, format!("{name}\n"))?;
            Ok(name)
        }
        Err(error) => Err(error),
    }
}

/// Starts everything; returns when both listeners answer.
pub async fn start(config: Config, surroundings: Surroundings) -> Result<Running, StartError> {
    let Surroundings { clock, rng, sample, launcher } = surroundings;
    let bundle = Arc::new(rules(&config).map_err(StartError::Rules)?);
    let public = bind(config.listen, "listen").await?;
    let private = bind(config.operations, "operations").await?;
    let (listen, operations) = (address(&public, config.listen), address(&private, config.operations));
    let config = config.bound_to(listen, operations);

    let Unlocked { store, keys, .. } = unlock(&config, &*rng, clock.now()).await?;
    let keys = Arc::new(keys);
    let node = node(&config.data, &*rng).map_err(|error| StartError::Data { path: config.data.clone(), error })?;
    let folder = config.data.join("journal");
    let settings = journal::Settings {
        dir: &folder,
        node: &node,
        seed: &keys.journal_seed(&node),
        durability: config.audit.durability,
        limits: config.audit.limits(),
    };
    let (telemetry, spans) = Telemetry::new(&config.telemetry.settings, clock.clone(), &*rng);
    let journal = Journal::open(&settings, clock.clone())?.counted_by(telemetry.clone());
    epoch::settle(&store, &journal, &config.data, &node, &*clock).await?;

    for server in &config.servers {
        Server::of(server).map_err(|error| StartError::Server { name: server.name.clone(), error })?;
    }
    let added = store.servers().await?.into_iter().map(|row| row.name);
    let own = sample.as_ref().and_then(|_| ServerName::parse(SAMPLE).ok());
    let known: Vec<_> = config.servers.iter().map(|server| server.name.clone()).chain(added).chain(own).collect();
    config.check_toolboxes(&known).map_err(StartError::Toolboxes)?;
    let dialer = Dialer::new(config.outbound.ca_file.as_deref())?;
    let outbound = outbound(&config, dialer.clone())?;
    let sinks = Sinks::new(
        &config.sinks,
        &sinks::Parts {
            data: &config.data,
            node: &node,
            journal: journal.clone(),
            outbound: outbound.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
        },
    )?;
    let decision_point = Arc::new(
        DecisionPoint::new(config.decision_point.as_ref(), &outbound, &clock).map_err(StartError::DecisionPoint)?,
    );
    let host = Host::recording(launcher, &config.data, journal.clone(), clock.clone());
    let upstreams = Arc::new(Upstreams::new(dialer.clone()).hosting(host));

    let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot {
        servers: HashMap::new(),
        toolboxes: HashMap::new(),
        people: HashMap::new(),
        service_accounts: 0,
        bundle: bundle.clone(),
        revision: 0,
    }));
    let appointments = Appointments::new(&config.roles);
    let (signing, ended) = (Arc::<ArcSwap<_>>::default(), Arc::<Ended>::default());
    let (fresh, access_keys) = (Arc::<Fresh>::default(), Arc::<AccessKeys>::default());
    let providers = Arc::new(Providers::new(&config, outbound.clone(), &clock));
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
        clock: clock.clone(),
        rng: rng.clone(),
    }));
    let connections = Arc::new(Connections::new(connections::Parts {
        store: store.clone(),
        journal: journal.clone(),
        keys: keys.clone(),
        authorities: authority.clone(),
        snapshot: snapshot.clone(),
        clock: clock.clone(),
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
            clock: clock.clone(),
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
        node: node.as_str().into(),
        clock: clock.clone(),
        rng: rng.clone(),
    }));
    let labels = Arc::new(SessionLabels::new(store.clone(), clock.clone()));
    let quotas = Arc::new(Quotas::new(store.clone(), node.as_str().into(), clock.clone(), &*rng));
    let feed = Feed::load(Sources {
        store: store.clone(),
        journal: journal.clone(),
        servers: config.servers.clone(),
        toolboxes: config.toolboxes.iter().cloned().map(Arc::new).collect(),
        environment: config.environment.clone(),
        bundle: bundle.clone(),
        appointments: appointments.clone(),
        personal_keys: config.access_keys,
        sample: sample.map(|access| (in_process(Sample::new(clock.clone(), rng.clone())), access)),
        snapshot: snapshot.clone(),
        signing: signing.clone(),
        ended: ended.clone(),
        fresh: fresh.clone(),
        access_keys: access_keys.clone(),
        approvals: approvals.clone(),
        connections: connections.clone(),
        upstreams: upstreams.clone(),
        keys: keys.clone(),
        clock: clock.clone(),
        rng: rng.clone(),
        random: system::random(),
    })
    .await?;

    recall(&store, &snapshot.load_full(), &upstreams).await;
    // Where nobody signs in with a password, one that the link would make is of no use.
    let invitation = if config.identity.local_accounts { invite(&store, &*rng, &*clock).await? } else { None };
    let public_url = url::Url::parse(config.public_url.as_str()).expect("the settings have checked the public URL");
    let passkeys = Passkeys::new(
        &public_url,
        passkeys::Parts {
            store: store.clone(),
            journal: journal.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
        },
    );
    let reaching = Reaching { outbound: outbound.clone(), keys: providers.keys().clone(), clock: clock.clone() };
    let app = Arc::new(App {
        origins: Arc::new(Origins::new(&public_url, config.listen, [])),
        externals: Arc::new(Externals::new(&config, &appointments, &reaching, &store)),
        workloads: Workloads::new(&config, reaching),
        providers,
        outbound,
        refusals: Refusals::new(journal.clone(), clock.clone()),
        limits: Limits::new(&config, &clock),
        passwords: Passwords::new(2, &*rng),
        telemetry,
        assertion_keys: AssertionKeys::default(),
        config,
        clock,
        rng,
        store,
        journal,
        node: node.as_str().into(),
        keys,
        signing,
        snapshot,
        ended,
        fresh,
        access_keys,
        connections,
        feed,
        approvals,
        notify,
        quotas,
        labels,
        passkeys,
        index_lag: Arc::default(),
        sinks: sinks.statuses(),
        inspection: Inspection::default(),
        decision_point,
        upstreams,
        appointments,
        authority,
    });
    authorization::configured::settle(&app).await?;
    app.approvals.start().await?;
    app.inspection.round(&app.store, &app.snapshot.load_full(), &app.upstreams).await?;
    app.quotas.settle().await?;
    let loaded = Event::new(Kind::SettingsLoaded, app.clock.now())
        .text("rules", bundle.revision().to_string())
        .number("servers", app.snapshot.load().servers.len() as i64);
    app.journal.append(loaded).await?;

    let (stop, stopped) = watch::channel(false);
    let connections = app.config.limits.connections;
    let indexing =
        Indexing::start(app.config.database.clone(), app.journal.clone(), &folder, &node, app.index_lag.clone())
            .map_err(|error| StartError::Data { path: folder.clone(), error })?;
    let sinks = sinks.start().map_err(|error| StartError::Data { path: app.config.data.clone(), error })?;
    let mut tasks = jobs::start(&app, &stopped);
    let witnesses = witnesses(&app, &node);
    tasks.extend(witnesses.iter().map(|witness| tokio::spawn(witness.clone().run(stopped.clone()))));
    tasks.extend(app.notify.start(&stopped));
    if let (Some(traces), Some(tracer), Some(spans)) = (&app.config.telemetry.traces, app.telemetry.tracer(), spans) {
        let receiver = exporting::Receiver::of(traces, &app.outbound, &node, tracer);
        tasks.push(tokio::spawn(exporting::run(receiver, spans, stopped.clone())));
    }
    let refusing = app.clone();
    let malformed = move |peer: SocketAddr| refusing.refusals.malformed(peer.ip().to_canonical());
    tasks.push(tokio::spawn(listener::serve(public, router::public(&app), connections, malformed, stopped.clone())));
    tasks.push(tokio::spawn(listener::serve(
        private,
        router::service(operations::routes(app.clone())),
        64,
        |_| {},
        stopped,
    )));
    Ok(Running { app, invitation, stop, tasks, indexing, witnesses, sinks })
}

impl Running {
    /// Lets requests in flight end, writes the last checkpoint, and stops.
    pub async fn stop(self) -> Result<(), JournalError> {
        self.app.ended.close();
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
        self.app.upstreams.close().await;
        self.app.refusals.close();
        let closed = self.app.journal.stop().await;
        self.indexing.finish().await;
        for witness in &self.witnesses {
            witness.end().await;
        }
        self.sinks.finish().await;
        closed
    }
}

/// Lists of one server that are recalled; whoever has another one is shown it again before their first call.
const RECALLED: u32 = 256;

/// Fills the books of servers with the lists that people were shown before this process began.
async fn recall(store: &Store, snapshot: &Snapshot, upstreams: &Upstreams) {
    for server in snapshot.servers.values() {
        let upstream = upstreams.open(&server.name, &server.location, server.limits);
        // What an API offers is in its document.
        if upstream.is_api() {
            continue;
        }
        match recalled(store, server, RECALLED).await {
            Ok(lists) => {
                for (holder, list) in lists {
                    upstream.book().recall(holder.as_ref(), &list.list, &upstream.origin());
                }
            }
            Err(error) => tracing::error!(%error, server.name = %server.name, "the tools of a server are not recalled"),
        }
    }
}

/// Where the head of this node's journal is noted.
fn witnesses(app: &App, node: &str) -> Vec<Arc<Witness>> {
    let parts = witness::Parts {
        journal: app.journal.clone(),
        outbound: app.outbound.clone(),
        stamps: app.config.data.join("timestamps").join(node),
        clock: app.clock.clone(),
        rng: app.rng.clone(),
    };
    app.config.audit.witnesses.iter().map(|settings| Arc::new(Witness::of(settings, &parts))).collect()
}

async fn bind(at: SocketAddr, key: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(at).await.map_err(|error| StartError::Listen {
        address: at,
        key,
        advice: match error.kind() {
            io::ErrorKind::AddrInUse => {
                "; another program has this port: stop it, or choose another with --listen or in the settings"
            }
            io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
            io::ErrorKind::PermissionDenied => {
                "; ports below 1024 need a privilege: put a proxy in front or choose a higher port"
            }
            _ => "",
        },
        error,
    })
}

fn address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

/// A fresh one-time link, as long as there is no administrator. spec: T-95
async fn invite(store: &Store, rng: &dyn Rng, clock: &dyn Clock) -> Result<Option<String>, StartError> {
    if store.administrators().await? > 0 {
        return Ok(None);
    }
    let secret = token::<32>(rng);
    let now = clock.now();
    store.issue_invitation(&Digest::of(secret.as_bytes()), now, now.plus(INVITATION)).await?;
    Ok(Some(secret))
}

/// The sample server at the other end of a pipe: it opens no port.
fn in_process(sample: Sample) -> InProcess {
    let sample = Arc::new(sample);
    Arc::new(move || {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let sample = sample.clone();
        tokio::spawn(async move {
            sample.serve_connection(theirs).await;
        });
        ours
    })
}
