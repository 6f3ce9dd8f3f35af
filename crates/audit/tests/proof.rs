//! What verification sees, and what it cannot.

use std::io;

use portcullis_audit::{
    Actor, Chain, Decision, End, Event, FaultKind, Head, IndexRow, Keep, Kind, Outcome, PublicKeys, Report, Signer,
    Target, Value, keep, verify,
};
use portcullis_base::{CallId, ClientId, PersonId, ServerName, Timestamp};
use proptest::prelude::*;

const SEED: [u8; 32] = [3; 32];

fn at(seq: u64) -> Timestamp {
    Timestamp::from_millis(1_795_400_000_123 + seq as i64 * 7)
}

fn decided(n: u64) -> Event {
    Event::new(Kind::CallDecided, at(n))
        .by(Actor {
            person: Some(PersonId::new("usr_1")),
            name: Some("alice".into()),
            client: Some(ClientId::new("https://app.example/client.json")),
            address: Some([127, 0, 0, 1].into()),
        })
        .on(Target {
            server: ServerName::parse("sample").ok(),
            method: Some("tools/call".into()),
            name: Some("echo".into()),
        })
        .decided(Decision { effect: "allow", rule: "access".into(), revision: "r1".into() })
        .call(CallId::new(format!("call_{n}")))
        .detail(
            "arguments",
            Value::Kept(keep(Keep::Redacted, r#"{"text":"héllo"}"#).expect("redaction keeps something")),
        )
}

fn ended(n: u64) -> Event {
    Event::new(Kind::CallEnded, at(n)).outcome(Outcome::Success).call(CallId::new(format!("call_{n}")))
}

/// Two segments of calls, closed properly when `stop` says so.
struct Journal {
    segments: Vec<Vec<u8>>,
    head: Head,
    keys: PublicKeys,
}

enum Stop {
    Closed,
    Killed,
}

fn journal(calls: u64, stop: Stop) -> Journal {
    let signer = Signer::from_seed(&SEED);
    let mut chain = Chain::new("n1", Head::start());
    let mut segments = Vec::new();
    for part in 0..2 {
        let mut out = Vec::new();
        let open = ["call_0"];
        chain.checkpoint(at(0), &signer, part, Some(&mut open.into_iter().take(part)), &mut out);
        for n in 0..calls {
            chain.append(&decided(part as u64 * calls + n), &mut out);
            if n > 0 {
                chain.append(&ended(part as u64 * calls + n), &mut out);
            }
        }
        segments.push(out);
    }
    if matches!(stop, Stop::Closed) {
        let out = &mut segments[1];
        chain.append(&Event::new(Kind::JournalStopped, at(99)), out);
        chain.checkpoint(at(99), &signer, 2, None, out);
    }
    let keys = PublicKeys::default().with(signer.public().clone());
    Journal { segments, head: chain.head(), keys }
}

impl Journal {
    fn verify(&self) -> Report {
        check(&self.segments, &self.keys, None)
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        self.segments.concat().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }
}

fn check(segments: &[Vec<u8>], keys: &PublicKeys, expected: Option<Head>) -> Report {
    let named = segments.iter().enumerate().map(|(n, bytes)| (format!("s{n}"), io::Result::Ok(bytes.as_slice())));
    verify(named, keys, expected)
}

#[test]
fn untouched_journal_holds_and_is_counted() {
    let journal = journal(3, Stop::Closed);
    let report = journal.verify();
    assert_eq!(report.fault, None);
    assert_eq!(report.node.as_deref(), Some("n1"));
    assert_eq!((report.segments, report.lines, report.checkpoints), (2, 14, 3));
    assert_eq!((report.first_seq, report.head), (1, journal.head));
    assert_eq!(report.end, End::Stopped);
    assert_eq!(report.span, Some((at(0), at(99))));
    let open: Vec<&str> = report.open.iter().map(CallId::as_str).collect();
    assert_eq!(open, ["call_0", "call_3"]);
}

/// spec: SEC-62
#[test]
fn line_is_json_with_its_members_in_order_and_its_hash_is_of_the_rest() {
    let line = journal(1, Stop::Killed).lines().remove(1);
    let text = String::from_utf8(line).unwrap();
    assert!(text.starts_with(
        r#"{"seq":2,"at":"2026-11-23T02:13:20.123Z","node":"n1","event":"call.decided","call":"call_0","person":"usr_1","person_name":"alice","client":"https://app.example/client.json","address":"127.0.0.1","server":"sample","method":"tools/call","name":"echo","effect":"allow","rule":"access","revision":"r1","details":{"arguments":{"text":"héllo"}},"hash":""#
    ), "{text}");
    let row = IndexRow::parse(text.trim_end().as_bytes()).unwrap().1.unwrap();
    assert_eq!((row.seq, row.at, row.kind.as_str(), row.name.as_deref()), (2, at(0), "call.decided", Some("echo")));
    assert_eq!((row.effect.as_deref(), row.address.as_deref()), (Some("allow"), Some("127.0.0.1")));
}

#[test]
fn checkpoint_is_not_indexed() {
    let line = journal(1, Stop::Killed).lines().remove(0);
    assert_eq!(IndexRow::parse(line.trim_ascii_end()).unwrap(), (1, None));
    assert!(IndexRow::parse(b"{\"seq\":1}").is_err());
}

/// spec: T-97: the payload stays inside its string, and there is one line.
#[test]
fn forged_line_in_a_tool_name_stays_a_name() {
    let forged = "x\"}\n{\"event\":\"call.decided\",\"effect\":\"allow\"}\r\n\u{1b}[2K\u{202e}";
    let mut event = decided(1);
    event.target.name = Some(forged.into());
    event.actor.name = Some("a".repeat(10_000).into());
    let event = event.text("note", forged).detail("all", Value::List(vec![forged.into()]));
    let mut out = Vec::new();
    Chain::new("n\n1", Head::start()).append(&event, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(!text.trim_end_matches('\n').chars().any(char::is_control));
    assert!(!text.contains('\u{202e}') && text.len() < 4000);
    assert_eq!(IndexRow::parse(text.trim_end().as_bytes()).unwrap().1.unwrap().kind, "call.decided");
}

#[test]
fn journal_may_begin_at_any_segment() {
    let journal = journal(3, Stop::Closed);
    let report = check(&journal.segments[1..], &journal.keys, Some(journal.head));
    assert_eq!(report.fault, None);
    assert_eq!(report.first_seq, 7);
    assert_eq!(report.open.len(), 2);
}

#[test]
fn missing_segment_is_a_gap_with_its_place() {
    let mut journal = journal(3, Stop::Closed);
    let mut third = journal.segments[1].split_inclusive(|byte| *byte == b'\n');
    third.next();
    journal.segments[1] = third.collect::<Vec<_>>().concat();
    let fault = journal.verify().fault.unwrap();
    assert_eq!((fault.segment.as_str(), fault.line, fault.seq), ("s1", 1, 7));
    assert_eq!(fault.kind, FaultKind::Gap { expected: 7 });
}

#[test]
fn swapped_and_repeated_lines_are_told_from_missing_ones() {
    let journal = journal(3, Stop::Closed);
    let mut lines = journal.lines();
    lines.swap(2, 3);
    let fault = check(&[lines.concat()], &journal.keys, None).fault.unwrap();
    assert_eq!((fault.line, fault.kind), (3, FaultKind::Reordered { expected: 3 }));

    let mut lines = journal.lines();
    lines.insert(4, lines[1].clone());
    let fault = check(&[lines.concat()], &journal.keys, None).fault.unwrap();
    assert_eq!((fault.line, fault.kind), (5, FaultKind::Reordered { expected: 5 }));
}

#[test]
fn torn_last_line_and_unsigned_stop_are_truncations() {
    let journal = journal(2, Stop::Closed);
    let mut torn = journal.segments.clone();
    let length = torn[1].len();
    torn[1].truncate(length - 20);
    let fault = check(&torn, &journal.keys, None).fault.unwrap();
    assert_eq!((fault.seq, fault.kind), (journal.head.seq, FaultKind::Truncated));

    let lines = journal.lines();
    let fault = check(&[lines[..lines.len() - 1].concat()], &journal.keys, None).fault.unwrap();
    assert_eq!((fault.seq, fault.kind), (journal.head.seq, FaultKind::Truncated));
}

#[test]
fn cut_end_is_seen_only_by_who_knows_the_head() {
    let journal = journal(2, Stop::Killed);
    let lines = journal.lines();
    let cut = [lines[..lines.len() - 1].concat()];
    let blind = check(&cut, &journal.keys, None);
    assert_eq!((blind.fault, blind.end), (None, End::Open { unsigned: 2 }));
    let fault = check(&cut, &journal.keys, Some(journal.head)).fault.unwrap();
    assert_eq!((fault.seq, fault.kind), (journal.head.seq, FaultKind::Truncated));
    assert_eq!(check(&journal.segments, &journal.keys, Some(journal.head)).end, End::Expected);
}

#[test]
fn checkpoint_of_another_key_is_not_believed() {
    let journal = journal(2, Stop::Closed);
    let stranger = Signer::from_seed(&[9; 32]);
    let keys = PublicKeys::default().with(stranger.public().clone());
    let kind = check(&journal.segments, &keys, None).fault.unwrap().kind;
    assert_eq!(kind, FaultKind::UnknownKey { key: Signer::from_seed(&SEED).public().id().into() });

    // A rewritten history with a correct chain, but signed by somebody who only names our key.
    let mut out = Vec::new();
    Chain::new("n1", Head::start()).checkpoint(at(1), &stranger, 0, None, &mut out);
    let text = String::from_utf8(out).unwrap().replace(stranger.public().id(), Signer::from_seed(&SEED).public().id());
    let body = text.split(",\"hash\"").next().unwrap().to_owned();
    let hash = portcullis_base::Digest::of(&[&[0; 32][..], body.as_bytes(), b"}"].concat());
    let forged = format!("{body},\"hash\":\"{hash}\"}}\n").into_bytes();
    assert_eq!(check(&[forged], &journal.keys, None).fault.unwrap().kind, FaultKind::BadSignature);
}

#[test]
fn line_of_another_node_is_foreign() {
    let mut chain = Chain::new("n1", Head::start());
    let mut out = Vec::new();
    chain.append(&decided(1), &mut out);
    Chain::new("n2", chain.head()).append(&decided(2), &mut out);
    let kind = check(&[out], &PublicKeys::default(), None).fault.unwrap().kind;
    assert_eq!(kind, FaultKind::ForeignNode { node: "n2".into() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// spec: T-98: flip one byte, and verification fails, at or before that byte's line.
    #[test]
    fn any_flipped_byte_is_found(place: prop::sample::Index, flip in 1_u8..=255) {
        let journal = journal(3, Stop::Closed);
        let mut segments = journal.segments.clone();
        let (segment, byte) = {
            let all = place.index(segments.iter().map(Vec::len).sum());
            if all < segments[0].len() { (0, all) } else { (1, all - segments[0].len()) }
        };
        segments[segment][byte] ^= flip;
        let line = journal.segments[segment][..byte].split(|b| *b == b'\n').count() as u64;
        let report = check(&segments, &journal.keys, None);
        let fault = report.fault.unwrap();
        prop_assert_eq!(fault.segment, format!("s{segment}"));
        prop_assert_eq!(fault.line, line);
    }

    #[test]
    fn any_dropped_swapped_or_repeated_line_is_found(a: prop::sample::Index, b: prop::sample::Index, deed in 0..3) {
        let journal = journal(3, Stop::Closed);
        let mut lines = journal.lines();
        let (a, b) = (a.index(lines.len()), b.index(lines.len()));
        match deed {
            0 => { lines.remove(a); }
            1 if a != b => lines.swap(a, b),
            _ => lines.insert(b, lines[a].clone()),
        }
        let report = check(&[lines.concat()], &journal.keys, Some(journal.head));
        prop_assert!(!report.holds(), "{report:?}");
    }

    #[test]
    fn noise_never_verifies_nor_panics(noise: Vec<u8>) {
        prop_assume!(!noise.is_empty());
        prop_assert!(!check(&[noise], &PublicKeys::default(), None).holds());
    }
}
