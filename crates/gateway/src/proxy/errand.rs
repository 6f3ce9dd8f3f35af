//! Step five: a permit is used up, and what comes of it is sent, as the one who calls is known there.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use portcullis_base::Holder;
use portcullis_mcp::ProtocolError;
use portcullis_policy::Permit;

use super::{
    record::{Journey, Record},
    turn::Turn,
};
use crate::{
    config::ToolList,
    connections::{Lack, Presented},
    correlation,
    quotas::Departure,
    upstream::{AnswerBody, Credential, Tools, UpstreamError, Viewer, Way},
    veil::Veil,
};

/// A permitted call under way: the only thing that sends messages of clients. It is sent once more only where the
/// upstream refused the first without having done anything.
pub(super) struct Errand<'t> {
    turn: &'t Turn<'t>,
    presented: Presented,
    departure: Option<Departure>,
    veil: Option<Arc<Veil>>,
    journey: Journey,
}

/// Why a permitted call has no answer of its upstream.
pub(super) enum Setback {
    /// The upstream failed.
    Upstream(UpstreamError),
    /// There is nothing to show it for this caller.
    Lack(Lack),
    /// The caller was asked to connect, and would not.
    Declined,
    /// The upstream opens no session for that of the client.
    NoSession,
    /// The request does not agree with itself, or its caller has lost their access.
    Wrong(ProtocolError),
}

impl From<UpstreamError> for Setback {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

impl From<Lack> for Setback {
    fn from(lack: Lack) -> Self {
        Self::Lack(lack)
    }
}

impl<'t> Errand<'t> {
    /// Uses up `permit`; `record` is told how long the upstream has it.
    pub(super) fn new(turn: &'t Turn<'t>, permit: Permit, record: &Record) -> Result<Self, UpstreamError> {
        if permit.server() != &turn.server.name {
            return Err(UpstreamError::Unusable("the permit is for another server"));
        }
        let veil = Veil::of(permit.obligations()).map(Arc::new);
        drop(permit);
        Ok(Self { turn, presented: Presented::none(), departure: None, veil, journey: record.journey() })
    }

    /// The same for a call that takes something of its limits.
    pub(super) fn limited(mut self, departure: Option<Departure>) -> Self {
        self.departure = departure;
        self
    }

    /// What is masked in the answer, and how much of it is let through.
    pub(super) fn veil(&self) -> Option<Arc<Veil>> {
        self.veil.clone()
    }

    /// Says that the call itself is about to be sent.
    // spec: T-79
    pub(super) async fn leave(&self) -> Result<(), Setback> {
        let Some(departure) = &self.departure else { return Ok(()) };
        let text = "The call cannot be counted at the moment, so it was not made. Try again in a few seconds.";
        departure.leave().await.map_err(|_| Setback::Wrong(ProtocolError::internal(200, text)))
    }

    /// Takes what the caller has at the upstream.
    pub(super) async fn equip(&mut self) -> Result<(), Lack> {
        self.presented = self.turn.credential().await?;
        self.turn.freshen(&self.presented.credential);
        Ok(())
    }

    /// The same, and finds out what the upstream speaks: whoever cannot be asked that cannot be asked anything.
    pub(super) async fn prepare(&mut self) -> Result<(), Setback> {
        self.equip().await?;
        if self.turn.upstream.known_versions().is_none() {
            Box::pin(self.turn.spoken()).await?;
        }
        Ok(())
    }

    /// Sends what `build` makes to the server itself.
    pub(super) async fn send(
        &mut self,
        build: impl Fn() -> Result<Request<Bytes>, UpstreamError>,
    ) -> Result<Response<AnswerBody>, Setback> {
        self.put(Way::Straight, build).await
    }

    /// Puts what `build` makes, a request of 2026-07-28, to the server or to whoever answers for it.
    pub(super) async fn ask(
        &mut self,
        build: impl Fn() -> Result<Request<Bytes>, UpstreamError>,
    ) -> Result<Response<AnswerBody>, Setback> {
        self.put(Way::Asked, build).await
    }

    /// Puts it, as what follows our span of it.
    async fn put(
        &mut self,
        way: Way,
        build: impl Fn() -> Result<Request<Bytes>, UpstreamError>,
    ) -> Result<Response<AnswerBody>, Setback> {
        let place = self.journey.begin(&self.turn.server.name);
        correlation::within(place, self.put_now(way, build)).await
    }

    // spec: UP-45: "refresh once and retry once", UP-46
    async fn put_now(
        &mut self,
        way: Way,
        build: impl Fn() -> Result<Request<Bytes>, UpstreamError>,
    ) -> Result<Response<AnswerBody>, Setback> {
        let first = match self.turn.upstream.put(way, build()?, &self.presented.credential).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let idle = self.turn.upstream.did_nothing(&first);
        if let Err(setback) = self.equip_again(first).await {
            self.undone(idle);
            return Err(setback);
        }
        match self.turn.upstream.put(way, build()?, &self.presented.credential).await {
            Ok(response) => Ok(response),
            Err(error) => {
                self.undone(idle && self.turn.upstream.did_nothing(&error));
                Err(self.equip_again(error).await.err().unwrap_or_else(refused_twice))
            }
        }
    }

    /// What a call took of its limits is given back if its upstream surely did nothing.
    fn undone(&self, idle: bool) {
        if let Some(departure) = self.departure.as_ref().filter(|_| idle) {
            departure.undone();
        }
    }

    /// What the upstream's tools want as headers.
    pub(super) async fn tools(&mut self) -> Option<Arc<Tools>> {
        let error = match self.turn.upstream.tools(&self.presented.credential, &self.viewer()).await {
            Ok(tools) => return Some(tools),
            Err(error) => error,
        };
        // The call itself will tell what is wrong with the upstream, or with what it was shown.
        tracing::warn!(server.name = %self.turn.server.name, %error, "tools could not be listed");
        None
    }

    /// Forgets what the upstream's tools want.
    pub(super) fn forget_tools(&self) {
        self.turn.upstream.forget_tools(&self.viewer());
    }

    /// What the upstream is shown.
    pub(super) fn credential(&self) -> &Credential {
        &self.presented.credential
    }

    /// Whose the answers are; `None` if they are everybody's.
    pub(super) fn holder(&self) -> Option<&Holder> {
        self.presented.credential.holder()
    }

    // spec: T-50: "cache key includes tenant, user, grant scope and upstream credential version unless the catalog marks
    // the list public"
    fn viewer(&self) -> Viewer {
        match self.turn.server.tools {
            ToolList::Public => None,
            ToolList::Personal => self.holder().map(|holder| (holder.clone(), self.presented.version())),
        }
    }

    /// After a refusal: something else to show.
    async fn equip_again(&mut self, error: UpstreamError) -> Result<(), Setback> {
        let UpstreamError::Credentials { status, challenges } = error else { return Err(error.into()) };
        let (parts, server) = (self.turn.parts, self.turn.server);
        let whom = self.turn.whom();
        self.presented = parts.connections.refused(server, &whom, &self.presented, status, &challenges).await?;
        Ok(())
    }
}

fn refused_twice() -> Setback {
    UpstreamError::Credentials { status: 401, challenges: Vec::new() }.into()
}
