//! `/Users`: people whom a directory announces, changes and takes away.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_audit::{Event, Kind};
use portcullis_base::{PersonId, token};
use portcullis_store::{Paging, ScimState, ScimUser, ScimUserLookup, ScimWrite};
use serde_json::{Map, Value};

use super::{
    answer::{Document, empty, scim_json},
    directory::Directory,
    error::ScimError,
    etag, patch as patching,
    query::{self, Parameters, Query},
    resource::location,
    schema::{USER, read_members},
    select::Selection,
    user::{self, User},
};
use crate::app::App;

/// The most people that a filter without an index looks through.
const SCANNED: u32 = 50_000;
/// How often a change is tried again when somebody else changed the same user in between.
const TRIES: usize = 5;

/// `POST /Users`
pub async fn create(
    State(app): State<Arc<App>>,
    directory: Directory,
    parameters: Parameters,
    Document(body): Document,
) -> Result<Response, ScimError> {
    let selection = parameters.selection(&USER)?;
    let wanted = User::from_members(read_members(USER.attributes, body)?)?;
    let (id, person) = (format!("scu_{}", token::<16>(&*app.rng)), PersonId::random(&*app.rng));
    let new = wanted.to_store(&id, &directory.provider);
    let created = app.store.create_scim_user(&new, directory.link, &person, app.clock.now()).await?;
    let ScimWrite::Done(mut stored) = created else { return Err(taken()) };
    if wanted.state() == ScimState::Inactive && stored.disabled_at.is_none() {
        // Somebody who was here before the directory told of them.
        directory.end(&app, &stored.person).await?;
        stored = find(&app, &directory, &id).await?;
    }
    let kind = if stored.person == person { Kind::PersonCreated } else { Kind::PersonChanged };
    directory.record(&app, event(&app, &directory, kind, &stored)).await?;
    let mut response = answer(StatusCode::CREATED, &stored, &selection, &directory);
    if let Ok(place) = HeaderValue::from_str(&location(&USER, &id, &directory.base)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// `GET /Users/{id}`
pub async fn read(
    State(app): State<Arc<App>>,
    directory: Directory,
    parameters: Parameters,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, ScimError> {
    let selection = parameters.selection(&USER)?;
    let found = find(&app, &directory, &id).await?;
    if etag::is_known(&headers, &user::version(&found)) {
        return Ok(tagged(empty(StatusCode::NOT_MODIFIED), &found));
    }
    Ok(answer(StatusCode::OK, &found, &selection, &directory))
}

/// `GET /Users`
pub async fn list(
    State(app): State<Arc<App>>,
    directory: Directory,
    parameters: Parameters,
) -> Result<Response, ScimError> {
    listed(&app, &directory, &parameters.query(&USER)?).await
}

/// `POST /Users/.search`
pub async fn search(
    State(app): State<Arc<App>>,
    directory: Directory,
    Document(body): Document,
) -> Result<Response, ScimError> {
    listed(&app, &directory, &Parameters::of_search(body)?.query(&USER)?).await
}

/// `PUT /Users/{id}`
pub async fn replace(
    State(app): State<Arc<App>>,
    directory: Directory,
    parameters: Parameters,
    headers: HeaderMap,
    Path(id): Path<String>,
    Document(body): Document,
) -> Result<Response, ScimError> {
    let selection = parameters.selection(&USER)?;
    let new = read_members(USER.attributes, body)?;
    let change = |before: &ScimUser| {
        let mut new = new.clone();
        // Nobody is let in again by not being spoken of.
        new.entry("active").or_insert_with(|| before.deactivated_at.is_none().into());
        Ok(new)
    };
    let stored = changed(&app, &directory, &headers, &id, change).await?;
    Ok(answer(StatusCode::OK, &stored, &selection, &directory))
}

/// `PATCH /Users/{id}`
pub async fn patch(
    State(app): State<Arc<App>>,
    directory: Directory,
    parameters: Parameters,
    headers: HeaderMap,
    Path(id): Path<String>,
    Document(body): Document,
) -> Result<Response, ScimError> {
    let selection = parameters.selection(&USER)?;
    let change = |before: &ScimUser| patching::apply(&USER, user::members(before), body.clone());
    let stored = changed(&app, &directory, &headers, &id, change).await?;
    Ok(answer(StatusCode::OK, &stored, &selection, &directory))
}

/// `DELETE /Users/{id}`: the person is ended, and stays in the records.
pub async fn delete(
    State(app): State<Arc<App>>,
    directory: Directory,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, ScimError> {
    for _ in 0..TRIES {
        let before = find(&app, &directory, &id).await?;
        etag::unchanged(&headers, &user::version(&before))?;
        if before.disabled_at.is_none() {
            directory.end(&app, &before.person).await?;
        }
        let now = app.clock.now();
        match app.store.delete_scim_user(&directory.provider, &id, before.version, now).await? {
            ScimWrite::Done(_) => {
                let event = event(&app, &directory, Kind::PersonChanged, &before).text("change", "deleted");
                directory.record(&app, event).await?;
                return Ok(empty(StatusCode::NO_CONTENT));
            }
            ScimWrite::Stale => {}
            _ => return Err(ScimError::not_found()),
        }
    }
    Err(ScimError::unavailable("a user kept changing"))
}

/// Changes a user as `change` says; what it is then.
///
/// spec: T-53: who becomes inactive is ended first, so that an error later leaves nobody with access.
async fn changed(
    app: &App,
    directory: &Directory,
    headers: &HeaderMap,
    id: &str,
    change: impl Fn(&ScimUser) -> Result<Map<String, Value>, ScimError>,
) -> Result<ScimUser, ScimError> {
    for _ in 0..TRIES {
        let before = find(app, directory, id).await?;
        etag::unchanged(headers, &user::version(&before))?;
        let wanted = User::from_members(change(&before)?)?;
        if wanted.state() == ScimState::Inactive && before.disabled_at.is_none() {
            directory.end(app, &before.person).await?;
        }
        let new = wanted.to_store(id, &directory.provider);
        match app.store.change_scim_user(&new, before.version, app.clock.now()).await? {
            ScimWrite::Done(after) => {
                let enabled = before.disabled_at.is_some() && after.disabled_at.is_none();
                let kind = if enabled { Kind::PersonEnabled } else { Kind::PersonChanged };
                directory.record(app, event(app, directory, kind, &after)).await?;
                return Ok(after);
            }
            ScimWrite::Stale => {}
            ScimWrite::Taken => return Err(taken()),
            ScimWrite::Missing | ScimWrite::NoSuchMember(_) => return Err(ScimError::not_found()),
        }
    }
    Err(ScimError::unavailable("a user kept changing"))
}

async fn listed(app: &App, directory: &Directory, query: &Query) -> Result<Response, ScimError> {
    let Query { filter, paging, selection } = query;
    let show = |user: &ScimUser| user::show(user, &directory.base);
    let Some(filter) = filter else {
        let found = app.store.scim_users(&directory.provider, ScimUserLookup::All, *paging).await?;
        let resources = found.items.iter().map(|user| selection.apply(show(user))).collect();
        return Ok(scim_json(StatusCode::OK, &query::list(found.total, paging.skip, resources)));
    };
    let which = match (filter.must_equal("userName"), filter.must_equal("externalId")) {
        (Some(name), _) => ScimUserLookup::UserName(name),
        (None, Some(id)) => ScimUserLookup::ExternalId(id),
        (None, None) => ScimUserLookup::All,
    };
    let found = app.store.scim_users(&directory.provider, which, Paging { skip: 0, take: SCANNED }).await?;
    if found.total > u64::from(SCANNED) {
        return Err(ScimError::too_many("filter by userName or externalId: there are too many users for this filter"));
    }
    let matching: Vec<Value> = found.items.iter().map(show).filter(|user| filter.holds(user)).collect();
    Ok(scim_json(StatusCode::OK, &query::page(matching, *paging, selection)))
}

async fn find(app: &App, directory: &Directory, id: &str) -> Result<ScimUser, ScimError> {
    app.store.scim_user(&directory.provider, id).await?.ok_or_else(ScimError::not_found)
}

fn event(app: &App, directory: &Directory, kind: Kind, user: &ScimUser) -> Event {
    let event = directory.desk(app).event(kind, None, &user.user_name);
    event.text("person", user.person.to_string()).text("user", user.id.clone()).text("how", "directory")
}

fn taken() -> ScimError {
    ScimError::taken("there is a user with this userName in this directory")
}

fn answer(status: StatusCode, user: &ScimUser, selection: &Selection, directory: &Directory) -> Response {
    tagged(scim_json(status, &selection.apply(user::show(user, &directory.base))), user)
}

fn tagged(mut response: Response, user: &ScimUser) -> Response {
    if let Ok(version) = HeaderValue::from_str(&user::version(user)) {
        response.headers_mut().insert(header::ETAG, version);
    }
    response
}
