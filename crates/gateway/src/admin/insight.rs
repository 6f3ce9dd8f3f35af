//! `/admin/insight`: what goes on, in numbers; and the same for programs.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Router,
    extract::{Query, State},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use portcullis_base::Timestamp;
use portcullis_store::StoreError;

use super::api::answer;
use crate::{
    app::App,
    error::{ApiError, PageError},
    extract::{ApiAuditor, Auditor, calls_not_too_often},
    insight::{Insight, Named, Span, Wanted, insight, told},
    pages::admin::insight::{View, insight as page},
};

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
async fn tell(State(app): State<Arc<App>>, _: ApiAuditor, Query(asked): Query<Wanted>) -> Result<Response, ApiError> {
    let now = app.clock.now();
    let span = Span::of(&asked, now).map_err(|why| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "question", why))?;
    let (insight, named) = found(&app, span, now).await.map_err(ApiError::unavailable)?;
    let mut told = told(&insight, &named);
    told["lines_not_counted"] = app.index_lag.load(Ordering::Relaxed).into();
    Ok(answer(&told))
}

/// The numbers, and what those in them are called.
async fn found(app: &App, span: Span, now: Timestamp) -> Result<(Insight, Named), StoreError> {
    let insight = insight(&app.store, span, now).await?;
    let named = Named::of(&app.store, &insight).await?;
    Ok((insight, named))
}
