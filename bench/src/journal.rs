//! What the journal alone takes of a call: the decision and the end of as many calls, written by as many writers at a time
//! as a run of `run` has connections, with nothing else around them.
//!
//! The gateway cannot be told to keep no record. What a call would cost without one is its cost less this.

use std::{fs, path::PathBuf, sync::Arc, thread, time::Instant};

use anyhow::{Context, Result};
use portcullis_audit::{Decision, Event, Kind, Outcome, Target};
use portcullis_base::{CallId, Clock, ServerName};
use portcullis_gateway::{
    journal::{Durability, Journal, Limits, Settings},
    system::SystemClock,
};

/// What `journal` measures.
#[derive(clap::Args)]
pub struct Alone {
    /// Calls in all.
    #[arg(long, default_value_t = 400_000)]
    calls: usize,
    /// Writers at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,64")]
    writers: Vec<usize>,
    /// Where the journal is written; a temporary folder without.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Measures.
#[expect(clippy::print_stdout, reason = "the output of a command-line program")]
pub fn run(alone: &Alone) -> Result<()> {
    println!("| writers | durability | calls/s | CPU µs/call | bytes/call |\n|---:|---|---:|---:|---:|");
    for &writers in &alone.writers {
        for (name, durability) in [("process", Durability::Process), ("power", Durability::Power)] {
            // What waits for the disk at each group is slow with one writer.
            let calls = if durability == Durability::Power { alone.calls / 20 } else { alone.calls };
            let temporary = tempfile::tempdir()?;
            let folder =
                alone.folder.clone().unwrap_or_else(|| temporary.path().to_owned()).join(format!("{name}-{writers}"));
            let settings =
                Settings { dir: &folder, node: "bench", seed: &[7; 32], durability, limits: Limits::default() };
            let journal = Journal::open(&settings, Arc::new(SystemClock))?;
            let (began, used) = (Instant::now(), cpu()?);
            thread::scope(|scope| {
                let all: Vec<_> = (0..writers)
                    .map(|writer| {
                        scope.spawn({
                            let journal = &journal;
                            move || write(journal, writer, calls / writers)
                        })
                    })
                    .collect();
                all.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?)
            })?;
            let (took, used) = (began.elapsed().as_secs_f64(), cpu()? - used);
            let made = (calls / writers * writers) as f64;
            let bytes: u64 = fs::read_dir(folder.join("bench"))?
                .flatten()
                .map(|file| file.metadata().map_or(0, |it| it.len()))
                .sum();
            println!(
                "| {writers} | {name} | {:.0} | {:.1} | {:.0} |",
                made / took,
                used * 1e6 / made,
                bytes as f64 / made
            );
        }
    }
    Ok(())
}

/// The two events of each call, as the data path has them.
fn write(journal: &Journal, writer: usize, calls: usize) -> Result<()> {
    let server = ServerName::parse("bench").map_err(|error| anyhow::anyhow!("{error}"))?;
    for n in 0..calls {
        let (call, now) = (CallId::new(format!("call_{writer:08}{n:012}")), SystemClock.now());
        let target =
            Target { server: Some(server.clone()), method: Some("tools/call".into()), name: Some("work".into()) };
        let decision = Decision { effect: "allow", rule: "access".into(), revision: "47DEQpj8HBSa".into() };
        let decided = Event::new(Kind::CallDecided, now)
            .on(target.clone())
            .decided(decision)
            .call(call.clone())
            .text("classes", "read".to_owned())
            .text("arguments", "the quick brown fox jumps over the lazy dog ".repeat(8))
            .number("request_bytes", 700);
        journal.append_blocking(decided)?;
        let ended = Event::new(Kind::CallEnded, now)
            .on(target)
            .outcome(Outcome::Success)
            .call(call)
            .number("duration_us", 100)
            .number("upstream_us", 60)
            .number("decision_us", 20)
            .text("result_digest", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU".to_owned())
            .number("response_bytes", 1000);
        journal.append_blocking(ended)?;
    }
    Ok(())
}

/// CPU seconds that this process has used.
fn cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<_> = stat[stat.rfind(')').context("stat")? + 2..].split(' ').collect();
    Ok((fields[11].parse::<u64>()? + fields[12].parse::<u64>()?) as f64 / 100.0)
}
