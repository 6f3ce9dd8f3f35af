//! A line on its way into the store's index: the members that searches ask for.

use std::borrow::Cow;

use portcullis_base::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{chain::CHECKPOINT, json::read_moment};

/// What an event is found by.
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
    /// The request that it comes of, in hexadecimal.
    pub request: Option<String>,
    /// The trace that the request belongs to, in hexadecimal.
    pub trace: Option<String>,
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
    /// The revision of the rules.
    pub revision: Option<String>,
    /// The approval that it is about, or that a call waits for or ran on.
    pub approval: Option<String>,
    /// The grant that it is about, or that a token came of.
    pub grant: Option<String>,
    /// The token that it is about, by an identifier that nobody can use as one.
    pub token: Option<String>,
}

/// A line that cannot be indexed.
#[derive(Debug, thiserror::Error)]
#[error("not a journal line: {0}")]
pub struct RowError(String);

impl RowError {
    pub(crate) fn new(error: &serde_json::Error) -> Self {
        Self(error.to_string())
    }

    pub(crate) fn said(why: &impl ToString) -> Self {
        Self(why.to_string())
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
    request: Option<String>,
    trace: Option<String>,
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
    revision: Option<String>,
    #[serde(borrow)]
    details: Option<Details<'a>>,
}

/// Details that events are found by. What is no text is none of them: that a detail is odd hides no event.
#[derive(Default, Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    approval: Option<&'a RawValue>,
    #[serde(borrow)]
    grant: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
}

impl IndexRow {
    /// Reads a line: its `seq`, and its row unless it is a checkpoint, which says nothing that anybody searches for.
    pub fn parse(line: &[u8]) -> Result<(i64, Option<Self>), RowError> {
        let members: Members<'_> = serde_json::from_slice(line).map_err(|error| RowError::new(&error))?;
        if members.event == CHECKPOINT {
            return Ok((members.seq, None));
        }
        let at = read_moment(&members.at).ok_or_else(|| RowError("\"at\" is not a moment".into()))?;
        let details = members.details.unwrap_or_default();
        let text = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let row = Self {
            node: members.node.into_owned(),
            seq: members.seq,
            at,
            kind: members.event.into_owned(),
            call: members.call,
            request: members.request,
            trace: members.trace,
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
            revision: members.revision,
            approval: text(details.approval),
            grant: text(details.grant),
            token: text(details.token),
        };
        Ok((row.seq, Some(row)))
    }
}
