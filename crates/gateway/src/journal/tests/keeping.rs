//! What becomes of segments that are full.

use super::*;
use crate::journal::{KeepError, Lines, Retention, SegmentReader, Stored, digest_of, stored};
use portcullis_audit::{FaultKind, Heads, Part, verify_parts};

const DAY: Duration = Duration::from_hours(24);

/// A journal of several full segments.
fn full() -> (Place, Journal) {
    let mut place = Place::new();
    place.limits.segment_bytes = 4000;
    let journal = place.open();
    for n in 0..150 {
        journal.append_blocking(decided(&format!("call_{n}"))).unwrap();
    }
    (place, journal)
}

fn forms(place: &Place) -> Vec<Stored> {
    stored(&place.dir.path().join("n1")).unwrap()
}

fn proof_of(dir: &Path, heads: &Heads) -> Report {
    let keys = PublicKeys::parse(&fs::read(key_file(dir, "n1")).unwrap()).unwrap();
    let parts = stored(&dir.join("n1")).unwrap().into_iter().map(|stored| Part {
        name: format!("{:016}", stored.first_seq),
        packed: stored.packed.as_ref().map(|path| digest_of(File::open(path).unwrap()).unwrap()),
        manifest: stored.manifest.as_ref().map(fs::read),
        lines: stored.has_lines().then(|| SegmentReader::open(&stored)),
    });
    verify_parts(parts, &keys, heads)
}

fn proof(place: &Place) -> Report {
    proof_of(place.dir.path(), &Heads::new())
}

fn fault(place: &Place) -> (String, u64, u64, FaultKind) {
    let fault = proof(place).fault.expect("something is found");
    (fault.segment, fault.line, fault.seq, fault.kind)
}

fn seqs(lines: &mut Lines) -> Vec<u64> {
    std::iter::from_fn(|| lines.next_line().unwrap().map(|line| line.seq)).collect()
}

#[test]
fn full_segments_are_sealed_and_the_journal_still_holds() {
    let (place, journal) = full();
    let before = proof(&place);
    let kept = journal.keep(&Retention::default()).unwrap();
    let forms_now = forms(&place);
    assert!(kept.sealed > 3);
    assert!(forms_now[..forms_now.len() - 1].iter().all(Stored::is_sealed));
    assert!(forms_now.last().unwrap().plain.is_some());
    let after = proof(&place);
    assert_eq!((after.fault, after.lines, after.head), (None, before.lines, before.head));
    assert_eq!((after.manifests, after.open), (kept.sealed, before.open));
    assert_eq!(journal.keep(&Retention::default()).unwrap().sealed, 0);
}

#[test]
fn old_segment_is_followed_by_another_and_sealed_but_not_an_empty_one() {
    let place = Place::new();
    let journal = place.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..3 {
        place.clock.advance(DAY);
        runtime.block_on(journal.tick());
        runtime.block_on(journal.tick());
    }
    assert_eq!(place.files().len(), 2, "nothing happened in the second");
    assert_eq!(journal.keep(&Retention::default()).unwrap().sealed, 1);
    assert_eq!(proof(&place).fault, None);
}

/// A crash leaves the plain file beside what was made of it, or parts of that: it is sealed again.
#[test]
fn sealing_that_was_interrupted_is_done_again() {
    let (place, journal) = full();
    let first = forms(&place)[0].plain.clone().unwrap();
    let bytes = fs::read(&first).unwrap();
    journal.keep(&Retention::default()).unwrap();
    let sealed = forms(&place)[0].clone();
    let whole =
        (fs::read(sealed.packed.as_ref().unwrap()).unwrap(), fs::read(sealed.manifest.as_ref().unwrap()).unwrap());
    // Killed before the plain file was removed.
    fs::write(&first, &bytes).unwrap();
    assert_eq!(proof(&place).fault, None);
    journal.keep(&Retention::default()).unwrap();
    assert_eq!((forms(&place)[0].is_sealed(), proof(&place).fault), (true, None));
    assert_eq!(fs::read(sealed.manifest.as_ref().unwrap()).unwrap(), whole.1, "later manifests name this one");
    // Killed while the compressed file was written.
    fs::write(&first, &bytes).unwrap();
    fs::write(sealed.packed.as_ref().unwrap().with_extension("zst.new"), &whole.0[..20]).unwrap();
    let mut lines = Lines::open(place.dir.path(), "n1", 0, None).unwrap();
    assert_eq!(seqs(&mut lines).len() as u64, journal.head().seq);
    journal.keep(&Retention::default()).unwrap();
    assert_eq!((forms(&place)[0].is_sealed(), proof(&place).fault), (true, None));
}

#[test]
fn journal_whose_newest_segment_was_lost_goes_on_after_the_sealed_one() {
    let (place, journal) = full();
    journal.keep(&Retention::default()).unwrap();
    let open = journal.health().open_calls;
    drop(journal);
    let last = place.last_file();
    let lost = fs::read_to_string(&last).unwrap().matches("call.decided").count();
    fs::remove_file(last).unwrap();
    let journal = place.open();
    assert_eq!(journal.recovery().calls.len(), open - lost);
    journal.stop_blocking().unwrap();
    assert_eq!(proof(&place).fault, None);
}

#[test]
fn reader_goes_over_sealed_plain_and_growing_segments_and_stops_at_the_head() {
    let (place, journal) = full();
    let mut lines = Lines::open(place.dir.path(), "n1", 0, Some(7)).unwrap();
    assert_eq!(seqs(&mut lines), (1..=7).collect::<Vec<_>>());
    // The segment that it reads is sealed under it.
    journal.keep(&Retention::default()).unwrap();
    let head = journal.head().seq;
    lines.set_head(Some(head));
    assert_eq!(seqs(&mut lines), (8..=head).collect::<Vec<_>>());
    for n in 0..30 {
        journal.append_blocking(decided(&format!("more_{n}"))).unwrap();
        lines.set_head(Some(journal.head().seq));
        assert_eq!(seqs(&mut lines).last(), Some(&journal.head().seq));
    }
    let head = journal.head().seq;
    for after in [0, 1, head / 2, head - 1, head] {
        let mut lines = Lines::open(place.dir.path(), "n1", after, None).unwrap();
        assert_eq!(seqs(&mut lines), (after + 1..=head).collect::<Vec<_>>());
    }
    add(&place.last_file(), b"{\"seq\":9999,\"at\"");
    assert_eq!(Lines::open(place.dir.path(), "n1", head, None).unwrap().next_line().unwrap(), None);
    assert!(Lines::open(place.dir.path(), "other", 0, None).unwrap().next_line().unwrap().is_none());
}

/// spec: T-98: tampering with sealed segments is found, and where.
#[test]
fn t98_whatever_is_done_to_sealed_segments_is_found_and_located() {
    let (place, journal) = full();
    journal.keep(&Retention::default()).unwrap();
    let forms = forms(&place);
    let (one, two, three) = (&forms[0], &forms[1], &forms[2]);
    let file = |stored: &Stored| stored.packed.clone().unwrap();
    let name = |stored: &Stored| format!("{:016}", stored.first_seq);
    let original = fs::read(file(two)).unwrap();

    // Every byte of a compressed file, one at a time.
    for at in 0..original.len() {
        let mut changed = original.clone();
        changed[at] ^= 1;
        fs::write(file(two), &changed).unwrap();
        let (segment, line, seq, kind) = fault(&place);
        assert_eq!(segment, name(two), "byte {at}: {kind:?}");
        assert!(line >= 1 && seq >= two.first_seq && seq <= three.first_seq, "byte {at}: {line} {seq}");
    }
    // Its lines, changed and compressed again.
    let text = zstd::decode_all(original.as_slice()).unwrap();
    let text = String::from_utf8(text).unwrap();
    let edited = text.replacen("call_", "call-", 1);
    let line = edited.lines().zip(text.lines()).position(|(a, b)| a != b).unwrap() as u64 + 1;
    fs::write(file(two), zstd::encode_all(edited.as_bytes(), 3).unwrap()).unwrap();
    assert_eq!(fault(&place), (name(two), line, two.first_seq + line - 1, FaultKind::Changed));
    // The same lines in another file.
    fs::write(file(two), zstd::encode_all(text.as_bytes(), 19).unwrap()).unwrap();
    assert_eq!(fault(&place).3, FaultKind::Repacked);
    // Cut.
    let cut: String = text.split_inclusive('\n').take(3).collect();
    fs::write(file(two), zstd::encode_all(cut.as_bytes(), 3).unwrap()).unwrap();
    assert_eq!(fault(&place), (name(two), 4, two.first_seq + 3, FaultKind::Truncated));
    // Swapped with another.
    fs::write(file(two), fs::read(file(three)).unwrap()).unwrap();
    assert_eq!(fault(&place), (name(two), 1, two.first_seq, FaultKind::Gap { expected: two.first_seq }));
    // Removed, with its manifest left.
    fs::remove_file(file(two)).unwrap();
    assert_eq!(fault(&place), (name(two), 1, two.first_seq, FaultKind::Missing));
    // Removed altogether.
    let manifest = fs::read(two.manifest.as_ref().unwrap()).unwrap();
    fs::remove_file(two.manifest.as_ref().unwrap()).unwrap();
    assert_eq!(fault(&place), (name(three), 1, two.first_seq, FaultKind::Gap { expected: two.first_seq }));
    fs::write(file(two), &original).unwrap();
    // A manifest that somebody else signed, and one of another segment.
    let forged = String::from_utf8(manifest.clone()).unwrap().replace("\"last_seq\": ", "\"last_seq\": 1");
    fs::write(two.manifest.as_ref().unwrap(), forged).unwrap();
    assert!(matches!(fault(&place).3, FaultKind::BadManifest { .. }));
    fs::write(two.manifest.as_ref().unwrap(), fs::read(three.manifest.as_ref().unwrap()).unwrap()).unwrap();
    assert_eq!(fault(&place).3, FaultKind::Gap { expected: two.first_seq });
    fs::write(two.manifest.as_ref().unwrap(), manifest).unwrap();
    assert_eq!(proof(&place).fault, None);
    // The first one: nobody said that it was removed.
    fs::remove_file(file(one)).unwrap();
    assert_eq!(fault(&place), (name(one), 1, 1, FaultKind::Missing));
}

/// spec: T-98: who has the key can write a journal anew, but not what was noted elsewhere.
#[test]
fn t98_journal_that_was_written_anew_or_cut_does_not_go_through_a_noted_head() {
    let (place, journal) = full();
    let head = journal.head();
    let heads = Heads::from([(head.seq, head.hash)]);
    let report = proof_of(place.dir.path(), &heads);
    assert_eq!((report.fault, report.witnessed), (None, 1));
    fs::remove_file(place.last_file()).unwrap();
    assert_eq!(proof(&place).fault, None, "nothing in the journal itself can tell");
    let fault = proof_of(place.dir.path(), &heads).fault.unwrap();
    assert_eq!(fault.kind, FaultKind::Truncated);

    let (anew, _journal) = full();
    let other = Heads::from([(10, head.hash)]);
    let fault = proof_of(anew.dir.path(), &other).fault.unwrap();
    assert_eq!((fault.seq, fault.kind), (11, FaultKind::Changed));
}

#[test]
fn old_segments_go_to_the_archive_and_then_away_and_what_is_left_follows_from_them() {
    let (place, journal) = full();
    let archive = place.dir.path().join("archive");
    let retention = Retention { keep_for: Some(30 * DAY), size: None, archive: Some(archive.clone()) };
    let kept = journal.keep(&retention).unwrap();
    assert_eq!((kept.archived, kept.removed), (kept.sealed, 0), "none is old");
    place.clock.advance(31 * DAY);

    // Nobody who follows has taken anything.
    let follower = journal.follower("a sink", 0);
    let held = journal.keep(&retention).unwrap();
    assert_eq!((held.removed, held.held_by.as_deref()), (0, Some("a sink")));
    let second = forms(&place)[1].first_seq;
    follower.taken(second - 1);
    assert_eq!(journal.keep(&retention).unwrap().removed, 1);
    drop(follower);
    let rest = journal.keep(&retention).unwrap();
    assert!(rest.removed > 2 && rest.held_by.is_none());

    assert!(place.kinds().contains(&"journal.removed".to_owned()), "it is written down before");
    let report = proof(&place);
    assert_eq!((report.fault.clone(), report.manifests), (None, kept.sealed));
    assert_eq!(report.removed_through, report.first_seq - 1);
    let archived = proof_of(&archive, &Heads::new());
    assert_eq!((archived.fault, archived.first_seq, archived.head.seq), (None, 1, report.removed_through));
    // The journal goes on under these.
    drop(journal);
    place.open().stop_blocking().unwrap();
    assert_eq!(proof(&place).fault, None);
}

#[test]
fn oldest_segments_are_removed_while_there_are_too_many() {
    let mut place = Place::new();
    place.limits.segment_bytes = 4000;
    let journal = place.open();
    for call in (0..100).map(|n| format!("call_{n}")) {
        journal.append_blocking(decided(&call)).unwrap();
        journal.append_blocking(ended(&call)).unwrap();
    }
    journal.keep(&Retention::default()).unwrap();
    let size = 6000;
    let kept = journal.keep(&Retention { size: Some(size), ..Retention::default() }).unwrap();
    let bytes: u64 = forms(&place)
        .iter()
        .flat_map(|stored| [stored.plain.clone(), stored.packed.clone()])
        .flatten()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(kept.removed > 0 && bytes < size + 1000, "{bytes}");
    assert_eq!(proof(&place).fault, None);
}

#[test]
fn damaged_segment_is_not_sealed_over() {
    let (place, journal) = full();
    let path = place.files()[1].clone();
    let edited = fs::read_to_string(&path).unwrap().replacen("call_", "call-", 1);
    fs::write(&path, &edited).unwrap();
    assert!(matches!(journal.keep(&Retention::default()), Err(KeepError::Seal(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), edited);
    assert!(matches!(fault(&place).3, FaultKind::Changed));
}
