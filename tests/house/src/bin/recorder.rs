//! Writes events through the gateway's journal as fast as it goes until it is killed, while its tiny segments are sealed.
//! Each event is told on standard output, with its place, only after the journal has said that it is there.
//!
//! usage: recorder DIRECTORY process|power

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use portcullis_audit::{Decision, Event, Kind, Outcome};
use portcullis_base::{CallId, Clock};
use portcullis_gateway::{
    journal::{Durability, Journal, Limits, Retention, Settings},
    system::{SystemClock, SystemRng},
};

const WRITERS: usize = 3;

fn main() -> ExitCode {
    match record() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the output of a command-line program")]
fn tell(error: impl std::fmt::Display) {
    eprintln!("recorder: {error}");
}

fn record() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let dir = PathBuf::from(arguments.next().context("no directory")?);
    let durability = match arguments.next().as_deref() {
        Some("process") => Durability::Process,
        Some("power") => Durability::Power,
        other => bail!("{other:?} is neither process nor power"),
    };
    let limits = Limits {
        segment_bytes: 8 << 10,
        checkpoint_lines: 20,
        checkpoint_after: Duration::from_millis(20),
        ..Limits::default()
    };
    let settings = Settings { dir: &dir, node: "n1", seed: &[7; 32], durability, limits };
    let journal = Journal::open(&settings, Arc::new(SystemClock))?;
    let run = portcullis_base::token::<9>(&SystemRng::new());
    for writer in 0..WRITERS {
        let (journal, run) = (journal.clone(), run.clone());
        thread::spawn(move || write(&journal, &format!("{run}-{writer}")));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    loop {
        runtime.block_on(journal.tick());
        journal.keep(&Retention::default())?;
        thread::sleep(Duration::from_millis(2));
    }
}

/// Calls that are let through and end.
fn write(journal: &Journal, name: &str) {
    for n in 0_u64.. {
        let (call, now) = (CallId::new(format!("{name}-{n}")), SystemClock.now());
        let decision = Decision { effect: "allow", rule: "all".into(), revision: "1".into() };
        let decided = Event::new(Kind::CallDecided, now).decided(decision).call(call.clone());
        let ended = Event::new(Kind::CallEnded, now).outcome(Outcome::Success).call(call.clone());
        for event in [decided, ended] {
            let kind = event.kind.as_str();
            match journal.append_blocking(event) {
                // One write for one line: it is told whole or not at all.
                Ok(place) => {
                    drop(io::stdout().write_all(format!("{} {kind} {}\n", place.seq, call.as_str()).as_bytes()));
                }
                Err(error) => tell(error),
            }
        }
    }
}
