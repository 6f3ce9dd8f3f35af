//! Requests at a toolbox: each becomes requests at the servers behind it, made in this process and judged, credentialed and
//! recorded as at those servers' own endpoints. So a rule about a tool holds whichever way the tool is called (T-105).

mod ask;
mod calls;
mod cursor;
mod discover;
mod gather;
mod listen;
mod lists;
mod search;
mod shelf;
mod staying;
mod tasks;
mod uris;

use http::{Response, StatusCode};
use portcullis_mcp::{
    Headers, Message, Method, ProtocolError, Version,
    message::{Call, INVALID_PARAMS, META_CLIENT_CAPABILITIES},
    object::Object,
    scan,
};

pub(super) use self::{shelf::Shelf, uris::Uris};
use super::{
    abilities::RELAYED,
    answer::{self, Answer},
    refusal::Refusal,
    turn::Visit,
};
use crate::{
    snapshot::Server,
    toolbox::{Share, Toolbox},
};

/// A toolbox, as one request finds it.
pub(super) struct Unboxed<'a> {
    visit: Visit<'a>,
    toolbox: &'a Toolbox,
    /// The raw `_meta` of requests to servers.
    meta: String,
}

/// What a toolbox takes of a server that the caller may use.
#[derive(Clone, Copy)]
struct Part<'a> {
    share: &'a Share,
    server: &'a Server,
}

impl<'a> Unboxed<'a> {
    pub(super) fn new(visit: Visit<'a>, toolbox: &'a Toolbox) -> Self {
        Self { visit, toolbox, meta: "{}".to_owned() }
    }

    /// For requests of a session, whose `params` have the `_meta` that goes with each.
    pub(super) fn asking(visit: Visit<'a>, toolbox: &'a Toolbox, params: &str) -> Self {
        Self { meta: scan::member(params, "_meta").unwrap_or("{}").to_owned(), ..Self::new(visit, toolbox) }
    }

    /// Serves one modern message, with the headers that came with it.
    pub(super) async fn modern(
        mut self,
        headers: Option<&Headers<'_>>,
        message: &Message<'_>,
        version: Version,
        method: Option<Method>,
    ) -> Result<Response<Answer>, Refusal> {
        let (Message::Request(call), Some(method)) = (message, method) else {
            // What a client says unasked is for one server, and here nobody can tell which.
            return Ok(answer::empty(StatusCode::ACCEPTED));
        };
        self.meta = relayed(call);
        match method {
            Method::Discover => self.discover(call).await,
            Method::ToolsList | Method::PromptsList | Method::ResourcesList | Method::ResourceTemplatesList => {
                self.list(call, method).await
            }
            Method::ToolsCall => Box::pin(self.call(headers, call, version)).await,
            Method::PromptsGet => Box::pin(self.prompt(headers, call, version)).await,
            Method::ResourcesRead => Box::pin(self.read(headers, call, version)).await,
            Method::Complete => Box::pin(self.complete(headers, call, version)).await,
            Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => {
                Box::pin(self.task(headers, call, version, method)).await
            }
            Method::SubscriptionsListen => self.listen(call).await,
            _ => Err(ProtocolError::method_not_found(&call.method).with_id(call.id).into()),
        }
    }

    /// The servers that the caller may use, in the order of the toolbox.
    // spec: T-55: what a caller may not use is not here for them.
    fn parts(&self) -> impl Iterator<Item = Part<'a>> {
        let Visit { snapshot, caller, parts, .. } = self.visit;
        let now = parts.clock.now();
        self.toolbox.shares.iter().filter_map(move |share| {
            let server = snapshot.servers.get(&share.server)?;
            // spec: RS-21: who issues the tokens of a server's endpoint decides alone who gets there.
            let ours = parts.externals.get(&server.name).is_none();
            (ours && server.access.admits(caller.guest(now))).then_some(Part { share, server })
        })
    }
}

/// The `_meta` of a call as it goes on: without extensions that are not relayed.
fn relayed(call: &Call<'_>) -> String {
    let Some(mut meta) = call.meta.raw.and_then(Object::read) else { return "{}".to_owned() };
    if let Some(capabilities) = call.meta.client_capabilities
        && let Some(left) = relayable(capabilities)
    {
        meta.set(META_CLIENT_CAPABILITIES, left);
    }
    meta.finish().into_owned()
}

/// Capabilities without extensions that are not relayed; `None` if there are none of these.
fn relayable(capabilities: &str) -> Option<String> {
    let known = scan::member(capabilities, "extensions")?;
    let mut extensions = Object::read(known)?;
    extensions.retain(|name, _| RELAYED.contains(&name));
    let mut capabilities = Object::read(capabilities)?;
    if extensions.is_empty() {
        capabilities.remove("extensions");
    } else {
        capabilities.set("extensions", extensions.finish());
    }
    Some(capabilities.finish().into_owned())
}

/// An answer of ours.
fn said(call: &Call<'_>, result: &str) -> Response<Answer> {
    let id = call.id.map_or("null", |id| id.to_json());
    let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    answer::json(StatusCode::OK, Answer::Whole(message.into()))
}

/// What is asked for is not here. An answer to the call, as a server would give it, and not to its transport.
fn unknown(text: impl Into<String>, call: &Call<'_>) -> Refusal {
    ProtocolError::new(INVALID_PARAMS, 200, text).with_id(call.id).into()
}
