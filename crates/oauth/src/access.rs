//! Access tokens: signed JWTs for exactly one endpoint (RFC 9068).

use std::time::Duration;

use portcullis_base::{ClientId, GrantId, PersonId, Rng, Timestamp, token};
use serde::Serialize;

use crate::{
    grant::Grant,
    jwks::{KeyError, KeySet, SigningKey},
    jwt::{self, Claims, JwtError, Unverified},
    scope::{OFFLINE_ACCESS, Scopes},
};

/// How long an access token lives unless the settings say otherwise.
///
/// spec: AS-70.
pub const DEFAULT_LIFETIME: Duration = Duration::from_mins(10);
/// How long it may live at most.
pub const MAX_LIFETIME: Duration = Duration::from_hours(1);
/// How far ahead of ours the clock of the issuing node may be.
const LEEWAY: Duration = Duration::from_mins(1);
/// The header's `typ`.
const TYPE: &str = "at+jwt";

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    /// `sub`: who calls.
    pub person: PersonId,
    /// `aud`: the one endpoint it is for.
    pub audience: String,
    /// `client_id`: the program that calls.
    pub client: ClientId,
    /// `scope`: what it may do there.
    pub scopes: Scopes,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `jti`.
    pub id: String,
    /// `gid`: the grant it dies with.
    pub grant: GrantId,
    /// `auth_time`: when the person last proved who they are, if that is known.
    pub authenticated_at: Option<Timestamp>,
    /// `acr`: how surely.
    pub acr: Option<String>,
}

/// Why a token was not accepted: for the log. The caller learns only that it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRejection {
    /// It cannot be read or its signature is wrong.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// Its `typ` is not that of an access token.
    #[error("the token is of another type")]
    Type,
    /// Its key is not one of ours, or has retired.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// Somebody else issued it.
    #[error("the token is from another issuer")]
    Issuer,
    /// A claim is missing or of the wrong type.
    #[error("the token's claim {0} is missing or malformed")]
    Claim(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It would live longer than any token of ours.
    #[error("the token lives too long")]
    Lifetime,
    /// It is for another endpoint.
    #[error("the token is for another audience")]
    Audience,
}

#[derive(Serialize)]
struct Wire<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    client_id: &'a str,
    scope: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: &'a str,
    gid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
}

impl AccessClaims {
    /// What the next access token of `grant` says. It never outlives the grant.
    pub fn of(grant: &Grant, scopes: &Scopes, now: Timestamp, lifetime: Duration, rng: &dyn Rng) -> Self {
        let now = Timestamp::from_secs(now.as_secs());
        Self {
            person: grant.person.clone(),
            // spec: AS-69, T-34: exactly the endpoint that was authorized.
            audience: grant.resource.clone(),
            client: grant.client.clone(),
            scopes: scopes.without(OFFLINE_ACCESS),
            issued_at: now,
            // spec: AS-70: short, and capped whatever the settings say.
            expires_at: now.plus(lifetime.min(MAX_LIFETIME)).min(Timestamp::from_secs(grant.expires_at.as_secs())),
            id: token::<16>(rng),
            grant: grant.id.clone(),
            authenticated_at: grant.authenticated_at.map(|at| Timestamp::from_secs(at.as_secs())),
            acr: grant.acr.clone(),
        }
    }

    /// How long the token lives in all: the `expires_in` of a fresh one.
    pub fn lifetime(&self) -> Duration {
        self.expires_at.since(self.issued_at)
    }

    /// The signed token.
    ///
    /// spec: AS-74, RFC9068#2.1, RFC9068#2.2.
    pub fn sign(&self, issuer: &str, key: &SigningKey) -> Result<String, KeyError> {
        let wire = Wire {
            iss: issuer,
            sub: self.person.as_str(),
            aud: &self.audience,
            client_id: self.client.as_str(),
            scope: self.scopes.to_string(),
            iat: self.issued_at.as_secs(),
            nbf: self.issued_at.as_secs(),
            exp: self.expires_at.as_secs(),
            jti: &self.id,
            gid: self.grant.as_str(),
            // spec: RFC9068#2.2.1: how and when the person authenticated, for rules that ask for a fresh sign-in.
            auth_time: self.authenticated_at.map(Timestamp::as_secs),
            acr: self.acr.as_deref(),
        };
        jwt::sign(key, TYPE, &wire)
    }

    /// What `token` says, if it is an access token of ours. Time and audience are for [`AccessClaims::check`], which a
    /// cache of verified tokens must ask again on every use; revocation is for the caller.
    pub fn verify(token: &str, issuer: &str, keys: &KeySet, now: Timestamp) -> Result<Self, TokenRejection> {
        let unverified = Unverified::split(token)?;
        // spec: T-37, RFC9068#4: "The resource server MUST verify that the "typ" header value is "at+jwt"": an ID token
        // or a client's assertion is no access token.
        if unverified.typ.as_deref() != Some(TYPE) {
            return Err(TokenRejection::Type);
        }
        // spec: T-37: by exact `kid` and only among our own keys, each of which has exactly one algorithm.
        let kid = unverified.kid.as_deref().ok_or(TokenRejection::UnknownKey)?;
        let key = keys.find(kid, now).ok_or(TokenRejection::UnknownKey)?;
        let claims = unverified.verify(key)?;
        // spec: RS-19, RS-21, AS-8: byte for byte our own issuer.
        if claims.text("iss") != Some(issuer) {
            return Err(TokenRejection::Issuer);
        }
        Self::read(&claims)
    }

    fn read(claims: &Claims) -> Result<Self, TokenRejection> {
        let text = |name| claims.text(name).ok_or(TokenRejection::Claim(name));
        // spec: T-39: a token without `exp` is refused, not eternal.
        let moment = |name| claims.moment(name).ok_or(TokenRejection::Claim(name));
        let (issued_at, expires_at) = (moment("iat")?, moment("exp")?);
        // Ours begin when they are issued.
        if claims.has("nbf") && moment("nbf")? != issued_at {
            return Err(TokenRejection::Claim("nbf"));
        }
        if expires_at.since(issued_at) > MAX_LIFETIME {
            return Err(TokenRejection::Lifetime);
        }
        let authenticated_at = if claims.has("auth_time") { Some(moment("auth_time")?) } else { None };
        Ok(Self {
            person: PersonId::new(text("sub")?),
            audience: text("aud")?.to_owned(),
            client: ClientId::new(text("client_id")?),
            scopes: Scopes::parse(text("scope")?).map_err(|_| TokenRejection::Claim("scope"))?,
            issued_at,
            expires_at,
            id: text("jti")?.to_owned(),
            grant: GrantId::new(text("gid")?),
            authenticated_at,
            acr: claims.text("acr").map(str::to_owned),
        })
    }

    /// Whether these claims are good at this endpoint at this moment.
    pub fn check(&self, resource: &str, now: Timestamp) -> Result<(), TokenRejection> {
        // spec: RS-20, T-34: this very endpoint.
        if self.audience != resource {
            return Err(TokenRejection::Audience);
        }
        // spec: RS-19, T-39: `exp` to the moment; only the issuing clock may be a little ahead.
        if now >= self.expires_at {
            return Err(TokenRejection::Expired);
        }
        if self.issued_at > now.plus(LEEWAY) {
            return Err(TokenRejection::NotYetValid);
        }
        Ok(())
    }
}
