//! Numbers of calls by server, tool and outcome. Their handles are made once and found again by looking them up; what
//! clients make up gets none.
//!
//! A tool has a label of its own as soon as a call of it was judged by its definition, which nobody but its server writes;
//! and only so many tools of a server have one. Everything else is `other`.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use portcullis_audit::{Event, Kind, Outcome, Value};
use portcullis_base::{ServerName, printable};
use portcullis_mcp::Method;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Seconds that a whole call takes.
const CALL: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];
/// Seconds that a decision takes.
const DECISION: [f64; 10] = [0.000_02, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 1.0];
/// Servers with numbers of their own.
const SERVERS: usize = 1000;
/// Characters of a tool's name in a label.
const NAME: usize = 64;
/// What shares one label.
const OTHER: &str = "other";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    server: Arc<str>,
    method: &'static str,
    tool: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tool {
    server: Arc<str>,
    tool: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Server {
    server: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Effect {
    server: Arc<str>,
    effect: &'static str,
}

/// The numbers of all calls.
pub struct Calls {
    tools: usize,
    ended: Family<Call, Counter>,
    durations: Family<Tool, Histogram>,
    decisions: Family<Server, Histogram>,
    upstreams: Family<Server, Histogram>,
    effects: Family<Effect, Counter>,
    servers: RwLock<HashMap<ServerName, Arc<OfServer>>>,
    others: Arc<OfServer>,
}

/// The handles of one server.
struct OfServer {
    name: Arc<str>,
    decision: Histogram,
    upstream: Histogram,
    tools: RwLock<HashMap<Box<str>, Arc<OfTool>>>,
    other: Arc<OfTool>,
    methods: RwLock<HashMap<&'static str, Arc<OfTool>>>,
}

/// The handles of one tool, or of a method that has no tools.
struct OfTool {
    outcomes: [Counter; OUTCOMES.len()],
    duration: Histogram,
}

const OUTCOMES: [Outcome; 5] =
    [Outcome::Success, Outcome::Failure, Outcome::Denied, Outcome::Timeout, Outcome::Unknown];

impl Calls {
    /// No calls yet, in `registry`; at most `tools` tools of one server have a label of their own.
    pub fn new(tools: usize, registry: &mut Registry) -> Self {
        let ended = Family::<Call, Counter>::default();
        let call = || Histogram::new(CALL);
        let durations = Family::<Tool, Histogram>::new_with_constructor(call);
        let decisions = Family::<Server, Histogram>::new_with_constructor(|| Histogram::new(DECISION));
        let upstreams = Family::<Server, Histogram>::new_with_constructor(call);
        let effects = Family::<Effect, Counter>::default();
        registry.register("calls", "Calls that ended or were not let through", ended.clone());
        let seconds = || Unit::Seconds;
        let help = "Time from the decision to the end of calls that were let through";
        registry.register_with_unit("call_duration", help, seconds(), durations.clone());
        let help = "Time to judge a call and to write that down";
        registry.register_with_unit("decision_duration", help, seconds(), decisions.clone());
        let help = "Time that the server had a call, from sending it to its end";
        registry.register_with_unit("upstream_duration", help, seconds(), upstreams.clone());
        registry.register("decisions", "What the rules said of calls", effects.clone());
        let mut calls = Self {
            tools,
            ended,
            durations,
            decisions,
            upstreams,
            effects,
            servers: RwLock::default(),
            others: Arc::new(OfServer {
                name: OTHER.into(),
                decision: Histogram::new(DECISION),
                upstream: Histogram::new(CALL),
                tools: RwLock::default(),
                other: Arc::new(OfTool { outcomes: Default::default(), duration: Histogram::new(CALL) }),
                methods: RwLock::default(),
            }),
        };
        calls.others = Arc::new(calls.of_server(OTHER.into()));
        calls
    }

    /// Counts what the record says of calls.
    pub fn observe(&self, event: &Event) {
        let Some(server) = &event.target.server else { return };
        match event.kind {
            Kind::CallDecided => {
                let of_server = self.server(server);
                let Some(decision) = &event.decision else { return };
                let effect = Effect { server: of_server.name.clone(), effect: decision.effect };
                self.effects.get_or_create(&effect).inc();
                let known = event.details.iter().any(|(key, _)| *key == "definition");
                let tool = self.tool(&of_server, event, known);
                if event.outcome == Some(Outcome::Denied) {
                    tool.count(Outcome::Denied);
                }
            }
            Kind::CallEnded => {
                let of_server = self.server(server);
                let tool = self.tool(&of_server, event, false);
                tool.count(event.outcome.unwrap_or(Outcome::Unknown));
                for (key, value) in &event.details {
                    let Value::Number(micros) = value else { continue };
                    let histogram = match *key {
                        "duration_us" => &tool.duration,
                        "decision_us" => &of_server.decision,
                        "upstream_us" => &of_server.upstream,
                        _ => continue,
                    };
                    histogram.observe(*micros as f64 / 1e6);
                }
            }
            _ => {}
        }
    }

    fn server(&self, name: &ServerName) -> Arc<OfServer> {
        if let Some(found) = self.servers.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return found.clone();
        }
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= SERVERS {
            return self.others.clone();
        }
        servers.entry(name.clone()).or_insert_with(|| Arc::new(self.of_server(name.as_str().into()))).clone()
    }

    fn of_server(&self, name: Arc<str>) -> OfServer {
        let label = Server { server: name.clone() };
        OfServer {
            decision: self.decisions.get_or_create(&label).clone(),
            upstream: self.upstreams.get_or_create(&label).clone(),
            tools: RwLock::default(),
            other: Arc::new(self.of_tool(&name, Method::ToolsCall.name(), OTHER)),
            methods: RwLock::default(),
            name,
        }
    }

    fn of_tool(&self, server: &Arc<str>, method: &'static str, tool: &str) -> OfTool {
        let (server, tool): (_, Arc<str>) = (server.clone(), tool.into());
        let outcomes = OUTCOMES.map(|outcome| {
            let outcome = outcome.as_str();
            let label = Call { server: server.clone(), method, tool: tool.clone(), outcome };
            self.ended.get_or_create(&label).clone()
        });
        // What has no tool of its own shares one histogram.
        OfTool { outcomes, duration: self.durations.get_or_create(&Tool { server, tool }).clone() }
    }

    /// The handles of what `event` is about; `known`: it was judged by a definition.
    fn tool(&self, server: &OfServer, event: &Event, known: bool) -> Arc<OfTool> {
        let method = event.target.method.as_deref().and_then(Method::parse);
        if method != Some(Method::ToolsCall) {
            let method = method.map_or(OTHER, Method::name);
            let methods = server.methods.read().unwrap_or_else(PoisonError::into_inner).get(method).cloned();
            return methods.unwrap_or_else(|| {
                let mut methods = server.methods.write().unwrap_or_else(PoisonError::into_inner);
                methods.entry(method).or_insert_with(|| Arc::new(self.of_tool(&server.name, method, ""))).clone()
            });
        }
        let name = event.target.name.as_deref().unwrap_or_default();
        if let Some(found) = server.tools.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return found.clone();
        }
        if !known {
            return server.other.clone();
        }
        let mut tools = server.tools.write().unwrap_or_else(PoisonError::into_inner);
        if tools.len() >= self.tools {
            return server.other.clone();
        }
        let label = printable(name, NAME);
        let made = || Arc::new(self.of_tool(&server.name, Method::ToolsCall.name(), &label));
        tools.entry(name.into()).or_insert_with(made).clone()
    }
}

impl OfTool {
    fn count(&self, outcome: Outcome) {
        if let Some(at) = OUTCOMES.iter().position(|known| *known == outcome) {
            self.outcomes[at].inc();
        }
    }
}
