//! Sessions of the legacy revisions, and what each of them holds.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use portcullis_base::Timestamp;
use portcullis_mcp::{Method, OwnedId, Version};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::AbortHandle};

use crate::{notebook::Change, stream::Stream};

/// Sessions held at most; the one idle for longest makes room.
const MOST_SESSIONS: usize = 256;
/// How long a session may be idle without a stream.
const IDLE: Duration = Duration::from_mins(30);
/// Streams of one session that can be taken up again.
const MOST_STREAMS: usize = 16;
/// Resources of one session that are watched.
const MOST_WATCHED: usize = 100;

/// All sessions by their id.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Arc<Session>>>);

/// One session.
pub(crate) struct Session {
    pub(crate) version: Version,
    /// The client answers `elicitation/create`.
    pub(crate) asks: bool,
    /// Messages at `info` were asked for.
    pub(crate) logs: AtomicBool,
    /// What belongs to no request.
    pub(crate) common: Arc<Stream>,
    state: Mutex<State>,
    used_at: AtomicI64,
    next: AtomicU64,
}

#[derive(Default)]
struct State {
    streams: VecDeque<Arc<Stream>>,
    running: HashMap<OwnedId, (AbortHandle, Arc<Stream>)>,
    waiting: HashMap<OwnedId, oneshot::Sender<Option<Value>>>,
    watched: BTreeSet<String>,
}

impl Sessions {
    pub(crate) fn open(&self, id: String, session: Session, now: Timestamp) {
        session.used_at.store(now.as_millis(), Ordering::Relaxed);
        let mut sessions = lock(&self.0);
        sessions.retain(|_, session| !session.is_stale(now) || session.end());
        if sessions.len() >= MOST_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used_at.load(Ordering::Relaxed));
            if let Some(id) = oldest.map(|(id, _)| id.clone())
                && let Some(session) = sessions.remove(&id)
            {
                session.end();
            }
        }
        sessions.insert(id, Arc::new(session));
    }

    /// The session, if it is still there.
    pub(crate) fn find(&self, id: &[u8], now: Timestamp) -> Option<Arc<Session>> {
        let session = lock(&self.0).get(std::str::from_utf8(id).ok()?).cloned()?;
        if session.is_stale(now) {
            self.end(id);
            return None;
        }
        session.used_at.store(now.as_millis(), Ordering::Relaxed);
        Some(session)
    }

    pub(crate) fn end(&self, id: &[u8]) -> bool {
        let removed = std::str::from_utf8(id).ok().and_then(|id| lock(&self.0).remove(id));
        removed.is_some_and(|session| {
            session.end();
            true
        })
    }

    pub(crate) fn announce(&self, change: &Change) {
        for session in lock(&self.0).values() {
            session.notify(Method::ResourcesListChanged, json!({}));
            if session.state().watched.contains(change.uri()) {
                session.notify(Method::ResourceUpdated, json!({ "uri": change.uri() }));
            }
        }
    }

    pub(crate) fn close(&self) {
        for (_, session) in lock(&self.0).drain() {
            session.end();
        }
    }
}

impl Session {
    pub(crate) fn new(version: Version, asks: bool) -> Self {
        Self {
            version,
            asks,
            logs: AtomicBool::new(false),
            common: Stream::new(0),
            state: Mutex::default(),
            used_at: AtomicI64::new(0),
            next: AtomicU64::new(1),
        }
    }

    /// spec: TR-98: nobody has used it for long, and nobody is listening
    fn is_stale(&self, now: Timestamp) -> bool {
        self.used_at.load(Ordering::Relaxed) <= now.minus(IDLE).as_millis() && !self.common.has_reader()
    }

    fn notify(&self, method: Method, params: Value) {
        let mut message = json!({ "jsonrpc": "2.0", "method": method.name() });
        if params.as_object().is_some_and(|params| !params.is_empty()) {
            message["params"] = params;
        }
        self.common.send(&message);
    }

    /// A stream for one request.
    pub(crate) fn open_stream(&self) -> Arc<Stream> {
        let stream = Stream::new(self.next.fetch_add(1, Ordering::Relaxed));
        let mut state = self.state();
        state.streams.push_back(Arc::clone(&stream));
        if state.streams.len() > MOST_STREAMS {
            let ended = state.streams.iter().position(|stream| stream.has_ended()).unwrap_or(0);
            state.streams.remove(ended);
        }
        stream
    }

    /// The stream of that number, to be taken up again.
    pub(crate) fn stream(&self, number: u64) -> Option<Arc<Stream>> {
        if number == 0 {
            return Some(Arc::clone(&self.common));
        }
        self.state().streams.iter().find(|stream| stream.number() == number).cloned()
    }

    /// Starts the work for a request, which can be cancelled by its id.
    pub(crate) fn run(&self, id: &OwnedId, stream: &Arc<Stream>, work: impl Future<Output = ()> + Send + 'static) {
        // Held until the work is written down, so that it cannot finish before.
        let mut state = self.state();
        let work = tokio::spawn(work).abort_handle();
        state.running.insert(id.clone(), (work, Arc::clone(stream)));
    }

    pub(crate) fn finished(&self, id: &OwnedId) {
        self.state().running.remove(id);
    }

    /// spec: TR-92: only this ends the work, not the loss of a connection
    pub(crate) fn cancel(&self, id: &OwnedId) {
        let cancelled = self.state().running.remove(id);
        if let Some((work, stream)) = cancelled {
            work.abort();
            stream.end();
        }
    }

    /// An id for a request of ours, and where its answer will come.
    pub(crate) fn expect_answer(&self) -> (OwnedId, oneshot::Receiver<Option<Value>>) {
        let id = OwnedId::number(self.next.fetch_add(1, Ordering::Relaxed) as i64);
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        state.waiting.retain(|_, waiting| !waiting.is_closed());
        state.waiting.insert(id.clone(), sender);
        (id, receiver)
    }

    /// Takes an answer to a request of ours; `None` for an error.
    pub(crate) fn answered(&self, id: &OwnedId, result: Option<Value>) {
        if let Some(waiting) = self.state().waiting.remove(id) {
            // Who asked may have given up.
            let _ = waiting.send(result);
        }
    }

    /// Watches a resource; `false` if too many are watched already.
    pub(crate) fn watch(&self, uri: &str) -> bool {
        let mut state = self.state();
        let room = state.watched.len() < MOST_WATCHED || state.watched.contains(uri);
        if room {
            state.watched.insert(uri.to_owned());
        }
        room
    }

    pub(crate) fn unwatch(&self, uri: &str) {
        self.state().watched.remove(uri);
    }

    /// Ends all work and all streams. Always `false`: such a session is not kept.
    fn end(&self) -> bool {
        let mut state = self.state();
        for (_, (work, stream)) in state.running.drain() {
            work.abort();
            stream.end();
        }
        state.waiting.clear();
        drop(state);
        self.common.end();
        false
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
