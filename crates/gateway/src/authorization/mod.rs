//! The authorization server toward MCP clients: one file per endpoint, each of which extracts, asks the law once, and
//! answers.
//!
//! Under `/oauth/…`, and also at `/authorize`, `/token` and `/register`: clients of 2025-03-26 and Python SDKs after a
//! restart look there without reading the metadata (spec: AS-19).

mod answer;
pub mod approval;
mod approve;
mod assertion;
mod authorize;
mod client_credentials;
mod client_document;
pub mod configured;
mod consent;
mod cors;
mod decide;
pub mod documents;
mod finish;
mod id_jag;
mod introspect;
mod issue;
mod jwks;
pub mod lookalike;
mod metadata;
mod presented;
mod reader;
mod register;
pub(crate) mod resources;
mod revoke;
pub(crate) mod sitting;
mod token;
mod visitor;
mod vouched;
mod workload;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{any, get, post},
};

use portcullis_oauth::upstream::document::{DOCUMENT, KEYS};

use crate::{
    app::App,
    extract::{calls_not_too_often, pages_not_too_often, under_public_url},
    return_to::{AUTHORIZE_AGAIN, FINISH},
};

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    // spec: AS-20: readable from any page, but for the endpoint that a person looks at.
    let open = Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata::authorization_server))
        .route("/.well-known/openid-configuration", get(metadata::openid))
        .route("/.well-known/oauth-protected-resource/mcp/{name}", get(metadata::protected_resource))
        .route("/.well-known/{*elsewhere}", any(metadata::nowhere))
        .route("/oauth/jwks", get(jwks::jwks))
        .route(DOCUMENT, get(client_document::document))
        .route(KEYS, get(client_document::keys))
        .route("/oauth/token", post(token::token))
        .route("/oauth/register", post(register::register))
        .route("/oauth/revoke", post(revoke::revoke))
        .route("/oauth/introspect", post(introspect::introspect))
        .route("/token", post(token::token))
        .route("/register", post(register::register))
        .layer(middleware::from_fn_with_state(Arc::clone(app), calls_not_too_often))
        .layer(middleware::from_fn(cors::open));
    let pages = Router::new()
        .route("/oauth/authorize", get(authorize::direct).post(decide::decide))
        .route("/authorize", get(authorize::direct).post(decide::decide))
        .route(AUTHORIZE_AGAIN, get(authorize::after_sign_in))
        .route("/oauth/authorize/look", post(visitor::look))
        .route(FINISH, get(finish::finish))
        .layer(middleware::from_fn_with_state(Arc::clone(app), pages_not_too_often))
        .layer(middleware::from_fn_with_state(Arc::clone(app), under_public_url));
    open.merge(pages)
}
