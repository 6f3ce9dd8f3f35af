//! What could not be carried between the eras, counted for administrators (BR-119).

use std::sync::atomic::{AtomicU64, Ordering};

/// Why something was refused or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A request of the server that belongs to no call.
    Unsolicited,
    /// The client did not declare what the server asked it for, or the administrator does not allow it.
    Undeclared,
    /// The server asked in a way that no client is asked.
    Blocked,
    /// A log message that could be anybody's.
    UnattributedLog,
    /// A call waited for its person for too long.
    Expired,
    /// A call came back for something that is not, or no longer, waited for.
    Unknown,
    /// As many calls as may wait for their people did so already.
    TooManyParked,
    /// Somebody listened and did not read.
    SlowListener,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unsolicited,
        Self::Undeclared,
        Self::Blocked,
        Self::UnattributedLog,
        Self::Expired,
        Self::Unknown,
        Self::TooManyParked,
        Self::SlowListener,
    ];

    /// Its name among the numbers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsolicited => "unsolicited_request",
            Self::Undeclared => "undeclared_capability",
            Self::Blocked => "blocked_question",
            Self::UnattributedLog => "unattributed_log",
            Self::Expired => "interaction_expired",
            Self::Unknown => "interaction_unknown",
            Self::TooManyParked => "too_many_interactions",
            Self::SlowListener => "slow_listener",
        }
    }
}

/// The counts of one server.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Reason::ALL.len()]);

impl Counts {
    pub(super) fn add(&self, reason: Reason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it happened.
    // spec: BR-119: "counted and visible to administrators per upstream"
    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}
