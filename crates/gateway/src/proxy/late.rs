//! Sessions whose upstream had to wait: their client opened them before its person was connected. The upstream's own
//! session is opened when there is something to show, with what the client said of itself (it travels in the session's
//! id), and again when it is lost; the client hears nothing of either.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderValue};
use portcullis_base::SessionId;
use portcullis_mcp::{Era, Message, Method, Version, headers as wire, message, scan};
use quick_cache::sync::Cache;
use serde_json::Value;

use super::{
    abilities,
    errand::{Errand, Setback},
    opening::negotiated,
    session::{Late, Session},
    turn::{Form, Turn, form, session_of, set},
};
use crate::upstream::{UpstreamError, answer_in, whole};

/// How many are kept in memory; the ones that fall out are opened anew.
const MOST: usize = 8 * 1024;
/// The longest text of a client about itself that travels in the id of its session, as a JSON string.
const LONGEST: usize = 1200;

/// The upstream's sessions of those sessions.
pub(super) struct LateSessions(Cache<SessionId, Arc<Opened>>);

struct Opened {
    id: Option<String>,
    version: Version,
    /// Raw.
    capabilities: Box<str>,
}

/// The upstream's side of a session.
pub(super) struct Joined<'s> {
    id: Option<Cow<'s, str>>,
    version: Version,
    opened: Option<Arc<Opened>>,
}

impl LateSessions {
    pub(super) fn new() -> Self {
        Self(Cache::new(MOST))
    }

    /// The upstream has lost its side.
    pub(super) fn forget(&self, session: &SessionId) {
        self.0.remove(session);
    }
}

impl Late {
    /// What the raw `params` of an `initialize` say, as far as it fits into an id. What does not fit is not claimed.
    pub(super) fn of(params: Option<&str>) -> Self {
        let object = |name: &str| {
            let raw = scan::member(params?, name).filter(|raw| scan::kind(raw) == scan::Kind::Object)?;
            Some(raw.to_owned())
        };
        let within = |longest: usize| move |raw: &String| Value::from(raw.as_str()).to_string().len() <= longest;
        let unnamed = || r#"{"name":"unknown","version":"0"}"#.to_owned();
        let capabilities = object("capabilities").filter(within(LONGEST)).unwrap_or_else(|| "{}".to_owned());
        Self { capabilities, client: object("clientInfo").filter(within(LONGEST / 2)).unwrap_or_else(unnamed) }
    }
}

impl Joined<'_> {
    /// The headers of a request within the upstream's session: its own id, and the negotiated revision.
    // spec: TR-133: "Mcp-Session-Id and (2025-06-18 on) the negotiated MCP-Protocol-Version on every request"
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        if let Some(id) = self.id.as_deref().and_then(|id| HeaderValue::try_from(id).ok()) {
            set(headers, wire::SESSION_ID, id);
        }
        if self.version >= Version::V2025_06_18 {
            set(headers, wire::PROTOCOL_VERSION, HeaderValue::from_static(self.version.as_str()));
        }
    }

    /// Whether the upstream is known not to have what `method` is about. Its client was told of everything that there
    /// may be, since nobody knew better then.
    pub(super) fn lacks(&self, method: Method) -> bool {
        let name = match method {
            Method::ToolsList => "tools",
            Method::PromptsList => "prompts",
            Method::ResourcesList | Method::ResourceTemplatesList => "resources",
            _ => return false,
        };
        self.opened.as_ref().is_some_and(|opened| scan::member(&opened.capabilities, name).is_none())
    }
}

impl Session {
    /// The upstream's side of it, unless that has to be opened.
    pub(super) fn joined(&self) -> Option<Joined<'_>> {
        let id = self.upstream.as_deref().map(Cow::Borrowed);
        self.late.is_none().then_some(Joined { id, version: self.version, opened: None })
    }
}

impl Turn<'_> {
    /// The upstream's side of `session`, if it is open.
    pub(super) fn open_side<'s>(&self, session: &'s Session) -> Option<Joined<'s>> {
        session.joined().or_else(|| self.local.late.0.get(&session.id).map(Opened::side))
    }

    /// The upstream's side of `session`, opened if it must be.
    pub(super) async fn joined<'s>(
        &self,
        session: &'s Session,
        errand: &mut Errand<'_>,
    ) -> Result<Joined<'s>, Setback> {
        let Some(late) = &session.late else { return session.joined().ok_or(Setback::NoSession) };
        match self.local.late.0.get_value_or_guard_async(&session.id).await {
            Ok(opened) => Ok(opened.side()),
            Err(opening) => {
                let opened = self.opened_late(session, late, errand).await?;
                drop(opening.insert(opened.clone()));
                Ok(opened.side())
            }
        }
    }

    // spec: BR-57: "Reopen a lost upstream session transparently before the call is sent"
    async fn opened_late(
        &self,
        session: &Session,
        late: &Late,
        errand: &mut Errand<'_>,
    ) -> Result<Arc<Opened>, Setback> {
        // What it speaks may not have been known when its client was let in.
        let known = self.upstream.known_versions();
        if known.is_some_and(|known| known.iter().all(|version| version.era() == Era::Modern)) {
            return Err(Setback::NoSession);
        }
        let id = self.upstream.next_id().to_string();
        let (version, Late { capabilities, client }) = (session.version, late);
        let capabilities = abilities::declared(capabilities, self.server.allow, &[]);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{capabilities},"clientInfo":{client}}}}}"#
        );
        let (head, answer) = errand.send(|| Ok(self.post(body.clone().into()))).await?.into_parts();
        let theirs = session_of(&head.headers).map(|value| value.to_str().map(str::to_owned));
        let theirs = theirs.transpose().map_err(|_| UpstreamError::Unusable("a session id that cannot be carried"))?;
        let read = async {
            match form(&head.headers) {
                Form::Events => answer_in(answer, Some(&id)).await,
                _ => whole(answer).await,
            }
        };
        let limit = self.upstream.limits().head;
        let bytes = tokio::time::timeout(limit, read).await.unwrap_or(Err(UpstreamError::Late))?;
        let version = negotiated(&bytes).ok_or(UpstreamError::Unusable("it opens no session"))?;
        let capabilities = capabilities_of(&bytes).into();
        let opened = Arc::new(Opened { id: theirs, version, capabilities });
        let side = opened.clone().side();
        let told = errand
            .send(|| {
                let mut request = self.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.into());
                side.write(request.headers_mut());
                Ok(request)
            })
            .await?;
        drop(told);
        Ok(opened)
    }
}

impl Opened {
    fn side<'s>(self: Arc<Self>) -> Joined<'s> {
        Joined { id: self.id.clone().map(Cow::Owned), version: self.version, opened: Some(self) }
    }
}

/// The raw capabilities in an answer to `initialize`.
fn capabilities_of(bytes: &[u8]) -> String {
    let read = || {
        let Message::Response(response) = message::message(std::str::from_utf8(bytes).ok()?.trim()).ok()? else {
            return None;
        };
        let message::Outcome::Result(result) = response.outcome else { return None };
        scan::member(result, "capabilities").map(str::to_owned)
    };
    read().unwrap_or_else(|| "{}".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_never_said_to_do_more_than_it_said() {
        let told = r#"{"capabilities":{"roots":{}},"clientInfo":{"name":"c","version":"1"}}"#;
        let expected = Late { capabilities: r#"{"roots":{}}"#.into(), client: r#"{"name":"c","version":"1"}"#.into() };
        assert_eq!(Late::of(Some(told)), expected);
        let long = format!(
            r#"{{"capabilities":{{"experimental":{{"x":{{"y":"{}"}}}}}},"clientInfo":7}}"#,
            "z".repeat(LONGEST)
        );
        let silent = Late::of(None);
        assert_eq!(Late::of(Some(&long)), silent);
        assert_eq!(silent.capabilities, "{}");
    }
}
