//! A session over Streamable HTTP: requests by POST, their answers in the body or in a stream that may break and be taken
//! up again.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::Body;
use portcullis_mcp::{
    Message, Version, headers as wire,
    message::{self, Outcome},
    scan, sse,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    hub::Hub,
    wire::{Asking, Caller, Came, Events, Fault, Repeats, WAITING},
};
use crate::upstream::{AnswerBody, For, Repeatable, Upstream, UpstreamError, ask::LOOSE, lower, whole};

/// The wait before a stream is taken up again if the server names none, and the bounds of what it may name.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_LEAST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(30);
/// How often in a row a broken stream may be refused before it is given up.
const ATTEMPTS: u32 = 5;
/// How long the end of a session, or the giving up of a call, may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// One session.
pub(super) struct Http {
    upstream: Arc<Upstream>,
    version: Version,
    session: Option<HeaderValue>,
    over: AtomicBool,
    hub: Arc<Hub>,
    /// Who used it last: on their behalf it is closed.
    last: Mutex<Caller>,
}

/// Where a stream that breaks can be taken up again.
struct Thread {
    last: Option<String>,
    retry: Duration,
}

/// How the reading of one body ended.
enum Read {
    /// The answer was in it, or nobody wants it any more.
    Done,
    /// Without the answer.
    Open(Option<UpstreamError>),
}

impl Http {
    pub(super) fn new(
        upstream: Arc<Upstream>,
        version: Version,
        session: Option<HeaderValue>,
        hub: Arc<Hub>,
        caller: Caller,
    ) -> Self {
        Self { upstream, version, session, over: AtomicBool::new(false), hub, last: Mutex::new(caller) }
    }

    /// A request of ours to the server.
    // spec: BR-78: "only headers that revision defines, plus static ones an administrator configures"
    pub(super) fn post(upstream: &Upstream, caller: &Caller, body: Bytes) -> Request<Bytes> {
        let mut request = upstream.request(Method::POST, body);
        let headers = request.headers_mut();
        headers.extend(caller.headers.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(person) = &caller.person {
            request.extensions_mut().insert(For(person.clone()));
        }
        request
    }

    fn within(&self, caller: &Caller, method: Method, body: Bytes) -> Request<Bytes> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = caller.clone();
        let mut request = Self::post(&self.upstream, caller, body);
        if method != Method::POST {
            request.headers_mut().remove(header::CONTENT_TYPE);
        }
        if method == Method::GET {
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        *request.method_mut() = method;
        // spec: TR-133: "then Mcp-Session-Id and (2025-06-18 on) the negotiated MCP-Protocol-Version on every request"
        if self.version >= Version::V2025_06_18 {
            let version = HeaderValue::from_static(self.version.as_str());
            request.headers_mut().insert(lower(wire::PROTOCOL_VERSION), version);
        }
        if let Some(session) = &self.session {
            request.headers_mut().insert(lower(wire::SESSION_ID), session.clone());
        }
        request
    }

    pub(super) async fn ask(self: &Arc<Self>, caller: &Caller, asking: Asking<'_>) -> Result<Events, Fault> {
        let mut request = self.within(caller, Method::POST, asking.body.into());
        if asking.repeatable == Repeats::Freely {
            request.extensions_mut().insert(Repeatable);
        }
        let (head, body) = self.upstream.send(request, &caller.credential).await?.into_parts();
        let (tx, events) = mpsc::channel(WAITING);
        if head.status == StatusCode::OK && is(&head.headers, "text/event-stream") {
            let reader = Reader { http: self.clone(), caller: caller.clone(), id: asking.id, out: tx };
            tokio::spawn(reader.follow(body));
            return Ok(events);
        }
        let bytes = timeout(self.upstream.limits().idle, whole(body)).await.map_err(|_| UpstreamError::Late)??;
        let mut found = Vec::new();
        each_message(&bytes, &mut |raw| found.push(raw));
        let id = asking.id.to_string();
        let mine = found.iter().any(|raw| answers(raw, &id));
        match head.status {
            _ if mine && !(head.status == StatusCode::NOT_FOUND && self.session.is_some() && !says_no(&found, &id)) => {
            }
            // spec: TR-133: "on 404 open a new session once and retry the unprocessed request"
            StatusCode::NOT_FOUND if self.session.is_some() => {
                self.over.store(true, Ordering::Release);
                return Err(Fault::Gone);
            }
            StatusCode::BAD_REQUEST if self.session.is_some() && forgot(&found) => {
                self.over.store(true, Ordering::Release);
                return Err(Fault::Gone);
            }
            status if status.is_client_error() => match refusal(&found, asking.id) {
                Some(refusal) => found = vec![refusal],
                None => return Err(UpstreamError::Unusable("it refused the request").into()),
            },
            status if status.is_server_error() => return Err(UpstreamError::Failed(status.as_u16()).into()),
            _ => return Err(UpstreamError::Unusable("no answer to the request").into()),
        }
        for raw in found {
            if let Some(came) = self.sort(&raw, &id)
                && tx.try_send(came).is_err()
            {
                return Err(UpstreamError::Unusable("an answer without end").into());
            }
        }
        Ok(events)
    }

    /// What a message on the stream of the request `id` is to it.
    fn sort(&self, raw: &str, id: &str) -> Option<Came> {
        match message::message(raw).ok()? {
            Message::Response(response) => {
                response.id.is_some_and(|found| found.to_json() == id).then(|| Came::Answer(raw.into()))
            }
            Message::Request(_) => Some(Came::Request(raw.into())),
            Message::Notification(call) => {
                if self.hub.heard(&call) {
                    return None;
                }
                Some(Came::Notification(raw.into()))
            }
        }
    }

    pub(super) async fn tell(&self, caller: &Caller, message: String) -> Result<(), Fault> {
        let request = self.within(caller, Method::POST, message.into());
        let response = self.upstream.send(request, &caller.credential).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND if self.session.is_some() => {
                self.over.store(true, Ordering::Release);
                Err(Fault::Gone)
            }
            status => Err(UpstreamError::Failed(status.as_u16()).into()),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    // spec: TR-135: "DELETE legacy upstream sessions that are no longer needed"
    pub(super) async fn close(&self) {
        if self.session.is_none() || self.over.swap(true, Ordering::AcqRel) {
            return;
        }
        let caller = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = self.within(&caller, Method::DELETE, Bytes::new());
        drop(timeout(FAREWELL, self.upstream.send(request, &caller.credential)).await);
    }

    /// Opens the stream of what belongs to no request; `None` if the server has none.
    pub(super) async fn listen(&self, caller: &Caller, last: Option<&str>) -> Result<Option<AnswerBody>, Fault> {
        let mut request = self.within(caller, Method::GET, Bytes::new());
        if let Some(last) = last.and_then(|last| HeaderValue::from_str(last).ok()) {
            request.headers_mut().insert(lower(wire::LAST_EVENT_ID), last);
        }
        let response = self.upstream.send(request, &caller.credential).await?;
        match response.status() {
            StatusCode::OK if is(response.headers(), "text/event-stream") => Ok(Some(response.into_body())),
            StatusCode::NOT_FOUND if self.session.is_some() => {
                self.over.store(true, Ordering::Release);
                Err(Fault::Gone)
            }
            // spec: BR-43
            status if status.is_client_error() => Ok(None),
            status if status.is_success() => Ok(None),
            status => Err(UpstreamError::Failed(status.as_u16()).into()),
        }
    }

    /// Reads the stream of what belongs to no request for as long as there is one.
    pub(super) async fn overhear(self: Arc<Self>, caller: Caller, mut body: AnswerBody) {
        let mut thread = Thread { last: None, retry: RETRY };
        let (mut failed, mut decoder) = (0, Decoding::new());
        loop {
            while let Some(Ok(raws)) = decoder.next(&mut body, &mut thread).await {
                failed = 0;
                for raw in raws {
                    self.overheard(&caller, &raw).await;
                }
            }
            loop {
                failed += 1;
                if failed > ATTEMPTS || self.is_over() {
                    self.hub.silent();
                    return;
                }
                sleep(thread.retry * failed).await;
                decoder = Decoding::new();
                match self.listen(&caller, thread.last.as_deref()).await {
                    Ok(Some(new)) => {
                        body = new;
                        break;
                    }
                    Ok(None) => failed = ATTEMPTS,
                    Err(Fault::Gone) => {}
                    Err(Fault::Upstream(error)) => tracing::debug!(%error, "a stream could not be taken up again"),
                }
            }
        }
    }

    async fn overheard(&self, caller: &Caller, raw: &str) {
        match message::message(raw) {
            Ok(Message::Notification(call)) => {
                self.hub.heard(&call);
            }
            Ok(Message::Request(call)) => {
                if let Some(answer) = self.hub.unsolicited(&call) {
                    drop(self.tell(caller, answer).await);
                }
            }
            _ => {}
        }
    }
}

/// Follows the stream of one request.
struct Reader {
    http: Arc<Http>,
    caller: Caller,
    id: u64,
    out: mpsc::Sender<Came>,
}

impl Reader {
    async fn follow(self, mut body: AnswerBody) {
        let mut thread = Thread { last: None, retry: RETRY };
        let mut failed = 0;
        loop {
            let mut why = match self.read(&mut body, &mut thread).await {
                Read::Done => return,
                Read::Open(why) => why,
            };
            // spec: TR-134: "resume broken or deliberately closed legacy streams by GET with Last-Event-ID"
            loop {
                if thread.last.is_none() || failed >= ATTEMPTS {
                    let why = why.unwrap_or(UpstreamError::Unusable("the stream ended without an answer"));
                    drop(self.out.send(Came::Lost(why)).await);
                    return;
                }
                tokio::select! {
                    () = self.out.closed() => return,
                    () = sleep(thread.retry) => {}
                }
                let again = tokio::select! {
                    () = self.out.closed() => return,
                    again = self.http.listen(&self.caller, thread.last.as_deref()) => again,
                };
                match again {
                    Ok(Some(new)) => {
                        body = new;
                        failed = 0;
                        break;
                    }
                    Ok(None) => failed = ATTEMPTS,
                    Err(Fault::Gone) => {
                        drop(self.out.send(Came::Lost(Fault::Gone.into())).await);
                        return;
                    }
                    Err(Fault::Upstream(error)) => {
                        failed += 1;
                        why = Some(error);
                    }
                }
            }
        }
    }

    async fn read(&self, body: &mut AnswerBody, thread: &mut Thread) -> Read {
        let mut decoder = Decoding::new();
        let id = self.id.to_string();
        loop {
            let next = tokio::select! {
                () = self.out.closed() => return Read::Done,
                next = decoder.next(body, thread) => next,
            };
            let raws = match next {
                None => return Read::Open(None),
                Some(Err(error)) => return Read::Open(Some(error)),
                Some(Ok(raws)) => raws,
            };
            if raws.is_empty() {
                drop(self.out.try_send(Came::Alive));
            }
            for raw in raws {
                let Some(came) = self.http.sort(&raw, &id) else { continue };
                // Whoever waits for a person would keep others out of the places for calls that are worked on.
                if matches!(came, Came::Request(_)) {
                    body.gives_up_its_place();
                }
                let done = matches!(came, Came::Answer(_));
                if self.out.send(came).await.is_err() || done {
                    return Read::Done;
                }
            }
        }
    }
}

/// Takes messages out of a body of events.
struct Decoding {
    decoder: sse::Decoder,
    waiting: VecDeque<sse::Event>,
}

impl Decoding {
    fn new() -> Self {
        Self { decoder: sse::Decoder::new(sse::Limits::default()), waiting: VecDeque::new() }
    }

    /// The messages of the next piece, and where to go on from; nothing at the end. Nothing is lost if the wait is given
    /// up.
    async fn next(
        &mut self,
        body: &mut AnswerBody,
        thread: &mut Thread,
    ) -> Option<Result<Vec<Box<str>>, UpstreamError>> {
        let frame = match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await? {
            Ok(frame) => frame,
            Err(error) => return Some(Err(UpstreamError::Torn(error))),
        };
        let mut found = Vec::new();
        if let Ok(data) = frame.into_data() {
            let waiting = &mut self.waiting;
            if self.decoder.feed(&data, |event| waiting.push_back(event)).is_err() {
                return Some(Err(UpstreamError::Unusable("an event without end")));
            }
        }
        for event in self.waiting.drain(..) {
            if let Some(id) = event.id.as_ref() {
                thread.last = Some(id.clone()).filter(|id| !id.is_empty() && id.len() <= 4096);
            }
            if let Some(retry) = event.retry {
                thread.retry = Duration::from_millis(retry).clamp(RETRY_LEAST, RETRY_MOST);
            }
            if let Some(data) = event.data.as_deref().filter(|_| event.is_message()) {
                each_message(data.as_bytes(), &mut |raw| found.push(raw));
            }
        }
        Some(Ok(found))
    }
}

/// Gives `each` the messages in `bytes`, which may be one or, of a server of 2025-03-26, several. What is no strict JSON is
/// none.
fn each_message(bytes: &[u8], each: &mut dyn FnMut(Box<str>)) {
    let raw = |message: &Message<'_>| -> Box<str> {
        match message {
            Message::Request(call) | Message::Notification(call) => call.raw.into(),
            Message::Response(response) => response.raw.into(),
        }
    };
    match message::parse(bytes, &LOOSE) {
        Ok(message::Body::One(message)) => each(raw(&message)),
        Ok(message::Body::Batch(messages)) => messages.iter().for_each(|message| each(raw(message))),
        Err(_) => {}
    }
}

fn answers(raw: &str, id: &str) -> bool {
    scan::member(raw, "id") == Some(id) && scan::member(raw, "method").is_none()
}

fn code(raw: &str) -> Option<i64> {
    scan::member(scan::member(raw, "error")?, "code")?.parse().ok()
}

/// Whether the request is answered by the one error that servers send with status 404 for other reasons than a lost session.
fn says_no(found: &[Box<str>], id: &str) -> bool {
    found.iter().any(|raw| answers(raw, id) && code(raw) == Some(message::METHOD_NOT_FOUND))
}

/// Whether a refusal is about a session that the server does not know any more. Some say so with status 400.
fn forgot(found: &[Box<str>]) -> bool {
    found.iter().any(|raw| {
        let text = scan::member(raw, "error").and_then(|error| scan::member(error, "message")).and_then(scan::string);
        code(raw) == Some(-32000) && text.is_some_and(|text| text.to_ascii_lowercase().contains("session"))
    })
}

/// A refusal that was made before the id was read, as the answer to `id`.
fn refusal(found: &[Box<str>], id: u64) -> Option<Box<str>> {
    found.iter().find_map(|raw| {
        let Ok(Message::Response(response)) = message::message(raw) else { return None };
        let (None, Outcome::Error { raw, .. }) = (response.id, response.outcome) else { return None };
        Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{raw}}}"#).into())
    })
}

fn is(headers: &http::HeaderMap, wanted: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted.as_bytes()))
}
