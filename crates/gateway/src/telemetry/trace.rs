//! Spans: pieces of a request with a beginning and an end, as W3C Trace Context and OpenTelemetry know them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use portcullis_base::{Rng, Timestamp};
use portcullis_mcp::trace::{is_traceparent, is_tracestate};
use tokio::sync::mpsc;

/// Finished spans that wait to be sent. Those that come when it is full are dropped and counted.
const WAITING: usize = 8192;

/// A place in a trace: what the next one is told of where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The trace.
    pub trace: [u8; 16],
    /// The span that is the parent of what follows.
    pub span: [u8; 8],
    /// Whether the trace is recorded.
    pub sampled: bool,
    /// What those before us keep in the trace for themselves (`tracestate`), passed on as it came.
    pub state: Option<Arc<str>>,
}

impl Place {
    /// The place that a `traceparent` and a `tracestate` name; `None` where the former has not its form.
    ///
    /// spec: TR-73
    pub fn read(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let digits = |from, to| {
            is_traceparent(traceparent).then(|| u128::from_str_radix(&traceparent[from..to], 16).ok()).flatten()
        };
        let (trace, span, flags) = (digits(3, 35)?, digits(36, 52)?, digits(53, 55)?);
        Some(Self {
            trace: trace.to_be_bytes(),
            span: (span as u64).to_be_bytes(),
            sampled: flags & 1 == 1,
            state: tracestate.filter(|state| is_tracestate(state)).map(Into::into),
        })
    }

    /// As a `traceparent`.
    pub fn traceparent(&self) -> String {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(self.sampled))
    }
}

/// Which side of a conversation a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work inside the gateway.
    Internal = 1,
    /// A request that was served.
    Server = 2,
    /// A request that was made.
    Client = 3,
}

/// What is said of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// A finished span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its own place.
    pub place: Place,
    /// The span before it.
    pub parent: Option<[u8; 8]>,
    /// What it is called: of a bounded set.
    pub name: String,
    /// Which side it is.
    pub kind: Kind,
    /// Its beginning, in nanoseconds since 1970.
    pub start: u64,
    /// Its end.
    pub end: u64,
    /// What is said of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, if it did.
    pub failed: Option<&'static str>,
}

/// Whoever names spans, chooses which are recorded, and queues them.
pub struct Tracer {
    seed: u64,
    drawn: AtomicU64,
    /// Of 2^63 traces that begin here so many are recorded.
    threshold: u64,
    finished: mpsc::Sender<Span>,
    dropped: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
}

impl Tracer {
    /// One that records the share `sample` (0 to 1) of the traces that begin here, and where its spans come out.
    pub fn new(sample: f64, rng: &dyn Rng) -> (Self, mpsc::Receiver<Span>) {
        let mut seed = [0; 8];
        rng.fill(&mut seed);
        let threshold = (sample.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
        let (finished, spans) = mpsc::channel(WAITING);
        let zero = AtomicU64::default;
        let tracer = Self {
            seed: u64::from_be_bytes(seed),
            drawn: zero(),
            threshold,
            finished,
            dropped: zero(),
            exported: zero(),
            failed: zero(),
        };
        (tracer, spans)
    }

    /// A place after `parent`, or at the beginning of a trace. A trace that comes from elsewhere is recorded if it is there.
    pub fn place(&self, parent: Option<&Place>) -> Place {
        let span = self.draw().to_be_bytes();
        if let Some(parent) = parent {
            return Place { span, ..parent.clone() };
        }
        let trace = ((u128::from(self.draw()) << 64) | u128::from(self.draw())).to_be_bytes();
        let lot = u64::from_be_bytes(trace[8..].try_into().unwrap_or_default()) >> 1;
        Place { trace, span, sampled: lot < self.threshold, state: None }
    }

    /// Queues a finished span for sending; never waits.
    pub fn finish(&self, span: Span) {
        if self.finished.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that so many spans were taken by the receiver, or were not.
    pub fn sent(&self, spans: usize, taken: Result<(), ()>) {
        let count = if taken.is_ok() { &self.exported } else { &self.failed };
        count.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// Spans that were taken by the receiver, that it did not take, and that found the queue full.
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("exported", read(&self.exported)), ("refused", read(&self.failed)), ("dropped", read(&self.dropped))]
    }

    /// Finished spans that wait.
    pub fn waiting(&self) -> usize {
        self.finished.max_capacity() - self.finished.capacity()
    }

    /// A number that no other span of this run has, and of other runs none by any likelihood: SplitMix64. Nobody is let in
    /// by it, so the system is not asked for randomness each time.
    fn draw(&self) -> u64 {
        let step = self.drawn.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut z = self.seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).max(1)
    }
}

/// A moment of the machine's clock, from which a request counts its own time: so no span ends before it began.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    at: Timestamp,
    counted: Instant,
}

impl Anchor {
    /// Now, which is `at`.
    pub fn new(at: Timestamp) -> Self {
        Self { at, counted: Instant::now() }
    }

    /// The time since.
    pub fn elapsed(&self) -> Duration {
        self.counted.elapsed()
    }

    /// Now, in nanoseconds since 1970.
    pub fn nanos(&self) -> u64 {
        self.at.as_millis().unsigned_abs() * 1_000_000 + self.elapsed().as_nanos() as u64
    }

    /// When it is from, in nanoseconds since 1970.
    pub fn start(&self) -> u64 {
        self.at.as_millis().unsigned_abs() * 1_000_000
    }
}

/// A span that has not ended; it does when this is dropped.
pub struct Open {
    tracer: Arc<Tracer>,
    anchor: Anchor,
    span: Option<Span>,
    place: Place,
}

impl Open {
    /// Begins a span after `parent`.
    pub fn begin(tracer: &Arc<Tracer>, anchor: Anchor, parent: &Place, name: &str, kind: Kind) -> Self {
        let place = tracer.place(Some(parent));
        let span = place.sampled.then(|| Span {
            place: place.clone(),
            parent: Some(parent.span),
            name: name.to_owned(),
            kind,
            start: anchor.nanos(),
            end: 0,
            attributes: Vec::new(),
            failed: None,
        });
        Self { tracer: tracer.clone(), anchor, span, place }
    }

    /// Where what happens in it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Says something of it.
    pub fn note(&mut self, key: &'static str, value: impl FnOnce() -> Value) {
        if let Some(span) = &mut self.span {
            span.attributes.push((key, value()));
        }
    }

    /// It failed.
    pub fn failed(&mut self, why: &'static str) {
        if let Some(span) = &mut self.span {
            span.failed = Some(why);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.end = self.anchor.nanos();
            self.tracer.finish(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Same;

    impl Rng for Same {
        fn fill(&self, out: &mut [u8]) {
            out.fill(7);
        }
    }

    /// spec: TR-73
    #[test]
    fn a_place_is_read_and_written_as_it_is_and_nothing_else_is_one() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let place = Place::read(text, Some("a=1")).unwrap();
        assert_eq!((place.traceparent().as_str(), place.state.as_deref()), (text, Some("a=1")));
        assert_eq!(Place::read(text, Some("no state")).unwrap().state, None);
        assert!(!Place::read(&text.replace("-01", "-02"), None).unwrap().sampled);
        assert_eq!(Place::read("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None), None);
    }

    #[test]
    fn traces_from_elsewhere_are_recorded_as_there_and_others_by_their_share() {
        for (share, least, most) in [(0.0, 0, 0), (0.25, 200, 300), (1.0, 1000, 1000)] {
            let (tracer, _spans) = Tracer::new(share, &Same);
            let sampled = (0..1000).filter(|_| tracer.place(None).sampled).count();
            assert!((least..=most).contains(&sampled), "{share}: {sampled}");
            for flag in ["00", "01"] {
                let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flag}");
                let parent = Place::read(&text, Some("a=1")).unwrap();
                let child = tracer.place(Some(&parent));
                assert_eq!((child.sampled, child.trace), (flag == "01", parent.trace));
                assert_ne!(child.span, parent.span);
            }
        }
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (tracer, _spans) = Tracer::new(1.0, &Same);
        let tracer = Arc::new(tracer);
        let root = tracer.place(None);
        let anchor = Anchor::new(Timestamp::from_secs(1));
        for _ in 0..WAITING + 3 {
            drop(Open::begin(&tracer, anchor, &root, "x", Kind::Internal));
        }
        assert_eq!(tracer.counts(), [("exported", 0), ("refused", 0), ("dropped", 3)]);
        assert_eq!(tracer.waiting(), WAITING);
    }
}
