//! A visitor whom an application sent: they see what it wants before any provider hears of them.
//!
//! spec: T-1, AS-130: "the first response is the consent page and the IdP was not contacted".

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, header};
use portcullis_audit::Actor;
use portcullis_oauth::authorize::{AuthorizeRequest, Refusal, Visitor, may_bounce};
use serde::Deserialize;

use super::{
    authorize::{Arrival, bounce, check, page, recorded, refuse},
    consent, documents,
    reader::Reader,
    resources,
};
use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, SameOriginForm, Source, Visit},
    pages::consent::{Unseen, unseen},
    return_to::{AUTHORIZE_AGAIN, sign_in_at},
};

#[derive(Deserialize)]
pub struct Look {
    request: String,
}

/// `GET /oauth/authorize` without a session, where people sign in at a provider.
pub async fn consent_first(
    app: &App,
    source: Source,
    headers: &HeaderMap,
    request: &AuthorizeRequest,
    query: &str,
) -> Result<Response, PageError> {
    let id = request.client_id.as_str();
    let known = documents::known(app, id).await?;
    // spec: AS-114: a link makes us fetch nothing; somebody who wants to know what is behind it does.
    if !documents::is_at_hand(app, known.as_ref(), id)? {
        let host = documents::host_of(id);
        return Ok(unseen(&Unseen { client_id: id, host: &host, request: query }).into_response());
    }
    show(app, source, headers, request, query).await
}

/// `POST /oauth/authorize/look`: a visitor wants to see an application whose description we do not have.
pub async fn look(
    State(app): State<Arc<App>>,
    source: Source,
    who: Option<LoggedIn>,
    headers: HeaderMap,
    SameOriginForm(Look { request: query }): SameOriginForm<Look>,
) -> Result<Response, PageError> {
    if who.is_some() {
        return Ok(Redirect::to(&format!("{AUTHORIZE_AGAIN}?{query}")).into_response());
    }
    if app.config.identity.providers.is_empty() {
        return Ok(Redirect::to(&sign_in_at(&format!("/oauth/authorize?{query}"))).into_response());
    }
    let outcome = match AuthorizeRequest::parse(&query) {
        Err(error) => Err(page(error, "", &query)),
        Ok(request) => show(&app, source, &headers, &request, &query).await,
    };
    recorded(&app, Actor { address: Some(source.0), ..Actor::default() }, outcome).await
}

async fn show(
    app: &App,
    source: Source,
    headers: &HeaderMap,
    request: &AuthorizeRequest,
    query: &str,
) -> Result<Response, PageError> {
    let visit = Visit::of_or_new(headers, &*app.rng)?;
    let reader = Reader::Visitor { session: &visit.session, source };
    let id = request.client_id.as_str();
    let known = documents::resolve(app, reader, id).await?;
    let checked = match check(app, request, &known.client) {
        Ok(checked) => checked,
        Err(Refusal::Page(error)) => return Err(page(error, id, query)),
        Err(Refusal::Redirect(error)) if may_bounce(known.client.kind, Visitor::Anonymous) => {
            return Ok(bounce(app, &error));
        }
        Err(Refusal::Redirect(error)) => return refuse(app, reader, &known.client, &error, Arrival::Direct).await,
    };
    let endpoint = resources::endpoint_at(app, &checked.resource).ok_or_else(PageError::not_found)?;
    let page = consent::page(app, reader, &known, &checked, &endpoint);
    let cookie = visit.cookie.map(|cookie| [(header::SET_COOKIE, cookie)]);
    Ok((cookie, page).into_response())
}
