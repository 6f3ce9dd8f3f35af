//! Requests of 2026-07-28: each stands alone. Checked, given an id of ours, sent with headers made from its body.

use std::{borrow::Cow, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use portcullis_audit::Outcome;
use portcullis_base::Digest;
use portcullis_mcp::{
    Era, Headers, Id, Message, Method, ProtocolError, Version,
    dialect::Abilities,
    headers as wire,
    message::{self, Call, HEADER_MISMATCH, META_CLIENT_CAPABILITIES, UNSUPPORTED_VERSION, peek_response},
    method::{Effect, TargetKind},
    object::Object,
    scan,
    tool::Annotation,
};

use super::{
    abilities,
    answer::{self, Answer},
    approval::{self, Back},
    decide::Deed,
    ear::Ear,
    errand::{Errand, Setback},
    here::Wanting,
    record::Record,
    refusal::Refusal,
    rendering::Rendering,
    restore::Restorer,
    resumed::{Resumed, unanswered},
    rewrite::{rewrite, stamped},
    sieve::Sieve,
    speech::{Modern, Speech, Words},
    state::{LIFETIME, Sealer, State},
    tasks::{Edits, Tasks},
    told::{self, Reply, hears_modern},
    turn::{Form, Turn, deed, form},
};
use crate::{
    correlation,
    questions::{Questions, elsewhere},
    upstream::{AnswerBody, Repeatable, Tools, UpstreamError, answer_in, whole},
};

/// A request on its way out: what every attempt to send it has in common.
struct Outgoing<'a> {
    call: &'a Call<'a>,
    id: Id<'a>,
    version: Version,
    method: Method,
    /// The upstream's own state, if this takes up an unfinished request.
    state: Option<String>,
    /// What its client brought back of ours, raw, which is good once.
    presented: Option<&'a str>,
    /// What became of our own wish that the caller connect, if it takes up a request that had to wait for that.
    resumed: Option<Resumed>,
    /// What it waited for, if its client was told to have it approved.
    back: Option<Back>,
    /// What the upstream is told that the client can do, raw.
    abilities: Option<Cow<'a, str>>,
    /// The ids of tasks in it and in its answer.
    tasks: Option<Tasks>,
    /// The definition that its tool was judged by.
    judged: Option<Digest>,
    /// The arguments as the client gave them, raw.
    given: Option<&'a str>,
    /// Ids of tasks in the message, then whatever else is not to go on as it is, and what takes their places.
    edits: Edits<'a>,
}

/// Why a request comes back to us.
enum Comes {
    /// Its caller was asked to connect.
    Connected(Resumed),
    /// Its caller was told where it can be approved.
    Back(Back),
}

/// What an upstream made of a request that was sent with the id `.1`.
enum Asked {
    /// It answers.
    Answered(Response<AnswerBody>, String),
    /// It refuses, with this message.
    Refused(Vec<u8>, String),
}

const UNBUILT: UpstreamError = UpstreamError::Unusable("the message could not be rebuilt");

impl Turn<'_> {
    /// Serves one modern message, with the headers that came with it; without any if it was made in this process.
    pub(super) async fn modern(
        &self,
        headers: Option<&Headers<'_>>,
        message: &Message<'_>,
        version: Version,
        method: Option<Method>,
    ) -> Result<Response<Answer>, Refusal> {
        match (message, method) {
            (Message::Request(call), Some(method)) => {
                let id = call.id.ok_or_else(|| Refusal::status(StatusCode::BAD_REQUEST))?;
                match self.state(call, method)? {
                    Some(State::Ours(than)) => {
                        let reply = Reply::of(call.input_responses, told::KEY);
                        self.resumed(headers, call, (version, method), Comes::Connected(Resumed { than, reply })).await
                    }
                    Some(State::Awaits(id, round)) => {
                        let reply = Reply::of(call.input_responses, approval::KEY);
                        self.resumed(headers, call, (version, method), Comes::Back(Back { id, round, reply })).await
                    }
                    state => {
                        let state = state.and_then(State::theirs);
                        let presented = call.request_state;
                        let out = Outgoing { state, presented, ..self.outgoing(call, id, version, method)? };
                        self.modern_request(headers, out).await
                    }
                }
            }
            (Message::Notification(call), Some(method)) => self.modern_notification(call, version, method).await,
            // A notification that the revision does not define is accepted and goes nowhere.
            _ => Ok(answer::empty(StatusCode::ACCEPTED)),
        }
    }

    /// A request whose client was asked by us to have a page opened. What was between them and us stays here.
    // spec: BR-61: "if the upstream sent none, the gateway may still send its own, and sends none upstream"
    async fn resumed(
        &self,
        headers: Option<&Headers<'_>>,
        call: &Call<'_>,
        (version, method): (Version, Method),
        comes: Comes,
    ) -> Result<Response<Answer>, Refusal> {
        // An approval is used up by itself; what names it does nothing.
        let (resumed, back, presented) = match comes {
            Comes::Connected(resumed) => (Some(resumed), None, call.request_state),
            Comes::Back(back) => (None, Some(back), None),
        };
        let plain = unanswered(call).ok_or_else(|| Refusal::status(StatusCode::BAD_REQUEST))?;
        match message::message(&plain) {
            Ok(Message::Request(call)) if call.id.is_some() => {
                let Some(id) = call.id else { return Err(Refusal::status(StatusCode::BAD_REQUEST)) };
                let out = Outgoing { presented, resumed, back, ..self.outgoing(&call, id, version, method)? };
                self.modern_request(headers, out).await
            }
            _ => Err(Refusal::status(StatusCode::BAD_REQUEST)),
        }
    }

    /// A request as it will be sent, with the ids of tasks in it opened.
    fn outgoing<'c>(
        &self,
        call: &'c Call<'c>,
        id: Id<'c>,
        version: Version,
        method: Method,
    ) -> Result<Outgoing<'c>, Refusal> {
        let (tasks, mut edits) = Tasks::of(self, call, method).map_err(|error| error.with_id(Some(id)))?;
        let answers = call.input_responses.filter(|_| !self.server.allow.files);
        edits.extend(answers.and_then(|raw| Some((raw, elsewhere(raw)?))));
        let own = abilities::own(&self.server.credential);
        let abilities = call.meta.client_capabilities.map(|raw| abilities::declared(raw, self.server.allow, own));
        let judged = None;
        Ok(Outgoing {
            call,
            id,
            version,
            method,
            state: None,
            presented: None,
            resumed: None,
            back: None,
            abilities,
            tasks,
            judged,
            given: call.arguments,
            edits,
        })
    }

    async fn modern_request(
        &self,
        headers: Option<&Headers<'_>>,
        mut out: Outgoing<'_>,
    ) -> Result<Response<Answer>, Refusal> {
        if !self.accepts.json && !self.accepts.events {
            return Err(Refusal::status(StatusCode::NOT_ACCEPTABLE));
        }
        let deed = Deed { back: out.back.as_ref(), ..self.deed(out.call, out.method) };
        let (permit, mut record) = self.decide(&deed).await?;
        // spec: T-80: "execute the stored arguments": another request may have written the same in other bytes.
        let approved = out.given.zip(record.approved()).filter(|(given, approved)| given != approved);
        let rewritten = approved.map(|(given, approved)| rewrite(out.call.raw, &mut [(given, approved)]));
        let text;
        let message;
        if let Some(rewritten) = rewritten {
            text = rewritten.and_then(|bytes| String::from_utf8(bytes.into()).ok()).unwrap_or_default();
            message = message::message(&text);
            let Ok(Message::Request(call)) = &message else {
                return Err(self.failed(&UNBUILT, out.call.id, &mut record));
            };
            let Some(id) = call.id else { return Err(self.failed(&UNBUILT, out.call.id, &mut record)) };
            let fresh = self.outgoing(call, id, out.version, out.method)?;
            out = Outgoing { call, id, tasks: fresh.tasks, edits: fresh.edits, abilities: fresh.abilities, ..out };
        }
        out.judged = record.definition();
        if let Some(presented) = out.presented
            && let Err(error) = self.spend(presented).await
        {
            record.end(Outcome::Denied, Some("what it brought back could not be taken"));
            return Err(error.with_id(out.call.id).into());
        }
        let errand = Errand::new(self, permit, &record);
        let mut errand = errand.map_err(|error| self.failed(&error, out.call.id, &mut record))?;
        errand = errand.limited(record.departure());
        if out.method == Method::SubscriptionsListen {
            out.edits.extend(self.heard_of(out.call).await);
        }
        let out = &out;
        match self.asked(headers, out, &mut errand).await {
            Ok(Asked::Answered(response, sent)) => self.modern_answer(response, &sent, out, &errand, record).await,
            Ok(Asked::Refused(bytes, sent)) => {
                self.restored(StatusCode::BAD_REQUEST, &bytes, &sent, out, &errand, record)
            }
            Err(Setback::Upstream(error)) => Err(self.failed(&error, out.call.id, &mut record)),
            Err(Setback::Lack(lack)) => self.without(&lack, &self.wanting(out), record).await,
            Err(Setback::Declined) => self.declined(&self.wanting(out), record),
            Err(Setback::Wrong(error)) => {
                record.end(Outcome::Denied, Some("the request may not go on"));
                Err(error.with_id(out.call.id).into())
            }
            Err(Setback::NoSession) => Err(Refusal::no_session()),
        }
    }

    fn deed<'c>(&self, call: &'c Call<'c>, method: Method) -> Deed<'c> {
        let mut deed = Deed { hears: hears_modern(call, method), ..deed(call, method) };
        if let Some(did) = self.did {
            deed.method = did.name().into();
        }
        deed
    }

    /// What the tools want as headers, by their list of now.
    async fn tools(&self, errand: &mut Errand<'_>, out: &Outgoing<'_>) -> Result<Option<Arc<Tools>>, Setback> {
        let tools = errand.tools().await;
        self.not_overtaken(out.judged, &self.deed(out.call, out.method)).map_err(Setback::Wrong)?;
        Ok(tools)
    }

    async fn asked(
        &self,
        headers: Option<&Headers<'_>>,
        out: &Outgoing<'_>,
        errand: &mut Errand<'_>,
    ) -> Result<Asked, Setback> {
        if let Some(Resumed { than, reply }) = &out.resumed {
            if *reply == Reply::Declined {
                return Err(Setback::Declined);
            }
            self.await_connection(*than).await?;
        }
        errand.prepare().await?;
        let tools = if out.method == Method::ToolsCall { self.tools(errand, out).await? } else { None };
        let annotations = annotations(tools.as_deref(), out.call);
        // spec: TR-46: held against what the upstream's own tools declare, as the caller sees them.
        if let Some(headers) = headers {
            self.check_params(headers, annotations, out.given)
                .map_err(|error| Setback::Wrong(error.with_id(out.call.id)))?;
        }
        let sent = self.upstream.next_id().to_string();
        errand.leave().await?;
        let response = errand.ask(|| self.rebuilt(out, annotations, &sent)).await?;
        self.repaired(errand, response, sent, out, annotations).await
    }

    /// Through a toolbox, what the client sent is held against the arguments that it was shown.
    fn check_params(
        &self,
        headers: &Headers<'_>,
        annotations: &[Annotation],
        arguments: Option<&str>,
    ) -> Result<(), ProtocolError> {
        let Some(lens) = &self.lens else { return wire::check_params(headers, annotations, arguments) };
        let fixed = |name: Option<&String>| name.zip(lens.fixed).is_some_and(|(name, fixed)| fixed.contains_key(name));
        let open: Vec<_> = annotations.iter().filter(|known| !fixed(known.path.first())).cloned().collect();
        wire::check_params(headers, &open, lens.arguments)
    }

    fn wanting<'o>(&self, out: &'o Outgoing<'_>) -> Wanting<'o> {
        Wanting {
            method: out.method,
            id: out.id,
            era: Era::Modern,
            hears: hears_modern(out.call, out.method),
            params: out.call.params,
            session: None,
            sealer: self.sealer(out.call, out.method),
        }
    }

    /// The request to the upstream: an id of ours, headers made from the body.
    fn rebuilt(
        &self,
        out: &Outgoing<'_>,
        annotations: &[Annotation],
        sent: &str,
    ) -> Result<Request<Bytes>, UpstreamError> {
        let body = out.body(sent).ok_or(UNBUILT)?;
        let mut request = self.post(body);
        if out.method.effect() == Effect::Read {
            request.extensions_mut().insert(Repeatable);
        }
        write_headers(
            request.headers_mut(),
            out.version,
            out.method,
            (out.target().as_deref(), out.call.arguments),
            annotations,
        )
        .ok_or(UpstreamError::Unusable("what the request names cannot stand in a header"))?;
        Ok(request)
    }

    /// Looks into a refusal: it may be about what we made of the upstream's definitions, or about its revision.
    async fn repaired(
        &self,
        errand: &mut Errand<'_>,
        response: Response<AnswerBody>,
        sent: String,
        out: &Outgoing<'_>,
        known: &[Annotation],
    ) -> Result<Asked, Setback> {
        if response.status() != StatusCode::BAD_REQUEST || !matches!(form(response.headers()), Form::Json) {
            return Ok(Asked::Answered(response, sent));
        }
        let bytes = whole(response.into_body()).await?;
        match peek_response(&bytes).and_then(|peek| peek.error_code) {
            Some(UNSUPPORTED_VERSION) => self.upstream.doubt(),
            // spec: TR-129: "refresh its tools/list and retry once with rebuilt headers"
            Some(HEADER_MISMATCH) if out.method == Method::ToolsCall => {
                errand.forget_tools();
                let tools = self.tools(errand, out).await?;
                let fresh = annotations(tools.as_deref(), out.call);
                if fresh != known {
                    let sent = self.upstream.next_id().to_string();
                    let response = errand.ask(|| self.rebuilt(out, fresh, &sent)).await?;
                    return Ok(Asked::Answered(response, sent));
                }
            }
            _ => {}
        }
        Ok(Asked::Refused(bytes, sent))
    }

    async fn modern_answer(
        &self,
        response: Response<AnswerBody>,
        sent: &str,
        out: &Outgoing<'_>,
        errand: &Errand<'_>,
        mut record: Record,
    ) -> Result<Response<Answer>, Refusal> {
        let sieve = self.sieve((out.method, Era::Modern), out.call.params, errand);
        let (head, body) = response.into_parts();
        match form(&head.headers) {
            Form::Json => {
                let restorer = self.restorer(sent, out).whose(self.whose(out.method, errand));
                let sieve = sieve.and_then(Sieve::without_whose);
                self.document(head.status, body, restorer, sieve, out.id, record).await
            }
            Form::Events if head.status == StatusCode::OK && self.accepts.events => {
                let speech = Modern {
                    sent: sent.to_owned(),
                    id: out.id.to_owned(),
                    progress: out.call.meta.progress_token.map(str::to_owned),
                    logs: out.call.meta.log_level.is_some(),
                    listens: out.method == Method::SubscriptionsListen,
                    rendering: Some(self.rendering(out)),
                    failure: UpstreamError::Unusable("").public(&self.server.name),
                };
                Ok(self.events(body, Speech::new(Words::Modern(speech), sieve), record))
            }
            // spec: TR-8: "if it excludes text/event-stream answer JSON when possible, else 406"
            Form::Events if out.method == Method::SubscriptionsListen => {
                record.end(Outcome::Failure, Some("the client reads no streams"));
                Err(Refusal::status(StatusCode::NOT_ACCEPTABLE))
            }
            Form::Events if head.status == StatusCode::OK => {
                let answer = tokio::time::timeout(self.upstream.limits().total, answer_in(body, Some(sent))).await;
                match answer.unwrap_or(Err(UpstreamError::Late)) {
                    Ok(message) => self.restored(StatusCode::OK, &message, sent, out, errand, record),
                    Err(error) => Err(self.failed(&error, Some(out.id), &mut record)),
                }
            }
            _ => {
                // spec: TR-125: a server that no longer answers as it did may have changed its revision.
                self.upstream.doubt();
                let error = match head.status {
                    status if status.is_server_error() => UpstreamError::Failed(status.as_u16()),
                    _ => UpstreamError::Unusable("neither JSON nor events"),
                };
                Err(self.failed(&error, Some(out.id), &mut record))
            }
        }
    }

    /// A whole message as the client's own.
    fn restored(
        &self,
        status: StatusCode,
        message: &[u8],
        sent: &str,
        out: &Outgoing<'_>,
        errand: &Errand<'_>,
        record: Record,
    ) -> Result<Response<Answer>, Refusal> {
        let mut restorer = self.restorer(sent, out);
        let mut bytes = BytesMut::with_capacity(message.len() + 64);
        restorer.feed(message, &mut bytes);
        let sieve = self.sieve((out.method, Era::Modern), out.call.params, errand);
        self.strained(sieve.as_ref(), status, bytes.freeze(), (restorer.seen(), out.id), record)
    }

    fn restorer(&self, sent: &str, out: &Outgoing<'_>) -> Restorer {
        Restorer::new(sent, out.id.to_json()).rendering(self.rendering(out))
    }

    fn rendering(&self, out: &Outgoing<'_>) -> Rendering {
        let abilities = Abilities::read(out.call.meta.client_capabilities.unwrap_or("{}"));
        let questions = Questions::new(self.server.name.clone(), self.server.allow, abilities);
        let ear = (out.method == Method::SubscriptionsListen).then(|| Ear::of(self));
        Rendering { sealer: self.sealer(out.call, out.method), tasks: out.tasks.clone(), questions, ear }
    }

    fn sealer(&self, call: &Call<'_>, method: Method) -> Option<Sealer> {
        Sealer::of(self, call, method)
    }

    /// What a request that takes up an unfinished one brings back.
    // spec: BR-60: "Reject failures with -32602"
    fn state(&self, call: &Call<'_>, method: Method) -> Result<Option<State>, ProtocolError> {
        let Some(presented) = call.request_state else { return Ok(None) };
        let state = self.sealer(call, method).and_then(|sealer| sealer.open(presented));
        let refused = ProtocolError::invalid_params("requestState is not of this request, or has expired");
        state.map(Some).ok_or_else(|| refused.with_id(call.id))
    }

    /// Uses up what a client brought back: after the decision, so that who may not go on yet can come back with it.
    // spec: T-65, BR-62: "one-time id consumed server-side": what is answered is answered once, on whichever node.
    async fn spend(&self, presented: &str) -> Result<(), ProtocolError> {
        match self.parts.store.spend(presented, self.parts.clock.now().plus(LIFETIME)).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let text = "requestState was brought back before. Put the request again without it.";
                Err(ProtocolError::invalid_params(text))
            }
            Err(error) => {
                tracing::error!(%error, "a state could not be spent");
                let text = "The answer cannot be taken at the moment. Try again in a few seconds.";
                Err(ProtocolError::internal(200, text))
            }
        }
    }

    async fn modern_notification(
        &self,
        call: &Call<'_>,
        version: Version,
        method: Method,
    ) -> Result<Response<Answer>, Refusal> {
        // Cancellation on this transport is the end of the connection, and our upstream knows other ids than the client.
        if method == Method::Cancelled {
            return Ok(answer::empty(StatusCode::ACCEPTED));
        }
        let (permit, mut record) = self.decide(&deed(call, method)).await?;
        let raw = Bytes::copy_from_slice(call.raw.as_bytes());
        let mut errand = Errand::new(self, permit, &record).map_err(|error| self.failed(&error, None, &mut record))?;
        let sent = async {
            errand.prepare().await?;
            let built = || {
                let mut request = self.post(stamped(&raw));
                write_headers(request.headers_mut(), version, method, (call.target.as_deref(), None), &[])
                    .ok_or(UpstreamError::Unusable("what the message names cannot stand in a header"))?;
                Ok(request)
            };
            errand.ask(built).await
        };
        match sent.await {
            // spec: TR-6: "202 and an empty body; a refused one with 4xx"
            Ok(response) if response.status().is_success() => Ok(answer::empty(StatusCode::ACCEPTED)),
            Ok(response) if response.status().is_client_error() => Err(Refusal::status(StatusCode::BAD_REQUEST)),
            Ok(response) => Err(self.failed(&UpstreamError::Failed(response.status().as_u16()), None, &mut record)),
            Err(Setback::Upstream(error)) => Err(self.failed(&error, None, &mut record)),
            // Nobody is there to be told.
            Err(_) => Ok(answer::empty(StatusCode::ACCEPTED)),
        }
    }
}

impl Outgoing<'_> {
    /// The message with our id, with it as progress token where the client has one, and with the upstream's own state.
    // spec: BR-2, TR-131, T-49
    fn body(&self, sent: &str) -> Option<Bytes> {
        let mut edits = Vec::with_capacity(3);
        edits.push((self.id.to_json(), sent));
        let meta = self.call.meta.raw.and_then(Object::read).map(|meta| self.meta(meta, sent));
        edits.extend(self.call.meta.raw.zip(meta.as_deref()));
        // spec: BR-61: "restore it exactly upstream"
        edits.extend(self.call.request_state.zip(self.state.as_deref()));
        edits.extend(self.edits.iter().map(|(raw, new)| (*raw, new.as_str())));
        rewrite(self.call.raw, &mut edits)
    }

    fn meta<'m>(&'m self, mut meta: Object<'m>, sent: &'m str) -> Cow<'m, str> {
        correlation::stamp(&mut meta);
        if self.call.meta.progress_token.is_some() {
            meta.set("progressToken", sent);
        }
        if let Some(abilities) = &self.abilities {
            meta.set(META_CLIENT_CAPABILITIES, &**abilities);
        }
        meta.finish()
    }

    /// What the request names, as the upstream knows it.
    fn target(&self) -> Option<Cow<'_, str>> {
        if self.method.target() == TargetKind::Task {
            return self.edits.first().and_then(|(_, theirs)| scan::string(theirs));
        }
        self.call.target.as_deref().map(Cow::Borrowed)
    }
}

/// The header annotations of the tool that is called.
fn annotations<'t>(tools: Option<&'t Tools>, call: &Call<'_>) -> &'t [Annotation] {
    match (tools, call.target.as_deref()) {
        (Some(tools), Some(name)) => tools.of(name),
        _ => &[],
    }
}

// spec: T-56: "regenerate headers for upstream; never forward the client's copies"
fn write_headers(
    out: &mut HeaderMap,
    version: Version,
    method: Method,
    (target, arguments): (Option<&str>, Option<&str>),
    annotations: &[Annotation],
) -> Option<()> {
    for (name, value) in wire::upstream(version, method, target, annotations, arguments) {
        out.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use portcullis_mcp::{message, scan::Limits};

    use super::*;

    /// spec: BR-2, TR-131
    #[test]
    fn id_and_progress_token_are_ours_and_every_other_byte_is_the_clients() {
        let body = br#"{"jsonrpc":"2.0","id":"a", "method":"tools/call","params":{"name":"x","arguments":{"id":"a"},"_meta":{"progressToken":"a"}}}"#;
        let Ok(message::Body::One(Message::Request(call))) = message::parse(body, &Limits::default()) else {
            panic!("a request")
        };
        let id = call.id.unwrap();
        let outgoing = Outgoing {
            call: &call,
            id,
            version: Version::V2026_07_28,
            method: Method::ToolsCall,
            state: None,
            presented: None,
            resumed: None,
            back: None,
            abilities: None,
            tasks: None,
            judged: None,
            given: call.arguments,
            edits: Vec::new(),
        };
        let sent = outgoing.body("77").unwrap();
        assert_eq!(
            std::str::from_utf8(&sent).unwrap(),
            r#"{"jsonrpc":"2.0","id":77, "method":"tools/call","params":{"name":"x","arguments":{"id":"a"},"_meta":{"progressToken":77}}}"#
        );
    }
}
