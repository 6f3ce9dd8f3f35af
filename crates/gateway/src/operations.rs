//! The operations listener: is it alive, is it ready, what are its numbers. Never on the public address.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{app::App, upstream::Reason};

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
    match app.journal.health().failing {
        Some((since, why)) => unready(&format!("the journal cannot be written since {since}: {why}")),
        None => (StatusCode::OK, "ready\n".into()),
    }
}

/// The numbers, read at the moment they are asked for: nothing on the path of a call pays for them.
async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let mut registry = Registry::with_prefix("portcullis");
    let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, gauge),
            None => registry.register(name, help, gauge),
        }
    };
    let health = app.journal.health();
    let snapshot = app.snapshot.load();
    gauge("servers", "Servers behind the gateway", None, snapshot.servers.len() as i64);
    gauge("people", "People with an account", None, snapshot.people.len() as i64);
    gauge("calls_open", "Calls that were let through and have not ended", None, health.open_calls as i64);
    gauge("journal_lines", "Lines in the journal of this node", None, health.head.seq as i64);
    gauge("journal_failing", "1 while the journal cannot be written", None, i64::from(health.failing.is_some()));
    gauge("journal_lost", "Ends of calls that could not be written", None, health.lost as i64);
    gauge(
        "audit_index_lag",
        "Journal lines that are not in the index yet",
        None,
        app.index_lag.load(Ordering::Relaxed),
    );
    // spec: BR-119: "counted and visible to administrators per upstream"
    let refused = Family::<Vec<(&'static str, String)>, Counter>::default();
    for (server, counts) in app.upstreams.counts() {
        for reason in Reason::ALL.into_iter().filter(|reason| counts.of(*reason) > 0) {
            let labels = vec![("server", server.to_string()), ("reason", reason.as_str().to_owned())];
            refused.get_or_create(&labels).inc_by(counts.of(reason));
        }
    }
    registry.register("bridge_refused", "What could not be carried between clients and servers of two eras", refused);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
