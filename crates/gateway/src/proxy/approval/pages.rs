//! Pages that clients of 2025-11-25 were asked, on the stream of a call, to have opened. What they answer comes with another
//! request, perhaps at another node; it opens nothing, and a refusal ends the call that waits here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_base::{PersonId, token};
use portcullis_mcp::scan;
use serde_json::{Value, json};

use crate::proxy::{
    hold::{Line, Word},
    turn::Turn,
};

/// How ids of such requests begin, so that no node takes an answer for one to its server.
const OURS: &str = "portcullis-page-";
/// Pages that wait at one time.
const MOST: usize = 16 * 1024;

type All = Mutex<HashMap<String, (PersonId, Line)>>;

/// Those of this node.
#[derive(Clone, Default)]
pub(in crate::proxy) struct Pages(Arc<All>);

/// One of them, until the call waits no longer; then its client is told so.
pub(super) struct Opened {
    pages: Pages,
    id: String,
    line: Line,
}

impl Pages {
    /// Asks the client of a call to have a page opened, unless too many wait for that.
    pub(super) fn open(&self, turn: &Turn<'_>, line: &Line, page: &Value) -> Option<Opened> {
        // spec: T-49: an id that nobody can guess
        let id = format!("{OURS}{}", token::<16>(&*turn.parts.rng));
        {
            let mut all = self.all();
            if all.len() >= MOST {
                return None;
            }
            all.insert(id.clone(), (turn.caller.person.clone(), line.clone()));
        }
        let mut params = page.clone();
        params["elicitationId"] = id.as_str().into();
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params });
        line.say(Word::Message(request.to_string()));
        Some(Opened { pages: self.clone(), id, line: line.clone() })
    }

    /// Whether an answer with this raw id is to one of ours.
    pub(in crate::proxy) fn is_ours(id: &str) -> bool {
        scan::string(id).is_some_and(|id| id.starts_with(OURS))
    }

    /// `person` answers with this raw result, if with any.
    // spec: T-107: that a client says its person agreed approves nothing.
    pub(in crate::proxy) fn answered(&self, person: &PersonId, id: &str, result: Option<&str>) {
        let Some(id) = scan::string(id) else { return };
        let action = result.and_then(|result| scan::member(result, "action")).and_then(scan::string);
        let line = self.all().get(&*id).filter(|(whose, _)| whose == person).map(|(_, line)| line.clone());
        if let (Some(line), Some("decline" | "cancel")) = (line, action.as_deref()) {
            line.decline();
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, (PersonId, Line)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.pages.all().remove(&self.id);
        let method = "notifications/elicitation/complete";
        let told = json!({ "jsonrpc": "2.0", "method": method, "params": { "elicitationId": self.id } });
        self.line.say(Word::Message(told.to_string()));
    }
}
