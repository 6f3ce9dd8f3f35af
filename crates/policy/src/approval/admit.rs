//! Whether a call may begin to wait: against floods that wear out whoever has to answer. spec: T-84

use std::{sync::Arc, time::Duration};

use portcullis_base::Timestamp;

use super::{Approval, State};
use crate::ask::Ask;

/// How much may wait, and how fresh words have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many calls of one person through one client may wait at a time.
    pub pending: u32,
    /// How many calls of one person may begin to wait within [`Terms::RECENT`], answered or not.
    pub recent: u32,
    /// For how long a refused call is refused at once when it comes again.
    pub cool_down: Duration,
    /// How long ago whoever approves on a page may have signed in.
    pub sign_in: Duration,
    /// How long a call may wait, and a granted one for its run, whatever rules say.
    pub expires: Duration,
}

impl Terms {
    /// The time in which calls that began to wait are counted.
    pub const RECENT: Duration = Duration::from_hours(1);
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            pending: 5,
            recent: 60,
            cool_down: Duration::from_mins(10),
            sign_in: Duration::from_mins(5),
            expires: Ask::LONGEST,
        }
    }
}

/// What is known when a call is to wait.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The one with the same fold that is not over, if there is one.
    pub same: Option<&'a Approval>,
    /// When the same call was last refused.
    pub refused_at: Option<Timestamp>,
    /// How many calls of this person through this client wait.
    pub pending: u32,
    /// When the first of them ends by itself.
    pub next_end: Option<Timestamp>,
    /// How many calls of this person began to wait since [`Terms::RECENT`] ago.
    pub recent: u32,
    /// When the first of them did.
    pub first_recent: Option<Timestamp>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It is one with a call that waits already, or was granted.
    Folded,
    /// It waits.
    New,
    /// Somebody refused the same a short while ago.
    Refused {
        /// From when it may be asked again.
        again_at: Timestamp,
    },
    /// Too many wait already, or did in the last time: who says no does not have to say it all day.
    TooMany {
        /// When there may be room.
        again_at: Timestamp,
    },
}

/// Whether a call may begin to wait.
pub fn admit(known: &Known<'_>, terms: &Terms, now: Timestamp) -> Admitted {
    let waits = |same: &Approval| matches!(same.state_at(now), State::Pending | State::Granted);
    if known.same.is_some_and(waits) {
        return Admitted::Folded;
    }
    if let Some(again_at) = known.refused_at.map(|at| at.plus(terms.cool_down)).filter(|again_at| *again_at > now) {
        return Admitted::Refused { again_at };
    }
    if known.pending >= terms.pending {
        return Admitted::TooMany { again_at: known.next_end.unwrap_or(now).max(now) };
    }
    if known.recent >= terms.recent {
        return Admitted::TooMany { again_at: known.first_recent.unwrap_or(now).plus(Terms::RECENT).max(now) };
    }
    Admitted::New
}

/// When an approval with these demands ends that is asked for now: with the shortest of them.
///
/// spec: T-81: "expires <= 15 min"
pub fn ends_at(demands: &[Arc<Ask>], terms: &Terms, now: Timestamp) -> Timestamp {
    let shortest = demands.iter().map(|ask| ask.expires).min().unwrap_or(Ask::LONGEST);
    now.plus(shortest.min(terms.expires).min(Ask::LONGEST))
}
