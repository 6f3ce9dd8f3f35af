//! A server of 2026-07-28 behind lines: every request stands alone, and all of one person go by one line.
//!
//! What comes back is told apart by ids that only we know. Nothing but requests and notifications is ever said to it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use portcullis_base::ServerName;
use portcullis_mcp::{
    Message, Method,
    dialect::Abilities,
    message::{self, META_SUBSCRIPTION_ID, METHOD_NOT_FOUND, Outcome, UNSUPPORTED_VERSION},
    object::quoted,
    scan,
};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    AnswerBody, Limits, UpstreamError,
    ask::LOOSE,
    legacy::{
        front::Front,
        pool::{Kept, Key, Lease, Opens, Pool, Use},
        wire::{Caller, Ids},
    },
    line::{Ended, Lines, Receiver, Sender},
    line_adapter::Found,
};

/// Messages for one request that wait for whoever follows it.
const WAITING: usize = 64;
/// Room that is kept for its answer among these.
const KEPT: usize = 2;
/// When a request that takes its time is answered by events.
const EARLY: Duration = Duration::from_secs(3);
/// How long telling the server that a request is given up may take.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often in a row a subscription is made again on a new line that ends at once.
const ATTEMPTS: u32 = 5;

/// The lines to one server.
pub(super) struct Stateless {
    name: ServerName,
    lines: Arc<Found>,
    limits: Limits,
    pool: Arc<Pool<Child>>,
    ids: Ids,
}

/// One line.
struct Child {
    sender: Sender,
    open: Arc<Open>,
    reading: AbortHandle,
}

/// The requests that wait for something on one line.
#[derive(Default)]
struct Open(Mutex<HashMap<u64, Waiting>>);

/// Who waits for what belongs to a request.
struct Waiting {
    out: mpsc::Sender<Came>,
    /// Whether it asked for a log.
    logs: bool,
}

enum Came {
    /// The answer, or the end of a subscription.
    Answer(Box<str>),
    Notification(Box<str>),
    /// The server ends a subscription without an answer.
    Cancelled,
    Lost(Ended),
}

/// What it takes to have one more line.
struct Opening<'a> {
    lines: &'a Found,
    caller: &'a Caller,
}

impl Opens for Opening<'_> {
    type Kept = Child;

    async fn open(&self) -> Result<Child, UpstreamError> {
        let line = self.lines.open(&self.caller.whose()).await?;
        let (sender, receiver) = line.split();
        let open = Arc::<Open>::default();
        let reading = tokio::spawn(read(receiver, open.clone())).abort_handle();
        Ok(Child { sender, open, reading })
    }
}

impl Kept for Child {
    type Turn = ();

    fn turn(&self) -> Option<()> {
        Some(())
    }

    fn is_over(&self) -> bool {
        self.sender.ended().is_some() || self.reading.is_finished()
    }

    async fn close(&self) {
        self.reading.abort();
        self.open.lock().clear();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// A request as it came.
struct Asked {
    raw: Box<str>,
    id: Box<str>,
    progress: Option<Box<str>>,
    method: Option<Method>,
    /// Whether it asked for a log.
    logs: bool,
}

impl Stateless {
    pub(super) fn new(name: ServerName, lines: Arc<Found>, limits: Limits) -> Arc<Self> {
        Arc::new(Self { name, lines, limits, pool: Pool::new(limits.bridging), ids: Ids::default() })
    }

    /// Ends every line, also those in use.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Answers one request of 2026-07-28.
    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Bytes>,
        caller: Caller,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let Ok(message::Body::One(Message::Request(call))) = message::parse(request.body(), &LOOSE) else {
            return Err(UpstreamError::Unusable("a message that is no request"));
        };
        let asked = Asked {
            raw: call.raw.into(),
            id: call.id.map(|id| id.to_json()).unwrap_or_default().into(),
            progress: call.meta.progress_token.map(Box::from),
            method: call.known,
            logs: call.meta.log_level.is_some(),
        };
        let (front, answer) = Front::new(&asked.id);
        tokio::spawn(crate::correlation::carried(self.run(asked, caller, front)));
        answer.await.unwrap_or(Err(UpstreamError::Unusable("the request was given up")))
    }

    async fn run(self: Arc<Self>, asked: Asked, caller: Caller, mut front: Front) {
        let mut told = Told::default();
        for attempt in 1.. {
            match self.once(&asked, &caller, &mut front, &mut told).await {
                Ok(()) => return,
                // spec: TR-156: "re-send subscriptions/listen after a restart"
                // spec: TR-159: "fail in-flight calls with an error, retrying only under TR-137"
                Err(UpstreamError::Ended(_)) if asked.may_be_repeated(attempt, &told) => {}
                Err(error) => return front.fail(error, &self.name).await,
            }
        }
    }

    async fn lease(&self, caller: &Caller) -> Result<Lease<Child>, UpstreamError> {
        let key = Key::new(caller, self.lines.sharing(), &Abilities::default());
        self.pool.take(&key, Use::Plain, &Opening { lines: &self.lines, caller }).await
    }

    /// Puts the request on a line and follows it to its end.
    async fn once(
        &self,
        asked: &Asked,
        caller: &Caller,
        front: &mut Front,
        told: &mut Told,
    ) -> Result<(), UpstreamError> {
        let child = tokio::select! {
            () = front.gone() => return Ok(()),
            child = self.lease(caller) => child?,
        };
        let id = self.ids.next();
        let sent = asked.sent(id).ok_or(UpstreamError::Unusable("the message could not be rebuilt"))?;
        let (tx, mut events) = mpsc::channel(WAITING);
        child.open.lock().insert(id, Waiting { out: tx, logs: asked.logs });
        if let Err(ended) = child.sender.send(sent.into()).await {
            return Err(UpstreamError::Ended(ended));
        }
        let listens = asked.method == Some(Method::SubscriptionsListen);
        let began = Instant::now();
        let mut heard = began;
        loop {
            let late = (heard + self.limits.idle).min(began + self.limits.total);
            let came = tokio::select! {
                biased;
                () = front.gone() => {
                    child.give_up(id, "the client has gone").await;
                    return Ok(());
                }
                came = events.recv() => came,
                () = sleep_until(began + EARLY), if front.is_waiting() => {
                    front.begin();
                    continue;
                }
                // spec: TR-14
                () = sleep_until(late), if !listens => {
                    child.give_up(id, "it took too long").await;
                    return Err(UpstreamError::Late);
                }
            };
            heard = Instant::now();
            match came {
                Some(Came::Notification(raw)) => {
                    if told.is_news(&raw)
                        && let Some(message) = asked.brought_back(&raw, id)
                    {
                        front.say(message).await;
                    }
                }
                Some(Came::Answer(raw)) => {
                    let (status, message) = asked.answer(&raw, id, &self.lines);
                    front.finish(status, message).await;
                    return Ok(());
                }
                // spec: TR-157: "on either signal: the listen result or a server-sent notifications/cancelled for it"
                Some(Came::Cancelled) if listens => {
                    front.finish(StatusCode::OK, super::legacy::farewell(&asked.id)).await;
                    return Ok(());
                }
                Some(Came::Cancelled) => {}
                Some(Came::Lost(ended)) => return Err(UpstreamError::Ended(ended)),
                None => return Err(UpstreamError::Unusable("it does not stop talking")),
            }
        }
    }
}

/// What of a subscription the client was told already.
#[derive(Default)]
struct Told {
    acknowledged: bool,
}

impl Told {
    /// Whether a notification is something that the client does not know.
    fn is_news(&mut self, raw: &str) -> bool {
        let method = scan::member(raw, "method").and_then(scan::string);
        if method.as_deref() != Some(Method::SubscriptionsAcknowledged.name()) {
            return true;
        }
        !std::mem::replace(&mut self.acknowledged, true)
    }
}

impl Asked {
    /// Whether it can be put once more after its line ended under it.
    fn may_be_repeated(&self, attempt: u32, told: &Told) -> bool {
        match self.method {
            Some(Method::SubscriptionsListen) => told.acknowledged && attempt <= ATTEMPTS,
            Some(method) => {
                method != Method::ToolsCall && method.effect() == portcullis_mcp::method::Effect::Read && attempt < 2
            }
            None => false,
        }
    }

    /// The message for the server.
    // spec: BR-2, TR-131
    fn sent(&self, id: u64) -> Option<String> {
        let Ok(Message::Request(call)) = message::message(&self.raw) else { return None };
        let ours = id.to_string();
        let one = scan::splice(&self.raw, call.id?.to_json(), &ours);
        let Ok(Message::Request(call)) = message::message(&one) else { return None };
        Some(call.meta.progress_token.map(|token| scan::splice(&one, token, &ours)).unwrap_or(one))
    }

    /// A notification as one for the client.
    fn brought_back(&self, raw: &str, id: u64) -> Option<String> {
        let ours = id.to_string();
        let params = scan::member(raw, "params")?;
        let method = scan::member(raw, "method").and_then(scan::string)?;
        let (place, theirs) = match Method::parse(&method)? {
            Method::Progress => (scan::member(params, "progressToken"), self.progress.as_deref()?),
            Method::LogMessage => return self.logs.then(|| raw.to_owned()),
            _ => (scan::member(params, "_meta").and_then(|meta| scan::member(meta, META_SUBSCRIPTION_ID)), &*self.id),
        };
        Some(scan::splice(raw, place.filter(|found| *found == ours)?, theirs))
    }

    /// The answer as one for the client.
    fn answer(&self, raw: &str, id: u64, lines: &Found) -> (StatusCode, String) {
        let ours = id.to_string();
        let status = match message::message(raw) {
            Ok(Message::Response(response)) => match response.outcome {
                Outcome::Error { code: METHOD_NOT_FOUND, .. } => StatusCode::NOT_FOUND,
                Outcome::Error { code: UNSUPPORTED_VERSION, .. } => {
                    lines.doubt();
                    StatusCode::BAD_REQUEST
                }
                Outcome::Error { code: -32099..=-32020, .. } => StatusCode::BAD_REQUEST,
                Outcome::Result(_) | Outcome::Error { .. } => StatusCode::OK,
            },
            _ => StatusCode::OK,
        };
        let mut text = raw.to_owned();
        if let Some(place) = scan::member(raw, "id") {
            text = scan::splice(raw, place, &self.id);
        }
        let subscription = scan::member(&text, "result")
            .and_then(|result| scan::member(result, "_meta"))
            .and_then(|meta| scan::member(meta, META_SUBSCRIPTION_ID));
        match subscription.filter(|found| *found == ours) {
            Some(place) => (status, scan::splice(&text, place, &self.id)),
            None => (status, text),
        }
    }
}

impl Child {
    /// Tells the server that nobody wants the answer any more.
    // spec: TR-155: "with notifications/cancelled carrying the wire id of the request"
    async fn give_up(&self, id: u64, why: &str) {
        self.open.lock().remove(&id);
        let params = format!(r#"{{"requestId":{id},"reason":{}}}"#, quoted(why));
        let message = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
        drop(timeout(FAREWELL, self.sender.send(message.into())).await);
    }
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, waiting| !waiting.out.is_closed());
        open
    }

    /// Gives a notification to the request `id`. A subscription that misses one is of no use any more; anything else can
    /// do without.
    fn mention(&self, id: u64, known: Option<Method>, raw: &str) {
        let mut open = self.lock();
        if let Some(Waiting { out, .. }) = open.get(&id)
            && (out.capacity() <= KEPT || out.try_send(Came::Notification(raw.into())).is_err())
            && !matches!(known, Some(Method::Progress | Method::LogMessage))
        {
            open.remove(&id);
        }
    }

    fn finish(&self, id: u64, came: Came) {
        if let Some(Waiting { out, .. }) = self.lock().remove(&id) {
            drop(out.try_send(came));
        }
    }
}

// spec: TR-154: a request of the server is no message of this revision; it is not answered.
async fn read(mut receiver: Receiver, open: Arc<Open>) {
    while let Some(line) = receiver.receive().await {
        let Ok(message::Body::One(message)) = message::parse(line.as_bytes(), &LOOSE) else { continue };
        match message {
            Message::Response(response) => {
                if let Some(id) = response.id.and_then(|id| id.to_json().parse().ok()) {
                    open.finish(id, Came::Answer(response.raw.into()));
                }
            }
            Message::Request(_) => {}
            Message::Notification(call) => {
                let Some(params) = call.params else { continue };
                let id = |raw: Option<&str>| raw.and_then(|raw| raw.parse::<u64>().ok());
                match call.known {
                    Some(Method::Progress) => {
                        if let Some(id) = id(scan::member(params, "progressToken")) {
                            open.mention(id, call.known, call.raw);
                        }
                    }
                    Some(Method::Cancelled) => {
                        if let Some(id) = id(scan::member(params, "requestId")) {
                            open.finish(id, Came::Cancelled);
                        }
                    }
                    // spec: BR-74: "or exactly one request was open", of those that a log may belong to
                    Some(Method::LogMessage) => {
                        let only = {
                            let open = open.lock();
                            let mut logged = open.iter().filter(|(_, waiting)| waiting.logs).map(|(id, _)| *id);
                            logged.next().filter(|_| logged.next().is_none())
                        };
                        if let Some(id) = only {
                            open.mention(id, call.known, call.raw);
                        }
                    }
                    // spec: TR-156: "Demultiplex subscription traffic by subscriptionId"
                    _ => {
                        let meta = scan::member(params, "_meta");
                        if let Some(id) = id(meta.and_then(|meta| scan::member(meta, META_SUBSCRIPTION_ID))) {
                            open.mention(id, call.known, call.raw);
                        }
                    }
                }
            }
        }
    }
    let ended = receiver.ended().unwrap_or(Ended::Closed);
    let waiting: Vec<u64> = open.lock().keys().copied().collect();
    for id in waiting {
        open.finish(id, Came::Lost(ended.clone()));
    }
}
