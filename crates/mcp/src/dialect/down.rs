//! Down: what is said today, in the words of a client of an older revision.

use std::borrow::Cow;

use super::{
    Abilities, Ask, Input, Malformed, Revision, Stamp,
    abilities::offered,
    content, fault,
    meta::{stamp, strip},
    question, reply,
};
use crate::{
    Version,
    message::Call,
    method::Method,
    object::{Object, quoted},
    scan::{self, Kind},
};

/// Translation for a client of an older revision.
#[derive(Clone, Copy, Debug)]
pub struct Down(pub(super) &'static Revision);

impl Down {
    /// The client's revision.
    pub fn version(self) -> Version {
        self.0.version
    }

    /// What the client can be asked for, from the raw `capabilities` of its `initialize`.
    ///
    /// A client that cannot be reached on the stream of its request has none: [`Abilities::default`] (BR-25).
    ///
    /// spec: BR-3
    pub fn abilities(self, capabilities: &str) -> Abilities {
        Abilities::of_client(self.0, capabilities)
    }

    /// The answer to `initialize`, from the result of `server/discover` and what the gateway says it is (raw).
    ///
    /// spec: BR-20
    pub fn initialize_result(self, discovery: &str, server_info: &str) -> String {
        let mut out = Object::new();
        out.set("protocolVersion", quoted(self.0.version.as_str()));
        let discovery = Object::read(discovery).unwrap_or_default();
        out.set("capabilities", offered(discovery.raw("capabilities").unwrap_or("{}")).finish());
        out.set("serverInfo", server_info);
        if let Some(instructions) = discovery.raw("instructions").filter(|raw| scan::kind(raw) == Kind::String) {
            out.set("instructions", instructions);
        }
        out.finish().into_owned()
    }

    /// The parameters of a request as one of today.
    ///
    /// What only a modern client says (`inputResponses`, `requestState`) or only a legacy one (`task`) is not passed on.
    ///
    /// spec: BR-21
    pub fn request_params(self, params: Option<&str>, with: &Stamp<'_>) -> String {
        let raw = params.unwrap_or("{}");
        let mut params = Object::read(raw).unwrap_or_default();
        // spec: BR-84: "ignore a task parameter"; and spec: BR-61: a state comes from us or from nobody
        for name in ["task", "inputResponses", "requestState"] {
            params.remove(name);
        }
        stamp(&mut params, with);
        params.finish().into_owned()
    }

    /// The complete result of `method` in the client's words.
    ///
    /// spec: BR-23: "Strip resultType, ttlMs, cacheScope and modern _meta keys from results for legacy clients"
    pub fn result(self, method: Method, result: &str) -> Cow<'_, str> {
        let Some(mut object) = Object::read(result) else { return Cow::Borrowed(result) };
        for name in ["resultType", "ttlMs", "cacheScope"] {
            object.remove(name);
        }
        strip(&mut object);
        match method {
            Method::ToolsCall => content::tool_result(self.0, &mut object),
            Method::ToolsList => {
                if let Some(tools) = object.raw("tools") {
                    object.set("tools", content::tools(tools));
                }
            }
            Method::PromptsGet => {
                if let Some(messages) = object.raw("messages") {
                    object.set("messages", content::messages(self.0, messages));
                }
            }
            _ => {}
        }
        object.finish()
    }

    /// The raw error (the object with `code` and `message`) of `method` in the client's codes.
    ///
    /// spec: BR-32, BR-33
    pub fn error(self, method: Method, error: &str) -> Cow<'_, str> {
        fault::down(method, error)
    }

    /// A notification for the client, whole; `None` if there is none like it in its revision.
    ///
    /// The progress token is still ours.
    pub fn notification<'a>(self, call: &Call<'a>) -> Option<Cow<'a, str>> {
        let method = call.known.filter(|method| method.from_server() && method.exists_in(self.0.version))?;
        // Ids of requests and of tasks are ours, and what became of these the client learns from the answer.
        if matches!(method, Method::Cancelled | Method::TaskStatus | Method::ElicitationComplete) {
            return None;
        }
        // spec: BR-71: "strip subscriptionId"
        Some(without_hop(call))
    }

    /// How the client is asked what the raw entry of `inputRequests` asks for.
    ///
    /// `elicitation_id` names a page to open, for clients whose revision wants it named. An entry that asks for what no
    /// client gives, or is none, is a fault of the server (BR-63).
    ///
    /// spec: BR-24
    pub fn ask(self, entry: &str, abilities: &Abilities, elicitation_id: &str) -> Result<Ask, Malformed> {
        question::ask(self.0, entry, abilities, elicitation_id)
    }

    /// The raw result of the client's answer as an entry of `inputResponses`.
    pub fn answer(self, input: Input, result: &str) -> Result<String, Malformed> {
        reply::answer(input, result).map(|answer| answer.finish().into_owned())
    }
}

/// The notification without keys of its hop.
pub(super) fn without_hop<'a>(call: &Call<'a>) -> Cow<'a, str> {
    let (Some(mut message), Some(mut params)) = (Object::read(call.raw), call.params.and_then(Object::read)) else {
        return Cow::Borrowed(call.raw);
    };
    strip(&mut params);
    message.set("params", params.finish());
    message.finish()
}
