use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use portcullis_audit::IndexRow;
use portcullis_base::{AccessGrantId, Class, Classes, Holder, PersonId, Timestamp};
use portcullis_store::{
    AccessGrant, AccessGrantKind, AuditCursor, AuditEntry, Counts, First, OTHERS, Thing, TopBy, UnusedKind,
};

use crate::{
    connections::{held_by, server},
    given::{DAY, Given, HOUR, MINUTE, NOW, after},
    on_both,
};

on_both!(
    numbers_are_those_of_a_recount,
    lines_read_again_count_once_and_a_journal_fed_again_as_often_as_before,
    hours_that_are_long_over_become_days_and_days_end,
    names_that_somebody_makes_up_find_no_end_of_room,
    first_uses_are_told_once_on_whichever_node,
    rights_that_nobody_uses_are_found,
);

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A few whole days, beginning on one.
fn monday() -> Timestamp {
    Timestamp::from_millis(NOW.as_millis().div_euclid(DAY_MS) * DAY_MS)
}

fn line(node: &str, seq: i64, at: Timestamp) -> AuditEntry {
    let row = IndexRow {
        node: node.into(),
        seq,
        at,
        kind: "call.decided".into(),
        call: None,
        request: None,
        trace: None,
        person: Some("usr_ada".into()),
        person_name: None,
        client: Some("cursor".into()),
        address: None,
        server: Some("shop".into()),
        method: Some("tools/call".into()),
        name: Some("refund".into()),
        outcome: None,
        effect: Some("allow".into()),
        rule: None,
        revision: None,
        approval: None,
        grant: None,
        token: None,
    };
    AuditEntry { row, line: String::new() }
}

fn ended(node: &str, seq: i64, at: Timestamp, outcome: &str, micros: i64) -> AuditEntry {
    let mut entry = line(node, seq, at);
    (entry.row.kind, entry.row.effect, entry.row.outcome) = ("call.ended".into(), None, Some(outcome.into()));
    entry.line = format!("{{\"details\":{{\"duration_us\":{micros},\"request_bytes\":3}}}}");
    entry
}

async fn feed(given: &Given, node: &str, entries: &[AuditEntry]) {
    let seq = entries.last().map_or(0, |entry| entry.row.seq);
    let before = given.audit_cursor(node).await.unwrap().map_or(0, |cursor| cursor.seq);
    let cursor = AuditCursor { node: node.into(), seq };
    assert!(given.append_audit(entries, before, &cursor).await.unwrap());
}

async fn total(given: &Given) -> Counts {
    let found = given.insight_over_time(Timestamp::from_millis(0), after(9 * DAY), i64::MAX).await.unwrap();
    found.first().map(|(_, counts)| *counts).unwrap_or_default()
}

/// Numbers that look like chance and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len() as u64) as usize]
    }
}

/// A busy week of two nodes; lines of every kind, also of such that nobody counts, and some that lack what others have.
fn week() -> Vec<AuditEntry> {
    let mut chance = Chance(11);
    let mut at = monday();
    let mut entries = Vec::new();
    for seq in 1..=3_000 {
        at = at.plus(Duration::from_millis(chance.below(400_000)));
        let node = chance.one_of(&["a", "b"]);
        let mut entry = match chance.below(10) {
            0..5 => line(node, seq, at),
            5..9 => {
                let outcome = chance.one_of(&["success", "success", "failure", "timeout", "unknown", "denied"]);
                ended(node, seq, at, outcome, chance.below(3_000_000) as i64)
            }
            _ => {
                let mut entry = line(node, seq, at);
                entry.row.kind = chance
                    .one_of(&[
                        "approval.asked",
                        "approval.granted",
                        "approval.refused",
                        "approval.expired",
                        "token.issued",
                    ])
                    .into();
                entry.row.effect = None;
                entry
            }
        };
        if entry.row.kind == "call.decided" {
            entry.row.effect = Some(chance.one_of(&["allow", "ask", "deny", "step_up"]).into());
        }
        let mut maybe = |texts: &[&str]| Some(chance.one_of(texts).to_owned()).filter(|text| !text.is_empty());
        entry.row.person = maybe(&["usr_ada", "usr_bob", "usr_eve", ""]);
        entry.row.server = maybe(&["shop", "mail", ""]);
        entry.row.name = maybe(&["refund", "send 🙂", "<b>'--", ""]);
        entry.row.client = maybe(&["cursor", "claude", ""]);
        entries.push(entry);
    }
    // What cannot be read is no reason to stop.
    entries[7].line = "{\"details\":{\"duration_us\":\"long\"}}".into();
    entries
}

/// The same from the lines themselves.
fn recount<'a>(entries: impl Iterator<Item = &'a AuditEntry>) -> Counts {
    let mut counts = Counts::default();
    for AuditEntry { row, line } in entries {
        let effect = row.effect.as_deref().unwrap_or_default();
        let one = |is: bool| i64::from(is);
        let (decided, ended) = (row.kind == "call.decided", row.kind == "call.ended");
        let outcome = row.outcome.as_deref().unwrap_or_default();
        counts.allowed += one(decided && effect == "allow");
        counts.asked += one(decided && effect == "ask");
        counts.denied += one(decided && effect == "deny");
        counts.stepped_up += one(decided && effect == "step_up");
        counts.succeeded += one(ended && outcome == "success");
        counts.failed += one(ended && (outcome == "failure" || outcome == "denied"));
        counts.timed_out += one(ended && outcome == "timeout");
        counts.unknown += one(ended && outcome == "unknown");
        let micros = line.split("\"duration_us\":").nth(1).and_then(|rest| rest.split(',').next()?.parse::<i64>().ok());
        counts.micros += micros.filter(|_| ended).unwrap_or(0);
        counts.approvals_asked += one(row.kind == "approval.asked");
        counts.approvals_granted += one(row.kind == "approval.granted");
        counts.approvals_refused += one(row.kind == "approval.refused");
        counts.approvals_expired += one(row.kind == "approval.expired");
    }
    counts
}

async fn feed_in_batches(given: &Given, entries: &[AuditEntry]) {
    for node in ["a", "b"] {
        let own: Vec<_> = entries.iter().filter(|entry| entry.row.node == node).cloned().collect();
        for batch in own.chunks(170) {
            feed(given, node, batch).await;
        }
    }
}

async fn numbers_are_those_of_a_recount(given: &Given) {
    let entries = week();
    feed_in_batches(given, &entries).await;
    assert_eq!(total(given).await, recount(entries.iter()));

    // A part of the time, in slots of six hours.
    let (since, until, slot) = (monday().plus(DAY), monday().plus(5 * DAY), 6 * HOUR_MS);
    let within = |entry: &&AuditEntry| (since..until).contains(&entry.row.at);
    let mut slots: BTreeMap<i64, Vec<&AuditEntry>> = BTreeMap::new();
    for entry in entries.iter().filter(within) {
        slots.entry((entry.row.at.as_millis() - since.as_millis()) / slot).or_default().push(entry);
    }
    let found = given.insight_over_time(since, until, slot).await.unwrap();
    assert!(found.len() == 16 && slots.len() == 16);
    for ((at, counts), (number, entries)) in found.iter().zip(&slots) {
        assert_eq!(at.as_millis(), since.as_millis() + number * slot);
        assert_eq!(*counts, recount(entries.iter().copied()), "slot {number}");
    }

    for by in [TopBy::Tool, TopBy::Person, TopBy::Client, TopBy::Server] {
        let top = given.insight_top(by, since, until, 100).await.unwrap();
        assert!(top.windows(2).all(|two| two[0].counts.calls() >= two[1].counts.calls()), "{by:?}");
        let seen: BTreeSet<_> = top.iter().map(|top| (&top.server, &top.name)).collect();
        let some = |text: &Option<String>| text.clone().unwrap_or_default();
        for top in &top {
            let own = entries.iter().filter(within).filter(|entry| match by {
                TopBy::Tool => {
                    (some(&entry.row.server), some(&entry.row.name)) == (top.server.clone(), top.name.clone())
                }
                TopBy::Person => some(&entry.row.person) == top.name,
                TopBy::Client => some(&entry.row.client) == top.name,
                TopBy::Server => some(&entry.row.server) == top.server,
            });
            assert_eq!(top.counts, recount(own), "{by:?} {top:?}");
        }
        assert_eq!(
            seen.len(),
            match by {
                TopBy::Tool => 9,
                TopBy::Person => 3,
                _ => 2,
            },
            "{by:?}"
        );
        assert_eq!(given.insight_top(by, since, until, 1).await.unwrap(), top[..1], "{by:?}");
    }

    let timed = |entry: &&AuditEntry| entry.row.kind == "call.ended" && !entry.line.contains("long");
    let latency = given.insight_latency(since, until, slot).await.unwrap();
    assert_eq!(
        latency.values().map(portcullis_store::Histogram::calls).sum::<i64>(),
        entries.iter().filter(within).filter(timed).count() as i64
    );
    for (name, histogram) in given.insight_latency_of_servers(since, until).await.unwrap() {
        let own = |entry: &&AuditEntry| entry.row.server.clone().unwrap_or_default() == name;
        assert_eq!(histogram.calls(), entries.iter().filter(within).filter(timed).filter(own).count() as i64, "{name}");
    }

    let days = given.insight_days(since, until).await.unwrap();
    assert_eq!(days.len(), 3 * 4);
    for (person, day, calls) in days {
        let own = entries
            .iter()
            .filter(|entry| entry.row.person.as_ref() == Some(&person) && (day..day.plus(DAY)).contains(&entry.row.at));
        assert_eq!(calls, recount(own).calls(), "{person} {day}");
    }
}

async fn lines_read_again_count_once_and_a_journal_fed_again_as_often_as_before(given: &Given) {
    let entries: Vec<_> = (1..=40).map(|seq| line("a", seq, after(Duration::from_secs(seq as u64)))).collect();
    feed(given, "a", &entries[..30]).await;
    feed(given, "a", &entries[..30]).await;
    // As after a crash: a batch that begins with what is known.
    feed(given, "a", &entries[20..]).await;
    assert_eq!(total(given).await.allowed, 40);
    feed(given, "b", &[line("b", 1, NOW)]).await;
    given.forget_audit("a", NOW).await.unwrap();
    assert_eq!(total(given).await.allowed, 1, "the other journal's");
    feed(given, "a", &entries).await;
    assert_eq!(total(given).await.allowed, 41);
}

async fn hours_that_are_long_over_become_days_and_days_end(given: &Given) {
    let entries = week();
    feed_in_batches(given, &entries).await;
    let (since, until) = (monday(), monday().plus(14 * DAY));
    let by_day = given.insight_over_time(since, until, DAY_MS).await.unwrap();
    let latency = given.insight_latency(since, until, DAY_MS).await.unwrap();
    let top = given.insight_top(TopBy::Tool, since, until, 100).await.unwrap();
    assert_eq!(given.fold_insight(monday().plus(90 * DAY)).await.unwrap(), 0, "not yet");
    assert_eq!(given.fold_insight(monday().plus(92 * DAY)).await.unwrap(), 2);
    assert_eq!(given.fold_insight(monday().plus(120 * DAY)).await.unwrap(), by_day.len() as u64 - 2);
    assert_eq!(given.insight_over_time(since, until, DAY_MS).await.unwrap(), by_day);
    assert_eq!(given.insight_latency(since, until, DAY_MS).await.unwrap(), latency);
    assert_eq!(given.insight_top(TopBy::Tool, since, until, 100).await.unwrap(), top);
    assert_eq!(given.insight_over_time(since, until, HOUR_MS).await.unwrap().len(), by_day.len(), "hours are days now");
    // What comes late is added to its day.
    feed(given, "a", &[line("a", 4_000, monday().plus(HOUR)), line("a", 4_001, monday().plus(HOUR))]).await;
    assert_eq!(given.fold_insight(monday().plus(120 * DAY)).await.unwrap(), 1);
    let late = given.insight_over_time(since, until, DAY_MS).await.unwrap();
    assert_eq!(late[0].1.allowed, by_day[0].1.allowed + 2);
    given.fold_insight(monday().plus(800 * DAY)).await.unwrap();
    assert_eq!(total(given).await, Counts::default());
}

async fn names_that_somebody_makes_up_find_no_end_of_room(given: &Given) {
    let made_up = |seq: i64| {
        let mut entry = line("a", seq, NOW);
        entry.row.name = Some(format!("tool {seq} {}", "🙂".repeat(3_000)));
        entry.row.client = Some("x".repeat(5_000));
        entry
    };
    let entries: Vec<_> = (1..=2_500).map(made_up).collect();
    for batch in entries.chunks(400) {
        feed(given, "a", batch).await;
    }
    let mut other = line("a", 3_000, NOW);
    other.row.person = Some("usr_bob".into());
    feed(given, "a", &[other, made_up(3)]).await;
    let top = given.insight_top(TopBy::Tool, NOW.minus(HOUR), after(HOUR), 10_000).await.unwrap();
    assert!(top.len() < 600, "{}", top.len());
    assert_eq!(top[0].name, OTHERS);
    assert_eq!(top.iter().map(|top| top.counts.allowed).sum::<i64>(), 2_501, "none is lost");
    assert!(top.iter().any(|top| top.name == "refund"), "others have their room");
    let firsts = given.insight_firsts(NOW.minus(HOUR), after(HOUR), 10_000).await.unwrap();
    assert!((1_000..2_100).contains(&firsts.len()), "{}", firsts.len());
}

async fn first_uses_are_told_once_on_whichever_node(given: &Given) {
    let with = |node: &str, seq: i64, days: u32, name: &str, client: &str| {
        let mut entry = line(node, seq, monday().plus(days * DAY));
        (entry.row.name, entry.row.client) = (Some(name.into()), Some(client.into()));
        entry
    };
    feed(
        given,
        "a",
        &[
            with("a", 1, 0, "refund", "cursor"),
            with("a", 2, 9, "refund", "claude"),
            with("a", 3, 10, "refund", "claude"),
        ],
    )
    .await;
    // Documents are not told: somebody reads each of them for the first time.
    let mut read = with("b", 3, 12, "file:///minutes", "cursor");
    read.row.method = Some("resources/read".into());
    feed(given, "b", &[with("b", 1, 10, "refund", "claude"), with("b", 2, 11, "delete", "cursor"), read]).await;
    let first = |thing, server: &str, name: &str, days: u32| First {
        person: "usr_ada".into(),
        thing,
        server: server.into(),
        name: name.into(),
        at: monday().plus(days * DAY),
        known_since: monday(),
    };
    let found = async |since: u32, until: u32| {
        given.insight_firsts(monday().plus(since * DAY), monday().plus(until * DAY), 50).await.unwrap()
    };
    assert_eq!(found(8, 20).await, [first(Thing::Tool, "shop", "delete", 11), first(Thing::Client, "", "claude", 9)]);
    assert_eq!(found(10, 11).await, [], "on the second node it is nothing new");
    assert_eq!(
        found(0, 1).await,
        [
            first(Thing::Client, "", "cursor", 0),
            first(Thing::Server, "", "shop", 0),
            first(Thing::Tool, "shop", "refund", 0)
        ]
    );
}

fn right(id: &str, person: &PersonId, at: &str, tool: Option<&str>) -> AccessGrant {
    AccessGrant {
        id: AccessGrantId::new(id),
        person: person.clone(),
        server: server(at),
        kind: AccessGrantKind::Request,
        classes: Classes::from(Class::Read),
        tool: tool.map(str::to_owned),
        request: None,
        given_by: person.clone(),
        why: "work".into(),
        made_at: NOW,
        ends_at: after(90 * DAY),
        revoked_at: None,
        revoked_by: None,
    }
}

async fn rights_that_nobody_uses_are_found(given: &Given) {
    let ada = given.person("ada").await;
    let idle = given.granted("grt_idle", &ada.id, "cursor").await;
    let busy = given.granted("grt_busy", &ada.id, "claude").await;
    given.touch_grants(&[(busy.id.clone(), after(9 * DAY))]).await.unwrap();
    let kept = given.connected(&held_by(&ada.id), "mail", "kept").await;
    let idle_connection = given.connected(&Holder::Shared, "shop", "idle").await;
    given.connection_used(&[kept.id], after(9 * DAY)).await.unwrap();
    for right in [
        right("acg_used", &ada.id, "shop", None),
        right("acg_tool", &ada.id, "shop", Some("delete")),
        right("acg_idle", &ada.id, "mail", None),
    ] {
        given.give_access(&right).await.unwrap();
    }
    let mut call = line("a", 1, after(9 * DAY));
    call.row.person = Some(ada.id.as_str().into());
    feed(given, "a", &[call]).await;

    let found = async |before, now| {
        let found = given.unused(before, now, 10).await.unwrap();
        found.into_iter().map(|unused| (unused.kind, unused.id)).collect::<Vec<_>>()
    };
    let expected = [
        (UnusedKind::Client, idle.id.as_str().to_owned()),
        (UnusedKind::Access, "acg_idle".to_owned()),
        (UnusedKind::Access, "acg_tool".to_owned()),
        (UnusedKind::Connection, idle_connection.id.as_str().to_owned()),
    ];
    let soon = after(10 * DAY);
    let mut now = found(after(8 * DAY), soon).await;
    // The grants of the stories live for hours only.
    let grants_live = idle.expires_at > soon;
    now.retain(|(kind, _)| grants_live || *kind != UnusedKind::Client);
    assert_eq!(
        now,
        expected.iter().filter(|(kind, _)| grants_live || *kind != UnusedKind::Client).cloned().collect::<Vec<_>>()
    );
    assert_eq!(found(NOW, soon).await, [], "made after that");
    let soon = after(MINUTE);
    let clients: Vec<_> =
        found(after(MINUTE / 2), soon).await.into_iter().filter(|(kind, _)| *kind == UnusedKind::Client).collect();
    assert_eq!(clients, expected[..1], "the one that was used in the meantime is not among them");
    assert!(found(after(100 * DAY), after(100 * DAY)).await.iter().all(|(kind, _)| *kind == UnusedKind::Connection));
}
