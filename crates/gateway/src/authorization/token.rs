//! `POST /oauth/token`: codes, refresh tokens, client credentials and assertions become access tokens.
//!
//! The law decides on facts that the store loads and locks; what it decided is applied in the same commit, then recorded,
//! and only then answered. Access tokens are signed after the commit: nothing slow happens inside it.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use portcullis_audit::Kind;
use portcullis_base::{Digest, Secret, token as random_token};
use portcullis_oauth::token::{
    Redeemed, Redemption, RefreshPolicy, RefreshRequest, Refreshed, TokenRequest, next_refresh_token, redeem, refresh,
};
use portcullis_store::FirstRefresh;

use super::{assertion, client_credentials, id_jag, issue::Requester, vouched};
use crate::{
    app::App,
    error::ApiError,
    extract::{ClientForm, TokenForm},
};

pub async fn token(State(app): State<Arc<App>>, sent: TokenForm) -> Result<Response, ApiError> {
    let sent = match sent.alone(&app)? {
        Ok(sender) => return assertion::alone(&app, &sender).await,
        Err(of_client) => of_client,
    };
    id_jag::meet(&app, &sent).await?;
    let sender = sent.of_client(&app).await?;
    match TokenRequest::parse(&sender.form, &sender.client) {
        Ok(TokenRequest::Redeem(request)) => redeem_code(&app, &sender, &request).await,
        Ok(TokenRequest::Refresh(request)) => refresh_tokens(&app, &sender, &request).await,
        Ok(TokenRequest::ClientCredentials(request)) => client_credentials::issue(&app, &sender, &request).await,
        Ok(TokenRequest::JwtBearer(request)) => assertion::of_client(&app, &sender, &request).await,
        Err(error) => Err(Requester::client(&app, &sender).refused(None, error).await),
    }
}

async fn redeem_code(app: &App, sender: &ClientForm, request: &Redemption) -> Result<Response, ApiError> {
    let requester = Requester::client(app, sender);
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
            requester.issue(Kind::TokenIssued, &grant, &grant.scopes, refresh, now).await
        }
        (Redeemed::Revoke(error, why), Some(grant)) => Err(requester.ended(&grant, error, why, now).await),
        (Redeemed::Refuse(error) | Redeemed::Revoke(error, _), grant) => {
            Err(requester.refused(grant.as_ref(), error).await)
        }
        (Redeemed::Issue { .. }, None) => Err(ApiError::unavailable("a code was redeemed without a grant")),
    }
}

async fn refresh_tokens(app: &App, sender: &ClientForm, request: &RefreshRequest) -> Result<Response, ApiError> {
    let requester = Requester::client(app, sender);
    let now = app.clock.now();
    let tokens = &app.config.tokens;
    let policy =
        RefreshPolicy { idle: tokens.refresh_idle, absolute: tokens.refresh_absolute, grace: tokens.refresh_grace };
    // spec: AS-82: the successor of a token is always the same, so a retry needs nothing usable in the store.
    let successor = Secret::new(next_refresh_token(app.keys.refresh_tokens(), &request.token));
    let presented = Digest::of(request.token.as_bytes());
    vouched::ask_again(app, sender, &request.token).await?;
    let next = Digest::of(successor.reveal().as_bytes());
    let (decision, grant) = app
        .store
        .refresh(&presented, &next, now.plus(policy.idle), now, |facts| refresh(request, facts, &policy, now))
        .await
        .map_err(ApiError::unavailable)?;
    match (decision, grant) {
        (Refreshed::Rotate(scopes), Some(grant)) => {
            requester.issue(Kind::TokenRefreshed, &grant, &scopes, Some(successor), now).await
        }
        (Refreshed::Redeliver(scopes), Some(grant)) => {
            requester.issue(Kind::TokenRedelivered, &grant, &scopes, Some(successor), now).await
        }
        (Refreshed::Revoke(error, why), Some(grant)) => Err(requester.ended(&grant, error, why, now).await),
        (Refreshed::Refuse(error) | Refreshed::Revoke(error, _), grant) => {
            Err(requester.refused(grant.as_ref(), error).await)
        }
        (Refreshed::Rotate(_) | Refreshed::Redeliver(_), None) => {
            Err(ApiError::unavailable("a token was refreshed without a grant"))
        }
    }
}
