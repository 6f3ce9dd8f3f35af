//! One request on its way through the six steps, and what modern and legacy requests have in common.

use std::{borrow::Cow, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, StatusCode, header};
use http_body_util::Full;
use portcullis_audit::Outcome;
use portcullis_mcp::{Id, Method, ProtocolError, headers as wire, message::Call, method::TargetKind};
use portcullis_policy::{Permit, Target};

use super::{
    answer::{self, Answer},
    crowd::Crowd,
    decide::{Calls, Deed, Scene, decide},
    document::{self, Document, GATHERED, Gathered, Passing, STRAINED},
    parts::Parts,
    receive::{Accepts, essence},
    record::Record,
    refusal::Refusal,
    relay::Relay,
    restore::{Restorer, Seen},
    session::Hears,
    sieve::{CLIENT_CREDENTIALS, Discovery, ENTERPRISE_MANAGED, Sieve},
    speech::Speech,
    stay::{GRACE, Stay},
};
use crate::{
    caller::Caller,
    snapshot::{Server, Snapshot},
    upstream::{AnswerBody, Upstream, UpstreamError, lower},
};

/// One request, proved and routed.
pub(super) struct Turn<'a> {
    pub parts: &'a Parts,
    pub calls: &'a Calls,
    pub crowd: &'a Arc<Crowd>,
    pub snapshot: &'a Arc<Snapshot>,
    pub caller: &'a Caller,
    pub server: &'a Server,
    pub upstream: Arc<Upstream>,
    pub accepts: Accepts,
    pub address: Option<IpAddr>,
}

/// The answer of an upstream, by its form.
pub(super) enum Form {
    Json,
    Events,
    Nothing,
}

impl Turn<'_> {
    /// Step four.
    pub(super) async fn decide(&self, deed: &Deed<'_>) -> Result<(Permit, Record), Refusal> {
        let Self { parts, calls, crowd, snapshot, caller, server, address, .. } = *self;
        decide(&Scene { parts, calls, crowd, snapshot, caller, server, address }, deed).await
    }

    /// A request to the upstream, of headers that are all made here.
    // spec: SEC-3, RS-22, T-32, T-35: what the client sent as headers has no way into this.
    pub(super) fn post(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = self.upstream.request(HttpMethod::POST, body);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        request
    }

    /// The upstream failed: recorded, and told to the client in general words.
    // spec: BR-10, and never as 401 or 403, which would make the client throw away its good token.
    pub(super) fn failed(&self, error: &UpstreamError, id: Option<Id<'_>>, record: &mut Record) -> Refusal {
        tracing::warn!(server.name = %self.server.name, %error, "upstream failed");
        let outcome = if matches!(error, UpstreamError::Late) { Outcome::Timeout } else { Outcome::Failure };
        record.end(outcome, Some(error.note()));
        self.unavailable(error, id)
    }

    /// The answer when the upstream cannot be used.
    pub(super) fn unavailable(&self, error: &UpstreamError, id: Option<Id<'_>>) -> Refusal {
        // An outage ends one call; a status of its own would end the whole client of some SDKs. What is wrong with the
        // upstream itself is a bad gateway (T-29).
        let status = match error {
            UpstreamError::Unusable(_) => 502,
            _ if id.is_some() => 200,
            _ => 502,
        };
        ProtocolError::internal(status, error.public(&self.server.name)).with_id(id).into()
    }

    /// A JSON answer: whole if it is small, passed on as it comes if it is large.
    pub(super) async fn document(
        &self,
        status: StatusCode,
        body: AnswerBody,
        restorer: Restorer,
        sieve: Option<Sieve>,
        id: Id<'_>,
        mut record: Record,
    ) -> Result<Response<Answer>, Refusal> {
        let limits = self.upstream.limits();
        let most = if sieve.is_some() { STRAINED } else { GATHERED };
        match document::gather(body, restorer, most, limits.idle).await {
            Ok(Gathered::Whole(bytes, seen)) => {
                self.whole(status, Sieve::apply(sieve.as_ref(), bytes), seen, id, record)
            }
            Ok(Gathered::Large(_)) if sieve.is_some() => {
                Err(self.failed(&UpstreamError::Unusable("a list without end"), Some(id), &mut record))
            }
            Ok(Gathered::Large(passing)) if status == StatusCode::OK => Ok(self.passing(*passing, record)),
            Ok(Gathered::Large(_)) => {
                Err(self.failed(&UpstreamError::Unusable("an error without end"), Some(id), &mut record))
            }
            Err(error) => Err(self.failed(&error, Some(id), &mut record)),
        }
    }

    fn passing(&self, passing: Passing, record: Record) -> Response<Answer> {
        let document = Document::new(passing, record, self.upstream.limits(), self.parts.settings.streams.bytes);
        answer::json(StatusCode::OK, Answer::Document(Box::new(document)))
    }

    /// Hides from the answer to `method` what the caller may not use.
    pub(super) fn sieve(&self, method: Method) -> Option<Sieve> {
        let discovery = || Discovery { versions: self.upstream.known_versions(), extensions: self.extensions() };
        Sieve::of(self.snapshot, self.caller, &self.server.name, self.parts.clock.now(), method, discovery)
    }

    /// Ways to a token that this endpoint takes besides a person at a browser. Where another server issues the tokens, that
    /// one says so.
    fn extensions(&self) -> Vec<&'static str> {
        if self.parts.externals.get(&self.server.name).is_some() {
            return Vec::new();
        }
        let machines = (self.snapshot.service_accounts > 0).then_some(CLIENT_CREDENTIALS);
        let managed = self.parts.settings.identity_assertions.then_some(ENTERPRISE_MANAGED);
        machines.into_iter().chain(managed).collect()
    }

    /// A whole JSON answer.
    pub(super) fn whole(
        &self,
        status: StatusCode,
        bytes: Bytes,
        seen: Seen,
        id: Id<'_>,
        mut record: Record,
    ) -> Result<Response<Answer>, Refusal> {
        if seen.is_answer() && (status == StatusCode::OK || (seen.error && status.is_client_error())) {
            record.sent(bytes.len());
            record.end(document::outcome(seen), None);
            return Ok(answer::json(status, Answer::Whole(bytes)));
        }
        // Errors found before the id was read carry none; they are still about this request.
        if seen.closed
            && seen.error
            && status.is_client_error()
            && let Some(error) = repeat_error(&bytes, status, id)
        {
            record.end(Outcome::Failure, Some("the upstream refused the request"));
            return Err(error.into());
        }
        let error = match status {
            status if status.is_server_error() => UpstreamError::Failed(status.as_u16()),
            _ => UpstreamError::Unusable("no answer to the request"),
        };
        Err(self.failed(&error, Some(id), &mut record))
    }

    /// A stream of events.
    pub(super) fn events(&self, body: AnswerBody, speech: Speech, record: Record) -> Response<Answer> {
        let longest = self.upstream.limits().total;
        let grace = if speech.awaits_answer() { GRACE } else { Duration::ZERO };
        let stay = Stay::new(self.caller, self.parts.ended.clone(), &*self.parts.clock, longest, grace);
        let mut limits = self.parts.settings.streams;
        limits.idle = limits.idle.min(self.upstream.limits().idle);
        answer::events(Relay::new(body, speech, stay, record, limits))
    }
}

/// The deed that a request or notification is.
pub(super) fn deed<'a>(call: &'a Call<'a>, method: Method) -> Deed<'a> {
    let target = match (method.target(), call.target.as_deref()) {
        (TargetKind::Tool, Some(name)) => Target::Tool(name),
        (TargetKind::Prompt, Some(name)) => Target::Prompt(name),
        (TargetKind::Resource, Some(uri)) => Target::Resource(uri),
        (TargetKind::Task, Some(id)) => Target::Task(id),
        _ => Target::None,
    };
    Deed {
        method: Cow::Borrowed(method.name()),
        target,
        arguments: call.arguments,
        effect: method.effect(),
        id: call.id,
        raw: call.raw.as_bytes(),
        ends: call.id.is_some(),
        hears: Hears::Text,
    }
}

/// What the body of an upstream's answer is.
pub(super) fn form(headers: &HeaderMap) -> Form {
    match headers.get(header::CONTENT_TYPE).map(|value| essence(value.as_bytes())) {
        Some(media_type) if media_type.eq_ignore_ascii_case(b"application/json") => Form::Json,
        Some(media_type) if media_type.eq_ignore_ascii_case(b"text/event-stream") => Form::Events,
        _ => Form::Nothing,
    }
}

/// Sets headers of the protocol on a request to the upstream.
pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: HeaderValue) {
    headers.insert(lower(name), value);
}

/// The upstream's session id on an answer.
pub(super) fn session_of(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(lower(wire::SESSION_ID))
}

fn repeat_error(bytes: &[u8], status: StatusCode, id: Id<'_>) -> Option<ProtocolError> {
    let message = portcullis_mcp::message::message(std::str::from_utf8(bytes).ok()?.trim()).ok()?;
    let portcullis_mcp::Message::Response(response) = message else { return None };
    let portcullis_mcp::message::Outcome::Error { code, message, raw } = response.outcome else { return None };
    let mut error =
        ProtocolError::new(code, status.as_u16(), portcullis_base::printable(&message, 1000)).with_id(Some(id));
    error.data = portcullis_mcp::scan::member(raw, "data").and_then(|data| serde_json::from_str(data).ok());
    Some(error)
}
