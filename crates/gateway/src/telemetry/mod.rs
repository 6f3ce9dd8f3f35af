//! What goes on, told to those who run the gateway: numbers, traces and one line a request.
//!
//! Promises: nothing here decides anything or stops a call; what cannot be told in time is dropped and counted. No label
//! has more values than the settings allow, whatever clients call things. No token, argument, answer, query or header of a
//! client is in a number, a span or a line.
//!
//! Numbers of calls, sign-ins and tokens come from the events of the record, so both say the same. Deliberately absent:
//! knowledge of the house. Events and requests are handed in; `operations` reads out, `exporting` sends spans.

mod calls;
mod metrics;
pub mod otlp;
mod process;
pub mod protobuf;
mod request;
mod trace;

use std::sync::Arc;

use portcullis_base::{Clock, Rng};
use tokio::sync::mpsc;

pub use self::{
    metrics::{Metrics, StreamOpen},
    process::register as register_process,
    request::{Arrival, Request, Turned},
    trace::{Anchor, Kind, Open, Place, Span, Tracer, Value},
};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Tools of one server with numbers of their own; the others share the label `other`.
    pub tools: usize,
    /// Whether there is a line for each request in the log.
    pub requests: Lines,
    /// How many traces that begin here are recorded, from 0 to 1; `None` if none are, and none are passed on as ours.
    pub sample: Option<f64>,
}

/// Whether there is a line for each request in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// There is.
    Written,
    /// There is not.
    Off,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tools: 100, requests: Lines::Written, sample: None }
    }
}

/// Everything that is told, for one gateway.
pub struct Telemetry {
    /// The numbers.
    pub metrics: Metrics,
    tracer: Option<Arc<Tracer>>,
    lines: Lines,
    clock: Arc<dyn Clock>,
}

impl Telemetry {
    /// What is told according to `settings`, and the end of the queue from which finished spans are to be taken.
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>, rng: &dyn Rng) -> (Arc<Self>, Option<mpsc::Receiver<Span>>) {
        let (tracer, spans) = settings.sample.map(|sample| Tracer::new(sample, rng)).unzip();
        let metrics = Metrics::new(settings.tools);
        let tracer = tracer.map(Arc::new);
        (Arc::new(Self { metrics, tracer, lines: settings.requests, clock }), spans)
    }

    /// Whoever traces, if traces are recorded.
    pub fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.tracer.as_ref()
    }
}
