//! A token that a client shows to give it up or to ask about it.

use portcullis_base::{Digest, PersonId};
use portcullis_oauth::{access::AccessClaims, introspection::GrantState, revocation::Known, token::RefreshFacts};

use crate::{app::App, error::ApiError};

/// What we found out about it. The hint about its type is not needed: the two kinds cannot be mistaken.
pub enum Presented {
    /// An access token with a good signature.
    Access(Box<AccessClaims>, GrantState),
    /// A refresh token in the store.
    Refresh(Box<RefreshFacts>),
    /// Neither.
    Unknown,
}

impl Presented {
    /// Looks for the token.
    pub async fn find(app: &App, text: &str) -> Result<Self, ApiError> {
        let now = app.clock.now();
        let issuer = app.config.public_url.as_str();
        if let Ok(claims) = AccessClaims::verify(text, issuer, &app.signing.load(), now) {
            let grant = app.store.grant(&claims.grant).await.map_err(ApiError::unavailable)?;
            let alive = grant.is_some_and(|grant| grant.is_alive(now)) && !app.ended.has_grant(&claims.grant);
            return Ok(Self::Access(Box::new(claims), if alive { GrantState::Alive } else { GrantState::Revoked }));
        }
        let found = app.store.grant_of_refresh(&Digest::of(text.as_bytes())).await.map_err(ApiError::unavailable)?;
        let Some((token, grant)) = found else { return Ok(Self::Unknown) };
        let person = app.store.person(&grant.person).await.map_err(ApiError::unavailable)?;
        let person_active = person.is_some_and(|person| person.is_active());
        Ok(Self::Refresh(Box::new(RefreshFacts { token, grant, person_active })))
    }

    /// For the law.
    pub fn known(&self) -> Known<'_> {
        match self {
            Self::Access(claims, _) => Known::Access(claims),
            Self::Refresh(facts) => Known::Refresh(facts),
            Self::Unknown => Known::Unknown,
        }
    }

    /// Whether the grant behind an access token still stands.
    pub fn grant_state(&self) -> GrantState {
        match self {
            Self::Access(_, state) => *state,
            Self::Refresh(_) | Self::Unknown => GrantState::Alive,
        }
    }

    /// Whose it is.
    pub fn person(&self) -> Option<PersonId> {
        match self {
            Self::Access(claims, _) => Some(claims.person.clone()),
            Self::Refresh(facts) => Some(facts.grant.person.clone()),
            Self::Unknown => None,
        }
    }
}
