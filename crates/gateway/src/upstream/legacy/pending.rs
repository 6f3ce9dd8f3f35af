//! What the server wants to know in the middle of one call: under which keys its client is asked, and what the server is
//! told.

use portcullis_base::ServerName;
use portcullis_mcp::{
    Message, Method, ProtocolError,
    dialect::{Abilities, Asked, Input, Malformed, Up, signed, without_files},
    message::{self, Call, INVALID_PARAMS},
    object::quoted,
    scan,
};

use super::counts::{Counts, Reason};
use crate::{
    config::Allow,
    questions::{Blocked, Kind, LONGEST, Questions},
};

/// Questions of one call that wait at one time.
const MOST: usize = 16;
/// Room for what stands around a question.
const AROUND: usize = 64;

/// The questions of one call.
pub(super) struct Pending {
    server: ServerName,
    allow: Allow,
    up: Up,
    open: Vec<Question>,
    /// How many there were so far.
    asked: u32,
    /// The last one that was not put to the client.
    blocked: Option<Blocked>,
}

/// A request of the server that waits for its answer.
struct Question {
    key: String,
    input: Input,
    raw: Box<str>,
    /// How long it is as the client gets it.
    size: usize,
}

impl Pending {
    pub(super) fn new(server: ServerName, allow: Allow, up: Up) -> Self {
        Self { server, allow, up, open: Vec::new(), asked: 0, blocked: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The last question that was not put to the client.
    pub(super) fn blocked(&self) -> Option<Blocked> {
        self.blocked
    }

    /// Takes in a request of the server; gives what it is told at once, if its client is not asked.
    pub(super) fn take(&mut self, call: &Call<'_>, abilities: &Abilities, counts: &Counts) -> Option<String> {
        let (input, entry) = match self.looked_through(call, abilities, counts) {
            Ok(looked) => looked,
            Err(answer) => return Some(answer),
        };
        let size = entry.len() + AROUND;
        if self.open.len() >= MOST || self.open.iter().map(|question| question.size).sum::<usize>() + size > LONGEST {
            counts.add(Reason::Blocked);
            let error = ProtocolError::new(INVALID_PARAMS, 200, "More is asked than a client is asked at one time");
            return Some(to_json(error, call));
        }
        self.asked += 1;
        let key = format!("{}-{}", word(input), self.asked);
        self.open.push(Question { key, input, raw: call.raw.into(), size });
        None
    }

    /// What is asked for and the entry of `inputRequests`; or what the server is told at once.
    fn looked_through(
        &mut self,
        call: &Call<'_>,
        abilities: &Abilities,
        counts: &Counts,
    ) -> Result<(Input, String), String> {
        let id = call.id.map_or("null", |id| id.to_json());
        let mut blocked = None;
        if call.known.and_then(Input::of).is_some() {
            let questions = Questions::new(self.server.clone(), self.allow, abilities.clone());
            blocked = questions.check(call.raw).err().map(|blocked| questions.noted(blocked));
        }
        if let Some(Blocked { kind, .. }) = blocked {
            counts.add(if kind == Kind::Unfit { Reason::Blocked } else { Reason::Undeclared });
            self.blocked = blocked;
        }
        // spec: BR-50: "if the legacy upstream asks anyway, answer it"
        Err(match (self.up.asked(call, abilities), blocked) {
            (Asked::Entry(input, entry), None) => {
                return Ok((input, signed(&entry, self.server.as_str()).into_owned()));
            }
            (Asked::Entry(..), Some(blocked)) => blocked.answer(id),
            (Asked::Answer(result), _) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
            (Asked::Refused(error), _) => to_json(error, call),
        })
    }

    /// The raw entries of `inputRequests`, and what the server is told of those that this client cannot be asked.
    // spec: BR-50: "Send no entry for a capability the client did not declare on this very request"
    pub(super) fn entries(&mut self, abilities: &Abilities, counts: &Counts) -> (Vec<String>, Vec<String>) {
        let (mut entries, mut told) = (Vec::new(), Vec::new());
        for question in std::mem::take(&mut self.open) {
            let Ok(Message::Request(call)) = message::message(&question.raw) else { continue };
            match self.looked_through(&call, abilities, counts) {
                Ok((_, entry)) => {
                    entries.push(format!("{}:{entry}", quoted(&question.key)));
                    self.open.push(question);
                }
                Err(answer) => told.push(answer),
            }
        }
        (entries, told)
    }

    /// The server may have taken a question back.
    pub(super) fn withdrawn(&mut self, raw: &str) {
        let Ok(Message::Notification(call)) = message::message(raw) else { return };
        if call.known == Some(Method::Cancelled) {
            let id = call.params.and_then(|params| scan::member(params, "requestId"));
            self.open.retain(|question| scan::member(&question.raw, "id") != id);
        }
    }

    /// What the server is told, of raw `inputResponses`. What they do not answer stays open.
    // spec: BR-46: "deliver each inputResponses entry as the JSON-RPC response to the parked server request"
    pub(super) fn answered(&mut self, responses: &str) -> Result<Vec<String>, Malformed> {
        let mut told = Vec::new();
        for question in &self.open {
            let Some(entry) = scan::member(responses, &question.key) else { continue };
            let mut result = self.up.answer(question.input, entry)?;
            // spec: BR-75: "filter file:// URIs by policy before they reach a remote upstream"
            if question.input == Input::Roots && !self.allow.files {
                result = without_files(&result).into_owned();
            }
            let id = scan::member(&question.raw, "id").unwrap_or("null");
            told.push(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
        }
        self.open.retain(|question| scan::member(responses, &question.key).is_none());
        Ok(told)
    }
}

fn to_json(error: ProtocolError, call: &Call<'_>) -> String {
    String::from_utf8(error.with_id(call.id).to_json()).unwrap_or_default()
}

fn word(input: Input) -> &'static str {
    match input {
        Input::Elicitation => "elicitation",
        Input::Sampling => "sampling",
        Input::Roots => "roots",
    }
}
