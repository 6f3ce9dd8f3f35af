//! The numbers for programs.

use portcullis_store::{Counts, Histogram, Top};
use serde_json::{Value, json};

use super::{Insight, Named, Notice, Span, Strange};

/// All of them, with what people and clients in them are called.
pub fn told(insight: &Insight, named: &Named) -> Value {
    let Span { since, until, slot, .. } = insight.span;
    let all = |tops: &[Top], one: &dyn Fn(&Top) -> Value| {
        tops.iter().map(|top| with(one(top), counts(&top.counts))).collect::<Vec<_>>()
    };
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
    let who =
        json!({ "at": notice.at.to_string(), "person": notice.person, "person_name": named.person(&notice.person) });
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
