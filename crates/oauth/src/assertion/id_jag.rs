//! Identity Assertion JWT Authorization Grants: a company's identity provider says that one of its people may use one
//! client here, and no consent page is needed (Enterprise-Managed Authorization).

use std::time::Duration;

use portcullis_base::{ClientId, Timestamp};
use serde_json::{Map, Value};

use super::ID_JAG_TYPE;
use crate::{
    claim,
    client::{AuthMethod, Client},
    client_auth::SpentAssertion,
    error::{TokenError, TokenErrorCode},
    jwks::PublicKeys,
    jwt::{Claims, JwtError, MAX_BYTES, Unverified},
    machine::{AssertionRequest, Granted, grant},
    relying::issuer::IssuerRule,
    resource::{self, Resources},
    scope::Scopes,
};

/// How far the provider's clock may be off.
const LEEWAY: Duration = Duration::from_mins(1);
/// How far ahead one may expire: it must be remembered until then.
const MAX_LIFETIME: Duration = Duration::from_hours(1);
const MAX_JTI_BYTES: usize = 256;
const MAX_SUBJECT_BYTES: usize = 255;
const MAX_RESOURCES: usize = 16;

/// What an ID-JAG must agree with.
pub struct Expected<'a> {
    /// The provider that is trusted for this.
    pub issuer: &'a IssuerRule,
    /// Our own issuer.
    pub audience: &'a str,
    /// The authenticated client of the request.
    pub client: &'a ClientId,
    /// Our endpoints.
    pub resources: &'a Resources<'a>,
    /// The present moment.
    pub now: Timestamp,
}

/// What an ID-JAG says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdJag {
    /// `iss`.
    pub issuer: String,
    /// `sub`: who the person is there.
    pub subject: String,
    /// `tenant` or `tid`: in which part of the provider, if it has several.
    pub tenant: Option<String>,
    /// `email`, if the provider verified it.
    pub email: Option<String>,
    /// `client_id`: for which client.
    pub client: ClientId,
    /// `resource` in canonical form: for which of our endpoints; empty if it does not say.
    pub resources: Vec<String>,
    /// `scope`, if it says.
    pub scopes: Option<Scopes>,
    /// `jti`.
    pub id: String,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `auth_time`.
    pub authenticated_at: Option<Timestamp>,
    /// `acr`.
    pub acr: Option<String>,
    /// Everything it says.
    pub claims: Map<String, Value>,
}

/// Actors that are told of one assertion.
const MOST_ACTORS: usize = 8;

impl IdJag {
    /// Who acts for the person, the nearest first: the subjects of `act`, and of the `act` in it (RFC 8693 section 4.1). For the
    /// record: nothing is allowed or denied by it.
    pub fn actors(&self) -> Vec<String> {
        let inner = |actor: &Value| actor.get("act").cloned();
        let chain = std::iter::successors(self.claims.get("act").cloned(), inner).take(MOST_ACTORS);
        chain.filter_map(|actor| actor.get("sub")?.as_str().map(str::to_owned)).collect()
    }
}

/// Why an ID-JAG is not taken: for the log. The client learns only that it is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdJagError {
    /// It cannot be read or its signature is wrong.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// Its `typ` is another.
    #[error("the assertion's typ is not oauth-id-jag+jwt")]
    Type,
    /// Its key is not one of the provider's.
    #[error("the assertion's key is not one of its issuer's")]
    UnknownKey,
    /// Somebody else made it, or it is about another tenant.
    #[error("the assertion is from another issuer or tenant")]
    Issuer,
    /// A claim is missing or of the wrong type.
    #[error("the assertion's claim {0} is missing or malformed")]
    Claim(&'static str),
    /// It is for somebody else, or for several.
    #[error("the assertion's aud is not this gateway alone")]
    Audience,
    /// It is for another client.
    #[error("the assertion is for another client")]
    Client,
    /// It names something that is no endpoint of ours.
    #[error("the assertion's resource is not an MCP endpoint of this gateway")]
    Resource,
    /// Its time is over.
    #[error("the assertion has expired")]
    Expired,
    /// Its time has not come.
    #[error("the assertion is not valid yet")]
    NotYetValid,
    /// It lives longer than we remember what was used.
    #[error("the assertion lives longer than an hour")]
    Lifetime,
    /// It is bound to a key or narrowed in a way that we do not check.
    #[error("the assertion's claim {0} is not supported")]
    Unsupported(&'static str),
}

/// What `token` says, if it is an ID-JAG of this provider for us and this client. Whether it was used before is for the
/// caller: [`IdJag::spend`].
pub fn verify(token: &str, keys: &PublicKeys, expected: &Expected<'_>) -> Result<IdJag, IdJagError> {
    let unverified = Unverified::split_foreign(token, MAX_BYTES)?;
    // spec: AS-172, AS-184.
    if !unverified.is_a(ID_JAG_TYPE) {
        return Err(IdJagError::Type);
    }
    let key = keys.find(unverified.kid.as_deref(), unverified.algorithm).ok_or(IdJagError::UnknownKey)?;
    let claims = unverified.verify(key)?;
    let text = |name| claims.text(name).ok_or(IdJagError::Claim(name));
    let issuer = text("iss")?;
    let tenant = claims.text("tenant").or_else(|| claims.text("tid"));
    // spec: AS-172, T-46: the trusted provider, and of its tenants one of those that are trusted.
    if !expected.issuer.admits(issuer, tenant) || !expected.issuer.trusts_key(key, issuer) {
        return Err(IdJagError::Issuer);
    }
    let expires_at = in_time(&claims, expected.now)?;
    // spec: AS-173, T-46: "as a string or a one-element array".
    if claims.audiences().ok_or(IdJagError::Claim("aud"))? != [expected.audience] {
        return Err(IdJagError::Audience);
    }
    // spec: AS-174.
    if text("client_id")? != expected.client.as_str() {
        return Err(IdJagError::Client);
    }
    // spec: T-46: what would bind or narrow it, and is not understood, is not passed over.
    for name in ["cnf", "authorization_details"] {
        if claims.has(name) {
            return Err(IdJagError::Unsupported(name));
        }
    }
    let scopes = match claims.members().get("scope") {
        None => None,
        Some(_) => Some(Scopes::parse(text("scope")?).map_err(|_| IdJagError::Claim("scope"))?),
    };
    Ok(IdJag {
        issuer: issuer.to_owned(),
        subject: claims
            .text("sub")
            .filter(|sub| sub.len() <= MAX_SUBJECT_BYTES)
            .ok_or(IdJagError::Claim("sub"))?
            .to_owned(),
        tenant: tenant.map(str::to_owned),
        email: verified_email(&claims),
        client: expected.client.clone(),
        resources: resources(&claims, expected.resources)?,
        scopes,
        id: claims.text("jti").filter(|id| id.len() <= MAX_JTI_BYTES).ok_or(IdJagError::Claim("jti"))?.to_owned(),
        expires_at,
        authenticated_at: claims.moment("auth_time"),
        acr: claims.text("acr").map(str::to_owned),
        claims: claims.into_members(),
    })
}

/// spec: AS-172, T-39: `iat` and `exp` are there and in time.
fn in_time(claims: &Claims, now: Timestamp) -> Result<Timestamp, IdJagError> {
    let moment = |name| claims.moment(name).ok_or(IdJagError::Claim(name));
    let (issued_at, expires_at) = (moment("iat")?, moment("exp")?);
    if now >= expires_at.plus(LEEWAY) {
        return Err(IdJagError::Expired);
    }
    let begins_at = if claims.has("nbf") { moment("nbf")?.max(issued_at) } else { issued_at };
    if begins_at > now.plus(LEEWAY) {
        return Err(IdJagError::NotYetValid);
    }
    if expires_at.since(now) > MAX_LIFETIME {
        return Err(IdJagError::Lifetime);
    }
    Ok(expires_at)
}

/// spec: AS-175: what it names must be ours.
fn resources(claims: &Claims, ours: &Resources<'_>) -> Result<Vec<String>, IdJagError> {
    let named = match claims.members().get("resource") {
        None => return Ok(Vec::new()),
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(all)) => all.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default(),
        Some(_) => Vec::new(),
    };
    if named.is_empty() || named.len() > MAX_RESOURCES {
        return Err(IdJagError::Claim("resource"));
    }
    let known = |text: &&str| resource::canonical(text).filter(|resource| (ours.known)(resource));
    named.iter().map(known).collect::<Option<_>>().ok_or(IdJagError::Resource)
}

/// spec: T-52: an address that the provider did not verify is anybody's.
fn verified_email(claims: &Claims) -> Option<String> {
    let verified = claims.members().get("email_verified") == Some(&Value::Bool(true));
    claim::text(claims.members(), "email").filter(|_| verified).map(str::to_owned)
}

impl IdJag {
    /// What must be spent before anything is issued; a second use finds it spent.
    ///
    /// spec: AS-176: "a `jti` seen before (scoped by `iss`) is rejected until its `exp`".
    pub fn spend(&self) -> SpentAssertion {
        SpentAssertion::new("id-jag", &self.issuer, &self.id, self.expires_at.plus(LEEWAY))
    }
}

/// Whether `client` may present ID-JAGs at all; asked before one is looked at.
///
/// spec: AS-178: confidential clients only.
pub fn may_present(client: &Client) -> Result<(), TokenError> {
    match client.metadata.token_endpoint_auth_method {
        AuthMethod::None => {
            let text = "this grant needs client authentication";
            Err(TokenError::new(TokenErrorCode::UnauthorizedClient, text))
        }
        _ => Ok(()),
    }
}

/// Decides what is issued for a verified ID-JAG. `allowed` is what local policy grants.
pub fn decide(
    jag: &IdJag,
    request: &AssertionRequest,
    allowed: &Scopes,
    resources: &Resources<'_>,
) -> Result<Granted, TokenError> {
    // spec: AS-175: "the token is restricted to that audience"; without the claim the request or the default decides.
    let resource = match (request.resource.as_deref(), jag.resources.as_slice()) {
        (asked, []) => asked,
        (Some(asked), named) if named.iter().any(|named| named == asked) => Some(asked),
        (Some(_), _) => return Err(super::refused()),
        (None, [only]) => Some(only.as_str()),
        (None, _) => {
            let text = "the assertion names several resources; say which one is meant";
            return Err(TokenError::new(TokenErrorCode::InvalidTarget, text));
        }
    };
    // spec: AS-177: of the assertion, of the request and of local policy.
    let allowed = jag.scopes.as_ref().map_or_else(|| allowed.clone(), |scopes| scopes.intersection(allowed));
    grant(resource, request.scopes.as_ref(), &allowed, resources)
}
