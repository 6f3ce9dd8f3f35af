//! How grave a log message is, and who wants to read it (RFC 5424 §6.2.1).

use crate::scan;

/// The gravity of a log message. Graver ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// What goes on.
    Info,
    /// What goes on and is worth knowing.
    Notice,
    /// Something may go wrong.
    Warning,
    /// Something went wrong.
    Error,
    /// A part does not work.
    Critical,
    /// Somebody has to do something.
    Alert,
    /// Nothing works.
    Emergency,
}

impl Level {
    /// All levels, the lightest first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// The level called `name`; names are case-sensitive.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }

    /// The level that the raw parameters of `notifications/message` or `logging/setLevel` name.
    pub fn of_params(params: &str) -> Option<Self> {
        scan::member(params, "level").and_then(scan::string).and_then(|name| Self::parse(&name))
    }

    /// The level of a raw string, as `_meta` has it.
    pub fn of_raw(raw: &str) -> Option<Self> {
        scan::string(raw).and_then(|name| Self::parse(&name))
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }

    /// Whether somebody who asked for messages from `floor` on gets this one; who asked for none gets none.
    ///
    /// spec: BR-73, BR-74: a server has one level for all, so what each of them asked for is sifted here
    pub fn passes(self, floor: Option<Self>) -> bool {
        floor.is_some_and(|floor| self >= floor)
    }
}
