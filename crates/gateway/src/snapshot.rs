//! What the call path needs to know of settings, people and rules: one immutable value, swapped whole on change.

use std::{collections::HashMap, sync::Arc};

use http::HeaderName;
use portcullis_base::{PersonId, ServerName};
use portcullis_policy::{Access, Bundle};
use portcullis_store::PersonKind;

use crate::{
    config::{self, Allow, Credential, ToolList},
    outbound::Reach,
    roles::Roles,
    toolbox::Toolbox,
    upstream::{Egress, EgressError, Limits, Location, UpstreamUrl, UpstreamUrlError},
};

/// The state of the settings at one revision.
pub struct Snapshot {
    /// The servers behind the gateway.
    pub servers: HashMap<ServerName, Arc<Server>>,
    /// What was chosen of several of them, each with an endpoint of its own.
    pub toolboxes: HashMap<ServerName, Arc<Toolbox>>,
    /// The people who may sign in.
    pub people: HashMap<PersonId, Arc<Person>>,
    /// How many of these are service accounts that are switched on.
    pub service_accounts: usize,
    /// The rules.
    pub bundle: Arc<Bundle>,
    /// Which change it is as of.
    pub revision: i64,
}

/// What has an address of its own: a server, or several of them together.
#[derive(Clone)]
pub enum Endpoint {
    /// A server.
    Server(Arc<Server>),
    /// A toolbox.
    Toolbox(Arc<Toolbox>),
}

impl Endpoint {
    /// Its name in `/mcp/{name}`.
    pub fn name(&self) -> &ServerName {
        match self {
            Self::Server(server) => &server.name,
            Self::Toolbox(toolbox) => &toolbox.name,
        }
    }

    /// What it is for.
    pub fn description(&self) -> Option<&str> {
        match self {
            Self::Server(server) => server.description.as_deref(),
            Self::Toolbox(toolbox) => toolbox.description.as_deref(),
        }
    }

    /// Who may use it.
    pub fn access(&self) -> &Access {
        match self {
            Self::Server(server) => &server.access,
            Self::Toolbox(toolbox) => &toolbox.access,
        }
    }
}

impl Snapshot {
    /// What is at the endpoint called `name`.
    pub fn endpoint(&self, name: &ServerName) -> Option<Endpoint> {
        let server = self.servers.get(name).cloned().map(Endpoint::Server);
        server.or_else(|| self.toolboxes.get(name).cloned().map(Endpoint::Toolbox))
    }

    /// The servers behind an endpoint that a member of `groups` may use, in its order.
    pub fn behind(&self, toolbox: &Toolbox, groups: &[Arc<str>]) -> Vec<Arc<Server>> {
        let servers = toolbox.shares.iter().filter_map(|share| self.servers.get(&share.server));
        servers.filter(|server| server.access.admits(groups)).cloned().collect()
    }
}

/// One server as it was set up.
pub struct Server {
    /// Its name.
    pub name: ServerName,
    /// Where it is.
    pub location: Location,
    /// Its time limits.
    pub limits: Limits,
    /// Who may use it.
    pub access: Access,
    /// What it is for.
    pub description: Option<String>,
    /// How the gateway proves on whose behalf it calls.
    pub credential: Arc<Credential>,
    /// Headers of the client's request that go on to it.
    pub request_headers: Arc<[HeaderName]>,
    /// Whose its tool list is.
    pub tools: ToolList,
    /// What it may ask of clients, and tell them.
    pub allow: Allow,
}

/// Why an entry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its address.
    #[error(transparent)]
    Url(#[from] UpstreamUrlError),
    /// Its certificates or headers.
    #[error(transparent)]
    Egress(#[from] EgressError),
}

impl Server {
    /// The server that an entry describes.
    pub fn of(entry: &config::Server) -> Result<Self, ServerError> {
        let reach = if entry.may_be_private() { Reach::Private } else { Reach::Global };
        let location = match &entry.place {
            // An API is called at a URL too; what it is called with is in the document that the way there knows.
            config::Place::Url(url) | config::Place::OpenApi(config::OpenApi { url, .. }) => {
                Location::Url { url: UpstreamUrl::parse(url.as_str())?, reach, egress: Arc::new(Egress::new(entry)?) }
            }
            config::Place::Command(argv) => Location::Command {
                argv: argv.as_slice().into(),
                process: Arc::new(entry.process.clone()),
                allow: entry.allow,
            },
        };
        Ok(Self {
            name: entry.name.clone(),
            location,
            limits: Limits {
                head: entry.timeout,
                idle: entry.timeout.max(Limits::default().idle),
                concurrent: entry.concurrent,
                ..Limits::default()
            },
            access: entry.access.clone(),
            description: entry.description.clone(),
            credential: Arc::new(entry.credential.clone()),
            request_headers: entry.request_headers.clone().into(),
            tools: entry.tools,
            allow: entry.allow,
        })
    }

    /// Where it is, unless it is in this process.
    pub fn url(&self) -> Option<&UpstreamUrl> {
        match &self.location {
            Location::Url { url, .. } => Some(url),
            Location::InProcess(_) | Location::Command { .. } => None,
        }
    }
}

/// One person.
pub struct Person {
    /// The name they sign in with.
    pub name: Arc<str>,
    /// Their mail address, if somebody vouched for it.
    pub email: Option<Arc<str>>,
    /// Their groups.
    pub groups: Arc<[Arc<str>]>,
    /// Their roles.
    pub roles: Roles,
    /// Whether they may do nothing here: the account is switched off, or none of their groups has a role.
    pub shut_out: bool,
    /// Whether it is a person at all.
    pub kind: PersonKind,
}
