//! `/logout`: only ever by a form of our own (spec: T-94: no state change by GET).

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::header;
use portcullis_audit::{Event, Kind, Outcome};
use serde::Deserialize;

use super::session::no_store;
use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, SignedForm, clear_session_cookie},
    pages::sign_in::{sign_out, signed_out},
};

#[derive(Deserialize)]
pub struct Nothing {}

/// `GET /logout`
pub async fn show(who: Option<LoggedIn>) -> Response {
    match who {
        Some(who) => sign_out(who.account()).into_response(),
        None => signed_out().into_response(),
    }
}

/// `POST /logout`
pub async fn submit(
    State(app): State<Arc<App>>,
    SignedForm { who, form: Nothing {} }: SignedForm<Nothing>,
) -> Result<Response, PageError> {
    app.store.end_session(&who.session.hash).await.map_err(PageError::unavailable)?;
    let event = Event::new(Kind::Signout, app.clock.now()).by(who.actor()).outcome(Outcome::Success);
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    let headers = [(header::SET_COOKIE, clear_session_cookie()), (header::CACHE_CONTROL, no_store())];
    Ok((headers, Redirect::to("/logout")).into_response())
}
