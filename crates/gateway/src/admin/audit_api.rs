//! `/api/v1/audit…`: events for programs, with the cookie of the browser of somebody who may look.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    middleware,
    response::Response,
    routing::get,
};
use http::StatusCode;
use portcullis_store::AuditEntry;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::answer,
    audit::{Unanswered, Wanted, found, sight},
};
use crate::{
    app::App,
    error::ApiError,
    extract::{ApiAuditor, calls_not_too_often},
    story::{Sight, members, story},
};

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/audit", get(events))
        .route("/api/v1/audit/calls/{call}", get(call))
        .layer(middleware::from_fn_with_state(Arc::clone(app), calls_not_too_often))
}

/// `GET /api/v1/audit?text=&person=&…&since=&until=&cursor=&limit=&arguments=yes`
async fn events(
    State(app): State<Arc<App>>,
    ApiAuditor(who): ApiAuditor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let found = found(&app, &wanted).await.map_err(refused)?;
    let asked = wanted.conditions().into_iter().filter(|(_, value)| !value.is_empty());
    let asked = asked.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    let sight = sight(&app, &who, &wanted.arguments, ("filter", asked), &found.entries).await.map_err(refused)?;
    Ok(answer(&json!({ "events": lines(&found.entries, sight), "next": found.next })))
}

#[derive(Deserialize)]
struct Look {
    #[serde(default)]
    arguments: String,
}

/// `GET /api/v1/audit/calls/{call}?arguments=yes`: the oldest first.
async fn call(
    State(app): State<Arc<App>>,
    ApiAuditor(who): ApiAuditor,
    Path(call): Path<String>,
    Query(look): Query<Look>,
) -> Result<Response, ApiError> {
    let events = story(&app.store, &call).await.map_err(ApiError::unavailable)?;
    let sight = sight(&app, &who, &look.arguments, ("call", call.clone()), &events).await.map_err(refused)?;
    Ok(answer(&json!({ "call": call, "events": lines(&events, sight) })))
}

fn lines(entries: &[AuditEntry], sight: Sight) -> Vec<Value> {
    entries.iter().map(|entry| Value::Object(members(entry, sight))).collect()
}

fn refused(unanswered: Unanswered) -> ApiError {
    match unanswered {
        Unanswered::Question(why) => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "question", why),
        Unanswered::Forbidden => {
            ApiError::new(StatusCode::FORBIDDEN, "forbidden", "arguments and results are for auditors")
        }
        Unanswered::Unavailable(why) => ApiError::unavailable(why),
    }
}
