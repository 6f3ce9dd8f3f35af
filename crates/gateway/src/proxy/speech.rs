//! Which events of an upstream's stream reach the client, and in which words.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_audit::Outcome;
use portcullis_base::SessionId;
use portcullis_mcp::{Id, Method, OwnedId, ProtocolError, message::META_SUBSCRIPTION_ID, scan, sse::Event};

use super::{
    aside::Aside,
    crowd::{Crowd, Seat},
    rendering::{Rendering, Spoilt},
    rewrite::rewrite,
    sieve::Sieve,
    stay::Why,
};
use crate::questions::{Questions, UNASKED};

/// An event that may pass.
pub(super) struct Spoken {
    pub event: Event,
    /// It is the answer that was waited for.
    pub answer: Option<Outcome>,
    /// What the record says of it.
    pub note: Option<&'static str>,
}

/// What is spoken on one stream, and what its reader may not see of it.
pub(super) struct Speech {
    words: Words,
    sieve: Option<Sieve>,
}

/// What is spoken on one stream.
pub(super) enum Words {
    /// The answer to one modern request.
    Modern(Modern),
    /// A stream of a legacy session.
    Legacy(Legacy),
}

/// The stream of one modern request.
pub(super) struct Modern {
    /// The id we gave upstream, which is its progress token too.
    pub sent: String,
    /// The client's id.
    pub id: OwnedId,
    /// The client's progress token, raw.
    pub progress: Option<String>,
    /// Whether the client asked for log messages.
    pub logs: bool,
    /// Whether this is `subscriptions/listen`.
    pub listens: bool,
    /// How what the upstream answers is rendered.
    pub rendering: Option<Rendering>,
    /// What the client is told when the upstream fails.
    pub failure: String,
}

/// A stream of a legacy session.
pub(super) struct Legacy {
    /// The request whose answer is waited for; a stream opened by GET has none.
    pub awaited: Option<OwnedId>,
    /// How the upstream is told when that answer is no longer waited for, or what it asks is not put to the client.
    pub aside: Option<Aside>,
    /// Says that the session has a request under way, for as long as this stream is its answer.
    pub busy: Option<Seat<SessionId>>,
    /// Where it says so for others.
    pub others: Option<(Arc<Crowd<SessionId>>, SessionId)>,
    /// What the upstream may ask.
    pub questions: Questions,
    /// Whether this GET takes up a broken stream, and so may carry answers.
    pub resumes: bool,
    /// What binds event ids to the session.
    pub mark: EventMark,
    /// Whether an event carried an id, so that the stream can be taken up again.
    pub resumable: bool,
    /// What the client is told when the upstream fails.
    pub failure: String,
}

/// Binds event ids to the session in which they were given out (T-48, SEC-22).
#[derive(Clone)]
pub(super) struct EventMark(String);

impl EventMark {
    pub(super) fn new(mark: [u8; 8]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(mark))
    }

    /// An upstream's event id as the client sees it.
    pub(super) fn stamp(&self, id: &str) -> String {
        format!("{}.{id}", self.0)
    }

    /// The upstream's own event id; `None` if the client never got this one in this session.
    pub(super) fn strip<'a>(&self, presented: &'a str) -> Option<&'a str> {
        presented.strip_prefix(self.0.as_str())?.strip_prefix('.')
    }
}

impl Speech {
    /// For one stream.
    pub(super) fn new(words: Words, sieve: Option<Sieve>) -> Self {
        Self { words, sieve }
    }

    /// What becomes of `event`.
    pub(super) fn pass(&mut self, event: Event) -> Option<Spoken> {
        let mut spoken = match &mut self.words {
            Words::Modern(modern) => modern.pass(&event),
            Words::Legacy(legacy) => legacy.pass(event),
        }?;
        if let (Some(sieve), Some(_), Some(data)) = (&self.sieve, spoken.answer, &spoken.event.data)
            && let Some(strained) = sieve.strain(data.trim())
        {
            spoken.event.data = Some(String::from_utf8(strained.into()).ok()?);
        }
        // An event without a word only says where a stream may be taken up again (TR-90).
        if let (Some(sieve), Some(data)) = (&self.sieve, spoken.event.data.as_deref().map(str::trim))
            && !data.is_empty()
        {
            match sieve.lift(data) {
                Ok(None) => {}
                Ok(Some(lifted)) => spoken.event.data = Some(lifted),
                // What is no answer need not be said.
                Err((None, _)) => return None,
                Err((said, note)) => {
                    spoken.event.data = said;
                    spoken.answer = spoken.answer.map(|_| Outcome::Failure);
                    spoken.note = Some(note);
                }
            }
        }
        Some(spoken)
    }

    /// Whether the client waits for an answer on this stream, so that a silent upstream is a failed one.
    pub(super) fn awaits_answer(&self) -> bool {
        match &self.words {
            Words::Modern(modern) => !modern.listens,
            Words::Legacy(legacy) => legacy.awaited.is_some(),
        }
    }

    /// Whether a stream that ends without an answer has failed.
    pub(super) fn must_answer(&self) -> bool {
        match &self.words {
            Words::Modern(_) => true,
            // A server of 2025-11-25 may close a stream on purpose; the client takes it up again by its event id.
            Words::Legacy(legacy) => legacy.awaited.is_some() && !legacy.resumable,
        }
    }

    /// The last message when the stream may no longer stay open.
    pub(super) fn farewell(&self, why: Why) -> Option<Vec<u8>> {
        match &self.words {
            // spec: TR-68: "end each subscription with its result"
            Words::Modern(modern) if modern.listens => Some(modern.complete()),
            Words::Modern(Modern { id, .. }) | Words::Legacy(Legacy { awaited: Some(id), .. }) => {
                let mut error = ProtocolError::internal(200, format!("The call was ended: {}.", why.as_str()));
                error.id = Some(id.clone());
                Some(error.to_json())
            }
            Words::Legacy(_) => None,
        }
    }

    /// The result of a subscription that has nothing more to say.
    pub(super) fn done(&self) -> Option<Vec<u8>> {
        match &self.words {
            Words::Modern(modern) if modern.listens => Some(modern.complete()),
            _ => None,
        }
    }

    /// The answer is no longer waited for. A modern upstream learns it from the end of the connection.
    pub(super) fn give_up(&mut self) {
        if let Words::Legacy(Legacy { aside: Some(aside), awaited: Some(id), .. }) = &self.words {
            aside.cancel(id.to_json());
        }
    }

    /// The last message when the upstream failed.
    pub(super) fn apology(&self) -> Option<Vec<u8>> {
        let (id, failure) = match &self.words {
            Words::Modern(modern) => (&modern.id, &modern.failure),
            Words::Legacy(legacy) => (legacy.awaited.as_ref()?, &legacy.failure),
        };
        let mut error = ProtocolError::internal(200, failure.as_str());
        error.id = Some(id.clone());
        Some(error.to_json())
    }
}

/// The members of a message that decide what it is.
#[derive(Default)]
struct Parts<'a> {
    id: Option<&'a str>,
    method: Option<Cow<'a, str>>,
    params: Option<&'a str>,
    result: Option<&'a str>,
    error: bool,
}

impl<'a> Parts<'a> {
    fn of(data: &'a str) -> Self {
        let mut parts = Self::default();
        for (name, value) in scan::members(data) {
            match &*name {
                "id" => parts.id = Some(value),
                "method" => parts.method = scan::string(value),
                "params" => parts.params = Some(value),
                "result" => parts.result = Some(value),
                "error" => parts.error = true,
                _ => {}
            }
        }
        parts
    }

    fn outcome(&self) -> Outcome {
        let tool_error = self.result.and_then(|result| scan::member(result, "isError")) == Some("true");
        if self.error || tool_error { Outcome::Failure } else { Outcome::Success }
    }
}

impl Modern {
    fn pass(&self, event: &Event) -> Option<Spoken> {
        // spec: TR-62: no event ids, no `retry`, nothing but messages.
        let data = event.data.as_deref().filter(|_| event.is_message())?.trim();
        let parts = Parts::of(data);
        let mut edits: Vec<(&str, &str)> = Vec::new();
        let mut answer = None;
        let changes: Vec<(&str, Cow<'_, str>)>;
        match (&parts.method, parts.id) {
            // spec: TR-59: "MUST NOT send a JSON-RPC request on any modern stream"
            (Some(_), Some(_)) | (None, None) => return None,
            (Some(method), None) => {
                let (method, params) = (Method::parse(method)?, parts.params?);
                self.notification(method, params, &mut edits)?;
                changes = self.tasks_in(method, params)?;
                edits.extend(changes.iter().map(|(raw, new)| (*raw, &**new)));
            }
            (None, Some(id)) => {
                // spec: T-49: "responses without owner dropped"
                if id != self.sent || (parts.result.is_none() && !parts.error) {
                    return None;
                }
                edits.push((id, self.id.to_json()));
                if let Some(subscription) = parts.result.and_then(subscription_of) {
                    edits.push((subscription, self.id.to_json()));
                }
                match parts.result.map_or(Ok(Vec::new()), |result| self.rendered(result)) {
                    Ok(rendered) => changes = rendered,
                    // What may not be said is not half said.
                    Err(why) => return Some(self.refused(why)),
                }
                edits.extend(changes.iter().map(|(raw, new)| (*raw, &**new)));
                answer = Some(parts.outcome());
            }
        }
        let bytes = rewrite(data, &mut edits)?;
        Some(Spoken { event: Event::message(String::from_utf8(bytes.into()).ok()?), answer, note: None })
    }

    fn notification<'a>(&'a self, method: Method, params: &'a str, edits: &mut Vec<(&'a str, &'a str)>) -> Option<()> {
        let ours = |raw: &&str| *raw == self.sent;
        match method {
            Method::Progress => {
                let token = scan::member(params, "progressToken").filter(ours)?;
                edits.push((token, self.progress.as_deref()?));
            }
            // spec: TR-63: not "for a request lacking io.modelcontextprotocol/logLevel"
            Method::LogMessage if self.logs => {}
            Method::Cancelled => {
                let request = scan::member(params, "requestId").filter(ours)?;
                edits.push((request, self.id.to_json()));
            }
            Method::ToolsListChanged
            | Method::PromptsListChanged
            | Method::ResourcesListChanged
            | Method::ResourceUpdated
            | Method::SubscriptionsAcknowledged
            | Method::TaskChanged
                if self.listens =>
            {
                let changed = if method == Method::ResourceUpdated { scan::member(params, "uri") } else { None };
                let rendering = self.rendering.as_ref();
                if rendering.zip(changed).is_some_and(|(rendering, uri)| !rendering.may_hear(uri)) {
                    return None;
                }
                // spec: BR-79: "carry the id of the client's own listen request, not the upstream's"
                edits.push((subscription_of(params).filter(ours)?, self.id.to_json()));
            }
            _ => return None,
        }
        Some(())
    }

    /// What changes in a result, and how.
    fn rendered<'r>(&self, result: &'r str) -> Result<Vec<(&'r str, Cow<'r, str>)>, Spoilt> {
        let Some(rendering) = &self.rendering else { return Ok(Vec::new()) };
        let mut changes = Vec::new();
        for (name, raw) in scan::members(result) {
            let change = match &*name {
                "resultType" => rendering.kind(raw).map(|()| Cow::Borrowed(raw))?,
                "requestState" => rendering.state(raw)?.into(),
                "inputRequests" => rendering.questions(raw)?,
                "taskId" => rendering.task(raw)?.into(),
                _ => continue,
            };
            changes.push((raw, change));
        }
        Ok(changes)
    }

    /// The ids of tasks in a notification, and what takes their places; `None` if it names one that is not its client's.
    fn tasks_in<'p>(&self, method: Method, params: &'p str) -> Option<Vec<(&'p str, Cow<'p, str>)>> {
        let ids: Vec<&str> = match method {
            Method::TaskChanged => vec![scan::member(params, "taskId")?],
            Method::SubscriptionsAcknowledged => {
                let agreed = scan::member(params, "notifications");
                agreed.and_then(|agreed| scan::member(agreed, "taskIds")).into_iter().flat_map(scan::elements).collect()
            }
            _ => return Some(Vec::new()),
        };
        // What is put together here names its client's own.
        let Some(rendering) = &self.rendering else { return Some(Vec::new()) };
        let told = |raw: &'p str| Some((raw, Cow::Owned(rendering.listened(raw)?)));
        ids.into_iter().map(told).collect()
    }

    /// An answer that says why there is none.
    fn refused(&self, spoilt: Spoilt) -> Spoken {
        let why = spoilt.why();
        let (mut error, outcome) = match (spoilt, &self.rendering) {
            (Spoilt::Asks(blocked), Some(rendering)) => (rendering.questions.ended_by(blocked), Outcome::Denied),
            _ => (ProtocolError::internal(200, format!("{} ({why})", self.failure)), Outcome::Failure),
        };
        error.id = Some(self.id.clone());
        let text = String::from_utf8(error.to_json()).unwrap_or_default();
        Spoken { event: Event::message(text), answer: Some(outcome), note: Some(why) }
    }

    fn complete(&self) -> Vec<u8> {
        let id = self.id.to_json();
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{{"{META_SUBSCRIPTION_ID}":{id}}}}}}}"#)
            .into_bytes()
    }
}

fn subscription_of(object: &str) -> Option<&str> {
    scan::member(scan::member(object, "_meta")?, META_SUBSCRIPTION_ID)
}

impl Legacy {
    fn pass(&mut self, event: Event) -> Option<Spoken> {
        if event.dispatched() && !event.is_message() {
            return None;
        }
        let (mut event, mut answer, mut asked) = (event, None, None);
        if event.is_message() {
            let data = event.data.as_deref()?.trim();
            let parts = Parts::of(data);
            match (&parts.method, parts.id) {
                (Some(method), Some(id)) if method != Method::Ping.name() => {
                    asked = Some(self.asked(data, method, id)?);
                }
                (Some(_), _) => {}
                (None, Some(id)) if parts.result.is_some() || parts.error => match &self.awaited {
                    Some(awaited) if same(id, awaited) => answer = Some(parts.outcome()),
                    // spec: T-49: "responses without owner dropped"
                    // spec: TR-89: "MUST NOT send responses on a GET stream except when resuming"
                    None if self.resumes => {}
                    _ => return None,
                },
                (None, _) => return None,
            }
        }
        if let Some(asked) = asked {
            event.data = Some(asked);
        }
        self.resumable |= event.id.is_some();
        let id = event.id.as_deref().map(|id| self.mark.stamp(id));
        Some(Spoken { event: Event { event: None, id, ..event }, answer, note: None })
    }
}

impl Legacy {
    /// A request of the upstream's, as the client gets it. What it may not ask, or not now, it is told at once.
    // spec: T-64: "only as part of an in-flight client request of the same user"; BR-51
    fn asked(&self, data: &str, method: &str, id: &str) -> Option<String> {
        let under_way = self.busy.is_some() || self.others.as_ref().is_some_and(|(busy, session)| busy.has(session));
        let method = Method::parse(method).map_or("", Method::name);
        let params = scan::member(data, "params").unwrap_or("{}");
        let entry = format!(r#"{{"method":"{method}","params":{params}}}"#);
        let looked = if under_way { self.questions.one(&entry) } else { Err(UNASKED) };
        match looked {
            Ok(entry) => {
                let new = scan::member(&entry, "params").unwrap_or("{}");
                let bytes = match scan::member(data, "params") {
                    Some(params) => rewrite(data, &mut [(params, new)])?,
                    None => data.to_owned().into(),
                };
                String::from_utf8(bytes.into()).ok()
            }
            Err(blocked) => {
                let answer = self.questions.noted(blocked).answer(id);
                if let Some(aside) = &self.aside {
                    aside.tell(answer);
                }
                None
            }
        }
    }
}

fn same(raw: &str, id: &OwnedId) -> bool {
    raw == id.to_json() || Id::parse(raw).is_some_and(|raw| raw.to_owned() == *id)
}

#[cfg(test)]
mod tests {
    use portcullis_base::ServerName;
    use portcullis_mcp::dialect::Abilities;

    use super::*;
    use crate::config::Allow;

    fn modern(listens: bool) -> Modern {
        Modern {
            sent: "77".into(),
            id: OwnedId::string("a"),
            progress: Some("\"p\"".into()),
            logs: false,
            listens,
            rendering: None,
            failure: "The server x failed.".into(),
        }
    }

    fn questions() -> Questions {
        Questions::new(ServerName::parse("x").unwrap(), Allow::LOCAL, Abilities::everything())
    }

    fn said(speech: &mut Speech, data: &str) -> Option<String> {
        speech.pass(Event::message(data)).and_then(|spoken| spoken.event.data)
    }

    /// spec: BR-2, T-49, TR-59, TR-63
    #[test]
    fn modern_streams_carry_only_what_belongs_to_their_request() {
        let mut speech = Speech::new(Words::Modern(modern(false)), None);
        for foreign in [
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"77","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":77,"method":"sampling/createMessage","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/unheard_of","params":{}}"#,
            "not json",
        ] {
            assert_eq!(said(&mut speech, foreign), None, "{foreign}");
        }
        let progress =
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":77,"progress":1}}"#;
        assert_eq!(said(&mut speech, progress).unwrap(), progress.replace("77", "\"p\""));
        let answer = r#"{"jsonrpc":"2.0","id":77,"result":{"content":[]}}"#;
        assert_eq!(said(&mut speech, answer).unwrap(), answer.replace("77", "\"a\""));
    }

    /// spec: BR-79, TR-68
    #[test]
    fn subscriptions_carry_the_clients_own_id() {
        let mut speech = Speech::new(Words::Modern(modern(true)), None);
        let changed = |id: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{"_meta":{{"{META_SUBSCRIPTION_ID}":{id}}}}}}}"#
            )
        };
        assert_eq!(said(&mut speech, &changed("77")).unwrap(), changed("\"a\""));
        assert_eq!(said(&mut speech, &changed("78")), None);
        let farewell = String::from_utf8(speech.farewell(Why::Expired).unwrap()).unwrap();
        assert!(farewell.contains(r#""id":"a""#) && farewell.contains(r#""resultType":"complete""#), "{farewell}");
    }

    /// spec: T-48, SEC-22
    #[test]
    fn event_ids_are_bound_to_their_session() {
        let (mine, other) = (EventMark::new([1; 8]), EventMark::new([2; 8]));
        let mark = mine.clone();
        let mut speech = Speech::new(
            Words::Legacy(Legacy {
                awaited: None,
                aside: None,
                busy: None,
                others: None,
                questions: questions(),
                resumes: false,
                mark,
                resumable: false,
                failure: String::new(),
            }),
            None,
        );
        let event = Event { id: Some("9".into()), data: Some(String::new()), ..Event::default() };
        let id = speech.pass(event).unwrap().event.id.unwrap();
        assert_eq!(mine.strip(&id), Some("9"));
        assert_eq!(other.strip(&id), None);
        assert_eq!(mine.strip("9"), None);
    }

    /// spec: TR-89
    #[test]
    fn a_get_stream_carries_answers_only_when_it_resumes() {
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        for resumes in [false, true] {
            let mark = EventMark::new([1; 8]);
            let mut speech = Speech::new(
                Words::Legacy(Legacy {
                    awaited: None,
                    aside: None,
                    busy: None,
                    others: None,
                    questions: questions(),
                    resumes,
                    mark,
                    resumable: false,
                    failure: String::new(),
                }),
                None,
            );
            assert_eq!(said(&mut speech, answer).is_some(), resumes);
        }
    }
}
