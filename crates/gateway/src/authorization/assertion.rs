//! Assertions for which a token is given (RFC 7523): of an identity provider about a person, of a platform about a workload.

use axum::response::Response;
use portcullis_oauth::{
    assertion::{self, AssertionKind},
    error::{TokenError, TokenErrorCode},
    machine::AssertionRequest,
};

use super::{id_jag, issue::Requester, workload};
use crate::{
    app::App,
    error::ApiError,
    extract::{AssertionForm, ClientForm},
};

/// The request of a client.
pub async fn of_client(app: &App, sender: &ClientForm, request: &AssertionRequest) -> Result<Response, ApiError> {
    let requester = Requester::client(app, sender);
    is_offered(app, &requester).await?;
    // spec: AS-184: told apart by type and trusted issuer, never by trying one after the other.
    match assertion::kind(request.assertion.reveal()) {
        Some(presented) if presented.kind == AssertionKind::IdJag => {
            id_jag::issue(app, &requester, &sender.client, request, &presented).await
        }
        Some(presented) => workload::issue(app, &requester, request, &presented).await,
        None => Err(refused(&requester, "neither an identity assertion nor that of a workload").await),
    }
}

/// The request of somebody who shows nothing but the assertion.
pub async fn alone(app: &App, sender: &AssertionForm) -> Result<Response, ApiError> {
    let requester = Requester::stranger(app, sender);
    is_offered(app, &requester).await?;
    let request = match AssertionRequest::parse(&sender.form) {
        Ok(request) => request,
        Err(error) => return Err(requester.refused(None, error).await),
    };
    match assertion::kind(request.assertion.reveal()) {
        Some(presented) if presented.kind == AssertionKind::Workload => {
            workload::issue(app, &requester, &request, &presented).await
        }
        // spec: AS-178: a person's assertion is for a client that proves who it is.
        Some(_) => {
            let error = TokenError::new(TokenErrorCode::InvalidClient, "this assertion needs client authentication");
            Err(requester.refused(None, error).await)
        }
        None => Err(refused(&requester, "neither an identity assertion nor that of a workload").await),
    }
}

/// Where nobody is trusted for assertions, there is no such grant, as the metadata says.
// spec: AS-72, AS-171: "When AS-170 is on"
async fn is_offered(app: &App, requester: &Requester<'_>) -> Result<(), ApiError> {
    if app.config.trusts_identity_assertions() || !app.config.identity.workloads.is_empty() {
        return Ok(());
    }
    let error = TokenError::new(TokenErrorCode::UnsupportedGrantType, "this grant_type is not supported");
    Err(requester.refused(None, error).await)
}

/// One answer for every assertion that is not taken; the reason is for the record.
// spec: AS-172, AS-182: "`invalid_grant`"
pub async fn refused(requester: &Requester<'_>, why: impl std::fmt::Display) -> ApiError {
    requester.refused_because(None, assertion::refused(), why.to_string()).await
}

/// Whether this is the first use of it, on whichever node. spec: AS-176, AS-183
pub async fn first_use(app: &App, spend: &portcullis_oauth::client_auth::SpentAssertion) -> Result<bool, ApiError> {
    app.store.spend(&spend.id, spend.expires_at).await.map_err(ApiError::unavailable)
}
