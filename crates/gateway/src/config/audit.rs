//! `audit`: what is recorded, how it is kept, and where it goes.

use std::time::Duration;

use portcullis_audit::Keep;

use super::{
    Audit, AuditIndex, ServerAudit,
    read::{Node, Section},
};
use crate::journal::Durability;

/// How much is kept, in the words of the settings.
const KEEP: &[(&str, Keep)] =
    &[("redacted", Keep::Redacted), ("digest", Keep::Digest), ("off", Keep::Off), ("full", Keep::Full)];

/// What is said of one server. What it does not say is as for every server.
pub(super) fn of_server(node: Node<'_>) -> ServerAudit {
    let mut section = node.section();
    let mut keep = |key| {
        let node = section.take(key);
        node.is_given().then(|| node.choice(KEEP))
    };
    let audit = ServerAudit { arguments: keep("arguments"), results: keep("results") };
    section.finish();
    audit
}

pub(super) fn audit(mut section: Section<'_>) -> Audit {
    let audit = Audit {
        durability: section
            .take("durability")
            .choice(&[("process", Durability::Process), ("power", Durability::Power)]),
        arguments: section.take("arguments").choice(KEEP),
        results: section.take("results").choice(KEEP),
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
