//! Connecting an account at a server: by a sign-in at its provider, or by a key typed on a page of ours.
//!
//! A sign-in goes `begin` → the provider → `callback` → `confirm`. Between these it is one entry of the database, bound to
//! the browser, the session and the person that began it, and taken by whatever comes back (`flow`). Nothing is kept of an
//! account before its person has seen both names on one page and agreed.
//!
//! spec: SEC-2, UP-60: nothing of it passes through the application whose call may have asked for it.

mod begin;
mod callback;
mod confirm;
pub(crate) mod describe;
pub(crate) mod disconnect;
mod flow;
mod give_back;
mod key;
mod mine;
mod onward;
mod show;
mod which;

use std::sync::Arc;

pub use give_back::sweep;

use axum::{
    Router, middleware,
    routing::{get, post},
};

use crate::{
    app::App,
    extract::{pages_not_too_often, under_public_url},
};

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/connections", get(mine::list))
        // No server has a name that begins with a hyphen.
        .route("/connections/-/open/{handle}", get(show::open))
        .route("/connections/-/callback/{issuer}", get(callback::callback))
        .route("/connections/{server}", get(show::show))
        .route("/connections/{server}/connect", post(begin::begin))
        .route("/connections/{server}/key", post(key::save))
        .route("/connections/{server}/confirm", post(confirm::confirm))
        .route("/connections/{server}/disconnect", post(disconnect::disconnect))
        .layer(middleware::from_fn_with_state(Arc::clone(app), pages_not_too_often))
        .layer(middleware::from_fn_with_state(Arc::clone(app), under_public_url))
}
