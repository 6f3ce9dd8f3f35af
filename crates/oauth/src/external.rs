//! Access tokens of a company's own authorization server, for endpoints that say so: JWTs (RFC 9068, and plain ones), and
//! what an introspection endpoint says of them (RFC 7662).

use std::time::Duration;

use portcullis_base::{ClientId, Timestamp};
use serde_json::{Map, Value};

use crate::{
    claim, json,
    jwks::{Algorithm, PublicKeys},
    jwt::{Claims, JwtError, MAX_BYTES, Unverified},
    relying::profile::{self, Groups},
    scope::Scopes,
};

/// How far the issuer's clock may be off.
const LEEWAY: Duration = Duration::from_mins(1);
/// The longest introspection answer that is read.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Claims that only ID and logout tokens have.
const NOT_ACCESS: [&str; 4] = ["nonce", "at_hash", "c_hash", "events"];

/// Which claims say what; names with dots lead inward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalClaims {
    /// Who calls.
    pub person: String,
    /// The name for the account.
    pub name: String,
    /// The groups.
    pub groups: String,
    /// The program that calls.
    pub client: String,
}

/// What tokens for one endpoint must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Whom they are from, byte for byte.
    pub issuer: &'a str,
    /// What they are for.
    pub audience: &'a str,
    /// How they may be signed.
    pub algorithms: &'a [Algorithm],
    /// What says what.
    pub claims: &'a ExternalClaims,
    /// The present moment.
    pub now: Timestamp,
}

/// What such a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalToken {
    /// Who calls: unique at the issuer.
    pub subject: String,
    /// The name for the account, if it says.
    pub name: Option<String>,
    /// The groups.
    pub groups: Groups,
    /// The program that calls, if it says.
    pub client: Option<ClientId>,
    /// `scope` or `scp`, if it says.
    pub scopes: Option<Scopes>,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `jti`.
    pub id: Option<String>,
    /// `auth_time`.
    pub authenticated_at: Option<Timestamp>,
    /// `acr`.
    pub acr: Option<String>,
}

/// Why such a token is not accepted: for the log. The caller learns only that it is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExternalError {
    /// It cannot be read or its signature is wrong.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// It is a token of another kind, such as an ID token.
    #[error("the token is not an access token")]
    Type,
    /// An algorithm that the settings do not allow for this endpoint.
    #[error("the token is signed with {}, which is not on the endpoint's list", .0.as_str())]
    Algorithm(Algorithm),
    /// Its key is not one of the issuer's.
    #[error("the token's key is not one of the issuer's")]
    UnknownKey,
    /// Somebody else issued it.
    #[error("the token is from another issuer")]
    Issuer,
    /// It is for another endpoint, or also for somebody else.
    #[error("the token is not for this endpoint alone")]
    Audience,
    /// A claim is missing or of the wrong type.
    #[error("the token's claim {0} is missing or malformed")]
    Claim(String),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It is bound to a key that its caller would have to prove.
    #[error("the token is bound to a key, and that is not supported")]
    Bound,
    /// The issuer says that it is not good, or no longer.
    #[error("the token is not active")]
    Inactive,
    /// Not an introspection answer.
    #[error("the introspection answer cannot be read")]
    Answer,
}

impl Default for ExternalClaims {
    fn default() -> Self {
        Self {
            person: "sub".into(),
            name: "preferred_username".into(),
            groups: "groups".into(),
            client: "client_id".into(),
        }
    }
}

/// What `token` says, if this issuer signed it for this endpoint.
///
/// spec: RS-21: "another AS explicitly configured for this endpoint".
pub fn verify(token: &str, keys: &PublicKeys, rule: &Rule<'_>) -> Result<ExternalToken, ExternalError> {
    let unverified = Unverified::split_foreign(token, MAX_BYTES)?;
    // spec: T-37, RFC9068#4: `at+jwt`; without it, a token that has what only other kinds have is none.
    let plain = unverified.is_plain();
    if !plain && !unverified.is_a("at+jwt") {
        return Err(ExternalError::Type);
    }
    // spec: T-37: the settings of the endpoint list what may be used.
    if !rule.algorithms.contains(&unverified.algorithm) {
        return Err(ExternalError::Algorithm(unverified.algorithm));
    }
    let key = keys.find(unverified.kid.as_deref(), unverified.algorithm).ok_or(ExternalError::UnknownKey)?;
    let claims = unverified.verify(key)?;
    if plain && NOT_ACCESS.iter().any(|name| claims.has(name)) {
        return Err(ExternalError::Type);
    }
    if claims.text("iss") != Some(rule.issuer) {
        return Err(ExternalError::Issuer);
    }
    read(&claims, rule)
}

/// What an introspection endpoint answered about a token.
///
/// spec: RFC7662#2.2.
pub fn introspected(body: &[u8], rule: &Rule<'_>) -> Result<ExternalToken, ExternalError> {
    let members = (body.len() <= MAX_ANSWER_BYTES).then(|| json::object(body)).flatten();
    let claims = Claims::told(members.ok_or(ExternalError::Answer)?);
    match claims.members().get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(ExternalError::Inactive),
        _ => return Err(ExternalError::Answer),
    }
    if claims.has("iss") && claims.text("iss") != Some(rule.issuer) {
        return Err(ExternalError::Issuer);
    }
    if claims.has("token_type") && !claims.text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(ExternalError::Bound);
    }
    read(&claims, rule)
}

fn read(claims: &Claims, rule: &Rule<'_>) -> Result<ExternalToken, ExternalError> {
    for_this_endpoint(claims, rule)?;
    // A proof that we do not ask for must not be lost on the way.
    if claims.has("cnf") {
        return Err(ExternalError::Bound);
    }
    let missing = |name: &str| ExternalError::Claim(name.to_owned());
    // spec: RS-19, T-39: `exp` to the moment, `iat` and `nbf` not ahead.
    let expires_at = claims.moment("exp").ok_or_else(|| missing("exp"))?;
    if rule.now >= expires_at {
        return Err(ExternalError::Expired);
    }
    for name in ["iat", "nbf"] {
        if claims.has(name) && claims.moment(name).ok_or_else(|| missing(name))? > rule.now.plus(LEEWAY) {
            return Err(ExternalError::NotYetValid);
        }
    }
    let members = claims.members();
    let text = |path: &str| claim::text(members, path).map(str::to_owned);
    let subject = text(&rule.claims.person).ok_or_else(|| missing(&rule.claims.person))?;
    Ok(ExternalToken {
        subject,
        name: text(&rule.claims.name),
        groups: profile::groups(&rule.claims.groups, members).map_err(|_| missing(&rule.claims.groups))?,
        client: text(&rule.claims.client).or_else(|| text("azp")).map(ClientId::new),
        scopes: scopes(members)?,
        expires_at,
        id: text("jti"),
        authenticated_at: claims.moment("auth_time"),
        acr: text("acr"),
    })
}

/// spec: RS-20, T-34: this endpoint, and nobody besides who could bring the token here; the issuer itself needs none to.
fn for_this_endpoint(claims: &Claims, rule: &Rule<'_>) -> Result<(), ExternalError> {
    let audiences = claims.audiences().ok_or(ExternalError::Audience)?;
    let issuer = rule.issuer.strip_suffix('/').unwrap_or(rule.issuer);
    let of_issuer =
        |audience: &str| audience.strip_prefix(issuer).is_some_and(|path| path.is_empty() || path.starts_with('/'));
    let ours = audiences.contains(&rule.audience);
    if ours && audiences.iter().all(|audience| *audience == rule.audience || of_issuer(audience)) {
        Ok(())
    } else {
        Err(ExternalError::Audience)
    }
}

/// `scope` as text, or `scp` as text or list.
fn scopes(members: &Map<String, Value>) -> Result<Option<Scopes>, ExternalError> {
    let malformed = || ExternalError::Claim("scope".into());
    let text = match members.get("scope").or_else(|| members.get("scp")) {
        None => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) => {
            let all: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            all.ok_or_else(malformed)?.join(" ")
        }
        Some(_) => return Err(malformed()),
    };
    Scopes::parse(&text).map(Some).map_err(|_| malformed())
}
