//! The data path: `/mcp/{name}`. It reads as six steps, and each consumes what the one before gave:
//! receive, prove, route, decide, forward, record.
//!
//! The order in which a request is refused is RS-23's: `Host` and `Origin` (the listener asks [`crate::origin`] for every
//! route), then the token, then body and headers, then scope and rules. No call that has what it needs in
//! memory reads a database, and no header of a client has a way into a request to an upstream unless the settings name it.

mod abilities;
mod acquaint;
mod answer;
mod approval;
mod aside;
mod batch;
mod bridged;
mod cors;
mod crowd;
mod decide;
mod document;
mod ear;
mod elicited;
mod errand;
mod here;
mod hold;
mod inbound;
mod late;
mod legacy;
mod limits;
mod listen;
mod modern;
mod notices;
mod opening;
mod outside;
mod parts;
mod prove;
mod receive;
mod record;
mod refusal;
mod relay;
mod remembered;
mod rendering;
mod renewal;
mod restore;
mod resumed;
mod rewrite;
mod session;
mod sieve;
mod speech;
mod state;
mod stay;
mod tasks;
mod told;
mod toolbox;
mod turn;

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use portcullis_base::{ServerName, SessionId};
use portcullis_mcp::{
    Class, Headers, Message, ProtocolError, Version,
    headers::{Field, classify},
    message::{self, parse},
};

pub use answer::Answer;
pub use parts::{Parts, SessionClosed, Settings};
pub use relay::StreamLimits;

use self::{
    approval::{Now, Pages},
    bridged::Rooms,
    crowd::Crowd,
    decide::Calls,
    elicited::Elicited,
    hold::Line,
    inbound::Inbound,
    late::LateSessions,
    prove::{Proving, Resource, Tokens},
    receive::Accepts,
    refusal::Refusal,
    remembered::Remembered,
    toolbox::Shelf,
    turn::{Place, Visit},
};
use crate::{caller::Caller, config::LegacySse, correlation, snapshot::Snapshot};

/// The data path, ready to serve.
pub struct Proxy {
    parts: Arc<Parts>,
    tokens: Tokens,
    calls: Arc<Calls>,
    crowd: Arc<Crowd>,
    local: Arc<Local>,
}

/// A POST that was proved, with everything that it is about: it may outlive the connection's patience.
struct Posted {
    parts: Arc<Parts>,
    calls: Arc<Calls>,
    crowd: Arc<Crowd>,
    local: Arc<Local>,
    snapshot: Arc<Snapshot>,
    caller: Caller,
    endpoint: ServerName,
    headers: HeaderMap,
    body: Bytes,
    address: Option<IpAddr>,
    line: Line,
}

/// What this node keeps for its callers. Whatever is lost of it is made anew, or asked for again.
struct Local {
    remembered: Arc<Remembered>,
    late: LateSessions,
    elicited: Elicited,
    /// Sessions with a request under way.
    busy: Arc<Crowd<SessionId>>,
    shelf: Shelf,
    rooms: Rooms,
    /// Pages that clients were asked to have opened.
    pages: Pages,
}

impl Proxy {
    /// The data path over its parts.
    pub fn new(parts: Parts) -> Self {
        let tokens = Tokens::new(parts.settings.tokens);
        let crowd = Crowd::new(parts.settings.calls_per_person);
        let calls = Arc::new(Calls::new(&*parts.rng));
        let remembered = Arc::new(Remembered::new(parts.store.clone(), parts.clock.clone()));
        let local = Arc::new(Local {
            remembered,
            late: LateSessions::new(),
            elicited: Elicited::new(),
            busy: Crowd::new(usize::MAX),
            shelf: Shelf::new(),
            rooms: Rooms::new(),
            pages: Pages::default(),
        });
        Self { parts: Arc::new(parts), tokens, calls, crowd, local }
    }

    /// Serves one request to `/mcp/{name}` from a client at `address`.
    pub async fn serve<B>(&self, request: Request<B>, address: Option<IpAddr>) -> Response<Answer>
    where
        B: Body<Data = Bytes>,
    {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let mut response = self.answer(request, address).await.unwrap_or_else(Refusal::into_response);
        private(response.headers_mut());
        cors::expose(&self.parts.settings.origins, origin, &mut response);
        response
    }

    async fn answer<B>(&self, request: Request<B>, address: Option<IpAddr>) -> Result<Response<Answer>, Refusal>
    where
        B: Body<Data = Bytes>,
    {
        let (head, body) = request.into_parts();
        let legacy_sse = self.parts.settings.legacy_sse;
        let (name, door) =
            endpoint(head.uri.path(), legacy_sse).ok_or_else(|| Refusal::status(StatusCode::NOT_FOUND))?;
        if head.method == Method::OPTIONS {
            return Ok(cors::preflight(&head.headers));
        }
        // prove
        let snapshot = self.parts.snapshot.load_full();
        let resource = Resource { public_url: &self.parts.settings.public_url, name: &name };
        let proving = Proving { parts: &self.parts, tokens: &self.tokens, snapshot: &snapshot, resource };
        let caller = proving.caller(&head.uri, &head.headers).await?;
        correlation::asked(caller.actor(address), Some(&name));
        // route
        let place = self.route(&snapshot, &caller, &name, address).await?;
        if (door, &head.method) == (Door::Mcp, &Method::POST) {
            let body = receive::body(&head.headers, body, self.parts.settings.body).await?;
            return self.posted(snapshot, caller, name, head.headers, body, address).await;
        }
        let visit = Visit {
            parts: &self.parts,
            calls: &self.calls,
            crowd: &self.crowd,
            snapshot: &snapshot,
            caller: &caller,
            endpoint: &name,
            place,
            conversation: None,
            asker: None,
            did: None,
            line: None,
            waited: None,
            accepts: Accepts::of(&head.headers),
            inbound: Inbound::of(&head.headers),
            local: &self.local,
            address,
        };
        // receive, decide, forward, record
        match (door, head.method) {
            (Door::Mcp, Method::GET) => {
                let found = collect(&head.headers);
                // spec: TR-114: "a client that sent Mcp-Session-Id gets the Streamable HTTP GET"
                if legacy_sse == LegacySse::Served && found.session == Field::Absent {
                    return visit.open_old().await;
                }
                visit.listen(&found).await
            }
            (Door::Mcp, Method::DELETE) => visit.close(&collect(&head.headers)).await,
            (Door::Mcp, _) => Err(Refusal::method("POST, GET, DELETE, OPTIONS")),
            (Door::Sse, Method::GET) => visit.open_old().await,
            (Door::Sse, _) => Err(Refusal::method("GET, OPTIONS")),
            (Door::Messages, Method::POST) => {
                let body = receive::body(&head.headers, body, self.parts.settings.body).await?;
                Box::pin(visit.post_to_stream(&head.uri, &body)).await
            }
            (Door::Messages, _) => Err(Refusal::method("POST, OPTIONS")),
        }
    }

    /// Serves a POST. What its client has to wait for longer than it may is told on a stream.
    async fn posted(
        &self,
        snapshot: Arc<Snapshot>,
        caller: Caller,
        endpoint: ServerName,
        headers: HeaderMap,
        body: Bytes,
        address: Option<IpAddr>,
    ) -> Result<Response<Answer>, Refusal> {
        let (accepts, line) = (Accepts::of(&headers), Line::default());
        let Self { parts, calls, crowd, local, .. } = self;
        let posted = Posted {
            parts: parts.clone(),
            calls: calls.clone(),
            crowd: crowd.clone(),
            local: local.clone(),
            snapshot,
            caller,
            endpoint,
            headers,
            body,
            address,
            line: line.clone(),
        };
        hold::serve(Box::pin(posted.served()), line, accepts, self.parts.settings.streams.keep_alive).await
    }

    // spec: T-55: unknown and forbidden servers look the same, and only to somebody with a token for just that name.
    async fn route<'s>(
        &self,
        snapshot: &'s Snapshot,
        caller: &Caller,
        name: &ServerName,
        address: Option<IpAddr>,
    ) -> Result<Place<'s>, Refusal> {
        match Place::of(snapshot, name) {
            Some(place) if place.access().admits(caller.guest(self.parts.clock.now())) => Ok(place),
            _ => Err(decide::no_server(&self.parts, caller, name, address).await),
        }
    }
}

impl Posted {
    async fn served(self) -> Result<Response<Answer>, Refusal> {
        let Self { parts, calls, crowd, local, snapshot, caller, endpoint, headers, body, address, line } = &self;
        let no_server = || Refusal::no_server(&parts.settings, endpoint);
        let place = Place::of(snapshot, endpoint).ok_or_else(no_server)?;
        let visit = Visit {
            parts,
            calls,
            crowd,
            snapshot,
            caller,
            endpoint,
            place,
            conversation: None,
            asker: None,
            did: None,
            line: Some(line),
            waited: None,
            accepts: Accepts::of(headers),
            inbound: Inbound::of(headers),
            local,
            address: *address,
        };
        visit.post_message(headers, body).await
    }
}

impl Visit<'_> {
    async fn post_message(&self, headers: &HeaderMap, body: &[u8]) -> Result<Response<Answer>, Refusal> {
        let message = match parse(body, &self.parts.settings.json)? {
            message::Body::One(message) => message,
            message::Body::Batch(messages) => return Box::pin(self.batch(headers, &messages)).await,
        };
        if let Message::Request(call) | Message::Notification(call) = &message {
            correlation::stands(call);
        }
        match self.inbound.cleaned(&message)? {
            None => self.serve_message(headers, &message).await,
            Some(cleaned) => self.serve_message(headers, &message::message(text_of(&cleaned)?)?).await,
        }
    }

    /// A message to a stream of 2024-11-05.
    async fn post_to_stream(&self, uri: &Uri, body: &[u8]) -> Result<Response<Answer>, Refusal> {
        let message = match parse(body, &self.parts.settings.json)? {
            message::Body::One(message) => message,
            // spec: T-59: that revision had no batches
            message::Body::Batch(_) => {
                return Err(ProtocolError::invalid_request("No batches on this transport.").into());
            }
        };
        if let Message::Request(call) | Message::Notification(call) = &message {
            correlation::stands(call);
        }
        match self.inbound.cleaned(&message)? {
            None => self.post_old(uri, &message).await,
            Some(cleaned) => self.post_old(uri, &message::message(text_of(&cleaned)?)?).await,
        }
    }

    async fn serve_message(&self, headers: &HeaderMap, message: &Message<'_>) -> Result<Response<Answer>, Refusal> {
        self.serve_parsed(&collect(headers), message).await
    }

    /// Serves a message; if it had to wait, then as things are after that.
    async fn serve_parsed(&self, headers: &Headers<'_>, message: &Message<'_>) -> Result<Response<Answer>, Refusal> {
        let mut served = Box::pin(self.serve_once(headers, message)).await;
        loop {
            let waited = match served.map_err(Refusal::waited) {
                Ok(answer) => return Ok(answer),
                Err(Err(refusal)) => return Err(refusal),
                Err(Ok(waited)) => waited,
            };
            let no_server = || Refusal::no_server(&self.parts.settings, self.endpoint);
            let now = Now::of(self.parts, self.caller).ok_or_else(no_server)?;
            let visit = self.again(&now, &waited).ok_or_else(no_server)?;
            served = Box::pin(visit.serve_once(headers, message)).await;
        }
    }

    async fn serve_once(&self, headers: &Headers<'_>, message: &Message<'_>) -> Result<Response<Answer>, Refusal> {
        // spec: BR-1: "any client revision may meet any upstream revision in both directions"
        let class = classify(headers, message, Version::SERVED)?;
        match (class, message) {
            (Class::Modern { version, method }, _) => self.modern(Some(headers), message, version, method).await,
            (Class::Initialize { version }, Message::Request(call)) => match self.place {
                Place::Server(server) => self.turn(server).initialize(call, version).await,
                Place::Toolbox(_) => Box::pin(self.open_bridged(call, version)).await,
            },
            (Class::Session { session, header }, _) => self.within(session, header, message).await,
            (Class::Initialize { .. }, _) => Err(ProtocolError::invalid_request("initialize is a request").into()),
        }
    }
}

/// By which of its doors somebody comes to an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    /// The one endpoint of Streamable HTTP.
    Mcp,
    /// The stream of 2024-11-05.
    Sse,
    /// The address for messages of 2024-11-05.
    Messages,
}

/// The server or toolbox that `/mcp/{name}` names, and the door to it.
// spec: TR-110: "off by default for new installs"
fn endpoint(path: &str, legacy_sse: LegacySse) -> Option<(ServerName, Door)> {
    let path = path.strip_prefix("/mcp/")?;
    let (name, door) = match path.split_once('/') {
        None => (path, Door::Mcp),
        Some((name, "sse")) if legacy_sse == LegacySse::Served => (name, Door::Sse),
        Some((name, "messages")) if legacy_sse == LegacySse::Served => (name, Door::Messages),
        Some(_) => return None,
    };
    Some((ServerName::parse(name).ok()?, door))
}

fn text_of(cleaned: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(cleaned).map_err(|_| Refusal::status(StatusCode::BAD_REQUEST))
}

/// Nothing that a token was needed for is kept by anybody on its way, or shown to another token.
// spec: T-50: "Cache-Control: no-store on authenticated HTTP, Vary: Authorization"
fn private(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("Authorization"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn collect(headers: &HeaderMap) -> Headers<'_> {
    Headers::collect(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}
