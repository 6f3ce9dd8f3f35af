//! Older revisions: what is said in one of them, in today's words and the other way round.
//!
//! Inside there is one dialect, that of 2026-07-28. Two places need others:
//!
//! - The door, for a client of an older revision: [`down`] gives it a [`Down`].
//!   [`Down::abilities`] and [`Down::initialize_result`] open the session; [`Down::request_params`] makes its requests
//!   modern ones, [`Down::result`], [`Down::error`] and [`Down::notification`] bring back what is answered;
//!   [`Down::ask`] and [`Down::answer`] carry `inputRequests` to it and `inputResponses` back.
//! - The adapter, for a server of an older revision: [`up`] gives it an [`Up`].
//!   [`Up::initialize_params`] and [`Up::discovery`] open the session; [`Up::request_params`] makes modern requests its
//!   own, [`Up::result`], [`Up::error`] and [`Up::notification`] bring back what is answered; [`Up::asked`] and
//!   [`Up::answer`] carry its requests to the client and their answers back.
//!
//! Beside them: [`Abilities`] (what a client can be asked for, whichever era declared it), [`Level`] (of log messages),
//! [`Task`] and its neighbours (enough to drive a task), [`signed`] and [`without_files`] (what a server asks, and is told,
//! under the gateway's rules).
//!
//! Everything works on checked raw text ([`crate::scan`]) and rewrites only what has to change, so what neither side
//! defines goes through (spec: BR-9), except where it would be read as something else. On other text nothing panics.
//! Headers, ids, progress tokens, cursors and states belong to their hop and are not translated here (spec: BR-2).
//!
//! One file for each older revision holds all that sets it apart; another revision is another file.

mod abilities;
mod content;
mod down;
mod fault;
mod input;
mod level;
mod meta;
mod question;
mod reply;
mod task;
mod up;
mod v2024_11_05;
mod v2025_03_26;
mod v2025_06_18;
mod v2025_11_25;

use std::borrow::Cow;

pub use self::{
    abilities::{Abilities, Sampling},
    down::Down,
    fault::{Failure, RESOURCE_NOT_FOUND},
    input::{Ask, Asked, CANCELLED, Input, Malformed, signed, without_files},
    level::Level,
    meta::Stamp,
    task::{TASKS_EXTENSION, Task, TaskStatus, TaskSupport, as_task, of_task, related_task},
    up::Up,
};
use crate::Version;

/// What sets an older revision apart.
#[derive(Debug)]
struct Revision {
    version: Version,
    /// Kinds of content that results and prompts may have.
    blocks: &'static [&'static str],
    /// Whether results of tools have a structured part.
    structured: bool,
    elicits: Elicits,
    samples: Samples,
}

/// How a server may turn to the person.
#[derive(Clone, Copy, Debug)]
enum Elicits {
    Nothing,
    /// By forms of its own kind, with what makes a field of today one of these; `None` if it has no words for it.
    Forms(fn(&str) -> Option<Cow<'_, str>>),
    FormsAndPages,
}

/// What a message to or from a model may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Samples {
    /// One block, of text or of a medium.
    One,
    /// Blocks of all kinds, tools among them.
    Lists,
}

static OLDER: [&Revision; 4] =
    [&v2025_11_25::REVISION, &v2025_06_18::REVISION, &v2025_03_26::REVISION, &v2024_11_05::REVISION];

/// Translation for a client of `version`; `None` if that is no older revision.
///
/// spec: BR-1
pub fn down(version: Version) -> Option<Down> {
    revision(version).map(Down)
}

/// Translation for a server of `version`; `None` if that is no older revision.
pub fn up(version: Version) -> Option<Up> {
    revision(version).map(Up)
}

fn revision(version: Version) -> Option<&'static Revision> {
    OLDER.into_iter().find(|revision| revision.version == version)
}
