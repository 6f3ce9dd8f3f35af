//! ID tokens: who signed in, and that it was here, now and for us (OpenID Connect Core 1.0 §3.1.3.7).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{Secret, Timestamp, printable};
use ring::digest;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::{issuer::IssuerRule, logout_token::EVENT};
use crate::{
    jwks::{Algorithm, PublicKeys},
    jwt::{Claims, JwtError, MAX_ID_TOKEN_BYTES, Unverified},
};

/// How far the provider's clock may be off.
///
/// spec: T-39.
pub const LEEWAY: Duration = Duration::from_mins(1);
/// spec: OIDCC#2: "It MUST NOT exceed 255 ASCII characters in length."
const MAX_SUBJECT_BYTES: usize = 255;

/// What an ID token must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Whom it may be from.
    pub issuer: &'a IssuerRule,
    /// Who we are there.
    pub client_id: &'a str,
    /// The nonce of our request; none at a refresh.
    pub nonce: Option<&'a str>,
    /// How old the sign-in may be, if we said so in our request.
    pub max_age: Option<Duration>,
    /// How surely the person must be known, if we said so: one of these.
    pub acr: Option<&'a [String]>,
    /// Who it must be about, if that is known: at a refresh.
    pub subject: Option<&'a str>,
    /// The access token that came along.
    pub access_token: Option<&'a Secret>,
    /// The present moment.
    pub now: Timestamp,
}

/// What an ID token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdToken {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `tid`.
    pub tenant: Option<String>,
    /// `sid`: the session at the provider.
    pub sid: Option<String>,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `auth_time`.
    pub authenticated_at: Option<Timestamp>,
    /// `acr`.
    pub acr: Option<String>,
    /// `amr`.
    pub amr: Vec<String>,
    /// Everything it says.
    pub claims: Map<String, Value>,
}

/// Why an ID token is not believed; the text is for the administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// It cannot be read or its signature is wrong.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// It is a token of another kind.
    #[error("the token is not an ID token")]
    Type,
    /// Its key is not one of the provider's.
    #[error("the ID token's key {} is not one of the provider's", .kid.as_deref().unwrap_or("without a name"))]
    UnknownKey {
        /// Its name, printable.
        kid: Option<String>,
    },
    /// Somebody else made it, or it is about somebody of another tenant.
    #[error("the ID token is from \"{received}\"{}, the settings say \"{expected}\"", .tenant.as_ref().map(|tid| format!(" (tenant {tid})")).unwrap_or_default())]
    Issuer {
        /// As the settings say.
        expected: String,
        /// As it says, printable.
        received: String,
        /// The tenant it names, printable.
        tenant: Option<String>,
    },
    /// It is for another client, or not only for us.
    #[error("the ID token is for \"{received}\", the client is \"{expected}\"")]
    Audience {
        /// Who we are.
        expected: String,
        /// Who it is for, printable.
        received: String,
    },
    /// It was issued to another client.
    #[error("the ID token was issued to another client")]
    AuthorizedParty,
    /// A claim is missing or of the wrong type.
    #[error("the ID token's claim {0} is missing or malformed")]
    Claim(&'static str),
    /// Its time is over.
    #[error("the ID token expired {} s ago", .0.as_secs())]
    Expired(Duration),
    /// Its time has not come: one of the clocks is wrong.
    #[error("the ID token was made {} s from now", .0.as_secs())]
    NotYetValid(Duration),
    /// It answers another request.
    #[error("the ID token's nonce is not that of the request")]
    Nonce,
    /// The sign-in is older than was asked for.
    #[error("the sign-in is older than was asked for")]
    TooOld,
    /// The person is not known as surely as was asked for.
    #[error("the sign-in is of the class \"{0}\", and another was asked for")]
    Acr(String),
    /// It is about somebody else.
    #[error("the ID token is about somebody else than before")]
    Subject,
    /// It does not belong to the access token that came along.
    #[error("the ID token does not belong to the access token")]
    AccessToken,
}

/// What `token` says, if this provider made it for us and for this request.
///
/// spec: AS-142, OIDCC#3.1.3.7: each check has an error of its own.
pub fn verify(token: &str, keys: &PublicKeys, expected: &Expected<'_>) -> Result<IdToken, IdTokenError> {
    let unverified = Unverified::split_foreign(token, MAX_ID_TOKEN_BYTES)?;
    // spec: T-37, RFC8725#3.11: a logout token or an access token is no ID token.
    if !unverified.is_plain() {
        return Err(IdTokenError::Type);
    }
    let algorithm = unverified.algorithm;
    let kid = unverified.kid.clone();
    let key = keys.find(kid.as_deref(), algorithm);
    let key = key.ok_or_else(|| IdTokenError::UnknownKey { kid: kid.map(|kid| printable(&kid, 100)) })?;
    let claims = unverified.verify(key)?;
    if claims.members().get("events").is_some_and(|events| events.get(EVENT).is_some()) {
        return Err(IdTokenError::Type);
    }
    let (issuer, tenant) = (claims.text("iss").ok_or(IdTokenError::Claim("iss"))?, claims.text("tid"));
    if !expected.issuer.admits(issuer, tenant) || !expected.issuer.trusts_key(key, issuer) {
        return Err(IdTokenError::Issuer {
            expected: expected.issuer.expected().to_owned(),
            received: printable(issuer, 200),
            tenant: tenant.map(|tenant| printable(tenant, 64)),
        });
    }
    for_us(&claims, expected.client_id)?;
    let (issued_at, expires_at) = in_time(&claims, expected.now)?;
    of_this_request(&claims, expected)?;
    if let Some(access_token) = expected.access_token {
        belongs_to(&claims, access_token, algorithm)?;
    }
    let subject = claims.text("sub").filter(|sub| sub.len() <= MAX_SUBJECT_BYTES).ok_or(IdTokenError::Claim("sub"))?;
    // spec: OIDCC#12.2: "its sub Claim Value MUST be the same".
    if expected.subject.is_some_and(|known| known != subject) {
        return Err(IdTokenError::Subject);
    }
    let amr = claims.members().get("amr").and_then(Value::as_array).into_iter().flatten();
    Ok(IdToken {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        tenant: tenant.map(str::to_owned),
        sid: claims.text("sid").map(str::to_owned),
        issued_at,
        expires_at,
        authenticated_at: claims.moment("auth_time"),
        acr: claims.text("acr").map(str::to_owned),
        amr: amr.filter_map(Value::as_str).map(str::to_owned).collect(),
        claims: claims.into_members(),
    })
}

/// spec: OIDCC#3.1.3.7: "The ID Token MUST be rejected if the ID Token does not list the Client as a valid audience, or if it
/// contains additional audiences not trusted by the Client." We trust none.
fn for_us(claims: &Claims, client_id: &str) -> Result<(), IdTokenError> {
    let audiences = claims.audiences().ok_or(IdTokenError::Claim("aud"))?;
    if audiences != [client_id] {
        let received = printable(&audiences.join("\", \""), 200);
        return Err(IdTokenError::Audience { expected: client_id.to_owned(), received });
    }
    // spec: OIDCC#3.1.3.7: "If an azp (authorized party) Claim is present, the Client SHOULD verify that its client_id is the
    // Claim Value."
    if claims.has("azp") && claims.text("azp") != Some(client_id) {
        return Err(IdTokenError::AuthorizedParty);
    }
    Ok(())
}

/// spec: T-39, OIDCC#3.1.3.7: "The current time MUST be before the time represented by the exp Claim."
fn in_time(claims: &Claims, now: Timestamp) -> Result<(Timestamp, Timestamp), IdTokenError> {
    let moment = |name| claims.moment(name).ok_or(IdTokenError::Claim(name));
    let (issued_at, expires_at) = (moment("iat")?, moment("exp")?);
    if now >= expires_at.plus(LEEWAY) {
        return Err(IdTokenError::Expired(now.since(expires_at)));
    }
    let begins_at = if claims.has("nbf") { moment("nbf")?.max(issued_at) } else { issued_at };
    if begins_at > now.plus(LEEWAY) {
        return Err(IdTokenError::NotYetValid(begins_at.since(now)));
    }
    Ok((issued_at, expires_at))
}

fn of_this_request(claims: &Claims, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    // spec: OIDCC#3.1.3.7: "a nonce Claim MUST be present and its value checked to verify that it is the same value as the one
    // that was sent in the Authentication Request".
    let same = |sent: &str| claims.text("nonce").is_some_and(|got| bool::from(got.as_bytes().ct_eq(sent.as_bytes())));
    if !expected.nonce.is_none_or(same) {
        return Err(IdTokenError::Nonce);
    }
    if let Some(max_age) = expected.max_age {
        // spec: OIDCC#3.1.2.1: "When max_age is used, the ID Token returned MUST include an auth_time Claim Value."
        let authenticated_at = claims.moment("auth_time").ok_or(IdTokenError::Claim("auth_time"))?;
        if expected.now.since(authenticated_at) > max_age.saturating_add(LEEWAY) {
            return Err(IdTokenError::TooOld);
        }
        if authenticated_at > expected.now.plus(LEEWAY) {
            return Err(IdTokenError::NotYetValid(authenticated_at.since(expected.now)));
        }
    }
    if let Some(wanted) = expected.acr.filter(|wanted| !wanted.is_empty()) {
        let acr = claims.text("acr").unwrap_or_default();
        if !wanted.iter().any(|wanted| wanted == acr) {
            return Err(IdTokenError::Acr(printable(acr, 100)));
        }
    }
    Ok(())
}

/// spec: OIDCC#3.1.3.8: the left half of the access token's hash, if the ID token has it.
fn belongs_to(claims: &Claims, access_token: &Secret, algorithm: Algorithm) -> Result<(), IdTokenError> {
    if !claims.has("at_hash") {
        return Ok(());
    }
    let hash = match algorithm {
        Algorithm::Es256 | Algorithm::Rs256 | Algorithm::Ps256 => &digest::SHA256,
        Algorithm::Es384 | Algorithm::Rs384 => &digest::SHA384,
        Algorithm::Rs512 | Algorithm::EdDsa => &digest::SHA512,
    };
    let hash = digest::digest(hash, access_token.reveal().as_bytes());
    let half = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2]);
    if claims.text("at_hash") == Some(half.as_str()) { Ok(()) } else { Err(IdTokenError::AccessToken) }
}
