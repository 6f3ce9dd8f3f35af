//! Grants that need no person at a browser: client credentials, and assertions of somebody we trust (RFC 7523).

use portcullis_base::Secret;

use crate::{
    client::{AuthMethod, Client, ClientKind, GrantType},
    error::{TokenError, TokenErrorCode},
    parameters::Parameters,
    resource::Resources,
    scope::{OFFLINE_ACCESS, Scopes},
};

/// The grant type of assertions.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What a client wants on its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineRequest {
    /// Narrower scopes, if asked for.
    pub scopes: Option<Scopes>,
    /// `resource` in canonical form, if it was sent.
    pub resource: Option<String>,
}

/// An assertion and what is wanted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionRequest {
    /// The assertion as presented.
    pub assertion: Secret,
    /// Narrower scopes, if asked for.
    pub scopes: Option<Scopes>,
    /// `resource` in canonical form, if it was sent.
    pub resource: Option<String>,
}

/// What one access token is issued for; none of these comes with a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The one endpoint.
    pub resource: String,
    /// What it may be used for there.
    pub scopes: Scopes,
}

impl MachineRequest {
    /// Reads the form.
    pub fn parse(form: &Parameters) -> Result<Self, TokenError> {
        Ok(Self { scopes: form.scopes()?, resource: form.resource()? })
    }
}

impl AssertionRequest {
    /// Reads the form: of an authenticated client, or of a workload that has nothing but its assertion.
    ///
    /// spec: AS-179: from the form only, and as a [`Secret`], so that no log has it.
    pub fn parse(form: &Parameters) -> Result<Self, TokenError> {
        let missing = || TokenError::new(TokenErrorCode::InvalidRequest, "assertion is required");
        let assertion = form.take("assertion").ok_or_else(missing)?;
        Ok(Self { assertion: Secret::new(assertion), scopes: form.scopes()?, resource: form.resource()? })
    }
}

/// Decides about a client's request on its own account. `allowed` is what an administrator granted it.
///
/// spec: AS-163: the client itself is the subject, for one endpoint, without a refresh token.
pub fn client_credentials(
    request: &MachineRequest,
    client: &Client,
    allowed: &Scopes,
    resources: &Resources<'_>,
) -> Result<Granted, TokenError> {
    // spec: AS-160, T-22, RFC6749#4.4: "The client credentials grant type MUST only be used by confidential clients", and
    // only by those that an administrator made: who registered itself is nobody's.
    let known = matches!(client.kind, ClientKind::Configured | ClientKind::Service);
    let registered = client.metadata.grant_types.contains(&GrantType::ClientCredentials);
    if !known || !registered || client.metadata.token_endpoint_auth_method == AuthMethod::None {
        let text = "the client may not use the client_credentials grant";
        return Err(TokenError::new(TokenErrorCode::UnauthorizedClient, text));
    }
    grant(request.resource.as_deref(), request.scopes.as_ref(), allowed, resources)
}

/// One endpoint of ours, and of what was asked for what is allowed.
pub(crate) fn grant(
    resource: Option<&str>,
    asked: Option<&Scopes>,
    allowed: &Scopes,
    resources: &Resources<'_>,
) -> Result<Granted, TokenError> {
    let resource =
        resources.select(resource).map_err(|error| TokenError::new(TokenErrorCode::InvalidTarget, error.text()))?;
    let offered = Scopes::endpoint();
    let asked = asked.map(|asked| asked.without(OFFLINE_ACCESS)).filter(|asked| !asked.is_empty());
    // spec: T-41, RFC6749#3.3: a scope that no endpoint has is an error, one that is not granted is left out.
    if asked.as_ref().is_some_and(|asked| !offered.satisfies(asked)) {
        return Err(TokenError::new(TokenErrorCode::InvalidScope, "a scope is not defined for this resource"));
    }
    let scopes = asked.unwrap_or_else(|| offered.clone()).intersection(allowed).intersection(&offered);
    if scopes.is_empty() {
        return Err(TokenError::new(TokenErrorCode::InvalidScope, "nothing of what was asked for is granted"));
    }
    Ok(Granted { resource, scopes })
}
