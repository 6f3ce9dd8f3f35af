//! Those who listen at a server, and what they want to hear of.
//!
//! Over lines a person can have several sessions, because their clients can do different things or a call has one to itself,
//! and what happens in one is told in that one alone. So whoever listens in one of them hears all of them.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use portcullis_mcp::{
    Method,
    message::{Call, META_SUBSCRIPTION_ID},
    object::{Object, quoted},
    scan, sse,
};
use tokio::sync::{mpsc, watch};

use super::counts::{Counts, Reason};

/// Who may listen in one session at one time.
const LISTENERS: usize = 64;

/// Those who listen in sessions that may be told of each other.
pub(super) struct Ears {
    state: Mutex<State>,
    next: AtomicU64,
    counts: Arc<Counts>,
    /// Grows when somebody listens no more.
    turns: watch::Sender<u64>,
    /// Grows when other resources are wanted.
    version: AtomicU64,
}

#[derive(Default)]
struct State {
    listeners: HashMap<u64, Listener>,
    /// How many of them want each resource.
    wanted: HashMap<Box<str>, usize>,
    /// The sessions that are open.
    homes: HashSet<Home>,
}

/// One of the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Home(u64);

struct Listener {
    /// The session whose end is theirs.
    home: Home,
    /// The id of their request, raw.
    subscription: Box<str>,
    wants: Wants,
    out: mpsc::Sender<Bytes>,
}

/// What somebody wants to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
    pub uris: HashSet<Box<str>>,
}

impl Wants {
    /// The raw filter of an acknowledgement.
    pub(super) fn to_json(&self) -> String {
        let mut out = Object::new();
        for (name, wanted) in [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ] {
            if wanted {
                out.set(name, "true");
            }
        }
        if !self.uris.is_empty() {
            let mut uris: Vec<String> = self.uris.iter().map(|uri| quoted(uri)).collect();
            uris.sort_unstable();
            out.set("resourceSubscriptions", format!("[{}]", uris.join(",")));
        }
        out.finish().into_owned()
    }

    fn has(&self, method: Method, uri: Option<&str>) -> bool {
        match method {
            Method::ToolsListChanged => self.tools,
            Method::PromptsListChanged => self.prompts,
            Method::ResourcesListChanged => self.resources,
            // A server may tell of a part of what was subscribed to.
            Method::ResourceUpdated => uri.is_some_and(|uri| {
                self.uris.iter().any(|wanted| {
                    uri.strip_prefix(&**wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '#', '?']))
                })
            }),
            _ => false,
        }
    }
}

impl Ears {
    pub(super) fn new(counts: Arc<Counts>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            next: AtomicU64::new(1),
            counts,
            turns: watch::Sender::default(),
            version: AtomicU64::new(1),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session begins.
    pub(super) fn open(&self) -> Home {
        let home = Home(self.next.fetch_add(1, Ordering::Relaxed));
        self.lock().homes.insert(home);
        home
    }

    /// A session ends, and with it those who listen in it.
    pub(super) fn close(&self, home: Home) {
        self.lock().homes.remove(&home);
        self.dismiss(home);
    }

    /// Those who listen in a session begin anew.
    pub(super) fn dismiss(&self, home: Home) {
        for (_, listener) in self.lock().listeners.extract_if(|_, listener| listener.home == home) {
            // spec: TR-68: "end each subscription with its result"
            drop(listener.out.try_send(sse::Event::message(farewell(&listener.subscription)).to_bytes().into()));
        }
        self.turns.send_modify(|turn| *turn += 1);
    }

    /// Tells all who want to hear of it.
    pub(super) fn tell(&self, method: Method, call: &Call<'_>) {
        let mut state = self.lock();
        let uri = call.target.as_deref();
        // spec: BR-42: one who does not read is cut off, and nobody else waits for them
        let slow = |listener: &Listener| {
            let Some(message) = tagged(call.raw, &listener.subscription) else { return false };
            listener.out.try_send(sse::Event::message(message).to_bytes().into()).is_err()
        };
        let cut = state.listeners.extract_if(|_, listener| listener.wants.has(method, uri) && slow(listener)).count();
        for _ in 0..cut {
            self.counts.add(Reason::SlowListener);
            self.turns.send_modify(|turn| *turn += 1);
        }
    }

    /// Takes one in, with `acknowledgement` as the first that they hear. `None` if there are too many, or nothing more to
    /// hear.
    pub(super) fn join(
        self: &Arc<Self>,
        home: Home,
        subscription: &str,
        wants: Wants,
        out: mpsc::Sender<Bytes>,
    ) -> Option<Seat> {
        let mut state = self.lock();
        let here = state.listeners.values().filter(|listener| listener.home == home).count();
        if !state.homes.contains(&home) || here >= LISTENERS {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        out.try_send(sse::Event::message(acknowledgement(subscription, &wants)).to_bytes().into()).ok()?;
        state.listeners.insert(id, Listener { home, subscription: subscription.into(), wants, out });
        Some(Seat { ears: self.clone(), id })
    }

    /// Has resources be wanted.
    // spec: BR-42: "reference counted"
    pub(super) fn want(self: &Arc<Self>, uris: HashSet<Box<str>>) -> Interest {
        let mut state = self.lock();
        for uri in &uris {
            *state.wanted.entry(uri.clone()).or_default() += 1;
        }
        drop(state);
        self.version.fetch_add(1, Ordering::Release);
        Interest { ears: self.clone(), uris }
    }

    fn give_up(&self, uris: &HashSet<Box<str>>) {
        if uris.is_empty() {
            return;
        }
        let mut state = self.lock();
        for uri in uris {
            if let Some(count) = state.wanted.get_mut(uri) {
                *count -= 1;
            }
        }
        state.wanted.retain(|_, count| *count > 0);
        drop(state);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The resources that are wanted, and which state of them this is.
    pub(super) fn wanted(&self) -> (u64, HashSet<Box<str>>) {
        let version = self.version();
        (version, self.lock().wanted.keys().cloned().collect())
    }

    /// Which state of the wanted resources is the present one.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// The place of one who listens, until it is dropped.
pub(super) struct Seat {
    ears: Arc<Ears>,
    id: u64,
}

impl Seat {
    /// Waits until whoever has it is told nothing any more.
    pub(super) async fn over(&self) {
        let mut turns = self.ears.turns.subscribe();
        while self.ears.lock().listeners.contains_key(&self.id) && turns.changed().await.is_ok() {}
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.ears.lock().listeners.remove(&self.id);
    }
}

/// Resources that somebody wants to hear of, until it is dropped.
pub(super) struct Interest {
    ears: Arc<Ears>,
    pub uris: HashSet<Box<str>>,
}

impl Interest {
    /// Has only those be wanted that are `there`.
    pub(super) fn keep(&mut self, there: &HashSet<Box<str>>) {
        let given_up = self.uris.extract_if(|uri| !there.contains(uri)).collect();
        self.ears.give_up(&given_up);
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.ears.give_up(&self.uris);
    }
}

/// A notification for one who listens.
// spec: BR-79: "carry the id of the client's own listen request"
fn tagged(raw: &str, subscription: &str) -> Option<String> {
    let mut message = Object::read(raw)?;
    let params = scan::member(raw, "params").unwrap_or("{}");
    let mut params_object = Object::read(params)?;
    let mut meta = scan::member(params, "_meta").and_then(Object::read).unwrap_or_default();
    meta.retain(|name, _| !name.starts_with("io.modelcontextprotocol/"));
    meta.set(META_SUBSCRIPTION_ID, subscription);
    params_object.set("_meta", meta.finish().into_owned());
    message.set("params", params_object.finish().into_owned());
    Some(message.finish().into_owned())
}

fn acknowledgement(subscription: &str, wants: &Wants) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"{}","params":{{"notifications":{},"_meta":{{"{META_SUBSCRIPTION_ID}":{subscription}}}}}}}"#,
        Method::SubscriptionsAcknowledged.name(),
        wants.to_json(),
    )
}

/// The end of a subscription.
pub(in crate::upstream) fn farewell(subscription: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{subscription},"result":{{"resultType":"complete","_meta":{{"{META_SUBSCRIPTION_ID}":{subscription}}}}}}}"#
    )
}
