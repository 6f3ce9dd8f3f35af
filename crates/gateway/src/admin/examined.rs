//! `/admin/servers/{name}/check`: the way that somebody goes who connects, step by step.
//!
//! spec: T-33: administrators only, signed in recently, by a form of ours, and for servers of the catalogue only; no request
//! names an address or a command. Programs ask for JSON in the same way.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, header};
use portcullis_audit::{Event, Kind, Outcome, Target};
use serde::Deserialize;
use serde_json::json;

use super::{api, connections::find};
use crate::{
    app::App,
    check::Step,
    error::PageError,
    extract::{Admin, AdminForm, LoggedIn},
    pages::{
        Page,
        admin::examined::{Examined, examined},
    },
    snapshot::Server,
    upstream::UpstreamUrl,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/servers/{name}/check", get(show).post(check))
}

async fn show(State(app): State<Arc<App>>, Admin(who): Admin, Path(name): Path<String>) -> Result<Response, PageError> {
    let server = find(&app, &name)?;
    Ok(page(&who, &server, None).into_response())
}

#[derive(Deserialize)]
struct Nothing {}

async fn check(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    AdminForm { who, form: Nothing {} }: AdminForm<Nothing>,
) -> Result<Response, PageError> {
    let server = find(&app, &name)?;
    if server.url().is_none() {
        return Err(PageError::not_found());
    }
    let target = Target { server: Some(server.name.clone()), ..Target::default() };
    let event = Event::new(Kind::ServerExamined, app.clock.now()).by(who.actor()).on(target).outcome(Outcome::Success);
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    let steps = app.authority.examine(&server).await;
    if wants_json(&headers) {
        return Ok(api::answer(&json!({ "server": server.name.as_str(), "steps": steps })));
    }
    Ok(page(&who, &server, Some(steps)).into_response())
}

fn page(who: &LoggedIn, server: &Server, steps: Option<Vec<Step>>) -> Page {
    let url = server.url().map(UpstreamUrl::as_str);
    examined(&Examined { account: who.account(), name: server.name.as_str(), url, steps })
}

fn wants_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.starts_with("application/json"))
}
