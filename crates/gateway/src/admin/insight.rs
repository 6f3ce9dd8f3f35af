//! `/admin/insight`: what goes on, in numbers; and the same for programs.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use axum::{
    Router,
    extract::{Query, State},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use portcullis_base::{ClientId, PersonId, Timestamp};
use portcullis_store::{Counts, Histogram, StoreError, Thing, Top, UnusedKind};
use serde_json::{Value, json};

use super::api::answer;
use crate::{
    app::App,
    error::{ApiError, PageError},
    extract::{ApiAuditor, Auditor, calls_not_too_often},
    insight::{Insight, Named, Notice, Span, Strange, Wanted, insight},
    names::Names,
    pages::admin::insight::{View, insight as page},
};

/// Notices whose people and clients get their names.
const NAMED: usize = 100;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/insight", get(show))
}

pub(super) fn api_routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/insight", get(tell))
        .layer(middleware::from_fn_with_state(Arc::clone(app), calls_not_too_often))
}

async fn show(
    State(app): State<Arc<App>>,
    Auditor(who): Auditor,
    Query(asked): Query<Wanted>,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    let found = match Span::of(&asked, now) {
        Ok(span) => Ok(found(&app, span, now).await.map_err(PageError::unavailable)?),
        Err(why) => Err(why),
    };
    let nobody = Named::default();
    let view = View {
        account: who.account(),
        asked: &asked,
        found: found.as_ref().map(|(insight, _)| insight).map_err(|why| *why),
        named: found.as_ref().map_or(&nobody, |(_, named)| named),
        behind: app.index_lag.load(Ordering::Relaxed),
        now,
    };
    let status = if found.is_ok() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(page(&view).status(status).into_response())
}

/// `GET /api/v1/insight?range=24h|7d|30d` or `?from=2026-11-01&to=2026-11-23`
async fn tell(
    State(app): State<Arc<App>>,
    _: ApiAuditor,
    Query(asked): Query<Wanted>,
) -> Result<Response, ApiError> {
    let now = app.clock.now();
    let span =
        Span::of(&asked, now).map_err(|why| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "question", why))?;
    let (insight, named) = found(&app, span, now).await.map_err(ApiError::unavailable)?;
    let mut told = told(&insight, &named);
    told["lines_not_counted"] = app.index_lag.load(Ordering::Relaxed).into();
    Ok(answer(&told))
}

/// The numbers, and what those in them are called.
async fn found(app: &App, span: Span, now: Timestamp) -> Result<(Insight, Named), StoreError> {
    let insight = insight(&app.store, span, now).await?;
    let (mut people, mut clients) = (BTreeSet::new(), BTreeSet::new());
    people.extend(insight.people.iter().map(|top| top.name.as_str()));
    clients.extend(insight.clients.iter().map(|top| top.name.as_str()));
    for notice in insight.notices.iter().take(NAMED) {
        people.insert(&notice.person);
        if let Strange::New { thing: Thing::Client, names, .. } = &notice.what {
            clients.extend(names.iter().map(String::as_str));
        }
    }
    for unused in &insight.unused {
        people.insert(&unused.person);
        if unused.kind == UnusedKind::Client {
            clients.insert(&unused.name);
        }
    }
    let (mut names, mut named) = (Names::default(), Named::default());
    for id in people {
        named.people.insert(id.to_owned(), names.person(app, &PersonId::new(id)).await?);
    }
    for id in clients {
        named.clients.insert(id.to_owned(), names.client(app, &ClientId::new(id)).await?);
    }
    Ok((insight, named))
}

fn told(insight: &Insight, named: &Named) -> Value {
    let Span { since, until, slot, .. } = insight.span;
    let all = |tops: &[Top], one: &dyn Fn(&Top) -> Value| tops.iter().map(|top| with(one(top), counts(&top.counts))).collect::<Vec<_>>();
    let over_time = insight.over_time.iter().map(|(at, count)| with(json!({ "at": at.to_string() }), counts(count)));
    let latency = insight.latency.iter().map(|(at, histogram)| with(json!({ "at": at.to_string() }), times(histogram)));
    let unused = insight.unused.iter().map(|unused| {
        json!({
            "kind": unused.kind.as_str(), "id": unused.id, "person": unused.person,
            "person_name": named.person(&unused.person), "name": unused.name, "place": unused.place,
            "made_at": unused.made_at.to_string(), "used_at": unused.used_at.map(|at| at.to_string()),
        })
    });
    json!({
        "since": since.to_string(),
        "until": until.to_string(),
        "slot_seconds": slot / 1000,
        "total": with(counts(&insight.total), times(&insight.latency_total)),
        "over_time": over_time.collect::<Vec<_>>(),
        "latency": latency.collect::<Vec<_>>(),
        "tools": all(&insight.tools, &|top| json!({ "server": top.server, "name": top.name })),
        "people": all(&insight.people, &|top| json!({ "person": top.name, "name": named.person(&top.name) })),
        "clients": all(&insight.clients, &|top| json!({ "client": top.name, "name": named.client(&top.name) })),
        "servers": all(&insight.servers, &|top| {
            let known = insight.latency_of_servers.get(&top.server).map_or_else(|| times(&Histogram::default()), times);
            with(json!({ "server": top.server }), known)
        }),
        "notices": insight.notices.iter().map(|notice| told_notice(notice, named)).collect::<Vec<_>>(),
        "unused": unused.collect::<Vec<_>>(),
    })
}

fn told_notice(notice: &Notice, named: &Named) -> Value {
    let what = match &notice.what {
        Strange::New { thing, server, names } => {
            json!({ "kind": format!("new_{}", thing.as_str()), "server": server, "names": names })
        }
        Strange::Volume { calls, usual } => json!({ "kind": "volume", "calls": calls, "usual": usual }),
    };
    let who = json!({ "at": notice.at.to_string(), "person": notice.person, "person_name": named.person(&notice.person) });
    with(who, what)
}

fn counts(counts: &Counts) -> Value {
    json!({
        "calls": counts.calls(), "errors": counts.errors(),
        "allowed": counts.allowed, "asked": counts.asked, "denied": counts.denied, "stepped_up": counts.stepped_up,
        "succeeded": counts.succeeded, "failed": counts.failed, "timed_out": counts.timed_out, "unknown": counts.unknown,
        "approvals_asked": counts.approvals_asked, "approvals_granted": counts.approvals_granted,
        "approvals_refused": counts.approvals_refused, "approvals_expired": counts.approvals_expired,
    })
}

fn times(histogram: &Histogram) -> Value {
    let quantile = |share| histogram.quantile(share);
    json!({ "ended": histogram.calls(), "p50_us": quantile(0.5), "p95_us": quantile(0.95), "p99_us": quantile(0.99) })
}

/// The members of both.
fn with(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}
