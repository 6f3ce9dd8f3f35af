//! Token introspection (RFC 7662): for authenticated clients, about their own tokens.

use portcullis_base::Timestamp;
use serde::Serialize;

use crate::{
    client::{AuthMethod, Client},
    error::{TokenError, TokenErrorCode},
    revocation::Known,
    token::RefreshFacts,
};

/// The answer. What is not active says nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Introspection {
    active: bool,
    #[serde(flatten)]
    token: Option<LiveToken>,
}

/// What is told about a live token of the asking client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct LiveToken {
    scope: String,
    client_id: String,
    sub: String,
    aud: String,
    iss: String,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

impl Introspection {
    /// Whether the token is good, as far as its client is told.
    pub fn is_active(&self) -> bool {
        self.active
    }
}

/// Whether the grant behind an access token still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// It does.
    Alive,
    /// It was revoked.
    Revoked,
}

/// spec: AS-90, RFC7662#2.1: a client that only names itself has not been authenticated.
pub fn may_ask(client: &Client) -> Result<(), TokenError> {
    match client.metadata.token_endpoint_auth_method {
        AuthMethod::None => {
            Err(TokenError::new(TokenErrorCode::InvalidClient, "introspection needs client authentication"))
        }
        _ => Ok(()),
    }
}

/// What `client` is told about a token. `grant` matters for access tokens only; a refresh token brings its own.
///
/// spec: AS-90, T-43, RFC7662#2.2: unknown, expired, revoked and foreign tokens are all just not active.
pub fn answer(client: &Client, token: Known<'_>, grant: GrantState, issuer: &str, now: Timestamp) -> Introspection {
    let own = token.owner().is_some_and(|(owner, _)| *owner == client.id);
    let token = match token {
        Known::Access(claims) if own && grant == GrantState::Alive && now < claims.expires_at => Some(LiveToken {
            scope: claims.scopes.to_string(),
            client_id: claims.client.to_string(),
            sub: claims.person.to_string(),
            aud: claims.audience.clone(),
            iss: issuer.to_owned(),
            iat: claims.issued_at.as_secs(),
            exp: claims.expires_at.as_secs(),
            jti: Some(claims.id.clone()),
            token_type: Some("Bearer"),
        }),
        Known::Refresh(facts) if own && is_alive(facts, now) => Some(LiveToken {
            scope: facts.grant.scopes.to_string(),
            client_id: facts.grant.client.to_string(),
            sub: facts.grant.person.to_string(),
            aud: facts.grant.resource.clone(),
            iss: issuer.to_owned(),
            iat: facts.token.issued_at.as_secs(),
            exp: facts.token.expires_at.min(facts.grant.expires_at).as_secs(),
            jti: None,
            token_type: None,
        }),
        _ => None,
    };
    Introspection { active: token.is_some(), token }
}

fn is_alive(facts: &RefreshFacts, now: Timestamp) -> bool {
    facts.person_active
        && facts.grant.is_alive(now)
        && facts.token.replaced_at.is_none()
        && now < facts.token.expires_at
}
