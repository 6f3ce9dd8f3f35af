//! `/connections/{server}` and `/connections/-/open/{handle}`: one server, and the way to connect an account there.
//!
//! The second is the link that a call gave out. It leads to the same page, for the person whose call it was and nobody else
//! (spec: UP-62, T-86).

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use portcullis_base::Holder;
use serde::Deserialize;

use super::{
    begin::asked_for,
    describe::{by_itself, held, host, host_of},
    onward::Onward,
    which::{asked, may_share, server},
};
use crate::{
    app::App,
    authority::AuthorityError,
    config::{Credential, HeaderCredential, Holders},
    connect_link::Ask,
    error::PageError,
    extract::LoggedIn,
    pages::{
        Page,
        connections::{Connect, Way, Whose, connect},
    },
    snapshot::Server,
};

/// So long a page waits for a provider; the rest is found out when somebody goes on.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Deserialize)]
pub struct Wanted {
    #[serde(default)]
    return_to: Onward,
}

/// What brought somebody to the page.
pub struct Occasion<'a> {
    /// The link of a call: as it was sealed, and what it says.
    pub ask: Option<(&'a str, &'a Ask)>,
    /// Where they go on.
    pub onward: &'a Onward,
    /// Why the last try failed.
    pub failure: Option<&'a str>,
}

/// `GET /connections/{server}`
pub async fn show(
    State(app): State<Arc<App>>,
    who: LoggedIn,
    Path(name): Path<String>,
    headers: HeaderMap,
    Query(Wanted { return_to }): Query<Wanted>,
) -> Result<Response, PageError> {
    let server = server(&app, &who, &name)?;
    let occasion = Occasion { ask: None, onward: &return_to, failure: None };
    Ok(page(&app, &who, &server, &headers, &occasion).await?.into_response())
}

/// `GET /connections/-/open/{handle}`
pub async fn open(
    State(app): State<Arc<App>>,
    who: LoggedIn,
    Path(handle): Path<String>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let ask = asked(&app, &who, &handle).await?;
    let server = server(&app, &who, ask.server.as_str())?;
    let occasion = Occasion { ask: Some((&handle, &ask)), onward: &Onward::default(), failure: None };
    Ok(page(&app, &who, &server, &headers, &occasion).await?.into_response())
}

/// The page.
pub async fn page(
    app: &App,
    who: &LoggedIn,
    server: &Server,
    headers: &HeaderMap,
    occasion: &Occasion<'_>,
) -> Result<Page, PageError> {
    let whose = match server.credential.holders() {
        Some(Holders::Each) => Whose::Own,
        Some(Holders::Shared) => Whose::Shared,
        None => return Err(nothing_to_connect(server)),
    };
    let holder = if whose == Whose::Shared { Holder::Shared } else { Holder::Person(who.person.id.clone()) };
    let row = app.store.connection(&holder, &server.name).await.map_err(PageError::unavailable)?;
    let wanted = asked_for(row.as_ref(), occasion.ask.map(|(_, ask)| ask));
    let found = Looked::at(app, who, server, whose, wanted).await;
    let host = host(server);
    let view = Connect {
        account: who.account(),
        server: server.name.as_str(),
        description: server.description.as_deref(),
        host: &host,
        whose,
        held: row.as_ref().map(held),
        way: found.way(server),
        ask: occasion.ask.map(|(sealed, _)| sealed),
        onward: occasion.onward.shown(),
        form_target: match found {
            // The provider's page comes after the form.
            Looked::SignIn { .. } => Some("https:".to_owned()),
            _ => occasion.onward.form_target(app, headers),
        },
        failure: occasion.failure,
        now: app.clock.now(),
    };
    let status = if occasion.failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(connect(&view).status(status))
}

/// How the server is connected, as far as its provider says.
enum Looked {
    SignIn { host: Option<String>, scopes: Vec<String>, trouble: Option<String> },
    Key,
    NotYours,
}

impl Looked {
    async fn at(app: &App, who: &LoggedIn, server: &Server, whose: Whose, mut wanted: Vec<String>) -> Self {
        if whose == Whose::Shared && !may_share(who) {
            return Self::NotYours;
        }
        if matches!(*server.credential, Credential::Header(_)) {
            return Self::Key;
        }
        // spec: UP-37: "An administrator cap may reduce the set."
        let cap = server.credential.oauth().and_then(|oauth| oauth.scopes.as_ref());
        wanted.retain(|scope| cap.is_none_or(|cap| cap.contains(scope)));
        match tokio::time::timeout(PATIENCE, app.authority.discover(server, None)).await {
            Ok(Ok(found)) => Self::SignIn {
                host: found.metadata.authorization_endpoint.as_deref().and_then(host_of),
                // spec: UP-37: what the call was told, else what the server names.
                scopes: if wanted.is_empty() { found.scopes.clone() } else { wanted },
                trouble: None,
            },
            Ok(Err(AuthorityError { public, .. })) => {
                Self::SignIn { host: None, scopes: wanted, trouble: Some(public) }
            }
            Err(_) => {
                let slow = "The server's sign-in service is slow to answer. You can go on all the same.";
                Self::SignIn { host: None, scopes: wanted, trouble: Some(slow.to_owned()) }
            }
        }
    }

    fn way<'a>(&'a self, server: &'a Server) -> Way<'a> {
        match (self, &*server.credential) {
            (Self::Key, Credential::Header(HeaderCredential { label, help, options, .. })) => Way::Key {
                label,
                help: help.as_deref(),
                options: options.iter().map(|option| option.name.as_str()).collect(),
            },
            (Self::SignIn { host, scopes, trouble }, _) => {
                Way::SignIn { host: host.as_deref(), scopes, trouble: trouble.as_deref() }
            }
            _ => Way::NotYours,
        }
    }
}

fn nothing_to_connect(server: &Server) -> PageError {
    let text = by_itself(&server.credential).unwrap_or("This server asks for no account.");
    PageError::new(StatusCode::NOT_FOUND, "connection.none", "There is nothing to connect here", text)
        .onward("My connections", crate::connect_link::CONNECTIONS.to_owned())
}
