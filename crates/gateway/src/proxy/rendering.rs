//! What is changed in the answer of a modern server on its way to the client, besides its id: what it wants to find again
//! is sealed, its tasks get ids of ours, its questions are looked through, and what no revision defines is no answer.

use std::borrow::Cow;

use portcullis_mcp::scan;

use super::{ear::Ear, state::Sealer, tasks::Tasks};
use crate::questions::{Blocked, Questions};

/// Why an answer is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoilt {
    /// It is none.
    Unusable(&'static str),
    /// It asks what its client is not asked.
    Asks(Blocked),
}

impl Spoilt {
    /// Why, in few words.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Unusable(why) | Self::Asks(Blocked { why, .. }) => why,
        }
    }
}

impl From<&'static str> for Spoilt {
    fn from(why: &'static str) -> Self {
        Self::Unusable(why)
    }
}

/// How one answer is changed.
pub(super) struct Rendering {
    /// For a request that may ask for input.
    pub sealer: Option<Sealer>,
    /// For a client that takes tasks.
    pub tasks: Option<Tasks>,
    pub questions: Questions,
    /// For a stream of changes.
    pub ear: Option<Ear>,
}

impl Rendering {
    /// Whether a raw `resultType` is one that this request can have.
    // spec: TR-132: "an unknown value as an invalid response"; BR-64, BR-81
    pub(super) fn kind(&self, raw: &str) -> Result<(), &'static str> {
        match raw {
            r#""complete""# => Ok(()),
            r#""input_required""# if self.sealer.is_some() => Ok(()),
            r#""input_required""# => Err("it asks for input where none can be asked for"),
            r#""task""# if self.tasks.is_some() => Ok(()),
            r#""task""# => Err("it answers with a task that its client does not take"),
            _ => Err("a kind of result that no revision defines"),
        }
    }

    /// The client's `requestState` for a raw one of the server's.
    pub(super) fn state(&self, raw: &str) -> Result<String, &'static str> {
        self.sealer.as_ref().map(|sealer| sealer.seal(raw.as_bytes())).ok_or("a state that nothing can come back with")
    }

    /// The client's `inputRequests`.
    pub(super) fn questions<'a>(&self, raw: &'a str) -> Result<Cow<'a, str>, Spoilt> {
        self.questions.asked(raw).map_err(Spoilt::Asks)
    }

    /// The client's id of a task that it listens for.
    pub(super) fn listened(&self, raw: &str) -> Option<String> {
        self.tasks.as_ref().and_then(|tasks| tasks.named(raw))
    }

    /// Whether the client may hear that the resource of a raw URI has changed.
    // spec: T-108
    pub(super) fn may_hear(&self, raw: &str) -> bool {
        let Some(ear) = &self.ear else { return true };
        scan::string(raw).is_some_and(|uri| ear.may_hear(&uri))
    }

    /// The client's `taskId`.
    pub(super) fn task(&self, raw: &str) -> Result<String, &'static str> {
        self.tasks.as_ref().and_then(|tasks| tasks.told(raw)).ok_or("a task that cannot be carried")
    }
}
