//! `POST /connections/{server}/disconnect`: forgotten here at once, and taken back at the provider as far as it can be told.
//!
//! spec: UP-47

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use portcullis_base::{Holder, ServerName};
use serde::Deserialize;

use super::{
    describe::host_of,
    key::not_kept,
    which::{holder, server},
};
use crate::{
    app::App,
    authority::Revocation,
    connect_link::CONNECTIONS,
    connections::Disconnected,
    error::PageError,
    extract::{LoggedIn, SignedForm},
    pages::{
        Page,
        connections::{Ended, Told, What, ended},
    },
};

#[derive(Deserialize)]
pub struct Nothing {}

/// `POST /connections/{server}/disconnect`
pub async fn disconnect(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    SignedForm { who, form: Nothing {} }: SignedForm<Nothing>,
) -> Result<Response, PageError> {
    let server = server(&app, &who, &name)?;
    let holder = holder(&app, &who, &server)?;
    let done = end(&app, &who, &holder, &server.name).await?;
    let onward = ("My connections", CONNECTIONS);
    Ok(page(&who, &server.name, &done, onward).into_response())
}

/// Ends a connection at somebody's word; `not_found` if there is none.
pub async fn end(app: &App, who: &LoggedIn, holder: &Holder, server: &ServerName) -> Result<Disconnected, PageError> {
    let done = app.connections.disconnect(who.actor(), holder, server).await.map_err(not_kept)?;
    app.make_known().await;
    done.ok_or_else(PageError::not_found)
}

/// The page about it.
pub fn page(who: &LoggedIn, server: &ServerName, done: &Disconnected, onward: (&str, &str)) -> Page {
    let host = done.issuer.as_deref().and_then(host_of).unwrap_or_else(|| server.to_string());
    let told = match (&done.issuer, &done.revoked) {
        (None, _) => Told::Key,
        (Some(_), None) => Told::Nothing,
        (Some(_), Some(revoked)) => told(revoked),
    };
    let (account, server) = (who.account(), server.as_str());
    ended(&Ended { account, server, host: &host, what: What::Disconnected, told, onward })
}

/// What a page says of it.
pub fn told(revocation: &Revocation) -> Told {
    match revocation {
        Revocation::Done => Told::Yes,
        Revocation::NotOffered => Told::NoWay,
        // What went wrong inside is for the record.
        Revocation::Failed(_) => Told::Failed,
    }
}
