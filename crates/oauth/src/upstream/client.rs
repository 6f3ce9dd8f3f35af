//! Who we are at somebody else's authorization server, and how we prove it.

use std::time::Duration;

use portcullis_base::{Secret, Timestamp};
use serde::Serialize;

use super::server::ServerMetadata;
use crate::{
    client::AuthMethod,
    jwks::{KeyError, SigningKey},
    jwt,
};

/// How long an assertion of ours is good: long enough for clocks that differ, too short to be of use to who finds it.
const ASSERTION_LIFETIME: Duration = Duration::from_mins(1);

/// So far apart are the clocks of honest servers.
const CLOCKS_DIFFER: Duration = Duration::from_secs(30);

/// A way to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// An administrator registered us.
    Configured,
    /// By the URL of our metadata document.
    Document,
    /// We register ourselves (RFC 7591).
    Dynamic,
}

/// Which ways the settings of a server allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registering {
    /// Whatever the authorization server has.
    #[default]
    Auto,
    /// Only the metadata document.
    Document,
    /// Only registration.
    Dynamic,
    /// Neither.
    No,
}

/// Whether our metadata document can be fetched by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Yes.
    Yes,
    /// We are not reachable from there, or an administrator turned it off.
    No,
}

/// There is no way to be known; the text is for the administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WayError {
    /// What an administrator registered is for another authorization server.
    #[error(
        "the client in the settings is for \"{configured}\", the server now uses \"{now}\": register there and change the settings"
    )]
    OtherIssuer {
        /// As the settings say.
        configured: String,
        /// Who it would be used at.
        now: String,
    },
    /// Neither the authorization server nor the settings leave one.
    #[error("\"{0}\" registers no clients by itself: register one there, and set client_id and client_secret")]
    None(String),
}

/// The ways to be known at this authorization server, best first. `configured` is the issuer that the client in the
/// settings belongs to.
///
/// spec: UP-20: "credentials pre-registered for that issuer; CIMD if [supported]; DCR if `registration_endpoint` exists; else
/// ask the administrator".
pub fn ways(
    metadata: &ServerMetadata,
    configured: Option<&str>,
    document: Published,
    register: Registering,
) -> Result<Vec<Way>, WayError> {
    // spec: UP-13, UP-21: never at another issuer, and never another client instead.
    match configured {
        Some(issuer) if issuer == metadata.issuer => return Ok(vec![Way::Configured]),
        Some(issuer) => {
            return Err(WayError::OtherIssuer { configured: issuer.to_owned(), now: metadata.issuer.clone() });
        }
        None => {}
    }
    let mut all = Vec::new();
    // spec: UP-23: not where nobody could fetch it.
    let published = metadata.client_id_metadata_document_supported && document == Published::Yes;
    if published && matches!(register, Registering::Auto | Registering::Document) {
        all.push(Way::Document);
    }
    if metadata.registration_endpoint.is_some() && matches!(register, Registering::Auto | Registering::Dynamic) {
        all.push(Way::Dynamic);
    }
    if all.is_empty() { Err(WayError::None(metadata.issuer.clone())) } else { Ok(all) }
}

/// How to prove who we are, of the ways we `have`; `None` if the authorization server takes none of these.
///
/// spec: UP-26: "prefer per metadata `private_key_jwt`, `client_secret_basic`, `client_secret_post`, `none`".
pub fn auth_method(metadata: &ServerMetadata, have: &[AuthMethod]) -> Option<AuthMethod> {
    let preferred =
        [AuthMethod::PrivateKeyJwt, AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::None];
    preferred.into_iter().find(|method| have.contains(method) && metadata.takes(*method))
}

/// A proof for one request: `audience` is the issuer, or the token endpoint where no issuer is known. `jti` is fresh.
///
/// spec: RFC7523#3: `iss` and `sub` are the client, `aud` is the authorization server alone, so that no other can use it.
pub fn assertion(
    key: &SigningKey,
    client_id: &str,
    audience: &str,
    jti: &str,
    now: Timestamp,
) -> Result<Secret, KeyError> {
    #[derive(Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        sub: &'a str,
        aud: &'a str,
        jti: &'a str,
        iat: i64,
        exp: i64,
    }
    // Whose clock is behind ours must not see it come from the future.
    let (iat, exp) = (now.minus(CLOCKS_DIFFER).as_secs(), now.plus(ASSERTION_LIFETIME).as_secs());
    let claims = Claims { iss: client_id, sub: client_id, aud: audience, jti, iat, exp };
    jwt::sign(key, "JWT", &claims).map(Secret::new)
}
