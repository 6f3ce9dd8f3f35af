//! A sign-in at a provider that came to nothing: what the person reads, and what the client hears.
//!
//! spec: AS-146: `access_denied`, `server_error` or `temporarily_unavailable`, and nothing of the provider's inside.

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, header};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_oauth::error::AuthorizeCode;

use super::{session::Browser, way::Way};
use crate::{
    app::App,
    authorization::approval::Approval,
    error::PageError,
    extract::Source,
    identity::{Provider, ProviderError, Trouble},
};

/// How long somebody waits before trying again.
const A_MOMENT: Duration = Duration::from_secs(30);

/// The answer to a browser whose sign-in failed.
pub async fn answer(
    app: &App,
    source: Source,
    headers: &HeaderMap,
    provider: &Arc<Provider>,
    way: &Way,
    error: &ProviderError,
) -> Result<Response, PageError> {
    record(app, source, provider.id(), word(&error.trouble), &error.detail).await?;
    let waiting = Approval::waiting(app, headers, &way.return_to);
    // The person said no there, so the client that waits is told, as if they had said it here.
    if let (Trouble::Refused(_), Some(approval)) = (&error.trouble, &waiting)
        && approval.may_bounce(app).await?
    {
        let location = approval.refusal(app, AuthorizeCode::AccessDenied);
        let cookie = [(header::SET_COOKIE, approval.clear())];
        return Ok((cookie, Redirect::to(&location)).into_response());
    }
    let (page, code) = page(provider, way, error);
    Err(with_way_back(app, page, waiting.as_ref(), code).log(&error.detail))
}

/// What the provider knows of somebody does not let them in here; the text says what to do.
pub async fn not_let_in(
    app: &App,
    browser: &Browser<'_>,
    provider: &Arc<Provider>,
    way: &Way,
    (reason, text): (&'static str, &'static str),
) -> Result<Response, PageError> {
    record(app, browser.source, provider.id(), reason, "").await?;
    let waiting = Approval::waiting(app, browser.headers, &way.return_to);
    let page = PageError::new(StatusCode::FORBIDDEN, format!("signin.{reason}"), "You cannot sign in here", text)
        .fact("Signed in at", provider.name().to_owned());
    Err(with_way_back(app, page, waiting.as_ref(), AuthorizeCode::AccessDenied))
}

fn page(provider: &Provider, way: &Way, error: &ProviderError) -> (PageError, AuthorizeCode) {
    let text = error.public.clone();
    let again = ("Try again", way.start(provider.id()));
    let (page, code) = match &error.trouble {
        Trouble::Unavailable => (
            PageError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "signin.provider_unavailable",
                "The sign-in provider does not answer",
                format!(
                    "{text} Whoever is signed in stays signed in, and applications that were allowed go on. Your request \
                     is kept: when the provider is back, try again from here."
                ),
            )
            .retry_after(A_MOMENT),
            AuthorizeCode::TemporarilyUnavailable,
        ),
        Trouble::Refused(_) | Trouble::Gone => (
            PageError::new(StatusCode::FORBIDDEN, "signin.refused", "You were not signed in", text),
            AuthorizeCode::AccessDenied,
        ),
        Trouble::Misconfigured => (
            PageError::new(StatusCode::BAD_GATEWAY, "signin.misconfigured", "Sign-in is not set up rightly", text),
            AuthorizeCode::ServerError,
        ),
        Trouble::Untrue => (
            PageError::new(StatusCode::FORBIDDEN, "signin.untrue", "This sign-in could not be believed", text),
            AuthorizeCode::ServerError,
        ),
        Trouble::NotAllowed => (
            PageError::new(StatusCode::FORBIDDEN, "signin.not_allowed", "You cannot sign in here", text),
            AuthorizeCode::AccessDenied,
        ),
    };
    (page.fact("Signed in at", provider.name().to_owned()).onward(again.0, again.1), code)
}

fn with_way_back(app: &App, page: PageError, waiting: Option<&Approval>, code: AuthorizeCode) -> PageError {
    match waiting {
        Some(approval) => page.onward("Go back to the application", approval.refusal(app, code)),
        None => page,
    }
}

const fn word(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Unavailable => "unavailable",
        Trouble::Refused(_) => "refused",
        Trouble::Misconfigured => "misconfigured",
        Trouble::Untrue => "untrue",
        Trouble::NotAllowed => "not_allowed",
        Trouble::Gone => "gone",
    }
}

async fn record(
    app: &App,
    source: Source,
    provider: &str,
    reason: &'static str,
    detail: &str,
) -> Result<(), PageError> {
    let mut event = Event::new(Kind::SigninFailed, app.clock.now())
        .by(Actor { address: Some(source.0), ..Actor::default() })
        .outcome(Outcome::Failure)
        .text("method", provider.to_owned())
        .text("reason", reason);
    if !detail.is_empty() {
        event = event.text("detail", detail.to_owned());
    }
    app.journal.append(event).await.map(drop).map_err(PageError::unavailable)
}
