//! `/login/{provider}`: off to a provider.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use http::{HeaderMap, header};
use serde::Deserialize;

use super::{failure, session::no_store, under_way::UnderWay, way::Way};
use crate::{
    app::App,
    error::PageError,
    extract::{SameOriginForm, Source},
    identity::Begin,
};

#[derive(Deserialize)]
pub struct Asked {
    #[serde(flatten)]
    way: Way,
    login_hint: Option<String>,
}

#[derive(Deserialize)]
pub struct Chosen {
    #[serde(flatten)]
    way: Way,
    email: String,
}

/// `GET /login/{provider}`
///
/// spec: T-1, AS-136: state, nonce and verifier are made here and not before: whoever comes from an application has agreed.
pub async fn start(
    State(app): State<Arc<App>>,
    source: Source,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(Asked { way, login_hint }): Query<Asked>,
) -> Result<Response, PageError> {
    let provider = app.providers.get(&id).ok_or_else(PageError::not_found)?;
    let mut under_way = UnderWay::begin(&app, provider.id(), &way, &headers);
    let fresh = way.fresh();
    let begin = Begin {
        state: &under_way.state,
        nonce: &under_way.nonce,
        challenge: &under_way.challenge(),
        login_hint: login_hint.as_deref().filter(|hint| (1..=254).contains(&hint.len())),
        fresh: fresh.as_ref(),
    };
    let onward = match provider.begin(&begin).await {
        Ok(url) => url,
        Err(error) => return failure::answer(&app, source, &headers, provider, &way, &error).await,
    };
    let cookies = under_way.cookies(&app, &headers).into_iter().map(|cookie| (header::SET_COOKIE, cookie));
    let cookies = AppendHeaders(cookies.collect::<Vec<_>>());
    Ok((cookies, [(header::CACHE_CONTROL, no_store())], Redirect::to(&onward)).into_response())
}

/// `POST /login/choose`: an e-mail address says which provider. spec: AS-147
pub async fn choose(
    State(app): State<Arc<App>>,
    SameOriginForm(Chosen { way, email }): SameOriginForm<Chosen>,
) -> Response {
    match app.providers.for_email(&email) {
        Some(provider) => Redirect::to(&way.start_as(provider.id(), email.trim())).into_response(),
        None => super::form::choice(&app, &way, &email, Some("Nobody signs in with this domain here.")).into_response(),
    }
}
