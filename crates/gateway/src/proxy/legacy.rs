//! Requests of 2025-03-26 to 2025-11-25, which live in sessions. The client's session is ours, the upstream's travels
//! sealed inside it, and both ends see only their own.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method as HttpMethod, Response, StatusCode};
use portcullis_audit::Outcome as End;
use portcullis_mcp::{
    Era, Headers, Id, Message, Method, ProtocolError, Version,
    dialect::{Abilities, without_files},
    headers::{self as wire, Field},
    message::{Call, Outcome, Response as Answered},
    method::Effect,
    scan,
};
use portcullis_policy::Target;

use super::{
    answer::{self, Answer},
    approval::Pages,
    aside::Aside,
    decide::Deed,
    errand::{Errand, Setback},
    here::Wanting,
    late::Joined,
    record::Record,
    refusal::Refusal,
    restore::Restorer,
    rewrite::{rewrite, stamped},
    session::{Bridge, Hears, Session},
    sieve::Sieve,
    speech::{Legacy, Speech, Words},
    turn::{Form, Place, Turn, Visit, deed, form},
};
use crate::{
    connections::Lack,
    questions::Questions,
    upstream::{AnswerBody, Repeatable, UpstreamError, answer_in},
};

impl Visit<'_> {
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
                server.name = %self.endpoint,
                session.version = session.version.as_str(),
                claimed.version = claimed.as_str(),
                "a request names another revision than its session"
            );
        }
        match self.passed(&session).await {
            Some(turn) => turn.within_passed(&session, message).await,
            None => Box::pin(self.within_bridged(&session, message)).await,
        }
    }

    /// A DELETE: the client is done with its session.
    // spec: TR-85
    pub(super) async fn close(&self, headers: &Headers<'_>) -> Result<Response<Answer>, Refusal> {
        let session = self.session_of_request(headers)?;
        match self.passed(&session).await {
            Some(turn) => turn.close(&session).await,
            None => Box::pin(self.close_bridged(&session)).await,
        }
    }

    /// A GET: the stream of what the upstream says unasked, or the rest of a stream that broke.
    // spec: TR-88
    pub(super) async fn listen(&self, headers: &Headers<'_>) -> Result<Response<Answer>, Refusal> {
        let session = self.session_of_request(headers)?;
        match self.passed(&session).await {
            Some(turn) => turn.listen(&session, headers).await,
            None => Box::pin(self.listen_bridged(&session, headers)).await,
        }
    }

    // spec: TR-83, TR-84: absent 400, unknown 404
    pub(super) fn session_of_request(&self, headers: &Headers<'_>) -> Result<Session, Refusal> {
        match headers.session {
            Field::One(presented) if !presented.is_empty() => self.resume(presented),
            _ => Err(Refusal::status(StatusCode::BAD_REQUEST)),
        }
    }

    fn resume(&self, presented: &[u8]) -> Result<Session, Refusal> {
        Session::resume(self.parts, self.caller, self.endpoint, presented).ok_or_else(Refusal::no_session)
    }

    /// The way of a session whose requests are passed on as they are; `None` if they are put to whatever is at the endpoint
    /// in the words of 2026-07-28.
    ///
    /// A session that was opened before anybody could ask the server is one of the latter as soon as the server turns out
    /// not to speak its revision.
    async fn passed(&self, session: &Session) -> Option<Turn<'_>> {
        let Place::Server(server) = self.place else { return None };
        let turn = self.turn(server);
        let bridged = match (session.bridge, &session.late) {
            (Bridge::Bridged, _) => true,
            (Bridge::Passed, None) => false,
            (Bridge::Passed, Some(_)) => turn.spoken().await.is_ok_and(|spoken| !spoken.contains(&session.version)),
        };
        (!bridged).then_some(turn)
    }
}

impl Turn<'_> {
    async fn within_passed(&self, session: &Session, message: &Message<'_>) -> Result<Response<Answer>, Refusal> {
        match message {
            Message::Request(call) => self.session_request(session, call).await,
            Message::Notification(call) => {
                match wire::admit(call, session.version)? {
                    // spec: TR-133: a session of ours was told already, when the upstream's was opened.
                    Some(Method::Initialized) if session.late.is_some() => Ok(answer::empty(StatusCode::ACCEPTED)),
                    Some(method) => self.one_way(session, &deed(call, method)).await,
                    // A notification that the revision does not define is accepted and goes nowhere.
                    None => Ok(answer::empty(StatusCode::ACCEPTED)),
                }
            }
            Message::Response(Answered { id: Some(id), outcome, .. }) if Pages::is_ours(id.to_json()) => {
                let (permit, record) = self.decide(&bare("response")).await?;
                drop((permit, record));
                let result = if let Outcome::Result(result) = outcome { Some(*result) } else { None };
                self.local.pages.answered(&self.caller.person, id.to_json(), result);
                Ok(answer::empty(StatusCode::ACCEPTED))
            }
            Message::Response(response) => {
                // spec: BR-75: what it answers to is not known here, and roots are told by their form.
                let elsewhere = match response.outcome {
                    Outcome::Result(result) if !self.server.allow.files && scan::member(result, "roots").is_some() => {
                        rewrite(response.raw, &mut [(result, &without_files(result))])
                    }
                    _ => None,
                };
                let raw = elsewhere.as_deref().unwrap_or(response.raw.as_bytes());
                self.one_way(session, &Deed { raw, ..bare("response") }).await
            }
        }
    }

    async fn session_request(&self, session: &Session, call: &Call<'_>) -> Result<Response<Answer>, Refusal> {
        // spec: T-54, T-69: what the session's revision does not have is not forwarded.
        let method = wire::admit(call, session.version)?;
        let (Some(method), Some(id)) = (method, call.id) else { return Err(Refusal::status(StatusCode::BAD_REQUEST)) };
        let deed = Deed { hears: session.hears, era: Era::Legacy, ..deed(call, method) };
        let (permit, mut record) = self.decide(&deed).await?;
        let errand = Errand::new(self, permit, &record).map_err(|error| self.failed(&error, call.id, &mut record))?;
        let mut errand = errand.limited(record.departure());
        let busy = self.local.busy.enter(&session.id);
        let (response, joined) = match self.exchanged(session, (call, record.approved()), method, &mut errand).await {
            Ok(Some(exchanged)) => exchanged,
            Ok(None) => return Ok(self.nothing(&wanting(session, call, method, id), record)),
            Err(Setback::Lack(lack)) => return self.without(&lack, &wanting(session, call, method, id), record).await,
            Err(setback) => {
                // spec: TR-14: "on expiry cancel upstream in the era's way"
                if let Setback::Upstream(UpstreamError::Late) = &setback
                    && let Some(joined) = self.open_side(session)
                {
                    self.aside(&joined, &errand).cancel(id.to_json());
                }
                return Err(self.set_back(setback, call.id, &mut record));
            }
        };
        let sieve = self.sieve((method, Era::Legacy), call.params, &errand);
        let (head, body) = response.into_parts();
        match form(&head.headers) {
            // spec: TR-84: the upstream has lost its session, and so this one is lost.
            _ if head.status == StatusCode::NOT_FOUND => {
                record.end(End::Failure, Some("the upstream's session has ended"));
                Err(Refusal::no_session())
            }
            Form::Json => {
                let restorer = Restorer::new(id.to_json(), id.to_json());
                self.document(head.status, body, restorer, sieve, id, record).await
            }
            Form::Events if head.status == StatusCode::OK && self.accepts.events => {
                let aside = Some(self.aside(&joined, &errand));
                let speech = Legacy { awaited: Some(id.to_owned()), aside, busy, ..self.speech(session) };
                Ok(self.events(body, Speech::new(Words::Legacy(speech), sieve), record))
            }
            Form::Events if head.status == StatusCode::OK && self.accepts.json => {
                self.gathered(body, sieve, id, record).await
            }
            Form::Events => {
                record.end(End::Failure, Some("the client reads no streams"));
                Err(Refusal::status(StatusCode::NOT_ACCEPTABLE))
            }
            Form::Nothing => Err(self.failed(&useless(head.status), call.id, &mut record)),
        }
    }

    /// A stream for a client that reads no streams: its answer alone.
    async fn gathered(
        &self,
        body: AnswerBody,
        sieve: Option<Sieve>,
        id: Id<'_>,
        mut record: Record,
    ) -> Result<Response<Answer>, Refusal> {
        let answer = tokio::time::timeout(self.upstream.limits().total, answer_in(body, Some(id.to_json()))).await;
        match answer.unwrap_or(Err(UpstreamError::Late)) {
            Ok(message) => {
                let mut restorer = Restorer::new(id.to_json(), id.to_json());
                let mut out = BytesMut::with_capacity(message.len());
                restorer.feed(&message, &mut out);
                let seen = restorer.seen();
                self.strained(sieve.as_ref(), StatusCode::OK, out.freeze(), (seen, id), record)
            }
            Err(error) => Err(self.failed(&error, Some(id), &mut record)),
        }
    }

    /// A request put to the upstream within its session; `None` if the upstream is known not to have what it is about.
    async fn exchanged<'s>(
        &self,
        session: &'s Session,
        (call, approved): (&Call<'_>, Option<&str>),
        method: Method,
        errand: &mut Errand<'_>,
    ) -> Result<Option<(Response<AnswerBody>, Joined<'s>)>, Setback> {
        errand.equip().await?;
        // spec: T-80: "execute the stored arguments"
        let raw = match call.arguments.zip(approved) {
            Some(edit) => {
                rewrite(call.raw, &mut [edit]).ok_or(UpstreamError::Unusable("the message could not be rebuilt"))?
            }
            None => Bytes::copy_from_slice(call.raw.as_bytes()),
        };
        let built = |joined: &Joined<'_>| {
            let mut request = self.post(stamped(&raw));
            if method.effect() == Effect::Read {
                request.extensions_mut().insert(Repeatable);
            }
            joined.write(request.headers_mut());
            Ok(request)
        };
        let joined = self.joined(session, errand).await?;
        if joined.lacks(method) {
            return Ok(None);
        }
        errand.leave().await?;
        let response = errand.send(|| built(&joined)).await?;
        if session.late.is_none() || response.status() != StatusCode::NOT_FOUND {
            return Ok(Some((response, joined)));
        }
        // Its place among those under way is for the next.
        drop(response);
        self.local.late.forget(&session.id);
        let joined = self.joined(session, errand).await?;
        Ok(Some((errand.send(|| built(&joined)).await?, joined)))
    }

    /// How the upstream of a session is told what the gateway itself has to say.
    pub(super) fn aside(&self, joined: &Joined<'_>, errand: &Errand<'_>) -> Aside {
        let mut headers = HeaderMap::new();
        joined.write(&mut headers);
        Aside::new(self.upstream.clone(), headers, errand.credential().clone())
    }

    /// Something that is over, without an answer that is the client's.
    pub(super) fn set_back(&self, setback: Setback, id: Option<Id<'_>>, record: &mut Record) -> Refusal {
        let text = match setback {
            Setback::Upstream(error) => return self.failed(&error, id, record),
            Setback::NoSession => {
                record.end(End::Failure, Some("the upstream opens no session"));
                return Refusal::no_session();
            }
            Setback::Wrong(error) => return error.into(),
            Setback::Lack(Lack::Refused(text) | Lack::Unavailable(text)) => text,
            Setback::Lack(Lack::Connect(_)) | Setback::Declined => "The caller has not connected.".to_owned(),
        };
        record.end(End::Failure, Some("there is nothing to show the upstream for the caller"));
        ProtocolError::internal(if id.is_some() { 200 } else { 502 }, text).with_id(id).into()
    }

    /// A notification or a response: sent on, answered with nothing.
    // spec: TR-6
    async fn one_way(&self, session: &Session, deed: &Deed<'_>) -> Result<Response<Answer>, Refusal> {
        let (permit, mut record) = self.decide(deed).await?;
        // What there is no session for, nobody waits for.
        let Some(joined) = self.open_side(session) else { return Ok(answer::empty(StatusCode::ACCEPTED)) };
        let mut errand = Errand::new(self, permit, &record).map_err(|error| self.failed(&error, None, &mut record))?;
        let raw = Bytes::copy_from_slice(deed.raw);
        let sent = async {
            errand.equip().await?;
            let built = || {
                let mut request = self.post(stamped(&raw));
                joined.write(request.headers_mut());
                Ok(request)
            };
            errand.send(built).await
        };
        match sent.await {
            Ok(response) if response.status().is_success() => Ok(answer::empty(StatusCode::ACCEPTED)),
            Ok(response) if response.status() == StatusCode::NOT_FOUND && session.late.is_none() => {
                Err(Refusal::no_session())
            }
            Ok(response) if response.status() == StatusCode::NOT_FOUND => Ok(answer::empty(StatusCode::ACCEPTED)),
            Ok(response) if response.status().is_client_error() => Err(Refusal::status(StatusCode::BAD_REQUEST)),
            Ok(response) => Err(self.failed(&useless(response.status()), None, &mut record)),
            Err(Setback::Upstream(error)) => Err(self.failed(&error, None, &mut record)),
            Err(_) => Ok(answer::empty(StatusCode::ACCEPTED)),
        }
    }

    /// Ends the upstream's session with its client's.
    async fn close(&self, session: &Session) -> Result<Response<Answer>, Refusal> {
        let (permit, mut record) = self.decide(&Deed { ends: true, ..bare("DELETE") }).await?;
        self.parts.ended.end_session(session.id.clone(), session.until());
        (self.parts.session_closed)(session.id.clone(), session.until());
        self.local.elicited.take(&session.id);
        let Some(joined) = self.open_side(session) else {
            record.end(End::Success, None);
            return Ok(answer::empty(StatusCode::NO_CONTENT));
        };
        self.local.late.forget(&session.id);
        let mut errand = Errand::new(self, permit, &record).map_err(|error| self.failed(&error, None, &mut record))?;
        let closed = async {
            errand.equip().await?;
            let built = || {
                let mut request = self.request(HttpMethod::DELETE, Bytes::new());
                joined.write(request.headers_mut());
                Ok(request)
            };
            errand.send(built).await
        };
        // Whether the upstream knows how to end sessions or not: this one is over.
        let outcome = if closed.await.is_ok() {
            End::Success
        } else {
            tracing::info!(server.name = %self.server.name, "the upstream's session could not be ended");
            End::Failure
        };
        record.end(outcome, None);
        Ok(answer::empty(StatusCode::NO_CONTENT))
    }

    pub(super) fn speech(&self, session: &Session) -> Legacy {
        Legacy {
            awaited: None,
            aside: None,
            busy: None,
            others: Some((self.local.busy.clone(), session.id.clone())),
            questions: Questions::new(self.server.name.clone(), self.server.allow, Abilities::everything()),
            resumes: false,
            mark: session.mark(self.parts),
            resumable: false,
            failure: UpstreamError::Unusable("").public(&self.server.name),
        }
    }
}

fn wanting<'a>(session: &'a Session, call: &'a Call<'_>, method: Method, id: Id<'a>) -> Wanting<'a> {
    let (era, hears, params) = (Era::Legacy, session.hears, call.params);
    Wanting { method, id, era, hears, params, session: Some(session), sealer: None }
}

/// A deed without bytes of its own.
pub(super) fn bare(method: &'static str) -> Deed<'static> {
    Deed {
        method: Cow::Borrowed(method),
        target: Target::None,
        arguments: None,
        effect: Effect::Read,
        id: None,
        raw: b"",
        ends: false,
        hears: Hears::Text,
        era: Era::Legacy,
        progress: None,
        back: None,
    }
}

pub(super) fn useless(status: StatusCode) -> UpstreamError {
    if status.is_server_error() {
        UpstreamError::Failed(status.as_u16())
    } else {
        UpstreamError::Unusable("neither JSON nor events")
    }
}
