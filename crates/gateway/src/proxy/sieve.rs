//! What an upstream says of itself, put right for the one who reads it: lists without what their reader may not use
//! (RS-27), only where there are rules at all, since access lists hide whole servers; and the revisions that are served here.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_base::{ServerName, Timestamp};
use portcullis_mcp::{Method, Version, scan};
use portcullis_policy::{Facts, Target, listed};

use super::{decide::roles, rewrite::rewrite};
use crate::{caller::Caller, snapshot::Snapshot};

/// What is put right in one answer.
pub(super) enum Sieve {
    /// A list.
    List(List),
    /// The answer to `server/discover`.
    Discovery(Arc<[Version]>),
}

/// One list for one caller.
pub(super) struct List {
    snapshot: Arc<Snapshot>,
    caller: Caller,
    server: ServerName,
    now: Timestamp,
    method: Method,
}

impl Sieve {
    /// For the answer to `method`; `None` if it is passed as it is.
    pub(super) fn of(
        snapshot: &Arc<Snapshot>,
        caller: &Caller,
        server: &ServerName,
        now: Timestamp,
        method: Method,
        versions: impl FnOnce() -> Option<Arc<[Version]>>,
    ) -> Option<Self> {
        match method {
            Method::Discover => versions().map(Self::Discovery),
            Method::ToolsList | Method::PromptsList | Method::ResourcesList if !snapshot.bundle.is_empty() => {
                Some(Self::List(List {
                    snapshot: snapshot.clone(),
                    caller: caller.clone(),
                    server: server.clone(),
                    now,
                    method,
                }))
            }
            _ => None,
        }
    }

    /// The message put right; `None` if it is not what was expected.
    pub(super) fn strain(&self, message: &str) -> Option<Bytes> {
        match self {
            Self::List(list) => list.strain(message),
            Self::Discovery(versions) => discovery(message, versions),
        }
    }

    /// A whole message, put right if it is what was expected.
    pub(super) fn apply(sieve: Option<&Self>, message: Bytes) -> Bytes {
        let Some(sieve) = sieve else { return message };
        std::str::from_utf8(&message).ok().and_then(|text| sieve.strain(text.trim())).unwrap_or(message)
    }
}

/// spec: TR-28, AG-11: one list, here and in `-32022`: what this endpoint serves.
fn discovery(message: &str, versions: &[Version]) -> Option<Bytes> {
    let supported = scan::member(scan::member(message, "result")?, "supportedVersions")?;
    let served: Vec<_> = versions.iter().map(|version| format!("\"{}\"", version.as_str())).collect();
    rewrite(message, &mut [(supported, format!("[{}]", served.join(",")).as_str())])
}

impl List {
    /// The message with the list strained; `None` if it is no list.
    fn strain(&self, message: &str) -> Option<Bytes> {
        let (member, name) = match self.method {
            Method::ToolsList => ("tools", "name"),
            Method::PromptsList => ("prompts", "name"),
            _ => ("resources", "uri"),
        };
        let result = scan::member(message, "result")?;
        let list = scan::member(result, member)?;
        let kept: Vec<&str> = scan::elements(list)
            .filter(|entry| scan::member(entry, name).and_then(scan::string).is_some_and(|name| self.shows(&name)))
            .collect();
        let strained = format!("[{}]", kept.join(","));
        let mut edits = vec![(list, strained.as_str())];
        // spec: BR-90: "private as soon as the answer depends on user, policy or credentials"
        edits.extend(scan::member(result, "cacheScope").map(|scope| (scope, "\"private\"")));
        rewrite(message, &mut edits)
    }

    // spec: RS-27: "drop them from lists"
    fn shows(&self, name: &str) -> bool {
        let (method, target) = match self.method {
            Method::ToolsList => (Method::ToolsCall, Target::Tool(name)),
            Method::PromptsList => (Method::PromptsGet, Target::Prompt(name)),
            _ => (Method::ResourcesRead, Target::Resource(name)),
        };
        let Some(server) = self.snapshot.servers.get(&self.server) else { return false };
        let facts = Facts {
            person: &self.caller.person,
            name: &self.caller.name,
            groups: &self.caller.groups,
            roles: roles(&self.caller),
            client: &self.caller.client,
            server: &self.server,
            method: method.name(),
            target,
            arguments: None,
            now: self.now,
        };
        listed(&self.snapshot.bundle, &server.access, &facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: TR-28, AG-11
    #[test]
    fn discovery_names_what_is_served_here() {
        let said = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28","2099-01-01"],"capabilities":{}}}"#;
        let told = discovery(said, &[Version::V2026_07_28, Version::V2025_11_25]).unwrap();
        let told = std::str::from_utf8(&told).unwrap();
        assert!(told.contains(r#""supportedVersions":["2026-07-28","2025-11-25"],"capabilities""#), "{told}");
        assert!(discovery(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":""}}"#, &[]).is_none());
    }
}
