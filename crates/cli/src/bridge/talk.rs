//! Between a client on standard streams and a server over HTTP: every message of the one finds its way to the other.
//!
//! The two eras meet here side by side. A request that says its revision itself (2026-07-28) stands alone: its headers are made
//! from its body, and who drops its answer cancels it. Everything else belongs to a session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method as Verb, StatusCode};
use portcullis_mcp::{Body, Call, Message, Method, OwnedId, ProtocolError, message, scan};
use tokio::{
    sync::{Semaphore, watch},
    task::AbortHandle,
};

use super::{
    answers::{REFUSAL, broken, unanswered},
    asked::Asked,
    door::Asking,
    lines::{Line, Out},
    road::Road,
    session::{Session, Sessions, Waiting},
    stream::Messages,
    tools::Tools,
};
use crate::{
    failure::{Failure, Result},
    output::note,
};

/// Requests on their way at once, and as many messages that want no answer; more wait for their turn.
const AT_ONCE: usize = 64;
/// Requests that are not answered yet, those that wait and subscriptions included.
const MOST: usize = 1024;
/// How long the end of a session may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// The bridge.
pub struct Talk {
    pub(super) road: Road,
    pub(super) out: Out,
    pub(super) sessions: Sessions,
    pub(super) tools: Tools,
    flights: Mutex<HashMap<OwnedId, Flight>>,
    room: Semaphore,
    /// For what wants no answer: a request in the other one may wait for it.
    aside: Arc<Semaphore>,
    /// The last thing that people were told.
    complaint: Mutex<String>,
    /// How many messages are on their way, subscriptions not counted.
    busy: watch::Sender<usize>,
    pub(super) own_ids: AtomicU64,
}

/// A request on its way.
struct Flight {
    kind: Kind,
    task: AbortHandle,
}

/// By what a request is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// By nothing.
    Opening,
    /// By a message in its session.
    InSession,
    /// By closing the stream of its answer.
    Alone,
}

/// One message on its way.
struct Busy(watch::Sender<usize>);

impl Busy {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Talk {
    /// Between `road` and `out`.
    pub fn new(road: Road, out: Out) -> Arc<Self> {
        Arc::new(Self {
            road,
            out,
            sessions: Sessions::default(),
            tools: Tools::default(),
            flights: Mutex::default(),
            room: Semaphore::new(AT_ONCE),
            aside: Arc::new(Semaphore::new(AT_ONCE)),
            complaint: Mutex::default(),
            busy: watch::Sender::new(0),
            own_ids: AtomicU64::new(0),
        })
    }

    /// Takes one line of the client.
    pub async fn take(self: &Arc<Self>, line: Line) {
        let Line::Text(line) = line else {
            return self.say(&ProtocolError::invalid_request("The message is longer than 16 MiB")).await;
        };
        let body = match message::parse(&line, &scan::Limits::default()) {
            Ok(body) => body,
            Err(error) => return self.say(&error).await,
        };
        let text: Arc<str> = String::from_utf8_lossy(line.trim_ascii()).into();
        match body {
            Body::One(Message::Request(call)) => self.request(text, &call).await,
            Body::One(Message::Notification(call)) => self.notification(text, &call).await,
            Body::One(Message::Response(_)) => self.tell(text).await,
            Body::Batch(all) => self.batch(text, &all).await,
        }
    }

    async fn say(&self, error: &ProtocolError) {
        let text = String::from_utf8(error.to_json()).unwrap_or_default();
        let _ = self.out.send(text.into()).await;
    }

    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<OwnedId, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complaint(&self) -> std::sync::MutexGuard<'_, String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn request(self: &Arc<Self>, text: Arc<str>, call: &Call<'_>) {
        let Some(id) = call.id.map(|id| id.to_owned()) else { return };
        let asked = Asked::of(text, call, id.clone());
        let opens = !asked.is_modern() && asked.method == Some(Method::Initialize);
        let refusal = {
            let mut flights = self.flights();
            if flights.contains_key(&id) {
                Some("A request with this id is still being answered")
            } else if flights.len() >= MOST {
                Some("Too many requests are waiting for their answers")
            } else {
                let kind = match (asked.is_modern(), opens) {
                    (true, _) => Kind::Alone,
                    (false, true) => Kind::Opening,
                    (false, false) => Kind::InSession,
                };
                let (before, gate) = if opens {
                    self.sessions.keep_opening(asked.text.clone());
                    let (before, gate) = self.sessions.first();
                    (before, Some(gate))
                } else {
                    (self.sessions.before(), None)
                };
                let busy = (!asked.is_subscription()).then(|| Busy::new(&self.busy));
                let talk = self.clone();
                let task = tokio::spawn(async move {
                    talk.settle(&asked, before).await;
                    drop((busy, gate));
                });
                flights.insert(id, Flight { kind, task: task.abort_handle() });
                None
            }
        };
        if let Some(why) = refusal {
            self.say(&ProtocolError::invalid_request(why).with_id(call.id)).await;
        }
    }

    /// Brings a request to its end: exactly one answer, or none if it was cancelled.
    async fn settle(self: &Arc<Self>, asked: &Asked, before: Waiting) {
        if !asked.is_modern() {
            before.wait().await;
        }
        let place = if asked.is_subscription() { None } else { self.room.acquire().await.ok() };
        let answered = if asked.is_modern() { self.modern(asked).await } else { self.legacy(asked).await };
        let text = match answered {
            Ok(text) => {
                self.complaint().clear();
                text
            }
            Err(failure) => self.failed(&asked.id, &failure),
        };
        // spec: TR-16: nothing for a request after its cancellation.
        if self.flights().remove(&asked.id).is_some() {
            let _ = self.out.send(text).await;
        }
        drop(place);
    }

    /// Tells people, but nothing twice in a row, and makes the answer to the client.
    fn failed(&self, id: &OwnedId, failure: &Failure) -> Box<str> {
        self.complain(failure);
        unanswered(id, failure)
    }

    /// A client repeats itself, its log need not.
    pub(super) fn complain(&self, failure: &Failure) {
        let said = failure.to_string();
        let mut last = self.complaint();
        if *last != said {
            note(format_args!("portcullis bridge: {said}"));
            *last = said;
        }
    }

    async fn notification(self: &Arc<Self>, text: Arc<str>, call: &Call<'_>) {
        if call.known == Some(Method::Initialized) {
            self.sessions.keep_ready(text.clone());
            let (before, gate) = self.sessions.first();
            let (talk, busy) = (self.clone(), Busy::new(&self.busy));
            tokio::spawn(async move {
                before.wait().await;
                talk.ready(&text).await;
                drop((busy, gate));
            });
            return;
        }
        if call.known == Some(Method::Cancelled) {
            let id = call.params.and_then(|params| scan::member(params, "requestId")).and_then(message::Id::parse);
            let Some(id) = id.map(|id| id.to_owned()) else { return };
            // spec: TR-93: `initialize` cannot be cancelled; the session is opened by nothing else.
            let flight = {
                let mut flights = self.flights();
                let can_be = flights.get(&id).is_some_and(|flight| flight.kind != Kind::Opening);
                can_be.then(|| flights.remove(&id)).flatten()
            };
            let Some(flight) = flight else { return };
            // spec: BR-7: closing the stream of its answer is what cancels a request of the stateless revision.
            flight.task.abort();
            if flight.kind == Kind::Alone {
                return;
            }
        }
        self.tell(text).await;
    }

    /// Sends what wants no answer; while there is no room for it, the client is not read.
    async fn tell(self: &Arc<Self>, text: Arc<str>) {
        let Ok(place) = self.aside.clone().acquire_owned().await else { return };
        let (talk, busy, before) = (self.clone(), Busy::new(&self.busy), self.sessions.before());
        tokio::spawn(async move {
            before.wait().await;
            let headers = talk.sessions.now().headers();
            let body = Bytes::copy_from_slice(text.as_bytes());
            match talk.road.send(Verb::POST, headers, body, Asking::Person).await {
                Ok(mut answer) => drop(answer.whole(REFUSAL).await),
                Err(failure) => talk.complain(&failure),
            }
            drop((busy, place));
        });
    }

    /// Messages that a client of 2025-03-26 sends together.
    async fn batch(self: &Arc<Self>, text: Arc<str>, all: &[Message<'_>]) {
        let modern = all.iter().any(|one| match one {
            Message::Request(call) | Message::Notification(call) => call.meta.protocol_version_raw.is_some(),
            Message::Response(_) => false,
        });
        let ids: Vec<OwnedId> = all
            .iter()
            .filter_map(|one| match one {
                Message::Request(call) => call.id.map(|id| id.to_owned()),
                _ => None,
            })
            .collect();
        if modern {
            // spec: TR-69
            return self.say(&ProtocolError::invalid_request("Messages of this revision are sent one by one")).await;
        }
        if ids.len() + *self.busy.borrow() > MOST {
            return self.say(&ProtocolError::invalid_request("Too many requests are waiting for their answers")).await;
        }
        let (talk, busy, before) = (self.clone(), Busy::new(&self.busy), self.sessions.before());
        tokio::spawn(async move {
            before.wait().await;
            let _place = talk.room.acquire().await;
            let body = Bytes::copy_from_slice(text.as_bytes());
            let headers = talk.sessions.now().headers();
            if let Err(failure) = talk.together(headers, body).await {
                for id in ids {
                    let _ = talk.out.send(talk.failed(&id, &failure)).await;
                }
            }
            drop(busy);
        });
    }

    async fn together(&self, headers: HeaderMap, body: Bytes) -> Result<()> {
        let mut answer = self.road.send(Verb::POST, headers, body, Asking::Person).await?;
        match answer.status {
            StatusCode::ACCEPTED => drop(answer.whole(REFUSAL).await),
            StatusCode::OK => {
                let mut messages = Messages::new(answer);
                while let Some(message) = messages.next().await {
                    let text = message.map_err(|why| broken(&why))?;
                    let _ = self.out.send(text).await;
                }
            }
            status => {
                return Err(Failure::new(format!("{} answered {status} to a batch", self.road.link.place()))
                    .help("batches exist in 2025-03-26 only, and not every server takes them"));
            }
        }
        Ok(())
    }

    /// Waits until everything that was asked is answered; subscriptions are not waited for.
    pub async fn idle(&self) {
        let _ = self.busy.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Ends what is still on its way, and the session.
    pub async fn finish(&self) {
        for (_, flight) in self.flights().drain() {
            flight.task.abort();
        }
        let session = self.sessions.opened(Session::default());
        self.end(&session).await;
    }

    /// spec: TR-135
    pub(super) async fn end(&self, session: &Session) {
        if session.id.is_some() {
            let farewell = self.road.send(Verb::DELETE, session.headers(), Bytes::new(), Asking::Nobody);
            let _ = tokio::time::timeout(FAREWELL, farewell).await;
        }
    }
}
