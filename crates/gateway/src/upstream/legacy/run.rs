//! One call of a legacy server, from the modern request to the modern answer: begun, followed, given up. What comes of the
//! answer is in [`outcome`](super::outcome), and how it waits for its person in [`waiting`](super::waiting).

use std::{sync::Arc, time::Duration};

use ::http::StatusCode;
use portcullis_mcp::{
    Message, Method,
    dialect::{Level, TaskSupport, as_task},
    message,
    object::quoted,
    scan,
};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    Legacy, Opener,
    front::Front,
    pending::Pending,
    pool::{Lease, Use},
    session::Session,
    wanted::Wanted,
    wire::{Asking, Caller, Came, Events, Fault, Kind},
};
use crate::upstream::UpstreamError;

/// When a call that takes its time is answered by events, so that its client sees signs of life.
const EARLY: Duration = Duration::from_secs(3);
/// How long it is looked for further questions of the server when one has come.
const GATHER: Duration = Duration::from_millis(20);
/// How long telling the server that a call is given up may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// A call under way.
pub(super) struct Run {
    pub(super) legacy: Arc<Legacy>,
    pub(super) lease: Lease<Session>,
    pub(super) caller: Caller,
    pub(super) wanted: Wanted,
    /// The id that the server knows it by, which is its progress token too.
    pub(super) id: u64,
    pub(super) events: Events,
    /// The task that it runs as.
    pub(super) task: Option<Box<str>>,
    /// What the server wants to know.
    pub(super) pending: Pending,
    /// The answer, if it came while nobody waited for it.
    pub(super) ready: Option<Box<str>>,
    /// How often it was made again for the sake of a page.
    pub(super) pages: usize,
}

/// Where following a call led.
enum Followed {
    /// The server wants to know something.
    Asked,
    /// It is over.
    Over,
}

impl Run {
    /// Makes the call and follows it to its end.
    pub(super) async fn begin(legacy: Arc<Legacy>, opener: Opener, caller: Caller, wanted: Wanted, mut front: Front) {
        let name = legacy.name.clone();
        let purpose = if wanted.is_interactive() { Use::Interactive } else { Use::Plain };
        for attempt in 0.. {
            let lease = tokio::select! {
                () = front.gone() => return,
                lease = legacy.session(&opener, &caller, &wanted, purpose) => lease,
            };
            let lease = match lease {
                Ok(lease) => lease,
                Err(error) => return front.fail(error, &name).await,
            };
            if wanted.method == Method::Discover {
                let result = lease.discovery(legacy.allow);
                let message = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, front.id());
                return front.finish(StatusCode::OK, message).await;
            }
            match Self::ask(&legacy, &lease, &caller, &wanted, &mut front).await {
                Ok(Some((id, events))) => {
                    let pending = Pending::new(name, legacy.allow, lease.up);
                    let run =
                        Self { legacy, lease, caller, wanted, id, events, task: None, pending, ready: None, pages: 0 };
                    return run.run(front).await;
                }
                Ok(None) => return,
                // spec: BR-57: "Reopen a lost upstream session transparently before the call is sent"
                Err(Fault::Gone) if attempt == 0 => lease.lose(),
                Err(fault) => return front.fail(fault.into(), &name).await,
            }
        }
    }

    /// Says the call to the server; nothing if the client has gone.
    pub(super) async fn ask(
        legacy: &Legacy,
        lease: &Lease<Session>,
        caller: &Caller,
        wanted: &Wanted,
        front: &mut Front,
    ) -> Result<Option<(u64, Events)>, Fault> {
        let id = legacy.next_id();
        let said = async {
            if let Some(level) = wanted.level {
                lease.log_from(caller, legacy.next_id(), level).await;
            }
            let token = wanted.progress.as_ref().map(|_| id.to_string());
            let mut params = lease.up.request_params(wanted.params.as_deref(), token.as_deref());
            // spec: BR-98: "call it with task"
            if wanted.method == Method::ToolsCall
                && let Some(name) = &wanted.target
                && lease.support(caller, &legacy.ids, name).await == TaskSupport::Required
            {
                params = as_task(&params, legacy.limits.total);
            }
            let method = wanted.method.name();
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
            let kind = if wanted.is_interactive() { Kind::Interactive } else { Kind::Plain };
            let asking = Asking { id, body, kind, repeatable: wanted.may_repeat() };
            lease.wire.ask(caller, asking).await
        };
        let said = tokio::select! {
            () = front.gone() => None,
            said = said => Some(said),
        };
        match said {
            Some(Ok(events)) => Ok(Some((id, events))),
            Some(Err(Fault::Upstream(UpstreamError::Late))) => {
                cancel(lease, caller, id, "it took too long").await;
                Err(UpstreamError::Late.into())
            }
            Some(Err(fault)) => Err(fault),
            None => {
                cancel(lease, caller, id, "the client has gone").await;
                Ok(None)
            }
        }
    }

    async fn run(mut self, mut front: Front) {
        loop {
            match self.follow(&mut front).await {
                Followed::Over => return,
                Followed::Asked => match self.wait(front).await {
                    Some(back) => front = back,
                    None => return,
                },
            }
        }
    }

    /// Hands on what comes until the server wants to know something, or to the end.
    async fn follow(&mut self, front: &mut Front) -> Followed {
        let (began, limits) = (Instant::now(), self.legacy.limits);
        let mut heard = began;
        loop {
            if let Some(answer) = self.ready.take() {
                if self.answered(&answer, front).await {
                    return Followed::Over;
                }
                heard = Instant::now();
                continue;
            }
            if !self.pending.is_empty() {
                return Followed::Asked;
            }
            // spec: TR-14
            let late = (heard + limits.idle).min(began + limits.total);
            let came = tokio::select! {
                biased;
                () = front.gone() => {
                    // spec: BR-56: "send notifications/cancelled upstream for an unparked call"
                    self.give_up("the client has gone").await;
                    return Followed::Over;
                }
                came = self.events.recv() => came,
                () = sleep_until(began + EARLY), if front.is_waiting() => {
                    front.begin();
                    continue;
                }
                () = sleep_until(late) => {
                    self.give_up("it took too long").await;
                    front.fail(UpstreamError::Late, &self.legacy.name).await;
                    return Followed::Over;
                }
            };
            heard = Instant::now();
            match came {
                Some(Came::Answer(raw)) => self.ready = Some(raw),
                Some(Came::Notification(raw)) => {
                    if let Some(message) = self.notified(&raw) {
                        front.say(message).await;
                    }
                }
                Some(Came::Request(raw)) => {
                    self.requested(&raw).await;
                    self.gather().await;
                }
                Some(Came::Alive) => {}
                Some(Came::Lost(error)) => {
                    front.fail(error, &self.legacy.name).await;
                    return Followed::Over;
                }
                None => {
                    front.fail(UpstreamError::Unusable("it ended before it answered"), &self.legacy.name).await;
                    return Followed::Over;
                }
            }
        }
    }

    /// Looks whether the server asks for more than one thing.
    async fn gather(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let until = Instant::now() + GATHER;
        while self.ready.is_none() {
            let came = tokio::select! {
                came = self.events.recv() => came,
                () = sleep_until(until) => return,
            };
            if !self.meanwhile(came).await {
                return;
            }
        }
    }

    /// Takes in what comes while nobody listens; `false` if nothing more will.
    pub(super) async fn meanwhile(&mut self, came: Option<Came>) -> bool {
        match came {
            Some(Came::Request(raw)) => self.requested(&raw).await,
            Some(Came::Answer(raw)) => self.ready = Some(raw),
            Some(Came::Notification(raw)) => self.pending.withdrawn(&raw),
            Some(Came::Alive) => {}
            Some(Came::Lost(_)) | None => return false,
        }
        true
    }

    /// Takes in a request of the server.
    async fn requested(&mut self, raw: &str) {
        let Ok(Message::Request(call)) = message::message(raw) else { return };
        if !self.wanted.is_interactive() {
            self.lease.refuse(&self.caller, raw).await;
        } else if let Some(answer) = self.pending.take(&call, &self.wanted.abilities, &self.legacy.counts) {
            self.tell(answer).await;
        }
    }

    /// Answers a request of the server. One that does not take the answer will be heard of by its own silence.
    pub(super) async fn tell(&self, answer: String) {
        drop(self.lease.wire.tell(&self.caller, answer).await);
    }

    /// What the client is told of a notification.
    fn notified(&mut self, raw: &str) -> Option<String> {
        let Ok(Message::Notification(call)) = message::message(raw) else { return None };
        let params = call.params?;
        match call.known? {
            Method::Progress => {
                // spec: BR-6: "restore the client's token downstream, only while the request is open"
                let token = scan::member(params, "progressToken").filter(|token| **token == *self.id.to_string())?;
                let theirs = self.wanted.progress.as_deref()?;
                let message = self.lease.up.notification(&call)?;
                match &message {
                    std::borrow::Cow::Borrowed(same) => Some(scan::splice(same, token, theirs)),
                    std::borrow::Cow::Owned(text) => {
                        let token = scan::member(scan::member(text, "params")?, "progressToken")?;
                        Some(scan::splice(text, token, theirs))
                    }
                }
            }
            // spec: BR-74: "and passes the level"
            Method::LogMessage => {
                let level = Level::of_params(params)?;
                let message = level.passes(self.wanted.level).then(|| self.lease.up.notification(&call)).flatten()?;
                Some(message.into_owned())
            }
            Method::Cancelled => {
                self.pending.withdrawn(raw);
                None
            }
            _ => None,
        }
    }

    /// Tells the server that nobody wants the answer any more.
    // spec: BR-7: "notifications/cancelled (stdio, legacy HTTP), tasks/cancel (tasks)"
    pub(super) async fn give_up(&self, why: &str) {
        match &self.task {
            Some(task) => self.cancel_task(task).await,
            None => cancel(&self.lease, &self.caller, self.id, why).await,
        }
    }
}

async fn cancel(lease: &Lease<Session>, caller: &Caller, id: u64, why: &str) {
    let params = format!(r#"{{"requestId":{id},"reason":{}}}"#, quoted(why));
    let message = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
    drop(timeout(FAREWELL, lease.wire.tell(caller, message)).await);
}
