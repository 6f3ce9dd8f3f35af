//! The door for a provider's directory: SCIM 2.0 (RFC 7643, RFC 7644).
//!
//! A directory announces people and groups, changes them and takes them away. What it deactivates or deletes is offboarded at
//! once; the groups it tells are groups of the people in them. The bearer token says which provider's directory it is, and a
//! directory sees and changes nothing but what it announced itself.
//!
//! Promises: what a directory sends is kept only as far as the schema knows it; a request is done whole or not at all; each
//! change of a person or a group is in the journal before it is answered.
//!
//! Absent: bulk requests, sorting, passwords.

mod about;
mod answer;
mod directory;
mod error;
mod etag;
mod filter;
mod group;
mod groups;
mod patch;
mod path;
mod query;
mod resource;
mod schema;
mod select;
mod user;
mod users;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{any, get, post},
};
use http::StatusCode;

use self::{directory::Directory, error::ScimError};
use crate::{app::App, extract::Source};

/// The largest request: a group of ten thousand people.
const BODY: usize = 2 * 1024 * 1024;

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/scim/v2/ServiceProviderConfig", get(about::service_provider_config))
        .route("/scim/v2/ResourceTypes", get(about::resource_types))
        .route("/scim/v2/ResourceTypes/{id}", get(about::resource_type))
        .route("/scim/v2/Schemas", get(about::schemas))
        .route("/scim/v2/Schemas/{id}", get(about::schema))
        .route("/scim/v2/Users", get(users::list).post(users::create))
        .route("/scim/v2/Users/.search", post(users::search))
        .route("/scim/v2/Users/{id}", get(users::read).put(users::replace).patch(users::patch).delete(users::delete))
        .route("/scim/v2/Groups", get(groups::list).post(groups::create))
        .route("/scim/v2/Groups/.search", post(groups::search))
        .route(
            "/scim/v2/Groups/{id}",
            get(groups::read).put(groups::replace).patch(groups::patch).delete(groups::delete),
        )
        .route("/scim/v2/Bulk", any(unsupported))
        .route("/scim/v2/Me", any(unsupported))
        .route("/scim/v2/{*elsewhere}", any(nowhere))
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(app), not_too_often))
}

/// spec: SEC-75
async fn not_too_often(
    State(app): State<Arc<App>>,
    source: Source,
    request: Request,
    next: Next,
) -> Result<Response, ScimError> {
    app.limits.door_source.take(&source.key())?;
    Ok(next.run(request).await)
}

/// spec: RFC7644#3.7: announced as unsupported.
async fn unsupported(_: Directory) -> ScimError {
    ScimError::new(StatusCode::NOT_IMPLEMENTED, "this gateway does not do that: see /ServiceProviderConfig")
}

async fn nowhere(_: Directory) -> ScimError {
    ScimError::new(StatusCode::NOT_FOUND, "there is no such endpoint: see /ResourceTypes")
}

async fn not_allowed(_: Directory) -> ScimError {
    ScimError::new(StatusCode::METHOD_NOT_ALLOWED, "this endpoint does not take that method")
}
