//! `/welcome/{token}`: the one-time link that the first start prints. Whoever holds it becomes the first administrator.
//!
//! spec: T-95: the link expires, works once, and is no page at all for anybody without its secret or after an
//! administrator exists.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::{Digest, PersonId, Secret};
use portcullis_store::{NewPerson, StoreError};
use serde::Deserialize;

use super::session::{self, Browser, Proof};
use crate::{
    app::App,
    error::PageError,
    extract::{SameOriginForm, Source},
    pages::welcome::{Welcome, welcome},
    password,
    return_to::ReturnTo,
};

#[derive(Deserialize)]
pub struct Typed {
    name: String,
    password: Secret,
    /// A browser always sends it; a script that fills in the form once need not.
    again: Option<Secret>,
}

/// `GET /welcome/{token}`
pub async fn show(
    State(app): State<Arc<App>>,
    source: Source,
    Path(token): Path<String>,
) -> Result<Response, PageError> {
    find(&app, source, &token).await?;
    Ok(welcome(&Welcome { token: &token, ..Welcome::default() }).into_response())
}

/// `POST /welcome/{token}`
pub async fn submit(
    State(app): State<Arc<App>>,
    source: Source,
    Path(token): Path<String>,
    headers: HeaderMap,
    SameOriginForm(typed): SameOriginForm<Typed>,
) -> Result<Response, PageError> {
    let invitation = find(&app, source, &token).await?;
    let again = |failure: &str| {
        let view = Welcome { token: &token, name: &typed.name, failure: Some(failure) };
        Ok(welcome(&view).status(StatusCode::UNPROCESSABLE_ENTITY).into_response())
    };
    if let Err(why) = check(&typed) {
        return again(&why);
    }
    let hash = app.passwords.hash(typed.password.clone(), Arc::clone(&app.rng)).await;
    let now = app.clock.now();
    let person = NewPerson {
        id: PersonId::random(&*app.rng),
        name: typed.name.clone(),
        display_name: typed.name.clone(),
        email: None,
        groups: Vec::new(),
        password_hash: hash,
        admin_at: Some(now),
    };
    let person = match app.store.redeem_invitation(&invitation, &person, now).await {
        Ok(Some(person)) => person,
        Ok(None) => return Err(PageError::not_found()),
        Err(StoreError::Taken) => return again("This name is taken."),
        Err(error) => return Err(PageError::unavailable(error)),
    };
    // Known to the calls at once: a client that is signed in right after this must not be told that its token is wrong.
    if let Err(error) = app.feed.catch_up().await {
        tracing::warn!(%error, "the new administrator is known to calls a moment later");
    }
    let actor = Actor {
        person: Some(person.id.clone()),
        name: Some(person.name.as_str().into()),
        client: None,
        address: Some(source.0),
    };
    for (kind, how) in [(Kind::PersonCreated, "administrator link"), (Kind::SigninSucceeded, "administrator link")] {
        let event = Event::new(kind, now).by(actor.clone()).outcome(Outcome::Success).text("method", how);
        app.journal.append(event).await.map_err(PageError::unavailable)?;
    }
    let proof = Proof::by_password(person.id, person.name, now);
    let browser = Browser { headers: &headers, source, previous: None };
    session::start(&app, &proof, &browser, &ReturnTo::default()).await
}

/// The digest of an invitation that is still good.
async fn find(app: &App, source: Source, token: &str) -> Result<Digest, PageError> {
    app.limits.sign_in_source.ask(&source.key())?;
    let hash = Digest::of(token.as_bytes());
    match app.store.is_invitation_open(&hash, app.clock.now()).await {
        Ok(true) => Ok(hash),
        Ok(false) => {
            app.limits.sign_in_source.charge(&source.key());
            Err(PageError::not_found())
        }
        Err(error) => Err(PageError::unavailable(error)),
    }
}

fn check(typed: &Typed) -> Result<(), String> {
    // The same alphabet as `portcullis user add`.
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+');
    if typed.name.is_empty() || typed.name.chars().count() > 64 || !typed.name.chars().all(allowed) {
        return Err("Use 1 to 64 letters, digits, dots or dashes for the name.".into());
    }
    if typed.again.as_ref().is_some_and(|again| *again != typed.password) {
        return Err("The two passwords are not the same.".into());
    }
    password::fit(&typed.password, &typed.name).map_err(|why| {
        let why = why.to_string();
        let (first, rest) = why.split_at(1);
        format!("{}{rest}.", first.to_uppercase())
    })
}
