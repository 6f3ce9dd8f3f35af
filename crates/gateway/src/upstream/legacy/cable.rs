//! A session over a line: everything comes by one way, and is given to whom it belongs.
//!
//! Nobody can hold up the others: who does not take what comes for them loses notifications, and in the end their call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_mcp::{
    Message, Method,
    dialect::related_task,
    message::{self, Call},
    scan,
};
use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    hub::Hub,
    wire::{Asking, Came, Events, Fault, Kind, WAITING},
};
use crate::upstream::{
    UpstreamError,
    ask::LOOSE,
    line::{Line, Receiver, Sender},
};

/// Answers of ours to requests of the server that wait for it to take them.
const REPLIES: usize = 64;
/// Room that is kept for answers and requests among what waits for one call.
const KEPT: usize = 8;

/// One session.
pub(super) struct Cable {
    sender: Sender,
    calls: Arc<Calls>,
    reading: AbortHandle,
}

/// Who waits for what.
#[derive(Default)]
struct Calls(Mutex<HashMap<u64, Waiting>>);

struct Waiting {
    out: mpsc::Sender<Came>,
    interactive: bool,
    task: Option<Box<str>>,
}

impl Cable {
    /// Begins to read `line`.
    pub(super) fn new(line: Line, hub: Arc<Hub>) -> Self {
        let (sender, receiver) = line.split();
        let calls = Arc::<Calls>::default();
        let (replies, mut waiting) = mpsc::channel::<Box<str>>(REPLIES);
        let mouth = sender.clone();
        tokio::spawn(async move {
            while let Some(reply) = waiting.recv().await {
                if mouth.send(reply).await.is_err() {
                    return;
                }
            }
        });
        let reading = tokio::spawn(read(receiver, calls.clone(), hub, replies)).abort_handle();
        Self { sender, calls, reading }
    }

    pub(super) async fn ask(&self, asking: Asking<'_>) -> Result<Events, Fault> {
        let (out, events) = mpsc::channel(WAITING);
        let (interactive, task) = match asking.kind {
            Kind::Plain => (false, None),
            Kind::Interactive => (true, None),
            Kind::Task(task) => (true, Some(task.into())),
        };
        self.calls.lock().insert(asking.id, Waiting { out, interactive, task });
        if self.sender.send(asking.body.into()).await.is_err() {
            self.calls.lock().remove(&asking.id);
            // Whatever it was, the server did not take it.
            return Err(Fault::Gone);
        }
        Ok(events)
    }

    pub(super) async fn tell(&self, message: String) -> Result<(), Fault> {
        self.sender.send(message.into()).await.map_err(|ended| Fault::Upstream(UpstreamError::Ended(ended)))
    }

    pub(super) fn is_over(&self) -> bool {
        self.sender.ended().is_some() || self.reading.is_finished()
    }

    pub(super) fn close(&self) {
        self.reading.abort();
        self.calls.lock().clear();
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|_, waiting| !waiting.out.is_closed());
        calls
    }

    /// Gives `came` to the call `id`; a call that does not take it is ended.
    fn give(&self, id: u64, came: Came) {
        let mut calls = self.lock();
        let answered = matches!(came, Came::Answer(_));
        let refused = calls.get(&id).is_some_and(|waiting| waiting.out.try_send(came).is_err());
        if answered || refused {
            calls.remove(&id);
        }
    }

    /// Gives a notification to the call `id`, if it still takes any.
    fn mention(&self, id: u64, raw: &str) {
        if let Some(waiting) = self.lock().get(&id).filter(|waiting| waiting.out.capacity() > KEPT) {
            drop(waiting.out.try_send(Came::Notification(raw.into())));
        }
    }

    /// The one call that a request of the server can belong to.
    // spec: BR-45: "allow one potentially interactive call at a time per session"
    fn cause(&self, call: &Call<'_>) -> Option<u64> {
        let calls = self.lock();
        if let Some(task) = call.params.and_then(related_task) {
            return calls.iter().find(|(_, waiting)| waiting.task.as_deref() == Some(&*task)).map(|(id, _)| *id);
        }
        let mut interactive = calls.iter().filter(|(_, waiting)| waiting.interactive).map(|(id, _)| *id);
        interactive.next().filter(|_| interactive.next().is_none())
    }

    /// The one call that is open.
    fn only(&self) -> Option<u64> {
        let calls = self.lock();
        calls.keys().next().copied().filter(|_| calls.len() == 1)
    }

    fn each(&self) -> Vec<u64> {
        self.lock().keys().copied().collect()
    }
}

async fn read(mut receiver: Receiver, calls: Arc<Calls>, hub: Arc<Hub>, replies: mpsc::Sender<Box<str>>) {
    while let Some(line) = receiver.receive().await {
        match message::parse(line.as_bytes(), &LOOSE) {
            Ok(message::Body::One(message)) => take(&message, &calls, &hub, &replies),
            // 2025-03-26 has batches.
            Ok(message::Body::Batch(messages)) => {
                for message in &messages {
                    take(message, &calls, &hub, &replies);
                }
            }
            Err(error) => tracing::debug!(%error, "a server said something that is no message"),
        }
    }
    if let Some(ended) = receiver.ended() {
        for id in calls.each() {
            calls.give(id, Came::Lost(UpstreamError::Ended(ended.clone())));
        }
    }
    calls.lock().clear();
    hub.end();
}

fn take(message: &Message<'_>, calls: &Calls, hub: &Hub, replies: &mpsc::Sender<Box<str>>) {
    match message {
        Message::Response(response) => {
            // spec: T-49: "responses without owner dropped"
            let id = response.id.and_then(|id| id.to_json().parse().ok());
            if let Some(id) = id {
                calls.give(id, Came::Answer(response.raw.into()));
            }
        }
        Message::Request(call) => match calls.cause(call).filter(|_| call.known != Some(Method::Ping)) {
            Some(id) => calls.give(id, Came::Request(call.raw.into())),
            None => {
                if let Some(answer) = hub.unsolicited(call) {
                    // A server that takes no answers gets none.
                    drop(replies.try_send(answer.into()));
                }
            }
        },
        Message::Notification(call) if hub.heard(call) => {}
        Message::Notification(call) => match call.known {
            Some(Method::Progress) => {
                let token = call.params.and_then(|params| scan::member(params, "progressToken"));
                if let Some(id) = token.and_then(|token| token.parse().ok()) {
                    calls.mention(id, call.raw);
                }
            }
            // spec: BR-74: "or exactly one request was open"
            Some(Method::LogMessage) => match calls.only() {
                Some(id) => calls.mention(id, call.raw),
                None => hub.unattributed(),
            },
            // The server takes a request of its own back: whoever has it will know.
            Some(Method::Cancelled) => {
                for id in calls.each() {
                    calls.mention(id, call.raw);
                }
            }
            _ => {}
        },
    }
}
