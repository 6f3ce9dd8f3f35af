//! `/Groups`: a directory's groups, which are groups of the people in them.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_audit::{Kind, Value as Detail};
use portcullis_base::token;
use portcullis_store::{Members, Paging, ScimGroup, ScimGroupLookup, ScimMember, ScimWrite};
use serde_json::{Map, Value};

use super::{
    answer::{Document, empty, scim_json},
    directory::Directory,
    error::ScimError,
    etag,
    group::{self, Group},
    patch as patching,
    query::{self, Parameters, Query},
    resource::location,
    schema::{GROUP, read_members},
    select::Selection,
};
use crate::app::App;

/// The most groups that a filter without an index looks through.
const SCANNED: u32 = 20_000;
/// How often a change is tried again when somebody else changed the same group in between.
const TRIES: usize = 5;
/// So many names of members stand in the record of one change.
const NAMED: usize = 100;

/// `POST /Groups`
pub async fn create(
    State(app): State<Arc<App>>,
    directory: Directory,
    parameters: Parameters,
    Document(body): Document,
) -> Result<Response, ScimError> {
    let selection = parameters.selection(&GROUP)?;
    let wanted = Group::from_members(read_members(GROUP.attributes, body)?)?;
    let id = format!("scg_{}", token::<16>(&*app.rng));
    let new = wanted.to_store(&id, &directory.provider);
    let stored = stored(app.store.create_scim_group(&new, app.clock.now()).await?)?;
    let stored = stored.ok_or_else(|| ScimError::unavailable("a new group was changed by somebody"))?;
    record(&app, &directory, "created", &[], &stored).await?;
    let mut response = answer(StatusCode::CREATED, &stored, &selection, &directory);
    if let Ok(place) = HeaderValue::from_str(&location(&GROUP, &id, &directory.base)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// `GET /Groups/{id}`
pub async fn read(
    State(app): State<Arc<App>>,
    directory: Directory,
    parameters: Parameters,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, ScimError> {
    let selection = parameters.selection(&GROUP)?;
    let found = find(&app, &directory, &id, wanted(&selection)).await?;
    if etag::is_known(&headers, &group::version(&found)) {
        return Ok(tagged(empty(StatusCode::NOT_MODIFIED), &found));
    }
    Ok(answer(StatusCode::OK, &found, &selection, &directory))
}

/// `GET /Groups`
pub async fn list(
    State(app): State<Arc<App>>,
    directory: Directory,
    parameters: Parameters,
) -> Result<Response, ScimError> {
    listed(&app, &directory, &parameters.query(&GROUP)?).await
}

/// `POST /Groups/.search`
pub async fn search(
    State(app): State<Arc<App>>,
    directory: Directory,
    Document(body): Document,
) -> Result<Response, ScimError> {
    listed(&app, &directory, &Parameters::of_search(body)?.query(&GROUP)?).await
}

/// `PUT /Groups/{id}`
pub async fn replace(
    State(app): State<Arc<App>>,
    directory: Directory,
    parameters: Parameters,
    headers: HeaderMap,
    Path(id): Path<String>,
    Document(body): Document,
) -> Result<Response, ScimError> {
    let selection = parameters.selection(&GROUP)?;
    let new = read_members(GROUP.attributes, body)?;
    let stored = changed(&app, &directory, &headers, &id, |_| Ok(new.clone())).await?;
    Ok(answer(StatusCode::OK, &stored, &selection, &directory))
}

/// `PATCH /Groups/{id}`: without a body in return, unless one is asked for; a group may be long.
pub async fn patch(
    State(app): State<Arc<App>>,
    directory: Directory,
    parameters: Parameters,
    headers: HeaderMap,
    Path(id): Path<String>,
    Document(body): Document,
) -> Result<Response, ScimError> {
    let selection = parameters.selection(&GROUP)?;
    let change = |before: &ScimGroup| patching::apply(&GROUP, group::members(before), body.clone());
    let stored = changed(&app, &directory, &headers, &id, change).await?;
    // spec: RFC7644#3.5.2: with the "attributes" parameter "the server SHALL return a 200".
    if parameters.selects() {
        return Ok(answer(StatusCode::OK, &stored, &selection, &directory));
    }
    Ok(tagged(empty(StatusCode::NO_CONTENT), &stored))
}

/// `DELETE /Groups/{id}`
pub async fn delete(
    State(app): State<Arc<App>>,
    directory: Directory,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, ScimError> {
    for _ in 0..TRIES {
        let before = find(&app, &directory, &id, Members::Skipped).await?;
        etag::unchanged(&headers, &group::version(&before))?;
        let now = app.clock.now();
        if let Some(mut gone) =
            stored(app.store.delete_scim_group(&directory.provider, &id, before.version, now).await?)?
        {
            let members = std::mem::take(&mut gone.members);
            known_at_once(&app).await;
            record(&app, &directory, "deleted", &members, &gone).await?;
            return Ok(empty(StatusCode::NO_CONTENT));
        }
    }
    Err(ScimError::unavailable("a group kept changing"))
}

/// Changes a group as `change` says; what it is then.
async fn changed(
    app: &App,
    directory: &Directory,
    headers: &HeaderMap,
    id: &str,
    change: impl Fn(&ScimGroup) -> Result<Map<String, Value>, ScimError>,
) -> Result<ScimGroup, ScimError> {
    for _ in 0..TRIES {
        let before = find(app, directory, id, Members::Read).await?;
        etag::unchanged(headers, &group::version(&before))?;
        let wanted = Group::from_members(change(&before)?)?;
        let new = wanted.to_store(id, &directory.provider);
        if let Some(after) = stored(app.store.change_scim_group(&new, before.version, app.clock.now()).await?)? {
            known_at_once(app).await;
            record(app, directory, "changed", &before.members, &after).await?;
            return Ok(after);
        }
    }
    Err(ScimError::unavailable("a group kept changing"))
}

/// `None`: somebody else was first.
fn stored(write: ScimWrite<ScimGroup>) -> Result<Option<ScimGroup>, ScimError> {
    match write {
        ScimWrite::Done(group) => Ok(Some(group)),
        ScimWrite::Stale => Ok(None),
        ScimWrite::Missing => Err(ScimError::not_found()),
        ScimWrite::Taken => Err(ScimError::taken("there is a group with this displayName in this directory")),
        ScimWrite::NoSuchMember(id) => {
            let id = portcullis_base::printable(&id, 100);
            Err(ScimError::invalid_value(format!("there is no user \"{id}\" in this directory to be a member")))
        }
    }
}

/// Who lost a group loses on this node what it gave now, on others within a second.
async fn known_at_once(app: &App) {
    if let Err(error) = app.feed.catch_up().await {
        tracing::warn!(%error, "the change feed cannot be read; a change of groups is known a little later");
    }
}

async fn record(
    app: &App,
    directory: &Directory,
    change: &'static str,
    before: &[ScimMember],
    after: &ScimGroup,
) -> Result<(), ScimError> {
    let ids = |members: &[ScimMember]| members.iter().map(|member| member.id.clone()).collect::<BTreeSet<_>>();
    let (old, new) = (ids(before), ids(&after.members));
    let names = |members: &[ScimMember], known: &BTreeSet<String>| {
        let others = members.iter().filter(|member| !known.contains(&member.id));
        Detail::List(others.map(|member| member.user_name.clone()).take(NAMED).collect())
    };
    let event = directory
        .desk(app)
        .event(Kind::DirectoryGroup, None, &after.display_name)
        .text("group", after.id.clone())
        .text("change", change)
        .number("added_count", new.difference(&old).count() as i64)
        .number("removed_count", old.difference(&new).count() as i64)
        .detail("added", names(&after.members, &old))
        .detail("removed", names(before, &new));
    directory.record(app, event).await
}

async fn listed(app: &App, directory: &Directory, query: &Query) -> Result<Response, ScimError> {
    let Query { filter, paging, selection } = query;
    let asked = filter.as_ref().is_some_and(|filter| filter.mentions("members"));
    let read = if asked { Members::Read } else { wanted(selection) };
    let show = |group: &ScimGroup| group::show(group, read, &directory.base);
    let Some(filter) = filter else {
        let found = app.store.scim_groups(&directory.provider, ScimGroupLookup::All, *paging, read).await?;
        let resources = found.items.iter().map(|group| selection.apply(show(group))).collect();
        return Ok(scim_json(StatusCode::OK, &query::list(found.total, paging.skip, resources)));
    };
    let which = match (filter.must_equal("displayName"), filter.must_equal("externalId")) {
        (Some(name), _) => ScimGroupLookup::DisplayName(name),
        (None, Some(id)) => ScimGroupLookup::ExternalId(id),
        (None, None) => ScimGroupLookup::All,
    };
    let paged = Paging { skip: 0, take: SCANNED };
    let found = app.store.scim_groups(&directory.provider, which, paged, read).await?;
    if found.total > u64::from(SCANNED) {
        return Err(ScimError::too_many(
            "filter by displayName or externalId: there are too many groups for this filter",
        ));
    }
    let matching: Vec<Value> = found.items.iter().map(show).filter(|group| filter.holds(group)).collect();
    Ok(scim_json(StatusCode::OK, &query::page(matching, *paging, selection)))
}

fn wanted(selection: &Selection) -> Members {
    if selection.wants("members") { Members::Read } else { Members::Skipped }
}

async fn find(app: &App, directory: &Directory, id: &str, members: Members) -> Result<ScimGroup, ScimError> {
    app.store.scim_group(&directory.provider, id, members).await?.ok_or_else(ScimError::not_found)
}

fn answer(status: StatusCode, found: &ScimGroup, selection: &Selection, directory: &Directory) -> Response {
    let shown = group::show(found, wanted(selection), &directory.base);
    tagged(scim_json(status, &selection.apply(shown)), found)
}

fn tagged(mut response: Response, group: &ScimGroup) -> Response {
    if let Ok(version) = HeaderValue::from_str(&group::version(group)) {
        response.headers_mut().insert(header::ETAG, version);
    }
    response
}
