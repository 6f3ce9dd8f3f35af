//! What the call path needs to know of settings, people and rules: one immutable value, swapped whole on change.

use std::{collections::HashMap, sync::Arc};

use http::HeaderName;
use portcullis_base::{PersonId, ServerName};
use portcullis_policy::{Access, Bundle};
use portcullis_store::PersonKind;

use crate::{
    config::{self, Credential, ToolList},
    outbound::Reach,
    roles::Roles,
    upstream::{Egress, EgressError, Limits, Location, UpstreamUrl, UpstreamUrlError},
};

/// The state of the settings at one revision.
pub struct Snapshot {
    /// The servers behind the gateway.
    pub servers: HashMap<ServerName, Arc<Server>>,
    /// The people who may sign in.
    pub people: HashMap<PersonId, Arc<Person>>,
    /// How many of these are service accounts that are switched on.
    pub service_accounts: usize,
    /// The rules.
    pub bundle: Arc<Bundle>,
    /// Which change it is as of.
    pub revision: i64,
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
        let url = UpstreamUrl::parse(entry.url.as_str())?;
        let reach = if entry.may_be_private() { Reach::Private } else { Reach::Global };
        let egress = Arc::new(Egress::new(entry)?);
        Ok(Self {
            name: entry.name.clone(),
            location: Location::Url { url, reach, egress },
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
        })
    }

    /// Where it is, unless it is in this process.
    pub fn url(&self) -> Option<&UpstreamUrl> {
        match &self.location {
            Location::Url { url, .. } => Some(url),
            Location::InProcess(_) => None,
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
