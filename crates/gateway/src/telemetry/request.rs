//! One request from its arrival to the end of its answer: its place in a trace, what is known of it, its one line.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_audit::{Actor, Correlation, Event, Kind as EventKind, Outcome};
use portcullis_base::{ServerName, printable};

use super::{
    Lines, Telemetry,
    trace::{Anchor, Kind, Open, Place, Span, Value},
};

/// Characters of a name in a line or a span.
const NAME: usize = 100;

/// A request that is being served.
pub struct Request {
    telemetry: Arc<Telemetry>,
    id: [u8; 12],
    method: &'static str,
    received: u64,
    anchor: Anchor,
    known: Mutex<Known>,
}

/// What is known of it so far.
struct Known {
    route: Arc<str>,
    /// Where the client said it stands.
    theirs: Option<Place>,
    /// Where it stands in our traces.
    ours: Option<Place>,
    person: Option<String>,
    client: Option<String>,
    server: Option<String>,
    method: Option<Cow<'static, str>>,
    tool: Option<String>,
    outcome: Option<Outcome>,
    /// Who asks, as far as they proved it, and of which server.
    asked: (Actor, Option<ServerName>),
    /// Why it is turned away.
    why: Option<Cow<'static, str>>,
    /// Whether the record tells of a call in it, or of something in it that did not end well.
    recorded: bool,
}

/// A request that was turned away, and of which nothing stands in the record.
pub struct Turned {
    /// Who asked, as far as they proved it.
    pub actor: Actor,
    /// Which server they asked, if they are known.
    pub server: Option<ServerName>,
    /// The method of HTTP.
    pub method: &'static str,
    /// The route: a pattern, not an address.
    pub route: Arc<str>,
    /// Why, if anybody said so.
    pub why: Option<Cow<'static, str>>,
}

/// What has just arrived.
pub struct Arrival<'a> {
    /// Its identifier, among all that this gateway ever served.
    pub id: [u8; 12],
    /// The method of HTTP.
    pub method: &'a str,
    /// What kind of address it is for, of a bounded set.
    pub route: &'static str,
    /// Bytes of its body, as far as it says.
    pub received: u64,
    /// Its `traceparent` and `tracestate`.
    pub trace: (Option<&'a str>, Option<&'a str>),
}

impl Request {
    /// A request that has just arrived.
    pub fn arrived(telemetry: &Arc<Telemetry>, arrival: Arrival<'_>) -> Arc<Self> {
        const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
        let Arrival { id, method, route, received, trace: (parent, state) } = arrival;
        telemetry.metrics.arrived();
        let theirs = parent.and_then(|parent| Place::read(parent, state));
        let ours = telemetry.tracer.as_ref().map(|tracer| tracer.place(theirs.as_ref()));
        let known = Known {
            route: route.into(),
            theirs,
            ours,
            person: None,
            client: None,
            server: None,
            method: None,
            tool: None,
            outcome: None,
            asked: Default::default(),
            why: None,
            recorded: false,
        };
        Arc::new(Self {
            telemetry: telemetry.clone(),
            id,
            method: METHODS.into_iter().find(|known| *known == method).unwrap_or("other"),
            received,
            anchor: Anchor::new(telemetry.clock.now()),
            known: Mutex::new(known),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its identifier as it is answered and recorded.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// What ties events to it.
    pub fn correlation(&self) -> Correlation {
        let known = self.known();
        let place = known.ours.as_ref().or(known.theirs.as_ref());
        Correlation { request: Some(self.id), trace: place.map(|place| place.trace) }
    }

    /// Where it stands in our traces, if they are recorded.
    pub fn place(&self) -> Option<Place> {
        self.known().ours.clone()
    }

    /// The message in it says where it stands. That is nearer to whoever asks than what the header says.
    pub fn stands(&self, place: Place) {
        let mut known = self.known();
        if let (Some(ours), Some(tracer)) = (&known.ours, &self.telemetry.tracer) {
            // The span keeps its name: what was begun in it until now stays in it.
            let child = tracer.place(Some(&place));
            known.ours = Some(Place { span: ours.span, ..child });
        }
        known.theirs = Some(place);
    }

    /// Begins a span after `parent`, if traces are recorded.
    pub fn open(&self, parent: &Place, name: &str, kind: Kind) -> Option<Open> {
        let tracer = self.telemetry.tracer.as_ref()?;
        Some(Open::begin(tracer, self.anchor, parent, name, kind))
    }

    /// The route that it was found to be for: the pattern, not the address.
    pub fn routed(&self, route: &str) {
        let mut known = self.known();
        if *known.route != *route {
            known.route = route.into();
        }
    }

    /// Takes over what an event of it says.
    pub fn note(&self, event: &Event) {
        let mut known = self.known();
        let of_call = matches!(event.kind, EventKind::CallDecided | EventKind::CallEnded);
        known.recorded |= of_call || event.outcome.is_some_and(|outcome| outcome != Outcome::Success);
        let text = |text: &str| Some(printable(text, NAME));
        let actor = &event.actor;
        if let Some(person) = &actor.person {
            known.person = text(person.as_str());
        }
        if let Some(client) = &actor.client {
            known.client = text(client.as_str());
        }
        if let Some(server) = &event.target.server {
            known.server = text(server.as_str());
        }
        if let Some(method) = &event.target.method {
            known.method = Some(match method {
                Cow::Borrowed(method) => Cow::Borrowed(method),
                Cow::Owned(method) => printable(method, NAME).into(),
            });
        }
        // The name of a resource is an address, which may hold anything: only what is called by its name is named.
        let named = matches!(event.target.method.as_deref(), Some("tools/call" | "prompts/get"));
        if let (EventKind::CallDecided | EventKind::CallEnded, true, Some(name)) =
            (event.kind, named, &event.target.name)
        {
            known.tool = text(name);
        }
        if event.outcome.is_some() {
            known.outcome = event.outcome;
        }
    }

    /// It is known who asks, and of which server.
    pub fn asked(&self, by: Actor, server: Option<ServerName>) {
        self.known().asked = (by, server);
    }

    /// If it is turned away, then because of this.
    pub fn because(&self, why: Cow<'static, str>) {
        self.known().why = Some(why);
    }

    /// What is known of it, now that it is turned away; `None` if the record tells of it already.
    pub fn turned_away(&self) -> Option<Turned> {
        let known = self.known();
        let (actor, server) = known.asked.clone();
        let (method, route, why) = (self.method, known.route.clone(), known.why.clone());
        (!known.recorded).then_some(Turned { actor, server, method, route, why })
    }

    /// The head of the answer is known.
    pub fn answered(&self, status: u16) {
        let route = self.known().route.clone();
        self.telemetry.metrics.answered(&route, self.method, status, self.anchor.elapsed());
    }

    /// It is over: with this status, 0 if it never had an answer, and so many bytes of body.
    pub fn ended(&self, status: u16, sent: u64) {
        self.telemetry.metrics.ended();
        let known = self.known();
        self.span(&known, status);
        if self.telemetry.lines == Lines::Off {
            return;
        }
        let place = known.ours.as_ref().or(known.theirs.as_ref());
        tracing::info!(
            target: "portcullis::request",
            duration_ms = self.anchor.elapsed().as_micros() as f64 / 1000.0,
            http.method = self.method,
            http.route = &*known.route,
            http.status = status,
            request_bytes = self.received,
            response_bytes = sent,
            person.id = known.person.as_deref(),
            client.id = known.client.as_deref(),
            server.name = known.server.as_deref(),
            mcp.method = known.method.as_deref(),
            tool.name = known.tool.as_deref(),
            outcome = known.outcome.map(Outcome::as_str),
            request.id = hex(&self.id),
            trace.id = place.map(|place| hex(&place.trace)),
            "request"
        );
    }

    fn span(&self, known: &Known, status: u16) {
        let (Some(place), Some(tracer)) = (&known.ours, &self.telemetry.tracer) else { return };
        if !place.sampled {
            return;
        }
        let texts = [
            ("http.request.method", Some(self.method)),
            ("http.route", Some(&*known.route)),
            ("mcp.method.name", known.method.as_deref()),
            ("mcp.server.name", known.server.as_deref()),
            ("gen_ai.tool.name", known.tool.as_deref()),
            ("portcullis.outcome", known.outcome.map(Outcome::as_str)),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, Value::Text(text?.to_owned()))));
        let request = ("portcullis.request.id", Value::Text(self.id()));
        let status_code = ("http.response.status_code", Value::Number(i64::from(status)));
        tracer.finish(Span {
            place: place.clone(),
            parent: known.theirs.as_ref().map(|theirs| theirs.span),
            name: format!("{} {}", self.method, known.route),
            kind: Kind::Server,
            start: self.anchor.start(),
            end: self.anchor.nanos(),
            attributes: texts.chain([request, status_code]).collect(),
            failed: (status >= 500 || status == 0).then_some("no answer"),
        });
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
