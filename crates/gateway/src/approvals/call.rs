//! The call itself: as it is bound, and as it is kept.

use portcullis_base::{ClientId, Digest, PersonId, Rng, ServerName};
use portcullis_policy::{
    Target,
    approval::{Arguments, Call},
};
use portcullis_store::ApprovalRow;
use serde::{Deserialize, Serialize};

use super::ApprovalError;
use crate::keys::{Keys, Purpose};

/// The longest arguments that somebody is asked to read.
const LONGEST: usize = 256 << 10;

/// A call that somebody wants to make.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whose.
    pub person: &'a PersonId,
    /// Through which client.
    pub client: &'a ClientId,
    /// At which server.
    pub server: &'a ServerName,
    /// What it is about.
    pub target: Target<'a>,
    /// The digest of the definition of the tool, if it is known.
    pub definition: Option<&'a Digest>,
    /// `params.arguments` as it stands in the body.
    pub arguments: Option<&'a str>,
}

/// What is kept of a call, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// `params.arguments` as it stood in the body: this is what runs.
    pub arguments: Option<String>,
    /// The toolbox that it came through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// What the server says of the tool: foreign text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Why it has its classes: sentences of ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

impl<'a> Wanted<'a> {
    pub(super) fn read(&self) -> Result<Arguments, ApprovalError> {
        let bytes = self.arguments.map_or(0, str::len);
        // spec: T-83: what nobody can read, nobody can approve.
        if bytes > LONGEST {
            return Err(ApprovalError::TooLong { bytes, most: LONGEST });
        }
        Arguments::read(self.arguments).map_err(|_| ApprovalError::NotBound)
    }

    pub(super) fn bound(&self, tenant: &'a str, arguments: &'a Arguments) -> Call<'a> {
        let Self { person, client, server, target, definition, .. } = *self;
        Call { tenant, person, client, server, target, definition, arguments }
    }

    pub(super) fn kind(&self) -> (&'static str, &'a str) {
        match self.target {
            Target::None => ("none", ""),
            Target::Tool(name) => ("tool", name),
            Target::Prompt(name) => ("prompt", name),
            Target::Resource(uri) => ("resource", uri),
            Target::Task(id) => ("task", id),
        }
    }

    /// The call that waits in `row`.
    pub(super) fn of(row: &'a ApprovalRow, stored: &'a Stored) -> Self {
        let target = match (row.kind.as_str(), row.target.as_str()) {
            ("tool", name) => Target::Tool(name),
            ("prompt", name) => Target::Prompt(name),
            ("resource", uri) => Target::Resource(uri),
            ("task", id) => Target::Task(id),
            _ => Target::None,
        };
        Self {
            person: &row.approval.person,
            client: &row.approval.client,
            server: &row.approval.server,
            target,
            definition: row.definition.as_ref(),
            arguments: stored.arguments.as_deref(),
        }
    }
}

impl Stored {
    pub(super) fn seal(&self, keys: &Keys, id: &str, rng: &dyn Rng) -> Vec<u8> {
        let plain = serde_json::to_vec(self).expect("a stored call is texts");
        keys.seal(Purpose::WaitingCall, id.as_bytes(), &plain, rng)
    }

    /// Opens the one of `row`; `None` if its key is gone.
    pub fn open(keys: &Keys, row: &ApprovalRow) -> Option<Self> {
        let plain = keys.open(Purpose::WaitingCall, row.approval.id.as_str().as_bytes(), &row.sealed)?;
        serde_json::from_slice(&plain).ok()
    }
}
