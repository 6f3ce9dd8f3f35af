//! What an upstream says of itself, put right for the one who reads it: lists without what their reader may not use
//! (RS-27), only where there are rules at all, since access lists hide whole servers; and the revisions that are served here.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_base::{ServerName, Timestamp};
use portcullis_mcp::{Era, Method, Version, scan, tool};
use portcullis_policy::{Facts, Target, listed};

use super::{decide::facts, remembered::Keeper, rewrite::rewrite, toolbox::Uris};
use crate::{caller::Caller, snapshot::Snapshot};

/// What is put right in one answer.
pub(super) struct Sieve {
    what: Option<What>,
    /// Keeps the list for a time without its upstream.
    keeper: Option<Keeper>,
    whose: Whose,
    /// How URIs are written for the reader.
    uris: Option<Arc<Uris>>,
    method: Method,
}

/// Who may be shown an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Whoever the upstream says.
    Anybody,
    /// Nobody but the caller: their credential was shown for it.
    Callers,
}

enum What {
    /// A list.
    List(List),
    /// The answer to `server/discover`.
    Discovery(Discovery),
}

/// What is said of an endpoint besides what its upstream says.
pub(super) struct Discovery {
    /// Ways to a token that this endpoint takes.
    pub extensions: Vec<&'static str>,
}

/// Tokens of service accounts are taken.
pub(super) const CLIENT_CREDENTIALS: &str = "io.modelcontextprotocol/oauth-client-credentials";
/// Tokens that an identity provider arranged for are taken.
pub(super) const ENTERPRISE_MANAGED: &str = "io.modelcontextprotocol/enterprise-managed-authorization";

/// One list for one caller.
pub(super) struct List {
    snapshot: Arc<Snapshot>,
    caller: Caller,
    server: ServerName,
    now: Timestamp,
    method: Method,
    /// The revision's way of speaking: in one of them arguments travel in headers too.
    era: Era,
}

impl Sieve {
    /// For the answer to `method`; `None` if it is passed as it is.
    pub(super) fn of(
        snapshot: &Arc<Snapshot>,
        caller: &Caller,
        server: &ServerName,
        now: Timestamp,
        (method, era): (Method, Era),
        discovery: impl FnOnce() -> Discovery,
    ) -> Self {
        let lists = match method {
            Method::ToolsList => era == Era::Modern || !snapshot.bundle.is_empty(),
            Method::PromptsList | Method::ResourcesList => !snapshot.bundle.is_empty(),
            _ => false,
        };
        let what = match method {
            Method::Discover => Some(What::Discovery(discovery())),
            _ if lists => Some(What::List(List {
                snapshot: snapshot.clone(),
                caller: caller.clone(),
                server: server.clone(),
                now,
                method,
                era,
            })),
            _ => None,
        };
        Self { what, keeper: None, whose: Whose::Anybody, uris: None, method }
    }

    /// The same, with URIs as they are written at a toolbox.
    pub(super) fn through(self, uris: Option<Arc<Uris>>) -> Self {
        Self { uris, ..self }
    }

    /// For an answer that is `whose`, kept by `keeper`; `None` if it is passed as it is.
    pub(super) fn of_answer(self, whose: Whose, keeper: Option<Keeper>) -> Option<Self> {
        let sieve = Self { keeper, whose, ..self };
        let kept = sieve.what.is_some() || sieve.keeper.is_some() || sieve.uris.is_some();
        let idle = !kept && sieve.whose == Whose::Anybody;
        (!idle).then_some(sieve)
    }

    /// What is left to do where somebody else says whose the answer is: an answer that is only passed on need not be
    /// gathered for that.
    pub(super) fn without_whose(mut self) -> Option<Self> {
        let keeper = self.keeper.take();
        self.of_answer(Whose::Anybody, keeper)
    }

    /// Whether a rule keeps what is called `name` out of the list.
    pub(super) fn hides(&self, name: &str) -> bool {
        matches!(&self.what, Some(What::List(list)) if !list.shows(name))
    }

    /// The message put right; `None` if it is not what was expected.
    pub(super) fn strain(&self, message: &str) -> Option<Bytes> {
        if let Some(keeper) = &self.keeper {
            keeper.keep(message);
        }
        let strained = match &self.what {
            Some(What::List(list)) => list.strain(message),
            Some(What::Discovery(discovery)) => discovery.strain(message),
            None => self.uris.as_ref().and_then(|uris| uris.written(self.method, message)),
        };
        if self.whose == Whose::Anybody {
            return strained;
        }
        let private = made_private(strained.as_deref().and_then(|s| std::str::from_utf8(s).ok()).unwrap_or(message));
        private.or(strained)
    }

    /// A whole message, put right if it is what was expected.
    pub(super) fn apply(sieve: Option<&Self>, message: Bytes) -> Bytes {
        let Some(sieve) = sieve else { return message };
        std::str::from_utf8(&message).ok().and_then(|text| sieve.strain(text.trim())).unwrap_or(message)
    }
}

/// The message with a result that no cache shows to others; `None` if it says so already.
// spec: BR-90: "private as soon as the answer depends on user, policy or credentials"; T-50
fn made_private(message: &str) -> Option<Bytes> {
    let scope = scan::member(scan::member(message, "result")?, "cacheScope")?;
    if scope == "\"private\"" { None } else { rewrite(message, &mut [(scope, "\"private\"")]) }
}

impl Discovery {
    fn strain(&self, message: &str) -> Option<Bytes> {
        let result = scan::member(message, "result")?;
        // spec: TR-28, AG-11: one list, here and in `-32022`: what this endpoint serves.
        let supported = scan::member(result, "supportedVersions")?;
        let served = format!("[{}]", quoted(Version::SERVED.iter().map(|version| version.as_str())).join(","));
        let extended = self.extended(result);
        let mut edits = vec![(supported, served.as_str())];
        edits.extend(extended.as_ref().map(|(object, extended)| (*object, extended.as_str())));
        rewrite(message, &mut edits)
    }

    /// An object of `result` and what takes its place, so that the extensions are named.
    // spec: AS-162, AS-181: "in `capabilities.extensions`"
    fn extended<'m>(&self, result: &'m str) -> Option<(&'m str, String)> {
        let capabilities = scan::member(result, "capabilities").filter(|object| object.starts_with('{'))?;
        let known = scan::member(capabilities, "extensions").filter(|object| object.starts_with('{'));
        let missing =
            self.extensions.iter().filter(|name| known.is_none_or(|known| scan::member(known, name).is_none()));
        let missing = quoted(missing.copied()).iter().map(|name| format!("{name}:{{}}")).collect::<Vec<_>>().join(",");
        match known {
            _ if missing.is_empty() => None,
            Some(known) => Some((known, with(known, &missing))),
            None => Some((capabilities, with(capabilities, &format!("\"extensions\":{{{missing}}}")))),
        }
    }
}

fn quoted<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    texts.map(|text| format!("\"{text}\"")).collect()
}

/// `object` with `members` in front of its own.
fn with(object: &str, members: &str) -> String {
    let rest = object[1..].trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    format!("{{{members}{comma}{rest}")
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
            .filter(|entry| self.can_be_called(entry))
            .collect();
        let strained = format!("[{}]", kept.join(","));
        let mut edits = vec![(list, strained.as_str())];
        // spec: BR-90: "private as soon as the answer depends on user, policy or credentials"
        let scope = scan::member(result, "cacheScope").filter(|_| !self.snapshot.bundle.is_empty());
        edits.extend(scope.map(|scope| (scope, "\"private\"")));
        rewrite(message, &mut edits)
    }

    /// Whether a tool's definition says in a way that can be followed which arguments travel in headers.
    // spec: TR-128: "Exclude from listings any HTTP upstream tool with an invalid x-mcp-header", AG-23, T-70
    fn can_be_called(&self, entry: &str) -> bool {
        if self.method != Method::ToolsList || self.era != Era::Modern {
            return true;
        }
        let Err(why) = scan::member(entry, "inputSchema").map_or(Ok(Vec::new()), tool::annotations) else {
            return true;
        };
        let name = scan::member(entry, "name").and_then(scan::string).unwrap_or_default();
        let name = portcullis_base::printable(&name, 64);
        tracing::warn!(server.name = %self.server, tool = name, why, "a tool with an invalid x-mcp-header is left out");
        false
    }

    // spec: RS-27: "drop them from lists"
    fn shows(&self, name: &str) -> bool {
        let (method, target) = match self.method {
            Method::ToolsList => (Method::ToolsCall, Target::Tool(name)),
            Method::PromptsList => (Method::PromptsGet, Target::Prompt(name)),
            _ => (Method::ResourcesRead, Target::Resource(name)),
        };
        let Some(server) = self.snapshot.servers.get(&self.server) else { return false };
        let facts = Facts { target, ..facts(&self.caller, &self.server, method.name(), self.now) };
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
        let discovery = Discovery { extensions: Vec::new() };
        let told = discovery.strain(said).unwrap();
        let told = std::str::from_utf8(&told).unwrap();
        assert!(
            told.contains(
                r#""supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"],"capabilities""#
            ),
            "{told}"
        );
        assert!(discovery.strain(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":""}}"#).is_none());
    }

    // spec: AS-162, AS-181
    #[test]
    fn discovery_names_the_ways_to_a_token_beside_what_the_upstream_offers() {
        let discovery = Discovery { extensions: vec![CLIENT_CREDENTIALS, ENTERPRISE_MANAGED] };
        let ours = format!(r#""{CLIENT_CREDENTIALS}":{{}},"{ENTERPRISE_MANAGED}":{{}}"#);
        for (said, told) in [
            ("{}", format!(r#"{{"extensions":{{{ours}}}}}"#)),
            (r#"{ "tools":{}}"#, format!(r#"{{"extensions":{{{ours}}},"tools":{{}}}}"#)),
            (r#"{"extensions":{}}"#, format!(r#"{{"extensions":{{{ours}}}}}"#)),
            (r#"{"extensions":{"x/y":{"a":1}}}"#, format!(r#"{{"extensions":{{{ours},"x/y":{{"a":1}}}}}}"#)),
        ] {
            let message = format!(r#"{{"id":1,"result":{{"supportedVersions":[],"capabilities":{said}}}}}"#);
            let expected = format!(
                r#"{{"id":1,"result":{{"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"],"capabilities":{told}}}}}"#
            );
            assert_eq!(discovery.strain(&message).unwrap(), expected.as_bytes());
        }
    }
}
