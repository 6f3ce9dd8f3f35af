//! `POST /oauth/introspect` (RFC 7662): for clients that prove who they are, about their own tokens.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;
use portcullis_oauth::introspection;

use super::{
    answer::{Keep, json},
    presented::Presented,
};
use crate::{app::App, error::ApiError, extract::ClientForm};

pub async fn introspect(State(app): State<Arc<App>>, sender: ClientForm) -> Result<Response, ApiError> {
    introspection::may_ask(&sender.client)?;
    let text = sender.form.get("token").ok_or_else(|| ApiError::invalid_request("token is required"))?;
    let presented = Presented::find(&app, text).await?;
    let issuer = app.config.public_url.as_str();
    let answer =
        introspection::answer(&sender.client, presented.known(), presented.grant_state(), issuer, app.clock.now());
    json(StatusCode::OK, Keep::Nothing, &answer)
}
