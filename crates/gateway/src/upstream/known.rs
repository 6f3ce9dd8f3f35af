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
use portcullis_mcp::{Era, Message, Version, message::Outcome, tool};
use tokio::sync::Mutex;

use super::{DiscoverError, Upstream, UpstreamError, discover::Pages};

/// How long an upstream that speaks one era only is taken to do so.
const ONE_ERA: Duration = Duration::from_mins(5);
/// How long the annotations of tools are used before they are asked for anew.
const TOOLS: Duration = Duration::from_mins(1);
/// How long an upstream that could not be asked, or was asked just now, is left alone.
const REST: Duration = Duration::from_secs(2);

/// Memory of one upstream.
#[derive(Default)]
pub(super) struct Known {
    versions: ArcSwapOption<Versions>,
    asking: Mutex<Option<Instant>>,
    tools: ArcSwapOption<Tools>,
    listing: Mutex<()>,
    refreshing: AtomicBool,
}

struct Versions {
    served: Arc<[Version]>,
    since: Instant,
    until: Option<Instant>,
}

/// Header annotations of an upstream's tools, by name.
pub struct Tools {
    annotations: HashMap<String, Vec<tool::Annotation>>,
    until: Instant,
}

impl Tools {
    /// The annotations of one tool; none for a tool that was not listed.
    pub fn of(&self, name: &str) -> &[tool::Annotation] {
        self.annotations.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many tools were listed.
    pub(super) fn len(&self) -> usize {
        self.annotations.len()
    }
}

impl Upstream {
    /// The revisions it speaks, newest first: from memory, or by asking.
    pub async fn versions(self: &Arc<Self>) -> Result<Arc<[Version]>, DiscoverError> {
        if let Some(known) = self.known.versions.load().as_ref() {
            if known.until.is_some_and(|until| until < Instant::now()) {
                self.refresh();
            }
            return Ok(known.served.clone());
        }
        let mut asked = self.known.asking.lock().await;
        if let Some(known) = self.known.versions.load().as_ref() {
            return Ok(known.served.clone());
        }
        // Whoever waited for a failing question does not put it again at once.
        if asked.is_some_and(|at| at.elapsed() < REST) {
            return Err(DiscoverError::Upstream(UpstreamError::Late));
        }
        match self.learn().await {
            Ok(served) => Ok(served),
            Err(error) => {
                *asked = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// The revisions it is known to speak, without asking.
    pub fn known_versions(&self) -> Option<Arc<[Version]>> {
        self.known.versions.load().as_ref().map(|known| known.served.clone())
    }

    /// Takes the memory of its revisions as doubtful: they are asked for anew, and meanwhile used.
    pub fn doubt(self: &Arc<Self>) {
        // Whoever provokes odd answers must not make us ask all the time.
        if self.known.versions.load().as_ref().is_some_and(|known| known.since.elapsed() > REST) {
            self.refresh();
        }
    }

    async fn learn(self: &Arc<Self>) -> Result<Arc<[Version]>, DiscoverError> {
        let found = self.discover().await?;
        let both = found.speaks(Era::Modern) && found.speaks(Era::Legacy);
        let served: Arc<[Version]> = found.versions.into();
        tracing::info!(server.name = %self.name, versions = ?served, "upstream discovered");
        let until = (!both).then(|| Instant::now() + ONE_ERA);
        self.known.versions.store(Some(Arc::new(Versions { served: served.clone(), since: Instant::now(), until })));
        Ok(served)
    }

    // spec: TR-122: a failed question leaves what was known.
    fn refresh(self: &Arc<Self>) {
        if self.known.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let upstream = self.clone();
        tokio::spawn(async move {
            if let Err(error) = upstream.learn().await {
                tracing::warn!(server.name = %upstream.name, %error, "upstream could not be asked again");
                if let Some(known) = upstream.known.versions.load().as_ref() {
                    let until = Some(Instant::now() + ONE_ERA);
                    let served = known.served.clone();
                    upstream.known.versions.store(Some(Arc::new(Versions { served, since: Instant::now(), until })));
                }
            }
            upstream.known.refreshing.store(false, Ordering::Release);
        });
    }

    /// The header annotations of its tools.
    // spec: TR-127: "built from that upstream's own current schema"
    pub async fn tools(self: &Arc<Self>) -> Result<Arc<Tools>, UpstreamError> {
        let current = || self.known.tools.load_full().filter(|tools| Instant::now() < tools.until);
        if let Some(tools) = current() {
            return Ok(tools);
        }
        let _listing = self.known.listing.lock().await;
        match current() {
            Some(tools) => Ok(tools),
            None => self.list_tools().await,
        }
    }

    /// Forgets the annotations: the upstream did not agree with what was made of them.
    pub fn forget_tools(&self) {
        self.known.tools.store(None);
    }

    pub(super) async fn list_tools(self: &Arc<Self>) -> Result<Arc<Tools>, UpstreamError> {
        let mut annotations = HashMap::new();
        let mut pages = Pages::default();
        loop {
            let said = self.ask_statelessly("tools/list", &pages.members()).await?;
            let Some(Message::Response(response)) = said.message() else {
                return Err(UpstreamError::Unusable("no answer to tools/list"));
            };
            let listing = match response.outcome {
                Outcome::Result(result) => tool::listing(result),
                Outcome::Error { .. } => None,
            };
            // A server without tools says so by an error; then there are none.
            let Some(listing) = listing else { break };
            for tool in listing.tools {
                match tool.headers {
                    Ok(headers) => drop(annotations.insert(tool.name, headers)),
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
        let tools = Arc::new(Tools { annotations, until: Instant::now() + TOOLS });
        self.known.tools.store(Some(tools.clone()));
        Ok(tools)
    }
}
