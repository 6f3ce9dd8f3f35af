//! `GET /oauth/jwks`: the public halves of the keys that sign access tokens, those to come and those just gone included.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;

use super::answer::{Keep, json};
use crate::{app::App, error::ApiError};

pub async fn jwks(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    json(StatusCode::OK, Keep::Minutes, &app.signing.load().document(app.clock.now()))
}
