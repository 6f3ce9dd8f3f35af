//! The numbers that are counted as things happen. What can be read at any moment is read when it is asked for
//! (`operations`).

use std::{fmt, sync::Arc, time::Duration};

use portcullis_audit::{Event, Kind, Outcome};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode_registry},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::calls::Calls;

/// Seconds until the head of an answer.
const REQUEST: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: Arc<str>,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result {
    outcome: &'static str,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    calls: Calls,
    events: Vec<(Kind, Counter)>,
    sign_ins: Family<Result, Counter>,
    tokens: Family<Result, Counter>,
    refreshes: Family<Result, Counter>,
    approvals: Family<Result, Counter>,
    limits: Family<What, Counter>,
    requests: Family<Answered, Counter>,
    durations: Family<Route, Histogram>,
    streams: Gauge,
    in_flight: Gauge,
}

impl Metrics {
    /// Nothing counted yet; at most `tools` tools of one server have numbers of their own.
    pub fn new(tools: usize) -> Self {
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct Named {
            event: &'static str,
        }

        let mut registry = Registry::with_prefix("portcullis");
        let calls = Calls::new(tools, &mut registry);
        let named = Family::<Named, Counter>::default();
        let events = Kind::ALL.iter().map(|kind| {
            let counter = named.get_or_create(&Named { event: kind.as_str() }).clone();
            (*kind, counter)
        });
        let events = events.collect();
        registry.register("events", "Events given to the record, by their kind", named);
        let [sign_ins, tokens, refreshes, approvals] = std::array::from_fn(|_| Family::<Result, Counter>::default());
        registry.register("sign_ins", "Attempts to sign in", sign_ins.clone());
        registry.register("tokens", "What was done at the token endpoint", tokens.clone());
        registry.register("connection_refreshes", "Renewals of what people have at servers", refreshes.clone());
        registry.register("approvals", "What became of calls that waited for humans", approvals.clone());
        let limits = Family::<What, Counter>::default();
        registry.register("limits_hit", "Requests that a limit held up", limits.clone());
        let requests = Family::<Answered, Counter>::default();
        registry.register(
            "http_requests",
            "Requests to the public address; status 0: gone before an answer",
            requests.clone(),
        );
        let durations = Family::<Route, Histogram>::new_with_constructor(|| Histogram::new(REQUEST));
        let help = "Time until the head of an answer";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, durations.clone());
        let (streams, in_flight) = (Gauge::default(), Gauge::default());
        registry.register("streams_open", "Event streams to clients that are open", streams.clone());
        registry.register("http_requests_in_flight", "Requests whose answer has not ended", in_flight.clone());
        let metrics = Self {
            registry,
            calls,
            events,
            sign_ins,
            tokens,
            refreshes,
            approvals,
            limits,
            requests,
            durations,
            streams,
            in_flight,
        };
        // What did not happen yet is told as 0, so that its first time is seen as a change.
        for (kind, _) in &metrics.events {
            if let Some((family, outcome)) = metrics.outcome(*kind, None) {
                let _ = family.get_or_create(&Result { outcome });
            }
        }
        for what in ["rule", "requests"] {
            let _ = metrics.limits.get_or_create(&What { what });
        }
        metrics
    }

    /// Counts an event of the record.
    pub fn observe(&self, event: &Event) {
        if let Some((_, counter)) = self.events.iter().find(|(kind, _)| *kind == event.kind) {
            counter.inc();
        }
        self.calls.observe(event);
        if let Some((family, outcome)) = self.outcome(event.kind, event.outcome) {
            family.get_or_create(&Result { outcome }).inc();
        }
        if event.kind == Kind::CallDecided && event.details.iter().any(|(key, _)| *key == "limit") {
            self.limits.get_or_create(&What { what: "rule" }).inc();
        }
    }

    fn outcome(&self, kind: Kind, outcome: Option<Outcome>) -> Option<(&Family<Result, Counter>, &'static str)> {
        Some(match kind {
            Kind::SigninSucceeded => (&self.sign_ins, "success"),
            Kind::SigninFailed => (&self.sign_ins, "failure"),
            Kind::TokenIssued => (&self.tokens, "issued"),
            Kind::TokenRefreshed => (&self.tokens, "refreshed"),
            Kind::TokenRedelivered => (&self.tokens, "redelivered"),
            Kind::TokenReplayed => (&self.tokens, "replayed"),
            Kind::TokenRefused => (&self.tokens, "refused"),
            Kind::TokenRevoked => (&self.tokens, "revoked"),
            Kind::ConnectionRefreshed if outcome.is_none_or(|outcome| outcome == Outcome::Success) => {
                (&self.refreshes, "ok")
            }
            Kind::ConnectionRefreshed | Kind::ConnectionLost => (&self.refreshes, "failed"),
            Kind::ApprovalAsked => (&self.approvals, "asked"),
            Kind::ApprovalGranted => (&self.approvals, "granted"),
            Kind::ApprovalRefused => (&self.approvals, "refused"),
            Kind::ApprovalWithdrawn => (&self.approvals, "withdrawn"),
            Kind::ApprovalExpired => (&self.approvals, "expired"),
            Kind::ApprovalUnknown => (&self.approvals, "unknown"),
            _ => return None,
        })
    }

    /// A request has arrived.
    pub(super) fn arrived(&self) {
        self.in_flight.inc();
    }

    /// A request to `route`, of a bounded set, got the head of its answer after so long.
    pub(super) fn answered(&self, route: &Arc<str>, method: &'static str, status: u16, after: Duration) {
        self.requests.get_or_create(&Answered { route: route.clone(), method, status }).inc();
        self.durations.get_or_create(&Route { route: route.clone() }).observe(after.as_secs_f64());
        if status == 429 {
            self.limits.get_or_create(&What { what: "requests" }).inc();
        }
    }

    /// The answer to a request has ended.
    pub(super) fn ended(&self) {
        self.in_flight.dec();
    }

    /// Counts an event stream for as long as the returned value lives.
    pub fn stream(&self) -> StreamOpen {
        self.streams.inc();
        StreamOpen(self.streams.clone())
    }

    /// Writes what was counted as OpenMetrics text, without its end.
    pub fn write(&self, text: &mut String) -> fmt::Result {
        encode_registry(text, &self.registry)
    }
}

/// An event stream that is open.
pub struct StreamOpen(Gauge);

impl Drop for StreamOpen {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use portcullis_audit::{Decision, Target};
    use portcullis_base::{ServerName, Timestamp};

    use super::*;

    fn call(kind: Kind, server: &str, method: &'static str, tool: String) -> Event {
        let target = Target {
            server: Some(ServerName::parse(server).unwrap()),
            method: Some(method.into()),
            name: Some(Cow::Owned(tool)),
        };
        let decision = Decision { effect: "allow", rule: "r".into(), revision: "1".into() };
        Event::new(kind, Timestamp::from_secs(1)).on(target).decided(decision)
    }

    fn text(metrics: &Metrics) -> String {
        let mut text = String::new();
        metrics.write(&mut text).unwrap();
        text
    }

    #[test]
    fn made_up_names_share_one_label_and_definitions_get_only_so_many() {
        let metrics = Metrics::new(3);
        for number in 0..10_000 {
            let tool = format!("made-up-{number}");
            let ended = call(Kind::CallEnded, "wiki", "tools/call", tool.clone()).outcome(Outcome::Success);
            metrics.observe(&ended.number("duration_us", 1500));
            metrics.observe(&call(Kind::CallDecided, "wiki", "tools/call", tool).outcome(Outcome::Denied));
            metrics.observe(&call(Kind::CallEnded, "wiki", "tools/list", String::new()).outcome(Outcome::Success));
        }
        let before = text(&metrics);
        assert!(!before.contains("made-up"), "{before}");
        assert!(before.contains(
            r#"portcullis_calls_total{server="wiki",method="tools/call",tool="other",outcome="success"} 10000"#
        ));
        assert!(before.contains(r#"tool="other",outcome="denied"} 10000"#));
        assert!(before.contains(r#"portcullis_call_duration_seconds_count{server="wiki",tool="other"} 10000"#));
        for number in 0..10 {
            let event = call(Kind::CallDecided, "wiki", "tools/call", format!("tool-{number}\u{202e}"));
            metrics.observe(&event.text("definition", "digest"));
        }
        let after = text(&metrics);
        let labels = (0..10).filter(|number| after.contains(&format!("tool=\"tool-{number}"))).count();
        assert_eq!(labels, 3);
        assert!(!after.contains('\u{202e}'));
    }

    #[test]
    fn events_are_counted_as_what_they_mean() {
        let metrics = Metrics::new(3);
        let event = |kind| Event::new(kind, Timestamp::from_secs(1));
        metrics.observe(&event(Kind::SigninFailed));
        metrics.observe(&event(Kind::TokenReplayed));
        metrics.observe(&event(Kind::ConnectionLost).outcome(Outcome::Failure));
        let text = text(&metrics);
        for line in [
            r#"portcullis_sign_ins_total{outcome="failure"} 1"#,
            r#"portcullis_sign_ins_total{outcome="success"} 0"#,
            r#"portcullis_tokens_total{outcome="replayed"} 1"#,
            r#"portcullis_connection_refreshes_total{outcome="failed"} 1"#,
            r#"portcullis_connection_refreshes_total{outcome="ok"} 0"#,
            r#"portcullis_events_total{event="token.replayed"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
