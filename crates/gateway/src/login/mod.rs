//! Signing in and out of a browser, at a provider or with a local account, and the very first start.
//!
//! A session is a random secret in a cookie and its digest in the database. Signing in always makes a new one, so that
//! nobody can fix a session beforehand. It is apart from the tokens of MCP clients: a cookie is no token, a token is no
//! sign-in (spec: AS-149).
//!
//! A sign-in at a provider goes `start` → the provider → `callback` → `arrival` → `session`. Between the first and the last it
//! lives in the browser alone (`under_way`).

mod arrival;
mod back_channel;
mod callback;
mod failure;
mod form;
mod fresh;
mod out;
mod session;
mod sessions;
mod start;
mod switch;
mod under_way;
mod way;
mod welcome;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post},
};

use crate::{
    app::App,
    extract::{calls_not_too_often, pages_not_too_often, under_public_url},
    step_up::FRESH,
};

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let pages = Router::new()
        .route("/login", get(form::show).post(form::submit))
        .route("/login/choose", post(start::choose))
        .route("/login/switch", post(switch::choose))
        .route(FRESH, get(fresh::show).post(fresh::confirm))
        .route("/login/{provider}", get(start::start))
        .route("/login/{provider}/callback", get(callback::callback))
        .route("/logout", get(out::show).post(out::submit))
        .route("/sessions/{id}/end", post(sessions::end))
        .route("/sessions/end-others", post(sessions::end_others))
        .route("/welcome/{token}", get(welcome::show).post(welcome::submit))
        .layer(middleware::from_fn_with_state(Arc::clone(app), pages_not_too_often))
        .layer(middleware::from_fn_with_state(Arc::clone(app), under_public_url));
    let machines = Router::new()
        .route("/login/{provider}/back-channel", post(back_channel::logout))
        .layer(middleware::from_fn_with_state(Arc::clone(app), calls_not_too_often));
    pages.merge(machines)
}
