//! Our own metadata document: who we are, for authorization servers that fetch it.

use serde::Serialize;

use crate::client::{ApplicationType, AuthMethod, ClientMetadata};

/// Where it is.
pub const DOCUMENT: &str = "/oauth/client.json";
/// Where the keys are that it names.
pub const KEYS: &str = "/oauth/client/jwks.json";
/// What every callback begins with; [`issuer_id`](super::issuer_id) follows.
pub const CALLBACK: &str = "/connections/-/callback/";

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientDocument {
    client_id: String,
    #[serde(flatten)]
    metadata: ClientMetadata,
}

/// Where answers of `issuer` come.
///
/// spec: UP-27.
pub fn callback(public_url: &str, issuer: &str) -> String {
    format!("{public_url}{CALLBACK}{}", super::issuer_id(issuer))
}

/// Who we say that we are, with these callbacks.
///
/// spec: UP-24: `application_type` is `web`, but for a gateway on the person's own computer.
pub fn metadata(public_url: &str, redirect_uris: Vec<String>, method: AuthMethod) -> ClientMetadata {
    let public = ClientMetadata::public(redirect_uris);
    let kind = if public.is_loopback_only() { ApplicationType::Native } else { ApplicationType::Web };
    ClientMetadata {
        client_name: Some("Portcullis".into()),
        client_uri: Some(public_url.to_owned()),
        application_type: Some(kind),
        token_endpoint_auth_method: method,
        jwks_uri: (method == AuthMethod::PrivateKeyJwt).then(|| format!("{public_url}{KEYS}")),
        ..public
    }
}

/// The document of the gateway at `public_url`.
///
/// spec: UP-22: `client_id` is its own address, and it proves itself with its own key.
pub fn document(public_url: &str, redirect_uris: Vec<String>) -> ClientDocument {
    let metadata = metadata(public_url, redirect_uris, AuthMethod::PrivateKeyJwt);
    ClientDocument { client_id: format!("{public_url}{DOCUMENT}"), metadata }
}
