//! `/admin/groups`: every group that somebody says exists, and every group that something here goes by.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use portcullis_store::{GroupOrigin, GroupSource, Person, StoreError};

use crate::{
    account::provider_name,
    app::App,
    config::unasked,
    error::PageError,
    extract::Auditor,
    pages::admin::groups::{GroupRow, Groups, StaleGroup, Unasked, groups},
    roles::Role,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/groups", get(show))
}

async fn show(State(app): State<Arc<App>>, Auditor(who): Auditor) -> Result<Response, PageError> {
    let (rows, stale) = found(&app).await.map_err(PageError::unavailable)?;
    Ok(groups(&Groups { account: who.account(), rows, stale, unasked: wide(&app) }).into_response())
}

/// The servers of which more than reading and writing is allowed without a human being asked, by their names.
fn wide(app: &App) -> Vec<Unasked> {
    let snapshot = app.snapshot.load();
    let all = snapshot
        .servers
        .values()
        .map(|server| Unasked { server: server.name.to_string(), cautions: unasked(&server.access) });
    let mut wide: Vec<_> = all.filter(|server| !server.cautions.is_empty()).collect();
    wide.sort_unstable_by(|one, other| one.server.cmp(&other.server));
    wide
}

/// Every group that there is, and every other that something goes by.
pub(super) async fn found(app: &App) -> Result<(Vec<GroupRow>, Vec<StaleGroup>), StoreError> {
    let known = known(app).await?;
    let mut named = named(app);
    let row = |(name, (sources, members))| {
        let named_by = named.remove(&name).unwrap_or_default();
        GroupRow { name, sources, members, named_by }
    };
    let rows = known.into_iter().map(row).collect();
    let stale = named.into_iter().map(|(name, named_by)| StaleGroup { name, named_by }).collect();
    Ok((rows, stale))
}

/// Every group with its sources and how many active accounts have it.
async fn known(app: &App) -> Result<BTreeMap<String, (Vec<String>, usize)>, StoreError> {
    let mut known: BTreeMap<String, (Vec<String>, usize)> = BTreeMap::new();
    for GroupOrigin { name, source } in app.store.group_origins().await? {
        let source = match source {
            GroupSource::Here => "given here".to_owned(),
            GroupSource::Provider(id) => provider_name(app, &id),
            GroupSource::Directory(id) => format!("directory of {}", provider_name(app, &id)),
        };
        known.entry(name).or_default().0.push(source);
    }
    let people = app.store.people().await?;
    for group in people.iter().filter(|person| Person::is_active(person)).flat_map(|person| &person.groups) {
        known.entry(group.clone()).or_default().1 += 1;
    }
    Ok(known)
}

/// Every group that is gone by, with what names it.
fn named(app: &App) -> BTreeMap<String, Vec<String>> {
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut name = |group: &str, by: String| {
        // `*` is everybody, no group.
        if group != "*" {
            named.entry(group.to_owned()).or_default().insert(by);
        }
    };
    let snapshot = app.snapshot.load();
    for mention in snapshot.bundle.groups() {
        name(&mention.name, format!("rule {} ({}:{})", mention.rule, mention.file, mention.line));
    }
    for server in snapshot.servers.values() {
        for entry in &server.access.entries {
            name(&entry.group, format!("server {}", server.name));
        }
    }
    for toolbox in snapshot.toolboxes.values() {
        for entry in &toolbox.access.entries {
            name(&entry.group, format!("toolbox {}", toolbox.name));
        }
    }
    for role in Role::ALL {
        for group in app.appointments.groups_with(role) {
            name(group, format!("role {}", role.as_str()));
        }
    }
    named.into_iter().map(|(group, by)| (group, by.into_iter().collect())).collect()
}
