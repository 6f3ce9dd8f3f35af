//! What a client can be asked for, and what a server offers: each side declares it, the other is told what goes through.

use super::{Elicits, Revision, Samples, task::TASKS_EXTENSION};
use crate::{
    object::{Object, quoted},
    scan::{self, Kind},
};

/// The extension that shows pages of a server beside its tools.
const APPS_EXTENSION: &str = "io.modelcontextprotocol/ui";

/// What a client can be asked for: of what it declared, that which can be carried to a server and back.
///
/// Capabilities and extensions that nobody here knows are not among them (spec: BR-117), nor are tasks that a client
/// would run for a server (spec: BR-116).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Abilities {
    /// It tells its roots.
    pub roots: bool,
    /// It asks its model, in the ways named.
    pub sampling: Option<Sampling>,
    /// It asks its person by forms.
    pub forms: bool,
    /// It has its person open pages.
    pub pages: bool,
    /// It takes a task for an answer: the extension of 2026-07-28. A legacy client never does; whoever drives tasks for
    /// a client sets this.
    pub tasks: bool,
    /// It shows pages of a server: the raw settings of that extension.
    ///
    /// spec: BR-118
    pub apps: Option<Box<str>>,
}

/// How a client asks its model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sampling {
    /// With tools.
    pub tools: bool,
    /// With the context of servers.
    pub context: bool,
}

impl Abilities {
    /// Of a client that nobody knows less of: it can be asked for whatever it declared to its server.
    pub fn everything() -> Self {
        let sampling = Some(Sampling { tools: true, context: true });
        Self { roots: true, sampling, forms: true, pages: true, tasks: true, apps: None }
    }

    /// Reads the raw `clientCapabilities` of a request of 2026-07-28.
    pub fn read(declared: &str) -> Self {
        let elicitation = object(declared, "elicitation");
        let within = |name| elicitation.and_then(|raw| object(raw, name)).is_some();
        let pages = within("url");
        Self {
            roots: object(declared, "roots").is_some(),
            sampling: object(declared, "sampling").map(|sampling| Sampling {
                tools: object(sampling, "tools").is_some(),
                context: object(sampling, "context").is_some(),
            }),
            // An empty object has always meant forms.
            forms: within("form") || elicitation.is_some() && !pages,
            pages,
            tasks: extension(declared, TASKS_EXTENSION).is_some(),
            apps: extension(declared, APPS_EXTENSION).map(Box::from),
        }
    }

    /// The `clientCapabilities` of a request of 2026-07-28.
    pub fn to_json(&self) -> String {
        let mut out = self.written(Elicits::FormsAndPages, Samples::Lists);
        let mut extensions = Object::new();
        if self.tasks {
            extensions.set(TASKS_EXTENSION, "{}");
        }
        if let Some(apps) = &self.apps {
            extensions.set(APPS_EXTENSION, &**apps);
        }
        if !extensions.is_empty() {
            out.set("extensions", extensions.finish().into_owned());
        }
        out.finish().into_owned()
    }

    /// What a legacy client declared when it opened its session.
    pub(super) fn of_client(revision: &Revision, declared: &str) -> Self {
        let mut abilities = Self { tasks: false, ..Self::read(declared) };
        // What stood in there was of no meaning before there were pages.
        if matches!(revision.elicits, Elicits::Forms(_)) {
            abilities.forms |= abilities.pages;
        }
        abilities.within(revision)
    }

    /// What a legacy server is told when its session is opened.
    pub(super) fn for_server(&self, revision: &Revision) -> String {
        let within = self.clone().within(revision);
        let mut out = within.written(revision.elicits, revision.samples);
        if let Some(apps) = &self.apps {
            out.set("extensions", format!("{{{}:{apps}}}", quoted(APPS_EXTENSION)));
        }
        out.finish().into_owned()
    }

    /// What is left of it in a revision.
    fn within(self, revision: &Revision) -> Self {
        let (forms, pages) = match revision.elicits {
            // spec: BR-29
            Elicits::Nothing => (false, false),
            // spec: BR-28: "never send it to a client of an older revision"
            Elicits::Forms(_) => (self.forms, false),
            Elicits::FormsAndPages => (self.forms, self.pages),
        };
        let sampling = match revision.samples {
            // spec: BR-30: "declare sampling without tools"
            Samples::One => self.sampling.map(|_| Sampling::default()),
            Samples::Lists => self.sampling,
        };
        Self { sampling, forms, pages, ..self }
    }

    fn written(&self, elicits: Elicits, samples: Samples) -> Object<'_> {
        let mut out = Object::new();
        if self.roots {
            out.set("roots", "{}");
        }
        if let Some(sampling) = self.sampling {
            let mut ways = Object::new();
            if samples == Samples::Lists && sampling.tools {
                ways.set("tools", "{}");
            }
            if samples == Samples::Lists && sampling.context {
                ways.set("context", "{}");
            }
            out.set("sampling", ways.finish());
        }
        if self.forms || self.pages {
            let mut ways = Object::new();
            let named = matches!(elicits, Elicits::FormsAndPages);
            if named && self.forms {
                ways.set("form", "{}");
            }
            if named && self.pages {
                ways.set("url", "{}");
            }
            out.set("elicitation", ways.finish());
        }
        out
    }
}

/// What a server offers that can be delivered on the other side.
///
/// spec: BR-4, BR-117: "otherwise they are removed from capabilities on both sides"
pub(super) fn offered(declared: &str) -> Object<'_> {
    let mut out = Object::new();
    for name in ["tools", "prompts", "resources", "completions", "logging"] {
        if let Some(offer) = object(declared, name) {
            out.set(name, offer);
        }
    }
    if let Some(apps) = extension(declared, APPS_EXTENSION) {
        out.set("extensions", format!("{{{}:{apps}}}", quoted(APPS_EXTENSION)));
    }
    out
}

fn extension<'a>(declared: &'a str, name: &str) -> Option<&'a str> {
    object(object(declared, "extensions")?, name)
}

fn object<'a>(raw: &'a str, name: &str) -> Option<&'a str> {
    scan::member(raw, name).filter(|raw| scan::kind(raw) == Kind::Object)
}
