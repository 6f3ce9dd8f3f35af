//! Workload identity federation: a platform says what program is running, and rules of an administrator say which service
//! account that is. No client, no secret.

use std::{collections::BTreeMap, time::Duration};

use portcullis_base::Timestamp;
use serde_json::{Map, Value};

use crate::{
    claim,
    client_auth::SpentAssertion,
    error::TokenError,
    jwks::PublicKeys,
    jwt::{JwtError, MAX_BYTES, Unverified},
    machine::{AssertionRequest, Granted, grant},
    resource::Resources,
    scope::Scopes,
};

/// How far the platform's clock may be off.
const LEEWAY: Duration = Duration::from_mins(1);
/// How far ahead one may expire: it must be remembered until then.
const MAX_LIFETIME: Duration = Duration::from_hours(24);
const MAX_JTI_BYTES: usize = 256;

/// What a workload's assertion must agree with.
pub struct Expected<'a> {
    /// The platform that is trusted.
    pub issuer: &'a str,
    /// The names under which it may address us: the issuer, the URL of the token endpoint, or a configured one.
    pub audiences: &'a [String],
    /// The present moment.
    pub now: Timestamp,
}

/// What a workload's assertion says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `jti`.
    pub id: String,
    /// `exp`.
    pub expires_at: Timestamp,
    /// Everything it says.
    pub claims: Map<String, Value>,
}

/// Why a workload's assertion is not taken: for the log. The workload learns only that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// It cannot be read or its signature is wrong.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// Its type is that of something else.
    #[error("the assertion is of another type")]
    Type,
    /// Its key is not one of the platform's.
    #[error("the assertion's key is not one of its issuer's")]
    UnknownKey,
    /// Somebody else made it.
    #[error("the assertion is from another issuer")]
    Issuer,
    /// A claim is missing or of the wrong type.
    #[error("the assertion's claim {0} is missing or malformed")]
    Claim(&'static str),
    /// It is for somebody else, or for several.
    #[error("the assertion's aud is not this gateway alone")]
    Audience,
    /// Its time is over.
    #[error("the assertion has expired")]
    Expired,
    /// Its time has not come.
    #[error("the assertion is not valid yet")]
    NotYetValid,
    /// It lives longer than we remember what was used.
    #[error("the assertion lives longer than a day")]
    Lifetime,
}

/// What `token` says, if this platform made it for us. Whether it was used before is for the caller: [`Workload::spend`].
pub fn verify(token: &str, keys: &PublicKeys, expected: &Expected<'_>) -> Result<Workload, WorkloadError> {
    let unverified = Unverified::split_foreign(token, MAX_BYTES)?;
    // spec: AS-184.
    if !unverified.is_plain() {
        return Err(WorkloadError::Type);
    }
    let key = keys.find(unverified.kid.as_deref(), unverified.algorithm).ok_or(WorkloadError::UnknownKey)?;
    let claims = unverified.verify(key)?;
    // spec: AS-183: each of these is there and right.
    let text = |name| claims.text(name).ok_or(WorkloadError::Claim(name));
    let moment = |name| claims.moment(name).ok_or(WorkloadError::Claim(name));
    if text("iss")? != expected.issuer {
        return Err(WorkloadError::Issuer);
    }
    // spec: AS-183, T-46: one audience, which is us.
    match claims.audiences().ok_or(WorkloadError::Claim("aud"))?.as_slice() {
        [one] if expected.audiences.iter().any(|own| own == one) => {}
        _ => return Err(WorkloadError::Audience),
    }
    let (issued_at, expires_at) = (moment("iat")?, moment("exp")?);
    if expected.now >= expires_at.plus(LEEWAY) {
        return Err(WorkloadError::Expired);
    }
    let begins_at = if claims.has("nbf") { moment("nbf")?.max(issued_at) } else { issued_at };
    if begins_at > expected.now.plus(LEEWAY) {
        return Err(WorkloadError::NotYetValid);
    }
    if expires_at.since(expected.now) > MAX_LIFETIME {
        return Err(WorkloadError::Lifetime);
    }
    let id = claims.text("jti").filter(|id| id.len() <= MAX_JTI_BYTES).ok_or(WorkloadError::Claim("jti"))?;
    Ok(Workload {
        issuer: expected.issuer.to_owned(),
        subject: text("sub")?.to_owned(),
        id: id.to_owned(),
        expires_at,
        claims: claims.into_members(),
    })
}

/// Decides what is issued to a workload. `allowed` is what the rule that let it in grants.
pub fn decide(request: &AssertionRequest, allowed: &Scopes, resources: &Resources<'_>) -> Result<Granted, TokenError> {
    grant(request.resource.as_deref(), request.scopes.as_ref(), allowed, resources)
}

impl Workload {
    /// What must be spent before anything is issued; a second use finds it spent.
    ///
    /// spec: AS-183: "reject replays".
    pub fn spend(&self) -> SpentAssertion {
        SpentAssertion::new("workload", &self.issuer, &self.id, self.expires_at.plus(LEEWAY))
    }

    /// Whether every claim of `rule` is as it says: exactly, or beginning with what stands before a `*` at its end. A rule
    /// without claims is nobody's.
    pub fn matches(&self, rule: &BTreeMap<String, String>) -> bool {
        !rule.is_empty()
            && rule.iter().all(|(path, wanted)| {
                claim::at(&self.claims, path).is_some_and(|value| match value {
                    Value::Array(all) => all.iter().any(|one| fits(one, wanted)),
                    one => fits(one, wanted),
                })
            })
    }
}

fn fits(value: &Value, wanted: &str) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => return false,
    };
    match wanted.strip_suffix('*') {
        Some(beginning) => !text.is_empty() && text.starts_with(beginning),
        None => text == wanted,
    }
}
