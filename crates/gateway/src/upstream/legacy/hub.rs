//! What a session says to nobody in particular, and those who listen to it.

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
    dialect::Input,
    message::{Call, META_SUBSCRIPTION_ID, ProtocolError},
    object::{Object, quoted},
    scan, sse,
};
use tokio::sync::{mpsc, watch};

use super::counts::{Counts, Reason};

/// Who may listen to one session at one time.
const LISTENERS: usize = 64;
/// Pages that a session remembers having been opened or asked for.
const PAGES: usize = 64;

/// Those who listen to one session.
pub(super) struct Hub {
    state: Mutex<State>,
    next: AtomicU64,
    counts: Arc<Counts>,
    /// Grows when somebody listens no more, and when the tools change.
    turns: watch::Sender<u64>,
    tools: AtomicU64,
    /// The pages that people were sent to and that have not been dealt with.
    pages: watch::Sender<HashSet<Box<str>>>,
}

#[derive(Default)]
struct State {
    listeners: HashMap<u64, Listener>,
    /// How many of them want each resource.
    resources: HashMap<Box<str>, usize>,
    over: bool,
}

struct Listener {
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

impl Hub {
    pub(super) fn new(counts: Arc<Counts>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            next: AtomicU64::new(1),
            counts,
            turns: watch::Sender::default(),
            tools: AtomicU64::new(0),
            pages: watch::Sender::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a notification; `false` if it may belong to a call.
    pub(super) fn heard(&self, call: &Call<'_>) -> bool {
        let Some(method) = call.known else { return true };
        match method {
            Method::ToolsListChanged
            | Method::PromptsListChanged
            | Method::ResourcesListChanged
            | Method::ResourceUpdated => {
                self.tell(method, call);
                true
            }
            // spec: BR-53: "consume notifications/elicitation/complete"
            Method::ElicitationComplete => {
                let id = call.params.and_then(|params| scan::member(params, "elicitationId")).and_then(scan::string);
                if let Some(id) = id.filter(|id| id.len() <= 256) {
                    self.pages.send_modify(|pages| {
                        pages.remove(&*id);
                    });
                }
                true
            }
            _ => false,
        }
    }

    /// Remembers that somebody was sent to a page.
    pub(super) fn sent_to(&self, elicitation: &str) {
        self.pages.send_if_modified(|pages| pages.len() < PAGES && pages.insert(elicitation.into()));
    }

    /// The pages that somebody was sent to and that the server waits for.
    pub(super) fn pages(&self) -> watch::Receiver<HashSet<Box<str>>> {
        self.pages.subscribe()
    }

    /// Forgets what is waited for.
    pub(super) fn forget_pages(&self) {
        self.pages.send_modify(HashSet::clear);
    }

    fn tell(&self, method: Method, call: &Call<'_>) {
        if method == Method::ToolsListChanged {
            self.tools.fetch_add(1, Ordering::Relaxed);
        }
        let mut state = self.lock();
        let uri = call.target.as_deref();
        // spec: BR-42: one who does not read is cut off, and nobody else waits for them
        let slow = |listener: &Listener| {
            let Some(message) = tagged(call.raw, &listener.subscription) else { return false };
            listener.out.try_send(sse::Event::message(message).to_bytes().into()).is_err()
        };
        let cut: Vec<u64> = state
            .listeners
            .iter()
            .filter(|(_, listener)| listener.wants.has(method, uri) && slow(listener))
            .map(|(id, _)| *id)
            .collect();
        for id in cut {
            state.listeners.remove(&id);
            self.counts.add(Reason::SlowListener);
            self.turns.send_modify(|turn| *turn += 1);
        }
    }

    /// The answer to a request of the server that belongs to no call.
    // spec: BR-51: "refused with -32601; ping is answered"
    // spec: BR-110
    pub(super) fn unsolicited(&self, call: &Call<'_>) -> Option<String> {
        let id = call.id?;
        if call.known == Some(Method::Ping) {
            return Some(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.to_json()));
        }
        if call.known.and_then(Input::of).is_some() {
            self.counts.add(Reason::Unsolicited);
        }
        String::from_utf8(ProtocolError::method_not_found(&call.method).with_id(Some(id)).to_json()).ok()
    }

    /// A log message that could be anybody's was dropped.
    pub(super) fn unattributed(&self) {
        self.counts.add(Reason::UnattributedLog);
    }

    /// Takes one in, with `acknowledgement` as the first that they hear. `None` if there are too many, or nothing more to
    /// hear.
    pub(super) fn join(self: &Arc<Self>, subscription: &str, wants: Wants, out: mpsc::Sender<Bytes>) -> Option<Seat> {
        let mut state = self.lock();
        if state.over || state.listeners.len() >= LISTENERS {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        out.try_send(sse::Event::message(acknowledgement(subscription, &wants)).to_bytes().into()).ok()?;
        state.listeners.insert(id, Listener { subscription: subscription.into(), wants, out });
        Some(Seat { hub: self.clone(), id })
    }

    /// Counts one more who wants `uri`; `true` for the first.
    pub(super) fn want(&self, uri: &str) -> bool {
        let mut state = self.lock();
        let count = state.resources.entry(uri.into()).or_default();
        *count += 1;
        *count == 1
    }

    /// Counts one less; `true` for the last.
    // spec: BR-42: "reference counted per session"
    pub(super) fn unwant(&self, uri: &str) -> bool {
        let mut state = self.lock();
        let Some(count) = state.resources.get_mut(uri) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            state.resources.remove(uri);
        }
        last
    }

    /// Waits until the one on `seat` is told nothing any more.
    pub(super) async fn over(&self, seat: &Seat) {
        let mut turns = self.turns.subscribe();
        while self.lock().listeners.contains_key(&seat.id) && turns.changed().await.is_ok() {}
    }

    /// Which list of tools is the present one.
    pub(super) fn tools(&self) -> u64 {
        self.tools.load(Ordering::Relaxed)
    }

    /// There is no stream any more on which anything could come: those who listen begin anew.
    pub(super) fn silent(&self) {
        self.dismiss(false);
    }

    /// Nothing more will ever come.
    pub(super) fn end(&self) {
        self.dismiss(true);
    }

    fn dismiss(&self, for_good: bool) {
        let mut state = self.lock();
        state.over |= for_good;
        self.turns.send_modify(|turn| *turn += 1);
        for (_, listener) in state.listeners.drain() {
            // spec: TR-68: "end each subscription with its result"
            drop(listener.out.try_send(sse::Event::message(farewell(&listener.subscription)).to_bytes().into()));
        }
    }
}

/// The place of one who listens, until it is dropped.
pub(super) struct Seat {
    hub: Arc<Hub>,
    id: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.lock().listeners.remove(&self.id);
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
