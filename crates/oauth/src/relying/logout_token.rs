//! Logout tokens: a provider says that somebody signed out (OpenID Connect Back-Channel Logout 1.0).

use portcullis_base::Timestamp;
use serde_json::Value;

use super::{id_token::LEEWAY, issuer::IssuerRule};
use crate::{
    client_auth::SpentAssertion,
    jwks::PublicKeys,
    jwt::{JwtError, MAX_BYTES, Unverified},
};

/// The one event.
pub(super) const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const MAX_JTI_BYTES: usize = 256;

/// What a logout token must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Whom it may be from.
    pub issuer: &'a IssuerRule,
    /// Who we are there.
    pub client_id: &'a str,
    /// The present moment.
    pub now: Timestamp,
}

/// What a logout token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// `iss`.
    pub issuer: String,
    /// `sub`: who signed out; if there is no `sid`, everywhere.
    pub subject: Option<String>,
    /// `sid`: of which session.
    pub sid: Option<String>,
    /// `jti`.
    pub id: String,
    /// `exp`.
    pub expires_at: Timestamp,
}

/// Why a logout token is not believed: for the log. The provider hears `invalid_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogoutTokenError {
    /// It cannot be read or its signature is wrong.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// It is a token of another kind.
    #[error("the token is not a logout token")]
    Type,
    /// Its key is not one of the provider's.
    #[error("the logout token's key is not one of the provider's")]
    UnknownKey,
    /// Somebody else made it.
    #[error("the logout token is from another issuer or tenant")]
    Issuer,
    /// It is for another client, or not only for us.
    #[error("the logout token is for another client")]
    Audience,
    /// A claim is missing or of the wrong type.
    #[error("the logout token's claim {0} is missing or malformed")]
    Claim(&'static str),
    /// Its time is over.
    #[error("the logout token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the logout token is not valid yet")]
    NotYetValid,
    /// It names neither a person nor a session.
    #[error("the logout token names neither a person nor a session")]
    Nobody,
    /// It has a nonce: an ID token that somebody passes off.
    #[error("the logout token has a nonce")]
    Nonce,
}

/// What `token` says, if this provider made it for us. Whether it was used before is for the caller: [`LogoutToken::spend`].
///
/// spec: AS-148, OIDCBCL#2.6.
pub fn verify(token: &str, keys: &PublicKeys, expected: &Expected<'_>) -> Result<LogoutToken, LogoutTokenError> {
    let unverified = Unverified::split_foreign(token, MAX_BYTES)?;
    // spec: T-37, OIDCBCL#2.4: `logout+jwt` is recommended, not required; anything else named is something else.
    if !unverified.is_plain() && !unverified.is_a("logout+jwt") {
        return Err(LogoutTokenError::Type);
    }
    let key = keys.find(unverified.kid.as_deref(), unverified.algorithm).ok_or(LogoutTokenError::UnknownKey)?;
    let claims = unverified.verify(key)?;
    let issuer = claims.text("iss").ok_or(LogoutTokenError::Claim("iss"))?;
    if !expected.issuer.admits(issuer, claims.text("tid")) || !expected.issuer.trusts_key(key, issuer) {
        return Err(LogoutTokenError::Issuer);
    }
    if claims.audiences().ok_or(LogoutTokenError::Claim("aud"))? != [expected.client_id] {
        return Err(LogoutTokenError::Audience);
    }
    let moment = |name| claims.moment(name).ok_or(LogoutTokenError::Claim(name));
    let (issued_at, expires_at) = (moment("iat")?, moment("exp")?);
    if expected.now >= expires_at.plus(LEEWAY) {
        return Err(LogoutTokenError::Expired);
    }
    if issued_at > expected.now.plus(LEEWAY) {
        return Err(LogoutTokenError::NotYetValid);
    }
    // spec: OIDCBCL#2.6: "Verify that the Logout Token contains an events Claim whose value is JSON object containing the
    // member name http://schemas.openid.net/event/backchannel-logout."
    if !claims.members().get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(LogoutTokenError::Claim("events"));
    }
    // spec: OIDCBCL#2.6: "Verify that the Logout Token does not contain a nonce Claim."
    if claims.has("nonce") {
        return Err(LogoutTokenError::Nonce);
    }
    let owned = |name| claims.text(name).map(str::to_owned);
    let (subject, sid) = (owned("sub"), owned("sid"));
    // spec: OIDCBCL#2.6: "Verify that the Logout Token contains a sub Claim, a sid Claim, or both."
    if subject.is_none() && sid.is_none() {
        return Err(LogoutTokenError::Nobody);
    }
    let id = owned("jti").filter(|id| id.len() <= MAX_JTI_BYTES).ok_or(LogoutTokenError::Claim("jti"))?;
    Ok(LogoutToken { issuer: issuer.to_owned(), subject, sid, id, expires_at })
}

impl LogoutToken {
    /// What must be spent before anything is ended.
    ///
    /// spec: OIDCBCL#2.6: "verify that another Logout Token with the same jti value has not been recently received".
    pub fn spend(&self) -> SpentAssertion {
        SpentAssertion::new("logout", &self.issuer, &self.id, self.expires_at.plus(LEEWAY))
    }
}
