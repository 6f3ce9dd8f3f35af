//! Tasks, as far as driving one takes: that an answer is a task, how it stands, when to ask again.
//!
//! The tasks of 2025-11-25 and those of today's extension are different protocols of like words (spec: BR-80); nothing
//! here turns the one into the other. Whoever drives a task hands its result on, never its shape.

use std::{borrow::Cow, time::Duration};

use crate::{
    dialect::meta::RELATED_TASK,
    object::{Object, quoted},
    scan::{self, Kind},
};

/// The extension of 2026-07-28, as it is declared.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The wait between two questions if the server names none, and the bounds of what it may name.
const POLL: Duration = Duration::from_secs(1);
const POLL_LEAST: Duration = Duration::from_millis(100);
const POLL_MOST: Duration = Duration::from_secs(60);

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    /// It runs.
    Working,
    /// It waits for answers: of 2025-11-25 as requests of its server, in the extension as `inputRequests`.
    InputRequired,
    /// It has a result.
    Completed,
    /// It has an error. In 2025-11-25 also: a result that says of itself that the tool failed (BR-89).
    Failed,
    /// It was ended.
    Cancelled,
}

impl TaskStatus {
    /// The status called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "working" => Some(Self::Working),
            "input_required" => Some(Self::InputRequired),
            "completed" => Some(Self::Completed),
            "failed" => Some(Self::Failed),
            "cancelled" => Some(Self::Cancelled),
            _ => None,
        }
    }

    /// Whether nothing more happens to the task.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// The state of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task<'a> {
    /// What its server calls it.
    pub id: Cow<'a, str>,
    /// How it stands.
    pub status: TaskStatus,
    /// What its server says of that.
    pub message: Option<Cow<'a, str>>,
    /// How long to wait before asking again, within bounds.
    ///
    /// spec: BR-89: `pollInterval` there, `pollIntervalMs` here
    pub poll: Duration,
    /// The whole object, for `result`, `error` and `inputRequests` of the extension.
    pub raw: &'a str,
}

impl<'a> Task<'a> {
    /// Reads a task: the result of `tasks/get`, or the parameters of a notification of its state, of either protocol.
    pub fn read(raw: &'a str) -> Option<Self> {
        let text = |name| scan::member(raw, name).and_then(scan::string);
        let id = text("taskId").filter(|id| !id.is_empty())?;
        let status = TaskStatus::parse(&text("status")?)?;
        let poll = scan::member(raw, "pollIntervalMs").or_else(|| scan::member(raw, "pollInterval"));
        let poll = poll.and_then(|raw| raw.parse().ok()).map_or(POLL, Duration::from_millis);
        Some(Self { id, status, message: text("statusMessage"), poll: poll.clamp(POLL_LEAST, POLL_MOST), raw })
    }

    /// The task that a result of 2025-11-25 is instead of what was asked for.
    ///
    /// spec: BR-98
    pub fn created_in_2025(result: &'a str) -> Option<Self> {
        Self::read(scan::member(result, "task")?)
    }

    /// The task that a result of 2026-07-28 is instead of what was asked for.
    ///
    /// spec: BR-87
    pub fn created(result: &'a str) -> Option<Self> {
        let kind = scan::member(result, "resultType").and_then(scan::string);
        if kind.as_deref() == Some("task") { Self::read(result) } else { None }
    }
}

/// Whether a tool of 2025-11-25 runs as a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskSupport {
    /// Never.
    Forbidden,
    /// If it is asked to.
    Optional,
    /// Not otherwise.
    Required,
}

impl TaskSupport {
    /// Reads the definition of a tool.
    ///
    /// spec: BR-98
    pub fn of_tool(tool: &str) -> Self {
        let support = scan::member(tool, "execution").and_then(|raw| scan::member(raw, "taskSupport"));
        match support.and_then(scan::string).as_deref() {
            Some("required") => Self::Required,
            Some("optional") => Self::Optional,
            _ => Self::Forbidden,
        }
    }
}

/// The parameters of a call as one that is to run as a task of 2025-11-25, kept for `ttl` after its creation.
pub fn as_task(params: &str, ttl: Duration) -> String {
    let mut params = Object::read(params).unwrap_or_default();
    let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    params.set("task", format!(r#"{{"ttl":{ttl}}}"#));
    params.finish().into_owned()
}

/// The parameters of `tasks/get`, `tasks/result` and `tasks/cancel`.
pub fn of_task(id: &str) -> String {
    format!(r#"{{"taskId":{}}}"#, quoted(id))
}

/// The task that a request or notification of a server of 2025-11-25 says it belongs to.
///
/// spec: BR-45: "or `related-task`"
pub fn related_task(params: &str) -> Option<Cow<'_, str>> {
    let related = scan::member(scan::member(params, "_meta")?, RELATED_TASK)?;
    (scan::kind(related) == Kind::Object).then(|| scan::member(related, "taskId").and_then(scan::string))?
}
