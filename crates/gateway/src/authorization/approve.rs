//! An approval becomes a grant and a code.

use axum::response::{IntoResponse, Redirect, Response};
use http::header;
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_base::{Digest, GrantId, Secret, token};
use portcullis_oauth::{
    authorize::Checked,
    consent::ConsentKey,
    grant::{Code, Grant, RevokedWhy},
    token::CODE_LIFETIME,
};
use portcullis_store::{Approval, Approved};

use super::{consent::LIFETIME, resources};
use crate::{app::App, error::PageError, extract::LoggedIn};

/// How the person agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// On the page, this once.
    Asked,
    /// On the page, and not to be asked again.
    AskedAndRemember(ConsentKey),
    /// Some time ago, on the page.
    Remembered,
}

impl How {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::AskedAndRemember(_) => "asked, remember",
            Self::Remembered => "remembered",
        }
    }
}

/// Stores the grant and its code in the commit that spends `transaction`, records it, and sends the browser to the client.
pub async fn approve(
    app: &App,
    who: &LoggedIn,
    request: &Checked,
    transaction: &str,
    how: How,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    let code = Secret::new(token::<32>(&*app.rng));
    let grant = Grant {
        id: GrantId::random(&*app.rng),
        person: who.person.id.clone(),
        client: request.client.clone(),
        resource: request.resource.clone(),
        scopes: request.scopes.clone(),
        redirect_uri: request.redirect_uri.clone(),
        created_at: now,
        expires_at: now.plus(app.config.tokens.refresh_absolute),
        // A provider that does not say when leaves the beginning of time, which no token tells.
        authenticated_at: Some(who.browser.authenticated_at).filter(|at| at.as_millis() > 0),
        acr: who.browser.acr.clone(),
        session: Some(who.browser.id.clone()),
        revoked: None,
    };
    let stored_code = Code {
        hash: Digest::of(code.reveal().as_bytes()),
        grant: grant.id.clone(),
        challenge: request.challenge.clone(),
        // spec: AS-45, T-9
        expires_at: now.plus(app.config.tokens.code.min(CODE_LIFETIME)),
        redeemed_at: None,
    };
    let remember = match &how {
        How::AskedAndRemember(key) => Some(key),
        How::Asked | How::Remembered => None,
    };
    let approval = Approval {
        transaction,
        transaction_expires_at: now.plus(LIFETIME),
        grant: &grant,
        code: &stored_code,
        remember,
    };
    match app.store.approve(&approval, now).await.map_err(PageError::unavailable)? {
        Approved::Stored => {}
        Approved::AlreadySpent => return Err(super::consent::spent()),
    }
    if let Err(failure) = app.journal.append(event(app, who, request, &grant, &how)).await {
        // What is not recorded must not stand.
        app.store.revoke_grant(&grant.id, RevokedWhy::Administrator, now).await.map_err(PageError::unavailable)?;
        return Err(PageError::unavailable(failure));
    }
    // spec: AS-44: 303, so that no browser repeats the form at the client.
    let location = request.redirect_with_code(code.reveal(), app.config.public_url.as_str());
    Ok(([(header::CACHE_CONTROL, "no-store")], Redirect::to(&location)).into_response())
}

fn event(app: &App, who: &LoggedIn, request: &Checked, grant: &Grant, how: &How) -> Event {
    let mut actor = who.actor();
    actor.client = Some(request.client.clone());
    let server = resources::endpoint_at(app, &request.resource).map(|endpoint| endpoint.name().clone());
    Event::new(Kind::ConsentGranted, app.clock.now())
        .by(actor)
        .on(Target { server, ..Target::default() })
        .outcome(Outcome::Success)
        .text("grant", grant.id.as_str().to_owned())
        .text("scope", request.scopes.to_string())
        .text("redirect_uri", request.redirect_uri.clone())
        .text("how", how.as_str())
}
