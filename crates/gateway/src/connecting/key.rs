//! `POST /connections/{server}/key`: a key that somebody types. It goes into the vault and comes back to no page.
//!
//! spec: UP-66, UP-89

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode};
use portcullis_base::Secret;
use serde::Deserialize;

use super::{
    begin::about,
    onward::Onward,
    show::{Occasion, page},
    which::{holder, server, spend},
};
use crate::{
    app::App,
    config::{Credential, HeaderCredential},
    connections::ConnectError,
    error::PageError,
    extract::SignedForm,
};

/// The longest key.
const LONGEST: usize = 4_096;

#[derive(Deserialize)]
pub struct Typed {
    key: Secret,
    option: Option<String>,
    ask: Option<String>,
    #[serde(default)]
    return_to: Onward,
}

/// `POST /connections/{server}/key`
pub async fn save(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    SignedForm { who, form: Typed { key, option, ask, return_to } }: SignedForm<Typed>,
) -> Result<Response, PageError> {
    let server = server(&app, &who, &name)?;
    let Credential::Header(settings) = &*server.credential else { return Err(PageError::not_found()) };
    let holder = holder(&app, &who, &server)?;
    let key = Secret::new(key.reveal().trim().to_owned());
    let prefix = match fit(settings, &key, option.as_deref()) {
        Ok(prefix) => prefix,
        Err(why) => {
            let found = match &ask {
                Some(sealed) => Some((sealed.as_str(), super::which::asked(&app, &who, sealed).await?)),
                None => None,
            };
            let ask = found.as_ref().map(|(sealed, ask)| (*sealed, ask));
            let occasion = Occasion { ask, onward: &return_to, failure: Some(why) };
            return Ok(page(&app, &who, &server, &headers, &occasion).await?.into_response());
        }
    };
    let ask = about(&app, &who, &server, ask.as_deref()).await?;
    if let Some(ask) = &ask {
        spend(&app, ask).await?;
    }
    app.connections.put_key(who.actor(), &holder, &server, prefix, &key).await.map_err(not_kept)?;
    app.make_known().await;
    let word = if ask.is_some() { "connected-call" } else { "connected" };
    Ok(Redirect::to(&return_to.done(word, &server.name)).into_response())
}

/// What stands before the key, if it can be one.
fn fit<'a>(settings: &'a HeaderCredential, key: &Secret, option: Option<&str>) -> Result<&'a str, &'static str> {
    let text = key.reveal();
    // It becomes the value of a header.
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Err("This cannot be a key: type it as you were given it, in plain letters, without line breaks.");
    }
    if settings.pattern.as_ref().is_some_and(|pattern| !pattern.fits(text)) {
        return Err(
            "This does not look like a key of this server. Look whether all of it was copied, and nothing else.",
        );
    }
    if settings.options.is_empty() {
        return Ok(&settings.prefix);
    }
    let chosen = settings.options.iter().find(|known| Some(known.name.as_str()) == option);
    chosen.map(|known| known.prefix.as_str()).ok_or("Choose the kind of key.")
}

/// What was given could not be kept.
pub fn not_kept(error: ConnectError) -> PageError {
    match error {
        ConnectError::NotAllowed => PageError::new(
            StatusCode::FORBIDDEN,
            "connect.not_allowed",
            "This account cannot connect anything",
            "It was switched off, or the server was taken away. Nothing was kept.",
        ),
        ConnectError::Unfit => PageError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "connect.unfit",
            "This cannot be sent to the server",
            "What was given does not fit into a request. Nothing was kept.",
        ),
        error => PageError::unavailable(error),
    }
}
