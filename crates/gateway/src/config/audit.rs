//! `audit`: what is recorded, how it is kept, and where it goes.

use std::time::Duration;

use portcullis_audit::Keep;

use super::{
    Audit, AuditIndex, AuditSegment, ReadsWithoutJournal, ServerAudit, Sink, Witness, WitnessKind,
    issuers::{Asked, url},
    notify::{hook_key, hook_url},
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
        witnesses: witnesses(&section.take("witness"), asked),
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

fn witnesses<'a>(node: &Node<'a>, asked: &mut Asked<'a>) -> Vec<Witness> {
    let example = "[{ file: /mnt/elsewhere/heads.jsonl, every: 1m }]";
    node.list("a list of witnesses", example).into_iter().filter_map(|item| witness(&item, asked)).collect()
}

fn witness<'a>(item: &Node<'a>, asked: &mut Asked<'a>) -> Option<Witness> {
    let mut section = item.clone().section();
    let every = given(section.take("every"));
    let every = every.map_or(Duration::from_mins(1), |node| node.duration(Duration::from_secs(1)..=DAY, "1m"));
    let (file, git) = (given(section.take("file")), given(section.take("git")));
    let (webhook, timestamp) = (given(section.take("webhook")), given(section.take("timestamp")));
    let secret = section.take("secret");
    if webhook.is_none() && secret.is_given() {
        secret.problem(
            "is of no use without `webhook`",
            "take it out: what is noted is signed with the key of the journal",
        );
    }
    let kind = match (file, git, webhook, timestamp) {
        (Some(node), None, None, None) => Some(WitnessKind::File(node.file_path("/mnt/elsewhere/heads.jsonl"))),
        (None, Some(node), None, None) => Some(WitnessKind::Git(node.file_path("/srv/heads"))),
        (None, None, Some(node), None) => {
            let text = node.text("a URL", "https://witness.example.com/heads");
            let url = (!text.is_empty()).then(|| hook_url(node, &text, asked)).flatten();
            let key = hook_key(&secret, "env:WITNESS_SECRET");
            url.zip(key).map(|(url, key)| WitnessKind::Webhook { url: url.into(), key })
        }
        (None, None, None, Some(node)) => url(node, "https://freetsa.org/tsr", asked).map(WitnessKind::Timestamp),
        _ => {
            item.problem(
                "must say where heads are noted: in one place",
                "write one of file: PATH, git: FOLDER, webhook: URL with secret:, timestamp: URL",
            );
            None
        }
    };
    section.finish();
    Some(Witness { kind: kind?, every })
}

fn given(node: Node<'_>) -> Option<Node<'_>> {
    Some(node).filter(Node::is_given)
}
