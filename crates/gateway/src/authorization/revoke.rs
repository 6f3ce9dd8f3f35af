//! `POST /oauth/revoke` (RFC 7009): a client gives up a token, and with it the whole grant.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_oauth::{grant::RevokedWhy, revocation};

use super::presented::Presented;
use crate::{app::App, error::ApiError, extract::ClientForm};

pub async fn revoke(State(app): State<Arc<App>>, sender: ClientForm) -> Result<Response, ApiError> {
    let text = sender.form.get("token").ok_or_else(|| ApiError::invalid_request("token is required"))?;
    let presented = Presented::find(&app, text).await?;
    let now = app.clock.now();
    // spec: AS-88, T-43: somebody else's token and no token at all look the same.
    if let Some(grant) = revocation::revoke(&sender.client.id, presented.known()) {
        let revoked = app.store.revoke_grant(&grant, RevokedWhy::Client, now).await.map_err(ApiError::unavailable)?;
        app.ended.end_grants([grant.clone()], now);
        if revoked {
            let actor = Actor {
                person: presented.person(),
                name: None,
                client: Some(sender.client.id.clone()),
                address: Some(sender.source.0),
            };
            for kind in [Kind::TokenRevoked, Kind::GrantRevoked] {
                let event = Event::new(kind, now)
                    .by(actor.clone())
                    .outcome(Outcome::Success)
                    .text("grant", grant.as_str().to_owned())
                    .text("why", RevokedWhy::Client.as_str());
                app.journal.append(event).await.map_err(ApiError::unavailable)?;
            }
        }
    }
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response())
}
