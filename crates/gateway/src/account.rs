//! `/account`: "My sign-ins", and the access keys of the person who reads it.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    middleware,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use portcullis_base::{GrantId, PersonId, ServerName};
use portcullis_oauth::scope::Scopes;
use portcullis_policy::Guest;
use portcullis_store::{AccessKeyRow, BrowserSession, Identity, PasskeyRow, Person, StoreError};
use serde::Deserialize;

use crate::{
    access_keys::{self, MadeKey, NewKey},
    app::App,
    desk::DeskError,
    error::PageError,
    extract::{LoggedIn, SignedForm, pages_not_too_often, under_public_url},
    home::server_name,
    pages::{
        account::{
            KeyRow, Keys, Mine, NewKey as NewKeyPage, PasskeyLine, Passkeys, Profile, ProfileSource, SessionRow, Which,
            mine, new_key_page,
        },
        sentence,
    },
    passkeys::PasskeyError,
};

/// The lifetimes that the form offers, in days, as far as the settings allow them.
const DAYS: [u64; 6] = [1, 7, 30, 90, 180, 365];
/// What a key may do: either of these, or it is no key.
const SCOPES: [&str; 2] = ["mcp:read", "mcp:read mcp:call"];

/// The routes of this door.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/account", get(show))
        .route("/account/keys", post(create_key))
        .route("/account/keys/revoke", post(revoke_key))
        .route("/account/passkeys", post(add_passkey))
        .route("/account/passkeys/remove", post(remove_passkey))
        .layer(middleware::from_fn_with_state(Arc::clone(app), pages_not_too_often))
        .layer(middleware::from_fn_with_state(Arc::clone(app), under_public_url))
}

#[derive(Deserialize)]
struct Done {
    done: Option<String>,
}

async fn show(State(app): State<Arc<App>>, who: LoggedIn, Query(query): Query<Done>) -> Result<Response, PageError> {
    // A word of ours, chosen by a word of the address; never the address itself.
    let done = match query.done.as_deref() {
        Some("ended") => Some("The sign-in was ended."),
        Some("others-ended") => Some("Every other sign-in was ended."),
        Some("revoked") => Some("The key was revoked. It opens nothing any more."),
        Some("passkey-added") => Some("The passkey was added."),
        Some("passkey-removed") => Some("The passkey was removed. It proves nothing here any more."),
        _ => None,
    };
    page(&app, &who, done, None).await
}

async fn page(app: &App, who: &LoggedIn, done: Option<&str>, failure: Option<&str>) -> Result<Response, PageError> {
    let (now, id) = (app.clock.now(), &who.person.id);
    let sessions = app.store.sessions_of(id, now).await.map_err(PageError::unavailable)?;
    let identities = app.store.identities_of(id).await.map_err(PageError::unavailable)?;
    let view = Mine {
        account: who.account(),
        profile: profile(app, who, &identities),
        sessions: session_rows(app, &sessions, Some(who)),
        keys: keys(app, who).await?,
        passkeys: passkeys(app, who).await.map_err(PageError::unavailable)?,
        now,
        done,
        failure,
    };
    let status = if failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(mine(&view).status(status).into_response())
}

fn profile(app: &App, who: &LoggedIn, identities: &[Identity]) -> Profile {
    let Person { name, display_name, email, groups, .. } = &who.person;
    let sources = identities.iter().filter(|identity| identity.ended_at.is_none()).map(|identity| ProfileSource {
        provider: provider_name(app, &identity.provider),
        checked_at: Some(identity.checked_at),
        failing_since: identity.failing_since,
    });
    Profile {
        name: name.clone(),
        display_name: display_name.clone(),
        email: email.clone(),
        groups: groups.clone(),
        roles: who.roles.names().to_vec(),
        sources: sources.collect(),
    }
}

/// What people call a provider; its name in the settings if it is no longer there.
pub(crate) fn provider_name(app: &App, id: &str) -> String {
    let known = app.config.identity.providers.iter().find(|provider| provider.id == id);
    known.map_or_else(|| id.to_owned(), |provider| provider.name.clone())
}

/// The browsers that are still signed in; which of them is the reader's.
pub(crate) fn session_rows(app: &App, sessions: &[BrowserSession], reader: Option<&LoggedIn>) -> Vec<SessionRow> {
    let alive_since = app.clock.now().minus(app.config.sessions.idle);
    let alive = sessions.iter().filter(|session| session.seen_at > alive_since);
    let row = |session: &BrowserSession| SessionRow {
        id: session.id.clone(),
        agent: session.agent.clone(),
        address: session.address.map(|address| address.to_string()),
        provider: session.provider.as_deref().map(|id| provider_name(app, id)),
        started_at: session.created_at,
        seen_at: session.seen_at,
        which: if reader.is_some_and(|who| who.session.hash == session.hash) { Which::This } else { Which::Other },
    };
    let mut rows: Vec<SessionRow> = alive.map(row).collect();
    rows.sort_by_key(|row| row.which == Which::Other);
    rows
}

async fn keys(app: &App, who: &LoggedIn) -> Result<Keys, PageError> {
    if !app.config.access_keys.enabled {
        return Ok(Keys::Off);
    }
    Ok(Keys::On { rows: key_rows(app, &who.person.id).await?, servers: servers(app, who), days: days(app) })
}

/// The living keys of a person.
pub(crate) async fn key_rows(app: &App, person: &PersonId) -> Result<Vec<KeyRow>, PageError> {
    let rows = app.store.access_keys_of(person, app.clock.now()).await.map_err(PageError::unavailable)?;
    let row = |row: AccessKeyRow| KeyRow {
        grant: row.grant.as_str().to_owned(),
        name: row.name,
        server: server_name(app, &row.resource).map_or(row.resource, |name| name.as_str().to_owned()),
        scopes: row.scopes.iter().map(str::to_owned).collect(),
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    };
    Ok(rows.into_iter().map(row).collect())
}

async fn passkeys(app: &App, who: &LoggedIn) -> Result<Passkeys, StoreError> {
    let Some(offer) = app.passkeys.offer(&who.person, &who.session.hash).await? else {
        let address = app.config.public_url.as_str().to_owned();
        let local = ["http://127.0.0.1", "http://[::1]"].into_iter().find_map(|local| address.strip_prefix(local));
        let nearest = local.map(|rest| format!("http://localhost{rest}"));
        return Ok(Passkeys::NotHere { address, nearest });
    };
    let line = |row: PasskeyRow| PasskeyLine {
        id: URL_SAFE_NO_PAD.encode(&row.id),
        name: row.name,
        made_at: row.made_at,
        used_at: row.used_at,
    };
    let rows = app.passkeys.of(&who.person.id).await?.into_iter().map(line).collect();
    Ok(Passkeys::Here { rows, options: offer.options, ticket: offer.ticket })
}

#[derive(Deserialize)]
struct MadePasskey {
    name: String,
    ticket: String,
    assertion: String,
}

async fn add_passkey(
    State(app): State<Arc<App>>,
    SignedForm { who, form }: SignedForm<MadePasskey>,
) -> Result<Response, PageError> {
    who.recently(&app, "/account")?;
    let owner = (&who.person.id, &who.session.hash);
    match app.passkeys.add(owner, &form.name, (&form.ticket, &form.assertion), who.actor()).await {
        Ok(()) => Ok(Redirect::to("/account?done=passkey-added").into_response()),
        Err(PasskeyError::Refused(why)) => page(&app, &who, None, Some(&why)).await,
        Err(error) => Err(PageError::unavailable(error)),
    }
}

#[derive(Deserialize)]
struct WhichPasskey {
    passkey: String,
}

async fn remove_passkey(
    State(app): State<Arc<App>>,
    SignedForm { who, form: WhichPasskey { passkey } }: SignedForm<WhichPasskey>,
) -> Result<Response, PageError> {
    who.recently(&app, "/account")?;
    let removed = app.passkeys.remove(&who.person.id, &passkey, who.actor()).await;
    if !removed.map_err(PageError::unavailable)? {
        return Err(PageError::not_found());
    }
    Ok(Redirect::to("/account?done=passkey-removed").into_response())
}

/// Servers that the person may make a key for.
fn servers(app: &App, who: &LoggedIn) -> Vec<String> {
    let groups: Vec<Arc<str>> = who.person.groups.iter().map(|group| group.as_str().into()).collect();
    let snapshot = app.snapshot.load();
    // spec: RS-21: where somebody else issues the tokens, our keys open nothing.
    let admitting = snapshot.servers.values().filter(|server| app.externals.get(&server.name).is_none());
    let guest = Guest { person: &who.person.id, groups: &groups, now: app.clock.now() };
    let admitting = admitting.filter(|server| server.access.admits(guest));
    let mut names: Vec<String> = admitting.map(|server| server.name.as_str().to_owned()).collect();
    let toolboxes = snapshot.toolboxes.values().filter(|toolbox| toolbox.access.admits(guest));
    names.extend(toolboxes.map(|toolbox| toolbox.name.as_str().to_owned()));
    names.sort();
    names
}

fn days(app: &App) -> Vec<u64> {
    let longest = app.config.access_keys.longest.as_secs() / 86_400;
    let mut days: Vec<u64> = DAYS.into_iter().filter(|days| *days < longest).collect();
    days.push(longest.max(1));
    days
}

#[derive(Deserialize)]
struct WantedKey {
    name: String,
    server: String,
    scope: String,
    /// As text: a form that is read as a whole has nothing else.
    days: String,
}

async fn create_key(
    State(app): State<Arc<App>>,
    SignedForm { who, form }: SignedForm<WantedKey>,
) -> Result<Response, PageError> {
    if !app.config.access_keys.enabled {
        return Err(PageError::not_found());
    }
    who.recently(&app, "/account")?;
    match make_key(&app, &who, &form).await {
        Ok((made, url)) => {
            let key = made.key.reveal();
            let name = form.name.trim();
            let view = NewKeyPage { account: who.account(), name, url: &url, key, expires_at: made.expires_at };
            Ok(new_key_page(&view).into_response())
        }
        Err(DeskError::Refused(why)) => page(&app, &who, None, Some(&sentence(&why))).await,
        Err(DeskError::Store(StoreError::Missing)) => Err(PageError::not_found()),
        Err(error) => Err(PageError::unavailable(error)),
    }
}

async fn make_key(app: &App, who: &LoggedIn, form: &WantedKey) -> Result<(MadeKey, String), DeskError> {
    let name = form.name.trim();
    let refused = |why: &str| DeskError::Refused(why.to_owned());
    if name.is_empty() || name.chars().count() > 64 {
        return Err(refused("Give the key a name of 1 to 64 characters."));
    }
    let lifetime = form.days.parse().ok().filter(|wanted| days(app).contains(wanted));
    let Some(lifetime) = lifetime.filter(|_| SCOPES.contains(&form.scope.as_str())) else {
        return Err(refused("Choose what the key may do and when it ends."));
    };
    // spec: RS-35, T-54: a key is for one endpoint, and only for one that its owner may use.
    let server = ServerName::parse(&form.server).ok().filter(|name| servers(app, who).contains(&name.to_string()));
    let server = server.ok_or_else(|| refused("Choose one of your servers."))?;
    let scopes = Scopes::parse(&form.scope).map_err(|error| DeskError::Refused(error.to_string()))?;
    let url = app.config.server_url(&server);
    let new = NewKey {
        person: &who.person.id,
        name,
        server: &server,
        resource: url.clone(),
        scopes,
        lifetime: Duration::from_hours(24_u64.saturating_mul(lifetime)),
        sign_in: Some(who.browser.authenticated_at).filter(|at| at.as_millis() > 0),
    };
    let made = access_keys::create(&app.desk(who.actor()), new, app.config.access_keys.longest).await?;
    app.make_known().await;
    Ok((made, url))
}

#[derive(Deserialize)]
struct WhichKey {
    grant: String,
}

async fn revoke_key(
    State(app): State<Arc<App>>,
    SignedForm { who, form: WhichKey { grant } }: SignedForm<WhichKey>,
) -> Result<Response, PageError> {
    let id = GrantId::new(grant);
    let was = access_keys::revoke(&app.desk(who.actor()), &who.person.id, &id).await;
    if !was.map_err(PageError::unavailable)? {
        return Err(PageError::not_found());
    }
    // spec: AS-89: here at once, elsewhere by the feed of changes.
    app.ended.end_grants([id], app.clock.now());
    app.make_known().await;
    Ok(Redirect::to("/account?done=revoked").into_response())
}
