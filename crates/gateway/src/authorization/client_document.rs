//! `GET /oauth/client.json` and `GET /oauth/client/jwks.json`: who we are as a client, for authorization servers of the
//! servers behind us that fetch it (CIMD).
//!
//! The keys are those that sign access tokens too: they rotate in the same way, and what they sign says by type, issuer and
//! audience what it is for.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;
use portcullis_oauth::upstream::document;

use super::answer::{Keep, json};
use crate::{app::App, error::ApiError};

/// spec: UP-22: with the callbacks of the authorization servers that know us by it.
pub async fn document(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    // spec: UP-23: where nobody else could read it, there is nothing.
    if !app.authority.offers_document() {
        let text = "this gateway offers no client metadata document";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", text));
    }
    let callbacks = app.authority.document_callbacks().await.map_err(ApiError::unavailable)?;
    json(StatusCode::OK, Keep::Minutes, &document::document(app.config.public_url.as_str(), callbacks))
}

/// Whatever becomes of the document: a client that somebody registered by hand is proved by these keys too.
pub async fn keys(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    json(StatusCode::OK, Keep::Minutes, &app.signing.load().document(app.clock.now()))
}
