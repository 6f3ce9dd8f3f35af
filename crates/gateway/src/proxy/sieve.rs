//! What an upstream says of itself, put right for the one who reads it: lists without what their reader may not use
//! (RS-27), tools with hints that are true (T-75), and the revisions that are served here.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use portcullis_base::{Holder, ServerName, Timestamp};
use portcullis_mcp::{Era, Method, Version, message::INTERNAL_ERROR, scan, tool};
use portcullis_policy::{Facts, Target, listed};
use serde_json::json;

use super::{
    decide::{At, facts},
    here::completed,
    remembered::Keeper,
    rewrite::rewrite,
    toolbox::Uris,
    turn::Turn,
};
use crate::{
    caller::Caller,
    snapshot::{Server, Snapshot},
    tools::{Part, Risk, Sheet, hinted},
    upstream::Upstream,
    veil::{HeldBack, Veil},
};

/// What is put right in one answer.
pub(super) struct Sieve {
    what: Option<What>,
    /// Keeps the list for a time without its upstream.
    keeper: Option<Keeper>,
    whose: Whose,
    /// How URIs are written for the reader.
    uris: Option<Arc<Uris>>,
    /// What is masked in it, and how much of it is let through.
    veil: Option<Arc<Veil>>,
    method: Method,
    era: Era,
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
    List(Box<List>),
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

/// To whom a list was shown, and when.
pub(super) struct Shown {
    /// Whose it is; `None` for everybody's.
    pub holder: Option<Holder>,
    pub came: Came,
}

/// When a list was shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Just now, by its server; this part of it.
    Now(Part),
    /// Some time ago.
    Remembered,
}

/// One list for one caller.
pub(super) struct List {
    snapshot: Arc<Snapshot>,
    caller: Caller,
    upstream: Arc<Upstream>,
    shown: Shown,
    server: ServerName,
    /// Where it is read: at the server's own endpoint, or at a toolbox.
    endpoint: ServerName,
    address: Option<IpAddr>,
    now: Timestamp,
    method: Method,
    /// The revision's way of speaking: in one of them arguments travel in headers too.
    era: Era,
}

impl Sieve {
    /// For the answer to `method`; `None` if it is passed as it is.
    pub(super) fn of(
        turn: &Turn<'_>,
        (method, era): (Method, Era),
        shown: Shown,
        discovery: impl FnOnce() -> Discovery,
    ) -> Self {
        let hides = !turn.snapshot.bundle.is_empty() || turn.server.access.denies();
        let lists = match method {
            Method::ToolsList => true,
            Method::PromptsList | Method::ResourcesList => hides,
            _ => false,
        };
        let what = match method {
            Method::Discover => Some(What::Discovery(discovery())),
            _ if lists => Some(What::List(Box::new(List {
                snapshot: turn.snapshot.clone(),
                caller: turn.caller.clone(),
                upstream: turn.upstream.clone(),
                shown,
                server: turn.server.name.clone(),
                endpoint: turn.endpoint.clone(),
                address: turn.address,
                now: turn.parts.clock.now(),
                method,
                era,
            }))),
            _ => None,
        };
        Self { what, keeper: None, whose: Whose::Anybody, uris: None, veil: None, method, era }
    }

    /// For what is said on a stream of a session, whatever it answers.
    pub(super) fn veiling(veil: Arc<Veil>) -> Self {
        let (what, keeper, uris) = (None, None, None);
        Self { what, keeper, whose: Whose::Anybody, uris, veil: Some(veil), method: Method::Ping, era: Era::Legacy }
    }

    /// The same, with parts of it masked and the rest no larger than it may be.
    pub(super) fn veiled(self, veil: Option<Arc<Veil>>) -> Self {
        Self { veil, ..self }
    }

    /// What of a message may be seen; `Err`: what is said in its place, and what the record says of that. Then there is
    /// nothing to say in the place of what is no answer.
    pub(super) fn lift(&self, message: &str) -> Result<Option<String>, (Option<String>, &'static str)> {
        let Some(veil) = &self.veil else { return Ok(None) };
        veil.answer(message).map_err(|why| (self.held_back(message, why), why.note()))
    }

    /// Whether something is looked for in it that must not be passed on.
    pub(super) fn is_veiled(&self) -> bool {
        self.veil.is_some()
    }

    /// The answer in the place of one that is held back.
    pub(super) fn held_back(&self, message: &str, why: HeldBack) -> Option<String> {
        let id = scan::member(message, "id").filter(|_| scan::member(message, "method").is_none())?;
        Some(self.apology(id, why))
    }

    /// The same for the request with this raw id.
    pub(super) fn apology(&self, id: &str, why: HeldBack) -> String {
        if self.method == Method::ToolsCall {
            let text = why.to_string();
            let result = completed(json!({ "content": [{ "type": "text", "text": text }], "isError": true }), self.era);
            return format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        }
        let error = json!({ "code": INTERNAL_ERROR, "message": why.to_string() });
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
    }

    /// The same, with URIs as they are written at a toolbox.
    pub(super) fn through(self, uris: Option<Arc<Uris>>) -> Self {
        Self { uris, ..self }
    }

    /// For an answer that is `whose`, kept by `keeper`; `None` if it is passed as it is.
    pub(super) fn of_answer(self, whose: Whose, keeper: Option<Keeper>) -> Option<Self> {
        let sieve = Self { keeper, whose, ..self };
        let kept = sieve.what.is_some() || sieve.keeper.is_some() || sieve.uris.is_some() || sieve.veil.is_some();
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
        matches!(&self.what, Some(What::List(list)) if !list.shows(name, &list.risk(name)))
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
        let sheet = (self.method == Method::ToolsList).then(|| self.learned(list));
        let mut strained = String::with_capacity(list.len() + list.len() / 4);
        strained.push('[');
        for entry in scan::elements(list) {
            let Some(name) = scan::member(entry, name).and_then(scan::string) else { continue };
            let Some(risk) = self.read(&name, sheet.as_deref()) else { continue };
            if !self.shows(&name, &risk) || !self.can_be_called(entry) {
                continue;
            }
            if strained.len() > 1 {
                strained.push(',');
            }
            match sheet {
                Some(_) => hinted(entry, &risk, &mut strained),
                None => strained.push_str(entry),
            }
        }
        strained.push(']');
        let mut edits = vec![(list, strained.as_str())];
        // spec: BR-90: "private as soon as the answer depends on user, policy or credentials"
        let scope = scan::member(result, "cacheScope").filter(|_| self.depends());
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

    /// Whether others may see another list.
    fn depends(&self) -> bool {
        let narrow = || self.snapshot.servers.get(&self.server).is_none_or(|server| server.access.denies());
        !self.snapshot.bundle.is_empty() || narrow()
    }

    /// What is known of all tools in `list`.
    fn learned(&self, list: &str) -> Arc<Sheet> {
        let (book, holder, origin) = (self.upstream.book(), self.shown.holder.as_ref(), self.upstream.origin());
        match self.shown.came {
            Came::Now(part) => book.learn(holder, part, list, &origin),
            Came::Remembered => book.recall(holder, list, &origin),
        }
    }

    fn server(&self) -> Option<&Arc<Server>> {
        self.snapshot.servers.get(&self.server)
    }

    /// What is known of the tool called `name`.
    fn risk(&self, name: &str) -> Risk {
        let page = self.upstream.book().page(self.shown.holder.as_ref(), name);
        Risk::of(page.as_deref(), self.server().and_then(|server| server.risk.get(name)))
    }

    /// What is known of one that is listed: of a tool by the list that it is in. `None` if it cannot be shown at all.
    fn read(&self, name: &str, sheet: Option<&Sheet>) -> Option<Risk> {
        let Some(sheet) = sheet else { return Some(Risk::default()) };
        let page = sheet.page(name)?;
        if !page.plain {
            let name = portcullis_base::printable(name, 64);
            tracing::warn!(server.name = %self.server, tool = name, "a tool that can be read in two ways is left out");
            return None;
        }
        Some(Risk::of(Some(page), self.server().and_then(|server| server.risk.get(name))))
    }

    // spec: RS-27: "drop them from lists"
    fn shows(&self, name: &str, risk: &Risk) -> bool {
        let (method, target) = match self.method {
            Method::ToolsList => (Method::ToolsCall, Target::Tool(name)),
            Method::PromptsList => (Method::PromptsGet, Target::Prompt(name)),
            _ => (Method::ResourcesRead, Target::Resource(name)),
        };
        let Some(server) = self.snapshot.servers.get(&self.server) else { return false };
        let at = At { server: &self.server, endpoint: &self.endpoint, address: self.address };
        let Risk { classes, labels, .. } = *risk;
        let facts = Facts { target, classes, labels, ..facts(&self.caller, at, method.name(), self.now) };
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
