//! Who is calling: what a valid access token proves, joined with what the gateway knows of the person.

use std::{net::IpAddr, sync::Arc};

use portcullis_audit::Actor;
use portcullis_base::{ClientId, GrantId, PersonId, Timestamp};
use portcullis_oauth::scope::Scopes;
use portcullis_policy::{Guest, Kind};

use crate::{fresh::SignIn, roles::Roles};

/// A caller of an MCP endpoint. Made from a verified token and the current snapshot, never from anything a client says
/// about itself (spec: RS-26).
#[derive(Clone, Debug)]
pub struct Caller {
    /// The person on whose behalf the client acts.
    pub person: PersonId,
    /// The person's account name.
    pub name: Arc<str>,
    /// Whether it is a person at all.
    pub kind: Kind,
    /// The person's groups.
    pub groups: Arc<[Arc<str>]>,
    /// The person's roles.
    pub roles: Roles,
    /// The client that holds the token.
    pub client: ClientId,
    /// The consent that the token came from.
    pub grant: GrantId,
    /// What the token is good for.
    pub scopes: Scopes,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// When and how the person signed in, if that is known.
    pub sign_in: Option<SignIn>,
    /// What rules call that which the person does through this client, if any rule minds.
    pub labels: Arc<[Arc<str>]>,
    /// Where the person can sign in afresh.
    pub renewal: Renewal,
}

impl Caller {
    /// For the record, of what they want from `address`.
    pub fn actor(&self, address: Option<IpAddr>) -> Actor {
        let (person, name, client) = (self.person.clone(), self.name.clone(), self.client.clone());
        Actor { person: Some(person), name: Some(name), client: Some(client), address }
    }

    /// As access lists ask for them.
    pub fn guest(&self, now: Timestamp) -> Guest<'_> {
        Guest { person: &self.person, groups: &self.groups, now }
    }
}

/// Where a caller's person can sign in afresh when a rule asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Here, by a link of ours.
    Here,
    /// At the authorization server that issued the token.
    Elsewhere,
    /// Nowhere: there is no person.
    Nowhere,
}
