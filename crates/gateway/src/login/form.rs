//! `/login`: the form, and what is typed into it.

use std::sync::Arc;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::{Secret, printable};
use portcullis_store::Person;
use serde::Deserialize;

use super::session;
use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, SameOriginForm, Source},
    pages::sign_in::{SignIn, sign_in},
    return_to::ReturnTo,
};

#[derive(Deserialize)]
pub struct Way {
    #[serde(default)]
    return_to: ReturnTo,
}

#[derive(Deserialize)]
pub struct Typed {
    name: String,
    password: Secret,
    #[serde(default)]
    return_to: ReturnTo,
}

/// `GET /login`
pub async fn show(who: Option<LoggedIn>, way: Result<Query<Way>, QueryRejection>) -> Response {
    let return_to = way.map(|Query(way)| way.return_to).unwrap_or_default();
    if who.is_some() {
        return Redirect::to(return_to.as_str()).into_response();
    }
    sign_in(&SignIn { return_to: return_to.as_str(), ..SignIn::default() }).into_response()
}

/// `POST /login`
pub async fn submit(
    State(app): State<Arc<App>>,
    source: Source,
    before: Option<LoggedIn>,
    SameOriginForm(typed): SameOriginForm<Typed>,
) -> Result<Response, PageError> {
    let limits = &app.limits;
    // spec: T-102: per name and source together, so that nobody can spend the tries of somebody else.
    let name_key = format!("{} {}", source.key(), typed.name.to_lowercase());
    limits.sign_in_source.ask(&source.key())?;
    limits.sign_in_name.ask(&name_key)?;

    let Some(person) = prove(&app, &typed).await? else {
        limits.sign_in_source.charge(&source.key());
        limits.sign_in_name.charge(&name_key);
        let name = printable(&typed.name, 64);
        let actor = Actor { name: Some(name.as_str().into()), address: Some(source.0), ..Actor::default() };
        let event = Event::new(Kind::SigninFailed, app.clock.now()).by(actor).outcome(Outcome::Failure);
        app.journal.append(event).await.map_err(PageError::unavailable)?;
        let failure = Some("Name or password is wrong.");
        let view = SignIn { return_to: typed.return_to.as_str(), name: &typed.name, failure };
        return Ok(sign_in(&view).status(StatusCode::UNAUTHORIZED).into_response());
    };
    let actor = Actor {
        person: Some(person.id.clone()),
        name: Some(person.name.as_str().into()),
        client: None,
        address: Some(source.0),
    };
    let event = Event::new(Kind::SigninSucceeded, app.clock.now())
        .by(actor)
        .outcome(Outcome::Success)
        .text("method", "password");
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    session::start(&app, &person.id, before.map(|who| who.session.hash), &typed.return_to).await
}

/// The person with this name and password, if they may sign in. Takes as long for a name that nobody has.
async fn prove(app: &App, typed: &Typed) -> Result<Option<Person>, PageError> {
    let found = app.store.person_by_name(&typed.name).await.map_err(PageError::unavailable)?;
    let (person, stored) = found.map_or((None, None), |(person, hash)| (Some(person), hash));
    let proved = app.passwords.verify(typed.password.clone(), stored).await;
    Ok(person.filter(|person| proved && person.disabled_at.is_none() && app.config.identity.local_accounts))
}
