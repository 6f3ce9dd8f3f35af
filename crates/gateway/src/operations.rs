//! The operations listener: is it alive, is it ready, what are its numbers. Never on the public address.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use portcullis_store::StoreError;
use prometheus_client::{
    encoding::text::{encode, encode_registry},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

use crate::{app::App, journal::Space, telemetry::register_process, upstream::Reason};

/// `/healthz`, `/readyz`, `/metrics`.
pub fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(app)
}

/// 200 when a call would be served: the database answers, the change feed is heard, the journal can be written.
async fn ready(State(app): State<Arc<App>>) -> (StatusCode, String) {
    let unready = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n"));
    if app.is_ready().await.is_err() {
        return unready("the database does not answer");
    }
    if !app.feed.is_fresh() {
        return unready("the change feed cannot be read");
    }
    let health = app.journal.health();
    match health.failing {
        Some((since, why)) => unready(&format!("the journal cannot be written since {since}: {why}")),
        None => match health.space {
            Space::Ample => (StatusCode::OK, "ready\n".into()),
            Space::Scarce => (StatusCode::OK, "ready, but the disk of the journal is nearly full\n".into()),
            Space::Reserved => unready("the disk of the journal is full but for what the ends of calls need"),
        },
    }
}

/// The numbers: those that were counted, and those that are read at the moment they are asked for, for which nothing on the
/// path of a call pays.
async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let mut read = Registry::with_prefix("portcullis");
    of_this_node(&app, &mut read);
    let answers = of_the_database(&app, &mut read).await;
    gauge(&mut read, "database_up", "1 if the database answered for these numbers", i64::from(answers.is_ok()));
    let mut process = Registry::default();
    register_process(&mut process);
    let mut text = String::new();
    let written = app
        .telemetry
        .metrics
        .write(&mut text)
        .and_then(|()| encode_registry(&mut text, &read))
        .and_then(|()| encode(&mut text, &process));
    match written {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn of_this_node(app: &App, registry: &mut Registry) {
    let health = app.journal.health();
    let snapshot = app.snapshot.load();
    let lag = app.index_lag.load(Ordering::Relaxed);
    for (name, help, value) in [
        ("servers", "Servers behind the gateway", snapshot.servers.len() as i64),
        ("people", "People with an account", snapshot.people.len() as i64),
        ("calls_open", "Calls that were let through and have not ended", health.open_calls as i64),
        ("journal_lines", "Lines in the journal of this node", health.head.seq as i64),
        ("journal_failing", "1 while the journal cannot be written", i64::from(health.failing.is_some())),
        ("journal_scarce", "1 while the disk of the journal is nearly full", i64::from(health.space != Space::Ample)),
        ("journal_lost", "Ends of calls that could not be written", health.lost as i64),
        ("audit_queue", "Events that wait for the next write of the journal", health.waiting as i64),
        ("audit_index_lag", "Journal lines that are not in the index yet", lag),
        ("calls_parked", "Calls that wait for input of their people", app.upstreams.waiting() as i64),
    ] {
        gauge(registry, name, help, value);
    }
    of_sinks(app, registry);
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    registry.register("build", "What this program is", Info::new(version));
    if let Some(tracer) = app.telemetry.tracer() {
        let spans = Family::<Vec<(&'static str, &'static str)>, Counter>::default();
        for (outcome, count) in tracer.counts() {
            spans.get_or_create(&vec![("outcome", outcome)]).inc_by(count);
        }
        registry.register("trace_spans", "Finished spans by what became of them", spans);
        gauge(registry, "trace_queue", "Finished spans that wait to be sent", tracer.waiting() as i64);
    }
    // spec: BR-119: "counted and visible to administrators per upstream"
    let refused = Family::<Vec<(&'static str, String)>, Counter>::default();
    for (server, counts) in app.upstreams.counts() {
        for reason in Reason::ALL {
            let labels = vec![("server", server.to_string()), ("reason", reason.as_str().to_owned())];
            refused.get_or_create(&labels).inc_by(counts.of(reason));
        }
    }
    registry.register("bridge_refused", "What could not be carried between clients and servers of two eras", refused);
}

/// How those are to whom the record is sent.
// spec: T-100: what waits and what was refused is seen.
fn of_sinks(app: &App, registry: &mut Registry) {
    type Gauges = Family<Vec<(&'static str, String)>, Gauge>;
    type Counters = Family<Vec<(&'static str, String)>, Counter>;
    let (lag, oldest, failing) = (Gauges::default(), Gauges::default(), Gauges::default());
    let (sent, refused) = (Counters::default(), Counters::default());
    let now = app.clock.now();
    for status in &app.sinks {
        let (labels, reading) = (vec![("sink", status.name.clone())], status.read());
        let age = reading.oldest.map_or(0, |oldest| now.since(oldest).as_secs());
        lag.get_or_create(&labels).set(reading.lag as i64);
        oldest.get_or_create(&labels).set(age as i64);
        failing.get_or_create(&labels).set(i64::from(reading.is_failing));
        sent.get_or_create(&labels).inc_by(reading.sent);
        refused.get_or_create(&labels).inc_by(reading.refused);
    }
    registry.register("sink_lag_lines", "Lines of the record that were not passed on yet", lag);
    registry.register("sink_oldest_unsent_seconds", "Age of the oldest line that waits to be sent", oldest);
    registry.register("sink_failing", "1 while a receiver of the record takes nothing", failing);
    registry.register("sink_sent_lines", "Lines of the record that a receiver has taken", sent);
    registry.register("sink_refused_lines", "Lines of the record that a receiver refused for good", refused);
}

/// What every node says alike, as it is in the database that they share.
async fn of_the_database(app: &App, registry: &mut Registry) -> Result<(), StoreError> {
    let now = app.clock.now();
    let waiting = app.store.count_waiting_approvals(now).await?;
    let connections = app.store.count_connections().await?;
    let sessions = app.store.count_sessions(now).await?;
    gauge(registry, "approvals_waiting", "Calls that wait for humans", waiting as i64);
    gauge(registry, "sessions", "Browser sessions that are open", sessions as i64);
    let states = Family::<Vec<(&'static str, &'static str)>, Gauge>::default();
    for (state, count) in connections {
        states.get_or_create(&vec![("state", state.as_str())]).set(count as i64);
    }
    registry.register("connections", "What people have at servers, by whether it works", states);
    Ok(())
}
