//! `subscriptions/listen` before a legacy server: what its sessions say to nobody in particular, for those who asked.

use std::{collections::HashSet, sync::Arc};

use ::http::{HeaderValue, Response, StatusCode, header};
use futures_util::future::join_all;
use portcullis_mcp::{
    message::{Call, ProtocolError},
    scan,
};
use tokio::sync::mpsc;

use super::{
    Legacy, Opener,
    ears::{Interest, Seat, Wants},
    front,
    pool::{Key, Lease, Use},
    session::Session,
    wanted::Wanted,
    wire::{Caller, Fault},
};
use crate::upstream::{AnswerBody, UpstreamError};

/// Messages that wait for one who listens.
const WAITING: usize = 64;
/// Resources that one may subscribe to.
const RESOURCES: usize = 256;

impl Legacy {
    /// Answers by a stream.
    pub(super) async fn listen(
        self: &Arc<Self>,
        opener: &Opener,
        caller: Caller,
        call: &Call<'_>,
        wanted: &Wanted,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let id = call.id.map(|id| id.to_json()).unwrap_or_default();
        let Some(asked) = call.params.and_then(|params| scan::member(params, "notifications")).and_then(asked_for)
        else {
            let error = ProtocolError::invalid_params(format!(
                "\"notifications\" says what to listen for, and names {RESOURCES} resources at most"
            ));
            return Ok(front::whole(StatusCode::BAD_REQUEST, front::refusal(id, &error)));
        };
        let key = opener.key(&caller, wanted);
        for attempt in 0.. {
            let lease = self.session(opener, &caller, wanted, Use::Plain).await?;
            let (honoured, interest) = match self.honoured(&lease, &caller, &asked).await {
                Err(Fault::Gone) if attempt == 0 => {
                    lease.lose();
                    continue;
                }
                honoured => honoured?,
            };
            let (out, pieces) = mpsc::channel(WAITING);
            let closed = out.clone();
            let Some(seat) = lease.hub.join(id, honoured, out) else {
                drop(interest);
                drop(lease.subscribe(&caller, &self.ids).await);
                return Err(UpstreamError::Busy);
            };
            tokio::spawn(self.clone().stay(key, lease, caller, (seat, interest), closed.downgrade()));
            let mut response = Response::new(AnswerBody::told(pieces));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            return Ok(response);
        }
        Err(UpstreamError::Busy)
    }

    /// What of it the server can tell; resources are subscribed to.
    // spec: BR-42: "acknowledge the subset the upstream's capabilities allow"
    async fn honoured(
        &self,
        lease: &Lease<Session>,
        caller: &Caller,
        asked: &Wants,
    ) -> Result<(Wants, Interest), Fault> {
        if !lease.listens(caller).await? {
            return Ok((Wants::default(), lease.hub.want(HashSet::new())));
        }
        let offers = lease.offers;
        let uris = if offers.subscriptions { asked.uris.clone() } else { HashSet::new() };
        let mut interest = lease.hub.want(uris);
        lease.subscribe(caller, &self.ids).await?;
        interest.keep(&lease.subscribed().await);
        let honoured = Wants {
            tools: asked.tools && offers.tools_changes,
            prompts: asked.prompts && offers.prompts_changes,
            resources: asked.resources && offers.resources_changes,
            uris: interest.uris.clone(),
        };
        Ok((honoured, interest))
    }

    /// Keeps the place of one who listens until they have heard enough, or there is no more to hear.
    async fn stay(
        self: Arc<Self>,
        key: Key,
        lease: Lease<Session>,
        caller: Caller,
        (seat, interest): (Seat, Interest),
        out: mpsc::WeakSender<bytes::Bytes>,
    ) {
        // The ears have the only other end: they let go of it when they have nothing more to say.
        if let Some(out) = out.upgrade() {
            let everywhere = async {
                self.subscribe_all(&key, &caller).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = out.closed() => {}
                () = seat.over() => {}
                () = everywhere => {}
            }
        }
        drop((seat, interest));
        self.subscribe_all(&key, &caller).await;
        drop(lease);
    }

    /// Has all sessions that are heard together tell of what is wanted by now.
    async fn subscribe_all(&self, key: &Key, caller: &Caller) {
        let near = self.pool.near(key);
        join_all(near.iter().map(|session| session.subscribe(caller, &self.ids))).await;
    }
}

/// What a raw filter asks for; `None` if it is none.
fn asked_for(filter: &str) -> Option<Wants> {
    let says = |name| scan::member(filter, name) == Some("true");
    let uris = scan::member(filter, "resourceSubscriptions").unwrap_or("[]");
    let uris: Option<HashSet<Box<str>>> =
        scan::elements(uris).take(RESOURCES + 1).map(|uri| scan::string(uri).map(Box::from)).collect();
    let uris = uris.filter(|uris| uris.len() <= RESOURCES)?;
    (scan::kind(filter) == scan::Kind::Object).then(|| Wants {
        tools: says("toolsListChanged"),
        prompts: says("promptsListChanged"),
        resources: says("resourcesListChanged"),
        uris,
    })
}
