//! The data path: `/mcp/{name}`. It reads as six steps, and each consumes what the one before gave:
//! receive, prove, route, decide, forward, record.
//!
//! The order in which a request is refused is RS-23's: `Host` and `Origin` (the listener asks [`crate::origin`] for every
//! route), then the token, then body and headers, then scope and rules. No call that has what it needs in
//! memory reads a database, and no header of a client has a way into a request to an upstream unless the settings name it.

mod answer;
mod cancel;
mod cors;
mod crowd;
mod decide;
mod document;
mod elicited;
mod errand;
mod here;
mod inbound;
mod late;
mod legacy;
mod listen;
mod modern;
mod notices;
mod opening;
mod parts;
mod prove;
mod receive;
mod record;
mod refusal;
mod relay;
mod remembered;
mod renewal;
mod restore;
mod resumed;
mod rewrite;
mod session;
mod sieve;
mod speech;
mod state;
mod stay;
mod told;
mod turn;

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use portcullis_base::ServerName;
use portcullis_mcp::{
    Class, Headers, Message, ProtocolError,
    headers::classify,
    message::{self, parse},
};

pub use answer::Answer;
pub use parts::{Parts, SessionClosed, Settings};
pub use relay::StreamLimits;

use self::{
    crowd::Crowd,
    decide::Calls,
    elicited::Elicited,
    inbound::Inbound,
    late::LateSessions,
    prove::{Proving, Resource, Tokens},
    receive::Accepts,
    refusal::Refusal,
    remembered::Remembered,
    turn::Turn,
};
use crate::{
    caller::Caller,
    snapshot::{Server, Snapshot},
};

/// The data path, ready to serve.
pub struct Proxy {
    parts: Parts,
    tokens: Tokens,
    calls: Calls,
    crowd: Arc<Crowd>,
    local: Arc<Local>,
}

/// What this node keeps for its callers. Whatever is lost of it is made anew, or asked for again.
struct Local {
    remembered: Arc<Remembered>,
    late: LateSessions,
    elicited: Elicited,
}

impl Proxy {
    /// The data path over its parts.
    pub fn new(parts: Parts) -> Self {
        let tokens = Tokens::new(parts.settings.tokens);
        let crowd = Crowd::new(parts.settings.calls_per_person);
        let calls = Calls::new(&*parts.rng);
        let remembered = Arc::new(Remembered::new(parts.store.clone(), parts.clock.clone()));
        let local = Arc::new(Local { remembered, late: LateSessions::new(), elicited: Elicited::new() });
        Self { parts, tokens, calls, crowd, local }
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
        let name = endpoint(head.uri.path()).ok_or_else(|| Refusal::status(StatusCode::NOT_FOUND))?;
        if head.method == Method::OPTIONS {
            return Ok(cors::preflight(&head.headers));
        }
        // prove
        let snapshot = self.parts.snapshot.load_full();
        let resource = Resource { public_url: &self.parts.settings.public_url, name: &name };
        let proving = Proving { parts: &self.parts, tokens: &self.tokens, snapshot: &snapshot, resource };
        let caller = proving.caller(&head.uri, &head.headers).await?;
        // route
        let server = self.route(&snapshot, &caller, &name, address).await?;
        let upstream = self.parts.upstreams.open(&server.name, &server.location, server.limits);
        let accepts = Accepts::of(&head.headers);
        let turn = Turn {
            parts: &self.parts,
            calls: &self.calls,
            crowd: &self.crowd,
            snapshot: &snapshot,
            caller: &caller,
            server,
            upstream,
            accepts,
            inbound: Inbound::of(&head.headers),
            local: &self.local,
            address,
        };
        // receive, decide, forward, record
        match head.method {
            Method::POST => {
                let body = receive::body(&head.headers, body, self.parts.settings.body).await?;
                turn.post_message(&head.headers, &body).await
            }
            Method::GET => {
                turn.sessions_are_served().await?;
                turn.listen(&collect(&head.headers)).await
            }
            Method::DELETE => {
                turn.sessions_are_served().await?;
                turn.close(&collect(&head.headers)).await
            }
            _ => Err(Refusal::method("POST, GET, DELETE, OPTIONS")),
        }
    }

    // spec: T-55: unknown and forbidden servers look the same, and only to somebody with a token for just that name.
    async fn route<'s>(
        &self,
        snapshot: &'s Snapshot,
        caller: &Caller,
        name: &ServerName,
        address: Option<IpAddr>,
    ) -> Result<&'s Server, Refusal> {
        match snapshot.servers.get(name) {
            Some(server) if server.access.admits(&caller.groups) => Ok(server),
            _ => Err(decide::no_server(&self.parts, caller, name, address).await),
        }
    }
}

impl Turn<'_> {
    async fn post_message(&self, headers: &HeaderMap, body: &[u8]) -> Result<Response<Answer>, Refusal> {
        let message = match parse(body, &self.parts.settings.json)? {
            message::Body::One(message) => message,
            // spec: T-59, TR-69, TR-97: "arrays => 400 -32600"
            message::Body::Batch(_) => return Err(ProtocolError::invalid_request("Batches are not served.").into()),
        };
        match self.inbound.cleaned(&message)? {
            None => self.serve_message(headers, &message).await,
            Some(cleaned) => self.serve_message(headers, &message::message(text_of(&cleaned)?)?).await,
        }
    }

    async fn serve_message(&self, headers: &HeaderMap, message: &Message<'_>) -> Result<Response<Answer>, Refusal> {
        let id = match message {
            Message::Request(call) => call.id,
            Message::Notification(_) | Message::Response(_) => None,
        };
        let versions = self.versions().await.map_err(|error| self.unavailable(&error, id))?;
        let headers = collect(headers);
        match (classify(&headers, message, &versions)?, message) {
            (Class::Modern { version, method }, _) => self.modern(&headers, message, version, method).await,
            (Class::Initialize { version }, Message::Request(call)) => self.initialize(call, version).await,
            (Class::Session { session, header }, _) => self.within(session, header, message).await,
            (Class::Initialize { .. }, _) => Err(ProtocolError::invalid_request("initialize is a request").into()),
        }
    }
}

/// The server that `/mcp/{name}` names.
fn endpoint(path: &str) -> Option<ServerName> {
    ServerName::parse(path.strip_prefix("/mcp/")?).ok()
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
