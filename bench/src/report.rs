//! Medians, ratios, the table and the JSON.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{load::Measurement, sessions::Sessions};

/// All numbers of one run.
#[derive(Serialize)]
pub struct Report {
    /// One-minute load average before the run: near zero on a quiet machine.
    load_before: f64,
    /// Resident memory of the idle gateway in MiB.
    idle_mib: f64,
    /// Every measurement, in order.
    measurements: Vec<Measurement>,
    /// Memory with open sessions.
    sessions: Vec<Sessions>,
}

/// The one-minute load average.
pub fn quietness() -> Result<f64> {
    Ok(fs::read_to_string("/proc/loadavg")?.split(' ').next().context("loadavg")?.parse()?)
}

/// Says that one step is done.
#[expect(clippy::print_stderr, reason = "progress of a command-line program")]
pub fn progress(connections: usize) {
    eprintln!("concurrency {connections}: done");
}

impl Report {
    /// An empty report.
    pub fn new(load_before: f64, idle_mib: f64) -> Self {
        Self { load_before, idle_mib, measurements: Vec::new(), sessions: Vec::new() }
    }

    /// Adds a measurement.
    pub fn add(&mut self, measurement: Measurement) {
        self.measurements.push(measurement);
    }

    /// Adds a memory reading.
    pub fn sessions(&mut self, sessions: Sessions) {
        self.sessions.push(sessions);
    }

    /// The table, as Markdown.
    #[expect(clippy::print_stdout, reason = "the output of a command-line program")]
    pub fn print(&self) {
        println!("Load average before the run: {:.2}\n", self.load_before);
        println!("| concurrency | target | calls/s | of nginx | p50 ms | p99 ms | p99.9 ms | CPU µs/call | of nginx |");
        println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|");
        let mut levels: Vec<_> = self.measurements.iter().map(|measurement| measurement.concurrency).collect();
        levels.dedup();
        for level in levels {
            let nginx = self.median("nginx", level);
            for target in self.targets() {
                let row = self.median(target, level);
                let cpu = row.cpu_us.map_or("–".to_owned(), |cpu| format!("{cpu:.1}"));
                let cpu_ratio = row
                    .cpu_us
                    .zip(nginx.cpu_us)
                    .map_or("–".to_owned(), |(row, nginx)| format!("{:.2} ×", row / nginx));
                println!(
                    "| {level} | {target} | {:.0} | {:.0} % | {:.3} | {:.3} | {:.3} | {cpu} | {cpu_ratio} |",
                    row.calls_per_second,
                    100.0 * row.calls_per_second / nginx.calls_per_second,
                    row.p50_ms,
                    row.p99_ms,
                    row.p999_ms,
                );
            }
        }
        if self.measurements.iter().any(|measurement| measurement.concurrency == 1) {
            let added = self.median("portcullis", 1).p50_ms - self.median("direct", 1).p50_ms;
            println!("\nAdded p50 at concurrency 1 over direct: {added:.3} ms");
        }
        println!("\nMemory of the gateway: idle {:.1} MiB", self.idle_mib);
        for sessions in &self.sessions {
            println!(
                "with {} open sessions at {}, {} of them with an event stream: {:.1} MiB",
                sessions.count, sessions.endpoint, sessions.streams, sessions.resident_mib
            );
        }
    }

    /// Writes every number as JSON.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, serde_json::to_vec_pretty(self)?).with_context(|| format!("writing {}", path.display()))
    }

    /// What was measured, in order.
    fn targets(&self) -> Vec<&'static str> {
        let mut targets = Vec::new();
        for measurement in &self.measurements {
            if !targets.contains(&measurement.target) {
                targets.push(measurement.target);
            }
        }
        targets
    }

    /// The repetition with the median throughput.
    fn median(&self, target: &str, concurrency: usize) -> &Measurement {
        let mut rows: Vec<_> = self
            .measurements
            .iter()
            .filter(|measurement| measurement.target == target && measurement.concurrency == concurrency)
            .collect();
        rows.sort_by(|a, b| a.calls_per_second.total_cmp(&b.calls_per_second));
        rows[rows.len() / 2]
    }
}
