use portcullis_audit::IndexRow;
use portcullis_base::Timestamp;
use portcullis_store::{AuditCursor, AuditEntry, AuditFilter, AuditPage};

use crate::{
    given::{Given, NOW},
    on_both,
};

on_both!(
    entries_come_back_whole_and_newest_first,
    appending_again_changes_nothing,
    every_filter_filters,
    pages_join_without_gap_or_overlap,
    forgotten_journal_is_indexed_anew,
    hits_of_rules_are_counted_among_the_newest_decisions,
);

fn at(seq: i64) -> Timestamp {
    // Three in the same millisecond, as under load.
    Timestamp::from_millis(NOW.as_millis() + seq / 3)
}

fn entry(node: &str, seq: i64) -> AuditEntry {
    entry_with(node, seq, "\"text\":\"Zürich 🙂 $1 'quoted'\"")
}

/// An entry as the journal has it: everything that it is found by stands in its line.
fn entry_with(node: &str, seq: i64, details: &str) -> AuditEntry {
    let (five, four, three, at) = (seq % 5, seq % 4, seq % 3, at(seq));
    let what = if seq % 2 == 0 {
        format!(
            r#""event":"call.decided","call":"call_{seq}","request":"{seq:024x}","trace":"{:032x}","person":"usr_{five}","person_name":"name{five}","client":"client{four}","address":"127.0.0.1","server":"sample","method":"tools/call","name":"tool{three}","effect":"allow","rule":"access""#,
            seq / 4
        )
    } else {
        format!(
            r#""event":"token.issued","person":"usr_{five}","person_name":"name{five}","client":"client{four}","address":"127.0.0.{four}","outcome":"success""#
        )
    };
    parsed(&format!(r#"{{"seq":{seq},"at":"{at}","node":"{node}",{what},"details":{{{details}}}}}"#))
}

fn parsed(line: &str) -> AuditEntry {
    let (_, row) = IndexRow::parse(line.as_bytes()).unwrap();
    AuditEntry { row: row.unwrap(), line: line.into() }
}

fn cursor(node: &str, seq: i64) -> AuditCursor {
    AuditCursor { node: node.into(), seq }
}

const ALL: AuditPage = AuditPage { limit: 10_000, before: None };

/// More rows than a portion, and a remainder of every size.
const MANY: i64 = 64 * 2 + 8 * 3 + 5;

async fn append(given: &Given, entries: &[AuditEntry], to: &AuditCursor) {
    let after = given.audit_cursor(&to.node).await.unwrap().map_or(0, |cursor| cursor.seq);
    assert!(given.append_audit(entries, after, to).await.unwrap());
}

async fn filled(given: &Given) -> Vec<AuditEntry> {
    let mut entries: Vec<_> = (1..=MANY).map(|seq| entry("a", seq)).collect();
    append(given, &entries, &cursor("a", MANY)).await;
    let others: Vec<_> = (1..=20).map(|seq| entry("B", seq)).collect();
    append(given, &others, &cursor("B", 20)).await;
    entries.extend(others);
    entries.sort_by(|a, b| (b.row.at, &b.row.node, b.row.seq).cmp(&(a.row.at, &a.row.node, a.row.seq)));
    entries
}

async fn entries_come_back_whole_and_newest_first(given: &Given) {
    let entries = filled(given).await;
    assert_eq!(given.audit(&AuditFilter::default(), &ALL).await.unwrap(), entries);
    let first = given.audit(&AuditFilter::default(), &AuditPage { limit: 3, before: None }).await.unwrap();
    assert_eq!(first, entries[..3]);
    assert_eq!(given.audit_cursor("a").await.unwrap(), Some(cursor("a", MANY)));
    assert_eq!(given.audit_cursor("none").await.unwrap(), None);
}

async fn appending_again_changes_nothing(given: &Given) {
    let entries = filled(given).await;
    let twisted = entry_with("a", 7, "\"forged\":1");
    append(given, &[twisted, entry("a", MANY + 1)], &cursor("a", MANY + 1)).await;
    let now = given.audit(&AuditFilter::default(), &ALL).await.unwrap();
    assert_eq!(now.len(), entries.len() + 1);
    assert!(now.iter().all(|entry| !entry.line.contains("forged")));
    append(given, &[], &cursor("a", MANY + 9)).await;
    assert_eq!(given.audit_cursor("a").await.unwrap().unwrap().seq, MANY + 9);
}

type Keep = fn(&IndexRow) -> bool;

async fn every_filter_filters(given: &Given) {
    let entries = filled(given).await;
    let text = |text: &str| Some(text.to_owned());
    let none = AuditFilter::default();
    let cases: [(AuditFilter, Keep); 13] = [
        (AuditFilter { person: text("usr_3"), ..none.clone() }, |row| row.person.as_deref() == Some("usr_3")),
        (AuditFilter { person: text("name3"), ..none.clone() }, |row| row.person.as_deref() == Some("usr_3")),
        (AuditFilter { client: text("client1"), ..none.clone() }, |row| row.client.as_deref() == Some("client1")),
        (AuditFilter { server: text("sample"), ..none.clone() }, |row| row.server.is_some()),
        (AuditFilter { kind: text("call."), ..none.clone() }, |row| row.kind == "call.decided"),
        (AuditFilter { kind: text("token.issued"), ..none.clone() }, |row| row.kind == "token.issued"),
        (AuditFilter { outcome: text("success"), ..none.clone() }, |row| row.outcome.is_some()),
        (AuditFilter { method: text("tools/call"), ..none.clone() }, |row| row.method.is_some()),
        (AuditFilter { name: text("tool1"), ..none.clone() }, |row| row.name.as_deref() == Some("tool1")),
        (AuditFilter { call: text("call_8"), ..none.clone() }, |row| row.call.as_deref() == Some("call_8")),
        (AuditFilter { since: Some(at(30)), ..none.clone() }, |row| row.at >= at(30)),
        (AuditFilter { until: Some(at(30)), ..none.clone() }, |row| row.at < at(30)),
        (AuditFilter { person: text("usr_2"), kind: text("call"), since: Some(at(9)), ..none.clone() }, |row| {
            row.person.as_deref() == Some("usr_2") && row.call.is_some() && row.at >= at(9)
        }),
    ];
    for (filter, keep) in cases {
        let expected: Vec<_> = entries.iter().filter(|entry| keep(&entry.row)).cloned().collect();
        assert!(!expected.is_empty() && expected.len() < entries.len());
        assert_eq!(given.audit(&filter, &ALL).await.unwrap(), expected, "{filter:?}");
    }
    for nothing in ["call_", "%", "Call.", "x' or '1'='1"] {
        let filter = AuditFilter { server: text(nothing), ..none.clone() };
        assert!(given.audit(&filter, &ALL).await.unwrap().is_empty());
    }
}

async fn pages_join_without_gap_or_overlap(given: &Given) {
    let entries = filled(given).await;
    let filter = AuditFilter { since: Some(at(0)), ..AuditFilter::default() };
    let (mut joined, mut before) = (Vec::new(), None);
    loop {
        let page = given.audit(&filter, &AuditPage { limit: 7, before }).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some((last.row.at, last.row.node.clone(), last.row.seq));
        joined.extend(page);
    }
    assert_eq!(joined, entries);
}

async fn forgotten_journal_is_indexed_anew(given: &Given) {
    filled(given).await;
    given.forget_audit("a", NOW).await.unwrap();
    assert_eq!(given.audit_cursor("a").await.unwrap(), None);
    assert_eq!(given.audit(&AuditFilter::default(), &ALL).await.unwrap().len(), 20);
    append(given, &[entry("a", 1)], &cursor("a", 1)).await;
    assert_eq!(given.audit(&AuditFilter::default(), &ALL).await.unwrap().len(), 21);
}

async fn hits_of_rules_are_counted_among_the_newest_decisions(given: &Given) {
    let decided = |seq: i64, rule: &str, effect: &str, shadow: &str| {
        let line = entry_with("a", seq * 2, shadow).line;
        let line = line.replace(r#""rule":"access""#, &format!(r#""rule":"{rule}""#));
        parsed(&line.replace(r#""effect":"allow""#, &format!(r#""effect":"{effect}""#)))
    };
    let shadow = "\"shadow\":\"draft: deny\"";
    let entries = [
        decided(1, "access", "allow", ""),
        decided(2, "access", "allow", shadow),
        decided(3, "access", "deny", ""),
        decided(4, "no-deletes", "deny", shadow),
        entry("a", 9),
    ];
    append(given, &entries, &cursor("a", 9)).await;
    let hits = async |since, most| {
        let hits = given.rule_hits(since, most).await.unwrap();
        hits.into_iter().map(|hits| (hits.rule, hits.effect, hits.count, hits.last)).collect::<Vec<_>>()
    };
    let hit =
        |rule: &str, effect: &str, count, last| (rule.to_owned(), effect.to_owned(), count, at(i64::from(last) * 2));
    assert_eq!(
        hits(NOW, 10).await,
        [hit("access", "allow", 2, 2), hit("access", "deny", 1, 3), hit("no-deletes", "deny", 1, 4)]
    );
    assert_eq!(hits(NOW, 2).await, [hit("access", "deny", 1, 3), hit("no-deletes", "deny", 1, 4)], "the newest");
    assert_eq!(hits(at(6), 10).await, [hit("access", "deny", 1, 3), hit("no-deletes", "deny", 1, 4)], "not before");
    assert_eq!(hits(at(9), 10).await, []);
    let shadowed = async |most, take| {
        let found = given.shadowed(NOW, most, take).await.unwrap();
        found.iter().map(|entry| entry.row.seq).collect::<Vec<_>>()
    };
    assert_eq!(shadowed(10, 10).await, [8, 4]);
    assert_eq!(shadowed(10, 1).await, [8]);
    assert_eq!(shadowed(2, 10).await, [8]);
}
