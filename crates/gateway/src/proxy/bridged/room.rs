//! What this node keeps of bridged sessions, beside what their ids carry: what is under way, what is asked of the client,
//! its log level and its subscriptions.
//!
//! Whatever is here is lost when the node ends, and other nodes do not see it. A session that nobody uses leaves nothing
//! here; one that had something here and is not used any more is ended, so that its client opens a new one and says again
//! what it wants (TR-98).

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_base::{Digest, SessionId, Timestamp, token};
use portcullis_mcp::{OwnedId, Version, dialect::Level};
use tokio::sync::{Notify, oneshot, watch};

use super::{
    feed::{Budget, Feed},
    host::Host,
};
use crate::proxy::{parts::Parts, session::LIFETIME};

/// Sessions that are kept at one time.
const ROOMS: usize = 16 * 1024;
/// Bytes that all streams keep together.
const BYTES: usize = 64 << 20;
/// A session without open streams that is not used for so long is over.
const IDLE: Duration = Duration::from_mins(30);
/// How often it is looked for such.
const SWEEP: Duration = Duration::from_secs(30);
/// Calls under way in one session, and streams of it that can be taken up again.
const CALLS: usize = 64;
/// Subscriptions of one session.
const SUBSCRIPTIONS: usize = 256;
/// Requests that wait for their answers at one client.
const QUESTIONS: usize = 64;

/// The name of the stream of what is said unasked.
pub(super) const UNASKED: &str = "0";

/// What is kept of all sessions.
pub(in crate::proxy) struct Rooms {
    all: Mutex<All>,
    budget: Arc<Budget>,
}

struct All {
    rooms: HashMap<SessionId, Arc<Room>>,
    swept: Timestamp,
}

/// What is kept of one session.
pub(super) struct Room {
    /// What is said to it unasked.
    pub unasked: Arc<Feed>,
    /// Told when its subscriptions change.
    pub changed: Notify,
    over: watch::Sender<bool>,
    kept: Mutex<Kept>,
    budget: Arc<Budget>,
}

struct Kept {
    used: Timestamp,
    level: Option<Level>,
    subscribed: BTreeSet<Box<str>>,
    calls: HashMap<OwnedId, Under>,
    streams: VecDeque<Arc<Feed>>,
    questions: HashMap<String, oneshot::Sender<Reply>>,
    /// Who listens for it: the last who opened a stream, since their token is the freshest.
    listener: Option<Arc<Host>>,
    listening: bool,
    opened: Option<Opened>,
}

/// A call under way, or one whose answer was not heard yet.
struct Under {
    request: Digest,
    feed: Arc<Feed>,
    cancel: watch::Sender<bool>,
}

/// What the client of a stream of 2024-11-05 said when it opened its session.
#[derive(Clone)]
pub(super) struct Opened {
    pub version: Version,
    /// Raw.
    pub capabilities: Box<str>,
}

/// A client's answer to a request of ours.
pub(super) enum Reply {
    /// The raw result.
    Result(String),
    /// It refuses.
    Error,
}

/// What becomes of a request that comes in.
pub(super) enum Begun {
    /// It is made, and can be given up.
    New(Arc<Feed>, watch::Receiver<bool>),
    /// It was made already.
    Again(Arc<Feed>),
    /// Another one has its id.
    Clash,
    /// There are too many.
    TooMany,
}

/// There is too much of something.
#[derive(Debug)]
pub(super) struct TooMany;

impl Rooms {
    pub(in crate::proxy) fn new() -> Self {
        let all = All { rooms: HashMap::new(), swept: Timestamp::from_millis(0) };
        Self { all: Mutex::new(all), budget: Budget::new(BYTES) }
    }

    /// What is kept of `session`, from now on.
    pub(super) fn enter(&self, session: &SessionId, parts: &Parts) -> Result<Arc<Room>, TooMany> {
        let now = parts.clock.now();
        let mut all = self.all();
        if now >= all.swept.plus(SWEEP) {
            all.swept = now;
            all.sweep(now, parts);
        }
        if let Some(room) = all.rooms.get(session) {
            room.kept().used = now;
            return Ok(room.clone());
        }
        if all.rooms.len() >= ROOMS {
            return Err(TooMany);
        }
        let room = Arc::new(Room::new(now, self.budget.clone()));
        all.rooms.insert(session.clone(), room.clone());
        Ok(room)
    }

    /// What is kept of `session`, if anything is.
    pub(super) fn find(&self, session: &SessionId) -> Option<Arc<Room>> {
        self.all().rooms.get(session).cloned()
    }

    /// `session` is over.
    pub(super) fn close(&self, session: &SessionId) {
        let room = self.all().rooms.remove(session);
        if let Some(room) = room {
            room.close();
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    // spec: TR-98: "Expire idle sessions (default 30 min without open stream)"
    fn sweep(&mut self, now: Timestamp, parts: &Parts) {
        self.rooms.retain(|id, room| {
            let mut kept = room.kept();
            kept.forget_past();
            if kept.is_busy(&room.unasked) || now < kept.used.plus(IDLE) {
                return true;
            }
            if kept.level.is_some() || !kept.subscribed.is_empty() {
                let until = now.plus(LIFETIME);
                parts.ended.end_session(id.clone(), until);
                (parts.session_closed)(id.clone(), until);
            }
            false
        });
    }
}

impl Room {
    fn new(now: Timestamp, budget: Arc<Budget>) -> Self {
        Self {
            unasked: Feed::new(UNASKED.to_owned(), None, budget.clone()),
            changed: Notify::new(),
            over: watch::Sender::new(false),
            kept: Mutex::new(Kept::new(now)),
            budget,
        }
    }

    /// Becomes true when the session is over.
    pub(super) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    fn close(&self) {
        self.over.send_replace(true);
        self.unasked.close();
        let calls: Vec<_> = self.kept().calls.drain().map(|(_, call)| call).collect();
        for call in calls {
            call.cancel.send_replace(true);
            call.feed.close();
        }
    }

    pub(super) fn level(&self) -> Option<Level> {
        self.kept().level
    }

    pub(super) fn set_level(&self, level: Level) {
        self.kept().level = Some(level);
    }

    pub(super) fn subscribe(&self, uri: &str) -> Result<(), TooMany> {
        let mut kept = self.kept();
        if kept.subscribed.contains(uri) {
            return Ok(());
        }
        if kept.subscribed.len() >= SUBSCRIPTIONS {
            return Err(TooMany);
        }
        kept.subscribed.insert(uri.into());
        drop(kept);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn unsubscribe(&self, uri: &str) {
        if self.kept().subscribed.remove(uri) {
            self.changed.notify_one();
        }
    }

    pub(super) fn subscribed(&self) -> Vec<Box<str>> {
        self.kept().subscribed.iter().cloned().collect()
    }

    /// A request with this id and these bytes.
    ///
    /// A client that lost its connection may send its request again. While the answer to the first has not been heard,
    /// that is the same request, and what it asks for is not done twice.
    pub(super) fn begin(&self, id: &OwnedId, raw: &str, parts: &Parts) -> Begun {
        let request = Digest::of(raw.as_bytes());
        let mut kept = self.kept();
        kept.forget_past();
        match kept.calls.get(id) {
            Some(call) if call.feed.is_heard() => {}
            Some(call) if call.request == request => return Begun::Again(call.feed.clone()),
            Some(call) if !call.feed.is_closed() => return Begun::Clash,
            _ => {}
        }
        if kept.calls.len() >= CALLS && !kept.calls.contains_key(id) {
            return Begun::TooMany;
        }
        let feed = Feed::new(token::<6>(&*parts.rng), Some(id.clone()), self.budget.clone());
        let (cancel, cancelled) = watch::channel(false);
        kept.calls.insert(id.clone(), Under { request, feed: feed.clone(), cancel });
        kept.streams.push_back(feed.clone());
        Begun::New(feed, cancelled)
    }

    /// Gives up the request with this id.
    // spec: BR-34: "Legacy notifications/cancelled ends the upstream request"
    pub(super) fn cancel(&self, id: &OwnedId) {
        let call = self.kept().calls.remove(id);
        if let Some(call) = call {
            call.cancel.send_replace(true);
            // spec: TR-16: "nothing for it after its cancellation"
            call.feed.close();
        }
    }

    /// The stream that this number names.
    pub(super) fn stream(&self, name: &str) -> Option<Arc<Feed>> {
        if name == UNASKED {
            return Some(self.unasked.clone());
        }
        self.kept().streams.iter().find(|feed| feed.name == name).cloned()
    }

    /// A new question to the client: its id, and where the answer comes.
    // spec: T-49: an id that nobody can guess, looked for in this session only
    pub(super) fn ask(&self, parts: &Parts) -> Result<(String, oneshot::Receiver<Reply>), TooMany> {
        let mut kept = self.kept();
        kept.questions.retain(|_, waiting| !waiting.is_closed());
        if kept.questions.len() >= QUESTIONS {
            return Err(TooMany);
        }
        let id = token::<16>(&*parts.rng);
        let (answer, answered) = oneshot::channel();
        kept.questions.insert(id.clone(), answer);
        Ok((id, answered))
    }

    /// The client answers. Each question is answered once; what nobody asked goes nowhere.
    // spec: T-49: "responses without owner dropped"
    pub(super) fn answered(&self, id: &str, reply: Reply) {
        let waiting = self.kept().questions.remove(id);
        if let Some(waiting) = waiting {
            drop(waiting.send(reply));
        } else {
            tracing::info!("an answer to nothing that was asked in this session");
        }
    }

    /// Whether nobody was listening for it yet. The caller does from now on; else whoever does goes on as `host`.
    pub(super) fn begin_listening(&self, host: Host) -> bool {
        let mut kept = self.kept();
        let first = !std::mem::replace(&mut kept.listening, true);
        let fresher = kept.listener.as_ref().is_none_or(|known| known.caller.expires_at < host.caller.expires_at);
        if first || fresher {
            kept.listener = Some(Arc::new(host));
            drop(kept);
            self.changed.notify_one();
        }
        first
    }

    pub(super) fn listener(&self) -> Option<Arc<Host>> {
        self.kept().listener.clone()
    }

    /// Nobody listens for it any more, unless somebody reads again.
    pub(super) fn end_listening(&self) -> bool {
        let mut kept = self.kept();
        kept.listening = self.unasked.readers() > 0 && !*self.over.borrow();
        if !kept.listening {
            kept.listener = None;
        }
        !kept.listening
    }

    pub(super) fn opened(&self) -> Option<Opened> {
        self.kept().opened.clone()
    }

    pub(super) fn open(&self, opened: Opened) {
        self.kept().opened = Some(opened);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn new(used: Timestamp) -> Self {
        Self {
            used,
            level: None,
            subscribed: BTreeSet::new(),
            calls: HashMap::new(),
            streams: VecDeque::new(),
            questions: HashMap::new(),
            listener: None,
            listening: false,
            opened: None,
        }
    }

    fn forget_past(&mut self) {
        self.calls.retain(|_, call| !call.feed.is_heard() && !call.feed.is_past());
        self.streams.retain(|feed| !feed.is_past());
        while self.streams.len() > CALLS {
            let oldest = self.streams.iter().position(|feed| feed.is_closed());
            let Some(oldest) = oldest else { return };
            self.streams.remove(oldest);
        }
    }

    fn is_busy(&self, unasked: &Feed) -> bool {
        unasked.readers() > 0 || self.calls.values().any(|call| !call.feed.is_closed())
    }
}
