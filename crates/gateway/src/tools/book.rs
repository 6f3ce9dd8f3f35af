//! The lists of one server, for everybody who was shown one.

use std::sync::Arc;

use portcullis_base::{Digest, Holder, ServerName};
use portcullis_mcp::{scan, tool};
use portcullis_risk::{Server, Tool, classify};
use quick_cache::{Weighter, sync::Cache};

use super::{
    origin::Origin,
    sheet::{Page, Sheet, TOOLS},
};

/// People whose lists are kept, about.
const HOLDERS: usize = 1024;
/// Bytes of names in all sheets together; what was found of a definition is shared by those that have it.
const BYTES: u64 = 16 << 20;
/// Definitions that are kept judged.
const DEFINITIONS: usize = 8 * 1024;
/// Larger definitions are not read; nothing is known of their tools.
const LARGEST: usize = 256 << 10;
/// Letters of a description that are kept.
const LONGEST: usize = 2000;
/// Bounds of the JSON of one definition.
const JSON: scan::Limits = scan::Limits { depth: 128, nodes: 100_000 };

/// Which part of a list a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its beginning: what was known of the list before is out of date if this is news.
    First,
    /// What follows.
    Next,
}

/// What one server showed, and to whom. A server that moves gets a new book.
pub struct Book {
    server: ServerName,
    sheets: Cache<Option<Holder>, Arc<Sheet>, Weight>,
    /// Beginnings of lists, by their digests: most people are shown the same.
    beginnings: Cache<Digest, Arc<Sheet>>,
    definitions: Cache<Digest, Arc<Page>>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Option<Holder>, Arc<Sheet>> for Weight {
    fn weight(&self, _: &Option<Holder>, sheet: &Arc<Sheet>) -> u64 {
        sheet.weight()
    }
}

impl Book {
    /// An empty book about `server`.
    pub fn new(server: ServerName) -> Self {
        Self {
            server,
            sheets: Cache::with_weighter(HOLDERS, BYTES, Weight),
            beginnings: Cache::new(64),
            definitions: Cache::new(DEFINITIONS),
        }
    }

    /// What is known of `tool` as `holder` sees it. Whoever was shown no list of their own is told what a server showed that
    /// was shown nothing itself.
    // spec: T-50: nobody is judged by what another one was shown.
    pub fn page(&self, holder: Option<&Holder>, tool: &str) -> Option<Arc<Page>> {
        let own = holder.and_then(|holder| self.sheets.get(&Some(holder.clone())));
        let sheet = own.or_else(|| self.sheets.get(&None::<Holder>))?;
        sheet.page(tool).cloned()
    }

    /// The list that `holder` was last shown.
    pub fn sheet(&self, holder: Option<&Holder>) -> Option<Arc<Sheet>> {
        self.sheets.get(&holder.cloned())
    }

    /// Takes in `tools`, a raw array of definitions that `holder` is shown. What it says counts from now on.
    pub fn learn(&self, holder: Option<&Holder>, part: Part, tools: &str, origin: &Origin) -> Arc<Sheet> {
        let holder = holder.cloned();
        let text = Digest::of(tools.as_bytes());
        let last = self.sheets.get(&holder);
        if let Some(last) = last.as_ref().filter(|last| last.covers(&text)) {
            return last.clone();
        }
        let sheet = match last.filter(|_| part == Part::Next) {
            Some(last) => Arc::new(self.read(&last, text, tools, origin)),
            None => self.begun(text, tools, origin),
        };
        self.sheets.insert(holder, sheet.clone());
        sheet
    }

    /// What follows from `tools`, a list that `holder` was shown some time ago. It counts only where there is no newer one.
    pub fn recall(&self, holder: Option<&Holder>, tools: &str, origin: &Origin) -> Arc<Sheet> {
        let sheet = self.begun(Digest::of(tools.as_bytes()), tools, origin);
        let holder = holder.cloned();
        if self.sheets.get(&holder).is_none() {
            self.sheets.insert(holder, sheet.clone());
        }
        sheet
    }

    fn begun(&self, text: Digest, tools: &str, origin: &Origin) -> Arc<Sheet> {
        if let Some(known) = self.beginnings.get(&text) {
            return known;
        }
        let sheet = Arc::new(self.read(&Sheet::default(), text, tools, origin));
        // What an API's operations are is not in the text.
        if !matches!(origin, Origin::Api(_)) {
            self.beginnings.insert(text, sheet.clone());
        }
        sheet
    }

    fn read(&self, last: &Sheet, text: Digest, tools: &str, origin: &Origin) -> Sheet {
        let named = |raw| Some((scan::member(raw, "name").and_then(scan::string)?, raw));
        let found: Vec<_> = scan::elements(tools).filter_map(named).take(TOOLS).collect();
        let none = Sheet::default();
        let last = if last.has_room(found.len()) { last } else { &none };
        let context = last.context.clone().unwrap_or_else(|| {
            let names = last.names().chain(found.iter().map(|(name, _)| &**name));
            Arc::new(Server::new(self.server.as_str(), names, origin.source()))
        });
        let pages = found.iter().map(|(name, raw)| {
            let page = self.judged(name, raw, &context, origin.method(name));
            ((**name).into(), page)
        });
        last.with(text, &context, pages)
    }

    /// What is found of one definition, which is looked at once.
    fn judged(&self, name: &str, raw: &str, context: &Arc<Server>, method: Option<&str>) -> Arc<Page> {
        let plain = raw.len() <= LARGEST && scan::check(raw.as_bytes(), &JSON).is_ok();
        let canonical = plain.then(|| tool::canonical(raw)).flatten();
        let definition = Digest::of(canonical.as_deref().unwrap_or(raw.as_bytes()));
        let same = |page: &Arc<Page>| page.context == *context && page.method.as_deref() == method;
        if let Some(known) = self.definitions.get(&definition).filter(same) {
            return known;
        }
        // What is read in two ways is taken for what nobody can read.
        let tool = Tool { method, ..Tool::new(name, if plain { raw } else { "" }) };
        let assessment = Arc::new(classify(&tool, context));
        let text = plain.then(|| scan::member(raw, "description").and_then(scan::string)).flatten();
        let description = text.map(|text| beginning(&text));
        let (context, method) = (context.clone(), method.map(Into::into));
        let page = Page { definition, assessment, plain, description, context, method };
        let page = Arc::new(page);
        self.definitions.insert(definition, page.clone());
        page
    }
}

/// So much of `text` as people are shown of it, and how much is left out.
// spec: T-83: "no truncation without explicit “N more”"
fn beginning(text: &str) -> Box<str> {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} … [{} more characters]", &text[..end], text[end..].chars().count()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_base::{Class, Classes, PersonId};

    use super::*;

    fn book() -> Book {
        Book::new(ServerName::parse("shop").unwrap())
    }

    fn tool(name: &str, description: &str) -> String {
        format!(r#"{{"name":"{name}","description":"{description}","inputSchema":{{"type":"object"}}}}"#)
    }

    fn list(tools: &[String]) -> String {
        format!("[{}]", tools.join(","))
    }

    fn classes(page: Option<Arc<Page>>) -> Option<Classes> {
        page.map(|page| page.assessment.classes)
    }

    // spec: T-75
    #[test]
    fn what_a_list_says_counts_until_another_one_says_otherwise() {
        let book = book();
        let mild = list(&[tool("list_orders", "Lists orders."), tool("get_order", "Gives one order.")]);
        let sheet = book.learn(None, Part::First, &mild, &Origin::Stranger);
        assert!(Arc::ptr_eq(&sheet, &book.learn(None, Part::First, &mild, &Origin::Stranger)));
        assert_eq!(classes(book.page(None, "get_order")), Some(Class::Read.into()));
        let before = book.page(None, "list_orders").unwrap();

        let graver = tool("get_order", "Deletes the order for good.");
        book.learn(None, Part::First, &list(&[tool("list_orders", "Lists orders."), graver]), &Origin::Stranger);
        let page = book.page(None, "get_order").unwrap();
        assert!(page.assessment.classes.contains(Class::Destructive), "{:?}", page.assessment);
        assert_eq!(page.description.as_deref(), Some("Deletes the order for good."));
        assert!(Arc::ptr_eq(&before, &book.page(None, "list_orders").unwrap()), "looked at once");
        book.learn(None, Part::First, "[]", &Origin::Stranger);
        assert!(book.page(None, "get_order").is_none());
    }

    // spec: T-83
    #[test]
    fn what_is_left_out_of_a_description_is_counted() {
        let book = book();
        book.learn(None, Part::First, &list(&[tool("get_a", &"é".repeat(2500))]), &Origin::Stranger);
        let page = book.page(None, "get_a").unwrap();
        assert!(page.description.as_deref().is_some_and(|text| text.ends_with("é … [500 more characters]")));
    }

    // spec: T-50
    #[test]
    fn nobody_is_judged_by_what_another_one_was_shown() {
        let book = book();
        let holders = ["usr_a", "usr_b"].map(|id| Holder::Person(PersonId::new(id)));
        let [alice, bob] = holders.each_ref().map(Some);
        book.learn(alice, Part::First, &list(&[tool("read_x", "Reads.")]), &Origin::Stranger);
        assert!(book.page(alice, "read_x").is_some());
        assert!(book.page(bob, "read_x").is_none() && book.page(None, "read_x").is_none());
        book.learn(None, Part::First, &list(&[tool("read_y", "Reads.")]), &Origin::Stranger);
        assert!(book.page(bob, "read_y").is_some() && book.page(alice, "read_y").is_none());
    }

    #[test]
    fn pages_of_a_list_are_one_sheet_and_an_old_list_replaces_no_newer_one() {
        let book = book();
        book.learn(None, Part::First, &list(&[tool("get_a", "Reads.")]), &Origin::Stranger);
        book.learn(None, Part::Next, &list(&[tool("get_b", "Reads.")]), &Origin::Stranger);
        assert!(book.page(None, "get_a").is_some() && book.page(None, "get_b").is_some());
        let old = book.recall(None, &list(&[tool("get_c", "Reads.")]), &Origin::Stranger);
        assert!(old.page("get_c").is_some() && book.page(None, "get_c").is_none());
        book.learn(None, Part::First, &list(&[tool("get_d", "Reads.")]), &Origin::Stranger);
        assert!(book.page(None, "get_b").is_none() && book.page(None, "get_d").is_some());
    }

    #[test]
    fn what_is_listed_twice_or_can_be_read_twice_is_all_that_it_may_be() {
        let book = book();
        let twice = list(&[tool("get_a", "Reads."), tool("get_a", "Deletes everything for good.")]);
        book.learn(None, Part::First, &twice, &Origin::Stranger);
        let page = book.page(None, "get_a").unwrap();
        assert!(page.assessment.classes.contains(Class::Destructive), "{:?}", page.assessment.classes);

        let odd = r#"[{"name":"get_a","description":"Reads.","description":"Deletes.","inputSchema":{}}]"#;
        book.learn(None, Part::First, odd, &Origin::Stranger);
        let page = book.page(None, "get_a").unwrap();
        assert!(!page.plain && page.assessment.classes.contains(Class::Unknown));
    }

    #[test]
    fn hints_make_only_our_own_tools_milder() {
        let hinted = r#"[{"name":"echo","description":"Says what it is told.","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]"#;
        let (ours, theirs) = (book(), book());
        ours.learn(None, Part::First, hinted, &Origin::Ours);
        theirs.learn(None, Part::First, hinted, &Origin::Stranger);
        assert_eq!(classes(ours.page(None, "echo")), Some(Class::Read.into()));
        assert_ne!(classes(theirs.page(None, "echo")), Some(Class::Read.into()));
    }
}
