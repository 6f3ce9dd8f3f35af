//! Which server somebody speaks of, whose connection that is about, and which call asked for it.

use std::sync::Arc;

use http::StatusCode;
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_base::{Holder, ServerName};

use crate::{
    app::App,
    authorization::resources::admits,
    config::Holders,
    connect_link::{Ask, CONNECTIONS},
    error::PageError,
    extract::LoggedIn,
    roles::Standing,
    snapshot::Server,
};

/// The server of this name, if the person may use it; to others it does not exist.
pub fn server(app: &App, who: &LoggedIn, name: &str) -> Result<Arc<Server>, PageError> {
    let name = ServerName::parse(name).map_err(|_| PageError::not_found())?;
    let found = app.snapshot.load().servers.get(&name).cloned();
    // An administrator looks after the connection for everybody, also where they do not use the server.
    let fits = |server: &Arc<Server>| {
        admits(app, server, &who.person) || (server.credential.holders() == Some(Holders::Shared) && may_share(who))
    };
    found.filter(fits).ok_or_else(PageError::not_found)
}

/// Whose connection the person would make at `server`; refused where that is not theirs to make.
///
/// spec: UP-40: "never share across users unless the administrator defined the connection as shared".
pub fn holder(app: &App, who: &LoggedIn, server: &Server) -> Result<Holder, PageError> {
    match server.credential.holders() {
        Some(Holders::Each) => Ok(Holder::Person(who.person.id.clone())),
        Some(Holders::Shared) if may_share(who) => {
            who.recently(app, &page(server))?;
            Ok(Holder::Shared)
        }
        Some(Holders::Shared) => Err(PageError::new(
            StatusCode::FORBIDDEN,
            "connection.shared",
            "One account serves everybody here",
            "An administrator of this gateway connects it. Nothing was changed.",
        )),
        None => Err(PageError::not_found()),
    }
}

/// Whether the person connects for everybody.
pub fn may_share(who: &LoggedIn) -> bool {
    who.roles.standing() == Standing::Administrator
}

/// The page of a server.
pub fn page(server: &Server) -> String {
    page_of(&server.name)
}

/// The same, where there is a name only.
pub fn page_of(server: &ServerName) -> String {
    format!("{CONNECTIONS}/{server}")
}

/// What the call asked for whose link this is, if the reader is the person whose call it was.
///
/// spec: T-86, UP-62: "leads on only after the browser session's user equals the user of the MCP token".
pub async fn asked(app: &App, who: &LoggedIn, sealed: &str) -> Result<Ask, PageError> {
    let ask = Ask::open(&app.keys, sealed, app.clock.now()).ok_or_else(stale)?;
    if ask.person == who.person.id {
        return Ok(ask);
    }
    let event = event(app, who, Kind::AuthzBrowserMismatch, &ask.server)
        .outcome(Outcome::Denied)
        .text("reason", "the link of another person's call");
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    Err(PageError::new(
        StatusCode::FORBIDDEN,
        "connect.another_person",
        "This link is for somebody else",
        "It was given to an application of another account. If you opened it, your account would be connected for them, \
         so nothing was done. If somebody sent you the link, tell your administrator. If both accounts are yours, sign out \
         and sign in with the other one.",
    ))
}

/// Spends the link of a call: connecting begins once.
///
/// spec: UP-62: "single-use handle".
pub async fn spend(app: &App, ask: &Ask) -> Result<(), PageError> {
    let until = ask.expires_at.plus(crate::connect_link::LIFETIME);
    if app.store.spend(&format!("connect {}", ask.id), until).await.map_err(PageError::unavailable)? {
        return Ok(());
    }
    Err(stale().onward("Open the page of the server", format!("{CONNECTIONS}/{}", ask.server)))
}

fn stale() -> PageError {
    PageError::new(
        StatusCode::BAD_REQUEST,
        "connect.link",
        "This link is not good any more",
        "It is too old, it was used before, or it is not one of ours. Try again in the application, which gets a new one, \
         or go to the page of your connections.",
    )
    .onward("My connections", CONNECTIONS.to_owned())
}

/// Where an administrator finds out what is wrong with the sign-in at a server.
pub fn check_of(server: &ServerName) -> String {
    format!("/admin/servers/{server}/check")
}

/// An event about a server.
pub fn event(app: &App, who: &LoggedIn, kind: Kind, server: &ServerName) -> Event {
    let target = Target { server: Some(server.clone()), ..Target::default() };
    Event::new(kind, app.clock.now()).by(who.actor()).on(target)
}
