//! `subscriptions/listen` before a legacy server: what its sessions say to nobody in particular, for those who asked.

use std::sync::Arc;

use ::http::{HeaderValue, Response, StatusCode, header};
use portcullis_mcp::{
    message::{Call, ProtocolError},
    object::quoted,
    scan,
};
use tokio::sync::mpsc;

use super::{
    Legacy, Opener, front,
    hub::{Seat, Wants},
    pool::{Lease, Use},
    run::Wanted,
    session::Session,
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
        for attempt in 0.. {
            let lease = self.session(opener, &caller, wanted, Use::Plain).await?;
            let honoured = match self.honoured(&lease, &caller, &asked).await {
                Err(Fault::Gone) if attempt == 0 => {
                    lease.lose();
                    continue;
                }
                honoured => honoured?,
            };
            let (out, pieces) = mpsc::channel(WAITING);
            let closed = out.clone();
            let Some(seat) = lease.hub.join(id, honoured.clone(), out) else {
                self.release(&lease, &caller, &honoured).await;
                return Err(UpstreamError::Busy);
            };
            tokio::spawn(self.clone().stay(lease, caller, honoured, seat, closed.downgrade()));
            let mut response = Response::new(AnswerBody::told(pieces));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            return Ok(response);
        }
        Err(UpstreamError::Busy)
    }

    /// What of it the server can tell; resources are subscribed to.
    // spec: BR-42: "acknowledge the subset the upstream's capabilities allow"
    async fn honoured(&self, lease: &Lease<Session>, caller: &Caller, asked: &Wants) -> Result<Wants, Fault> {
        if !lease.listens(caller).await? {
            return Ok(Wants::default());
        }
        let offers = lease.offers;
        let mut honoured = Wants {
            tools: asked.tools && offers.tools_changes,
            prompts: asked.prompts && offers.prompts_changes,
            resources: asked.resources && offers.resources_changes,
            ..Wants::default()
        };
        if !offers.subscriptions {
            return Ok(honoured);
        }
        let _order = lease.subscribing.lock().await;
        for uri in &asked.uris {
            let first = lease.hub.want(uri);
            let subscribed = if first {
                lease.question(caller, self.next_id(), "resources/subscribe", &of_uri(uri)).await.map(drop)
            } else {
                Ok(())
            };
            match subscribed {
                Ok(()) => {
                    honoured.uris.insert(uri.clone());
                }
                Err(Fault::Gone) => return Err(Fault::Gone),
                Err(Fault::Upstream(_)) => {
                    lease.hub.unwant(uri);
                }
            }
        }
        Ok(honoured)
    }

    /// Keeps the place of one who listens until they have heard enough, or there is no more to hear.
    async fn stay(
        self: Arc<Self>,
        lease: Lease<Session>,
        caller: Caller,
        honoured: Wants,
        seat: Seat,
        out: mpsc::WeakSender<bytes::Bytes>,
    ) {
        // The hub has the only other end: it lets go of it when it has nothing more to say.
        if let Some(out) = out.upgrade() {
            let closed = async { out.closed().await };
            tokio::select! {
                () = closed => {}
                () = lease.hub.over(&seat) => {}
            }
        }
        drop(seat);
        self.release(&lease, &caller, &honoured).await;
    }

    /// Gives up what was subscribed to.
    // spec: BR-42: "resources/unsubscribe at the end"
    async fn release(&self, lease: &Lease<Session>, caller: &Caller, honoured: &Wants) {
        let _order = lease.subscribing.lock().await;
        for uri in &honoured.uris {
            if lease.hub.unwant(uri) && !lease.wire.is_over() {
                drop(lease.question(caller, self.next_id(), "resources/unsubscribe", &of_uri(uri)).await);
            }
        }
    }
}

/// What a raw filter asks for; `None` if it is none.
fn asked_for(filter: &str) -> Option<Wants> {
    let says = |name| scan::member(filter, name) == Some("true");
    let uris = scan::member(filter, "resourceSubscriptions").unwrap_or("[]");
    let uris: Option<std::collections::HashSet<Box<str>>> =
        scan::elements(uris).take(RESOURCES + 1).map(|uri| scan::string(uri).map(Box::from)).collect();
    let uris = uris.filter(|uris| uris.len() <= RESOURCES)?;
    (scan::kind(filter) == scan::Kind::Object).then(|| Wants {
        tools: says("toolsListChanged"),
        prompts: says("promptsListChanged"),
        resources: says("resourcesListChanged"),
        uris,
    })
}

fn of_uri(uri: &str) -> String {
    format!(r#"{{"uri":{}}}"#, quoted(uri))
}
