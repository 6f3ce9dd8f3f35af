//! `/logout`: only ever by a form of our own (spec: T-94: no state change by GET).
//!
//! Our session ends first, whatever the provider says. Then the browser goes on to the provider's own sign-out, if it has
//! one (OpenID Connect RP-Initiated Logout 1.0).

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
    pages::sign_in::{sign_out, sign_out_onward, signed_out},
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
    Ok(match at_provider(&app, &who).await {
        Some((provider, address)) => (headers, sign_out_onward(&provider, &address)).into_response(),
        None => (headers, Redirect::to("/logout")).into_response(),
    })
}

/// The provider's name and where one signs out there.
async fn at_provider(app: &App, who: &LoggedIn) -> Option<(String, String)> {
    let session = &who.browser;
    let provider = app.providers.get(session.provider.as_deref()?)?;
    let (issuer, subject) = (session.issuer.as_deref()?, session.subject.as_deref()?);
    let sealed = session.logout_hint.as_deref();
    let hint = sealed.and_then(|sealed| app.keys.open_provider_token(issuer, subject, sealed));
    let address = provider.logout_url(hint.as_ref()).await?;
    Some((provider.name().to_owned(), address))
}
