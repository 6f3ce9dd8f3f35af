//! `/`: a person's own page, with their servers and the applications that act for them; and the way to end such access.
//!
//! Administrators see everybody's, and may end any (spec: AS-91).

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    middleware,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_base::{GrantId, PersonId, ServerName};
use portcullis_oauth::{client::ClientKind, grant::RevokedWhy};
use portcullis_policy::Guest;
use portcullis_store::{ACCESS_KEY, GrantRow};
use serde::Deserialize;
use url::Url;

use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, SignedForm, pages_not_too_often, under_public_url},
    inbox,
    pages::{
        assets,
        home::{ClientRow, Home, ServerCard, home},
    },
    return_to::ReturnTo,
    roles::Standing,
    toolbox::{ALL, cost},
};

/// Most rows an administrator is shown of everybody else's access.
const MOST_OTHERS: usize = 500;

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/", get(show))
        .route("/grants/revoke", post(revoke))
        .layer(middleware::from_fn_with_state(Arc::clone(app), pages_not_too_often))
        .layer(middleware::from_fn_with_state(Arc::clone(app), under_public_url))
        .route("/assets/{name}", get(assets::serve))
}

/// For addresses that lead nowhere.
pub async fn nowhere() -> PageError {
    PageError::not_found()
}

#[derive(Deserialize)]
struct Done {
    done: Option<String>,
}

async fn show(State(app): State<Arc<App>>, who: LoggedIn, Query(query): Query<Done>) -> Result<Response, PageError> {
    let now = app.clock.now();
    let own = app.store.grants_of(&who.person.id, now).await.map_err(PageError::unavailable)?;
    let sees_all = who.roles.standing() == Standing::Administrator;
    let view = Home {
        account: who.account(),
        servers: servers(&app, &who).await?,
        clients: applications(own).map(|grant| client_row(&app, grant, None)).collect(),
        others: if sees_all { others(&app, &who).await? } else { Vec::new() },
        waiting: inbox::waiting(&app, &who).await.map_err(PageError::unavailable)?,
        now,
        // A word of ours, chosen by a word of the address; never the address itself.
        done: (query.done.as_deref() == Some("revoked")).then_some("The access was ended."),
    };
    Ok(home(&view).into_response())
}

#[derive(Deserialize)]
struct Which {
    grant: String,
    #[serde(default)]
    back: ReturnTo,
}

async fn revoke(
    State(app): State<Arc<App>>,
    SignedForm { who, form: Which { grant, back } }: SignedForm<Which>,
) -> Result<Response, PageError> {
    let id = GrantId::new(grant);
    let now = app.clock.now();
    let found = app.store.grant(&id).await.map_err(PageError::unavailable)?;
    let own = |person: &PersonId| *person == who.person.id;
    // Somebody else's grant and no grant at all look the same to whoever may not end it.
    let found = found
        .filter(|grant| own(&grant.person) || who.roles.standing() == Standing::Administrator)
        .ok_or_else(PageError::not_found)?;
    let why = if own(&found.person) { RevokedWhy::Person } else { RevokedWhy::Administrator };
    let revoked = app.store.revoke_grant(&id, why, now).await.map_err(PageError::unavailable)?;
    // spec: AS-89: here at once, elsewhere by the feed of changes.
    app.ended.end_grants([id.clone()], now);
    if revoked {
        let mut actor = who.actor();
        actor.client = Some(found.client.clone());
        let event = Event::new(Kind::GrantRevoked, now)
            .by(actor)
            .on(Target { server: server_name(&app, &found.resource), ..Target::default() })
            .outcome(Outcome::Success)
            .text("grant", id.as_str().to_owned())
            .text("owner", found.person.as_str().to_owned())
            .text("why", why.as_str());
        app.journal.append(event).await.map_err(PageError::unavailable)?;
    }
    Ok(Redirect::to(&format!("{back}?done=revoked")).into_response())
}

async fn servers(app: &App, who: &LoggedIn) -> Result<Vec<ServerCard>, PageError> {
    let groups: Vec<Arc<str>> = who.person.groups.iter().map(|group| group.as_str().into()).collect();
    let guest = Guest { person: &who.person.id, groups: &groups, now: app.clock.now() };
    let snapshot = app.snapshot.load_full();
    let mut servers: Vec<ServerCard> = snapshot
        .servers
        .values()
        .filter(|server| server.access.admits(guest))
        .map(|server| ServerCard {
            name: server.name.as_str().to_owned(),
            description: server.description.clone(),
            url: app.config.server_url(&server.name),
            behind: Vec::new(),
            cost: None,
        })
        .collect();
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    let mut toolboxes: Vec<_> = snapshot.toolboxes.values().filter(|toolbox| toolbox.access.admits(guest)).collect();
    // Everything comes last, and only where it is more than one server.
    toolboxes.sort_by(|a, b| (a.name.as_str() == ALL, &a.name).cmp(&(b.name.as_str() == ALL, &b.name)));
    for toolbox in toolboxes {
        let behind = snapshot.behind(toolbox, guest);
        if behind.is_empty() || (behind.len() == 1 && toolbox.name.as_str() == ALL) {
            continue;
        }
        servers.push(ServerCard {
            name: toolbox.name.as_str().to_owned(),
            description: toolbox.description.clone(),
            url: app.config.server_url(&toolbox.name),
            behind: behind.iter().map(|server| server.name.to_string()).collect(),
            cost: match who.roles.standing() {
                Standing::Administrator => Some(cost(&app.store, toolbox).await.map_err(PageError::unavailable)?),
                _ => None,
            },
        });
    }
    Ok(servers)
}

async fn others(app: &App, who: &LoggedIn) -> Result<Vec<ClientRow>, PageError> {
    let now = app.clock.now();
    let mut rows = Vec::new();
    for person in app.store.people().await.map_err(PageError::unavailable)? {
        if person.id == who.person.id || !person.is_active() {
            continue;
        }
        let grants = app.store.grants_of(&person.id, now).await.map_err(PageError::unavailable)?;
        rows.extend(applications(grants).map(|grant| client_row(app, grant, Some(person.name.clone()))));
        if rows.len() >= MOST_OTHERS {
            rows.truncate(MOST_OTHERS);
            break;
        }
    }
    Ok(rows)
}

/// Without access keys, which are listed with the sign-ins.
pub(crate) fn applications(grants: Vec<GrantRow>) -> impl Iterator<Item = GrantRow> {
    grants.into_iter().filter(|grant| grant.client.as_str() != ACCESS_KEY)
}

pub(crate) fn client_row(app: &App, grant: GrantRow, person: Option<String>) -> ClientRow {
    let host = match grant.client_kind {
        Some(ClientKind::Document) => host_and_port(grant.client.as_str()),
        _ => host_and_port(&grant.redirect_uri),
    };
    ClientRow {
        grant: grant.id.as_str().to_owned(),
        client_name: grant.client_name.unwrap_or_else(|| grant.client.as_str().to_owned()),
        verified: matches!(grant.client_kind, Some(ClientKind::Document | ClientKind::Configured)),
        host,
        server: server_name(app, &grant.resource).map_or(grant.resource, |name| name.as_str().to_owned()),
        scopes: grant.scopes.iter().map(str::to_owned).collect(),
        created_at: grant.created_at,
        last_used_at: grant.last_used_at,
        person,
    }
}

pub(crate) fn server_name(app: &App, resource: &str) -> Option<ServerName> {
    let name = resource.strip_prefix(app.config.public_url.as_str())?.strip_prefix("/mcp/")?;
    ServerName::parse(name).ok()
}

fn host_and_port(uri: &str) -> String {
    let url = Url::parse(uri).ok();
    let host = url.as_ref().and_then(Url::host_str);
    match (host, url.as_ref().and_then(Url::port)) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        _ => uri.to_owned(),
    }
}
