//! Ids of tasks (the tasks extension of 2026-07-28): a client gets one of ours, which opens for the person and client, at
//! the endpoint and for the server it was made for, and for nobody else (T-108, BR-82). Nothing is kept for it.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{Rng, ServerName};
use portcullis_mcp::{Method, ProtocolError, dialect::TASKS_EXTENSION, message::Call, object::quoted, scan};
use serde_json::json;

use super::turn::{Turn, Visit};
use crate::keys::{Keys, Purpose};

/// The longest id of a server that is carried.
const LONGEST: usize = 1024;

/// Raw parts of a message, and what takes their places.
pub(super) type Edits<'a> = Vec<(&'a str, String)>;

/// The ids of one request and its answer.
#[derive(Clone)]
pub(super) struct Tasks {
    keys: Arc<Keys>,
    rng: Arc<dyn Rng>,
    owner: Vec<u8>,
    /// Those that the request named: the server's and the client's, raw.
    named: Vec<(Box<str>, Box<str>)>,
}

impl Tasks {
    /// For `call`; `None` if its client did not say that it takes tasks. With what is put in the place of each id in it.
    pub(super) fn of<'a>(
        turn: &Turn<'_>,
        call: &Call<'a>,
        method: Method,
    ) -> Result<(Option<Self>, Edits<'a>), ProtocolError> {
        let presented = presented(call, method)?;
        if !declared(call) {
            return Ok((None, Vec::new()));
        }
        let mut tasks = Self::at(&turn.visit, &turn.server.name);
        let mut edits = Vec::with_capacity(presented.len());
        for raw in presented {
            let theirs = tasks.open(raw).ok_or_else(unknown)?;
            tasks.named.push((theirs.as_str().into(), raw.into()));
            edits.push((raw, theirs));
        }
        Ok((Some(tasks), edits))
    }

    fn at(visit: &Visit<'_>, server: &ServerName) -> Self {
        let mut owner = Vec::with_capacity(160);
        let Visit { caller, endpoint, parts, .. } = visit;
        for part in [caller.person.as_str(), caller.client.as_str(), endpoint.as_str(), server.as_str()] {
            owner.extend_from_slice(&(part.len() as u32).to_be_bytes());
            owner.extend_from_slice(part.as_bytes());
        }
        Self { keys: parts.keys.clone(), rng: parts.rng.clone(), owner, named: Vec::new() }
    }

    /// Whether a raw id is the caller's, of a task of `server` at this endpoint.
    pub(super) fn has(visit: &Visit<'_>, server: &ServerName, raw: &str) -> bool {
        Self::at(visit, server).open(raw).is_some()
    }

    /// The server's id, raw, in the client's.
    fn open(&self, raw: &str) -> Option<String> {
        let sealed = URL_SAFE_NO_PAD.decode(scan::string(raw)?.as_bytes()).ok()?;
        String::from_utf8(self.keys.open(Purpose::Task, &self.owner, &sealed)?).ok()
    }

    /// The client's id, raw, for a server's that it named.
    // spec: T-108: what a server tells of another task may be somebody else's.
    pub(super) fn named(&self, theirs: &str) -> Option<String> {
        self.named.iter().find(|(known, _)| **known == *theirs).map(|(_, own)| own.to_string())
    }

    /// The client's id, raw, for a server's: the one that it named, or a new one. `None` for what is no id.
    pub(super) fn told(&self, theirs: &str) -> Option<String> {
        if let Some(own) = self.named(theirs) {
            return Some(own);
        }
        if theirs.len() > LONGEST || scan::kind(theirs) != scan::Kind::String {
            return None;
        }
        let sealed = self.keys.seal(Purpose::Task, &self.owner, theirs.as_bytes(), &*self.rng);
        Some(quoted(&URL_SAFE_NO_PAD.encode(sealed)))
    }
}

/// The raw ids of tasks that `call` is about.
// spec: BR-84: "tasks/get, tasks/update, tasks/cancel without the declared extension: -32021", BR-99
pub(super) fn presented<'a>(call: &Call<'a>, method: Method) -> Result<Vec<&'a str>, ProtocolError> {
    let member = |name: &str| call.params.and_then(|params| scan::member(params, name));
    let presented: Vec<_> = match method {
        Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => member("taskId").into_iter().collect(),
        Method::SubscriptionsListen => {
            let wanted = member("notifications").and_then(|wanted| scan::member(wanted, "taskIds"));
            wanted.into_iter().flat_map(scan::elements).collect()
        }
        _ => Vec::new(),
    };
    if presented.is_empty() || declared(call) {
        return Ok(presented);
    }
    let wanted = json!({ "extensions": { TASKS_EXTENSION: {} } });
    let text = format!("This needs a client that takes tasks ({TASKS_EXTENSION}).");
    Err(ProtocolError::missing_capability(wanted, text))
}

/// An id leads nowhere, or is not its bearer's.
// spec: BR-82: "tasks/* by another principal is -32602"
pub(super) fn unknown() -> ProtocolError {
    ProtocolError::invalid_params("There is no such task.")
}

/// Whether the client of this very request takes tasks.
fn declared(call: &Call<'_>) -> bool {
    let extensions = call.meta.client_capabilities.and_then(|declared| scan::member(declared, "extensions"));
    let extension = extensions.and_then(|extensions| scan::member(extensions, TASKS_EXTENSION));
    extension.is_some_and(|raw| scan::kind(raw) == scan::Kind::Object)
}
