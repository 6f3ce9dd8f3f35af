//! One request on its way through the six steps, and what modern and legacy requests have in common.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, ops::Deref, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, StatusCode, header};
use portcullis_audit::Outcome;
use portcullis_base::{ServerName, SessionId};
use portcullis_mcp::{
    Era, Headers, Id, Message, Method, ProtocolError, Version, headers as wire, message::Call, method::TargetKind, scan,
};
use portcullis_policy::{Access, Permit, Target};
use portcullis_store::PersonKind;

use super::{
    Local,
    answer::{self, Answer},
    approval::Waited,
    crowd::Crowd,
    decide::{Calls, Decided, Deed, decide},
    document::{self, Document, GATHERED, Gathered, Passing, STRAINED},
    errand::Errand,
    hold::Line,
    inbound::Inbound,
    parts::Parts,
    receive::{Accepts, essence},
    record::Record,
    refusal::Refusal,
    relay::{Relay, Source},
    remembered::Keeper,
    rendering::Spoilt,
    restore::{Restorer, Seen},
    session::Hears,
    sieve::{CLIENT_CREDENTIALS, Came, Discovery, ENTERPRISE_MANAGED, Shown, Sieve, Whose},
    speech::Speech,
    stay::{GRACE, Stay},
    toolbox::{Unboxed, Uris},
};
use crate::{
    authority::Whom,
    caller::{Caller, Renewal},
    config::ToolList,
    connections::{Lack, Presented},
    snapshot::{Server, Snapshot},
    toolbox::Toolbox,
    tools::Part,
    upstream::{AnswerBody, Asker, Conversation, Credential, DiscoverError, For, Upstream, UpstreamError, lower},
    veil::{HeldBack, Veil},
};

/// One request, proved: who is here, at which endpoint, and with what.
#[derive(Clone, Copy)]
pub(super) struct Visit<'a> {
    pub parts: &'a Arc<Parts>,
    pub calls: &'a Arc<Calls>,
    pub crowd: &'a Arc<Crowd>,
    pub snapshot: &'a Arc<Snapshot>,
    pub caller: &'a Caller,
    /// The endpoint's name: that of a server, or of a toolbox.
    pub endpoint: &'a ServerName,
    /// What is there.
    pub place: Place<'a>,
    /// The session of an older revision that the request belongs to, if it is made for one.
    pub conversation: Option<&'a SessionId>,
    /// The client, if it is in this process.
    pub asker: Option<&'a Asker>,
    /// What the client did, if it said that in other words than it is put in here.
    pub did: Option<Method>,
    /// Where the client hears of it before there is an answer.
    pub line: Option<&'a Line>,
    /// What it waited for, if it is judged anew.
    pub waited: Option<&'a Waited>,
    pub accepts: Accepts,
    pub inbound: Inbound<'a>,
    pub local: &'a Arc<Local>,
    pub address: Option<IpAddr>,
}

/// What is at an endpoint.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// One server.
    Server(&'a Server),
    /// What somebody chose of several.
    Toolbox(&'a Arc<Toolbox>),
}

impl<'a> Place<'a> {
    /// What `snapshot` has at the endpoint called `name`.
    pub(super) fn of(snapshot: &'a Snapshot, name: &ServerName) -> Option<Self> {
        let server = snapshot.servers.get(name).map(|server| Self::Server(server));
        server.or_else(|| snapshot.toolboxes.get(name).map(Self::Toolbox))
    }

    /// Who may use it.
    pub(super) fn access(self) -> &'a Access {
        match self {
            Self::Server(server) => &server.access,
            Self::Toolbox(toolbox) => &toolbox.access,
        }
    }
}

/// A visit that was routed to a server.
#[derive(Clone)]
pub(super) struct Turn<'a> {
    pub visit: Visit<'a>,
    pub server: &'a Server,
    pub upstream: Arc<Upstream>,
    /// How the client sees it, if not as it is.
    pub lens: Option<Lens<'a>>,
}

/// What a client sees of a server through a toolbox.
#[derive(Clone)]
pub(super) struct Lens<'a> {
    /// The client's own raw arguments.
    pub arguments: Option<&'a str>,
    /// Arguments that the client does not know of.
    pub fixed: Option<&'a BTreeMap<String, String>>,
    /// How the server's URIs are written for it.
    pub uris: Arc<Uris>,
}

/// What is known of the visit is known of the turn.
impl<'a> Deref for Turn<'a> {
    type Target = Visit<'a>;

    fn deref(&self) -> &Visit<'a> {
        &self.visit
    }
}

impl<'a> Visit<'a> {
    /// The visit's way to `server`.
    pub(super) fn turn(self, server: &'a Server) -> Turn<'a> {
        let upstream = self.parts.upstreams.open(&server.name, &server.location, server.limits);
        Turn { visit: self, server, upstream, lens: None }
    }

    /// Ways to a token that this endpoint takes besides a person at a browser. Where another server issues the tokens, that
    /// one says so.
    pub(super) fn extensions(&self) -> Vec<&'static str> {
        if self.parts.externals.get(self.endpoint).is_some() {
            return Vec::new();
        }
        let machines = (self.snapshot.service_accounts > 0).then_some(CLIENT_CREDENTIALS);
        let managed = self.parts.settings.identity_assertions.then_some(ENTERPRISE_MANAGED);
        machines.into_iter().chain(managed).collect()
    }

    /// Serves one modern message at whatever is at this endpoint, with the headers that came with it; without any if it was
    /// made in this process.
    pub(super) async fn modern(
        self,
        headers: Option<&Headers<'_>>,
        message: &Message<'_>,
        version: Version,
        method: Option<Method>,
    ) -> Result<Response<Answer>, Refusal> {
        match self.place {
            Place::Server(server) => self.turn(server).modern(headers, message, version, method).await,
            Place::Toolbox(toolbox) => {
                Box::pin(Unboxed::new(self, toolbox).modern(headers, message, version, method)).await
            }
        }
    }
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
        let scene = self.scene(self.acquainted(deed).await);
        match decide(&scene, deed).await? {
            Decided::Permitted(permit, record) => Ok((permit, record)),
            Decided::Asks(case, denial) => Box::pin(self.put_to_humans(case, denial)).await,
        }
    }

    /// A request to the upstream, of headers that are all made here.
    // spec: SEC-3, RS-22, T-32, T-35: what the client sent as headers has no way into this, but for those that the
    // settings name.
    pub(super) fn request(&self, method: HttpMethod, body: Bytes) -> Request<Bytes> {
        let mut request = self.upstream.request(method, body);
        self.inbound.pass(&self.server.request_headers, request.headers_mut());
        request.extensions_mut().insert(For(self.caller.person.clone()));
        if let Some(conversation) = self.conversation {
            request.extensions_mut().insert(Conversation(conversation.clone()));
        }
        if let Some(asker) = self.asker {
            request.extensions_mut().insert(asker.clone());
        }
        request
    }

    /// A message to the upstream.
    pub(super) fn post(&self, body: Bytes) -> Request<Bytes> {
        let mut request = self.request(HttpMethod::POST, body);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        request
    }

    /// For whom the upstream is asked.
    pub(super) fn whom(&self) -> Whom {
        let Caller { person, name, groups, renewal, .. } = self.caller;
        let kind = if *renewal == Renewal::Nowhere { PersonKind::Service } else { PersonKind::Person };
        Whom { person: person.clone(), kind, name: name.clone(), groups: groups.clone() }
    }

    /// What the caller has at the upstream.
    pub(super) async fn credential(&self) -> Result<Presented, Lack> {
        self.parts.connections.credential(self.server, &self.whom()).await
    }

    /// The revisions that the upstream speaks itself. While nobody can ask it, all of them.
    pub(super) async fn spoken(&self) -> Result<Arc<[Version]>, UpstreamError> {
        if let Some(known) = self.upstream.known_versions() {
            return Ok(known);
        }
        let url = self.server.url().map_or("", |url| url.as_str());
        if let Some(recalled) = self.local.remembered.versions(&self.server.name, url).await {
            self.upstream.recall(recalled.clone());
            return Ok(recalled);
        }
        let Ok(presented) = self.credential().await else { return Ok(Version::SERVED.into()) };
        match self.upstream.versions(&presented.credential).await {
            Ok(versions) => {
                self.local.remembered.keep_versions(&self.server.name, url, &versions);
                Ok(versions)
            }
            // The call itself will tell what is wrong with what was shown.
            Err(DiscoverError::Upstream(UpstreamError::Credentials { .. })) => Ok(Version::SERVED.into()),
            Err(error) => {
                tracing::warn!(server.name = %self.server.name, %error, "upstream not discovered");
                Err(error.into())
            }
        }
    }

    /// Has the upstream asked again, behind the calls, what it speaks, if that is due.
    pub(super) fn freshen(&self, credential: &Credential) {
        if !self.upstream.is_due() {
            return;
        }
        let (upstream, remembered, credential) =
            (self.upstream.clone(), self.local.remembered.clone(), credential.clone());
        let url = self.server.url().map_or_else(String::new, |url| url.as_str().to_owned());
        tokio::spawn(async move {
            if let Some(versions) = upstream.learn_again(&credential).await {
                remembered.keep_versions(upstream.name(), &url, &versions);
            }
        });
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
            Ok(Gathered::Whole(bytes, seen)) => self.strained(sieve.as_ref(), status, bytes, (seen, id), record),
            Ok(Gathered::Large(_)) if sieve.as_ref().is_some_and(Sieve::is_veiled) => {
                let why = HeldBack::Endless;
                let text = sieve.map(|sieve| sieve.apology(id.to_json(), why)).unwrap_or_default();
                Ok(held_back(text, why.note(), record))
            }
            // spec: AG-36: "over-limit results end with an error"
            Ok(Gathered::Large(_)) if sieve.is_some() => Err(self.failed(
                &UpstreamError::Unusable("an answer too large to be looked through"),
                Some(id),
                &mut record,
            )),
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

    /// Hides from the answer to `method` what the caller may not use, and remembers what they may see.
    pub(super) fn sieve(
        &self,
        (method, era): (Method, Era),
        params: Option<&str>,
        errand: &Errand<'_>,
    ) -> Option<Sieve> {
        let cursor = params.and_then(|params| scan::member(params, "cursor")).and_then(scan::string);
        let shown = Shown {
            holder: errand.holder().cloned().filter(|_| self.server.tools == ToolList::Personal),
            came: Came::Now(if cursor.is_some() { Part::Next } else { Part::First }),
        };
        // Whosever it is: rules are held against it, and it says what toolboxes cost.
        let keeper = (method == Method::ToolsList).then(|| Keeper {
            remembered: self.local.remembered.clone(),
            server: self.server.name.clone(),
            holder: shown.holder.clone(),
            cursor: cursor.map(Into::into),
        });
        let uris = self.lens.as_ref().map(|lens| lens.uris.clone());
        self.sieve_of((method, era), shown)
            .through(uris)
            .veiled(self.veil(method, errand))
            .of_answer(self.whose(method, errand), keeper)
    }

    /// What is masked in the answer to `method`, and how much of it is let through.
    fn veil(&self, method: Method, errand: &Errand<'_>) -> Option<Arc<Veil>> {
        match method {
            Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead | Method::Complete => errand.veil(),
            // Of which call it is the result, nobody knows here.
            Method::TasksGet | Method::TasksResult | Method::TasksUpdate | Method::SubscriptionsListen => {
                self.veil_of_all()
            }
            _ => None,
        }
    }

    /// The same for whatever the server says.
    pub(super) fn veil_of_all(&self) -> Option<Arc<Veil>> {
        Veil::of(&self.snapshot.bundle.veils(&self.server.name)).map(Arc::new)
    }

    /// Who may be shown the answer to `method`, of those that a client may keep.
    pub(super) fn whose(&self, method: Method, errand: &Errand<'_>) -> Whose {
        let depends = match method {
            Method::ResourcesRead => true,
            Method::Discover
            | Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourceTemplatesList => self.server.tools == ToolList::Personal,
            _ => false,
        };
        if depends && errand.holder().is_some() { Whose::Callers } else { Whose::Anybody }
    }

    /// The same for an answer of ours.
    pub(super) fn list_sieve(&self, method: Method, era: Era) -> Sieve {
        self.sieve_of((method, era), Shown { holder: self.shown_to(), came: Came::Remembered })
    }

    fn sieve_of(&self, of: (Method, Era), shown: Shown) -> Sieve {
        let discovery = || Discovery { extensions: self.extensions() };
        Sieve::of(self, of, shown, discovery)
    }

    /// A whole JSON answer, put right.
    pub(super) fn strained(
        &self,
        sieve: Option<&Sieve>,
        status: StatusCode,
        bytes: Bytes,
        (seen, id): (Seen, Id<'_>),
        record: Record,
    ) -> Result<Response<Answer>, Refusal> {
        let bytes = Sieve::apply(sieve, bytes);
        let lifted = sieve.filter(|sieve| sieve.is_veiled() && !bytes.is_empty()).map(|sieve| {
            let unreadable = HeldBack::Unreadable;
            let text = std::str::from_utf8(&bytes).map_err(|_| (None, unreadable.note()));
            text.and_then(|text| sieve.lift(text.trim()))
                .map_err(|(said, note)| (said.unwrap_or_else(|| sieve.apology(id.to_json(), unreadable)), note))
        });
        match lifted.transpose() {
            Ok(lifted) => self.whole(status, lifted.flatten().map_or(bytes, Bytes::from), seen, id, record),
            Err((said, note)) => Ok(held_back(said, note, record)),
        }
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
            if let Ok(message) = std::str::from_utf8(&bytes) {
                record.says(message);
            }
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
        let error = match (seen.spoilt, status) {
            (Some(Spoilt::Asks(blocked)), _) => {
                record.end(Outcome::Denied, Some(blocked.why));
                let server = &self.server.name;
                return Err(blocked.noted(server).error(server, None).with_id(Some(id)).into());
            }
            (Some(Spoilt::Unusable(why)), _) => UpstreamError::Unusable(why),
            (None, status) if status.is_server_error() => UpstreamError::Failed(status.as_u16()),
            _ => UpstreamError::Unusable("no answer to the request"),
        };
        Err(self.failed(&error, Some(id), &mut record))
    }

    /// A stream of events.
    pub(super) fn events(&self, body: AnswerBody, speech: Speech, record: Record) -> Response<Answer> {
        answer::events(self.relay(Source::Upstream(body), speech, record))
    }

    pub(super) fn relay(&self, source: Source, speech: Speech, record: Record) -> Relay {
        let longest = self.upstream.limits().total;
        let (ended, clock) = (self.parts.ended.clone(), &*self.parts.clock);
        let stay = if speech.awaits_answer() {
            Stay::new(self.caller, ended, clock, longest, GRACE)
        } else {
            Stay::listening(self.caller, ended, clock, longest)
        };
        let mut limits = self.parts.settings.streams;
        limits.idle = limits.idle.min(self.upstream.limits().idle);
        Relay::new(source, speech, stay, record, limits)
    }
}

/// What is said in the place of an answer that is held back.
fn held_back(said: String, note: &'static str, mut record: Record) -> Response<Answer> {
    record.sent(said.len());
    record.says(&said);
    record.end(Outcome::Failure, Some(note));
    answer::json(StatusCode::OK, Answer::Whole(said.into()))
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
        era: Era::Modern,
        progress: call.meta.progress_token,
        back: None,
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
