//! The facts of one call, as a decision needs them: borrowed, so that gathering them costs nothing.

use std::{net::IpAddr, sync::Arc};

use portcullis_base::{Class, Classes, ClientId, Labels, PersonId, ServerName, Timestamp};

use crate::who::{Guest, Kind, Somebody};

/// What a call is about, besides its server and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Nothing: a listing, a handshake, a ping.
    None,
    /// A tool by name.
    Tool(&'a str),
    /// A prompt by name.
    Prompt(&'a str),
    /// A resource by URI.
    Resource(&'a str),
    /// A running task by identifier.
    Task(&'a str),
}

impl<'a> Target<'a> {
    /// What it is called, if it is anything.
    pub fn name(&self) -> Option<&'a str> {
        match *self {
            Self::None => None,
            Self::Tool(name) | Self::Prompt(name) | Self::Resource(name) | Self::Task(name) => Some(name),
        }
    }
}

/// The facts of one call.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The caller.
    pub person: &'a PersonId,
    /// The name they sign in with.
    pub name: &'a str,
    /// Whether they are a human.
    pub kind: Kind,
    /// Their groups.
    pub groups: &'a [Arc<str>],
    /// Their roles: `owner`, `admin`, `auditor`, `member`.
    pub roles: &'a [&'a str],
    /// The OAuth client that calls for them.
    pub client: &'a ClientId,
    /// The server.
    pub server: &'a ServerName,
    /// The toolbox that it comes through, if it does.
    pub through: Option<&'a ServerName>,
    /// The MCP method.
    pub method: &'a str,
    /// What it is about.
    pub target: Target<'a>,
    /// What is known of the tool: its classes. None of them is [`Class::Unknown`].
    pub classes: Classes,
    /// What else.
    pub labels: Labels,
    /// What its administrator calls it.
    pub tags: &'a [Arc<str>],
    /// `params.arguments` as it stands in the body.
    pub arguments: Option<&'a str>,
    /// When the person last proved who they are, if that is known.
    pub authenticated_at: Option<Timestamp>,
    /// How surely, in the words of who asked them.
    pub acr: Option<&'a str>,
    /// Where the client is, as far as proxies that are trusted tell.
    pub address: Option<IpAddr>,
    /// Labels that earlier calls put on the session.
    pub session_labels: &'a [Arc<str>],
    /// Now.
    pub now: Timestamp,
}

impl<'a> Facts<'a> {
    /// The caller.
    pub fn caller(&self) -> Somebody<'a> {
        Somebody {
            person: self.person,
            name: self.name,
            kind: self.kind,
            groups: self.groups,
            roles: self.roles,
            client: Some(self.client),
        }
    }

    /// The caller, as access lists ask for them.
    pub fn guest(&self) -> Guest<'a> {
        Guest { person: self.person, groups: self.groups, now: self.now }
    }

    /// The classes that count: a prompt or resource is read, and a tool of which nothing is known is unknown. What is
    /// about no such thing has none.
    pub fn risk(&self) -> Classes {
        match self.target {
            Target::Tool(_) if self.classes.is_empty() => Classes::UNKNOWN,
            Target::Tool(_) => self.classes,
            Target::Prompt(_) | Target::Resource(_) => Class::Read.into(),
            Target::None | Target::Task(_) => Classes::NONE,
        }
    }
}
