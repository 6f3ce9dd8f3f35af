//! What a session says to nobody in particular, and what is remembered of it.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use portcullis_mcp::{
    Method,
    dialect::Input,
    message::{Call, ProtocolError},
    scan,
};
use tokio::sync::{mpsc, watch};

use super::{
    counts::{Counts, Reason},
    ears::{Ears, Home, Interest, Seat, Wants},
};

/// Pages that a session remembers having been opened or asked for.
const PAGES: usize = 64;

/// What one session says.
pub(super) struct Hub {
    ears: Arc<Ears>,
    home: Home,
    counts: Arc<Counts>,
    /// Grows when the tools change.
    tools: AtomicU64,
    /// The pages that people were sent to and that have not been dealt with.
    pages: watch::Sender<HashSet<Box<str>>>,
}

impl Hub {
    /// For a session that `ears` hear.
    pub(super) fn new(ears: Arc<Ears>, counts: Arc<Counts>) -> Arc<Self> {
        let home = ears.open();
        Arc::new(Self { ears, home, counts, tools: AtomicU64::new(0), pages: watch::Sender::default() })
    }

    /// Takes in a notification; `false` if it may belong to a call.
    pub(super) fn heard(&self, call: &Call<'_>) -> bool {
        let Some(method) = call.known else { return true };
        match method {
            Method::ToolsListChanged
            | Method::PromptsListChanged
            | Method::ResourcesListChanged
            | Method::ResourceUpdated => {
                if method == Method::ToolsListChanged {
                    self.tools.fetch_add(1, Ordering::Relaxed);
                }
                self.ears.tell(method, call);
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

    /// Takes in one who listens, until the session ends. `None` if there are too many, or nothing more to hear.
    pub(super) fn join(&self, subscription: &str, wants: Wants, out: mpsc::Sender<Bytes>) -> Option<Seat> {
        self.ears.join(self.home, subscription, wants, out)
    }

    /// Has resources be wanted of the session, and of those that are heard with it.
    pub(super) fn want(&self, uris: HashSet<Box<str>>) -> Interest {
        self.ears.want(uris)
    }

    /// Those who hear it.
    pub(super) fn ears(&self) -> &Ears {
        &self.ears
    }

    /// Which list of tools is the present one.
    pub(super) fn tools(&self) -> u64 {
        self.tools.load(Ordering::Relaxed)
    }

    /// There is no stream any more on which anything could come: those who listen begin anew.
    pub(super) fn silent(&self) {
        self.ears.dismiss(self.home);
    }

    /// Nothing more will ever come.
    pub(super) fn end(&self) {
        self.ears.close(self.home);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.end();
    }
}
