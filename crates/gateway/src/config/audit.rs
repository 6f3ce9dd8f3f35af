//! `audit`: what is recorded, how it is kept, and where it goes.

use std::time::Duration;

use portcullis_audit::Keep;

use super::{Audit, AuditIndex, Sink, issuers::Asked, read::Section, sinks::sinks};
use crate::journal::Durability;

pub(super) fn audit<'a>(mut section: Section<'a>, asked: &mut Asked<'a>) -> (Audit, Vec<Sink>) {
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
    let sinks = sinks(&section.take("sinks"), asked);
    section.finish();
    (audit, sinks)
}

fn index(mut section: Section<'_>) -> AuditIndex {
    const DAY: Duration = Duration::from_hours(24);
    let keep = section.take("keep").duration(DAY..=3660 * DAY, "365d");
    section.finish();
    AuditIndex { keep }
}
