//! `/login/fresh`: a rule asked for a fresh sign-in before an application's calls go on.
//!
//! The link names the grant, sealed. Whoever opens it signs in freshly, reads which application at which server may go on,
//! and says so. Only the person who gave the grant can; a link that somebody sent them does nothing by itself.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_oauth::{authorize::SignInDemand, grant::Grant};
use serde::Deserialize;

use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, SignedForm},
    home::server_name,
    pages::sign_in::{Fresh, fresh, freshened},
    return_to::sign_in_for,
    step_up::{Demand, FRESH},
};

#[derive(Deserialize)]
pub struct Link {
    grant: String,
    /// Whether the person was sent to sign in before.
    after: Option<String>,
}

#[derive(Deserialize)]
pub struct Confirmed {
    grant: String,
}

/// `GET /login/fresh`
pub async fn show(
    State(app): State<Arc<App>>,
    who: Option<LoggedIn>,
    Query(link): Query<Link>,
) -> Result<Response, PageError> {
    let demand = open(&app, &link.grant)?;
    let sign_in = || {
        let back = format!("{FRESH}?grant={}&after=sign-in", link.grant);
        let demand = SignInDemand { max_age: demand.max_age, acr: demand.acr.clone() };
        Redirect::to(&sign_in_for(&back, &demand)).into_response()
    };
    let Some(who) = who else { return Ok(sign_in()) };
    let grant = grant_of(&app, &who, &demand).await?;
    if !is_met(&app, &who, &demand) {
        // Once: a provider that cannot do better would be asked for ever.
        return if link.after.is_none() { Ok(sign_in()) } else { Err(not_enough()) };
    }
    let client = client_name(&app, &grant).await?;
    let server = server_name(&app, &grant.resource).map_or(grant.resource, |name| name.as_str().to_owned());
    let view = Fresh { account: who.account(), client: &client, server: &server, demand: &link.grant };
    Ok(fresh(&view).into_response())
}

/// `POST /login/fresh`
pub async fn confirm(
    State(app): State<Arc<App>>,
    SignedForm { who, form: Confirmed { grant } }: SignedForm<Confirmed>,
) -> Result<Response, PageError> {
    let demand = open(&app, &grant)?;
    let grant = grant_of(&app, &who, &demand).await?;
    if !is_met(&app, &who, &demand) {
        return Err(not_enough());
    }
    let client = client_name(&app, &grant).await?;
    let now = app.clock.now();
    let mut actor = who.actor();
    actor.client = Some(grant.client.clone());
    // Written down first: what is not recorded does not go on.
    let mut event = Event::new(Kind::GrantFresh, now)
        .by(actor)
        .on(Target { server: server_name(&app, &grant.resource), ..Target::default() })
        .outcome(Outcome::Success)
        .text("grant", grant.id.as_str().to_owned())
        .text("authenticated_at", who.browser.authenticated_at.to_string());
    if let Some(acr) = &who.browser.acr {
        event = event.text("acr", acr.clone());
    }
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    let session = &who.browser;
    app.store
        .fresh_sign_in(&grant.id, session.authenticated_at, session.acr.as_deref(), now)
        .await
        .map_err(PageError::unavailable)?;
    // The client tries again at once, so this node knows at once.
    app.feed.catch_up().await.map_err(PageError::unavailable)?;
    Ok(freshened(who.account(), &client).into_response())
}

fn open(app: &App, sealed: &str) -> Result<Demand, PageError> {
    Demand::open(&app.keys, sealed, app.clock.now()).ok_or_else(|| {
        PageError::new(
            StatusCode::BAD_REQUEST,
            "fresh.link",
            "This link is not good any more",
            "It is too old, or it is not one of ours. Try again in the application; it gets a new one.",
        )
    })
}

/// The living grant that is spoken of, if it is this person's.
async fn grant_of(app: &App, who: &LoggedIn, demand: &Demand) -> Result<Grant, PageError> {
    let found = app.store.grant(&demand.grant).await.map_err(PageError::unavailable)?;
    let living = found.filter(|grant| grant.revoked.is_none() && app.clock.now() < grant.expires_at);
    let Some(grant) = living else {
        return Err(PageError::new(
            StatusCode::NOT_FOUND,
            "fresh.ended",
            "This access has ended",
            "The application has to be allowed again. Start from there.",
        ));
    };
    if grant.person != who.person.id {
        return Err(PageError::new(
            StatusCode::FORBIDDEN,
            "fresh.another_person",
            "This link is for somebody else",
            "It belongs to the account that allowed the application. Sign out, and sign in with that account.",
        ));
    }
    Ok(grant)
}

fn is_met(app: &App, who: &LoggedIn, demand: &Demand) -> bool {
    let session = &who.browser;
    let age = app.clock.now().since(session.authenticated_at);
    let strong = |acr: &str| demand.acr.iter().any(|wanted| wanted == acr);
    demand.max_age.is_none_or(|max_age| age <= max_age)
        && (demand.acr.is_empty() || session.acr.as_deref().is_some_and(strong))
}

async fn client_name(app: &App, grant: &Grant) -> Result<String, PageError> {
    let known = app.store.client(&grant.client).await.map_err(PageError::unavailable)?;
    let name = known.and_then(|known| known.client.metadata.client_name);
    Ok(name.unwrap_or_else(|| grant.client.as_str().to_owned()))
}

fn not_enough() -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "signin.not_enough",
        "This sign-in is not enough",
        "The rule asks for one that is fresher or stronger than what your account has just shown. An administrator of \
         this gateway knows the rule.",
    )
}
