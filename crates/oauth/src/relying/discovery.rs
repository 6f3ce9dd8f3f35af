//! What a provider publishes about itself (OpenID Connect Discovery 1.0, RFC 8414).

use serde::Deserialize;
use serde_json::{Map, Value};

use super::issuer::IssuerRule;
use crate::{endpoint::Reach, json, pkce};

/// The longest document that is read.
pub const MAX_BYTES: usize = 64 * 1024;

/// The kind of token with which a provider tells somebody else's authorization server about one of its people.
pub(crate) const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// What we need of a provider's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ProviderMetadata {
    /// Its name in tokens.
    pub issuer: String,
    /// Where people are sent.
    pub authorization_endpoint: String,
    /// Where codes are redeemed.
    pub token_endpoint: String,
    /// Its public keys.
    pub jwks_uri: String,
    /// Where claims can be asked for.
    pub userinfo_endpoint: Option<String>,
    /// Where people are sent to sign out.
    pub end_session_endpoint: Option<String>,
    /// Where tokens are given up.
    pub revocation_endpoint: Option<String>,
    /// Where tokens can be asked about.
    pub introspection_endpoint: Option<String>,
    /// How clients may authenticate; `client_secret_basic` if it does not say.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Which PKCE methods it has; many have it and do not say.
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// Which scopes it has.
    pub scopes_supported: Option<Vec<String>>,
    /// Which claims it can give.
    pub claims_supported: Option<Vec<String>>,
    /// How it signs ID tokens.
    pub id_token_signing_alg_values_supported: Option<Vec<String>>,
    /// Whether every answer of it in the browser carries `iss` (RFC 9207).
    pub authorization_response_iss_parameter_supported: bool,
    /// Which kinds of token it gives for use at somebody else's authorization server.
    pub identity_chaining_requested_token_types_supported: Option<Vec<String>>,
    /// Whether it tells us when a person signs out.
    pub backchannel_logout_supported: bool,
    /// Whether it then says which session.
    pub backchannel_logout_session_supported: bool,
}

/// Why a provider's document is not usable; the text is for the administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// More than [`MAX_BYTES`].
    #[error("the provider's document is larger than 64 KiB")]
    TooLarge,
    /// Not one JSON object with members of the right types.
    #[error("the provider's document is not a discovery document")]
    Malformed,
    /// It speaks for somebody else.
    #[error("the provider calls itself \"{received}\", the settings say \"{expected}\"")]
    Issuer {
        /// As the settings say.
        expected: String,
        /// As the document says.
        received: String,
    },
    /// A member is missing.
    #[error("the provider's document has no {0}")]
    Missing(&'static str),
    /// An address that nobody should be sent to.
    #[error("the provider's {member} is neither https nor http on this computer: {url}")]
    Endpoint {
        /// Which.
        member: &'static str,
        /// What it is.
        url: String,
    },
    /// It has no authorization code flow, or no PKCE as we do it.
    #[error("the provider does not support {0}")]
    Unsupported(&'static str),
}

/// Where the document of `issuer` is.
///
/// spec: OIDCD#4.1: "by concatenating the string /.well-known/openid-configuration to the Issuer", without a slash at its
/// end.
pub fn document_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
}

/// Reads a provider's document.
pub fn parse(bytes: &[u8], expected: &IssuerRule) -> Result<ProviderMetadata, DiscoveryError> {
    if bytes.len() > MAX_BYTES {
        return Err(DiscoveryError::TooLarge);
    }
    let members = json::object(bytes).ok_or(DiscoveryError::Malformed)?;
    let supports = |name: &str, value: &str| lists(&members, name).is_none_or(|all| all.contains(&value));
    if !supports("response_types_supported", "code") {
        return Err(DiscoveryError::Unsupported("the authorization code flow"));
    }
    // spec: AS-142: a list without S256 says that it is not there; no list says nothing.
    if !supports("code_challenge_methods_supported", pkce::METHOD) {
        return Err(DiscoveryError::Unsupported("PKCE with S256"));
    }
    let metadata: ProviderMetadata =
        serde_json::from_value(Value::Object(members)).map_err(|_| DiscoveryError::Malformed)?;
    // spec: T-17, OIDCD#4.3: "MUST be identical to the Issuer URL that was used as the prefix".
    if metadata.issuer != expected.expected() {
        let received = portcullis_base::printable(&metadata.issuer, 200);
        return Err(DiscoveryError::Issuer { expected: expected.expected().to_owned(), received });
    }
    metadata.check()?;
    Ok(metadata)
}

impl ProviderMetadata {
    /// Whether it says which of its people may use us at somebody else's authorization server, without asking them.
    ///
    /// spec: UP-83.
    pub fn gives_id_jag(&self) -> bool {
        let kinds = self.identity_chaining_requested_token_types_supported.as_ref();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == ID_JAG))
    }

    fn check(&self) -> Result<(), DiscoveryError> {
        let required = [
            ("authorization_endpoint", &self.authorization_endpoint),
            ("token_endpoint", &self.token_endpoint),
            ("jwks_uri", &self.jwks_uri),
        ];
        let optional = [
            ("userinfo_endpoint", &self.userinfo_endpoint),
            ("end_session_endpoint", &self.end_session_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
            ("introspection_endpoint", &self.introspection_endpoint),
        ];
        if let Some((member, _)) = required.iter().find(|(_, url)| url.is_empty()) {
            return Err(DiscoveryError::Missing(member));
        }
        let optional = optional.iter().filter_map(|(member, url)| url.as_ref().map(|url| (*member, url)));
        for (member, url) in required.into_iter().chain(optional) {
            if !Reach::Loopback.admits(url) {
                return Err(DiscoveryError::Endpoint { member, url: portcullis_base::printable(url, 200) });
            }
        }
        Ok(())
    }
}

fn lists<'m>(members: &'m Map<String, Value>, name: &str) -> Option<Vec<&'m str>> {
    let all = members.get(name)?.as_array()?;
    Some(all.iter().filter_map(Value::as_str).collect())
}
