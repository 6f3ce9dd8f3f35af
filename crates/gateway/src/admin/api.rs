//! `/api/v1/…`: what the pages of administration show, for programs. Read only.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{connections, explain, groups, people, providers, rules, service_accounts, tools};
use crate::{
    app::App,
    error::ApiError,
    extract::{ApiAdmin, calls_not_too_often},
    pages::admin::{
        connections::{Holder, Row as ConnectionRow},
        groups::GroupRow,
        people::{PersonRow, State as AccountState},
        providers::{Discovery, ProviderCard},
        rules::{Hits, RuleRow, ShadowRow},
        service_accounts::{ProofKind, ServiceRow},
        tools::{Shown, ToolRow},
    },
    pages::connections::{MadeOf, State as HeldState},
};

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/people", get(all_people))
        .route("/api/v1/connections", get(all_connections))
        .route("/api/v1/groups", get(all_groups))
        .route("/api/v1/providers", get(all_providers))
        .route("/api/v1/service-accounts", get(all_service_accounts))
        .route("/api/v1/rules", get(all_rules))
        .route("/api/v1/tools", get(all_tools))
        .route("/api/v1/explain", get(explained))
        .layer(middleware::from_fn_with_state(Arc::clone(app), calls_not_too_often))
}

pub(super) fn answer(body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body.to_string()).into_response()
}

/// `GET /api/v1/people?q=&page=`
async fn all_people(
    State(app): State<Arc<App>>,
    _: ApiAdmin,
    Query(wanted): Query<people::Wanted>,
) -> Result<Response, ApiError> {
    let (rows, paging) = people::found(&app, &wanted).await.map_err(ApiError::unavailable)?;
    let rows: Vec<Value> = rows.iter().map(person).collect();
    Ok(answer(&json!({ "people": rows, "page": paging.page, "pages": paging.pages, "total": paging.total })))
}

fn person(row: &PersonRow) -> Value {
    json!({
        "id": row.id,
        "name": row.name,
        "display_name": row.display_name,
        "email": row.email,
        "disabled_at": disabled_at(row.state),
        "role": row.role,
        "providers": row.providers,
        "signed_in_at": row.signed_in_at.map(|at| at.to_string()),
        "groups": row.groups,
    })
}

fn disabled_at(state: AccountState) -> Option<String> {
    match state {
        AccountState::Active => None,
        AccountState::Disabled(at) => Some(at.to_string()),
    }
}

/// `GET /api/v1/groups`
async fn all_groups(State(app): State<Arc<App>>, _: ApiAdmin) -> Result<Response, ApiError> {
    let (rows, stale) = groups::found(&app).await.map_err(ApiError::unavailable)?;
    let row = |row: &GroupRow| json!({ "name": row.name, "sources": row.sources, "members": row.members, "named_by": row.named_by });
    let stale = stale.iter().map(|group| json!({ "name": group.name, "named_by": group.named_by }));
    Ok(answer(&json!({ "groups": rows.iter().map(row).collect::<Vec<_>>(), "stale": stale.collect::<Vec<_>>() })))
}

/// `GET /api/v1/providers`
async fn all_providers(State(app): State<Arc<App>>, _: ApiAdmin) -> Response {
    let row = |card: &ProviderCard| {
        let discovered_at = if let Discovery::At(at) = card.discovery { Some(at.to_string()) } else { None };
        json!({
            "id": card.id,
            "name": card.name,
            "kind": card.kind,
            "issuer": card.issuer,
            "domains": card.domains,
            "redirect_uri": card.redirect_uri,
            "back_channel_uri": card.back_channel_uri,
            "scim_url": card.scim_url,
            "discovered_at": discovered_at,
            "signed_in_at": card.signed_in_at.map(|at| at.to_string()),
            "last_problem": card.last_problem.as_ref().map(|(at, text)| json!({ "at": at.to_string(), "text": text })),
            "missing_claims": card.missing_claims,
        })
    };
    answer(&json!({ "providers": providers::cards(&app).iter().map(row).collect::<Vec<_>>() }))
}

/// `GET /api/v1/service-accounts`
async fn all_service_accounts(State(app): State<Arc<App>>, _: ApiAdmin) -> Result<Response, ApiError> {
    let rows = service_accounts::rows(&app).await.map_err(ApiError::unavailable)?;
    let row = |row: &ServiceRow| {
        json!({
            "id": row.id,
            "name": row.name,
            "owner": row.owner,
            "groups": row.groups,
            "proof": match row.proof { ProofKind::Secret => "secret", ProofKind::Keys => "keys" },
            "disabled_at": disabled_at(row.state),
            "last_used_at": row.last_used_at.map(|at| at.to_string()),
        })
    };
    Ok(answer(&json!({ "service_accounts": rows.iter().map(row).collect::<Vec<_>>() })))
}

/// `GET /api/v1/connections?server=&person=&page=`
async fn all_connections(
    State(app): State<Arc<App>>,
    _: ApiAdmin,
    Query(wanted): Query<connections::Wanted>,
) -> Result<Response, ApiError> {
    let (rows, paging) = connections::found(&app, &wanted).await.map_err(ApiError::unavailable)?;
    let rows: Vec<Value> = rows.iter().map(connection).collect();
    Ok(answer(&json!({ "connections": rows, "page": paging.page, "pages": paging.pages, "total": paging.total })))
}

fn connection(row: &ConnectionRow) -> Value {
    let held = &row.held;
    let (person, name) = match &row.holder {
        Holder::Person { id, name } => (Some(id), Some(name)),
        Holder::Shared => (None, None),
    };
    json!({
        "id": row.id,
        "server": row.server,
        "shared": person.is_none(),
        "person": person,
        "name": name,
        "kind": match held.made_of { MadeOf::SignIn => "oauth", MadeOf::Key => "key" },
        "issuer": row.issuer,
        "account": held.account,
        "scopes": held.scopes,
        "state": match held.state { HeldState::Good => "good", HeldState::NeedsSignIn(_) => "needs_sign_in" },
        "why": row.why,
        "connected_at": held.connected_at.to_string(),
        "used_at": held.used_at.map(|at| at.to_string()),
    })
}

#[derive(Deserialize)]
struct Days {
    #[serde(default)]
    days: u32,
}

/// `GET /api/v1/rules?days=`
async fn all_rules(State(app): State<Arc<App>>, _: ApiAdmin, Query(wanted): Query<Days>) -> Result<Response, ApiError> {
    let found = rules::found(&app, wanted.days).await.map_err(ApiError::unavailable)?;
    let rule = |row: &RuleRow| {
        let mut told = serde_json::to_value(&row.rule).expect("names and texts have a JSON form");
        told["hits"] = hits(&row.hits);
        told
    };
    let shadow = |row: &ShadowRow| {
        let examples = row.examples.iter().map(|example| {
            json!({
                "at": example.at.to_string(), "person": example.person, "what": example.what,
                "was": example.was, "would_be": example.would,
            })
        });
        json!({
            "rule": row.rule, "applied": row.applied, "would_have_changed": row.changed,
            "examples": examples.collect::<Vec<_>>(),
        })
    };
    let findings = found.findings.iter().map(|finding| json!({ "place": finding.place, "text": finding.text }));
    Ok(answer(&json!({
        "revision": app.snapshot.load().bundle.revision(),
        "days": found.counted.days,
        "decisions": found.counted.decisions,
        "rules": found.rules.iter().map(rule).collect::<Vec<_>>(),
        "access_lists": hits(&found.lists),
        "shadows": found.shadows.iter().map(shadow).collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
    })))
}

fn hits(hits: &Hits) -> Value {
    let Hits { allow, ask, step_up, deny, last } = hits;
    json!({ "allow": allow, "ask": ask, "step_up": step_up, "deny": deny, "last": last.map(|at| at.to_string()) })
}

/// `GET /api/v1/tools?server=`
async fn all_tools(
    State(app): State<Arc<App>>,
    ApiAdmin(who): ApiAdmin,
    Query(wanted): Query<tools::Wanted>,
) -> Result<Response, ApiError> {
    if wanted.server.is_empty() {
        return Ok(answer(&json!({ "tools": [] })));
    }
    let (rows, shown) = tools::found(&app, &wanted.server, &who.person.id)
        .map_err(|_| ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such server"))?;
    let tool = |row: &ToolRow| {
        let said = row.said.as_ref();
        json!({
            "name": row.name,
            "classes": row.classes,
            "labels": row.labels,
            "found": row.found,
            "confidence": row.confidence,
            "needs_review": row.needs_review,
            "evidence": row.evidence,
            "findings": row.findings,
            "hints": row.hints,
            "definition": row.definition,
            "override": said.map(|said| json!({ "classes": said.classes, "reason": said.reason, "counts": said.counts })),
        })
    };
    let list = match shown {
        Shown::Nothing => "none",
        Shown::Everybodys => "public",
        Shown::Yours => "personal",
    };
    Ok(answer(&json!({ "server": wanted.server, "list": list, "tools": rows.iter().map(tool).collect::<Vec<_>>() })))
}

/// `GET /api/v1/explain?person=&server=&tool=&client=&through=&arguments=`: one explanation, or none if nothing is asked.
async fn explained(
    State(app): State<Arc<App>>,
    _: ApiAdmin,
    Query(wanted): Query<explain::Wanted>,
) -> Result<Response, ApiError> {
    if wanted.person.is_empty() && wanted.server.is_empty() {
        return Ok(answer(&json!({ "explanations": [] })));
    }
    match explain::explained(&app, &wanted) {
        Ok(told) => Ok(answer(&json!({ "explanations": [told.explanation] }))),
        Err(why) => Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "question", why)),
    }
}
