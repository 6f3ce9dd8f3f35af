//! `/login/{provider}/back-channel`: a provider says that somebody signed out (OpenID Connect Back-Channel Logout 1.0).
//!
//! spec: AS-148

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_oauth::{parameters::Parameters, relying::logout_token::LogoutToken};
use portcullis_store::Extent;

use crate::{app::App, config::BackChannel, error::ApiError, extract::Source, offboard::How};

/// `POST /login/{provider}/back-channel`. No browser comes here: there is no cookie, and the token is the proof.
pub async fn logout(
    State(app): State<Arc<App>>,
    source: Source,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let provider = app.providers.get(&id).filter(|found| found.settings().back_channel_logout != BackChannel::Off);
    let provider = provider.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "not_found", "no such provider"))?;
    let token = match provider.logout_token(&logout_token(&headers, &body)?).await {
        Ok(token) => token,
        Err(error) => {
            refused(&app, source, &id, &error.to_string()).await?;
            return Err(invalid("the logout token is not acceptable").log(error));
        }
    };
    let spent = token.spend();
    if app.store.is_spent(&spent.id).await.map_err(ApiError::unavailable)? {
        refused(&app, source, &id, "the logout token was used before").await?;
        return Err(invalid("the logout token was used before"));
    }
    end(&app, source, &id, &token, provider.settings().back_channel_logout).await?;
    // Only now: a logout that failed half-way is done again when the provider repeats it, and ending twice ends nothing more.
    app.store.spend(&spent.id, spent.expires_at).await.map_err(ApiError::unavailable)?;
    // spec: OIDCBCL#2.8: "If the logout succeeded, the RP MUST respond with HTTP 200 OK", and "Cache-Control: no-store".
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response())
}

/// spec: OIDCBCL#2.5: a form with `logout_token`; other parameters are ignored.
fn logout_token(headers: &HeaderMap, body: &Bytes) -> Result<String, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(invalid("not a form"));
    }
    let text = std::str::from_utf8(body).map_err(|_| invalid("the form is not text"))?;
    let form = Parameters::parse(text).map_err(|_| invalid("the form cannot be read"))?;
    form.get("logout_token").map(str::to_owned).ok_or_else(|| invalid("logout_token is required"))
}

/// Ends what the settings say: everything of the person, or what came of the sign-in that the token names.
async fn end(
    app: &App,
    source: Source,
    provider: &str,
    token: &LogoutToken,
    extent: BackChannel,
) -> Result<(), ApiError> {
    let by = Actor { address: Some(source.0), ..Actor::default() };
    if let (BackChannel::Everything, Some(subject)) = (extent, &token.subject) {
        let identity = app.store.identity(&token.issuer, subject).await.map_err(ApiError::unavailable)?;
        if let Some(identity) = identity {
            let how = How::ProviderLogout(provider.to_owned());
            // Written down there, from beginning to end.
            let done = app.offboard(by, &identity.person, Extent::SignIns, &how).await;
            return done.map(drop).map_err(ApiError::unavailable);
        }
    }
    let now = app.clock.now();
    let (subject, sid) = (token.subject.as_deref(), token.sid.as_deref());
    let ended = app.store.end_sign_ins(&token.issuer, subject, sid, now).await.map_err(ApiError::unavailable)?;
    // Here at once, elsewhere by the feed of changes.
    app.ended.end_grants(ended.grants.iter().cloned(), now);
    let mut event = Event::new(Kind::SessionEnded, now)
        .by(by)
        .outcome(Outcome::Success)
        .text("why", "signed out at the provider")
        .text("method", provider.to_owned())
        .number("sessions", i64::try_from(ended.sessions).unwrap_or(i64::MAX))
        .number("grants", i64::try_from(ended.grants.len()).unwrap_or(i64::MAX));
    for (key, value) in [("subject", subject), ("sid", sid)] {
        if let Some(value) = value {
            event = event.text(key, value.to_owned());
        }
    }
    app.journal.append(event).await.map(drop).map_err(ApiError::unavailable)
}

async fn refused(app: &App, source: Source, provider: &str, reason: &str) -> Result<(), ApiError> {
    let event = Event::new(Kind::RequestRefused, app.clock.now())
        .by(Actor { address: Some(source.0), ..Actor::default() })
        .outcome(Outcome::Denied)
        .text("method", provider.to_owned())
        .text("why", reason.to_owned());
    app.journal.append(event).await.map(drop).map_err(ApiError::unavailable)
}

/// spec: OIDCBCL#2.8: 400, and an `error` "to help with debugging".
fn invalid(text: &'static str) -> ApiError {
    ApiError::invalid_request(text)
}
