//! `/login/{provider}/callback`: back from a provider.

use std::sync::Arc;

use axum::{
    extract::{Path, RawQuery, State},
    response::{AppendHeaders, IntoResponse, Response},
};
use http::{HeaderMap, header};
use portcullis_base::Secret;
use portcullis_oauth::relying::callback::state_of;

use super::{arrival, failure, session::Browser, under_way::UnderWay};
use crate::{
    app::App,
    error::PageError,
    extract::{LoggedIn, Source},
    identity::{Expect, Provider},
};

/// `GET /login/{provider}/callback`
pub async fn callback(
    State(app): State<Arc<App>>,
    source: Source,
    before: Option<LoggedIn>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let provider = app.providers.get(&id).ok_or_else(PageError::not_found)?;
    let query = query.unwrap_or_default();
    let under_way = UnderWay::take(&app, source, &headers, provider.id(), state_of(&query).as_deref()).await?;
    let browser = Browser { headers: &headers, source, previous: before.as_ref() };
    let answer = finish(&app, provider, &query, &under_way, &browser).await.unwrap_or_else(IntoResponse::into_response);
    // Beside the cookies of the answer, not instead of them.
    Ok((AppendHeaders([(header::SET_COOKIE, under_way.clear())]), answer).into_response())
}

async fn finish(
    app: &App,
    provider: &Arc<Provider>,
    query: &str,
    under_way: &UnderWay,
    browser: &Browser<'_>,
) -> Result<Response, PageError> {
    let way = under_way.way();
    let verifier = Secret::new(under_way.verifier.clone());
    let fresh = way.fresh();
    let expect = Expect { nonce: &under_way.nonce, verifier: &verifier, fresh: fresh.as_ref() };
    match provider.finish(query, &expect).await {
        Ok(arrived) => arrival::take_in(app, provider, &arrived, browser, &way).await,
        Err(error) => failure::answer(app, browser.source, browser.headers, provider, &way, &error).await,
    }
}
