//! One list of tools as it was last seen, and what was found of each tool in it. Immutable: another list is another sheet.

use std::{collections::HashMap, sync::Arc};

use portcullis_base::Digest;
use portcullis_risk::{Assessment, Server};

/// What is known of one tool.
#[derive(Debug)]
pub struct Page {
    /// The digest of its definition in canonical form.
    pub definition: Digest,
    /// What it may do, and why we think so.
    pub assessment: Arc<Assessment>,
    /// Whether everybody who reads the definition reads the same.
    pub plain: bool,
    /// What the definition says of it, from its beginning: foreign text.
    pub description: Option<Box<str>>,
    /// What it was judged with.
    pub(super) context: Arc<Server>,
    pub(super) method: Option<Box<str>>,
}

/// The tools that somebody was last shown.
#[derive(Debug, Default)]
pub struct Sheet {
    pages: HashMap<Box<str>, Arc<Page>>,
    /// What their server was taken for when the first of them were judged.
    pub(super) context: Option<Arc<Server>>,
    /// The digests of the texts that it was made of.
    texts: Vec<Digest>,
}

/// Tools that one sheet has at most.
pub(super) const TOOLS: usize = 5_000;
/// Texts that one sheet is made of at most.
const TEXTS: usize = 64;

impl Sheet {
    /// What is known of `tool`.
    pub fn page(&self, tool: &str) -> Option<&Arc<Page>> {
        self.pages.get(tool)
    }

    /// All tools, in no order.
    pub fn pages(&self) -> impl Iterator<Item = (&str, &Arc<Page>)> {
        self.pages.iter().map(|(name, page)| (&**name, page))
    }

    /// Whether it was made of a text with this digest, among others.
    pub(super) fn covers(&self, text: &Digest) -> bool {
        self.texts.contains(text)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.pages.keys().map(|name| &**name)
    }

    /// Whether another text with so many tools has a place.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.texts.len() < TEXTS && self.pages.len() + more <= TOOLS
    }

    /// The same, with the tools of another text. One that is listed twice is all that either says of it.
    pub(super) fn with(
        &self,
        text: Digest,
        context: &Arc<Server>,
        found: impl Iterator<Item = (Box<str>, Arc<Page>)>,
    ) -> Self {
        let mut pages = self.pages.clone();
        let mut seen: HashMap<Box<str>, Arc<Page>> = HashMap::new();
        for (name, page) in found.take(TOOLS) {
            let page = match seen.get(&name) {
                Some(other) if other.definition != page.definition => Arc::new(other.and(&page)),
                _ => page,
            };
            seen.insert(name, page);
        }
        pages.extend(seen);
        let context = Some(self.context.clone().unwrap_or_else(|| context.clone()));
        Self { pages, context, texts: self.texts.iter().copied().chain([text]).collect() }
    }

    /// Bytes that it takes, about.
    pub(super) fn weight(&self) -> u64 {
        self.pages.keys().map(|name| name.len() as u64 + 64).sum::<u64>() + 256
    }
}

impl Page {
    /// Two definitions of one name: whichever is meant by a call, it is not milder than this.
    fn and(&self, other: &Self) -> Self {
        let mut assessment = Assessment::clone(&self.assessment);
        assessment.classes = assessment.classes.or(other.assessment.classes);
        assessment.found = assessment.found.or(other.assessment.found);
        assessment.labels = assessment.labels.or(other.assessment.labels);
        let both = [*self.definition.as_bytes(), *other.definition.as_bytes()].concat();
        Self {
            definition: Digest::of(&both),
            assessment: Arc::new(assessment),
            description: None,
            plain: self.plain && other.plain,
            context: self.context.clone(),
            method: None,
        }
    }
}
