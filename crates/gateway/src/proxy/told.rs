//! How a person is told what is missing for their call, by the way that their client has for this (UP-61 to UP-66).
//!
//! They are sent to a page of ours. Nothing secret is asked for or goes through the client (spec: UP-60, UP-66), and nobody
//! is signed in to the gateway by it (spec: UP-65): who gets here has a good token.

use http::{Response, StatusCode};
use portcullis_audit::Outcome;
use portcullis_mcp::{
    Era, Method, ProtocolError,
    message::{Call, INVALID_PARAMS, URL_ELICITATION_REQUIRED},
    scan,
};
use serde_json::{Value, json};

use super::{
    answer::{self, Answer},
    here::{Wanting, completed},
    record::Record,
    refusal::Refusal,
    session::Hears,
    state::Sealer,
    turn::Turn,
};
use crate::{
    connect_link::{self, Ask},
    connections::{Lack, Need, NeedWhy, explain},
};

/// The key of our one request for input.
pub(super) const KEY: &str = "connect";

/// How a client of 2026-07-28 takes it that its person has to open a page: it says so on every request.
// spec: BR-50: "Send no entry for a capability the client did not declare on this very request"
pub(super) fn hears_modern(call: &Call<'_>, method: Method) -> Hears {
    let asks = matches!(method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead);
    let url = || scan::member(scan::member(call.meta.client_capabilities?, "elicitation")?, "url");
    if asks && url().is_some() { Hears::Input } else { Hears::Text }
}

/// What a client made of our request for input, in the raw `inputResponses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Its person opened the page, or it did not say.
    Opened,
    /// Its person would not.
    Declined,
}

impl Reply {
    pub(super) fn of(responses: Option<&str>, key: &str) -> Self {
        let action = || scan::string(scan::member(scan::member(responses?, key)?, "action")?);
        match action().as_deref() {
            Some("decline" | "cancel") => Self::Declined,
            _ => Self::Opened,
        }
    }
}

impl Turn<'_> {
    /// How to get there.
    pub(super) fn told(
        &self,
        lack: &Lack,
        wanting: &Wanting<'_>,
        mut record: Record,
    ) -> Result<Response<Answer>, Refusal> {
        record.end(Outcome::Failure, Some("there is nothing to show the upstream for the caller"));
        match (lack, wanting.hears) {
            (Lack::Connect(need), Hears::Input) => match &wanting.sealer {
                Some(sealer) => Ok(self.input_required(need, wanting, sealer)),
                None => Err(refused_by(&self.note(lack), wanting)),
            },
            (Lack::Connect(need), Hears::Link) => Err(self.elicitation_required(need, wanting)),
            // spec: UP-64: "a tool result with isError: true whose text says which connection is missing"
            _ if wanting.method == Method::ToolsCall => Ok(tool_error(&self.note(lack), wanting)),
            (Lack::Connect(_), Hears::Text) if wanting.era == Era::Modern && asks(wanting.method) => {
                let wanted = json!({ "elicitation": { "url": {} } });
                Err(ProtocolError::missing_capability(wanted, self.note(lack)).with_id(Some(wanting.id)).into())
            }
            (Lack::Unavailable(text), _) => Err(ProtocolError::internal(200, text).with_id(Some(wanting.id)).into()),
            _ => Err(refused_by(&self.note(lack), wanting)),
        }
    }

    /// The answer when the caller was asked to connect and would not.
    pub(super) fn declined(&self, wanting: &Wanting<'_>, mut record: Record) -> Result<Response<Answer>, Refusal> {
        record.end(Outcome::Failure, Some("the person would not connect"));
        let name = &self.server.name;
        let page = connect_link::page(&self.parts.settings.public_url, name);
        let text =
            format!("The call needs an account at {name}, and connecting was declined. It can be done at {page}.");
        match wanting.method {
            Method::ToolsCall => Ok(tool_error(&text, wanting)),
            _ => Err(refused_by(&text, wanting)),
        }
    }

    // spec: UP-61: "one elicitation/create (mode: "url") pointing at the gateway's own connect page, plus requestState"
    fn input_required(&self, need: &Need, wanting: &Wanting<'_>, sealer: &Sealer) -> Response<Answer> {
        let link = self.ask(need).link(&self.parts.keys, &*self.parts.rng, &self.parts.settings.public_url);
        let message = format!("{} Open the page to connect.", self.why(need));
        let request = elicitation(&json!({ "mode": "url", "url": link, "message": message }));
        let message = input_required(wanting.id.to_json(), KEY, &request, &sealer.mark(need.version));
        answer::json(StatusCode::OK, Answer::Whole(message.into()))
    }

    // spec: UP-63: "error -32042 with data.elicitations[] (each mode, elicitationId, url, message)"
    fn elicitation_required(&self, need: &Need, wanting: &Wanting<'_>) -> Refusal {
        let elicitation = portcullis_base::token::<16>(&*self.parts.rng);
        if let Some(session) = wanting.session {
            self.local.elicited.add(&session.id, &elicitation);
        }
        let ask = self.ask(need).elicited(elicitation.clone());
        let link = ask.link(&self.parts.keys, &*self.parts.rng, &self.parts.settings.public_url);
        let why = self.why(need);
        let text = format!("{why} Open {link} in a browser, connect, then repeat the call.");
        let asked = json!({ "mode": "url", "elicitationId": elicitation, "url": link, "message": why });
        let mut error = ProtocolError::new(URL_ELICITATION_REQUIRED, 200, text).with_id(Some(wanting.id));
        error.data = Some(Box::new(json!({ "elicitations": [asked] })));
        error.into()
    }

    fn ask(&self, need: &Need) -> Ask {
        let scopes = match &need.why {
            NeedWhy::MoreScope(scopes) => scopes.clone(),
            NeedWhy::NotConnected | NeedWhy::NeedsSignIn(_) => Vec::new(),
        };
        let (person, server) = (self.caller.person.clone(), self.server.name.clone());
        Ask::new(person, server, scopes, self.parts.clock.now(), &*self.parts.rng)
    }

    fn why(&self, need: &Need) -> String {
        let name = &self.server.name;
        match &need.why {
            NeedWhy::NotConnected => format!("You have not connected your account at {name} yet."),
            NeedWhy::NeedsSignIn(code) => format!("You have to sign in at {name} again. {}", explain(code)),
            NeedWhy::MoreScope(scopes) => {
                let scopes = portcullis_base::printable(&scopes.join(" "), 200);
                format!("{name} asks for more access than you gave: {scopes}.")
            }
        }
    }

    /// What is missing and what helps, with the page that is for everybody.
    pub(super) fn note(&self, lack: &Lack) -> String {
        match lack {
            Lack::Connect(need) => {
                let page = connect_link::page(&self.parts.settings.public_url, &self.server.name);
                format!("{} Open {page} in a browser, connect, then repeat the call.", self.why(need))
            }
            Lack::Refused(text) | Lack::Unavailable(text) => text.clone(),
        }
    }
}

/// A raw entry of `inputRequests` that asks for a page.
pub(super) fn elicitation(params: &Value) -> String {
    json!({ "method": "elicitation/create", "params": params }).to_string()
}

/// The answer that asks for input by one raw `request`, with our raw `state`.
pub(super) fn input_required(id: &str, key: &str, request: &str, state: &str) -> String {
    let requests = format!(r#"{{"{key}":{request}}}"#);
    let result = format!(r#"{{"resultType":"input_required","inputRequests":{requests},"requestState":{state}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn refused_by(text: &str, wanting: &Wanting<'_>) -> Refusal {
    ProtocolError::new(INVALID_PARAMS, 200, text).with_id(Some(wanting.id)).into()
}

fn asks(method: Method) -> bool {
    matches!(method, Method::PromptsGet | Method::ResourcesRead)
}

fn tool_error(text: &str, wanting: &Wanting<'_>) -> Response<Answer> {
    let result = completed(json!({ "content": [{ "type": "text", "text": text }], "isError": true }), wanting.era);
    let message = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, wanting.id.to_json());
    answer::json(StatusCode::OK, Answer::Whole(message.into()))
}
