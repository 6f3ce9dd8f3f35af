//! A line on its way into the store's index: the members that searches ask for.

use std::borrow::Cow;

use portcullis_base::Timestamp;
use serde::Deserialize;

use crate::{chain::CHECKPOINT, json::read_moment};

/// One row of the index. The line itself stays in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRow {
    /// Whose journal.
    pub node: String,
    /// Place in that journal, from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// What: the dotted text.
    pub kind: String,
    /// The call, if any.
    pub call: Option<String>,
    /// The person's identifier.
    pub person: Option<String>,
    /// The name they signed in with.
    pub person_name: Option<String>,
    /// The client.
    pub client: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
    /// The server.
    pub server: Option<String>,
    /// The MCP method.
    pub method: Option<String>,
    /// The tool, prompt, resource or other object.
    pub name: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// What the rules said.
    pub effect: Option<String>,
    /// Which rule said it.
    pub rule: Option<String>,
}

/// A line that cannot be indexed.
#[derive(Debug, thiserror::Error)]
#[error("not a journal line: {0}")]
pub struct RowError(String);

impl RowError {
    pub(crate) fn new(error: &serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    seq: i64,
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    node: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    call: Option<String>,
    person: Option<String>,
    person_name: Option<String>,
    client: Option<String>,
    address: Option<String>,
    server: Option<String>,
    method: Option<String>,
    name: Option<String>,
    outcome: Option<String>,
    effect: Option<String>,
    rule: Option<String>,
}

impl IndexRow {
    /// Reads a line: its `seq`, and its row unless it is a checkpoint, which says nothing that anybody searches for.
    pub fn parse(line: &[u8]) -> Result<(i64, Option<Self>), RowError> {
        let members: Members<'_> = serde_json::from_slice(line).map_err(|error| RowError::new(&error))?;
        if members.event == CHECKPOINT {
            return Ok((members.seq, None));
        }
        let at = read_moment(&members.at).ok_or_else(|| RowError("\"at\" is not a moment".into()))?;
        let row = Self {
            node: members.node.into_owned(),
            seq: members.seq,
            at,
            kind: members.event.into_owned(),
            call: members.call,
            person: members.person,
            person_name: members.person_name,
            client: members.client,
            address: members.address,
            server: members.server,
            method: members.method,
            name: members.name,
            outcome: members.outcome,
            effect: members.effect,
            rule: members.rule,
        };
        Ok((row.seq, Some(row)))
    }
}
