//! What an upstream speaks: asked, not guessed (TR-120 to TR-126).
//!
//! Both questions are always put, `server/discover` and `initialize`, so that what is relied on is what was seen to work: the
//! official SDKs name only revisions of their own era in the answer to the first. To a server that takes neither, HTTP+SSE is
//! tried. An administrator who knows better has only that one asked. An outage
//! is not an answer: it leaves unknown what was unknown, and what was known as it was.

use std::{fmt::Write, sync::Arc, time::Duration};

use http::{HeaderValue, Method, StatusCode, header};
use portcullis_mcp::{
    Era, Version, headers as wire,
    message::{self, Message, Outcome},
    scan, tool,
};
use tokio::time::timeout;

use super::{
    Credential, Upstream, UpstreamError,
    ask::{Said, Way},
    line::Whose,
};
use crate::config::Speaks;

/// The whole discovery of one upstream.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same where a program is started for it, which may have to be fetched first.
const STARTING: Duration = Duration::from_secs(90);

/// How a server at a URL is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP.
    #[default]
    Http,
    /// HTTP+SSE, of 2024-11-05.
    Sse,
}

/// What an upstream says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// How it is reached.
    pub transport: Transport,
    /// The revisions it can be spoken to in, newest first.
    pub versions: Vec<Version>,
    /// Its own name, cut and cleaned.
    pub name: Option<String>,
    /// Its own version, cut and cleaned.
    pub version: Option<String>,
    /// How many tools it lists; `None` if it lists none of that kind.
    pub tools: Option<usize>,
}

/// Why nothing was learnt of an upstream.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// It could not be asked.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// It is there but cannot answer now.
    #[error("it answered with status {0}, so nothing can be learnt from it now")]
    Unavailable(u16),
    /// It answers, but not as an MCP server.
    #[error("it does not answer as an MCP server: {0}")]
    NotMcp(String),
    /// It speaks only revisions that are not served here.
    #[error("it speaks only revision \"{0}\", which is not served here")]
    Version(String),
}

impl From<DiscoverError> for UpstreamError {
    fn from(error: DiscoverError) -> Self {
        match error {
            DiscoverError::Upstream(error) => error,
            DiscoverError::Unavailable(status) => Self::Failed(status),
            DiscoverError::NotMcp(_) | DiscoverError::Version(_) => Self::Unusable("not an MCP server"),
        }
    }
}

impl Discovery {
    /// Whether any revision of `era` can be spoken.
    pub fn speaks(&self, era: Era) -> bool {
        self.versions.iter().any(|version| version.era() == era)
    }
}

/// What one of the two questions brought.
enum Found {
    Speaks(Discovery),
    Not(String),
    /// There is nothing that takes messages at this address.
    Absent(String),
    /// The method does not exist, and is said not to exist in the way only a modern server says it.
    UnknownMethod,
    Foreign(String),
}

impl Upstream {
    /// Asks it everything, tools included.
    pub async fn discover(self: &Arc<Self>, credential: &Credential) -> Result<Discovery, DiscoverError> {
        let patience = if self.connector.lines().is_some() { STARTING } else { PATIENCE };
        timeout(patience, self.ask_both(credential)).await.unwrap_or(Err(DiscoverError::Upstream(UpstreamError::Late)))
    }

    /// The same for somebody who is to be shown the server: what one of 2024-11-05 says within a session alone is asked in
    /// one.
    pub async fn look(self: &Arc<Self>, credential: &Credential) -> Result<Discovery, DiscoverError> {
        let mut found = self.discover(credential).await?;
        if found.transport == Transport::Sse {
            self.keep(Arc::default(), Transport::Sse, None);
            if let Ok(Found::Speaks(seen)) = self.ask_modern(Way::Asked, credential).await {
                (found.name, found.version, found.tools) = (seen.name, seen.version, seen.tools);
            }
        }
        Ok(found)
    }

    async fn ask_both(self: &Arc<Self>, credential: &Credential) -> Result<Discovery, DiscoverError> {
        if self.is_answered_for() {
            return match self.ask_modern(Way::Asked, credential).await? {
                Found::Speaks(found) => Ok(found),
                _ => Err(DiscoverError::NotMcp("whoever answers for it gives no answer".into())),
            };
        }
        let skipped = || Found::Not("it was not asked".into());
        let speaks = self.connector.speaks();
        let asks = |one: Speaks| speaks == Speaks::Auto || speaks == one;
        let modern =
            if asks(Speaks::Stateless) { self.ask_modern(Way::Straight, credential).await? } else { skipped() };
        let legacy = match speaks {
            Speaks::Sse => Found::Absent("no stream of events that names an endpoint".into()),
            _ if asks(Speaks::Sessions) => self.ask_legacy(credential).await?,
            _ => skipped(),
        };
        match (modern, legacy) {
            (Found::Speaks(mut modern), Found::Speaks(legacy)) => {
                modern.versions.extend(legacy.versions);
                modern.tools = modern.tools.or(legacy.tools);
                modern.name = modern.name.or(legacy.name);
                modern.version = modern.version.or(legacy.version);
                Ok(modern)
            }
            (Found::Speaks(found), _) | (_, Found::Speaks(found)) => Ok(found),
            // spec: TR-121: "if initialize then also gets 404 -32601, record the upstream as modern without discover"
            (_, Found::UnknownMethod) => Ok(Discovery { versions: vec![Version::V2026_07_28], ..Discovery::default() }),
            // spec: TR-123: "If initialize fails with 400, 404 or 405 and no modern error body, try the 2024-11-05 transport"
            (Found::Not(why), Found::Absent(absent)) if asks(Speaks::Sse) => match self.ask_stream(credential).await? {
                Some(found) => Ok(found),
                None if speaks == Speaks::Sse => Err(DiscoverError::NotMcp(absent)),
                None => Err(DiscoverError::NotMcp(why)),
            },
            // spec: TR-136
            (_, Found::Foreign(version)) | (Found::Foreign(version), _) => Err(DiscoverError::Version(version)),
            (Found::Not(why), _) if speaks == Speaks::Stateless => Err(DiscoverError::NotMcp(why)),
            (_, Found::Not(why) | Found::Absent(why)) => Err(DiscoverError::NotMcp(why)),
        }
    }

    /// Whether it opens a stream of events that names where messages go.
    async fn ask_stream(self: &Arc<Self>, credential: &Credential) -> Result<Option<Discovery>, DiscoverError> {
        let nobody = Whose { credential: credential.clone(), ..Whose::default() };
        match self.stream(&nobody).await {
            Ok(_) => {
                let versions = vec![Version::V2024_11_05];
                Ok(Some(Discovery { transport: Transport::Sse, versions, ..Discovery::default() }))
            }
            Err(UpstreamError::Unusable(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn ask_modern(self: &Arc<Self>, way: Way, credential: &Credential) -> Result<Found, DiscoverError> {
        let said = self.ask_statelessly(way, "server/discover", "", credential).await?;
        available(&said)?;
        let Some(Message::Response(response)) = said.message() else { return Ok(Found::Not(said.describe())) };
        match response.outcome {
            Outcome::Result(result) => {
                let Some(supported) = scan::member(result, "supportedVersions") else {
                    return Ok(Found::Not("its answer to server/discover names no versions".into()));
                };
                let mut found = match modern_of(supported) {
                    Ok(versions) => Discovery { versions, ..Discovery::default() },
                    Err(foreign) => return Ok(foreign),
                };
                let info = scan::member(result, "_meta").and_then(|meta| scan::member(meta, message::META_SERVER_INFO));
                found.identify(info.or_else(|| scan::member(result, "serverInfo")));
                found.tools = match scan::member(result, "capabilities").and_then(|c| scan::member(c, "tools")) {
                    Some(_) => self.list_tools(way, credential, None).await.ok().map(|tools| tools.len()),
                    None => None,
                };
                Ok(Found::Speaks(found))
            }
            // spec: TR-121: these codes exist in the modern revision only.
            Outcome::Error { code: message::UNSUPPORTED_VERSION, raw, .. } if said.status.is_client_error() => {
                let supported = scan::member(raw, "data").and_then(|data| scan::member(data, "supported"));
                Ok(match supported.map(modern_of) {
                    Some(Ok(versions)) => Found::Speaks(Discovery { versions, ..Discovery::default() }),
                    Some(Err(foreign)) => foreign,
                    None => Found::Not("it names no version it supports".into()),
                })
            }
            Outcome::Error { code: message::HEADER_MISMATCH | message::MISSING_CAPABILITY, .. }
                if said.status.is_client_error() =>
            {
                let versions = vec![Version::V2026_07_28];
                Ok(Found::Speaks(Discovery { versions, ..Discovery::default() }))
            }
            Outcome::Error { message, .. } => Ok(Found::Not(portcullis_base::printable(&message, 200))),
        }
    }

    async fn ask_legacy(&self, credential: &Credential) -> Result<Found, DiscoverError> {
        let version = Version::NEWEST_LEGACY;
        let params = format!(
            r#"{{"protocolVersion":"{version}","capabilities":{{}},"clientInfo":{}}}"#,
            super::ask::CLIENT_INFO
        );
        let said = self.inquire("initialize", &params, &[], credential).await?;
        available(&said)?;
        let absent = matches!(said.status.as_u16(), 400 | 404 | 405);
        let not = |why: String| if absent { Found::Absent(why) } else { Found::Not(why) };
        let Some(Message::Response(response)) = said.message() else { return Ok(not(said.describe())) };
        let result = match response.outcome {
            Outcome::Result(result) => result,
            Outcome::Error { code: message::METHOD_NOT_FOUND, .. } if said.status == StatusCode::NOT_FOUND => {
                return Ok(Found::UnknownMethod);
            }
            Outcome::Error { message, .. } => return Ok(not(portcullis_base::printable(&message, 200))),
        };
        let Some(stated) = scan::member(result, "protocolVersion").and_then(scan::string) else {
            return Ok(Found::Not("its answer to initialize names no version".into()));
        };
        let negotiated = Version::parse(&stated).filter(|version| version.era() == Era::Legacy);
        let Some(negotiated) = negotiated else {
            return Ok(Found::Foreign(portcullis_base::printable(&stated, 40)));
        };
        let older = |v: &&Version| v.era() == Era::Legacy && **v <= negotiated;
        let mut versions: Vec<_> = Version::SERVED.iter().filter(older).copied().collect();
        if versions.is_empty() {
            versions.push(negotiated);
        }
        let mut found = Discovery { versions, ..Discovery::default() };
        found.identify(scan::member(result, "serverInfo"));
        let has_tools = scan::member(result, "capabilities").and_then(|c| scan::member(c, "tools")).is_some();
        found.tools = self.look_around(negotiated, said.session.as_ref(), has_tools, credential).await;
        Ok(Found::Speaks(found))
    }

    /// Uses the session that the question opened, and closes it.
    async fn look_around(
        &self,
        version: Version,
        session: Option<&HeaderValue>,
        has_tools: bool,
        credential: &Credential,
    ) -> Option<usize> {
        let mut headers = Vec::new();
        if version >= Version::V2025_06_18 {
            headers.push((wire::PROTOCOL_VERSION, HeaderValue::from_static(version.as_str())));
        }
        headers.extend(session.map(|id| (wire::SESSION_ID, id.clone())));
        let counted = async {
            // spec: TR-133: "send notifications/initialized" before anything else
            self.tell("notifications/initialized", &headers, credential).await.ok()?;
            if !has_tools {
                return None;
            }
            let mut count = 0;
            let mut pages = Pages::default();
            loop {
                let said = self.inquire("tools/list", &pages.params(), &headers, credential).await.ok()?;
                let Some(Message::Response(response)) = said.message() else { return None };
                let Outcome::Result(result) = response.outcome else { return None };
                let listing = tool::listing(result)?;
                count += listing.tools.len();
                if !pages.turn(listing.next_cursor) {
                    return Some(count);
                }
            }
        };
        let counted = counted.await;
        if session.is_some() {
            // spec: TR-135: "DELETE legacy upstream sessions that are no longer needed"
            let mut request = self.request(Method::DELETE, bytes::Bytes::new());
            for (name, value) in headers {
                request.headers_mut().insert(super::ask::lower(name), value);
            }
            request.headers_mut().remove(header::CONTENT_TYPE);
            drop(self.send(request, credential).await);
        }
        counted
    }
}

/// Pages of a listing, bounded.
// spec: T-63: "pagination <= 50 pages and cursor-cycle detection"
#[derive(Default)]
pub(super) struct Pages {
    seen: Vec<String>,
}

impl Pages {
    /// The members of `params` that ask for the present page.
    pub(super) fn members(&self) -> String {
        let mut out = String::new();
        if let Some(cursor) = self.seen.last() {
            let _ = write!(out, r#""cursor":{}"#, serde_json::Value::from(cursor.as_str()));
        }
        out
    }

    pub(super) fn params(&self) -> String {
        format!("{{{}}}", self.members())
    }

    /// Turns to the next page; `false` if there is none that is worth asking for.
    pub(super) fn turn(&mut self, next: Option<String>) -> bool {
        match next {
            Some(cursor) if self.seen.len() < 49 && !self.seen.contains(&cursor) => {
                self.seen.push(cursor);
                true
            }
            _ => false,
        }
    }
}

impl Discovery {
    fn identify(&mut self, info: Option<&str>) {
        let text = |name: &str| {
            let text = scan::member(info?, name).and_then(scan::string)?;
            Some(portcullis_base::printable(&text, 100)).filter(|text| !text.is_empty())
        };
        self.name = text("name");
        self.version = text("version");
    }
}

/// The modern revisions in a raw list that are served here. A list of legacy ones only means `initialize`.
fn modern_of(supported: &str) -> Result<Vec<Version>, Found> {
    let names: Vec<_> = scan::elements(supported).filter_map(scan::string).collect();
    let modern = |v: &&Version| v.era() == Era::Modern && names.iter().any(|name| name == v.as_str());
    let versions: Vec<Version> = Version::SERVED.iter().filter(modern).copied().collect();
    if !versions.is_empty() {
        return Ok(versions);
    }
    match names.first() {
        Some(name) if !names_sessions(supported) => Err(Found::Foreign(portcullis_base::printable(name, 40))),
        _ => Err(Found::Not("it speaks older revisions only".into())),
    }
}

/// Whether a revision with sessions is in a raw list.
fn names_sessions(supported: &str) -> bool {
    let parsed = |name: &str| scan::string(name).and_then(|name| Version::parse(&name));
    scan::elements(supported).filter_map(parsed).any(|version| version.era() == Era::Legacy)
}

// spec: TR-122: nothing is decided from 401, 403, 429, 5xx, a redirect, a network error or a timeout
fn available(said: &Said) -> Result<(), DiscoverError> {
    let status = said.status;
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        return Err(DiscoverError::Unavailable(status.as_u16()));
    }
    Ok(())
}
