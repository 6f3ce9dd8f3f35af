//! What a modern request wants of a legacy server.

use portcullis_mcp::{
    Method,
    dialect::{Abilities, Level},
    message::Call,
    scan,
};

use super::wire::Repeats;
use crate::config::Allow;

/// What a modern request wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub method: Method,
    pub params: Option<Box<str>>,
    /// What the method names.
    pub target: Option<Box<str>>,
    /// What the client can be asked for, of what the administrator allows.
    pub abilities: Abilities,
    /// From which level on it reads log messages.
    pub level: Option<Level>,
    /// Its raw progress token.
    pub progress: Option<Box<str>>,
    /// Whether it comes back from a page that its person agreed to open.
    pub opened: bool,
}

impl Wanted {
    /// `None` for a method that no revision knows.
    pub(super) fn of(call: &Call<'_>, allow: Allow) -> Option<Self> {
        let mut abilities = call.meta.client_capabilities.map(Abilities::read).unwrap_or_default();
        // spec: BR-76: "Offer roots, sampling and logging only where the administrator enabled them per upstream"
        abilities.sampling = abilities.sampling.filter(|_| allow.sampling);
        abilities.roots &= allow.roots;
        abilities.tasks = false;
        let agreed = |raw: &str| scan::member(raw, "action").and_then(scan::string).as_deref() == Some("accept");
        Some(Self {
            method: call.known?,
            params: call.params.map(Box::from),
            target: call.target.as_deref().map(Box::from),
            abilities,
            level: call.meta.log_level.and_then(Level::of_raw).filter(|_| allow.logging),
            progress: call.meta.progress_token.map(Box::from),
            opened: call.input_responses.is_some_and(|raw| scan::members(raw).any(|(_, answer)| agreed(answer))),
        })
    }

    /// Whether the server may turn to the client for it.
    // spec: BR-44, BR-64
    pub(super) fn is_interactive(&self) -> bool {
        matches!(self.method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead)
    }

    /// Whether its client can be asked for anything.
    pub(super) fn can_be_asked(&self) -> bool {
        let Abilities { forms, pages, roots, sampling, .. } = &self.abilities;
        *forms || *pages || *roots || sampling.is_some()
    }

    pub(super) fn may_repeat(&self) -> Repeats {
        if self.method == Method::ToolsCall { Repeats::Never } else { Repeats::Freely }
    }
}
