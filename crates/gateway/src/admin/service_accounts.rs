//! `/admin/service-accounts`: programs that call for themselves.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::StatusCode;
use portcullis_audit::{Event, Kind, Target, Value};
use portcullis_base::PersonId;
use portcullis_oauth::{client::AuthMethod, metadata};
use portcullis_store::{Person, PersonKind, ServiceAccount, StoreError};
use serde::Deserialize;

use super::{groups_typed, people::state, recorded};
use crate::{
    app::App,
    desk::DeskError,
    error::PageError,
    extract::{Admin, AdminForm, LoggedIn},
    pages::{
        admin::service_accounts::{
            NewSecret, ProofKind, ServiceAccounts, ServiceRow, Typed, new_secret, service_accounts,
        },
        sentence,
    },
    service_accounts::{self, Made, New, Proof},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/service-accounts", get(list).post(create))
        .route("/admin/service-accounts/{id}/change", post(change))
        .route("/admin/service-accounts/{id}/rotate", post(rotate))
        .route("/admin/service-accounts/{id}/disable", post(disable))
}

#[derive(Deserialize)]
struct Done {
    done: Option<String>,
}

async fn list(
    State(app): State<Arc<App>>,
    Admin(who): Admin,
    Query(query): Query<Done>,
) -> Result<Response, PageError> {
    let done = match query.done.as_deref() {
        Some("made") => Some("The service account was made. It signs with its own key."),
        Some("changed") => Some("The service account was changed."),
        Some("disabled") => Some("The service account is switched off, and what it was granted has ended."),
        _ => None,
    };
    page(&app, &who, done, None, Typed::default()).await
}

async fn page(
    app: &App,
    who: &LoggedIn,
    done: Option<&str>,
    failure: Option<&str>,
    typed: Typed<'_>,
) -> Result<Response, PageError> {
    let rows = rows(app).await.map_err(PageError::unavailable)?;
    let view = ServiceAccounts { account: who.account(), rows, now: app.clock.now(), done, failure, typed };
    let status = if failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(service_accounts(&view).status(status).into_response())
}

pub(super) async fn rows(app: &App) -> Result<Vec<ServiceRow>, StoreError> {
    Ok(app.store.service_accounts().await?.into_iter().map(row).collect())
}

fn row(account: ServiceAccount) -> ServiceRow {
    let ServiceAccount { person, owner_name, client } = account;
    let method = client.as_ref().map(|client| client.client.metadata.token_endpoint_auth_method);
    ServiceRow {
        id: person.id.as_str().to_owned(),
        state: state(&person),
        name: person.name,
        owner: owner_name,
        groups: person.groups,
        proof: if method == Some(AuthMethod::PrivateKeyJwt) { ProofKind::Keys } else { ProofKind::Secret },
        last_used_at: client.and_then(|client| client.last_used_at),
    }
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
    owner: String,
    #[serde(default)]
    groups: String,
    #[serde(default)]
    keys_url: String,
}

async fn create(
    State(app): State<Arc<App>>,
    AdminForm { who, form }: AdminForm<Wanted>,
) -> Result<Response, PageError> {
    match make(&app, &who, &form).await {
        Ok(made) => answer(&app, &who, form.name.trim(), &made).await,
        Err(error) => {
            let typed = Typed { name: &form.name, groups: &form.groups, keys_url: &form.keys_url };
            refused(&app, &who, error, typed).await
        }
    }
}

async fn make(app: &App, who: &LoggedIn, form: &Wanted) -> Result<Made, DeskError> {
    let owner = owner_named(app, &form.owner).await?;
    let groups =
        groups_typed(&form.groups).map_err(|_| DeskError::Refused("A group has a name that is too long.".into()))?;
    let proof = match form.keys_url.trim() {
        "" => Proof::Secret,
        url => Proof::KeysAt(url.to_owned()),
    };
    let new = New { name: form.name.trim(), owner: &owner.id, groups, proof };
    service_accounts::create(&app.desk(who.actor()), new).await
}

/// The person who answers for an account: somebody who may sign in.
async fn owner_named(app: &App, name: &str) -> Result<Person, DeskError> {
    let found = app.store.person_by_name(name.trim()).await?.map(|(person, _)| person);
    let person = found.filter(|person| person.is_active() && person.kind == PersonKind::Person);
    person.ok_or_else(|| DeskError::Refused("nobody who may sign in has the account name of the owner".into()))
}

/// Shows a secret once; where there is none, the list says that it worked.
async fn answer(app: &App, who: &LoggedIn, name: &str, made: &Made) -> Result<Response, PageError> {
    app.make_known().await;
    let Some(secret) = &made.secret else {
        return Ok(Redirect::to("/admin/service-accounts?done=made").into_response());
    };
    let token_endpoint = format!("{}{}", app.config.public_url, metadata::TOKEN);
    let (id, secret) = (made.id.as_str(), secret.reveal());
    let view = NewSecret { account: who.account(), name, id, secret, token_endpoint: &token_endpoint };
    Ok(new_secret(&view).into_response())
}

async fn refused(app: &App, who: &LoggedIn, error: DeskError, typed: Typed<'_>) -> Result<Response, PageError> {
    match error {
        DeskError::Refused(why) => page(app, who, None, Some(&sentence(&why)), typed).await,
        DeskError::Store(StoreError::Taken) => page(app, who, None, Some("This name is taken."), typed).await,
        DeskError::Store(StoreError::Missing) => Err(PageError::not_found()),
        error => Err(PageError::unavailable(error)),
    }
}

#[derive(Deserialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Changed {
    owner: String,
    #[serde(default)]
    groups: String,
}

async fn change(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    AdminForm { who, form }: AdminForm<Changed>,
) -> Result<Response, PageError> {
    let account = find(&app, &id).await?.person;
    let groups = groups_typed(&form.groups)?;
    let owner = match owner_named(&app, &form.owner).await {
        Ok(owner) => owner,
        Err(error) => return refused(&app, &who, error, Typed::default()).await,
    };
    let target = Target { name: Some(account.name.clone().into()), ..Target::default() };
    let event = Event::new(Kind::ServiceAccountChanged, app.clock.now())
        .by(who.actor())
        .on(target)
        .text("account", account.id.as_str().to_owned())
        .text("owner", owner.name)
        .detail("groups", Value::List(groups.clone()));
    let changed = async {
        app.store.set_owner(&account.id, &owner.id, app.clock.now()).await?;
        app.store.set_local_groups(&account.id, &groups, app.clock.now()).await
    };
    recorded(&app, event, changed).await?;
    Ok(Redirect::to("/admin/service-accounts?done=changed").into_response())
}

async fn rotate(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    AdminForm { who, form: Nothing {} }: AdminForm<Nothing>,
) -> Result<Response, PageError> {
    let account = find(&app, &id).await?;
    match service_accounts::rotate(&app.desk(who.actor()), &account.person.id, Proof::Secret).await {
        Ok(made) => answer(&app, &who, &account.person.name, &made).await,
        Err(error) => refused(&app, &who, error, Typed::default()).await,
    }
}

async fn disable(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    AdminForm { who, form: Nothing {} }: AdminForm<Nothing>,
) -> Result<Response, PageError> {
    let account = find(&app, &id).await?;
    match service_accounts::disable(&app.desk(who.actor()), &account.person.id).await {
        Ok(()) => {
            app.make_known().await;
            Ok(Redirect::to("/admin/service-accounts?done=disabled").into_response())
        }
        Err(error) => refused(&app, &who, error, Typed::default()).await,
    }
}

async fn find(app: &App, id: &str) -> Result<ServiceAccount, PageError> {
    let accounts = app.store.service_accounts().await.map_err(PageError::unavailable)?;
    let id = PersonId::new(id);
    accounts.into_iter().find(|account| account.person.id == id).ok_or_else(PageError::not_found)
}
