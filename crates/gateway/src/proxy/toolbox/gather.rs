//! One server's list, read to its end, or as it was when it cannot be read.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use portcullis_base::{Digest, printable};
use portcullis_mcp::{
    Era,
    message::{INVALID_PARAMS, METHOD_NOT_FOUND},
    object::quoted,
    scan,
};
use tokio::time::timeout;

use super::{
    Part, Unboxed,
    ask::{DEADLINE, Miss},
    shelf::{Basis, Item, Key, Kind, List},
};
use crate::{
    config::ToolList,
    proxy::{
        refusal::Refusal,
        sieve::{Sieve, Whose},
        turn::Turn,
    },
};

/// Pages and items of one server's list that are read.
// spec: AG-15: "with a page and item cap to stop endless upstreams"
const PAGES: usize = 100;
const ITEMS: usize = 5_000;
/// Bytes of one server's list that are kept.
const BYTES: usize = 8 << 20;
/// For how long a list need not be asked for again where that makes no difference to a client.
const RECENT: Duration = Duration::from_mins(1);
/// How long a list that cannot be asked for is shown as it was.
const STALE: Duration = Duration::from_hours(1);
/// The longest that clients are told to keep a list.
// spec: BR-96: "cap large values (default 1 h)"
const LONGEST_TTL: u64 = 3_600_000;

/// Whether a server has to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Now.
    Asked,
    /// Not if it was a moment ago.
    Recent,
    /// Not if it was at all.
    Seen,
}

/// What is known of one server's list.
pub(super) struct Found {
    pub list: Option<Arc<List>>,
    /// What is the matter with the server.
    pub trouble: Option<String>,
}

impl<'a> Unboxed<'a> {
    pub(super) fn key(&self, part: Part<'a>, kind: Kind) -> Key {
        let caller = self.visit.caller;
        Key {
            server: part.server.name.clone(),
            person: caller.person.clone(),
            client: caller.client.clone(),
            capabilities: Digest::of(scan::member(&self.meta, CAPABILITIES).unwrap_or_default().as_bytes()),
            kind,
        }
    }

    /// One server's list, whatever becomes of the server.
    // spec: AG-16, AG-17
    pub(super) async fn gather(&self, part: Part<'a>, kind: Kind, freshness: Freshness) -> Result<Found, Refusal> {
        let key = self.key(part, kind);
        let last = self.visit.local.shelf.last(&key);
        let basis = OnceLock::new();
        let asked = timeout(DEADLINE, self.gathered(part, kind, freshness, last.as_ref(), &basis)).await;
        let trouble = match asked {
            Ok(Ok((list, lack))) => {
                if lack.is_none() {
                    self.visit.local.shelf.put(key, list.clone());
                }
                let trouble = lack.or_else(|| list.cut.then(|| cut(part)));
                return Ok(Found { list: Some(list), trouble });
            }
            Ok(Err(Miss::Refused(refusal))) => return Err(refusal),
            Ok(Err(Miss::Error { message, .. })) => message,
            Err(_) => format!("The server {} took too long to answer.", part.server.name),
        };
        tracing::warn!(
            toolbox.name = %self.toolbox.name, server.name = %part.server.name, trouble, what = kind.member(),
            "a server is missing from a list"
        );
        let basis = basis.into_inner();
        // spec: BR-97: "Serve stale lists when an upstream is down"; BR-92: only to whom it was shown
        let same = |list: &Arc<List>| Some(&list.basis) == basis.as_ref() && list.at.elapsed() < STALE;
        let mut list = last.filter(same);
        if let (None, Some(basis), Kind::Tools) = (&list, basis, kind) {
            let remembered = self.remembered(part).await;
            list = remembered.map(|items| Arc::new(List::new(basis, items, (0, false), false)));
        }
        Ok(Found { list, trouble: Some(trouble) })
    }

    async fn gathered(
        &self,
        part: Part<'a>,
        kind: Kind,
        freshness: Freshness,
        last: Option<&Arc<List>>,
        known: &OnceLock<Basis>,
    ) -> Result<(Arc<List>, Option<String>), Miss> {
        let turn = self.visit.turn(part.server);
        let (connection, lack) = match turn.credential().await {
            Ok(presented) => {
                let holder = presented.credential.holder().cloned();
                (holder.map(|holder| (holder, presented.version())), None)
            }
            // spec: AG-16: "tell the user how to connect (UP-64, instructions)"
            Err(lack) => (None, Some(turn.note(&lack))),
        };
        let basis = known.get_or_init(|| Basis { connection, revision: self.visit.snapshot.revision });
        let fresh = |list: &&Arc<List>| {
            list.basis == *basis
                && match freshness {
                    Freshness::Asked => false,
                    Freshness::Recent => list.at.elapsed() < RECENT,
                    Freshness::Seen => true,
                }
        };
        if let Some(list) = last.filter(fresh).filter(|_| lack.is_none()) {
            return Ok((list.clone(), None));
        }
        let list = match self.whole(part, kind, basis).await {
            // The list has changed under its reader: its pages are forgotten, and it is read anew.
            // spec: BR-95: "forget all pages when a cursor becomes invalid"
            Err(Miss::Error { code: INVALID_PARAMS, .. }) => self.whole(part, kind, basis).await?,
            other => other?,
        };
        Ok((Arc::new(list), lack))
    }

    async fn whole(&self, part: Part<'a>, kind: Kind, basis: &Basis) -> Result<List, Miss> {
        let mut items = Vec::new();
        let (mut bytes, mut ttl, mut public) = (0, LONGEST_TTL, true);
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES {
            let members: Vec<_> = cursor.iter().map(|cursor| ("cursor", quoted(cursor))).collect();
            let result = match self.ask(part, kind.method(), &members).await {
                // A server without such things has an empty list of them.
                Err(Miss::Error { code: METHOD_NOT_FOUND, .. }) => {
                    return Ok(List::new(basis.clone(), Vec::new(), (LONGEST_TTL, true), false));
                }
                result => result?,
            };
            let (page_ttl, page_public) = caching(&result);
            (ttl, public) = (ttl.min(page_ttl), public && page_public);
            for raw in scan::member(&result, kind.member()).into_iter().flat_map(scan::elements) {
                let Some(name) = scan::member(raw, kind.name()).and_then(scan::string) else { continue };
                bytes += raw.len();
                if items.len() == ITEMS || bytes > BYTES {
                    return Ok(List::new(basis.clone(), items, (0, public), true));
                }
                items.push(Item { name: name.into(), raw: raw.into() });
            }
            // spec: AG-13: "the empty string upstream is a valid cursor"
            let next = scan::member(&result, "nextCursor").and_then(scan::string).map(String::from);
            match next {
                None => return Ok(List::new(basis.clone(), items, (ttl, public), false)),
                Some(next) if cursor.as_ref() == Some(&next) => break,
                next => cursor = next,
            }
        }
        Ok(List::new(basis.clone(), items, (0, public), true))
    }

    /// The tools that somebody last saw before this process began, strained for the caller.
    async fn remembered(&self, part: Part<'a>) -> Option<Vec<Item>> {
        let turn: Turn<'_> = self.visit.turn(part.server);
        let holder = match part.server.tools {
            ToolList::Public => None,
            ToolList::Personal => Some(self.visit.parts.connections.holder_at(part.server, &turn.whom())),
        };
        let list = self.visit.local.remembered.tools(&part.server.name, holder.as_ref()).await?;
        let message = format!(r#"{{"id":1,"result":{{"tools":{list}}}}}"#);
        let sieve = turn.list_sieve(Kind::Tools.method(), Era::Modern).of_answer(Whose::Anybody, None);
        let strained = Sieve::apply(sieve.as_ref(), Bytes::from(message));
        let text = std::str::from_utf8(&strained).ok()?;
        let tools = scan::member(scan::member(text, "result")?, "tools")?;
        let item = |raw: &str| {
            let name = scan::member(raw, "name").and_then(scan::string)?;
            Some(Item { name: name.into(), raw: raw.into() })
        };
        Some(scan::elements(tools).filter_map(item).collect())
    }
}

const CAPABILITIES: &str = portcullis_mcp::message::META_CLIENT_CAPABILITIES;

/// For how long a result may be kept, and whether by everybody.
// spec: BR-91: "a part without fields (legacy) counts as ttlMs 0, private"; BR-96: negative ones are ignored
pub(super) fn caching(result: &str) -> (u64, bool) {
    let ttl = scan::member(result, "ttlMs").and_then(|raw| raw.parse().ok()).unwrap_or(0);
    let public = scan::member(result, "cacheScope").and_then(scan::string).as_deref() == Some("public");
    (ttl.min(LONGEST_TTL), public)
}

fn cut(part: Part<'_>) -> String {
    format!("The list of {} has no end; only its beginning is shown.", printable(part.server.name.as_str(), 40))
}
