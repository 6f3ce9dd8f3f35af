//! `POST /oauth/token`: codes and refresh tokens become access tokens.
//!
//! The law decides on facts that the store loads and locks; what it decided is applied in the same commit, then recorded,
//! and only then answered. Access tokens are signed after the commit: nothing slow happens inside it.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;
use portcullis_audit::{Actor, Event, Kind, Outcome, Target};
use portcullis_base::{Digest, Secret, Timestamp, token as random_token};
use portcullis_oauth::{
    access::AccessClaims,
    error::TokenError,
    grant::{Grant, RevokedWhy},
    scope::Scopes,
    token::{
        Redeemed, Redemption, RefreshPolicy, RefreshRequest, Refreshed, TokenAnswer, TokenRequest, next_refresh_token,
        redeem, refresh,
    },
};
use portcullis_store::FirstRefresh;

use super::{
    answer::{Keep, json},
    resources,
};
use crate::{app::App, error::ApiError, extract::ClientForm};

pub async fn token(State(app): State<Arc<App>>, sender: ClientForm) -> Result<Response, ApiError> {
    match TokenRequest::parse(&sender.form, &sender.client) {
        Ok(TokenRequest::Redeem(request)) => redeem_code(&app, &sender, &request).await,
        Ok(TokenRequest::Refresh(request)) => refresh_tokens(&app, &sender, &request).await,
        Err(error) => Err(refused(&app, &sender, None, error).await),
    }
}

async fn redeem_code(app: &App, sender: &ClientForm, request: &Redemption) -> Result<Response, ApiError> {
    let now = app.clock.now();
    let first = Secret::new(random_token::<32>(&*app.rng));
    let first_refresh = FirstRefresh {
        hash: Digest::of(first.reveal().as_bytes()),
        expires_at: now.plus(app.config.tokens.refresh_idle),
    };
    let code = Digest::of(request.code.as_bytes());
    let (decision, grant) = app
        .store
        .redeem(&code, &first_refresh, now, |facts| redeem(request, facts, now))
        .await
        .map_err(ApiError::unavailable)?;
    match (decision, grant) {
        (Redeemed::Issue { with_refresh }, Some(grant)) => {
            let refresh = with_refresh.then_some(first);
            issue(app, sender, Kind::TokenIssued, &grant, &grant.scopes, refresh, now).await
        }
        (Redeemed::Revoke(error, why), Some(grant)) => Err(ended(app, sender, &grant, error, why, now).await),
        (Redeemed::Refuse(error) | Redeemed::Revoke(error, _), grant) => {
            Err(refused(app, sender, grant.as_ref(), error).await)
        }
        (Redeemed::Issue { .. }, None) => Err(ApiError::unavailable("a code was redeemed without a grant")),
    }
}

async fn refresh_tokens(app: &App, sender: &ClientForm, request: &RefreshRequest) -> Result<Response, ApiError> {
    let now = app.clock.now();
    let tokens = &app.config.tokens;
    let policy =
        RefreshPolicy { idle: tokens.refresh_idle, absolute: tokens.refresh_absolute, grace: tokens.refresh_grace };
    // spec: AS-82: the successor of a token is always the same, so a retry needs nothing usable in the store.
    let successor = Secret::new(next_refresh_token(app.keys.refresh_tokens(), &request.token));
    let presented = Digest::of(request.token.as_bytes());
    let next = Digest::of(successor.reveal().as_bytes());
    let (decision, grant) = app
        .store
        .refresh(&presented, &next, now.plus(policy.idle), now, |facts| refresh(request, facts, &policy, now))
        .await
        .map_err(ApiError::unavailable)?;
    match (decision, grant) {
        (Refreshed::Rotate(scopes), Some(grant)) => {
            issue(app, sender, Kind::TokenRefreshed, &grant, &scopes, Some(successor), now).await
        }
        (Refreshed::Redeliver(scopes), Some(grant)) => {
            issue(app, sender, Kind::TokenRedelivered, &grant, &scopes, Some(successor), now).await
        }
        (Refreshed::Revoke(error, why), Some(grant)) => Err(ended(app, sender, &grant, error, why, now).await),
        (Refreshed::Refuse(error) | Refreshed::Revoke(error, _), grant) => {
            Err(refused(app, sender, grant.as_ref(), error).await)
        }
        (Refreshed::Rotate(_) | Refreshed::Redeliver(_), None) => {
            Err(ApiError::unavailable("a token was refreshed without a grant"))
        }
    }
}

/// Signs, records, answers. spec: AS-71
async fn issue(
    app: &App,
    sender: &ClientForm,
    kind: Kind,
    grant: &Grant,
    scopes: &Scopes,
    refresh: Option<Secret>,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let claims = AccessClaims::of(grant, scopes, now, app.config.tokens.access, &*app.rng);
    let keys = app.signing.load();
    let key = keys.current(now).ok_or_else(|| ApiError::unavailable("no signing key"))?;
    let access = claims.sign(app.config.public_url.as_str(), key).map_err(ApiError::unavailable)?;
    let event = event(app, sender, kind, Some(grant))
        .outcome(Outcome::Success)
        .text("scope", scopes.to_string())
        .text("jti", claims.id.clone());
    app.journal.append(event).await.map_err(ApiError::unavailable)?;
    let lifetime = claims.expires_at.since(now);
    let answer = TokenAnswer::bearer(access, lifetime, scopes, refresh.map(|token| token.reveal().to_owned()));
    json(StatusCode::OK, Keep::Nothing, &answer)
}

/// A refusal that changed nothing.
async fn refused(app: &App, sender: &ClientForm, grant: Option<&Grant>, error: TokenError) -> ApiError {
    // spec: AS-75
    sender.charge(app);
    let event = event(app, sender, Kind::TokenRefused, grant)
        .outcome(Outcome::Denied)
        .text("error", error.code.as_str())
        .text("why", error.description.clone());
    match app.journal.append(event).await {
        Ok(_) => error.into(),
        Err(failure) => ApiError::unavailable(failure),
    }
}

/// A refusal that ended the grant: it is refused everywhere from now on. spec: AS-81, AS-67, AS-89
async fn ended(
    app: &App,
    sender: &ClientForm,
    grant: &Grant,
    error: TokenError,
    why: RevokedWhy,
    now: Timestamp,
) -> ApiError {
    app.ended.end_grants([grant.id.clone()], now);
    sender.charge(app);
    let replayed = matches!(why, RevokedWhy::CodeReplayed | RevokedWhy::RefreshReplayed);
    let first = if replayed { Kind::TokenReplayed } else { Kind::TokenRefused };
    for (kind, outcome) in [(first, Outcome::Denied), (Kind::GrantRevoked, Outcome::Success)] {
        let event = event(app, sender, kind, Some(grant)).outcome(outcome).text("why", why.as_str());
        if let Err(failure) = app.journal.append(event).await {
            return ApiError::unavailable(failure);
        }
    }
    error.into()
}

fn event(app: &App, sender: &ClientForm, kind: Kind, grant: Option<&Grant>) -> Event {
    let actor = Actor {
        person: grant.map(|grant| grant.person.clone()),
        name: None,
        client: Some(sender.client.id.clone()),
        address: Some(sender.source.0),
    };
    let server = grant.and_then(|grant| resources::server_at(app, &grant.resource)).map(|server| server.name.clone());
    let event = Event::new(kind, app.clock.now()).by(actor).on(Target { server, ..Target::default() });
    match grant {
        Some(grant) => event.text("grant", grant.id.as_str().to_owned()),
        None => event,
    }
}
