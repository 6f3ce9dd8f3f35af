//! A call whose client is away to get what the server wants to know.

use ::http::StatusCode;
use futures_util::FutureExt;
use portcullis_mcp::{message::ProtocolError, object::quoted};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{
    counts::Reason,
    front::Front,
    parked::{Return, expired},
    run::Run,
    wanted::Wanted,
};
use crate::upstream::Asker;

impl Run {
    /// Lets the call wait for its client to come back with what the server wants to know; nothing if it ended meanwhile.
    // spec: BR-44: "park the open upstream call, return inputRequests with one generated key per pending request"
    pub(super) async fn wait(&mut self, mut front: Front) -> Option<Front> {
        loop {
            let (entries, told) = self.pending.entries(&self.wanted.abilities, self.legacy.counts());
            for answer in told {
                self.tell(answer).await;
            }
            if entries.is_empty() {
                return Some(front);
            }
            // Nobody would learn under which name it waits.
            if front.gone().now_or_never().is_some() {
                self.give_up("the client has gone").await;
                return None;
            }
            let Some((ticket, mut back)) = self.legacy.parked.park(self.caller.person.as_ref()) else {
                self.legacy.counts.add(Reason::TooManyParked);
                self.give_up("too many calls wait for their people").await;
                let text = format!(
                    "Too many of your calls at {} wait for input. Answer or drop some first.",
                    self.legacy.name
                );
                front.refuse(&ProtocolError::internal(200, text)).await;
                return None;
            };
            let result = format!(
                r#"{{"resultType":"input_required","inputRequests":{{{}}},"requestState":{}}}"#,
                entries.join(","),
                quoted(&ticket.handle)
            );
            front.finish(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, front.id())).await;
            let returned = self.parked(&mut back).await?;
            front = self.take(returned).await?;
            if self.ready.is_some() || self.pending.is_empty() {
                return Some(front);
            }
        }
    }

    /// Waits for the client; nothing if the call is over.
    async fn parked(&mut self, back: &mut oneshot::Receiver<Return>) -> Option<Return> {
        let until = Instant::now() + self.legacy.limits.bridging.park;
        let mut gone = std::pin::pin!(Asker::gone(self.caller.asker.clone()));
        loop {
            tokio::select! {
                biased;
                returned = &mut *back => return returned.ok(),
                came = self.events.recv(), if self.ready.is_none() => {
                    // spec: BR-57: "if it dies with calls parked, fail them as BR-48"
                    if !self.meanwhile(came).await {
                        return None;
                    }
                }
                // spec: BR-31: "sampling and roots failures end the call"; and a client that gives it up
                () = &mut gone => {
                    self.give_up("the client has gone").await;
                    return None;
                }
                // spec: BR-48: "A parked call expires (default 10 min): cancel it upstream"
                () = sleep_until(until) => {
                    self.legacy.counts.add(Reason::Expired);
                    self.give_up("nobody answered").await;
                    return None;
                }
            }
        }
    }

    /// Takes what the client came back with to the server; nothing if that was the end of the call.
    async fn take(&mut self, returned: Return) -> Option<Front> {
        let Return { caller, wanted, answers, mut front } = returned;
        let told = match self.pending.answered(answers.as_deref().unwrap_or("{}")) {
            Ok(told) => told,
            // spec: BR-47: "malformed answers are -32602"; the state that brought them is used up, so nobody can come back
            // with better ones.
            Err(malformed) => {
                front.refuse(&malformed.into()).await;
                self.give_up("its answers were malformed").await;
                return None;
            }
        };
        self.wanted = Wanted { params: self.wanted.params.take(), ..wanted };
        self.caller = caller;
        for message in told {
            if let Err(fault) = self.lease.wire.tell(&self.caller, message).await {
                tracing::warn!(server.name = %self.legacy.name, ?fault, "an answer could not be delivered");
                self.give_up("an answer could not be delivered").await;
                front.refuse(&expired(&self.legacy.name)).await;
                return None;
            }
        }
        Some(front)
    }
}
