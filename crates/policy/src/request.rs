//! The facts of one call, as a decision needs them: borrowed, so that gathering them costs nothing.

use std::sync::Arc;

use portcullis_base::{ClientId, PersonId, ServerName, Timestamp};

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

/// The facts of one call.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The caller.
    pub person: &'a PersonId,
    /// The name they sign in with.
    pub name: &'a str,
    /// Their groups.
    pub groups: &'a [Arc<str>],
    /// Their roles: `owner`, `admin`, `auditor`, `member`.
    pub roles: &'a [&'a str],
    /// The OAuth client that calls for them.
    pub client: &'a ClientId,
    /// The server.
    pub server: &'a ServerName,
    /// The MCP method.
    pub method: &'a str,
    /// What it is about.
    pub target: Target<'a>,
    /// `params.arguments` as it stands in the body.
    pub arguments: Option<&'a str>,
    /// When the person last proved who they are, if that is known.
    pub authenticated_at: Option<Timestamp>,
    /// How surely, in the words of who asked them.
    pub acr: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}
