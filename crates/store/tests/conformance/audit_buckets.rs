//! The index with more lines than a bucket has, held against a filter that reads every line.

use std::fmt::Write as _;

use portcullis_audit::IndexRow;
use portcullis_base::Timestamp;
use portcullis_store::{AuditCursor, AuditEntry, AuditFilter, AuditPage};
use serde_json::Value;

use crate::{
    given::{Given, NOW},
    on_both,
};

on_both!(
    any_filter_finds_in_buckets_what_reading_every_line_finds,
    nothing_is_added_where_the_cursor_is_not,
    old_buckets_go_and_the_others_stay,
);

/// The same numbers each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

const KINDS: [&str; 5] = ["call.decided", "call.ended", "token.issued", "token.refused", "signin.failed"];
const PEOPLE: [&str; 5] = ["ana", "Bob_b", "100%", "Ägidius", "!x"];
const TOOLS: [&str; 4] = ["list_notes", "add_NOTE", "delete\\\"it", "sag_ja"];
const OUTCOMES: [&str; 3] = ["success", "failure", "denied"];
const EFFECTS: [&str; 2] = ["allow", "deny"];

fn entry(dice: &mut Dice, node: &str, seq: i64) -> AuditEntry {
    // Not quite in order, many in the same millisecond, and both journals at the same time.
    let at = Timestamp::from_millis(NOW.as_millis() + seq / 3 + dice.below(40) as i64);
    let mut line = format!(r#"{{"seq":{seq},"at":"{at}","node":"{node}","event":"{}""#, dice.one(&KINDS));
    let call = dice.below(6000);
    let mut member = |name: &str, value: String| write!(line, r#","{name}":"{value}""#).unwrap();
    if dice.below(4) > 0 {
        member("call", format!("call_{call}"));
        member("request", format!("{:024x}", call / 2));
        member("trace", format!("{:032x}", call / 5));
    }
    if dice.below(5) > 0 {
        let person = dice.one(&PEOPLE);
        member("person", format!("usr_{}", person.len()));
        member("person_name", person.into());
    }
    member("client", format!("client{}", dice.below(3)));
    member("address", format!("10.0.0.{}", dice.below(4)));
    if dice.below(3) > 0 {
        member("server", format!("server{}", dice.below(3)));
        member("method", "tools/call".into());
        member("name", dice.one(&TOOLS).into());
    }
    if dice.below(2) > 0 {
        member("outcome", dice.one(&OUTCOMES).into());
    }
    if dice.below(2) > 0 {
        member("effect", dice.one(&EFFECTS).into());
        member("rule", format!("rule{}", dice.below(4)));
        member("revision", "r1".into());
    }
    match dice.below(20) {
        0 => write!(line, r#","details":{{"approval":"apr_{}"}}"#, dice.below(9)).unwrap(),
        1 => write!(line, r#","details":{{"grant":"grt_{}"}}"#, dice.below(9)).unwrap(),
        2 => write!(line, r#","details":{{"n":1,"token":"grt_{}","arguments":{{"a":[1]}}}}"#, dice.below(9)).unwrap(),
        3 => line.push_str(r#","details":{"grant":7}"#),
        _ => {}
    }
    line.push('}');
    let row = IndexRow::parse(line.as_bytes()).unwrap().1.unwrap();
    AuditEntry { row, line }
}

async fn fill(given: &Given, dice: &mut Dice, node: &str, count: i64) -> Vec<AuditEntry> {
    let mut all = Vec::new();
    let mut after = 0;
    while after < count {
        let to = count.min(after + 1 + dice.below(6000) as i64);
        // Now and then a number belongs to a checkpoint, which has no row.
        let entries: Vec<_> =
            (after + 1..=to).filter(|seq| seq % 1000 != 0).map(|seq| entry(dice, node, seq)).collect();
        assert!(given.append_audit(&entries, after, &AuditCursor { node: node.into(), seq: to }).await.unwrap());
        all.extend(entries);
        after = to;
    }
    all
}

fn filter(dice: &mut Dice) -> AuditFilter {
    let mut filter = AuditFilter::default();
    let some = |text: &str| Some(text.to_owned());
    for _ in 0..=dice.below(3) {
        match dice.below(18) {
            0 => filter.person = some(dice.one(&PEOPLE)),
            1 => filter.person = Some(format!("usr_{}", dice.below(9))),
            2 => filter.client = Some(format!("client{}", dice.below(4))),
            3 => filter.address = Some(format!("10.0.0.{}", dice.below(5))),
            4 => filter.server = Some(format!("server{}", dice.below(4))),
            5 => filter.kind = some(dice.one(&["call.", "token.", "t", "call.decided", "", "never."])),
            6 => filter.outcome = some(dice.one(&OUTCOMES)),
            7 => filter.effect = some(dice.one(&EFFECTS)),
            8 => filter.rule = Some(format!("rule{}", dice.below(5))),
            9 => filter.method = some("tools/call"),
            10 => filter.name = some(dice.one(&["list_notes", "add_NOTE", "delete\"it", "LIST_NOTES"])),
            11 => filter.call = Some(format!("call_{}", dice.below(6000))),
            12 => filter.request = Some(format!("{:024x}", dice.below(3000))),
            13 => filter.trace = Some(format!("{:032x}", dice.below(1200))),
            14 => filter.approval = Some(format!("apr_{}", dice.below(10))),
            15 => filter.grant = Some(format!("grt_{}", dice.below(10))),
            16 => {
                filter.text =
                    some(dice.one(&["note", "NOTE", "0%", "_", "%", "ÄGI", "rule1", "!", "none", "client2", ""]));
            }
            _ => {
                filter.since = Some(Timestamp::from_millis(NOW.as_millis() + dice.below(7000) as i64));
                filter.until = Some(Timestamp::from_millis(NOW.as_millis() + dice.below(9000) as i64));
            }
        }
    }
    filter
}

/// What the line itself says, read without anything of the index.
fn naive(filter: &AuditFilter, line: &Value) -> bool {
    let at = Timestamp::parse(line["at"].as_str().unwrap()).unwrap();
    let is = |wanted: &Option<String>, places: &[&str]| {
        wanted
            .as_ref()
            .is_none_or(|wanted| places.iter().any(|place| line.pointer(place).and_then(Value::as_str) == Some(wanted)))
    };
    let within = |text: &String| {
        let names = ["person_name", "client", "server", "name", "rule"];
        text.is_empty() && names.iter().any(|name| line[name].is_string())
            || names
                .iter()
                .filter_map(|name| line[name].as_str())
                .any(|name| name.to_lowercase().contains(&text.to_lowercase()))
    };
    is(&filter.person, &["/person", "/person_name"])
        && is(&filter.client, &["/client"])
        && is(&filter.address, &["/address"])
        && is(&filter.server, &["/server"])
        && is(&filter.outcome, &["/outcome"])
        && is(&filter.effect, &["/effect"])
        && is(&filter.rule, &["/rule"])
        && is(&filter.method, &["/method"])
        && is(&filter.name, &["/name"])
        && is(&filter.call, &["/call"])
        && is(&filter.request, &["/request"])
        && is(&filter.trace, &["/trace"])
        && is(&filter.approval, &["/details/approval"])
        && is(&filter.grant, &["/details/grant", "/details/token"])
        && filter.kind.as_ref().is_none_or(|kind| line["event"].as_str().unwrap().starts_with(kind.as_str()))
        && filter.text.as_ref().is_none_or(within)
        && filter.since.is_none_or(|since| at >= since)
        && filter.until.is_none_or(|until| at < until)
}

/// Every page of what is found, in one.
async fn paged(given: &Given, filter: &AuditFilter, limit: u32, pages: usize) -> Vec<AuditEntry> {
    let mut found: Vec<AuditEntry> = Vec::new();
    for _ in 0..pages {
        let page = found.last().map_or(AuditPage::first(limit), |last| AuditPage::after(limit, last));
        let more = given.audit(filter, &page).await.unwrap();
        let full = more.len() == limit as usize;
        found.extend(more);
        if !full {
            break;
        }
    }
    found
}

fn newest_first(entries: &mut [AuditEntry]) {
    entries.sort_by(|a, b| (b.row.at, &b.row.node, b.row.seq).cmp(&(a.row.at, &a.row.node, a.row.seq)));
}

async fn any_filter_finds_in_buckets_what_reading_every_line_finds(given: &Given) {
    let mut dice = Dice(7);
    let mut all = fill(given, &mut dice, "a", 20_000).await;
    all.extend(fill(given, &mut dice, "B", 9_000).await);
    newest_first(&mut all);
    let read: Vec<Value> = all.iter().map(|entry| serde_json::from_str(&entry.line).unwrap()).collect();
    let mut found_any = 0;
    for n in 0..120 {
        let filter = if n == 0 { AuditFilter::default() } else { filter(&mut dice) };
        let limit = [1, 7, 50, 1000][dice.below(4) as usize];
        let pages = 4;
        let expected = all.iter().zip(&read).filter(|(_, line)| naive(&filter, line)).map(|(entry, _)| entry);
        let expected: Vec<_> = expected.take(limit as usize * pages).collect();
        let found = paged(given, &filter, limit, pages).await;
        let places = |entry: &AuditEntry| (entry.row.at, entry.row.node.clone(), entry.row.seq);
        assert_eq!(
            found.iter().map(places).collect::<Vec<_>>(),
            expected.iter().map(|entry| places(entry)).collect::<Vec<_>>(),
            "{filter:?} by {limit}"
        );
        assert!(found.iter().eq(expected), "whole lines: {filter:?}");
        found_any += usize::from(!found.is_empty());
    }
    assert!(found_any > 40, "{found_any}");
}

async fn nothing_is_added_where_the_cursor_is_not(given: &Given) {
    let mut dice = Dice(3);
    let all = fill(given, &mut dice, "a", 9_000).await;
    let more: Vec<_> = (9_001..=9_010).map(|seq| entry(&mut dice, "a", seq)).collect();
    let cursor = AuditCursor { node: "a".into(), seq: 9_010 };
    for elsewhere in [0, 8_999, 9_005] {
        assert!(!given.append_audit(&more, elsewhere, &cursor).await.unwrap(), "{elsewhere}");
    }
    assert_eq!(paged(given, &AuditFilter::default(), 1000, 20).await.len(), all.len());
    // Fed again from the beginning, as somebody does who has not heard of it.
    given.forget_audit("a", NOW).await.unwrap();
    assert!(!given.append_audit(&more, 9_000, &cursor).await.unwrap());
    assert!(paged(given, &AuditFilter::default(), 1000, 20).await.is_empty());
    assert!(given.append_audit(&all, 0, &AuditCursor { node: "a".into(), seq: 9_000 }).await.unwrap());
    let mut expected = all;
    newest_first(&mut expected);
    assert_eq!(paged(given, &AuditFilter::default(), 1000, 20).await, expected);
}

async fn old_buckets_go_and_the_others_stay(given: &Given) {
    let mut dice = Dice(5);
    let all = fill(given, &mut dice, "a", 20_000).await;
    // The whole first bucket is older than that, a part of the second is not.
    let before = Timestamp::from_millis(NOW.as_millis() + 12_000 / 3);
    given.expire_audit(before).await.unwrap();
    let left = paged(given, &AuditFilter::default(), 1000, 30).await;
    let gone = all.len() - left.len();
    assert_eq!(gone, 8192, "a bucket goes as a whole");
    assert!(all.iter().filter(|entry| entry.row.at >= before).all(|entry| left.contains(entry)));
    given.expire_audit(Timestamp::from_millis(NOW.as_millis() * 2)).await.unwrap();
    assert!(paged(given, &AuditFilter::default(), 1000, 30).await.is_empty());
}
