//! `/api/v1/approvals`: what the pages show, for programs with the cookie of a browser. Read only.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use portcullis_base::ApprovalId;
use serde_json::{Value, json};

use super::{
    list::found,
    look::{Reader, row},
    one::demands,
};
use crate::{
    app::App,
    approvals::check_value,
    error::ApiError,
    extract::{LoggedIn, calls_not_too_often},
    names::Names,
    pages::approvals::inbox::Row,
};

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/approvals", get(all))
        .route("/api/v1/approvals/{id}", get(one))
        .layer(middleware::from_fn_with_state(Arc::clone(app), calls_not_too_often))
}

fn signed_in(who: Option<LoggedIn>) -> Result<LoggedIn, ApiError> {
    who.ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "sign in with a browser first"))
}

fn answer(body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body.to_string()).into_response()
}

/// `GET /api/v1/approvals`
async fn all(State(app): State<Arc<App>>, who: Option<LoggedIn>) -> Result<Response, ApiError> {
    let who = signed_in(who)?;
    let (yours, own, more) = found(&app, &who).await.map_err(ApiError::unavailable)?;
    let list = |rows: &[Row]| rows.iter().map(brief).collect::<Vec<_>>();
    Ok(answer(&json!({ "waiting": list(&yours), "own": list(&own), "older": more })))
}

fn brief(row: &Row) -> Value {
    json!({
        "id": row.id,
        "server": row.server,
        "target": row.target,
        "classes": row.classes,
        "caller": row.caller,
        "client": row.client,
        "state": row.state.as_str(),
        "asked_at": row.asked_at.to_string(),
        "expires_at": row.expires_at.to_string(),
    })
}

/// `GET /api/v1/approvals/{id}`
async fn one(State(app): State<Arc<App>>, who: Option<LoggedIn>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let who = signed_in(who)?;
    let found = app.store.approval(&ApprovalId::new(id)).await.map_err(ApiError::unavailable)?;
    let reader = Reader::of(&app, &who).await.map_err(ApiError::unavailable)?;
    let missing = || ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such approval");
    let found = found.filter(|found| reader.may_read(&found.approval)).ok_or_else(missing)?;
    let shown = row(&app, &mut Names::default(), &found).await.map_err(ApiError::unavailable)?;
    // As a text: a number that a double cannot hold stays what it is.
    let arguments = app.approvals.stored(&found).ok().and_then(|stored| stored.arguments);
    let demands: Vec<Value> = demands(&found.approval)
        .into_iter()
        .map(|demand| {
            json!({ "rule": demand.rule, "who": demand.who, "have": demand.have, "want": demand.want,
                "assurance": demand.assurance })
        })
        .collect();
    let mut body = brief(&shown);
    if let Value::Object(members) = &mut body {
        members.insert("kind".into(), json!(found.kind));
        members.insert("check_value".into(), json!(check_value(&found.approval.binding)));
        members.insert("rule".into(), json!(found.rule));
        members.insert("demands".into(), json!(demands));
        members.insert("why".into(), json!(found.why));
        members.insert("outcome".into(), json!(found.outcome));
        members.insert("arguments".into(), json!(arguments));
    }
    Ok(answer(&body))
}
