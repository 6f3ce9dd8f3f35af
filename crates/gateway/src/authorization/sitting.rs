//! One sitting: who has just let an application use a server may connect their account there before the application gets
//! its code.
//!
//! The consent page was answered and is spent; what was agreed waits as an approval does, in a cookie of the same browser,
//! for the same person. Going on with or without a connection spends it, once, and only then is there a code.
//!
//! spec: UP-67, AS-131, T-3

use std::time::Duration;

use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::header;
use portcullis_base::Holder;
use portcullis_store::{ConnectionState, PersonKind};

use super::{
    approval::{Approval, Sitting},
    consent,
    finish::Agreed,
};
use crate::{
    app::App,
    authority::Whom,
    config::{Credential, Holders},
    connect_link::page_onward,
    connections::Lack,
    error::PageError,
    extract::LoggedIn,
    return_to::finish_at,
    snapshot::Server,
};

/// A person does not wait longer than this to hear whether somebody vouches for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the connection that the person lacks at `server`; `None` if they lack none, or were asked before.
pub async fn first(
    app: &App,
    who: &LoggedIn,
    server: &Server,
    agreed: &Agreed<'_>,
) -> Result<Option<Response>, PageError> {
    if agreed.sitting == Sitting::Over || !lacks(app, who, server).await? {
        return Ok(None);
    }
    let mut transaction = agreed.transaction.clone();
    // From here on it is one person's, also if a visitor gave it.
    transaction.person = Some(who.person.id.clone());
    let approval = Approval { sitting: Sitting::Over, ..Approval::new(app, transaction, agreed.next_time) };
    // A request that no cookie holds goes on without the offer.
    let Some(cookie) = approval.cookie(app) else { return Ok(None) };
    if !agreed.spend(app).await? {
        return Err(consent::spent());
    }
    let onward = page_onward(&server.name, &finish_at(&approval.id));
    let cookies = AppendHeaders([(header::SET_COOKIE, cookie)]);
    Ok(Some((cookies, Redirect::to(&onward)).into_response()))
}

/// Whether the person's calls at `server` will ask them for an account.
async fn lacks(app: &App, who: &LoggedIn, server: &Server) -> Result<bool, PageError> {
    if server.credential.holders() != Some(Holders::Each) || !asks_for_an_account(app, server).await? {
        return Ok(false);
    }
    if matches!(*server.credential, Credential::IdJag(_)) {
        // spec: UP-80: whoever the provider vouches for is asked nothing; that is tried first.
        let tried = tokio::time::timeout(PATIENCE, app.connections.credential(server, &whom(app, who))).await;
        return Ok(matches!(tried, Ok(Err(Lack::Connect(_)))));
    }
    let holder = Holder::Person(who.person.id.clone());
    let row = app.store.connection(&holder, &server.name).await.map_err(PageError::unavailable)?;
    Ok(row.is_none_or(|row| row.state == ConnectionState::NeedsSignIn))
}

fn whom(app: &App, who: &LoggedIn) -> Whom {
    let snapshot = app.snapshot.load();
    let groups = snapshot.people.get(&who.person.id).map(|person| person.groups.clone()).unwrap_or_default();
    Whom { person: who.person.id.clone(), kind: PersonKind::Person, name: who.person.name.as_str().into(), groups }
}

/// Whether the server is known to want an account of each person.
pub async fn asks_for_an_account(app: &App, server: &Server) -> Result<bool, PageError> {
    if !matches!(*server.credential, Credential::Auto(_)) {
        return Ok(true);
    }
    let Some(url) = server.url() else { return Ok(false) };
    app.store.has_server_asked(&server.name, url.as_str()).await.map_err(PageError::unavailable)
}
