//! The token endpoint: redeem a code, refresh, rotate, notice a replay. Decisions only; the store applies them.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{ClientId, Timestamp};
use ring::hmac;
use serde::Serialize;

use crate::{
    client::Client,
    error::{TokenError, TokenErrorCode},
    grant::{Code, Grant, RefreshToken, RevokedWhy},
    machine::{AssertionRequest, JWT_BEARER, MachineRequest},
    parameters::Parameters,
    scope::{OFFLINE_ACCESS, Scopes},
};

/// How long a code lives.
///
/// spec: AS-45, T-9: at most 60 seconds.
pub const CODE_LIFETIME: Duration = Duration::from_mins(1);

/// A request at the token endpoint, made by a client that has been authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRequest {
    /// `grant_type=authorization_code`.
    Redeem(Redemption),
    /// `grant_type=refresh_token`.
    Refresh(RefreshRequest),
    /// `grant_type=client_credentials`.
    ClientCredentials(MachineRequest),
    /// `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer`.
    JwtBearer(AssertionRequest),
}

/// A code and what its redeemer knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Redemption {
    /// The authenticated client.
    pub client: ClientId,
    /// Whether that client gets refresh tokens without asking for `offline_access`.
    pub may_refresh: bool,
    /// The code as presented.
    pub code: String,
    /// `code_verifier`.
    pub verifier: Option<String>,
    /// `redirect_uri`, if it was repeated.
    pub redirect_uri: Option<String>,
    /// `resource` in canonical form, if it was repeated.
    pub resource: Option<String>,
}

/// A refresh token and what is wanted for it.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshRequest {
    /// The authenticated client.
    pub client: ClientId,
    /// Whether that client is registered for the grant type.
    pub may_refresh: bool,
    /// The token as presented.
    pub token: String,
    /// Narrower scopes, if asked for.
    pub scopes: Option<Scopes>,
    /// `resource` in canonical form, if it was repeated.
    pub resource: Option<String>,
}

/// What the store knows of a presented code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedeemFacts {
    /// The code.
    pub code: Code,
    /// What it stands for.
    pub grant: Grant,
    /// Whether the person may still sign in.
    pub person_active: bool,
}

/// What to do with a presented code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// Mark it redeemed and issue tokens.
    Issue {
        /// Whether a refresh token comes along.
        with_refresh: bool,
    },
    /// Change nothing and answer with the error.
    Refuse(TokenError),
    /// End the grant, and answer with the error.
    Revoke(TokenError, RevokedWhy),
}

/// What the store knows of a presented refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshFacts {
    /// The token.
    pub token: RefreshToken,
    /// What it stands for.
    pub grant: Grant,
    /// Whether the person may still sign in.
    pub person_active: bool,
}

/// How refresh tokens live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// How long one lives unused.
    pub idle: Duration,
    /// How long a grant lives at all.
    pub absolute: Duration,
    /// How long after a rotation the same successor is given once more; zero switches that off.
    pub grace: Duration,
}

/// What to do with a presented refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// Replace it by its successor and issue an access token with these scopes.
    Rotate(Scopes),
    /// It was replaced a moment ago and the answer was probably lost: hand out the same successor again, change nothing.
    Redeliver(Scopes),
    /// Change nothing and answer with the error.
    Refuse(TokenError),
    /// End the grant, and answer with the error.
    Revoke(TokenError, RevokedWhy),
}

/// The answer to a successful request; sent with `Cache-Control: no-store`.
///
/// spec: AS-71, RFC6749#5.1.
#[derive(Serialize)]
pub struct TokenAnswer {
    /// For the endpoint.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: u64,
    /// What was granted, which may be less than was asked.
    pub scope: String,
    /// For the next access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { idle: day * 14, absolute: day * 30, grace: Duration::from_secs(10) }
    }
}

impl TokenAnswer {
    /// The answer for an access token that lives for `lifetime` from now.
    pub fn bearer(access_token: String, lifetime: Duration, scopes: &Scopes, refresh_token: Option<String>) -> Self {
        Self {
            access_token,
            token_type: "Bearer",
            expires_in: lifetime.as_secs(),
            scope: scopes.to_string(),
            refresh_token,
        }
    }
}

impl std::fmt::Debug for Redemption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redemption").field("client", &self.client).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RefreshRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshRequest").field("client", &self.client).finish_non_exhaustive()
    }
}

impl TokenRequest {
    /// Reads the form of an authenticated client.
    pub fn parse(form: &Parameters, client: &Client) -> Result<Self, TokenError> {
        let resource = form.resource()?;
        let may_refresh = client.may_refresh(&Scopes::none());
        match form.get("grant_type") {
            Some("authorization_code") => Ok(Self::Redeem(Redemption {
                client: client.id.clone(),
                may_refresh,
                code: form.take("code").ok_or_else(|| missing("code is required"))?,
                verifier: form.take("code_verifier"),
                redirect_uri: form.take("redirect_uri"),
                resource,
            })),
            Some("refresh_token") => Ok(Self::Refresh(RefreshRequest {
                client: client.id.clone(),
                may_refresh,
                token: form.take("refresh_token").ok_or_else(|| missing("refresh_token is required"))?,
                scopes: form.scopes()?,
                resource,
            })),
            Some("client_credentials") => Ok(Self::ClientCredentials(MachineRequest::parse(form)?)),
            Some(JWT_BEARER) => Ok(Self::JwtBearer(AssertionRequest::parse(form)?)),
            // spec: AS-2, AS-72: neither `password` nor anything else.
            Some(_) => Err(TokenError::new(TokenErrorCode::UnsupportedGrantType, "this grant_type is not supported")),
            None => Err(missing("grant_type is required")),
        }
    }
}

/// Decides about a presented code. `facts` is `None` when the store does not know it.
pub fn redeem(request: &Redemption, facts: Option<&RedeemFacts>, now: Timestamp) -> Redeemed {
    let Some(RedeemFacts { code, grant, person_active }) = facts else { return Redeemed::Refuse(bad_code()) };
    // spec: AS-66, T-8, T-9: another client's code, a wrong verifier or a wrong redirect URI proves nothing, so it
    // neither consumes the code nor ends anything.
    if grant.client != request.client {
        return Redeemed::Refuse(bad_code());
    }
    // spec: AS-65, T-10: "mismatch or absence"; every code has a challenge.
    if !request.verifier.as_deref().is_some_and(|verifier| code.challenge.is_met_by(verifier)) {
        return Redeemed::Refuse(bad_code());
    }
    if request.redirect_uri.as_ref().is_some_and(|uri| *uri != grant.redirect_uri) {
        return Redeemed::Refuse(bad_code());
    }
    // spec: AS-67, RFC6749#4.1.2: "If an authorization code is used more than once, the authorization server MUST deny
    // the request and SHOULD revoke (when possible) all tokens previously issued based on that authorization code."
    // A grant ends once; what comes after finds it dead.
    if code.redeemed_at.is_some() && grant.is_alive(now) {
        return Redeemed::Revoke(bad_code(), RevokedWhy::CodeReplayed);
    }
    if now >= code.expires_at || !grant.is_alive(now) {
        return Redeemed::Refuse(bad_code());
    }
    if !person_active {
        return Redeemed::Revoke(bad_code(), RevokedWhy::PersonDisabled);
    }
    // spec: AS-68: equal to what was authorized, or absent.
    if let Err(error) = same_resource(request.resource.as_deref(), grant) {
        return Redeemed::Refuse(error);
    }
    // spec: AS-84.
    Redeemed::Issue { with_refresh: request.may_refresh || grant.scopes.contains(OFFLINE_ACCESS) }
}

/// Decides about a presented refresh token. `facts` is `None` when the store does not know it.
pub fn refresh(
    request: &RefreshRequest,
    facts: Option<&RefreshFacts>,
    policy: &RefreshPolicy,
    now: Timestamp,
) -> Refreshed {
    let facts = facts.filter(|facts| facts.grant.client == request.client);
    // spec: AS-72: not registered for the grant type, and not holding a token that makes up for it (AS-84).
    if !request.may_refresh && !facts.is_some_and(|facts| facts.grant.scopes.contains(OFFLINE_ACCESS)) {
        let text = "the client is not registered for the refresh_token grant";
        return Refreshed::Refuse(TokenError::new(TokenErrorCode::UnauthorizedClient, text));
    }
    // spec: AS-83: bound to its client.
    let Some(RefreshFacts { token, grant, person_active }) = facts else { return Refreshed::Refuse(bad_refresh()) };
    if !grant.is_alive(now) {
        return Refreshed::Refuse(bad_refresh());
    }
    // spec: AS-86, T-53.
    if !person_active {
        return Refreshed::Revoke(bad_refresh(), RevokedWhy::PersonDisabled);
    }
    // spec: AS-82, T-40: the same successor for a short time, and only while nobody has used it.
    let in_grace = |at: Timestamp| now.since(at) < policy.grace && !token.successor_used;
    match token.replaced_at {
        // spec: AS-81, T-40: anything else is a breach.
        Some(at) if !in_grace(at) => return Refreshed::Revoke(bad_refresh(), RevokedWhy::RefreshReplayed),
        // spec: AS-85: dead of disuse.
        None if now >= token.expires_at => return Refreshed::Refuse(bad_refresh()),
        _ => {}
    }
    if let Err(error) = same_resource(request.resource.as_deref(), grant) {
        return Refreshed::Refuse(error);
    }
    let scopes = match narrowed(request.scopes.as_ref(), &grant.scopes) {
        Ok(scopes) => scopes,
        Err(error) => return Refreshed::Refuse(error),
    };
    // spec: AS-80: every use rotates.
    if token.replaced_at.is_some() { Refreshed::Redeliver(scopes) } else { Refreshed::Rotate(scopes) }
}

/// The token that takes the place of `presented`: the same for every retry, and known to nobody without the key.
///
/// spec: AS-82: re-delivery needs no usable token in the store (AS-87).
pub fn next_refresh_token(key: &[u8], presented: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, presented.as_bytes()))
}

/// spec: AS-83, T-41, RFC6749#6: "The requested scope MUST NOT include any scope not originally granted".
fn narrowed(asked: Option<&Scopes>, granted: &Scopes) -> Result<Scopes, TokenError> {
    // `offline_access` is no access: who holds a refresh token may name it or leave it out.
    let asked = asked.map(|asked| asked.without(OFFLINE_ACCESS)).filter(|asked| !asked.is_empty());
    match asked {
        None => Ok(granted.clone()),
        Some(asked) if granted.satisfies(&asked) => Ok(asked),
        Some(_) => Err(TokenError::new(TokenErrorCode::InvalidScope, "scope exceeds what was granted")),
    }
}

fn same_resource(asked: Option<&str>, grant: &Grant) -> Result<(), TokenError> {
    match asked {
        Some(asked) if asked != grant.resource => {
            Err(TokenError::new(TokenErrorCode::InvalidTarget, "resource differs from the one that was authorized"))
        }
        _ => Ok(()),
    }
}

fn missing(text: &'static str) -> TokenError {
    TokenError::new(TokenErrorCode::InvalidRequest, text)
}

fn bad_code() -> TokenError {
    TokenError::new(TokenErrorCode::InvalidGrant, "the authorization code is not valid for this request")
}

fn bad_refresh() -> TokenError {
    TokenError::new(TokenErrorCode::InvalidGrant, "the refresh token is not valid")
}
