//! Client authentication at the token endpoint and its siblings.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_base::{ClientId, Digest, Secret, Timestamp};
use subtle::ConstantTimeEq;

use crate::{
    client::{AuthMethod, Client},
    error::{TokenError, TokenErrorCode},
    jwks::{Algorithm, PublicKeys},
    jwt::{Claims, Unverified},
    parameters::{self, Parameters},
};

/// The one assertion type.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far a client's clock may be off.
const LEEWAY: Duration = Duration::from_mins(1);
/// How far ahead an assertion may expire: it must be remembered until then.
const MAX_ASSERTION_LIFETIME: Duration = Duration::from_mins(10);
const MAX_JTI_BYTES: usize = 256;

/// What a request brought along to say who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Whom it claims to be from; the caller looks it up.
    pub client_id: ClientId,
    proof: Proof,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    None,
    Basic(Secret),
    Post(Secret),
    Assertion(Secret),
}

/// What proofs are judged by.
pub struct Context<'a> {
    /// The names under which an assertion may address us: the issuer first, then the URLs of the token endpoint.
    pub audiences: &'a [String],
    /// The keys fetched from the client's `jwks_uri`; see [`keys_to_fetch`].
    pub fetched_keys: Option<&'a PublicKeys>,
    /// The present moment.
    pub now: Timestamp,
}

/// A client that proved who it is, as far as its registration asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// An assertion that must not be accepted again; the request fails if it was spent before.
    pub spend: Option<SpentAssertion>,
}

/// A single-use assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpentAssertion {
    /// Names this assertion of this client.
    pub id: String,
    /// Until when it must be remembered.
    pub expires_at: Timestamp,
}

impl SpentAssertion {
    /// The assertion `jti` of `issuer` in one of the uses that are kept apart by `kind`.
    pub(crate) fn new(kind: &str, issuer: &str, jti: &str, expires_at: Timestamp) -> Self {
        let name = Digest::of(format!("{}:{issuer}{jti}", issuer.len()).as_bytes());
        Self { id: format!("{kind}:{name}"), expires_at }
    }

    /// The answer when it was spent before.
    ///
    /// spec: AS-63, RFC7523#3: "The authorization server MAY ensure that JWTs are not replayed".
    pub fn replayed() -> TokenError {
        failed()
    }
}

impl Credentials {
    /// Finds the one proof in the `Authorization` headers and the form.
    pub fn find<'a>(authorization: impl IntoIterator<Item = &'a [u8]>, form: &Parameters) -> Result<Self, TokenError> {
        let mut headers = authorization.into_iter();
        let basic = headers.next().map(read_basic).transpose()?;
        let assertion = match (form.get("client_assertion"), form.get("client_assertion_type")) {
            (Some(assertion), Some(ASSERTION_TYPE)) => Some(assertion),
            (None, None) => None,
            _ => return Err(malformed("client_assertion needs client_assertion_type jwt-bearer")),
        };
        let post = form.get("client_secret");
        // spec: AS-62, RFC6749#2.3: "The client MUST NOT use more than one authentication method in each request."
        let methods = [basic.is_some(), headers.next().is_some(), assertion.is_some(), post.is_some()];
        if methods.into_iter().filter(|used| *used).count() > 1 {
            return Err(malformed("only one client authentication method may be used"));
        }
        let secret = |text: &str| Secret::new(text.to_owned());
        let (named, proof) = match (basic, assertion, post) {
            (Some((id, secret)), _, _) => (Some(id), Proof::Basic(secret)),
            (_, Some(assertion), _) => (issuer_of(assertion), Proof::Assertion(secret(assertion))),
            (_, _, Some(post)) => (None, Proof::Post(secret(post))),
            _ => (None, Proof::None),
        };
        let client_id = match (named, form.get("client_id")) {
            (Some(named), Some(id)) if named != id => return Err(malformed("client_id differs from the credentials")),
            (Some(named), _) => named,
            (None, Some(id)) => id.to_owned(),
            (None, None) => return Err(malformed("client_id is required")),
        };
        Ok(Self { client_id: ClientId::new(client_id), proof })
    }

    /// Judges the proof. `client` is what was found under [`Credentials::client_id`].
    pub fn verify(&self, client: Option<&Client>, context: &Context<'_>) -> Result<Authenticated, TokenError> {
        let header_used = matches!(self.proof, Proof::Basic(_));
        let client = client.filter(|client| client.id == self.client_id);
        self.judge(client, context).map_err(|error| TokenError { header_used, ..error })
    }

    fn judge(&self, client: Option<&Client>, context: &Context<'_>) -> Result<Authenticated, TokenError> {
        let Some(client) = client else { return Err(failed()) };
        // spec: AS-61, AS-64, T-22: exactly the method the client registered, be it weaker or stronger.
        match (client.metadata.token_endpoint_auth_method, &self.proof) {
            (AuthMethod::None, Proof::None) => Ok(Authenticated { spend: None }),
            (AuthMethod::ClientSecretBasic, Proof::Basic(secret))
            | (AuthMethod::ClientSecretPost, Proof::Post(secret)) => {
                let presented = Digest::of(secret.reveal().as_bytes());
                let registered = client.secret.ok_or_else(failed)?;
                if bool::from(presented.as_bytes().ct_eq(registered.as_bytes())) {
                    Ok(Authenticated { spend: None })
                } else {
                    Err(failed())
                }
            }
            (AuthMethod::PrivateKeyJwt, Proof::Assertion(assertion)) => {
                let spend = judge_assertion(assertion.reveal(), client, context).ok_or_else(failed)?;
                Ok(Authenticated { spend: Some(spend) })
            }
            _ => Err(failed()),
        }
    }
}

/// Where this client's keys must be fetched from before [`Credentials::verify`].
pub fn keys_to_fetch(client: &Client) -> Option<&str> {
    let signs = client.metadata.token_endpoint_auth_method == AuthMethod::PrivateKeyJwt;
    client.metadata.jwks_uri.as_deref().filter(|_| signs)
}

/// spec: AS-63, RFC7523#3.
fn judge_assertion(assertion: &str, client: &Client, context: &Context<'_>) -> Option<SpentAssertion> {
    let unverified = Unverified::split(assertion).ok()?;
    // spec: RFC8725#3.11: a token made for something else is no assertion.
    if !matches!(unverified.typ.as_deref(), None | Some("JWT" | "client-authentication+jwt")) {
        return None;
    }
    // spec: RFC8725#3.1: the algorithms that metadata offers, not all that we could verify.
    if !Algorithm::CLIENTS.contains(&unverified.algorithm) {
        return None;
    }
    let own = client.metadata.jwks.as_ref().and_then(|set| PublicKeys::from_value(set).ok());
    let keys = own.as_ref().or(context.fetched_keys)?;
    let key = keys.find(unverified.kid.as_deref(), unverified.algorithm)?;
    let claims = unverified.verify(key).ok()?;
    judge_claims(&claims, client, context)
}

fn judge_claims(claims: &Claims, client: &Client, context: &Context<'_>) -> Option<SpentAssertion> {
    let id = client.id.as_str();
    if claims.text("iss") != Some(id) || claims.text("sub") != Some(id) {
        return None;
    }
    // Several names of ours are fine; an assertion that is also for somebody else could be replayed by them.
    let audiences = claims.audiences()?;
    if audiences.is_empty() || !audiences.iter().all(|audience| context.audiences.iter().any(|own| own == audience)) {
        return None;
    }
    // spec: T-39: `exp` must be there, near, and not past; `iat` and `nbf` not ahead.
    let expires_at = claims.moment("exp")?;
    let remembered_until = expires_at.plus(LEEWAY);
    if context.now >= remembered_until || expires_at.since(context.now) > MAX_ASSERTION_LIFETIME {
        return None;
    }
    for name in ["iat", "nbf"] {
        if claims.has(name) && claims.moment(name)? > context.now.plus(LEEWAY) {
            return None;
        }
    }
    let jti = claims.text("jti").filter(|jti| jti.len() <= MAX_JTI_BYTES)?;
    Some(SpentAssertion::new("assertion", id, jti, remembered_until))
}

/// spec: RFC6749#2.3.1: "The client identifier is encoded using the "application/x-www-form-urlencoded" encoding".
fn read_basic(header: &[u8]) -> Result<(String, Secret), TokenError> {
    let refused = || TokenError { header_used: true, ..failed() };
    let header = std::str::from_utf8(header).map_err(|_| refused())?;
    let (scheme, encoded) = header.split_once(' ').ok_or_else(refused)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(refused());
    }
    let pair = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.ok_or_else(refused)?;
    let (id, secret) = pair.split_once(':').ok_or_else(refused)?;
    let id = parameters::decode(id).filter(|id| !id.is_empty()).ok_or_else(refused)?;
    let secret = parameters::decode(secret).ok_or_else(refused)?;
    Ok((id, Secret::new(secret)))
}

/// Whom an unverified assertion claims to be from.
fn issuer_of(assertion: &str) -> Option<String> {
    Unverified::split(assertion).ok()?.claimed("iss").map(str::to_owned)
}

fn malformed(text: &'static str) -> TokenError {
    TokenError::new(TokenErrorCode::InvalidRequest, text)
}

/// One text for every reason: whether a client exists is not told.
fn failed() -> TokenError {
    TokenError::new(TokenErrorCode::InvalidClient, "client authentication failed")
}
