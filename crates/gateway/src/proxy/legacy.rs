//! Requests of 2025-03-26 to 2025-11-25, which live in sessions. The client's session is ours, the upstream's travels
//! sealed inside it, and both ends see only their own.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, StatusCode, header};
use http_body_util::Full;
use portcullis_audit::Outcome;
use portcullis_mcp::{
    Headers, Id, Message, Method, Version,
    headers::{self as wire, Field},
    message::{self, Call},
    method::Effect,
    scan,
};
use portcullis_policy::{Permit, Target};

use super::{
    answer::{self, Answer},
    cancel::Cancel,
    decide::Deed,
    errand::Errand,
    record::Record,
    refusal::Refusal,
    restore::Restorer,
    rewrite::rewrite,
    session::{Hears, Session},
    sieve::Sieve,
    speech::{Legacy, Speech, Words},
    turn::{Form, Turn, deed, form, session_of, set},
};
use crate::upstream::{AnswerBody, UpstreamError, answer_in, whole};

impl Turn<'_> {
    /// Opens a session.
    // spec: TR-22, TR-80, TR-81
    pub(super) async fn initialize(&self, call: &Call<'_>, version: Version) -> Result<Response<Answer>, Refusal> {
        let Some(id) = call.id else { return Err(Refusal::status(StatusCode::BAD_REQUEST)) };
        let (permit, mut record) = self.decide(&deed(call, Method::Initialize)).await?;
        let asked = call.params.and_then(|params| scan::member(params, "protocolVersion"));
        let wanted = format!("\"{version}\"");
        let body = match asked {
            Some(asked) if asked != wanted => rewrite(call.raw, &mut [(asked, &wanted)]),
            _ => Some(Bytes::copy_from_slice(call.raw.as_bytes())),
        };
        let Some(body) = body else {
            return Err(self.failed(
                &UpstreamError::Unusable("the message could not be rebuilt"),
                call.id,
                &mut record,
            ));
        };
        let opened = self.opened(self.forward(permit, self.post(body)).await, id).await;
        let (status, bytes, session) = opened.map_err(|error| self.failed(&error, call.id, &mut record))?;
        let mut restorer = Restorer::new(id.to_json(), id.to_json());
        let mut out = BytesMut::with_capacity(bytes.len());
        restorer.feed(&bytes, &mut out);
        let seen = restorer.seen();
        if !(seen.result && status == StatusCode::OK) {
            return self.whole(status, out.freeze(), seen, id, record);
        }
        let session = negotiated(&bytes)
            .ok_or("a revision that is not served here")
            .and_then(|version| {
                let terms = (version, hears(call, version));
                Session::open(self.parts, self.caller, &self.server.name, session.as_deref(), terms)
                    .map_err(|_| "a session id that cannot be carried")
            })
            .and_then(|id| HeaderValue::try_from(id).map_err(|_| "a session id that cannot be carried"));
        match session {
            Ok(session) => {
                let mut response = self.whole(status, out.freeze(), seen, id, record)?;
                set(response.headers_mut(), wire::SESSION_ID, session);
                Ok(response)
            }
            // spec: TR-136
            Err(why) => Err(self.failed(&UpstreamError::Unusable(why), call.id, &mut record)),
        }
    }

    /// The answer to `initialize`, whichever way it comes: the session id has to go out before it.
    async fn opened(
        &self,
        response: Result<Response<AnswerBody>, UpstreamError>,
        id: Id<'_>,
    ) -> Result<(StatusCode, Vec<u8>, Option<Vec<u8>>), UpstreamError> {
        let (head, body) = response?.into_parts();
        let session = session_of(&head.headers).map(|value| value.as_bytes().to_vec());
        let read = async {
            match form(&head.headers) {
                Form::Json => whole(body).await,
                Form::Events => answer_in(body, Some(id.to_json())).await,
                Form::Nothing => Err(UpstreamError::Unusable("neither JSON nor events")),
            }
        };
        let limit = self.upstream.limits().head;
        let bytes = tokio::time::timeout(limit, read).await.unwrap_or(Err(UpstreamError::Late))?;
        Ok((head.status, bytes, session))
    }

    /// Serves a message within a session.
    pub(super) async fn within(
        &self,
        presented: &[u8],
        header: Option<Version>,
        message: &Message<'_>,
    ) -> Result<Response<Answer>, Refusal> {
        let session = self.resume(presented)?;
        // spec: T-69, TR-87: what was negotiated stays, whatever else a header claims; so no claim changes a check.
        if let Some(claimed) = header.filter(|header| *header != session.version) {
            tracing::info!(
                server.name = %self.server.name,
                session.version = session.version.as_str(),
                claimed.version = claimed.as_str(),
                "a request names another revision than its session"
            );
        }
        match message {
            Message::Request(call) => self.session_request(&session, call).await,
            Message::Notification(call) => {
                match wire::admit(call, session.version)? {
                    Some(method) => self.one_way(&session, &deed(call, method)).await,
                    // A notification that the revision does not define is accepted and goes nowhere.
                    None => Ok(answer::empty(StatusCode::ACCEPTED)),
                }
            }
            Message::Response(response) => {
                let deed = Deed { raw: response.raw.as_bytes(), ..bare("response") };
                self.one_way(&session, &deed).await
            }
        }
    }

    async fn session_request(&self, session: &Session, call: &Call<'_>) -> Result<Response<Answer>, Refusal> {
        // spec: T-54, T-69: what the session's revision does not have is not forwarded.
        let method = wire::admit(call, session.version)?;
        let (Some(method), Some(id)) = (method, call.id) else { return Err(Refusal::status(StatusCode::BAD_REQUEST)) };
        let (permit, mut record) = self.decide(&Deed { hears: session.hears, ..deed(call, method) }).await?;
        let mut request = self.post(Bytes::copy_from_slice(call.raw.as_bytes()));
        join(request.headers_mut(), session);
        let response = match self.forward(permit, request).await {
            Ok(response) => response,
            Err(error) => {
                // spec: TR-14: "on expiry cancel upstream in the era's way"
                if matches!(error, UpstreamError::Late) {
                    self.cancel(session, id).tell();
                }
                return Err(self.failed(&error, call.id, &mut record));
            }
        };
        let (head, body) = response.into_parts();
        match form(&head.headers) {
            // spec: TR-84: the upstream has lost its session, and so this one is lost.
            _ if head.status == StatusCode::NOT_FOUND => {
                record.end(Outcome::Failure, Some("the upstream's session has ended"));
                Err(Refusal::no_session())
            }
            Form::Json => {
                let restorer = Restorer::new(id.to_json(), id.to_json());
                self.document(head.status, body, restorer, self.sieve(method), id, record).await
            }
            Form::Events if head.status == StatusCode::OK && self.accepts.events => {
                let speech = self.speech(session, Some(id), Resumes::No);
                Ok(self.events(body, Speech::new(Words::Legacy(speech), self.sieve(method)), record))
            }
            Form::Events if head.status == StatusCode::OK && self.accepts.json => {
                self.gathered(body, method, id, record).await
            }
            Form::Events => {
                record.end(Outcome::Failure, Some("the client reads no streams"));
                Err(Refusal::status(StatusCode::NOT_ACCEPTABLE))
            }
            Form::Nothing => Err(self.failed(&useless(head.status), call.id, &mut record)),
        }
    }

    /// A stream for a client that reads no streams: its answer alone.
    async fn gathered(
        &self,
        body: AnswerBody,
        method: Method,
        id: Id<'_>,
        mut record: Record,
    ) -> Result<Response<Answer>, Refusal> {
        let answer = tokio::time::timeout(self.upstream.limits().total, answer_in(body, Some(id.to_json()))).await;
        match answer.unwrap_or(Err(UpstreamError::Late)) {
            Ok(message) => {
                let mut restorer = Restorer::new(id.to_json(), id.to_json());
                let mut out = BytesMut::with_capacity(message.len());
                restorer.feed(&message, &mut out);
                let bytes = Sieve::apply(self.sieve(method).as_ref(), out.freeze());
                self.whole(StatusCode::OK, bytes, restorer.seen(), id, record)
            }
            Err(error) => Err(self.failed(&error, Some(id), &mut record)),
        }
    }

    /// How the upstream is told that the call `id` is given up.
    fn cancel(&self, session: &Session, id: Id<'_>) -> Cancel {
        let mut headers = HeaderMap::new();
        join(&mut headers, session);
        Cancel::new(self.upstream.clone(), headers, id.to_json())
    }

    /// A permitted request on its way.
    async fn forward(
        &self,
        permit: Permit,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        Errand::new(self, permit)?.send(request).await
    }

    /// A notification or a response: sent on, answered with nothing.
    // spec: TR-6
    async fn one_way(&self, session: &Session, deed: &Deed<'_>) -> Result<Response<Answer>, Refusal> {
        let (permit, mut record) = self.decide(deed).await?;
        let mut request = self.post(Bytes::copy_from_slice(deed.raw));
        join(request.headers_mut(), session);
        match self.forward(permit, request).await {
            Ok(response) if response.status().is_success() => Ok(answer::empty(StatusCode::ACCEPTED)),
            Ok(response) if response.status() == StatusCode::NOT_FOUND => Err(Refusal::no_session()),
            Ok(response) if response.status().is_client_error() => Err(Refusal::status(StatusCode::BAD_REQUEST)),
            Ok(response) => Err(self.failed(&useless(response.status()), None, &mut record)),
            Err(error) => Err(self.failed(&error, None, &mut record)),
        }
    }

    /// A GET: the stream of what the upstream says unasked, or the rest of a stream that broke.
    // spec: TR-88
    pub(super) async fn listen(&self, headers: &Headers<'_>) -> Result<Response<Answer>, Refusal> {
        let session = self.session_of_request(headers)?;
        if !self.accepts.events {
            return Err(Refusal::status(StatusCode::NOT_ACCEPTABLE));
        }
        let last = match headers.last_event {
            Field::Absent => None,
            Field::Repeated => return Err(Refusal::status(StatusCode::BAD_REQUEST)),
            // spec: T-48, SEC-22: an event id of another session is dropped, and with it the wish to resume.
            Field::One(value) => std::str::from_utf8(value).ok().map(str::to_owned),
        };
        let mark = session.mark(self.parts);
        let last = last.as_deref().and_then(|last| mark.strip(last)).and_then(|last| HeaderValue::try_from(last).ok());
        let (permit, mut record) = self.decide(&Deed { ends: true, ..bare("GET") }).await?;
        let mut request = self.upstream.request(HttpMethod::GET, Bytes::new());
        let out = request.headers_mut();
        out.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let resumes = if last.is_some() { Resumes::Yes } else { Resumes::No };
        if let Some(last) = last {
            set(out, wire::LAST_EVENT_ID, last);
        }
        join(out, &session);
        let response = match self.forward(permit, request).await {
            Ok(response) => response,
            Err(error) => return Err(self.failed(&error, None, &mut record)),
        };
        let (head, body) = response.into_parts();
        match (head.status, form(&head.headers)) {
            (StatusCode::OK, Form::Events) => {
                let speech = self.speech(&session, None, resumes);
                Ok(self.events(body, Speech::new(Words::Legacy(speech), None), record))
            }
            (StatusCode::METHOD_NOT_ALLOWED, _) => {
                record.end(Outcome::Success, Some("the upstream has no such stream"));
                Err(Refusal::method("POST, DELETE"))
            }
            (StatusCode::NOT_FOUND, _) => {
                record.end(Outcome::Failure, Some("the upstream's session has ended"));
                Err(Refusal::no_session())
            }
            (status, _) if status.is_client_error() => {
                record.end(Outcome::Failure, Some("the upstream refused the stream"));
                Err(Refusal::status(if status == StatusCode::CONFLICT { status } else { StatusCode::BAD_REQUEST }))
            }
            (status, _) => Err(self.failed(&useless(status), None, &mut record)),
        }
    }

    /// A DELETE: the client is done with its session.
    // spec: TR-85
    pub(super) async fn close(&self, headers: &Headers<'_>) -> Result<Response<Answer>, Refusal> {
        let session = self.session_of_request(headers)?;
        let (permit, mut record) = self.decide(&Deed { ends: true, ..bare("DELETE") }).await?;
        self.parts.ended.end_session(session.id.clone(), session.until());
        (self.parts.session_closed)(session.id.clone(), session.until());
        let mut request = self.upstream.request(HttpMethod::DELETE, Bytes::new());
        join(request.headers_mut(), &session);
        // Whether the upstream knows how to end sessions or not: this one is over.
        let outcome = match self.forward(permit, request).await {
            Ok(_) => Outcome::Success,
            Err(error) => {
                tracing::info!(server.name = %self.server.name, %error, "the upstream's session could not be ended");
                Outcome::Failure
            }
        };
        record.end(outcome, None);
        Ok(answer::empty(StatusCode::NO_CONTENT))
    }

    // spec: TR-83, TR-84: absent 400, unknown 404
    fn session_of_request(&self, headers: &Headers<'_>) -> Result<Session, Refusal> {
        match headers.session {
            Field::One(presented) if !presented.is_empty() => self.resume(presented),
            _ => Err(Refusal::status(StatusCode::BAD_REQUEST)),
        }
    }

    fn resume(&self, presented: &[u8]) -> Result<Session, Refusal> {
        Session::resume(self.parts, self.caller, &self.server.name, presented).ok_or_else(Refusal::no_session)
    }

    fn speech(&self, session: &Session, awaited: Option<Id<'_>>, resumes: Resumes) -> Legacy {
        Legacy {
            awaited: awaited.map(|id| id.to_owned()),
            cancel: awaited.map(|id| self.cancel(session, id)),
            resumes: resumes == Resumes::Yes,
            mark: session.mark(self.parts),
            resumable: false,
            failure: UpstreamError::Unusable("").public(&self.server.name),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Resumes {
    Yes,
    No,
}

/// A deed without bytes of its own.
fn bare(method: &'static str) -> Deed<'static> {
    Deed {
        method: Cow::Borrowed(method),
        target: Target::None,
        arguments: None,
        effect: Effect::Read,
        id: None,
        raw: b"",
        ends: false,
        hears: Hears::Text,
    }
}

/// What a client can do for its person: it says so when it opens a session. The error that asks for a page is for clients
/// of the revision that has it, and of those for the ones that declared `elicitation.url`.
fn hears(call: &Call<'_>, version: Version) -> Hears {
    let declared = || {
        let capabilities = scan::member(call.params?, "capabilities")?;
        scan::member(scan::member(capabilities, "elicitation")?, "url")
    };
    if version == Version::V2025_11_25 && declared().is_some() { Hears::Link } else { Hears::Text }
}

/// The headers of a request within an upstream's session: its own id, and the negotiated revision.
// spec: TR-133: "Mcp-Session-Id and (2025-06-18 on) the negotiated MCP-Protocol-Version on every request"
fn join(headers: &mut HeaderMap, session: &Session) {
    if let Some(id) = session.upstream.as_deref().and_then(|id| HeaderValue::try_from(id).ok()) {
        set(headers, wire::SESSION_ID, id);
    }
    if session.version >= Version::V2025_06_18 {
        set(headers, wire::PROTOCOL_VERSION, HeaderValue::from_static(session.version.as_str()));
    }
}

/// The revision that the upstream answered with, if sessions of it are served here.
fn negotiated(bytes: &[u8]) -> Option<Version> {
    let message = message::message(std::str::from_utf8(bytes).ok()?.trim()).ok()?;
    let Message::Response(response) = message else { return None };
    let message::Outcome::Result(result) = response.outcome else { return None };
    let version = Version::parse(&scan::string(scan::member(result, "protocolVersion")?)?)?;
    (Version::SERVED.contains(&version) && version <= Version::NEWEST_LEGACY).then_some(version)
}

fn useless(status: StatusCode) -> UpstreamError {
    if status.is_server_error() {
        UpstreamError::Failed(status.as_u16())
    } else {
        UpstreamError::Unusable("neither JSON nor events")
    }
}
