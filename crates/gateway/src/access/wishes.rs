//! Wishes, as lists and pages show them.

use portcullis_base::{Classes, Holder, PersonId, ServerName};
use portcullis_policy::Guest;
use portcullis_store::{AccessRequest, StoreError};

use crate::{
    app::App,
    authorization::resources::groups,
    extract::LoggedIn,
    names::Names,
    pages::access::{What, Wish},
    roles::Standing,
    snapshot::Endpoint,
    tools::Risk,
};

/// The most that a list shows.
const MOST: u32 = 200;

/// What waits for somebody's answer: nothing, unless they may give one. Their own is for others.
pub async fn waiting_wishes(app: &App, who: &LoggedIn) -> Result<Vec<Wish>, StoreError> {
    if who.roles.standing() < Standing::Administrator {
        return Ok(Vec::new());
    }
    let mut names = Names::default();
    let mut rows = Vec::new();
    for row in app.store.open_access_requests(MOST, app.clock.now()).await? {
        // What nobody could be let into waits for nobody.
        if row.person != who.person.id && app.snapshot.load().endpoint(&row.server).is_some() {
            rows.push(wish_row(app, &mut names, &row).await?);
        }
    }
    Ok(rows)
}

/// What somebody wished for, the newest first.
pub async fn own_wishes(app: &App, who: &LoggedIn) -> Result<Vec<Wish>, StoreError> {
    let mut names = Names::default();
    let mut rows = Vec::new();
    for row in app.store.access_requests_of(&who.person.id).await? {
        rows.push(wish_row(app, &mut names, &row).await?);
    }
    Ok(rows)
}

/// A wish, with names for identifiers.
pub async fn wish_row(app: &App, names: &mut Names, row: &AccessRequest) -> Result<Wish, StoreError> {
    Ok(Wish {
        id: row.id.as_str().to_owned(),
        server: row.server.to_string(),
        what: what(row.tool.as_deref(), row.classes),
        who: names.person(app, &row.person).await?,
        lasts: row.duration,
        why: row.why.clone(),
        state: row.state_at(app.clock.now()),
        asked_at: row.asked_at,
        expires_at: row.expires_at,
        answer: row.answer.clone().filter(|words| !words.is_empty()),
    })
}

/// What a right or a wish is for.
pub(super) fn what(tool: Option<&str>, classes: Classes) -> What {
    match tool {
        Some(tool) => What::Tool(tool.to_owned()),
        None => What::Classes(classes),
    }
}

/// What `tool` of a server may do, as `person` was shown it. What nobody knows of is unknown.
pub(super) fn risk(app: &App, server: &ServerName, person: &PersonId, tool: &str) -> Classes {
    let snapshot = app.snapshot.load();
    let Some(server) = snapshot.servers.get(server) else { return Classes::UNKNOWN };
    let upstream = app.upstreams.open(&server.name, &server.location, server.limits);
    let page = upstream.book().page(Some(&Holder::Person(person.clone())), tool);
    let classes = Risk::of(page.as_deref(), server.risk.get(tool)).classes;
    if classes.is_empty() { Classes::UNKNOWN } else { classes }
}

/// What is at `name`, if `who` may know of it.
pub(super) fn known(app: &App, who: &LoggedIn, name: &ServerName) -> Option<Endpoint> {
    let groups = groups(&who.person);
    let guest = Guest { person: &who.person.id, groups: &groups, now: app.clock.now() };
    let endpoint = app.snapshot.load().endpoint(name);
    endpoint.filter(|endpoint| endpoint.access().admits(guest))
}
