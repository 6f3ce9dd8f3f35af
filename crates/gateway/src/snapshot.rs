//! What the call path needs to know of settings, people and rules: one immutable value, swapped whole on change.

use std::{collections::HashMap, sync::Arc};

use http::HeaderName;
use portcullis_base::{PersonId, ServerName};
use portcullis_policy::{Access, Bundle, Guest, Kind, Origin, Right};
use portcullis_store::{AccessGrant, AccessGrantKind, PersonKind};

use crate::{
    config::{self, Allow, Credential, ServerAudit, ToolList},
    outbound::Reach,
    roles::Roles,
    toolbox::Toolbox,
    tools::Verdicts,
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

    /// The servers behind an endpoint that `guest` may use, in its order.
    pub fn behind(&self, toolbox: &Toolbox, guest: Guest<'_>) -> Vec<Arc<Server>> {
        let servers = toolbox.shares.iter().filter_map(|share| self.servers.get(&share.server));
        servers.filter(|server| server.access.admits(guest)).cloned().collect()
    }
}

/// What `grant` is on an access list.
pub fn right(grant: &AccessGrant) -> Right {
    Right {
        id: grant.id.clone(),
        person: grant.person.clone(),
        classes: grant.classes,
        tool: grant.tool.as_deref().map(Into::into),
        origin: match grant.kind {
            AccessGrantKind::Request => Origin::Request,
            AccessGrantKind::BreakGlass => Origin::BreakGlass,
        },
        ends_at: grant.ends_at,
    }
}

impl Snapshot {
    /// Puts what one person was given on the list of the endpoint that it is for.
    pub fn give(&mut self, grant: &AccessGrant) {
        let right = right(grant);
        if let Some(server) = self.servers.get_mut(&grant.server) {
            let Some(server) = Arc::get_mut(server) else {
                tracing::error!(server.name = %grant.server, right.id = %grant.id, "a right is not in force");
                return;
            };
            server.access.rights.push(right);
        } else if let Some(toolbox) = self.toolboxes.get_mut(&grant.server) {
            Arc::make_mut(toolbox).access.rights.push(right);
        }
    }

    /// What single people were given, and where.
    pub fn rights(&self) -> impl Iterator<Item = (&ServerName, &Right)> {
        let servers = self.servers.values().map(|server| (&server.name, &server.access));
        let toolboxes = self.toolboxes.values().map(|toolbox| (&toolbox.name, &toolbox.access));
        servers.chain(toolboxes).flat_map(|(name, access)| access.rights.iter().map(move |right| (name, right)))
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
    /// What its administrator says its tools are.
    pub risk: Arc<Verdicts>,
    /// What of its calls is recorded.
    pub audit: ServerAudit,
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
            risk: Arc::new(entry.risk.clone()),
            audit: entry.audit,
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

impl Person {
    /// Whether it is a person, in the words of rules.
    pub fn kind(&self) -> Kind {
        match self.kind {
            PersonKind::Person => Kind::Person,
            PersonKind::Service => Kind::Service,
        }
    }
}
