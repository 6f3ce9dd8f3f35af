//! `/api/v1/access` and `/api/v1/grants`: what the pages show, for programs with the cookie of a browser. Read only.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use portcullis_base::Class;
use portcullis_store::{AccessGrant, Delegation};
use serde_json::{Value, json};

use super::wishes::{own_wishes, waiting_wishes};
use crate::{
    app::App,
    error::ApiError,
    extract::{LoggedIn, calls_not_too_often},
    pages::access::{What, Wish},
    roles::Standing,
};

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/access", get(wishes))
        .route("/api/v1/grants", get(grants))
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

/// `GET /api/v1/access`
async fn wishes(State(app): State<Arc<App>>, who: Option<LoggedIn>) -> Result<Response, ApiError> {
    let who = signed_in(who)?;
    let waiting = waiting_wishes(&app, &who).await.map_err(ApiError::unavailable)?;
    let own = own_wishes(&app, &who).await.map_err(ApiError::unavailable)?;
    let list = |rows: &[Wish]| rows.iter().map(wish).collect::<Vec<_>>();
    Ok(answer(&json!({ "waiting": list(&waiting), "own": list(&own) })))
}

fn wish(row: &Wish) -> Value {
    let (tool, classes) = match &row.what {
        What::Tool(tool) => (Some(tool), Vec::new()),
        What::Classes(classes) => (None, classes.iter().map(Class::as_str).collect()),
    };
    json!({
        "id": row.id,
        "server": row.server,
        "tool": tool,
        "classes": classes,
        "who": row.who,
        "seconds": row.lasts.as_secs(),
        "why": row.why,
        "state": row.state.as_str(),
        "asked_at": row.asked_at.to_string(),
        "expires_at": row.expires_at.to_string(),
        "answer": row.answer,
    })
}

/// `GET /api/v1/grants`: rights and words that were lent, one's own; for administrators everybody's.
async fn grants(State(app): State<Arc<App>>, who: Option<LoggedIn>) -> Result<Response, ApiError> {
    let who = signed_in(who)?;
    let now = app.clock.now();
    let mut rights = app.store.access_grants(now).await.map_err(ApiError::unavailable)?;
    let mut lent = app.store.delegations(now).await.map_err(ApiError::unavailable)?;
    if who.roles.standing() < Standing::Auditor {
        rights.retain(|right| right.person == who.person.id);
        lent.retain(|one| one.person == who.person.id || one.delegate == who.person.id);
    }
    let rights: Vec<_> = rights.iter().map(right).collect();
    let lent: Vec<_> = lent.iter().map(delegation).collect();
    Ok(answer(&json!({ "access": rights, "delegations": lent })))
}

fn right(right: &AccessGrant) -> Value {
    json!({
        "id": right.id,
        "person": right.person,
        "server": right.server.as_str(),
        "kind": right.kind.as_str(),
        "tool": right.tool,
        "classes": right.classes.iter().map(Class::as_str).collect::<Vec<_>>(),
        "why": right.why,
        "given_by": right.given_by,
        "made_at": right.made_at.to_string(),
        "ends_at": right.ends_at.to_string(),
    })
}

fn delegation(one: &Delegation) -> Value {
    json!({
        "id": one.id,
        "person": one.person,
        "delegate": one.delegate,
        "why": one.why,
        "made_at": one.made_at.to_string(),
        "ends_at": one.ends_at.to_string(),
    })
}
