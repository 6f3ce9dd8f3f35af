//! Measures what the gate costs: the same calls direct to an upstream, through nginx as a plain reverse proxy, and through
//! Portcullis with token, policy and audit on: straight, bridged between revisions both ways, and in a toolbox, in one run on
//! one machine.
//!
//! The numbers that count are ratios between rows of one run; absolute numbers belong to the machine. Run it with
//! `cargo run --release -p portcullis-bench -- run`. It is not part of the tests. `-- index` measures the index of the journals,
//! `-- journal` what the journal alone takes of a call.

mod http;
mod index;
mod journal;
mod load;
mod report;
mod sessions;
mod targets;
mod upstream;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::targets::Endpoint;

#[derive(Parser)]
#[command(about = "Benchmark of the data path: direct, nginx, Portcullis")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything and print the ratios.
    Run(Run),
    /// Fill the audit index, and ask it.
    Index(index::Index),
    /// What the journal alone takes of a call.
    Journal(journal::Alone),
    /// The fast upstream (started by `run` as a process of its own).
    Upstream {
        /// Where to listen.
        listen: SocketAddr,
        /// What to speak.
        speaks: upstream::Speaks,
    },
}

/// What `run` measures.
#[derive(clap::Args)]
struct Run {
    /// The gateway's binary.
    #[arg(long, default_value = "target/release/portcullis")]
    portcullis: PathBuf,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often each measurement is repeated; the median is reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Numbers of keep-alive connections.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    concurrency: Vec<usize>,
    /// Numbers of open sessions, each with its event stream, for the memory measurement.
    #[arg(long, value_delimiter = ',', default_value = "1000,5000")]
    sessions: Vec<usize>,
    /// Open sessions, and how many of them have an event stream, at a server of 2026-07-28: `IDLE/STREAMS`.
    #[arg(long, default_value = "5000/2000")]
    bridged: sessions::Crowd,
    /// What the gateway may take with these, in MiB; more fails the run.
    #[arg(long, default_value_t = 300.0)]
    bridged_mib: f64,
    /// Where to write all numbers.
    #[arg(long, default_value = "target/benchmark.json")]
    json: PathBuf,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match Arguments::parse().command {
        Command::Run(run) => runtime.block_on(measure(run)),
        Command::Index(index) => runtime.block_on(index::run(&index)),
        Command::Journal(alone) => journal::run(&alone),
        Command::Upstream { listen, speaks } => runtime.block_on(upstream::serve(listen, speaks)),
    }
}

async fn measure(run: Run) -> Result<()> {
    let quiet = report::quietness()?;
    let house = targets::House::start(&run.portcullis).await?;
    let mut report = report::Report::new(quiet, house.idle_memory()?);
    for &connections in &run.concurrency {
        for target in house.targets() {
            load::run(target, connections, Duration::from_secs(1)).await?;
        }
        for _ in 0..run.rounds {
            for target in house.targets() {
                report.add(load::run(target, connections, Duration::from_secs(run.seconds)).await?);
            }
        }
        report::progress(connections);
    }
    // First, because what the others took is not all given back at once.
    let bridged = sessions::open(&house, Endpoint::STATELESS, run.bridged).await?;
    let taken = bridged.resident_mib;
    report.sessions(bridged);
    for &count in &run.sessions {
        report.sessions(sessions::open(&house, Endpoint::SESSIONS, sessions::Crowd::streams(count)).await?);
    }
    report.print();
    report.write(&run.json)?;
    let most = run.bridged_mib;
    ensure!(taken <= most, "bridged sessions take {taken:.1} MiB, more than the {most:.1} MiB of --bridged-mib");
    Ok(())
}
