//! Settings: one file with embedded, commented defaults; single keys overridden by the environment, both by flags.
//!
//! Raw text becomes a valid [`Config`] once, at start. Everything wrong with a file is reported together, each problem
//! with its place, what was found, what is expected and, for a mistyped name, the nearest valid one. The rest of the
//! gateway sees only [`Config`], so nothing else can meet an unchecked value.
//!
//! Deliberately absent: reading the environment or the command line. Both are handed in as [`Sources`].

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use portcullis_audit::Keep;
use portcullis_base::{Secret, ServerName};
use portcullis_policy::Who;
use portcullis_policy::approval::Terms;
use portcullis_store::{DatabaseSettings, WishTerms};

pub use self::{
    cautions::unasked,
    credential::{
        Assertion, AssertionClaim, ClientCredentials, ClientKey, ClientProof, Credential, Exchange, Fallback,
        HeaderCredential, Holders, IdJagCredential, KeyOption, KeySource, LegacyPaths, OAuth, OAuthClient, OnBehalfOf,
        Pattern, Register, ResourceMatch, ResourceParameter, S256, SubjectToken,
    },
    decision_point::{DecisionPoint, SentArguments},
    granted::{Granted, Named as NamedClasses},
    hosts::{Hosts, Reachable},
    identity::{
        AccessKeys, BackChannel, ClaimNames, ClientAuth, Directory, External, ExternalClaims, ExternalKeys, IdJag,
        Identity, Link, Offline, Provider, ProviderKind, Scim, SignUp, Tenant, Workload, WorkloadRule,
    },
    load::{DEFAULTS, Environment, Loaded, Sources},
    notify::{Arguments, MailSecurity, Notify, Slack, SlackAnswers, SlackBot, SlackOthers, SlackWay, Smtp, Webhook},
    openapi::{Answers, OpenApi},
    origin::{Origin, Origins},
    place::Place,
    problem::{Problem, Problems},
    process::{Network, Process, ProcessLimits, Sandbox, Sharing},
    public_url::PublicUrl,
    server::{Allow, ClientCertificate, Entry, Server, Speaks, Tls, ToolList},
    sinks::{Rotation, Sink, SinkTo, SyslogSecurity},
    telemetry::{LogFormat, Telemetry, Traces},
    toolboxes::{NameOf, Named},
    values::duration,
};
pub(crate) use self::{
    hosts::{borrowed, host},
    process::meet,
    public_url::is_loopback,
};
use crate::{
    hook_signature::HookKey,
    journal::{self, Durability, Retention},
    root_key::RootKeySource,
    toolbox::Toolbox,
};

mod access;
mod approvals;
mod audit;
mod cautions;
mod clients;
mod credential;
mod credentials;
mod decision_point;
mod external;
mod granted;
mod headers;
mod hosts;
mod identity;
mod issuers;
mod layers;
mod load;
mod locate;
mod more;
mod notify;
mod openapi;
mod origin;
mod pins;
mod place;
mod private_hosts;
mod problem;
mod process;
mod processes;
mod providers;
mod public_url;
mod read;
mod sections;
mod server;
mod servers;
mod sinks;
mod telemetry;
mod toolboxes;
mod values;
mod verdicts;
mod workloads;

/// Valid settings, in the order of the file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the public listener.
    pub listen: SocketAddr,
    /// Address of the operations listener (health, metrics).
    pub operations: SocketAddr,
    /// The base URL that clients see; also the issuer.
    pub public_url: PublicUrl,
    /// Directory of keys, SQLite file and journal.
    pub data: PathBuf,
    /// Where the state is.
    pub database: DatabaseSettings,
    /// The root key, when it does not come from `{data}/root.key`.
    pub root_key: Option<Secret>,
    /// The command that prints the root key, program and arguments, when a key service has it.
    pub root_key_command: Option<Vec<String>>,
    /// Who may sign in.
    pub identity: Identity,
    /// Role → groups that hold it.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Access keys for clients that cannot do OAuth.
    pub access_keys: AccessKeys,
    /// Servers named in the file. Those of `portcullis protect` are in the database.
    pub servers: Vec<Server>,
    /// Endpoints over several servers.
    pub toolboxes: Vec<Toolbox>,
    /// Where in the settings toolboxes name themselves and servers; servers may be in the database alone.
    pub named: Vec<Named>,
    /// The endpoint of authorization requests that name no `resource` (clients of 2025-03-26); `None` refuses them.
    pub default_resource: Option<ServerName>,
    /// Whether clients of 2024-11-05 are served, by the two endpoints of that revision.
    pub legacy_sse: LegacySse,
    /// Policy rules, still as text: the policy crate reads them.
    pub rules: Option<RulesText>,
    /// A decision point of the company, asked in addition to the rules.
    pub decision_point: Option<DecisionPoint>,
    /// Calls that wait for humans.
    pub approvals: Approvals,
    /// Who is told of them.
    pub notify: Notify,
    /// How rights that end are asked for.
    pub access_requests: AccessRequests,
    /// Who takes every right in an emergency; nobody unless it is set.
    pub break_glass: Option<BreakGlass>,
    /// Browser sessions.
    pub sessions: Sessions,
    /// Lifetimes of what the authorization server issues.
    pub tokens: Tokens,
    /// Which clients may ask.
    pub clients: Clients,
    /// What the gateway itself may fetch.
    pub outbound: Outbound,
    /// Reverse proxies whose `Forwarded`/`X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Bounds of requests and answers.
    pub limits: Limits,
    /// The audit trail.
    pub audit: Audit,
    /// Where the audit trail goes besides the journal.
    pub sinks: Vec<Sink>,
    /// Numbers, traces and the log.
    pub telemetry: Telemetry,
    /// What references of servers in the database are followed with.
    pub environment: Environment,
}

/// Whether the two endpoints of 2024-11-05 are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacySse {
    /// They are.
    Served,
    /// They are not.
    Off,
}

/// The `rules:` list as it stands in the file, so that the policy crate can name file and line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesText {
    /// YAML of the list alone, preceded by as many empty lines as keep its line numbers those of the file.
    pub text: String,
    /// The file it came from.
    pub file: String,
    /// Line of the first rule, from 1.
    pub line: usize,
}

/// Calls that wait for humans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approvals {
    /// How long a client is kept waiting for a decision before it is told to come again.
    pub hold: Duration,
    /// How much may wait, and how fresh words have to be.
    pub terms: Terms,
}

/// Lifetimes of what the authorization server issues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Access tokens, at most an hour.
    pub access: Duration,
    /// A refresh token that is not used dies after this.
    pub refresh_idle: Duration,
    /// A grant ends this long after the sign-in, however much it is used.
    pub refresh_absolute: Duration,
    /// A client that lost the answer may present the old refresh token this long; zero switches that off.
    pub refresh_grace: Duration,
    /// Authorization codes, at most a minute.
    pub code: Duration,
}

/// Which clients may ask for access.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Dynamic registration (RFC 7591).
    pub registration: Registration,
    /// Bounds of dynamic registration.
    pub registration_limits: RegistrationLimits,
    /// Clients whose identifier is the URL of their metadata document.
    pub metadata_documents: MetadataDocuments,
    /// Private-use schemes that redirect URIs may have besides `https` and loopback.
    pub redirect_schemes: Vec<String>,
    /// Clients named in the file.
    pub configured: Vec<ConfiguredClient>,
}

/// Who may register dynamically.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Anybody who reaches the gateway.
    Open,
    /// Only callers from the gateway's own machine.
    Loopback,
    /// Nobody.
    Off,
}

/// Bounds of dynamic registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationLimits {
    /// Registrations per minute from one address.
    pub per_minute: u32,
    /// Clients kept at most.
    pub total: u32,
    /// A client that was never used is forgotten after this.
    pub unused: Duration,
    /// A client that is no longer used is forgotten after this.
    pub idle: Duration,
}

/// Trust in client metadata documents, by host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataDocuments {
    /// Whether such clients are known at all.
    pub enabled: bool,
    /// Hosts that may publish one: exact, `*.example.com`, or `*`.
    pub allow: Vec<String>,
    /// Hosts that may not, whatever `allow` says.
    pub deny: Vec<String>,
    /// Hosts that may resolve to a private address, each as `host:port`.
    pub private_hosts: Vec<String>,
    /// Size of a document, at most.
    pub size: usize,
    /// Time for fetching a document, at most.
    pub timeout: Duration,
}

/// A client named in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredClient {
    /// Its `client_id`.
    pub id: String,
    /// The name on the consent page.
    pub name: String,
    /// Its redirect URIs.
    pub redirect_uris: Vec<String>,
    /// Its secret; public clients have none.
    pub secret: Option<Secret>,
    /// How it authenticates at the token endpoint.
    pub token_endpoint_auth_method: String,
    /// Grant types it may use.
    pub grant_types: Vec<String>,
}

/// What the gateway itself may fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Certificates trusted besides the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Hosts that may resolve to a private address although no server entry says so, each as `host:port`.
    pub private_hosts: Vec<String>,
    /// Whether the gateway calls itself by its metadata document at authorization servers of others.
    pub client_document: ClientDocument,
}

/// Whether the gateway calls itself by its metadata document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientDocument {
    /// Yes.
    Offered,
    /// No: registration only.
    Off,
}

/// Bounds of requests and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Body of an MCP request.
    pub body: usize,
    /// One server-sent event, or a JSON answer, of an upstream.
    pub answer: usize,
    /// Nesting of JSON.
    pub depth: usize,
    /// Values in one JSON body.
    pub nodes: usize,
    /// Calls of one person in flight.
    pub concurrent_calls: u32,
    /// Connections on the public listener.
    pub connections: u32,
    /// Failed sign-ins of one name or address per minute.
    pub sign_ins_per_minute: u32,
}

/// How somebody asks for a right that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRequests {
    /// The longest that a right lasts.
    pub longest: Duration,
    /// What nobody answered in this time is over.
    pub answer_within: Duration,
    /// How much one person may ask for.
    pub terms: WishTerms,
}

/// Who takes every right in an emergency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakGlass {
    /// Who may.
    pub who: Vec<Who>,
    /// Where; everywhere if none are named.
    pub servers: Option<Vec<ServerName>>,
    /// For how long.
    pub lasts: Duration,
}

/// Browser sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// A session ends after this time without a request.
    pub idle: Duration,
    /// A session ends this long after sign-in.
    pub absolute: Duration,
}

/// The audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// What a decision waits for.
    pub durability: Durability,
    /// What of a call's arguments is written.
    pub arguments: Keep,
    /// What of its result is written.
    pub results: Keep,
    /// What becomes of reads while the journal cannot be written.
    pub reads_without_journal: ReadsWithoutJournal,
    /// When a segment is full.
    pub segment: AuditSegment,
    /// How long sealed segments stay, and where they go.
    pub retention: Retention,
    /// Where its heads are noted.
    pub witnesses: Vec<Witness>,
    /// Less free room than these bytes is scarce.
    pub free_space: u64,
    /// What events are found by.
    pub index: AuditIndex,
}

/// What of the calls of one server is written, where that is another thing than of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerAudit {
    /// Of their arguments.
    pub arguments: Option<Keep>,
    /// Of their results.
    pub results: Option<Keep>,
}

impl Audit {
    /// The limits of a journal that is kept so.
    pub fn limits(&self) -> journal::Limits {
        journal::Limits {
            segment_bytes: self.segment.size,
            segment_age: self.segment.age,
            free_space: self.free_space,
            ..journal::Limits::default()
        }
    }
}

/// What becomes of reads while the journal cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadsWithoutJournal {
    /// They go on, and nothing tells of them.
    Allow,
    /// They are refused as everything else is.
    Deny,
}

/// A place where heads of the journal are noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Which place.
    pub kind: WitnessKind,
    /// How often, while the journal grows.
    pub every: Duration,
}

/// Places where heads are noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessKind {
    /// A file, to which lines are added.
    File(PathBuf),
    /// A clone of a Git repository, in which is committed.
    Git(PathBuf),
    /// A program that is told.
    Webhook {
        /// Where it listens.
        url: String,
        /// What messages to it are signed with.
        key: HookKey,
    },
    /// The URL of an authority that stamps (RFC 3161).
    Timestamp(String),
}

/// When a segment of the journal is followed by another, and sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSegment {
    /// When it has so many bytes.
    pub size: u64,
    /// When it is so old, if there is anything in it.
    pub age: Duration,
}

/// The index of the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditIndex {
    /// Events are found for so long; they stay in the journal for as long as that is kept.
    pub keep: Duration,
}

impl Config {
    /// Reads and checks everything; reports all problems at once.
    pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
        load::load(sources)
    }

    /// What is allowed but deserves a thought, as sentences for whoever starts the gateway.
    pub fn cautions(&self) -> Vec<String> {
        cautions::of(self)
    }

    /// The same settings on the address that was really bound: port 0 in `listen` means that the system chooses one.
    #[must_use]
    pub fn bound_to(mut self, listen: SocketAddr, operations: SocketAddr) -> Self {
        if self.public_url.is_derived() {
            self.public_url = PublicUrl::derived_from(listen);
        }
        self.listen = listen;
        self.operations = operations;
        self
    }

    /// Where the root key comes from.
    pub fn root_key_source(&self) -> RootKeySource {
        match (&self.root_key, &self.root_key_command) {
            (Some(text), _) => RootKeySource::Text(text.clone()),
            (None, Some(words)) => RootKeySource::Command(words.clone()),
            (None, None) => RootKeySource::File(self.data.join("root.key")),
        }
    }

    /// Whether a provider is trusted for identity assertions (ID-JAG).
    pub fn trusts_identity_assertions(&self) -> bool {
        self.identity.providers.iter().any(|provider| provider.id_jag.is_some())
    }

    /// The URL that clients are given for a server; also its resource identifier and the audience of its tokens.
    pub fn server_url(&self, name: &ServerName) -> String {
        format!("{}/mcp/{name}", self.public_url)
    }
}

#[cfg(test)]
mod tests;
