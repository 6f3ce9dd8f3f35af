//! A server of the revisions with sessions, seen as one of 2026-07-28.
//!
//! A request finds a session of its person ([`pool`]), goes into it in the server's own words, and its answer comes back in
//! today's ([`run`], [`outcome`]). What the server asks in between ([`pending`]) becomes an unfinished answer, and the call
//! waits ([`waiting`], [`parked`]); it is never made twice. What the server says to nobody in particular goes to all who listen ([`hub`], [`ears`], [`listen`]).

mod cable;
mod counts;
mod ears;
pub(in crate::upstream) mod front;
mod http;
mod hub;
mod listen;
mod opening;
mod outcome;
mod parked;
mod pending;
pub(in crate::upstream) mod pool;
mod run;
mod session;
mod tasks;
mod waiting;
mod wanted;
pub(in crate::upstream) mod wire;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use ::http::{Request, Response};
use bytes::Bytes;
use portcullis_base::ServerName;
use portcullis_mcp::{Message, Method, message};
use tokio::time::timeout;

pub use self::counts::{Counts, Reason};
pub(super) use self::ears::farewell;
use self::{
    ears::Ears,
    front::Front,
    opening::Opening,
    parked::{Parked, Return, expired},
    pool::{Key, Lease, Pool, Use},
    run::Run,
    session::Session,
    wanted::Wanted,
    wire::{Caller, Ids},
};
use super::{
    AnswerBody, Credential, Limits, Upstream, UpstreamError,
    line::{Lines, Sharing},
};
use crate::{config::Allow, correlation};

/// How long a call waits until the server was asked to tell of what others want to hear.
const SETTLE: Duration = Duration::from_secs(2);

/// Where sessions come from.
#[derive(Clone)]
pub(super) enum Opener {
    /// Streamable HTTP.
    Http(Arc<Upstream>),
    /// Lines: child processes, HTTP+SSE.
    Lines(Arc<dyn Lines>),
}

impl Opener {
    /// Which sessions a request can be put in.
    fn key(&self, caller: &Caller, wanted: &Wanted) -> Key {
        let sharing = match self {
            Self::Http(_) => Sharing::Person,
            Self::Lines(lines) => lines.sharing(),
        };
        Key::new(caller, sharing, &wanted.abilities)
    }
}

/// What is kept between the requests to one legacy server.
pub(super) struct Legacy {
    name: ServerName,
    limits: Limits,
    allow: Allow,
    pool: Arc<Pool<Session>>,
    parked: Arc<Parked>,
    /// Those who listen over lines, for each who has sessions of their own.
    ears: Mutex<HashMap<Key, Weak<Ears>>>,
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
            ears: Mutex::default(),
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
                    returning.front.refuse(&expired(&self.name)).await;
                }
            }
            (_, None) => {
                tokio::spawn(correlation::carried(Run::begin(self.clone(), opener, caller, wanted, front)));
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
        let key = opener.key(caller, wanted);
        let ears = match opener {
            // What a server over HTTP says unasked it says on a stream that is opened for those who listen.
            Opener::Http(_) => Ears::new(self.counts.clone()),
            Opener::Lines(_) => self.ears(key.whosoever()),
        };
        // Where nothing can be asked for, no call has to wait for another.
        let purpose = if wanted.can_be_asked() { purpose } else { Use::Plain };
        let abilities = &wanted.abilities;
        let opening = Opening { opener, caller, abilities, ids: &self.ids, counts: &self.counts, ears };
        let lease = self.pool.take(&key, purpose, &opening).await?;
        // What the call changes may be what somebody wants to hear of. If it cannot be said, the call will find out why.
        drop(timeout(SETTLE, lease.subscribe(caller, &self.ids)).await);
        Ok(lease)
    }

    /// Those who listen in the sessions of `whose`.
    fn ears(&self, whose: Key) -> Arc<Ears> {
        let mut all = self.ears.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, ears| ears.strong_count() > 0);
        all.get(&whose).and_then(Weak::upgrade).unwrap_or_else(|| {
            let ears = Ears::new(self.counts.clone());
            all.insert(whose, Arc::downgrade(&ears));
            ears
        })
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
