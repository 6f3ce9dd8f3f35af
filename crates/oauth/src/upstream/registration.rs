//! Registering ourselves (RFC 7591).

use portcullis_base::{Secret, Timestamp, printable};
use serde_json::Value;

use super::server::ServerMetadata;
use crate::{
    client::{ApplicationType, AuthMethod, ClientMetadata},
    endpoint::{Reach, same_site},
    json,
    relying::token::{MAX_BYTES, Said, said},
};

/// The longest identifier or secret that is kept.
const MAX_TEXT_BYTES: usize = 4096;

/// Who we are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Our name.
    pub client_id: String,
    /// What proves it, if something does.
    pub secret: Option<Secret>,
    /// How it is proven.
    pub method: AuthMethod,
    /// When the secret ends, if it does.
    pub secret_expires_at: Option<Timestamp>,
    /// Where the registration can be taken back (RFC 7592), and with what.
    pub management: Option<(String, Secret)>,
}

/// Why we are not registered; the text is for the administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisteringError {
    /// The authorization server said no.
    #[error("the authorization server refused to register us: {code}{}", .description.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Refused {
        /// Its code, printable.
        code: String,
        /// Its words, printable.
        description: Option<String>,
    },
    /// Not an answer that we can read.
    #[error("the answer to our registration is not a registration")]
    Malformed,
    /// It wants to be shown something that we do not have.
    #[error("the authorization server wants {0}, which we did not ask for or did not get")]
    Method(String),
    /// It would send codes to an address that is not ours.
    #[error("the authorization server registered other callbacks than ours")]
    Redirects,
}

/// Our registration: how we prove who we are is chosen by what the authorization server takes.
///
/// spec: UP-24.
pub fn wish(server: &ServerMetadata, metadata: ClientMetadata, have: &[AuthMethod]) -> ClientMetadata {
    let method = super::client::auth_method(server, have).unwrap_or(AuthMethod::None);
    let jwks_uri = metadata.jwks_uri.filter(|_| method == AuthMethod::PrivateKeyJwt);
    ClientMetadata { token_endpoint_auth_method: method, jwks_uri, ..metadata }
}

/// The body of a registration.
pub fn body(wish: &ClientMetadata) -> Vec<u8> {
    serde_json::to_vec(wish).expect("client metadata has text keys and plain values")
}

/// What to try once more after a refusal; `None` if nothing would be different.
///
/// spec: UP-25: "retry at most once with adjusted values": less of what is optional, and the plainest proof.
pub fn adjusted(wish: &ClientMetadata, error: &RegisteringError) -> Option<ClientMetadata> {
    let RegisteringError::Refused { code, .. } = error else { return None };
    let mut other = wish.clone();
    match code.as_str() {
        "invalid_redirect_uri" => {
            // A server on a person's own computer is a native application to some and a web server to others.
            other.application_type = match wish.application_type? {
                ApplicationType::Native => Some(ApplicationType::Web),
                ApplicationType::Web if wish.is_loopback_only() => Some(ApplicationType::Native),
                ApplicationType::Web => return None,
            };
        }
        "invalid_client_metadata" | "invalid_request" => {
            (other.client_uri, other.scope, other.application_type) = (None, None, None);
            other.jwks_uri = None;
            other.token_endpoint_auth_method = match wish.token_endpoint_auth_method {
                AuthMethod::None => AuthMethod::ClientSecretPost,
                AuthMethod::PrivateKeyJwt => AuthMethod::ClientSecretBasic,
                AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => AuthMethod::None,
            };
        }
        _ => return None,
    }
    Some(other)
}

/// Reads the answer to `wish`.
pub fn parse(body: &[u8], wish: &ClientMetadata, server: &ServerMetadata) -> Result<Registered, RegisteringError> {
    let members = (body.len() <= MAX_BYTES).then(|| json::object(body)).flatten().ok_or(RegisteringError::Malformed)?;
    if let Some(Said { code, description }) = said(&members) {
        return Err(RegisteringError::Refused { code, description });
    }
    let text = |name| members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let client_id = text("client_id").filter(|id| is_plain(id)).ok_or(RegisteringError::Malformed)?;
    let secret = text("client_secret");
    if secret.is_some_and(|secret| !is_plain(secret)) {
        return Err(RegisteringError::Malformed);
    }
    // spec: RFC7591#3.2.1: "The authorization server MAY reject or replace any of the client's requested metadata values":
    // not our callbacks, to which it adds or from which it takes.
    if let Some(uris) = members.get("redirect_uris") {
        let uris: Vec<&str> = uris.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !wish.redirect_uris.iter().all(|own| uris.contains(&own.as_str())) || uris.len() != wish.redirect_uris.len()
        {
            return Err(RegisteringError::Redirects);
        }
    }
    let method = method(text("token_endpoint_auth_method"), secret.is_some(), wish, server)?;
    let expires = members.get("client_secret_expires_at").and_then(Value::as_i64).filter(|at| *at > 0);
    // The token is as good as the secret: it goes nowhere else.
    let management = text("registration_client_uri").zip(text("registration_access_token"));
    let reach = Reach::of(&server.issuer);
    let management = management.filter(|(url, _)| reach.admits(url) && same_site(url, &server.issuer));
    Ok(Registered {
        client_id: client_id.to_owned(),
        secret: secret.filter(|_| method.is_symmetric()).map(|secret| Secret::new(secret.to_owned())),
        method,
        secret_expires_at: expires.filter(|_| method.is_symmetric()).map(Timestamp::from_secs),
        management: management.map(|(url, token)| (url.to_owned(), Secret::new(token.to_owned()))),
    })
}

/// spec: UP-26, RFC7591#3.2.1: "Use the token endpoint auth method the registration returned; with none given prefer per
/// metadata".
fn method(
    returned: Option<&str>,
    secret: bool,
    wish: &ClientMetadata,
    server: &ServerMetadata,
) -> Result<AuthMethod, RegisteringError> {
    let signs = wish.jwks_uri.is_some();
    let Some(returned) = returned else {
        let have: &[AuthMethod] = match (signs, secret) {
            (true, _) => &[AuthMethod::PrivateKeyJwt],
            (false, true) => &[AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost],
            (false, false) => &[AuthMethod::None],
        };
        return Ok(super::client::auth_method(server, have).unwrap_or(have[0]));
    };
    let known =
        [AuthMethod::None, AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::PrivateKeyJwt];
    let known = known.into_iter().find(|method| method.as_str() == returned);
    let possible = |method: &AuthMethod| match method {
        AuthMethod::None => true,
        AuthMethod::PrivateKeyJwt => signs,
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => secret,
    };
    known.filter(possible).ok_or_else(|| RegisteringError::Method(printable(returned, 64)))
}

fn is_plain(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}
