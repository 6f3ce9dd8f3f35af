//! Up: what a server of an older revision says, in today's words.

use std::borrow::Cow;

use super::{
    Abilities, Asked, Failure, Input, Malformed, Revision,
    abilities::offered,
    content,
    down::without_hop,
    fault,
    meta::{strip, strip_request},
    question, reply,
};
use crate::{
    Version,
    message::{Call, META_SERVER_INFO},
    method::Method,
    object::{Object, quoted},
    scan::{self, Kind},
};

/// Translation for a server of an older revision.
#[derive(Clone, Copy, Debug)]
pub struct Up(pub(super) &'static Revision);

impl Up {
    /// The server's revision.
    pub fn version(self) -> Version {
        self.0.version
    }

    /// What the server is told of a client: the raw `capabilities` for `initialize`.
    ///
    /// The same text for clients that are the same to the server, so it serves as a key of the sessions that they share
    /// (BR-40).
    ///
    /// spec: BR-3
    pub fn capabilities(self, abilities: &Abilities) -> String {
        abilities.for_server(self.0)
    }

    /// The parameters of `initialize`, for a client of which the gateway says `client_info` (raw).
    pub fn initialize_params(self, abilities: &Abilities, client_info: &str) -> String {
        let mut out = Object::new();
        out.set("protocolVersion", quoted(self.0.version.as_str()));
        out.set("capabilities", self.capabilities(abilities));
        out.set("clientInfo", client_info);
        out.finish().into_owned()
    }

    /// The result of `server/discover`, from the result of `initialize`.
    ///
    /// spec: BR-41
    pub fn discovery(self, initialized: &str) -> String {
        let mut out = Object::new();
        out.set("resultType", "\"complete\"");
        out.set("ttlMs", "0");
        out.set("cacheScope", "\"private\"");
        out.set("supportedVersions", format!("[{}]", quoted(Version::V2026_07_28.as_str())));
        let initialized = Object::read(initialized).unwrap_or_default();
        let mut capabilities = offered(initialized.raw("capabilities").unwrap_or("{}"));
        // The first revision had completion and no way to say so; a server that lacks it says so when asked.
        if self.0.version == Version::V2024_11_05
            && (capabilities.get("prompts").is_some() || capabilities.get("resources").is_some())
            && capabilities.get("completions").is_none()
        {
            capabilities.set("completions", "{}");
        }
        out.set("capabilities", capabilities.finish());
        if let Some(instructions) = initialized.raw("instructions").filter(|raw| scan::kind(raw) == Kind::String) {
            out.set("instructions", instructions);
        }
        let mut meta = Object::new();
        if let Some(info) = initialized.raw("serverInfo").filter(|raw| scan::kind(raw) == Kind::Object) {
            meta.set(META_SERVER_INFO, info);
            out.set("_meta", meta.finish());
        }
        out.finish().into_owned()
    }

    /// The parameters of a request of today as the server's revision has them. `progress_token` (raw) is ours, for a
    /// client that wants to hear of progress.
    ///
    /// spec: BR-59: "Send a modern _meta protocol key to a legacy upstream"
    pub fn request_params(self, params: Option<&str>, progress_token: Option<&str>) -> String {
        let raw = params.unwrap_or("{}");
        let mut params = Object::read(raw).unwrap_or_default();
        // spec: BR-46: answers go to the request that waits for them, never with a call
        for name in ["task", "inputResponses", "requestState"] {
            params.remove(name);
        }
        strip_request(&mut params, progress_token);
        params.finish().into_owned()
    }

    /// The result of `method` in today's words. A task in its place is recognised before
    /// ([`Task::created_in_2025`](super::Task::created_in_2025)).
    ///
    /// spec: BR-55: "Add resultType: complete to every result, caching fields to the six cacheable results"
    pub fn result(self, method: Method, result: &str) -> Cow<'_, str> {
        let Some(mut object) = Object::read(result) else { return Cow::Borrowed(result) };
        strip(&mut object);
        // What a server of this revision says there by chance is not what it would mean today.
        for name in ["inputRequests", "requestState"] {
            object.remove(name);
        }
        object.set("resultType", "\"complete\"");
        if is_cacheable(method) {
            // spec: BR-91: "a part without fields (legacy) counts as ttlMs 0, private"
            object.set("ttlMs", "0");
            object.set("cacheScope", "\"private\"");
        }
        match method {
            Method::ToolsList => {
                if let Some(tools) = object.raw("tools") {
                    object.set("tools", content::modern_tools(tools));
                }
            }
            Method::ToolsCall if object.get("content").is_none() => {
                let text = |structured| format!(r#"[{{"type":"text","text":{}}}]"#, quoted(structured));
                object.set("content", object.raw("structuredContent").map_or("[]".to_owned(), text));
            }
            _ => {}
        }
        object.finish()
    }

    /// What the raw error of `method`, asked with `params` for a client that can do `abilities`, is today.
    ///
    /// spec: BR-52, BR-54, TR-70
    pub fn error(self, method: Method, params: Option<&str>, error: &str, abilities: &Abilities) -> Failure {
        fault::up(method, params, error, abilities)
    }

    /// A notification of the server, whole; `None` if it means nothing to a client of today.
    ///
    /// The progress token is still ours; the subscription that the notification belongs to is set by whoever has it.
    pub fn notification<'a>(self, call: &Call<'a>) -> Option<Cow<'a, str>> {
        let method = call.known.filter(|method| method.from_server() && method.exists_in(Version::V2026_07_28))?;
        // spec: BR-53, BR-80: `notifications/elicitation/complete` is consumed, and tasks of 2025-11-25 are none of today
        let ours = matches!(method, Method::Cancelled | Method::TaskStatus | Method::SubscriptionsAcknowledged);
        (!ours).then(|| without_hop(call))
    }

    /// What becomes of a request that the server makes while a call is open, for a client that can do `abilities`.
    ///
    /// spec: BR-44
    pub fn asked(self, request: &Call<'_>, abilities: &Abilities) -> Asked {
        question::asked(request, abilities)
    }

    /// A raw entry of `inputResponses` as the result of the request of the server that waits for it.
    pub fn answer(self, input: Input, entry: &str) -> Result<String, Malformed> {
        reply::answer_for(self.0, input, entry)
    }
}

/// spec: TR-71
fn is_cacheable(method: Method) -> bool {
    matches!(
        method,
        Method::Discover
            | Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourceTemplatesList
            | Method::ResourcesRead
    )
}
