//! The record on its way to other systems: each sink follows the journal by itself and sends what it finds.
//!
//! Promises: nothing waits for a sink, neither a call nor another sink. Every line that a sink is to have arrives at least
//! once: its place in the journal is remembered on the disk after the receiver has taken it, and the journal removes
//! nothing before. What arrives twice are lines of the one batch that was under way when the gateway died, or whose answer
//! was lost; each line has its node and number. A line that a receiver refuses for good is set aside, counted and recorded,
//! and the others go on. What leaves has neither arguments nor results unless the settings say so.
//!
//! Memory is bounded: what waits, waits in the journal.

mod file;
mod otlp;
mod post;
mod progress;
mod receiver;
mod ship;
mod source;
mod status;
mod syslog;
mod webhook;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use portcullis_base::{Clock, Rng};
use tokio::sync::watch;

pub use self::{
    progress::{Failing, Progress},
    status::{Reading, Status},
};
use self::{receiver::Receiver, ship::Shipper, source::Source};
use crate::{
    config,
    journal::Journal,
    outbound::{CertificatesError, Outbound},
};

/// The journal of commands on this machine; the node beside them sends it along.
pub const COMMANDS: &str = "cli";

/// What sinks are made of.
pub struct Parts<'a> {
    /// The data directory.
    pub data: &'a Path,
    /// This node.
    pub node: &'a str,
    /// Its journal.
    pub journal: Journal,
    /// The guarded client.
    pub outbound: Outbound,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

/// Certificates of a sink that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("audit.sinks ({name}): {error}")]
pub struct SinkError {
    name: String,
    error: CertificatesError,
}

/// All sinks of this node, not yet running.
pub struct Sinks(Vec<Shipper>);

/// All sinks of this node. They end with [`Running::finish`], not by being dropped.
pub struct Running {
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

/// Where the places of a sink in journals are remembered.
pub fn folder(data: &Path, sink: &str) -> PathBuf {
    data.join("sinks").join(sink)
}

impl Sinks {
    /// The sinks that the settings name.
    pub fn new(settings: &[config::Sink], parts: &Parts<'_>) -> Result<Self, SinkError> {
        let shipper = |sink: &config::Sink| {
            let receiver = Receiver::of(sink, parts).map_err(|error| SinkError { name: sink.name.clone(), error })?;
            let sources = [parts.node, COMMANDS].map(|journal| Source::new(parts, &sink.name, journal));
            Ok(Shipper::new(sink, receiver, sources.into(), parts))
        };
        settings.iter().map(shipper).collect::<Result<_, _>>().map(Self)
    }

    /// How each of them is, at any time.
    pub fn statuses(&self) -> Vec<Arc<Status>> {
        self.0.iter().map(Shipper::status).collect()
    }

    /// Starts them, each on a thread of its own: one that waits for a disk or a peer holds up nobody else.
    pub fn start(self) -> io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let thread = |shipper: Shipper| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let stopped = stopped.clone();
            std::thread::Builder::new().name("audit-sink".into()).spawn(move || runtime.block_on(shipper.run(stopped)))
        };
        let threads = self.0.into_iter().map(thread).collect::<io::Result<_>>()?;
        Ok(Running { stop, threads })
    }
}

impl Running {
    /// Sends what is left, as far as that is done soon, and ends. The rest is sent after the next start.
    pub async fn finish(self) {
        self.stop.send_replace(true);
        let ended = tokio::task::spawn_blocking(|| self.threads.into_iter().try_for_each(JoinHandle::join)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("a sink ended by a panic; what it had not sent is sent after the next start");
        }
    }
}
