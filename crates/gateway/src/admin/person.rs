//! `/admin/people/{id}`: one person, and what an administrator may change about them.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use portcullis_audit::{Event, Kind, Target, Value};
use portcullis_base::PersonId;
use portcullis_store::{Identity, Person, PersonKind, StoreError};
use serde::Deserialize;

use super::{groups_typed, people::state, recorded};
use crate::{
    account::{key_rows, provider_name, session_rows},
    app::App,
    error::PageError,
    extract::{AdminForm, Auditor, LoggedIn},
    home::{applications, client_row},
    pages::admin::person::{IdentityRow, Person as PersonPage, person as person_page},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/people/{id}", get(show))
        .route("/admin/people/{id}/groups", post(set_groups))
        .route("/admin/people/{id}/administrator", post(set_administrator))
        .route("/admin/people/{id}/enable", post(enable))
        .route("/admin/people/{id}/sessions/end", post(end_sessions))
}

#[derive(Deserialize)]
struct Done {
    done: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    Auditor(who): Auditor,
    Path(id): Path<String>,
    Query(query): Query<Done>,
) -> Result<Response, PageError> {
    let person = find(&app, id).await?;
    let done = match query.done.as_deref() {
        Some("groups") => Some("The groups were saved."),
        Some("administrator") => Some("The rights were changed."),
        Some("enabled") => Some("The account is switched on. What had ended stays ended."),
        Some("signed-out") => Some("Signed out everywhere."),
        Some("revoked") => Some("The access was ended."),
        _ => None,
    };
    let view = view(&app, &who, &person, done).await.map_err(PageError::unavailable)?;
    let keys = key_rows(&app, &person.id).await?;
    Ok(person_page(&PersonPage { keys, ..view }).into_response())
}

/// Everything on the page but the keys.
async fn view<'a>(
    app: &App,
    who: &'a LoggedIn,
    person: &'a Person,
    done: Option<&'a str>,
) -> Result<PersonPage<'a>, StoreError> {
    let now = app.clock.now();
    let sessions = app.store.sessions_of(&person.id, now).await?;
    let grants = app.store.grants_of(&person.id, now).await?;
    let identities = app.store.identities_of(&person.id).await?;
    let owned = app.store.service_accounts().await?.into_iter().map(|account| account.person);
    let owned = owned.filter(|account| account.owner.as_ref() == Some(&person.id) && account.is_active());
    Ok(PersonPage {
        account: who.account(),
        id: person.id.as_str(),
        name: &person.name,
        display_name: &person.display_name,
        email: person.email.as_deref(),
        state: state(person),
        created_at: person.created_at,
        roles: app.appointments.of_person(person).names().to_vec(),
        administrator_since: person.admin_at,
        groups: person.groups.clone(),
        local_groups: person.local_groups.clone(),
        identities: identities.into_iter().map(|identity| identity_row(app, identity)).collect(),
        sessions: session_rows(app, &sessions, Some(who)),
        clients: applications(grants).map(|grant| client_row(app, grant, None)).collect(),
        keys: Vec::new(),
        owned: owned.map(|account| account.name).collect(),
        now,
        done,
    })
}

fn identity_row(app: &App, identity: Identity) -> IdentityRow {
    IdentityRow {
        provider: provider_name(app, &identity.provider),
        issuer: identity.issuer,
        subject: identity.subject,
        signed_in_at: Some(identity.signed_in_at),
        checked_at: Some(identity.checked_at),
        failing_since: identity.failing_since,
        ended_at: identity.ended_at,
    }
}

/// The person with this identifier; service accounts have a page of their own.
pub(super) async fn find(app: &App, id: String) -> Result<Person, PageError> {
    let found = app.store.person(&PersonId::new(id)).await.map_err(PageError::unavailable)?;
    found.filter(|person| person.kind == PersonKind::Person).ok_or_else(PageError::not_found)
}

fn changed(app: &App, who: &LoggedIn, person: &Person, what: &'static str) -> Event {
    let target = Target { name: Some(person.name.clone().into()), ..Target::default() };
    let event = Event::new(Kind::PersonChanged, app.clock.now()).by(who.actor()).on(target);
    event.text("person", person.id.as_str().to_owned()).text("what", what)
}

fn back(person: &Person, done: &str) -> Response {
    Redirect::to(&format!("/admin/people/{}?done={done}", person.id)).into_response()
}

#[derive(Deserialize)]
struct Groups {
    groups: String,
}

async fn set_groups(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    AdminForm { who, form }: AdminForm<Groups>,
) -> Result<Response, PageError> {
    let (person, now) = (find(&app, id).await?, app.clock.now());
    let groups = groups_typed(&form.groups)?;
    let event = changed(&app, &who, &person, "groups").detail("groups", Value::List(groups.clone()));
    recorded(&app, event, app.store.set_local_groups(&person.id, &groups, now)).await?;
    Ok(back(&person, "groups"))
}

#[derive(Deserialize)]
struct Rights {
    give: Give,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Give {
    Yes,
    No,
}

async fn set_administrator(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    AdminForm { who, form }: AdminForm<Rights>,
) -> Result<Response, PageError> {
    let (person, now) = (find(&app, id).await?, app.clock.now());
    let (since, what) = match form.give {
        Give::Yes => (Some(now), "made an administrator"),
        Give::No => (None, "no longer an administrator"),
    };
    recorded(&app, changed(&app, &who, &person, what), app.store.set_admin(&person.id, since, now)).await?;
    Ok(back(&person, "administrator"))
}

#[derive(Deserialize)]
struct Nothing {}

async fn enable(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    AdminForm { who, form: Nothing {} }: AdminForm<Nothing>,
) -> Result<Response, PageError> {
    let (person, now) = (find(&app, id).await?, app.clock.now());
    recorded(&app, changed(&app, &who, &person, "switched on"), app.store.enable_person(&person.id, now)).await?;
    Ok(back(&person, "enabled"))
}

async fn end_sessions(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    AdminForm { who, form: Nothing {} }: AdminForm<Nothing>,
) -> Result<Response, PageError> {
    let person = find(&app, id).await?;
    let event = changed(&app, &who, &person, "signed out everywhere");
    recorded(&app, event, app.store.end_sessions_of(&person.id)).await?;
    Ok(back(&person, "signed-out"))
}
