//! Signing in and out of a browser with a local account, and the very first start.
//!
//! A session is a random secret in a cookie and its digest in the database. Signing in always makes a new one, so that
//! nobody can fix a session beforehand. It is apart from the tokens of MCP clients: a cookie is no token, a token is no
//! sign-in (spec: AS-149).

mod form;
mod out;
mod session;
mod welcome;

use std::sync::Arc;

use axum::{Router, middleware, routing::get};

use crate::{
    app::App,
    extract::{pages_not_too_often, under_public_url},
};

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/login", get(form::show).post(form::submit))
        .route("/logout", get(out::show).post(out::submit))
        .route("/welcome/{token}", get(welcome::show).post(welcome::submit))
        .layer(middleware::from_fn_with_state(Arc::clone(app), pages_not_too_often))
        .layer(middleware::from_fn_with_state(Arc::clone(app), under_public_url))
}
