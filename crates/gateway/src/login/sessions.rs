//! A person ends their own sign-ins in other browsers.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use http::header;
use portcullis_audit::{Event, Kind, Outcome};
use serde::Deserialize;

use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, SignedForm, clear_session_cookie},
};

#[derive(Deserialize)]
pub struct Nothing {}

/// `POST /sessions/{id}/end`
pub async fn end(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    SignedForm { who, form: Nothing {} }: SignedForm<Nothing>,
) -> Result<Response, PageError> {
    if !end_one(&app, &who, &id).await? {
        return Err(PageError::not_found());
    }
    if id == who.browser.id {
        return Ok(([(header::SET_COOKIE, clear_session_cookie())], Redirect::to("/logout")).into_response());
    }
    Ok(Redirect::to("/account?done=ended").into_response())
}

/// `POST /sessions/end-others`
pub async fn end_others(
    State(app): State<Arc<App>>,
    SignedForm { who, form: Nothing {} }: SignedForm<Nothing>,
) -> Result<Response, PageError> {
    let sessions = app.store.sessions_of(&who.person.id, app.clock.now()).await.map_err(PageError::unavailable)?;
    for session in sessions.iter().filter(|session| session.id != who.browser.id) {
        end_one(&app, &who, &session.id).await?;
    }
    Ok(Redirect::to("/account?done=others-ended").into_response())
}

/// Whether there was such a session of theirs.
async fn end_one(app: &App, who: &LoggedIn, id: &str) -> Result<bool, PageError> {
    let ended = app.store.end_session_by_id(&who.person.id, id).await.map_err(PageError::unavailable)?;
    if ended {
        let event = Event::new(Kind::SessionEnded, app.clock.now())
            .by(who.actor())
            .outcome(Outcome::Success)
            .text("session", id.to_owned())
            .text("why", "person");
        app.journal.append(event).await.map_err(PageError::unavailable)?;
    }
    Ok(ended)
}
