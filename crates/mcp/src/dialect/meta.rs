//! `_meta`: what belongs to one hop is taken away and made anew, everything else goes through.

use super::{Abilities, Level};
use crate::{
    Version,
    message::{
        META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_PROTOCOL_VERSION, META_SERVER_INFO,
        META_SUBSCRIPTION_ID,
    },
    object::{Object, quoted},
    trace::travels,
};

/// `_meta` key of the task that something belongs to (2025-11-25).
pub(super) const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
/// `_meta` key of what a model is told while a task runs (2025-11-25).
const IMMEDIATE_RESPONSE: &str = "io.modelcontextprotocol/model-immediate-response";
/// Key of the name under which progress is told.
const PROGRESS_TOKEN: &str = "progressToken";

/// Keys that one era reserves and that mean nothing, or something else, in the other.
///
/// spec: BR-2, BR-9, BR-23, BR-59
const OF_ONE_HOP: [&str; 8] = [
    META_PROTOCOL_VERSION,
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_SUBSCRIPTION_ID,
    META_SERVER_INFO,
    RELATED_TASK,
    IMMEDIATE_RESPONSE,
];

/// What a request of today carries in `_meta`.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Who asks: the raw description of a client.
    pub client_info: &'a str,
    /// What the client can be asked for.
    pub abilities: &'a Abilities,
    /// From which level on the client reads log messages.
    pub log_level: Option<Level>,
    /// The raw token of ours under which progress is told; without one none is.
    pub progress_token: Option<&'a str>,
}

/// Takes the keys of one hop out of the `_meta` of `object`.
pub(super) fn strip(object: &mut Object<'_>) {
    let Some(meta) = object.raw("_meta") else { return };
    let mut meta = Object::read(meta).unwrap_or_default();
    meta.retain(|name, _| !OF_ONE_HOP.contains(&name));
    put(object, meta);
}

/// As [`strip`], and the progress token is replaced by `token`, or taken away.
pub(super) fn strip_request<'a>(object: &mut Object<'a>, token: Option<&'a str>) {
    let mut meta = kept(object);
    // spec: BR-6: "request a private progressToken upstream"
    if let Some(token) = token {
        meta.set(PROGRESS_TOKEN, token);
    }
    put(object, meta);
}

/// As [`strip_request`], and filled with what a request of today has to say.
///
/// spec: BR-21: "stamp every upstream request with _meta version, clientInfo, mapped clientCapabilities, and logLevel"
pub(super) fn stamp<'a>(object: &mut Object<'a>, stamp: &Stamp<'a>) {
    let mut meta = kept(object);
    meta.set(META_PROTOCOL_VERSION, quoted(Version::V2026_07_28.as_str()));
    meta.set(META_CLIENT_INFO, stamp.client_info);
    meta.set(META_CLIENT_CAPABILITIES, stamp.abilities.to_json());
    if let Some(level) = stamp.log_level {
        meta.set(META_LOG_LEVEL, quoted(level.as_str()));
    }
    if let Some(token) = stamp.progress_token {
        meta.set(PROGRESS_TOKEN, token);
    }
    object.set("_meta", meta.finish().into_owned());
}

/// What a request's `_meta` says beyond its hop: keys of vendors, and where it stands in a trace.
fn kept<'a>(object: &Object<'a>) -> Object<'a> {
    let mut meta = object.raw("_meta").and_then(Object::read).unwrap_or_default();
    meta.retain(|name, value| name != PROGRESS_TOKEN && !OF_ONE_HOP.contains(&name) && travels(name, value));
    meta
}

fn put<'a>(object: &mut Object<'a>, meta: Object<'a>) {
    if meta.is_empty() {
        object.remove("_meta");
    } else {
        object.set("_meta", meta.finish());
    }
}
