//! A service account gets a token on its own account.

use axum::response::Response;
use portcullis_audit::Kind;
use portcullis_base::{GrantId, PersonId};
use portcullis_oauth::{
    error::{TokenError, TokenErrorCode},
    machine::{self, Granted, MachineRequest},
    scope::Scopes,
};
use portcullis_store::{MachineGrant, Person, PersonKind};

use super::{issue::Requester, resources};
use crate::{app::App, error::ApiError, extract::ClientForm};

pub async fn issue(app: &App, sender: &ClientForm, request: &MachineRequest) -> Result<Response, ApiError> {
    let requester = Requester::client(app, sender);
    // spec: AS-163: the client is the subject.
    let id = PersonId::new(sender.client.id.as_str());
    let account = app.store.person(&id).await.map_err(ApiError::unavailable)?;
    let account = account.filter(|account| account.kind == PersonKind::Service);
    let decided = resources::with_resources_of(app, account.as_ref(), |resources| {
        machine::client_credentials(request, &sender.client, &Scopes::endpoint(), resources)
    });
    match (decided, account) {
        (Ok(granted), Some(account)) => grant(app, &requester, &account, &granted).await,
        (Ok(_), None) => Err(requester.refused(None, no_account()).await),
        (Err(error), _) => Err(requester.refused(None, error).await),
    }
}

/// A token for a service account, however it proved who it is.
pub async fn grant(
    app: &App,
    requester: &Requester<'_>,
    account: &Person,
    granted: &Granted,
) -> Result<Response, ApiError> {
    let now = app.clock.now();
    let client = portcullis_base::ClientId::new(account.id.as_str());
    let wanted = MachineGrant {
        person: &account.id,
        client: &client,
        resource: &granted.resource,
        scopes: &granted.scopes,
        // There is nothing to refresh: the grant lives as long as its last token.
        expires_at: now.plus(app.config.tokens.access),
    };
    let grant =
        app.store.machine_grant(&wanted, &GrantId::random(&*app.rng), now).await.map_err(ApiError::unavailable)?;
    match grant {
        // spec: AS-163: "no refresh token"
        Some(grant) => requester.issue(Kind::TokenIssued, &grant, &granted.scopes, None, now).await,
        // spec: AS-86, T-53
        None => Err(requester.refused(None, no_account()).await),
    }
}

fn no_account() -> TokenError {
    TokenError::new(TokenErrorCode::UnauthorizedClient, "the client has no service account that is switched on")
}
