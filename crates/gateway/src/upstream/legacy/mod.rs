//! A server of the revisions with sessions, seen as one of 2026-07-28.
//!
//! A request finds a session of its person ([`pool`]), goes into it in the server's own words, and its answer comes back in
//! today's ([`run`]). What the server asks in between becomes an unfinished answer, and the call waits ([`parked`]); it is
//! never made twice. What the server says to nobody in particular goes to all who listen ([`hub`], [`listen`]).

mod cable;
mod counts;
pub(in crate::upstream) mod front;
mod http;
mod hub;
mod listen;
mod parked;
pub(in crate::upstream) mod pool;
mod run;
mod session;
mod tasks;
pub(in crate::upstream) mod wire;

use std::sync::Arc;

use ::http::{Request, Response};
use bytes::Bytes;
use portcullis_base::ServerName;
use portcullis_mcp::{Message, Method, message};

pub use self::counts::{Counts, Reason};
pub(super) use self::hub::farewell;
use self::{
    front::Front,
    parked::{Parked, Return},
    pool::{Key, Lease, Pool, Use},
    run::{Run, Wanted},
    session::{Opening, Session},
    wire::{Caller, Ids},
};
use super::{
    AnswerBody, Credential, Limits, Upstream, UpstreamError,
    line::{Lines, Sharing},
};
use crate::config::Allow;

/// Where sessions come from.
#[derive(Clone)]
pub(super) enum Opener {
    /// Streamable HTTP.
    Http(Arc<Upstream>),
    /// Lines: child processes, HTTP+SSE.
    Lines(Arc<dyn Lines>),
}

/// What is kept between the requests to one legacy server.
pub(super) struct Legacy {
    name: ServerName,
    limits: Limits,
    allow: Allow,
    pool: Arc<Pool<Session>>,
    parked: Arc<Parked>,
    counts: Arc<Counts>,
    ids: Ids,
}

impl Legacy {
    pub(super) fn new(name: ServerName, limits: Limits, allow: Allow) -> Arc<Self> {
        Arc::new(Self {
            name,
            limits,
            allow,
            pool: Pool::new(limits.bridging),
            parked: Parked::new(limits.bridging.parked),
            counts: Arc::default(),
            ids: Ids::default(),
        })
    }

    /// What could not be carried.
    pub(super) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Calls that wait for their people.
    pub(super) fn waiting(&self) -> usize {
        self.parked.len()
    }

    /// Ends all sessions.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// An id that nothing else said to the server has.
    fn next_id(&self) -> u64 {
        self.ids.next()
    }

    /// Answers one request of 2026-07-28.
    pub(super) async fn serve(
        self: Arc<Self>,
        opener: Opener,
        request: Request<Bytes>,
        credential: Credential,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let caller = Caller::of(&request, credential);
        let body = request.into_body();
        let Ok(message::Body::One(Message::Request(call))) = message::parse(&body, &super::ask::LOOSE) else {
            return Err(UpstreamError::Unusable("a message that is no request"));
        };
        let id = call.id.map(|id| id.to_json()).unwrap_or_default();
        let wanted = Wanted::of(&call, self.allow);
        let Some(method) = call.known.filter(|method| wanted.is_some() && is_answered(*method)) else {
            let error = message::ProtocolError::method_not_found(&call.method);
            let status = ::http::StatusCode::NOT_FOUND;
            return Ok(front::whole(status, front::refusal(id, &error)));
        };
        let Some(wanted) = wanted else { return Err(UpstreamError::Unusable("a message that is no request")) };
        let (front, answer) = Front::new(id);
        match (method, call.request_state.and_then(portcullis_mcp::scan::string)) {
            (Method::SubscriptionsListen, _) => {
                let Ok(message::Body::One(Message::Request(call))) = message::parse(&body, &super::ask::LOOSE) else {
                    return Err(UpstreamError::Unusable("a message that is no request"));
                };
                return self.listen(&opener, caller, &call, &wanted).await;
            }
            (_, Some(handle)) => {
                let answers = call.input_responses.map(Box::from);
                if let Err(mut returning) =
                    self.parked.go_on(&handle, Box::new(Return { caller, wanted, answers, front }))
                {
                    self.counts.add(Reason::Unknown);
                    returning.front.refuse(&run::expired(&self.name)).await;
                }
            }
            (_, None) => {
                tokio::spawn(Run::begin(self.clone(), opener, caller, wanted, front));
            }
        }
        answer.await.unwrap_or(Err(UpstreamError::Unusable("the call was given up")))
    }

    /// A session for `caller`.
    async fn session(
        &self,
        opener: &Opener,
        caller: &Caller,
        wanted: &Wanted,
        purpose: Use,
    ) -> Result<Lease<Session>, UpstreamError> {
        let sharing = match opener {
            Opener::Http(_) => Sharing::Person,
            Opener::Lines(lines) => lines.sharing(),
        };
        let key = Key::new(caller, sharing, &wanted.abilities);
        // Where nothing can be asked for, no call has to wait for another.
        let purpose = if run::can_be_asked(&wanted.abilities) { purpose } else { Use::Plain };
        let opening = Opening { opener, caller, abilities: &wanted.abilities, ids: &self.ids, counts: &self.counts };
        self.pool.take(&key, purpose, &opening).await
    }
}

/// Whether a method of 2026-07-28 has an answer at a legacy server.
fn is_answered(method: Method) -> bool {
    matches!(
        method,
        Method::Discover
            | Method::ToolsList
            | Method::ToolsCall
            | Method::PromptsList
            | Method::PromptsGet
            | Method::ResourcesList
            | Method::ResourceTemplatesList
            | Method::ResourcesRead
            | Method::Complete
            | Method::SubscriptionsListen
    )
}
