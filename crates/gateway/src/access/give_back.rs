//! `POST /grants/access/revoke`: a right ends before its time.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use portcullis_audit::{Kind, Outcome};
use portcullis_base::AccessGrantId;
use serde::Deserialize;

use super::event;
use crate::{app::App, error::PageError, extract::SignedForm, roles::Standing};

#[derive(Deserialize)]
pub(super) struct Which {
    right: String,
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    SignedForm { who, form: Which { right } }: SignedForm<Which>,
) -> Result<Response, PageError> {
    let found = app.store.access_grant(&AccessGrantId::new(right)).await.map_err(PageError::unavailable)?;
    let me = &who.person.id;
    // Somebody else's and none at all look the same to whoever may not take it back.
    let grant = found
        .filter(|grant| grant.person == *me || who.roles.standing() == Standing::Administrator)
        .ok_or_else(PageError::not_found)?;
    let revoked = app.store.revoke_access(&grant.id, me, app.clock.now()).await.map_err(PageError::unavailable)?;
    if revoked {
        let event = event(&app, Kind::AccessRevoked, who.actor(), &grant.server)
            .outcome(Outcome::Success)
            .text("right", grant.id.as_str().to_owned())
            .text("kind", grant.kind.as_str())
            .text("person", grant.person.as_str().to_owned());
        app.journal.append(event).await.map_err(PageError::unavailable)?;
        app.make_known().await;
    }
    Ok(Redirect::to("/grants?done=given-back").into_response())
}
