//! `POST /oauth/register`: dynamic registration (RFC 7591). Deprecated by MCP 2026-07-28, still needed by many clients.
//!
//! Open to strangers, so everything about it is bounded: the body, the rate per source and in all, the number of clients
//! kept, and how long an unused one lives (spec: T-20, AS-123).

use std::sync::Arc;

use axum::{body::Bytes, extract::State, response::Response};
use http::{HeaderMap, StatusCode, header};
use portcullis_audit::{Actor, Event, Kind, Outcome, Target, Value};
use portcullis_oauth::registration::{self, RegistrationAnswer};
use portcullis_store::StoreError;

use super::{
    answer::{Keep, json},
    documents,
};
use crate::{app::App, config::Registration, error::ApiError, extract::Source};

pub async fn register(
    State(app): State<Arc<App>>,
    source: Source,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    admit(&app, source)?;
    app.limits.register_source.take(&source.key())?;
    app.limits.register_all.take("")?;
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media_type.to_ascii_lowercase().starts_with("application/json") {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_client_metadata",
            "the registration must be application/json",
        ));
    }
    let metadata = registration::register(&body, &documents::redirect_policy(&app))?;
    let now = app.clock.now();
    let (client, secret) = registration::new_client(metadata, now, &*app.rng);
    let cap = app.config.clients.registration_limits.total;
    match app.store.put_registered(&client, cap, now).await {
        Ok(()) => {}
        Err(StoreError::TooManyClients { limit }) => {
            return Err(ApiError::unavailable(format!("{limit} registered clients are all in use")));
        }
        Err(error) => return Err(ApiError::unavailable(error)),
    }
    let actor = Actor { client: Some(client.id.clone()), address: Some(source.0), ..Actor::default() };
    let name = client.metadata.client_name.clone().unwrap_or_default();
    let event = Event::new(Kind::ClientRegistered, now)
        .by(actor)
        .on(Target { name: Some(name.into()), ..Target::default() })
        .outcome(Outcome::Success)
        .detail("redirect_uris", Value::List(client.metadata.redirect_uris.clone()))
        .text("auth_method", client.metadata.token_endpoint_auth_method.as_str());
    app.journal.append(event).await.map_err(ApiError::unavailable)?;
    // spec: AS-119
    json(StatusCode::CREATED, Keep::Nothing, &RegistrationAnswer::new(&client, secret.as_ref()))
}

fn admit(app: &App, source: Source) -> Result<(), ApiError> {
    match app.config.clients.registration {
        Registration::Open => Ok(()),
        Registration::Loopback if source.0.is_loopback() => Ok(()),
        // spec: AS-14: what is not offered is not there.
        Registration::Off => Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", "registration is switched off")),
        Registration::Loopback => {
            Err(ApiError::new(StatusCode::FORBIDDEN, "access_denied", "registration is for this machine only"))
        }
    }
}
