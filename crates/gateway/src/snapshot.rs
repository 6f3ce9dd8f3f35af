//! What the call path needs to know of settings, people and rules: one immutable value, swapped whole on change.

use std::{collections::HashMap, sync::Arc};

use portcullis_base::{PersonId, ServerName};
use portcullis_policy::{Access, Bundle};
use portcullis_store::PersonKind;

use crate::{
    roles::Roles,
    upstream::{Limits, Location},
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
}

/// One person.
pub struct Person {
    /// The name they sign in with.
    pub name: Arc<str>,
    /// Their groups.
    pub groups: Arc<[Arc<str>]>,
    /// Their roles.
    pub roles: Roles,
    /// Whether they may do nothing here: the account is switched off, or none of their groups has a role.
    pub shut_out: bool,
    /// Whether it is a person at all.
    pub kind: PersonKind,
}
