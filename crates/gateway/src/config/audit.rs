//! `audit`: what is recorded, how it is kept, and where it goes.

use std::time::Duration;

use portcullis_audit::Keep;

use super::{
    Audit, AuditIndex, AuditSegment, ReadsWithoutJournal, ServerAudit, Sink,
    issuers::Asked,
    read::{Node, Section},
    sinks::sinks,
};
use crate::journal::{Durability, Retention};

const DAY: Duration = Duration::from_hours(24);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

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

pub(super) fn audit<'a>(mut section: Section<'a>, asked: &mut Asked<'a>) -> (Audit, Vec<Sink>) {
    let audit = Audit {
        durability: section
            .take("durability")
            .choice(&[("process", Durability::Process), ("power", Durability::Power)]),
        arguments: section.take("arguments").choice(KEEP),
        results: section.take("results").choice(KEEP),
        reads_without_journal: section
            .take("reads_without_journal")
            .choice(&[("allow", ReadsWithoutJournal::Allow), ("deny", ReadsWithoutJournal::Deny)]),
        segment: segment(section.take("segment").section()),
        retention: retention(section.take("retention").section()),
        free_space: section.take("free_space").size(0..=1024 * GIB, "512MiB") as u64,
        index: index(section.take("index").section()),
    };
    let sinks = sinks(&section.take("sinks"), asked);
    section.finish();
    (audit, sinks)
}

fn index(mut section: Section<'_>) -> AuditIndex {
    let keep = section.take("keep").duration(DAY..=3660 * DAY, "365d");
    section.finish();
    AuditIndex { keep }
}

fn segment(mut section: Section<'_>) -> AuditSegment {
    let size = section.take("size").size(16 * KIB..=GIB, "64MiB") as u64;
    let age = section.take("age").duration(Duration::from_mins(1)..=366 * DAY, "24h");
    section.finish();
    AuditSegment { size, age }
}

fn retention(mut section: Section<'_>) -> Retention {
    let keep_for = given(section.take("for")).map(|node| node.duration(DAY..=36_600 * DAY, "400d"));
    let size = given(section.take("size")).map(|node| node.size(MIB..=1024 * 1024 * GIB, "50GB") as u64);
    let archive = given(section.take("archive")).map(|node| {
        let mut archive = node.section();
        let folder = archive.take("folder").file_path("/mnt/archive/portcullis");
        archive.finish();
        folder
    });
    section.finish();
    Retention { keep_for, size, archive }
}

fn given(node: Node<'_>) -> Option<Node<'_>> {
    Some(node).filter(Node::is_given)
}
