//! What an examination finds: of an identity provider, or of a server's sign-in. Pages, answers and the terminal show it.

use serde::Serialize;

/// One request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What is looked for.
    #[serde(rename = "step")]
    pub title: &'static str,
    /// What was asked: method and URL; `None` where nothing needed to be.
    pub request: Option<String>,
    /// What came back, in one line or as a printable document.
    pub answer: Option<String>,
    /// What was found out from it.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    #[serde(rename = "check")]
    pub name: &'static str,
    /// How it is.
    pub state: CheckState,
    /// What was found.
    pub text: String,
    /// What to do.
    pub advice: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// In order.
    Good,
    /// It works, and could be better, or somebody must look.
    Warning,
    /// It does not work.
    Bad,
}

impl Step {
    pub(crate) fn new(title: &'static str, request: impl Into<String>) -> Self {
        Self { title, request: Some(request.into()), answer: None, checks: Vec::new() }
    }

    /// A step for which nobody is asked.
    pub(crate) const fn untold(title: &'static str) -> Self {
        Self { title, request: None, answer: None, checks: Vec::new() }
    }

    pub(crate) fn with(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }
}

impl Check {
    pub(crate) fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, state: CheckState::Good, text: text.into(), advice: None }
    }

    pub(crate) fn warning(name: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: CheckState::Warning, text: text.into(), advice: Some(advice.into()) }
    }

    /// It does not work, and what was found says what to do.
    pub(crate) fn failed(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, state: CheckState::Bad, text: text.into(), advice: None }
    }

    pub(crate) fn bad(name: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: CheckState::Bad, text: text.into(), advice: Some(advice.into()) }
    }
}
