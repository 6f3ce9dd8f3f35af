//! `POST /connections/{server}/connect`: off to the server's provider.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use http::{HeaderMap, header};
use portcullis_audit::{Kind, Outcome};
use portcullis_base::Holder;
use portcullis_store::{Connection, FlowStage};
use serde::Deserialize;

use super::{
    callback::failed,
    flow::{self, About, Began, Luggage},
    onward::Onward,
    which::{asked, event, holder, page, server, spend},
};
use crate::{
    app::App,
    config::Credential,
    connect_link::{Ask, open_again},
    error::PageError,
    extract::{LoggedIn, SignedForm},
    snapshot::Server,
};

#[derive(Deserialize)]
pub struct Wish {
    /// The link of a call.
    ask: Option<String>,
    #[serde(default)]
    return_to: Onward,
}

/// `POST /connections/{server}/connect`
pub async fn begin(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    SignedForm { who, form: Wish { ask, return_to } }: SignedForm<Wish>,
) -> Result<Response, PageError> {
    let server = server(&app, &who, &name)?;
    if matches!(*server.credential, Credential::Header(_)) {
        return Err(PageError::not_found());
    }
    let holder = holder(&app, &who, &server)?;
    let asked = about(&app, &who, &server, ask.as_deref()).await?;
    let wanted = wanted(&app, &holder, &server, asked.as_ref()).await?;
    let (url, begun) = match app.authority.begin(&server, &wanted).await {
        Ok(begun) => begun,
        Err(error) => {
            // The link is not spent: who tries again is asked for the same.
            let again = ask.map_or_else(|| return_to.keep(&page(&server)), |ask| open_again(&ask));
            return Err(failed(&app, &who, &server, (again, &return_to), &error).await);
        }
    };
    let began = match &asked {
        Some(ask) => {
            spend(&app, ask).await?;
            Began::ByCall
        }
        None => Began::OnPage,
    };
    // spec: UP-33: all of it is written down before the browser leaves.
    let luggage = Luggage::new(begun.to_sealed_text(), return_to, began);
    let about = About { who: &who, holder: &holder, server: &server.name };
    let cookies = flow::keep(&app, &about, (&begun.state, FlowStage::Asked), &luggage, &headers).await?;
    let event = event(&app, &who, Kind::ConnectionBegun, &server.name)
        .outcome(Outcome::Success)
        .text("holder", holder.as_str().to_owned())
        .text("issuer", begun.issuer().to_owned())
        .text("scope", begun.scopes.join(" "));
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    let cookies = AppendHeaders(cookies.into_iter().map(|cookie| (header::SET_COOKIE, cookie)).collect::<Vec<_>>());
    Ok((cookies, [(header::CACHE_CONTROL, "no-store")], Redirect::to(&url)).into_response())
}

/// What the call's link says, if there is one and it is about this server.
pub async fn about(app: &App, who: &LoggedIn, server: &Server, sealed: Option<&str>) -> Result<Option<Ask>, PageError> {
    let Some(sealed) = sealed else { return Ok(None) };
    let ask = asked(app, who, sealed).await?;
    if ask.server != server.name {
        return Err(PageError::foreign_form("the link of another server"));
    }
    Ok(Some(ask))
}

/// What calls have asked for, by their link or before, and what there is already: who allows more loses nothing.
///
/// spec: UP-46: "request the union of scopes previously requested and those challenged".
async fn wanted(app: &App, holder: &Holder, server: &Server, ask: Option<&Ask>) -> Result<Vec<String>, PageError> {
    let row = app.store.connection(holder, &server.name).await.map_err(PageError::unavailable)?;
    let mut wanted = asked_for(row.as_ref(), ask);
    if let Some(row) = row.filter(|_| !wanted.is_empty()) {
        wanted.extend(row.scopes.into_iter().filter(|scope| !wanted.contains(scope)).collect::<Vec<_>>());
    }
    Ok(wanted)
}

/// The scopes that calls were refused for: of the link that led here, and of those before.
pub fn asked_for(row: Option<&Connection>, ask: Option<&Ask>) -> Vec<String> {
    let mut wanted = ask.map(|ask| ask.scopes.clone()).unwrap_or_default();
    let before = row.map(|row| row.wants.as_slice()).unwrap_or_default();
    wanted.extend(before.iter().filter(|scope| !wanted.contains(scope)).cloned().collect::<Vec<_>>());
    wanted
}
