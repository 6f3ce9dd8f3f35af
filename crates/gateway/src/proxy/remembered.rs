//! What is remembered of servers for those who are not connected, and across restarts: the tools that somebody last saw,
//! and the revisions that were spoken. Read only when there is no other way, written behind the calls.

use std::{sync::Arc, time::Duration};

use portcullis_base::{Clock, Digest, Holder, ServerName, Timestamp};
use portcullis_mcp::{Version, scan};
use portcullis_store::{ServerFacts, Store, ToolList};
use quick_cache::sync::Cache;

/// The longest list that is remembered.
const LONGEST: usize = 1 << 20;

/// A list that is another one each time is written down this often.
const SELDOM: Duration = Duration::from_mins(1);

type Place = (ServerName, Option<Holder>);

/// What is remembered.
pub(super) struct Remembered {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Digests of the lists as they were last written, and when that was.
    written: Cache<Place, (Digest, Timestamp)>,
    /// Lists of several pages that somebody is reading, by the cursor of the page that comes next.
    pages: Cache<(Place, String), Arc<str>>,
    /// The facts as they were last read or written.
    facts: Cache<ServerName, Arc<(String, Vec<String>)>>,
}

/// Keeps one list that passes.
pub(super) struct Keeper {
    pub remembered: Arc<Remembered>,
    pub server: ServerName,
    /// Whose list it is; `None` for everybody's. spec: T-50
    pub holder: Option<Holder>,
    /// The page that was asked for.
    pub cursor: Option<String>,
}

impl Remembered {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, written: Cache::new(16 * 1024), pages: Cache::new(64), facts: Cache::new(1024) }
    }

    /// The tools that `holder` last saw, as a JSON array; without a holder, those that everybody sees.
    // spec: T-50: nobody is shown what another one saw.
    pub(super) async fn tools(&self, server: &ServerName, holder: Option<&Holder>) -> Option<String> {
        match self.store.tool_list(server, holder).await {
            Ok(list) => list.map(|list| list.list),
            Err(error) => {
                tracing::error!(%error, server.name = %server, "the tools of a server cannot be remembered");
                None
            }
        }
    }

    /// The revisions that `server` at `url` spoke; looked up once.
    pub(super) async fn versions(&self, server: &ServerName, url: &str) -> Option<Arc<[Version]>> {
        if self.facts.get(server).is_some() {
            return None;
        }
        let facts = match self.store.server_facts(server).await {
            Ok(facts) => facts.filter(|facts| facts.url == url),
            Err(error) => {
                tracing::error!(%error, server.name = %server, "what a server speaks cannot be remembered");
                return None;
            }
        };
        let names = facts.map(|facts| facts.versions).unwrap_or_default();
        let known = names.iter().filter_map(|name| Version::parse(name));
        let versions: Vec<_> = known.filter(|version| Version::SERVED.contains(version)).collect();
        self.facts.insert(server.clone(), Arc::new((url.to_owned(), names)));
        (!versions.is_empty()).then(|| versions.into())
    }

    /// Writes the revisions down, if that is news.
    pub(super) fn keep_versions(self: &Arc<Self>, server: &ServerName, url: &str, versions: &[Version]) {
        let versions: Vec<_> = versions.iter().map(|version| version.as_str().to_owned()).collect();
        let news = Arc::new((url.to_owned(), versions));
        if self.facts.get(server).as_ref() == Some(&news) {
            return;
        }
        self.facts.insert(server.clone(), news.clone());
        let (remembered, server) = (self.clone(), server.clone());
        tokio::spawn(async move {
            let (url, versions) = (news.0.clone(), news.1.clone());
            let learned_at = remembered.clock.now();
            let facts = ServerFacts { url, versions, learned_at };
            if let Err(error) = remembered.store.put_server_facts(&server, &facts).await {
                tracing::warn!(%error, server.name = %server, "what a server speaks is known to this process only");
            }
        });
    }

    fn keep_tools(self: &Arc<Self>, place: Place, list: String) {
        let digest = Digest::of(list.as_bytes());
        let now = self.clock.now();
        if self.written.get(&place).is_some_and(|(written, at)| written == digest || now.since(at) < SELDOM) {
            return;
        }
        self.written.insert(place.clone(), (digest, now));
        let remembered = self.clone();
        tokio::spawn(async move {
            let seen = ToolList { digest, list, seen_at: now };
            if let Err(error) = remembered.store.put_tool_list(&place.0, place.1.as_ref(), &seen).await {
                remembered.written.remove(&place);
                tracing::warn!(%error, server.name = %place.0, "the tools of a server could not be written down");
            }
        });
    }
}

impl Keeper {
    /// Keeps the list in `message`, the upstream's own answer, when its last page has come.
    pub(super) fn keep(&self, message: &str) {
        let Some(result) = scan::member(message, "result") else { return };
        let Some(tools) = scan::member(result, "tools").filter(|tools| scan::kind(tools) == scan::Kind::Array) else {
            return;
        };
        let place = (self.server.clone(), self.holder.clone());
        let mut list = match &self.cursor {
            None => String::new(),
            Some(cursor) => match self.remembered.pages.remove(&(place.clone(), cursor.clone())) {
                Some((_, before)) => before.to_string(),
                None => return,
            },
        };
        for tool in scan::elements(tools) {
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(tool);
        }
        if list.len() > LONGEST {
            return;
        }
        match scan::member(result, "nextCursor").and_then(scan::string) {
            Some(next) => self.remembered.pages.insert((place, next.into_owned()), list.into()),
            None => self.remembered.keep_tools(place, format!("[{list}]")),
        }
    }
}
