//! Errors, in the codes that the other era knows.

use std::borrow::Cow;

use serde_json::Value;

use super::{Abilities, Input};
use crate::{
    message::{INTERNAL_ERROR, INVALID_PARAMS, MISSING_CAPABILITY, URL_ELICITATION_REQUIRED},
    method::Method,
    object::{Object, quoted},
    scan::{self, Kind},
};

/// A resource is not there: until 2025-11-25.
pub const RESOURCE_NOT_FOUND: i64 = -32002;

/// What an error of a legacy server is to a client of 2026-07-28.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The raw error.
    Error(String),
    /// No error: the person has to open these pages first. Raw entries for `inputRequests`, one for each page; the call
    /// is made anew when they are answered.
    Input(Vec<String>),
}

/// An error of a modern server for a legacy client.
pub(super) fn down(method: Method, raw: &str) -> Cow<'_, str> {
    let Some(mut error) = Object::read(raw) else { return Cow::Borrowed(raw) };
    let data = error.raw("data");
    match code(raw) {
        // spec: BR-32: "only when the upstream marks it by data.uri"
        Some(INVALID_PARAMS)
            if method == Method::ResourcesRead && data.is_some_and(|data| scan::member(data, "uri").is_some()) =>
        {
            error.set("code", RESOURCE_NOT_FOUND.to_string());
        }
        // spec: BR-33: "-32021 becomes -32602 whose message names the missing capability"
        Some(MISSING_CAPABILITY) => {
            let missing = data.and_then(|data| scan::member(data, "requiredCapabilities"));
            let message = match missing.map(named).filter(|names| !names.is_empty()) {
                Some(names) => format!("This needs a capability that the client did not declare: {}", names.join(", ")),
                None => "This needs a capability that the client did not declare".to_owned(),
            };
            error.set("code", INVALID_PARAMS.to_string());
            error.set("message", quoted(&message));
            error.remove("data");
        }
        // spec: BR-33: "Never show -32020, -32021, -32022 to a legacy client"
        Some(-32099..=-32020) => {
            error.set("code", INTERNAL_ERROR.to_string());
            error.remove("data");
        }
        _ => {}
    }
    error.finish()
}

/// An error of a legacy server for a modern client that can do `abilities`; `params` are those of its request.
pub(super) fn up(method: Method, params: Option<&str>, raw: &str, abilities: &Abilities) -> Failure {
    let mut error = Object::read(raw).unwrap_or_default();
    match code(raw) {
        // spec: BR-54: "Upstream -32002 becomes -32602 with data.uri"
        Some(RESOURCE_NOT_FOUND) => {
            error.set("code", INVALID_PARAMS.to_string());
            let said = error.raw("data").filter(|data| scan::kind(data) == Kind::Object);
            let mut data = said.and_then(Object::read).unwrap_or_default();
            let asked = params.and_then(|params| scan::member(params, "uri"));
            let uri = said.and_then(|data| scan::member(data, "uri")).or(asked);
            if let Some(uri) = uri.filter(|uri| scan::kind(uri) == Kind::String) {
                data.set("uri", uri);
                error.set("data", data.finish().into_owned());
            }
        }
        Some(URL_ELICITATION_REQUIRED) => return pages(method, raw, abilities),
        // spec: TR-70: "any undefined code in -32020..-32099"; one of these codes would have to say more than the
        // server did, and what the ones above them mean is known to the server alone
        Some(-32099..=-32000) | None => error.set("code", INTERNAL_ERROR.to_string()),
        Some(_) => {}
    }
    if error.text("message").is_none() {
        error.set("message", "\"The server gave no reason\"");
    }
    Failure::Error(error.finish().into_owned())
}

/// What becomes of `-32042`.
///
/// spec: BR-52
fn pages(method: Method, raw: &str, abilities: &Abilities) -> Failure {
    let asks = matches!(method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead);
    if !asks || !abilities.pages {
        let message = scan::member(raw, "message").filter(|raw| scan::kind(raw) == Kind::String);
        let message = message.unwrap_or("\"A page has to be opened first\"");
        return Failure::Error(format!(
            r#"{{"code":{MISSING_CAPABILITY},"message":{message},"data":{{"requiredCapabilities":{{"elicitation":{{"url":{{}}}}}}}}}}"#
        ));
    }
    let listed = scan::member(raw, "data").and_then(|data| scan::member(data, "elicitations")).unwrap_or_default();
    let entries: Option<Vec<String>> = scan::elements(listed).map(page).collect();
    match entries.filter(|entries| !entries.is_empty()) {
        Some(entries) => Failure::Input(entries),
        None => Failure::Error(format!(
            r#"{{"code":{INTERNAL_ERROR},"message":"The server asks for a page to be opened and does not say which"}}"#
        )),
    }
}

fn page(elicitation: &str) -> Option<String> {
    let mut params = Object::read(elicitation)?;
    params.text("url")?;
    params.set("mode", "\"url\"");
    if params.text("message").is_none() {
        params.set("message", "\"Please open the page\"");
    }
    // spec: BR-53: "Strip elicitationId from bridged URL elicitations"
    params.remove("elicitationId");
    Some(Input::Elicitation.entry(Some(&params.finish())))
}

/// `elicitation.url`, `sampling` and the like: the names in the raw capabilities, as far down as they go.
fn named(capabilities: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut open: Vec<(String, Value)> = Vec::new();
    open.extend(serde_json::from_str(capabilities).ok().map(|value| (String::new(), value)));
    while let Some((path, value)) = open.pop() {
        let path = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for (name, inner) in value.as_object().into_iter().flatten() {
            if inner.as_object().is_some_and(|inner| !inner.is_empty()) {
                open.push((path(name), inner.clone()));
            } else {
                names.push(path(name));
            }
        }
    }
    names.sort_unstable();
    names.truncate(8);
    names
}

fn code(raw: &str) -> Option<i64> {
    scan::member(raw, "code").and_then(|code| code.parse().ok())
}
