//! What is remembered of an upstream between calls: the revisions it speaks and the headers its tools want (TR-125).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use portcullis_base::Holder;
use portcullis_mcp::{Era, Message, Version, message::Outcome, scan, tool};
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use super::{
    Credential, DiscoverError, Upstream, UpstreamError,
    ask::Way,
    discover::{Pages, Transport},
};
use crate::tools::Part;

/// How long an upstream that speaks one era only is taken to do so.
const ONE_ERA: Duration = Duration::from_mins(5);
/// How long the annotations of tools are used before they are asked for anew.
const TOOLS: Duration = Duration::from_mins(1);
/// How long an upstream that could not be asked, or was asked just now, is left alone.
const REST: Duration = Duration::from_secs(2);

/// Holders whose tools are remembered.
const HOLDERS: usize = 1024;

/// Memory of one upstream.
pub(super) struct Known {
    versions: ArcSwapOption<Versions>,
    asking: Mutex<Asked>,
    /// What each holder was told of tools; nobody is shown, or judged by, what another one was told (spec: T-50).
    tools: Cache<Viewer, Arc<Tools>>,
    listing: Mutex<()>,
    refreshing: AtomicBool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            versions: ArcSwapOption::default(),
            asking: Mutex::default(),
            tools: Cache::new(HOLDERS),
            listing: Mutex::default(),
            refreshing: AtomicBool::default(),
        }
    }
}

/// What came of asking, when not what was asked for.
#[derive(Default)]
struct Asked {
    /// There was no answer.
    failed: Option<Instant>,
    /// Whoever shows nothing is told nothing.
    refused: Option<Instant>,
}

struct Versions {
    /// Over Streamable HTTP, newest first.
    served: Arc<[Version]>,
    transport: Transport,
    since: Instant,
    until: Option<Instant>,
}

/// Who saw a list, and with which version of what they have there; `None` for a list that is everybody's.
pub type Viewer = Option<(Holder, i64)>;

/// Header annotations of an upstream's tools.
pub struct Tools {
    /// Those of the tools that have some, by name.
    annotations: HashMap<String, Vec<tool::Annotation>>,
    listed: usize,
    until: Instant,
}

impl Tools {
    /// The annotations of one tool; none for a tool that was not listed.
    pub fn of(&self, name: &str) -> &[tool::Annotation] {
        self.annotations.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many tools were listed.
    pub(super) fn len(&self) -> usize {
        self.listed
    }
}

impl Upstream {
    /// The revisions it speaks over Streamable HTTP, newest first: from memory, or by asking with `credential`. None of a
    /// server that is reached over HTTP+SSE.
    pub async fn versions(self: &Arc<Self>, credential: &Credential) -> Result<Arc<[Version]>, DiscoverError> {
        if let Some(served) = self.known_versions() {
            return Ok(served);
        }
        let mut asked = self.known.asking.lock().await;
        if let Some(served) = self.known_versions() {
            return Ok(served);
        }
        // Whoever waited for a failing question does not put it again at once.
        let is_fresh = |moment: Option<Instant>| moment.is_some_and(|at| at.elapsed() < REST);
        if is_fresh(asked.failed) {
            return Err(DiscoverError::Upstream(UpstreamError::Asked));
        }
        if credential.is_none() && is_fresh(asked.refused) {
            let refused = UpstreamError::Credentials { status: 401, challenges: Vec::new() };
            return Err(DiscoverError::Upstream(refused));
        }
        let outcome = self.learn(credential).await;
        let now = Instant::now();
        match &outcome {
            Ok(_) => *asked = Asked::default(),
            // A refusal of one person says nothing about the next one, who may show something better.
            Err(DiscoverError::Upstream(UpstreamError::Credentials { .. })) if !credential.is_none() => {}
            Err(DiscoverError::Upstream(UpstreamError::Credentials { .. })) => asked.refused = Some(now),
            Err(_) => asked.failed = Some(now),
        }
        outcome
    }

    /// The revisions it is known to speak over Streamable HTTP, without asking.
    pub fn known_versions(&self) -> Option<Arc<[Version]>> {
        if self.is_answered_for() {
            return Some([Version::V2026_07_28].into());
        }
        self.known.versions.load().as_ref().map(|known| known.served.clone())
    }

    /// Takes what was known of it before this process began. It is asked anew before long.
    pub fn recall(&self, served: Arc<[Version]>) {
        let since = Instant::now();
        let recalled = Arc::new(Versions { served, transport: Transport::Http, since, until: Some(since) });
        let none: Option<Arc<Versions>> = None;
        self.known.versions.compare_and_swap(&none, Some(recalled));
    }

    /// Takes the memory of its revisions as doubtful: they are asked for anew, and meanwhile used.
    pub fn doubt(&self) {
        // Whoever provokes odd answers must not make us ask all the time.
        if let Some(known) = self.known.versions.load().as_ref().filter(|known| known.since.elapsed() > REST) {
            self.keep(known.served.clone(), known.transport, Some(Instant::now()));
        }
    }

    /// How it is reached, as far as that is known.
    pub(super) fn known_transport(&self) -> Option<Transport> {
        self.known.versions.load().as_ref().map(|known| known.transport)
    }

    /// Whether its revisions are to be asked for anew; said to one caller only, who then calls [`Self::learn_again`].
    pub fn is_due(&self) -> bool {
        let due = |known: &Versions| known.until.is_some_and(|until| until < Instant::now());
        self.known.versions.load().as_ref().is_some_and(|known| due(known))
            && !self.known.refreshing.swap(true, Ordering::AcqRel)
    }

    /// Asks for its revisions anew.
    // spec: TR-122: a failed question leaves what was known.
    pub async fn learn_again(self: &Arc<Self>, credential: &Credential) -> Option<Arc<[Version]>> {
        let learned = self.learn(credential).await;
        if let Err(error) = &learned {
            tracing::warn!(server.name = %self.name, %error, "upstream could not be asked again");
            if let Some(known) = self.known.versions.load().as_ref() {
                self.keep(known.served.clone(), known.transport, Some(Instant::now() + ONE_ERA));
            }
        }
        self.known.refreshing.store(false, Ordering::Release);
        learned.ok()
    }

    async fn learn(self: &Arc<Self>, credential: &Credential) -> Result<Arc<[Version]>, DiscoverError> {
        let found = self.discover(credential).await?;
        let both = found.speaks(Era::Modern) && found.speaks(Era::Legacy);
        tracing::info!(server.name = %self.name, versions = ?found.versions, transport = ?found.transport, "upstream discovered");
        let served: Arc<[Version]> = match found.transport {
            Transport::Http => found.versions.into(),
            Transport::Sse => Arc::default(),
        };
        self.keep(served.clone(), found.transport, (!both).then(|| Instant::now() + ONE_ERA));
        Ok(served)
    }

    pub(super) fn keep(&self, served: Arc<[Version]>, transport: Transport, until: Option<Instant>) {
        self.known.versions.store(Some(Arc::new(Versions { served, transport, since: Instant::now(), until })));
    }

    /// The header annotations of its tools, as `viewer` sees them. What else the list says is in the book then.
    // spec: TR-127: "built from that upstream's own current schema"
    pub async fn tools(
        self: &Arc<Self>,
        credential: &Credential,
        viewer: &Viewer,
    ) -> Result<Arc<Tools>, UpstreamError> {
        let listing = match self.known.tools.get_value_or_guard_async(viewer).await {
            Ok(tools) if Instant::now() < tools.until => return Ok(tools),
            Ok(stale) => {
                // One asks again, and the others go on with what they had.
                let Ok(_listing) = self.known.listing.try_lock() else { return Ok(stale) };
                let tools = Arc::new(self.list_tools(Way::Asked, credential, Some(viewer)).await?);
                self.known.tools.insert(viewer.clone(), tools.clone());
                return Ok(tools);
            }
            Err(listing) => listing,
        };
        let tools = Arc::new(self.list_tools(Way::Asked, credential, Some(viewer)).await?);
        drop(listing.insert(tools.clone()));
        Ok(tools)
    }

    /// Forgets the annotations: the upstream did not agree with what was made of them.
    pub fn forget_tools(&self, viewer: &Viewer) {
        self.known.tools.remove(viewer);
    }

    /// Reads its list to the end, for `viewer`, or only to know what there is.
    pub(super) async fn list_tools(
        self: &Arc<Self>,
        way: Way,
        credential: &Credential,
        viewer: Option<&Viewer>,
    ) -> Result<Tools, UpstreamError> {
        let (mut annotations, mut listed) = (HashMap::new(), 0);
        let mut pages = Pages::default();
        let mut part = Part::First;
        loop {
            let said = self.ask_statelessly(way, "tools/list", &pages.members(), credential).await?;
            let Some(Message::Response(response)) = said.message() else {
                return Err(UpstreamError::Unusable("no answer to tools/list"));
            };
            let listing = match response.outcome {
                Outcome::Result(result) => {
                    if let (Some(viewer), Some(tools)) = (viewer, scan::member(result, "tools")) {
                        let holder = viewer.as_ref().map(|(holder, _)| holder);
                        self.book.learn(holder, part, tools, &self.origin());
                        part = Part::Next;
                    }
                    tool::listing(result)
                }
                Outcome::Error { .. } => None,
            };
            // A server without tools says so by an error; then there are none.
            let Some(listing) = listing else { break };
            for tool in listing.tools {
                match tool.headers {
                    Ok(headers) => {
                        listed += 1;
                        if !headers.is_empty() {
                            annotations.insert(tool.name, headers);
                        }
                    }
                    Err(why) => {
                        let name = portcullis_base::printable(&tool.name, 64);
                        // spec: TR-128: "log name and reason"
                        tracing::warn!(server.name = %self.name, tool = name, why, "tool with invalid x-mcp-header");
                    }
                }
            }
            if !pages.turn(listing.next_cursor) {
                break;
            }
        }
        Ok(Tools { annotations, listed, until: Instant::now() + TOOLS })
    }
}
