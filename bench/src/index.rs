//! What the audit index costs, from the first event to the last: rate of each window, size, memory, and what the common
//! questions take once everything is in it.
//!
//! Events are pairs of a decision and its end, of people who have their usual tools, with a few sign-ins, tokens and
//! refusals in between, as a journal has them. They go through [`Store::append_audit`], the only way into the index.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_audit::IndexRow;
use portcullis_base::Timestamp;
use portcullis_store::{AuditCursor, AuditEntry, AuditFilter, AuditPage, DatabaseSettings, Store};

/// What `index` measures.
#[derive(clap::Args)]
pub struct Index {
    /// Events in all.
    #[arg(long, default_value_t = 10_000_000)]
    events: i64,
    /// Events of one window, whose rate is printed.
    #[arg(long, default_value_t = 500_000)]
    window: i64,
    /// Events of one commit: what the indexer reads at a time.
    #[arg(long, default_value_t = 8192)]
    batch: i64,
    /// A PostgreSQL database that is empty; SQLite in `--folder` without.
    #[arg(long)]
    postgres: Option<String>,
    /// Where the SQLite file is made; a temporary folder without.
    #[arg(long)]
    folder: Option<PathBuf>,
}

const NODE: &str = "node-1";
/// The first event; the others follow, twenty a second.
const BEGINNING: i64 = 1_780_000_000_000;
const PEOPLE: u64 = 400;
/// Somebody who did three things, long ago.
const RARE: &str = "usr_rare";

/// Measures.
#[expect(clippy::print_stdout, reason = "the output of a command-line program")]
pub async fn run(index: &Index) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = index.folder.clone().unwrap_or_else(|| folder.path().to_owned()).join("index.db");
    let settings = match &index.postgres {
        Some(url) => DatabaseSettings::postgres(url),
        None => DatabaseSettings::Sqlite(path.clone()),
    };
    let store = Store::open(&settings, Timestamp::from_millis(BEGINNING)).await?;
    println!(
        "{} events, {} a commit, into {}",
        index.events,
        index.batch,
        if index.postgres.is_some() { "PostgreSQL" } else { "SQLite" }
    );
    println!("\n| events | events/s | of the first | resident MiB |\n|---:|---:|---:|---:|");
    let (mut seq, mut bytes, mut first, mut last) = (0, 0, None, 0.0);
    while seq < index.events {
        let (from, mut took) = (seq, Duration::ZERO);
        while seq < index.events.min(from + index.window) {
            let to = index.events.min(seq + index.batch);
            let entries = (seq + 1..=to).map(event).collect::<Result<Vec<_>>>()?;
            bytes += entries.iter().map(|entry| entry.line.len() as u64 + 1).sum::<u64>();
            let cursor = AuditCursor { node: NODE.into(), seq: to };
            let began = Instant::now();
            ensure!(store.append_audit(&entries, seq, &cursor).await?, "somebody else feeds this index");
            took += began.elapsed();
            seq = to;
        }
        last = (seq - from) as f64 / took.as_secs_f64();
        let first = *first.get_or_insert(last);
        println!("| {seq} | {last:.0} | {:.0} % | {:.0} |", last / first * 100.0, resident()?);
    }
    println!("\nThe last window has {:.0} % of the rate of the first.", last / first.unwrap_or(last) * 100.0);
    if index.postgres.is_none() {
        let size: u64 = std::fs::read_dir(path.parent().context("a folder")?)?
            .flatten()
            .filter(|file| file.file_name().to_string_lossy().starts_with("index.db"))
            .map(|file| file.metadata().map_or(0, |metadata| metadata.len()))
            .sum();
        let events = index.events as f64;
        println!(
            "A line has {:.0} bytes in the journal; the index takes {:.0} bytes of it.",
            bytes as f64 / events,
            size as f64 / events
        );
    }
    ask(&store, index.events).await
}

/// Its name, and what is asked the n-th time: before which moment too.
type Question<'a> = (&'static str, Box<dyn Fn(u64) -> (AuditFilter, Option<i64>) + 'a>);

/// The common questions, each asked so many times about something else.
const TIMES: u64 = 20;

#[expect(clippy::print_stdout, reason = "the output of a command-line program")]
async fn ask(store: &Store, events: i64) -> Result<()> {
    let end = BEGINNING + events * 50;
    let some = |text: &str| Some(text.to_owned());
    let any = AuditFilter::default;
    let middle = |n: u64| BEGINNING + (events * 50 / 40) * (n as i64 + 10);
    let questions: Vec<Question<'_>> = vec![
        ("the newest", Box::new(|_| (any(), None))),
        ("a page in the middle", Box::new(|n| (any(), Some(middle(n))))),
        ("a person", Box::new(|n| (AuditFilter { person: Some(format!("usr_{}", n * 7)), ..any() }, None))),
        ("a person who was here once", Box::new(|_| (AuditFilter { person: some(RARE), ..any() }, None))),
        (
            "a tool",
            Box::new(|n| {
                (
                    AuditFilter {
                        server: Some(format!("server{}", n % 12)),
                        name: Some(format!("tool_{}", n % 40)),
                        ..any()
                    },
                    None,
                )
            }),
        ),
        ("denied calls", Box::new(|_| (AuditFilter { effect: some("deny"), ..any() }, None))),
        (
            "failures of a person at a server",
            Box::new(|n| {
                (
                    AuditFilter {
                        person: Some(format!("usr_{n}")),
                        server: Some(format!("server{}", n % 12)),
                        outcome: some("failure"),
                        ..any()
                    },
                    None,
                )
            }),
        ),
        (
            "two that never meet",
            Box::new(|_| {
                (AuditFilter { kind: some("call."), outcome: some("denied"), rule: some("access"), ..any() }, None)
            }),
        ),
        ("tokens, by the beginning of the kind", Box::new(|_| (AuditFilter { kind: some("token."), ..any() }, None))),
        (
            "a person in one day",
            Box::new(|n| {
                (
                    AuditFilter {
                        person: Some(format!("usr_{n}")),
                        since: Some(Timestamp::from_millis(middle(n))),
                        until: Some(Timestamp::from_millis(middle(n) + 86_400_000)),
                        ..any()
                    },
                    None,
                )
            }),
        ),
        ("a call", Box::new(|n| (AuditFilter { call: Some(call(events as u64 / 50 * n)), ..any() }, None))),
        ("a request", Box::new(|n| (AuditFilter { request: Some(request(events as u64 / 50 * n)), ..any() }, None))),
        ("a call that never was", Box::new(|n| (AuditFilter { call: Some(format!("call_none{n}")), ..any() }, None))),
        ("a part of a name", Box::new(|n| (AuditFilter { text: Some(format!("OL_{}", n % 40)), ..any() }, None))),
        ("a part that no name has", Box::new(|_| (AuditFilter { text: some("nothing like it"), ..any() }, None))),
    ];
    println!("\n| 50 events of | found | p50 ms | p95 ms |\n|---|---:|---:|---:|");
    for (name, question) in questions {
        let (mut took, mut found) = (Vec::new(), 0);
        for n in 0..TIMES {
            let (filter, before) = question(n);
            let before = before.map(|at| (Timestamp::from_millis(at.min(end)), NODE.to_owned(), 0));
            let began = Instant::now();
            found += store.audit(&filter, &AuditPage { limit: 50, before }).await?.len();
            took.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        took.sort_by(f64::total_cmp);
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} |",
            found as f64 / TIMES as f64,
            took[took.len() / 2],
            took[took.len() * 95 / 100]
        );
    }
    println!("\nResident at the end: {:.0} MiB.", resident()?);
    Ok(())
}

fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kilobytes / 1024.0)
}

/// A number that looks like any other, always the same for the same `n`.
fn stirred(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn call(pair: u64) -> String {
    format!("call_{:016x}{:06x}", stirred(pair + 1), pair & 0xff_ffff)
}

fn request(pair: u64) -> String {
    format!("{:016x}{:08x}", stirred(pair ^ 0xabcd_ef00), pair as u32)
}

fn event(seq: i64) -> Result<AuditEntry> {
    let n = seq as u64;
    let (pair, luck) = (n / 2, stirred(n / 2));
    let at = Timestamp::from_millis(BEGINNING + seq * 50);
    let person = luck % PEOPLE;
    let server = (person + luck / PEOPLE % 3) % 12;
    let tool = luck / 4096 % 40;
    let address = format!("10.{}.{}.{}", person % 4, person / 16, person % 251);
    let (call, request, trace) = (call(pair), request(pair), format!("{:016x}{:016x}", stirred(pair * 3), luck));
    let who = match pair {
        1_000 | 2_000 | 3_000 => format!(r#""person":"{RARE}","person_name":"rare""#),
        _ => format!(r#""person":"usr_{person}","person_name":"person.{person}@example.com""#),
    };
    let head = format!(r#"{{"seq":{seq},"at":"{at}","node":"{NODE}""#);
    let hash = format!(r#""hash":"{:016x}{:016x}{:011x}""#, stirred(n * 5), stirred(n * 7), stirred(n * 11) >> 20);
    let actor = format!(
        r#""request":"{request}","trace":"{trace}",{who},"client":"client-{}","address":"{address}""#,
        person % 7
    );
    let target = format!(r#""server":"server{server}","method":"tools/call","name":"tool_{tool}""#);
    let line = match luck >> 32 & 0xff {
        0..4 => format!(
            r#"{head},"event":"token.refreshed",{actor},"outcome":"success","details":{{"grant":"grt_{:016x}"}},{hash}}}"#,
            stirred(person)
        ),
        4..6 => format!(
            r#"{head},"event":"signin.failed",{actor},"outcome":"denied","details":{{"why":"password"}},{hash}}}"#
        ),
        luck_of_pair if n.is_multiple_of(2) => {
            let effect = if luck_of_pair < 12 { "deny" } else { "allow" };
            format!(
                r#"{head},"event":"call.decided","call":"{call}",{actor},{target},"effect":"{effect}","rule":"access","revision":"47DEQpj8HBSa","details":{{"classes":"read","arguments":{{"query":"{:016x}","limit":{},"path":"/srv/projects/{}/readme"}},"request_bytes":{}}},{hash}}}"#,
                stirred(n * 13),
                luck % 100,
                luck % 1000,
                luck % 4000
            )
        }
        luck_of_pair => {
            let outcome = if luck_of_pair > 250 { "failure" } else { "success" };
            format!(
                r#"{head},"event":"call.ended","call":"{call}",{actor},{target},"outcome":"{outcome}","details":{{"duration_us":{},"upstream_us":{},"response_bytes":{}}},{hash}}}"#,
                luck % 90_000,
                luck % 80_000,
                luck % 60_000
            )
        }
    };
    let (_, row) = IndexRow::parse(line.as_bytes())?;
    Ok(AuditEntry { row: row.context("not a checkpoint")?, line })
}
