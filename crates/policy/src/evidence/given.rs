//! Facts that somebody wrote down.

use std::{net::IpAddr, sync::Arc};

use portcullis_base::{Classes, ClientId, Labels, PersonId, ServerName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    request::{Facts, Target},
    who::{Kind, ROLES},
};

/// The facts of one call, kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The caller.
    pub person: PersonId,
    /// The name they sign in with.
    pub name: Arc<str>,
    /// Whether they are a human.
    #[serde(default)]
    pub kind: Kind,
    /// Their groups.
    #[serde(default)]
    pub groups: Vec<Arc<str>>,
    /// Their roles.
    #[serde(default)]
    pub roles: Vec<Arc<str>>,
    /// The client.
    pub client: ClientId,
    /// The server.
    pub server: ServerName,
    /// The toolbox that it comes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<ServerName>,
    /// The MCP method.
    pub method: Box<str>,
    /// What it is about.
    #[serde(default)]
    pub target: Subject,
    /// The classes of the tool.
    #[serde(default)]
    pub classes: Classes,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Arc<str>>,
    /// The arguments, as raw JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Box<str>>,
    /// When the person signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated_at: Option<Timestamp>,
    /// In which way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<Box<str>>,
    /// Where the client is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Labels of the session.
    #[serde(default)]
    pub session_labels: Vec<Arc<str>>,
    /// When it happens.
    pub now: Timestamp,
}

/// What a call is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Nothing: a listing, a handshake, a ping.
    #[default]
    None,
    /// A tool by name.
    Tool(Box<str>),
    /// A prompt by name.
    Prompt(Box<str>),
    /// A resource by URI.
    Resource(Box<str>),
    /// A running task by identifier.
    Task(Box<str>),
}

impl Given {
    /// A copy of `facts`.
    pub fn of(facts: &Facts<'_>) -> Self {
        Self {
            person: facts.person.clone(),
            name: facts.name.into(),
            kind: facts.kind,
            groups: facts.groups.to_vec(),
            roles: facts.roles.iter().map(|role| Arc::from(*role)).collect(),
            client: facts.client.clone(),
            server: facts.server.clone(),
            through: facts.through.cloned(),
            method: facts.method.into(),
            target: match facts.target {
                Target::None => Subject::None,
                Target::Tool(name) => Subject::Tool(name.into()),
                Target::Prompt(name) => Subject::Prompt(name.into()),
                Target::Resource(uri) => Subject::Resource(uri.into()),
                Target::Task(id) => Subject::Task(id.into()),
            },
            classes: facts.classes,
            labels: facts.labels,
            tags: facts.tags.to_vec(),
            arguments: facts.arguments.map(Into::into),
            authenticated_at: facts.authenticated_at,
            acr: facts.acr.map(Into::into),
            address: facts.address,
            session_labels: facts.session_labels.to_vec(),
            now: facts.now,
        }
    }

    /// These facts, for whoever decides by them. A role that there is not is left out.
    pub fn with<T>(&self, then: impl FnOnce(&Facts<'_>) -> T) -> T {
        let roles: Vec<_> = ROLES.iter().copied().filter(|role| self.roles.iter().any(|own| **own == **role)).collect();
        then(&Facts {
            person: &self.person,
            name: &self.name,
            kind: self.kind,
            groups: &self.groups,
            roles: &roles,
            client: &self.client,
            server: &self.server,
            through: self.through.as_ref(),
            method: &self.method,
            target: match &self.target {
                Subject::None => Target::None,
                Subject::Tool(name) => Target::Tool(name),
                Subject::Prompt(name) => Target::Prompt(name),
                Subject::Resource(uri) => Target::Resource(uri),
                Subject::Task(id) => Target::Task(id),
            },
            classes: self.classes,
            labels: self.labels,
            tags: &self.tags,
            arguments: self.arguments.as_deref(),
            authenticated_at: self.authenticated_at,
            acr: self.acr.as_deref(),
            address: self.address,
            session_labels: &self.session_labels,
            now: self.now,
        })
    }
}

impl Subject {
    /// What it is called, if it is anything.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Tool(name) | Self::Prompt(name) | Self::Resource(name) | Self::Task(name) => Some(name),
        }
    }
}
