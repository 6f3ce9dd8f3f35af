//! `/admin/connections`: whose accounts are connected where. What is sealed is not read here.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use portcullis_base::{ConnectionId, Holder, PersonId, ServerName};
use portcullis_store::{Connection, Paging as Part, StoreError};
use serde::Deserialize;

use crate::{
    app::App,
    config::Holders,
    connecting::{describe, disconnect},
    error::PageError,
    extract::{Admin, AdminForm},
    pages::admin::{
        connections::{self as pages, Connections, Row, Sharing, connections},
        people::Paging,
    },
    snapshot::Server,
    upstream::UpstreamUrl,
};

/// Rows on a page.
const PER_PAGE: usize = 50;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/connections", get(list))
        .route("/admin/connections/{server}", get(show))
        .route("/admin/connections/{server}/disconnect", post(end))
}

/// What the list is narrowed to.
#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    pub server: String,
    #[serde(default)]
    pub person: String,
    #[serde(default)]
    pub page: usize,
}

async fn list(
    State(app): State<Arc<App>>,
    Admin(who): Admin,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let (rows, paging) = found(&app, &wanted).await.map_err(PageError::unavailable)?;
    let mut servers: Vec<String> = app.snapshot.load().servers.keys().map(ToString::to_string).collect();
    servers.sort();
    let view = Connections {
        account: who.account(),
        rows,
        servers,
        server: &wanted.server,
        person: &wanted.person,
        paging,
        done: None,
        now: app.clock.now(),
    };
    Ok(connections(&view).into_response())
}

/// The connections that were asked for, a page of them.
pub(super) async fn found(app: &App, wanted: &Wanted) -> Result<(Vec<Row>, Paging), StoreError> {
    if wanted.server.is_empty() && wanted.person.trim().is_empty() {
        let skip = wanted.page.max(1).saturating_sub(1).saturating_mul(PER_PAGE);
        let part = Part { skip: u32::try_from(skip).unwrap_or(u32::MAX), take: PER_PAGE as u32 };
        let listed = app.store.all_connections(part).await?;
        let total = usize::try_from(listed.total).unwrap_or(usize::MAX);
        return Ok((rows(app, listed.items).await?, Paging::of(total, PER_PAGE, wanted.page)));
    }
    let all = narrowed(app, wanted).await?;
    let paging = Paging::of(all.len(), PER_PAGE, wanted.page);
    let part = all.into_iter().skip((paging.page - 1) * PER_PAGE).take(PER_PAGE).collect();
    Ok((rows(app, part).await?, paging))
}

async fn narrowed(app: &App, wanted: &Wanted) -> Result<Vec<Connection>, StoreError> {
    // What cannot be a server has nothing, and neither has nobody.
    let server = match wanted.server.as_str() {
        "" => None,
        name => match ServerName::parse(name) {
            Ok(name) => Some(name),
            Err(_) => return Ok(Vec::new()),
        },
    };
    let mut rows = match (wanted.person.trim(), &server) {
        ("", Some(server)) => app.store.connections_at(server).await?,
        (name, _) => match app.store.person_by_name(name).await? {
            Some((person, _)) => app.store.connections_of(&person.id).await?,
            None => Vec::new(),
        },
    };
    rows.retain(|row| server.as_ref().is_none_or(|server| *server == row.server));
    Ok(rows)
}

async fn rows(app: &App, found: Vec<Connection>) -> Result<Vec<Row>, StoreError> {
    let mut names: HashMap<PersonId, String> = HashMap::new();
    let snapshot = app.snapshot.load_full();
    for person in found.iter().filter_map(|row| row.holder.person()) {
        if names.contains_key(person) {
            continue;
        }
        // Whoever was switched off is not in the snapshot, and may have something all the same.
        let name = match snapshot.people.get(person) {
            Some(known) => known.name.to_string(),
            None => app.store.person(person).await?.map_or_else(|| person.to_string(), |known| known.name),
        };
        names.insert(person.clone(), name);
    }
    let row = |row: Connection| Row {
        holder: match &row.holder {
            Holder::Shared => pages::Holder::Shared,
            Holder::Person(id) => pages::Holder::Person {
                id: id.to_string(),
                name: names.get(id).cloned().unwrap_or_else(|| id.to_string()),
            },
        },
        held: describe::held(&row),
        id: row.id.as_str().to_owned(),
        server: row.server.to_string(),
        issuer: row.issuer,
        why: row.why,
    };
    Ok(found.into_iter().map(row).collect())
}

async fn show(State(app): State<Arc<App>>, Admin(who): Admin, Path(name): Path<String>) -> Result<Response, PageError> {
    let server = find(&app, &name)?;
    let found = app.store.connections_at(&server.name).await.map_err(PageError::unavailable)?;
    let check = format!("/admin/servers/{}/check", server.name);
    let view = pages::Server {
        account: who.account(),
        name: server.name.as_str(),
        url: server.url().map(UpstreamUrl::as_str),
        kind: server.credential.kind(),
        meaning: describe::meaning(&server.credential),
        check: server.credential.oauth().map(|_| check.as_str()).filter(|_| server.url().is_some()),
        shared: match server.credential.holders() {
            Some(Holders::Each) => Sharing::Each,
            Some(Holders::Shared) => Sharing::Shared,
            None => Sharing::Nobody,
        },
        rows: rows(&app, found).await.map_err(PageError::unavailable)?,
        done: None,
        now: app.clock.now(),
    };
    Ok(pages::server(&view).into_response())
}

/// The server of this name in the catalogue. spec: T-33: there is no other way to name one here.
pub(super) fn find(app: &App, name: &str) -> Result<Arc<Server>, PageError> {
    let name = ServerName::parse(name).map_err(|_| PageError::not_found())?;
    app.snapshot.load().servers.get(&name).cloned().ok_or_else(PageError::not_found)
}

#[derive(Deserialize)]
struct Which {
    connection: String,
}

async fn end(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    AdminForm { who, form: Which { connection } }: AdminForm<Which>,
) -> Result<Response, PageError> {
    let name = ServerName::parse(&name).map_err(|_| PageError::not_found())?;
    let id = ConnectionId::new(connection);
    let row = app.store.connection_by_id(&id).await.map_err(PageError::unavailable)?;
    let row = row.filter(|row| row.server == name).ok_or_else(PageError::not_found)?;
    let done = disconnect::end(&app, &who, &row.holder, &name).await?;
    let back = format!("/admin/connections/{name}");
    Ok(disconnect::page(&who, &name, &done, ("Connections of the server", &back)).into_response())
}
