//! Lists of several servers as one: in one order, under names that tell the servers apart, page by page.

use std::collections::HashSet;

use futures_util::future::join_all;
use http::Response;
use portcullis_mcp::{
    Method,
    message::Call,
    object::{Object, quoted},
    scan,
};
use portcullis_policy::Access;

use super::{
    Part, Unboxed,
    cursor::{Cursor, Place},
    gather::{Found, Freshness},
    said,
    shelf::Kind,
    unknown,
    uris::Owners,
};
use crate::{
    proxy::{answer::Answer, refusal::Refusal},
    toolbox::{self, Choice, Search, bare, exposed},
};

/// Items and bytes of one page.
const ITEMS: usize = 500;
const BYTES: usize = 1 << 20;
/// The `_meta` key under which a list says what is missing from it.
const META_NOTICES: &str = "dev.portcullis/notices";

/// Several lists as one.
#[derive(Default)]
pub(super) struct Merged {
    pub entries: Vec<Entry>,
    pub ttl: u64,
    pub public: bool,
    pub notices: Vec<Notice>,
}

/// One item as clients see it.
pub(super) struct Entry {
    /// The name or URI that it is shown under.
    pub shown: String,
    /// Its server's place in the toolbox.
    pub server: usize,
    /// The definition as it is shown.
    pub raw: String,
}

/// A server that is not, or not wholly, in an answer.
pub(super) struct Notice {
    pub server: String,
    pub why: String,
}

impl<'a> Unboxed<'a> {
    /// A page of a list.
    pub(super) async fn list(&self, call: &Call<'_>, method: Method) -> Result<Response<Answer>, Refusal> {
        let kind = Kind::of(method);
        let cursor = Cursor::of(self.visit, method);
        let place = match call.params.and_then(|params| scan::member(params, "cursor")) {
            None => None,
            // spec: AG-14: "Invalid, expired or foreign cursors: -32602"
            Some(raw) => {
                let wrong = || unknown("The cursor is none of this list.", call);
                Some(cursor.open(raw).ok_or_else(wrong)?)
            }
        };
        if kind == Kind::Tools && self.toolbox.search == Search::On {
            return Ok(said(call, &super::search::listed()));
        }
        let freshness = if place.is_some() { Freshness::Recent } else { Freshness::Asked };
        let merged = self.merged(kind, freshness).await?;
        let first = place.map_or(0, |place| merged.after(&place, self.toolbox));
        let (mut items, mut bytes) = (Vec::new(), 0);
        for entry in merged.entries[first..].iter().take(ITEMS) {
            bytes += entry.raw.len();
            if bytes > BYTES && !items.is_empty() {
                break;
            }
            items.push(entry.raw.as_str());
        }
        let last = merged.entries.get(first + items.len()).and(merged.entries[..first + items.len()].last());
        let next = last.map_or_else(String::new, |last| {
            let place =
                Place { server: self.toolbox.shares[last.server].server.to_string(), shown: last.shown.clone() };
            format!(",\"nextCursor\":{}", quoted(&cursor.seal(&place)))
        });
        let (ttl, scope) = (merged.ttl, if merged.public { "public" } else { "private" });
        let notices = merged.meta();
        let result = format!(
            r#"{{"resultType":"complete","ttlMs":{ttl},"cacheScope":"{scope}","{}":[{}]{next}{notices}}}"#,
            kind.member(),
            items.join(","),
        );
        Ok(said(call, &result))
    }

    /// What all servers list, as clients see it.
    // spec: AG-12: "upstream order set by the administrator, then name"; AG-16, AG-17, AG-20
    pub(super) async fn merged(&self, kind: Kind, freshness: Freshness) -> Result<Merged, Refusal> {
        let parts: Vec<_> = self.parts().filter(|part| !part.choice(kind).is_empty()).collect();
        let found = join_all(parts.iter().map(|part| self.gather(*part, kind, freshness))).await;
        let found: Vec<Found> = found.into_iter().collect::<Result<_, _>>()?;
        let mut merged = Merged { ttl: u64::MAX, public: self.is_for_everybody(&parts), ..Merged::default() };
        let owners = owners(&parts, &found, kind);
        for (part, found) in parts.iter().zip(&found) {
            if let Some(why) = &found.trouble {
                merged.notices.push(Notice { server: part.server.name.to_string(), why: why.clone() });
            }
            let Some(list) = &found.list else { continue };
            // spec: BR-91: "the lowest ttlMs and the strictest scope of their parts"
            merged.ttl = merged.ttl.min(list.ttl);
            merged.public &= list.public;
            let from = merged.entries.len();
            let mut seen = HashSet::new();
            let place =
                self.toolbox.shares.iter().position(|share| std::ptr::eq(share, part.share)).unwrap_or_default();
            for item in list.items.iter().filter(|item| part.choice(kind).takes(&item.name)) {
                let Some((shown, raw)) = part.shown(kind, &item.name, &item.raw, &owners) else { continue };
                if !seen.insert(shown.clone()) {
                    tracing::warn!(server.name = %part.server.name, name = %shown, "listed twice; the first one is shown");
                    continue;
                }
                merged.entries.push(Entry { shown, server: place, raw });
            }
            merged.entries[from..].sort_by(|a, b| a.shown.cmp(&b.shown));
        }
        if !merged.notices.is_empty() || parts.is_empty() {
            // spec: AG-16: "set ttlMs: 0"
            merged.ttl = 0;
        }
        Ok(merged)
    }

    // spec: BR-90: "public only if every part is public and no per-user filter applies"
    fn is_for_everybody(&self, parts: &[Part<'a>]) -> bool {
        let open =
            |access: &Access| access.rights.is_empty() && access.entries.iter().any(|entry| &*entry.group == "*");
        let whole = parts.len() == self.toolbox.shares.len();
        whole && self.visit.snapshot.bundle.is_empty() && parts.iter().all(|part| open(&part.server.access))
    }

    /// Whose URIs are which, by lists that were seen; nobody is asked.
    pub(super) fn owners_seen(&self) -> Owners {
        let mut owners = Owners::default();
        for part in self.parts() {
            for kind in [Kind::Resources, Kind::Templates] {
                let Some(list) = self.visit.local.shelf.last(&self.key(part, kind)) else { continue };
                let taken = list.items.iter().filter(|item| part.share.resources.takes(&item.name));
                taken.for_each(|item| owners.add(kind, part, &item.name));
            }
        }
        owners
    }
}

impl Part<'_> {
    pub(super) fn choice(&self, kind: Kind) -> &Choice {
        match kind {
            Kind::Tools => &self.share.tools,
            Kind::Prompts => &self.share.prompts,
            Kind::Resources | Kind::Templates => &self.share.resources,
        }
    }

    /// The name under which one of its items is shown, and the definition; `None` if it is not shown.
    fn shown(&self, kind: Kind, name: &str, raw: &str, owners: &Owners) -> Option<(String, String)> {
        match kind {
            Kind::Tools => {
                // spec: AG-21: "hide the tool with a logged reason"
                if let Err(unfit) = toolbox::check(raw) {
                    let name = portcullis_base::printable(name, 80);
                    tracing::warn!(server.name = %self.server.name, tool.name = name, %unfit, "a tool is not shown");
                    return None;
                }
                let shown = self.share.tool_name(name);
                let raw = toolbox::shown(raw, &shown, self.share.edits.get(name));
                Some((shown, raw))
            }
            Kind::Prompts => {
                let shown = exposed(&self.server.name, name);
                let raw = toolbox::shown(raw, &shown, None);
                Some((shown, raw))
            }
            Kind::Resources | Kind::Templates => {
                let shown = match kind {
                    Kind::Resources => owners.of_list(&self.server.name, name),
                    _ => owners.of_templates(&self.server.name, name),
                };
                let mut object = Object::read(raw)?;
                if shown != name {
                    object.set(kind.name(), quoted(&shown));
                }
                bare(raw, &mut object);
                Some((shown.into_owned(), object.finish().into_owned()))
            }
        }
    }
}

fn owners(parts: &[Part<'_>], found: &[Found], kind: Kind) -> Owners {
    let mut owners = Owners::default();
    if matches!(kind, Kind::Tools | Kind::Prompts) {
        return owners;
    }
    for (part, found) in parts.iter().zip(found) {
        let items = found.list.iter().flat_map(|list| &list.items);
        items
            .filter(|item| part.share.resources.takes(&item.name))
            .for_each(|item| owners.add(kind, *part, &item.name));
    }
    owners
}

impl Owners {
    pub(super) fn add(&mut self, kind: Kind, part: Part<'_>, name: &str) {
        match kind {
            Kind::Templates => self.template(&part.server.name, name),
            _ => self.list(&part.server.name, name),
        }
    }
}

impl Merged {
    /// Where the list goes on behind `place`, also when what stood there is gone.
    // spec: AG-13
    fn after(&self, place: &Place, toolbox: &toolbox::Toolbox) -> usize {
        let server = toolbox.shares.iter().position(|share| share.server.as_str() == place.server);
        let Some(server) = server else { return self.entries.len() };
        self.entries.partition_point(|entry| (entry.server, entry.shown.as_str()) <= (server, place.shown.as_str()))
    }

    /// A member of the result that says what is missing, with a comma before it; nothing if nothing is.
    fn meta(&self) -> String {
        if self.notices.is_empty() {
            return String::new();
        }
        let notices: Vec<_> = self
            .notices
            .iter()
            .map(|notice| format!(r#"{{"server":{},"why":{}}}"#, quoted(&notice.server), quoted(&notice.why)))
            .collect();
        format!(r#","_meta":{{"{META_NOTICES}":[{}]}}"#, notices.join(","))
    }
}
