//! `POST /oauth/introspect` (RFC 7662): for clients that prove who they are, about their own tokens.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;
use portcullis_audit::{Actor, Event, Kind, Outcome};
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
    // A token of another client, or of nobody, is not told apart from one that is over; the record is not either.
    let person = if answer.is_active() { presented.person() } else { None };
    let client = Some(sender.client.id.clone());
    let event = Event::new(Kind::TokenIntrospected, app.clock.now())
        .by(Actor { person, name: None, client, address: Some(sender.source.0) })
        .outcome(Outcome::Success)
        .text("active", if answer.is_active() { "yes" } else { "no" });
    app.journal.append(event).await.map_err(ApiError::unavailable)?;
    json(StatusCode::OK, Keep::Nothing, &answer)
}
