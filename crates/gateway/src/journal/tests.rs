//! What the journal survives.

mod keeping;

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{BufReader, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use portcullis_audit::{Decision, End, Event, IndexRow, Kind, Outcome, PublicKeys, Report, verify};
use portcullis_base::{CallId, Clock, ManualClock, Timestamp};
use portcullis_store::{AuditFilter, AuditPage, DatabaseSettings, Store};
use rustix::process::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;

use super::{Durability, Indexer, Journal, JournalError, Limits, Settings, key_file, segments};

const NOW: Timestamp = Timestamp::from_secs(1_795_400_000);

struct Place {
    dir: TempDir,
    clock: Arc<ManualClock>,
    durability: Durability,
    limits: Limits,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let clock = Arc::new(ManualClock::new(NOW));
        Self { dir, clock, durability: Durability::Process, limits: Limits::default() }
    }

    fn open_as(&self, node: &str, seed: &[u8; 32]) -> Result<Journal, JournalError> {
        let settings = Settings { dir: self.dir.path(), node, seed, durability: self.durability, limits: self.limits };
        Journal::open(&settings, Arc::<ManualClock>::clone(&self.clock))
    }

    fn open(&self) -> Journal {
        self.open_as("n1", &[5; 32]).expect("the journal opens")
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = segments(&self.dir.path().join("n1")).expect("the directory is there");
        files.into_iter().map(|(_, path)| path).collect()
    }

    fn last_file(&self) -> PathBuf {
        self.files().pop().expect("there is a segment")
    }

    fn report(&self) -> Report {
        let keys = fs::read(key_file(self.dir.path(), "n1")).expect("there is a key file");
        let keys = PublicKeys::parse(&keys).expect("the key file is one");
        let open = |path: PathBuf| (path.display().to_string(), File::open(&path).map(BufReader::new));
        verify(self.files().into_iter().map(open), &keys, None)
    }

    fn rows(&self) -> Vec<IndexRow> {
        let read = |path: PathBuf| fs::read(path).expect("a segment can be read");
        let bytes: Vec<u8> = self.files().into_iter().flat_map(read).collect();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.filter_map(|line| IndexRow::parse(line).expect("a whole line").1).collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.rows().into_iter().map(|row| row.kind).collect()
    }
}

fn decided(call: &str) -> Event {
    let decision = Decision { effect: "allow", rule: "access".into(), revision: "r1".into() };
    Event::new(Kind::CallDecided, NOW).decided(decision).call(CallId::new(call))
}

fn ended(call: &str) -> Event {
    Event::new(Kind::CallEnded, NOW).outcome(Outcome::Success).call(CallId::new(call))
}

fn add(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(bytes)).expect("the file takes it");
}

#[tokio::test]
async fn closed_journal_verifies_and_goes_on_where_it_ended() {
    let place = Place::new();
    let journal = place.open();
    assert!(journal.recovery().clean);
    let first = journal.append(decided("call_1")).await.unwrap();
    journal.append_later(ended("call_1"));
    journal.stop().await.unwrap();
    assert!(matches!(journal.append(decided("call_2")).await, Err(JournalError::Stopped)));
    let report = place.report();
    assert_eq!((report.fault, report.end, report.open.len()), (None, End::Stopped, 0));
    assert_eq!(place.kinds(), ["journal.started", "call.decided", "call.ended", "journal.stopped"]);
    drop(journal);

    let journal = place.open();
    assert!(journal.recovery().clean);
    assert!(journal.append_blocking(decided("call_3")).unwrap().seq > first.seq);
    journal.stop_blocking().unwrap();
    let report = place.report();
    assert_eq!((report.fault, report.end, report.segments), (None, End::Stopped, 1));
}

/// spec: T-98: a call decided before a crash is in the trail, and its end is unknown.
#[tokio::test]
async fn calls_left_open_by_a_crash_are_ended_as_unknown() {
    let place = Place::new();
    let journal = place.open();
    for call in ["call_1", "call_2", "call_3"] {
        journal.append(decided(call)).await.unwrap();
    }
    journal.append(ended("call_2")).await.unwrap();
    drop(journal);

    let journal = place.open();
    let calls: Vec<_> = journal.recovery().calls.iter().map(CallId::as_str).collect();
    assert_eq!((calls, journal.recovery().clean), (vec!["call_1", "call_3"], false));
    assert_eq!(journal.health().open_calls, 0);
    let unknown: Vec<_> = place.rows().into_iter().filter(|row| row.outcome.as_deref() == Some("unknown")).collect();
    assert_eq!(unknown.iter().map(|row| row.call.as_deref().unwrap()).collect::<Vec<_>>(), ["call_1", "call_3"]);
    assert!(place.kinds().contains(&"journal.recovered".to_owned()));
    let report = place.report();
    assert_eq!((report.fault, report.open.len()), (None, 0));
}

#[test]
fn torn_last_line_is_removed_and_told() {
    let place = Place::new();
    let journal = place.open();
    journal.append_blocking(decided("call_1")).unwrap();
    drop(journal);
    add(&place.last_file(), br#"{"seq":4,"at":"2026-"#);
    assert!(!place.report().holds());

    let journal = place.open();
    assert_eq!((journal.recovery().torn_bytes, journal.recovery().damaged_bytes), (20, 0));
    journal.stop_blocking().unwrap();
    assert_eq!(place.report().fault, None);
}

#[test]
fn damaged_lines_are_set_aside_and_the_chain_goes_on() {
    let place = Place::new();
    let journal = place.open();
    journal.append_blocking(decided("call_1")).unwrap();
    journal.append_blocking(decided("call_2")).unwrap();
    drop(journal);
    let path = place.last_file();
    let edited = fs::read_to_string(&path).unwrap().replace("call_2", "call_X");
    fs::write(&path, &edited).unwrap();

    let journal = place.open();
    assert_eq!(journal.recovery().torn_bytes, 0);
    assert_eq!(journal.recovery().damaged_bytes, edited.lines().last().unwrap().len() as u64 + 1);
    journal.stop_blocking().unwrap();
    assert_eq!(place.report().fault, None);
    let aside: Vec<_> = fs::read_dir(journal.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".damaged-"))
        .collect();
    assert_eq!(aside.len(), 1);
    assert!(fs::read_to_string(&aside[0]).unwrap().contains("call_X"));
    assert!(fs::read_to_string(&path).unwrap().contains("\"set_aside\":"));
}

#[test]
fn segment_without_a_whole_line_gives_way_to_the_one_before() {
    let place = Place::new();
    let journal = place.open();
    let head = journal.append_blocking(decided("call_1")).unwrap().seq;
    drop(journal);
    fs::write(place.dir.path().join("n1").join(format!("{:016}.jsonl", head + 1)), "{\"seq\"").unwrap();
    let journal = place.open();
    assert_eq!(journal.recovery().torn_bytes, 6);
    assert_eq!(journal.recovery().calls.len(), 1);
    assert_eq!((place.files().len(), place.report().fault), (1, None));
}

#[test]
fn only_one_process_writes_and_only_its_own_journal() {
    let place = Place::new();
    let journal = place.open();
    let error = place.open_as("n1", &[5; 32]).err().unwrap();
    assert!(matches!(error, JournalError::InUse(_)), "{error}");
    assert!(place.open_as("n2", &[5; 32]).is_ok());
    assert!(matches!(place.open_as("../n3", &[5; 32]), Err(JournalError::Foreign { .. })));
    drop(journal);

    // A journal that was copied from elsewhere is not repaired, it is refused.
    let place_two = Place::new();
    fs::create_dir(place_two.dir.path().join("n1")).unwrap();
    fs::copy(place.last_file(), place_two.dir.path().join("n1/0000000000000001.jsonl")).unwrap();
    let error = place_two.open_as("n1", &[6; 32]).err().unwrap();
    assert!(error.to_string().contains("not in the key file"), "{error}");
}

#[test]
fn journal_goes_on_under_a_new_key_and_both_are_published() {
    let place = Place::new();
    place.open().stop_blocking().unwrap();
    place.open_as("n1", &[6; 32]).unwrap().stop_blocking().unwrap();
    let report = place.report();
    assert_eq!((report.fault, report.end, report.checkpoints), (None, End::Stopped, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_event_of_many_writers_has_its_own_place_in_one_chain() {
    let mut place = Place::new();
    place.limits.checkpoint_lines = 100;
    let journal = place.open();
    append_from(&journal, 64, 200).await;
    journal.stop().await.unwrap();
    assert_places(&place, 64, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_on_the_disk_under_power_durability() {
    let mut place = Place::new();
    place.durability = Durability::Power;
    place.limits.segment_bytes = 20_000;
    let journal = place.open();
    append_from(&journal, 32, 10).await;
    journal.append_later(ended("call_0_0"));
    journal.tick().await;
    assert_eq!(journal.health().waiting, 0);
    journal.stop().await.unwrap();
    assert!(place.files().len() > 2);
    assert_places(&place, 32, 10);
}

async fn append_from(journal: &Journal, tasks: usize, each: usize) {
    let writers: Vec<_> = (0..tasks)
        .map(|task| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let mut last = 0;
                for n in 0..each {
                    let event = decided(&format!("call_{task}_{n}"));
                    let seq = journal.append(event).await.expect("it is written").seq;
                    assert!(seq > last);
                    assert!(journal.head().seq >= seq, "told only when it is in the file");
                    last = seq;
                    if n % 2 == 0 {
                        journal.append_later(ended(&format!("call_{task}_{n}")));
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no writer fails");
    }
}

fn assert_places(place: &Place, tasks: usize, each: usize) {
    let report = place.report();
    assert_eq!((report.fault, report.end), (None, End::Stopped));
    assert_eq!(report.open.len(), tasks * each / 2);
    let rows = place.rows();
    let calls = rows.iter().filter(|row| row.kind == "call.decided").map(|row| row.call.as_deref());
    assert_eq!(calls.collect::<BTreeSet<_>>().len(), tasks * each);
    assert!(rows.is_sorted_by_key(|row| row.seq));
}

#[test]
fn full_segment_is_followed_by_one_that_stands_on_its_own() {
    let mut place = Place::new();
    place.limits.segment_bytes = 2000;
    let journal = place.open();
    for n in 0..50 {
        journal.append_blocking(decided(&format!("call_{n}"))).unwrap();
    }
    drop(journal);
    let journal = place.open();
    assert_eq!(journal.recovery().calls.len(), 50, "open calls are carried from segment to segment");
    journal.stop_blocking().unwrap();

    let files = place.files();
    assert!(files.len() > 4);
    for (first, path) in segments(journal.dir()).unwrap() {
        let text = fs::read_to_string(path).unwrap();
        let begins = text.lines().next().unwrap();
        assert!(begins.starts_with(&format!("{{\"seq\":{first},")) && begins.contains("\"event\":\"checkpoint\""));
        assert!(text.lines().last().unwrap().contains("\"event\":\"checkpoint\""));
    }
    assert_eq!((place.report().fault, place.report().first_seq), (None, 1));
    for file in &files[..2] {
        fs::remove_file(file).unwrap();
    }
    let report = place.report();
    assert_eq!((report.fault, report.end), (None, End::Stopped));
    assert!(report.first_seq > 1);
}

#[tokio::test]
async fn checkpoints_come_by_count_and_by_time() {
    let mut place = Place::new();
    place.limits.checkpoint_lines = 3;
    let journal = place.open();
    for n in 0..4 {
        journal.append(decided(&format!("call_{n}"))).await.unwrap();
    }
    assert_eq!(place.report().checkpoints, 2);
    assert_eq!(place.report().end, End::Open { unsigned: 2 });
    journal.tick().await;
    assert_eq!(place.report().checkpoints, 2, "not due yet");
    place.clock.advance(Duration::from_secs(10));
    journal.tick().await;
    assert_eq!(place.report().end, End::Open { unsigned: 0 });
    let lines = place.report().lines;
    place.clock.advance(Duration::from_secs(10));
    journal.tick().await;
    assert_eq!(place.report().lines, lines, "nothing new to sign");
}

#[tokio::test]
async fn ends_of_calls_wait_for_a_tick_and_not_without_bound() {
    let mut place = Place::new();
    place.limits.waiting_events = 2;
    let journal = place.open();
    for call in ["call_1", "call_2", "call_3"] {
        journal.append_later(ended(call));
    }
    let health = journal.health();
    assert_eq!((health.waiting, health.lost), (2, 1));
    assert_eq!(place.kinds(), ["journal.started"]);
    journal.tick().await;
    assert_eq!(place.kinds(), ["journal.started", "call.ended", "call.ended"]);
    assert_eq!(journal.head(), place.report().head);
}

#[tokio::test]
async fn room_that_gets_scarce_and_ample_again_is_written_down() {
    let place = Place { limits: Limits { free_space: u64::MAX / 2, reserve: 0, ..Limits::default() }, ..Place::new() };
    let journal = place.open();
    journal.tick().await;
    journal.tick().await;
    assert_eq!(place.kinds(), ["journal.started", "journal.scarce"]);
    drop(journal);
    let place = Place::new();
    let journal = place.open();
    journal.writer.space.set(super::Space::Scarce);
    journal.tick().await;
    journal.tick().await;
    assert_eq!(place.kinds(), ["journal.started", "journal.ample"]);
}

/// spec: T-98: a full disk. The limit on the size of files is the kernel's, so this runs in a process of its own, in
/// which the signal that comes with it is ignored.
#[test]
fn full_disk_refuses_events_whole_and_is_left_behind_when_there_is_space() {
    let limit = getrlimit(Resource::Fsize);
    if limit.current == limit.maximum {
        let script = "trap '' XFSZ; ulimit -S -f 30; exec \"$0\" --exact \"$1\" --test-threads=1";
        let name = "journal::tests::full_disk_refuses_events_whole_and_is_left_behind_when_there_is_space";
        let myself = std::env::current_exe().unwrap();
        let child = Command::new("sh").arg("-c").arg(script).arg(myself).arg(name).output().unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{said}");
        return;
    }

    let place = Place::new();
    let journal = place.open();
    let mut written = Vec::new();
    let refused = loop {
        let call = format!("call_{}", written.len());
        match journal.append_blocking(decided(&call)) {
            Ok(_) => written.push(call),
            Err(error) => break error,
        }
        assert!(written.len() < 10_000, "the limit holds");
    };
    assert!(matches!(refused, JournalError::Write(_)), "{refused}");
    journal.append_later(ended("call_0"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(journal.tick());
    assert!(journal.append_blocking(decided("refused")).is_err());
    let health = journal.health();
    assert!(health.failing.is_some());
    assert_eq!((health.open_calls, health.waiting), (written.len(), 1));
    let report = place.report();
    assert_eq!((report.fault, report.head), (None, health.head));
    assert_eq!(report.open.len(), written.len());

    setrlimit(Resource::Fsize, rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    runtime.block_on(journal.tick());
    assert!(journal.health().failing.is_none());
    journal.append_blocking(decided("after")).unwrap();
    journal.stop_blocking().unwrap();
    let report = place.report();
    assert_eq!((report.fault, report.end), (None, End::Stopped));
    let rows = place.rows();
    let calls: Vec<_> =
        rows.iter().filter(|row| row.kind == "call.decided").filter_map(|row| row.call.clone()).collect();
    written.push("after".into());
    assert_eq!(calls, written, "what was acknowledged is there, what was refused is not");
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert!(kinds.contains(&"call.ended") && kinds.contains(&"journal.resumed"));
}

async fn store(place: &Place) -> Store {
    let settings = DatabaseSettings::Sqlite(place.dir.path().join("index.db"));
    Store::open(&settings, place.clock.now()).await.expect("the database opens")
}

async fn indexed(store: &Store) -> Vec<i64> {
    let page = AuditPage { limit: 100_000, before: None };
    let mut found = store.audit(&AuditFilter::default(), &page).await.expect("the index can be read");
    found.sort_by_key(|entry| entry.row.seq);
    found.into_iter().map(|entry| entry.row.seq).collect()
}

#[tokio::test]
async fn index_follows_the_journal_over_segments_and_never_beyond_its_head() {
    let mut place = Place::new();
    place.limits.segment_bytes = 50_000;
    let journal = place.open();
    for n in 0..1200 {
        journal.append(decided(&format!("call_{n}"))).await.unwrap();
    }
    assert!(place.files().len() > 3);
    let store = store(&place).await;
    let mut indexer = Indexer::new(store.clone(), place.dir.path(), "n1");
    let part = indexer.run_once(Some(700)).await.unwrap();
    assert_eq!((part.behind, indexed(&store).await.last().copied()), (0, Some(700)));
    let rest = indexer.run_once(Some(journal.head().seq)).await.unwrap();
    assert_eq!((rest.behind, rest.skipped), (0, 0));
    let expected: Vec<_> = place.rows().into_iter().map(|row| row.seq).collect();
    assert_eq!(indexed(&store).await, expected);
    assert_eq!(rest.rows + part.rows, expected.len() as u64);

    // Again, with nothing new, and by another indexer.
    assert_eq!(indexer.run_once(None).await.unwrap().rows, 0);
    journal.append(decided("call_x")).await.unwrap();
    let mut another = Indexer::new(store.clone(), place.dir.path(), "n1");
    assert_eq!(another.run_once(None).await.unwrap().rows, 1);
    store.forget_audit("n1", place.clock.now()).await.unwrap();
    assert_eq!(another.run_once(None).await.unwrap().rows, expected.len() as u64 + 1);
}

#[tokio::test]
async fn poison_line_is_skipped_and_counted() {
    let place = Place::new();
    let journal = place.open();
    journal.append(decided("call_1")).await.unwrap();
    add(&place.last_file(), b"{\"poison\":true}\n\xff\xfe\n");
    journal.append(decided("call_2")).await.unwrap();
    add(&place.last_file(), b"{\"seq\":5,\"at\":");
    let store = store(&place).await;
    let mut indexer = Indexer::new(store.clone(), place.dir.path(), "n1");
    let run = indexer.run_once(None).await.unwrap();
    assert_eq!((run.rows, run.skipped), (3, 2));
    assert_eq!(indexed(&store).await, [2, 3, 4]);
    assert_eq!(indexer.run_once(None).await.unwrap().rows, 0);
}

#[tokio::test]
async fn journal_that_does_not_exist_is_an_empty_one_to_index() {
    let place = Place::new();
    let store = store(&place).await;
    let run = Indexer::new(store, place.dir.path(), "cli").run_once(None).await.unwrap();
    assert_eq!((run.rows, run.behind), (0, 0));
}
