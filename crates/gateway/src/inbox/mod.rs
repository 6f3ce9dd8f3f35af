//! `/approvals` and `/grants`: where people decide on calls that wait, and see what they decided ahead.
//!
//! spec: T-82: only somebody who sits before a browser of theirs comes in; a token of a program never does.
//! spec: T-85: what is only looked at is not changed by that.

mod api;
mod decide;
mod grants;
mod list;
mod look;
mod one;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post},
};

use crate::{
    app::App,
    extract::{pages_not_too_often, people_only, under_public_url},
};

pub use look::waiting;

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let pages = Router::new()
        .route("/approvals", get(list::show))
        .route("/approvals/{id}", get(one::show).post(decide::say))
        .route("/approvals/{id}/withdraw", post(decide::take_back))
        .route("/grants", get(grants::show))
        .route("/grants/standing/revoke", post(grants::revoke))
        .layer(middleware::from_fn(people_only))
        .layer(middleware::from_fn_with_state(Arc::clone(app), pages_not_too_often))
        .layer(middleware::from_fn_with_state(Arc::clone(app), under_public_url));
    pages.merge(api::routes(app).layer(middleware::from_fn(people_only)))
}
