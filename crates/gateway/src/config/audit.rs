//! `audit`: what is recorded, how it is kept, and where it goes.

use std::time::Duration;

use portcullis_audit::Keep;

use super::{Audit, AuditIndex, read::Section};
use crate::journal::Durability;

pub(super) fn audit(mut section: Section<'_>) -> Audit {
    let audit = Audit {
        durability: section
            .take("durability")
            .choice(&[("process", Durability::Process), ("power", Durability::Power)]),
        arguments: section.take("arguments").choice(&[
            ("redacted", Keep::Redacted),
            ("digest", Keep::Digest),
            ("off", Keep::Off),
        ]),
        index: index(section.take("index").section()),
    };
    section.finish();
    audit
}

fn index(mut section: Section<'_>) -> AuditIndex {
    const DAY: Duration = Duration::from_hours(24);
    let keep = section.take("keep").duration(DAY..=3660 * DAY, "365d");
    section.finish();
    AuditIndex { keep }
}
