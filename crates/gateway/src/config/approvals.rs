//! `approvals`: how long calls wait for humans, and how many of them may.

use std::time::Duration;

use portcullis_policy::{Ask, approval::Terms};

use super::{Approvals, read::Section};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

pub(super) fn approvals(mut section: Section<'_>) -> Approvals {
    // What is over is not waited for, so this may be longer than `expires`.
    let hold = section.take("hold").duration(Duration::ZERO..=Ask::LONGEST, "5m");
    // spec: T-81: "expires <= 15 min"
    let expires = section.take("expires").duration(Ask::SHORTEST..=Ask::LONGEST, "15m");
    let terms = Terms {
        // spec: T-84: "per-agent pending limit", and no more in an hour than somebody can look at.
        pending: section.take("pending").number(1..=100),
        recent: section.take("hourly").number(1..=1000),
        cool_down: section.take("refused_again").duration(SECOND..=24 * 60 * MINUTE, "10m"),
        // spec: T-82: "approver identity re-authenticated <= 5 min"
        sign_in: section.take("sign_in").duration(30 * SECOND..=5 * MINUTE, "5m"),
        expires,
    };
    section.finish();
    Approvals { hold, terms }
}
