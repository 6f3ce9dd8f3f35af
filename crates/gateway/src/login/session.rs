//! A new browser session.

use axum::response::{IntoResponse, Redirect, Response};
use http::header;
use portcullis_base::{Digest, PersonId, Secret, token};

use crate::{app::App, error::PageError, extract, return_to::ReturnTo};

/// Starts a session for `person`, ends the one this browser had, and goes to `return_to`.
///
/// spec: T-4, T-7: "login rotates the id"; the answer to the form is a 303 (AS-44).
pub async fn start(
    app: &App,
    person: &PersonId,
    previous: Option<Digest>,
    return_to: &ReturnTo,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    let secret = Secret::new(token::<32>(&*app.rng));
    let hash = Digest::of(secret.reveal().as_bytes());
    if let Some(previous) = previous {
        app.store.end_session(&previous).await.map_err(PageError::unavailable)?;
    }
    app.store
        .start_session(&hash, person, now, now.plus(app.config.sessions.absolute))
        .await
        .map_err(PageError::unavailable)?;
    let cookie = [(header::SET_COOKIE, extract::session_cookie(&secret)), (header::CACHE_CONTROL, no_store())];
    Ok((cookie, Redirect::to(&return_to.after_sign_in())).into_response())
}

pub(super) fn no_store() -> http::HeaderValue {
    http::HeaderValue::from_static("no-store")
}
