//! Authorization servers: which one, where its metadata is, and what of it is believed (RFC 8414, OpenID Connect Discovery).

use portcullis_base::printable;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    client::AuthMethod,
    endpoint::{Reach, same_site},
    json,
    metadata::{ID_JAG_PROFILE, server_metadata_urls},
    pkce,
    relying::callback::IssPolicy,
};

/// The longest document that is read.
pub const MAX_BYTES: usize = 64 * 1024;

/// Providers known to have endpoints on other sites than their issuer: issuer, hosts.
///
/// spec: T-18: "a built-in table: Google's issuer and token hosts differ".
const KNOWN_ENDPOINTS: [(&str, &[&str]); 1] =
    [("https://accounts.google.com", &["oauth2.googleapis.com", "www.googleapis.com", "openidconnect.googleapis.com"])];

/// By what an authorization server is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// The server's address.
    pub url: &'a str,
    /// The issuer that the settings of the server name.
    pub pinned: Option<&'a str>,
    /// The issuer that this server's connections are with already.
    pub in_use: Option<&'a str>,
    /// Issuers that an administrator named for servers of other sites.
    pub allowed: &'a [String],
}

/// No authorization server may be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// None is named anywhere.
    #[error("the server names no authorization server, and the settings name no issuer")]
    None,
    /// Those it names belong to somebody else, as far as we know.
    #[error("the server sends people to {}, which is not on its own site", .0.join(" or "))]
    Foreign(Vec<String>),
}

/// What an authorization server's document must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its name: the one its address was built from, or the one the settings pin.
    pub issuer: &'a str,
    /// Hosts besides the issuer's site on which its endpoints may be: an administrator named them.
    pub hosts: &'a [String],
    /// What is to be known about PKCE.
    pub pkce: Pkce,
    /// How far its addresses may lead.
    pub reach: Reach,
}

/// What is to be known about PKCE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pkce {
    /// The document must list S256.
    Listed,
    /// It may say nothing: an administrator knows.
    Assumed,
    /// No person is sent there, so that there is no code: neither PKCE nor an authorization endpoint is needed.
    Unused,
}

/// What we need of an authorization server's metadata, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerMetadata {
    /// Its name.
    pub issuer: String,
    /// Where people are sent; there unless [`Pkce::Unused`].
    pub authorization_endpoint: Option<String>,
    /// Where codes and the like become tokens.
    pub token_endpoint: String,
    /// Where clients register.
    pub registration_endpoint: Option<String>,
    /// Where tokens are given up.
    pub revocation_endpoint: Option<String>,
    /// Its public keys.
    pub jwks_uri: Option<String>,
    /// Which scopes it has.
    pub scopes_supported: Option<Vec<String>>,
    /// What it answers people with.
    pub response_types_supported: Option<Vec<String>>,
    /// What it gives tokens for.
    pub grant_types_supported: Option<Vec<String>>,
    /// Profiles of these.
    pub authorization_grant_profiles_supported: Option<Vec<String>>,
    /// How clients may prove who they are at the token endpoint.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// How they may sign, if they do.
    pub token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    /// Which PKCE methods it has.
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// Whether each of its answers in the browser carries `iss` (RFC 9207).
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether a client may be named by the URL of its metadata document.
    pub client_id_metadata_document_supported: bool,
}

/// Why an authorization server's document is not used; the text is for the administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// More than [`MAX_BYTES`].
    #[error("the authorization server's metadata is larger than 64 KiB")]
    TooLarge,
    /// Not one JSON object with members of the right types.
    #[error("the authorization server's metadata is not a metadata document")]
    Malformed,
    /// It speaks for somebody else.
    #[error("the authorization server calls itself \"{received}\" and was expected to be \"{expected}\"")]
    Issuer {
        /// Who was expected.
        expected: String,
        /// As the document says, printable.
        received: String,
    },
    /// A member is missing.
    #[error("the authorization server's metadata has no {0}")]
    Missing(&'static str),
    /// An address that nobody and nothing should be sent to.
    #[error("the authorization server's {member} is not a plain https address: {url}")]
    Endpoint {
        /// Which.
        member: &'static str,
        /// What it is, printable.
        url: String,
    },
    /// An address of somebody else, as far as we know.
    #[error(
        "the authorization server's {member} is on another site than its issuer: {url}; list the host under endpoints if that is right"
    )]
    CrossSite {
        /// Which.
        member: &'static str,
        /// What it is, printable.
        url: String,
    },
    /// It does not say that it has S256.
    #[error("the authorization server does not list S256 in code_challenge_methods_supported")]
    Pkce,
    /// It has no authorization code flow.
    #[error("the authorization server does not support {0}")]
    Unsupported(&'static str),
}

/// The issuer to go to of those that the server's metadata lists.
///
/// spec: UP-4: "an issuer pinned for this upstream wins, then one already in use, then the first permitted by the
/// administrator's allow list".
pub fn choose_issuer(listed: &[String], choice: &Choice<'_>) -> Result<String, ChoiceError> {
    if let Some(pinned) = choice.pinned {
        return Ok(pinned.to_owned());
    }
    // spec: T-18: "issuer must belong to the catalogued server; otherwise admin approval".
    let permitted = |issuer: &&String| choice.allowed.contains(issuer) || same_site(issuer, choice.url);
    let in_use = listed.iter().filter(permitted).find(|issuer| choice.in_use == Some(issuer));
    match in_use.or_else(|| listed.iter().find(permitted)) {
        Some(issuer) => Ok(issuer.clone()),
        None if listed.is_empty() => Err(ChoiceError::None),
        None => Err(ChoiceError::Foreign(listed.iter().map(|issuer| printable(issuer, 200)).collect())),
    }
}

/// Where the metadata of `issuer` may be, in the order in which to look.
///
/// spec: UP-5, UP-6, RFC8414#3.1: an issuer with a path is never looked for at the root, where another one would be.
pub fn lookup(issuer: &str) -> Vec<String> {
    server_metadata_urls(issuer.strip_suffix('/').unwrap_or(issuer))
}

/// Reads an authorization server's document.
pub fn parse(bytes: &[u8], expected: &Expected<'_>) -> Result<ServerMetadata, ServerError> {
    if bytes.len() > MAX_BYTES {
        return Err(ServerError::TooLarge);
    }
    let members = json::object(bytes).ok_or(ServerError::Malformed)?;
    let metadata: ServerMetadata =
        serde_json::from_value(Value::Object(members)).map_err(|_| ServerError::Malformed)?;
    // spec: UP-7, UP-8, T-17, RFC8414#3.3: "MUST be identical to the authorization server's issuer identifier value into
    // which the well-known URI string was inserted".
    if metadata.issuer != expected.issuer {
        let received = printable(&metadata.issuer, 200);
        return Err(ServerError::Issuer { expected: expected.issuer.to_owned(), received });
    }
    metadata.check(expected)?;
    Ok(metadata)
}

/// An authorization server without metadata, as there were in 2025-03-26. Only for servers marked so.
///
/// spec: UP-11: "use the default paths `/authorize`, `/token`, `/register`".
pub fn legacy(origin: &str) -> ServerMetadata {
    let origin = origin.strip_suffix('/').unwrap_or(origin);
    ServerMetadata {
        issuer: origin.to_owned(),
        authorization_endpoint: Some(format!("{origin}/authorize")),
        token_endpoint: format!("{origin}/token"),
        registration_endpoint: Some(format!("{origin}/register")),
        ..ServerMetadata::default()
    }
}

impl ServerMetadata {
    /// How its answers in the browser are held against it.
    ///
    /// spec: UP-34.
    pub const fn iss_policy(&self) -> IssPolicy {
        if self.authorization_response_iss_parameter_supported { IssPolicy::Required } else { IssPolicy::IfPresent }
    }

    /// Whether it takes assertions of an identity provider about which client a person may use.
    ///
    /// spec: UP-83.
    pub fn takes_id_jag(&self) -> bool {
        lists(self.authorization_grant_profiles_supported.as_deref(), ID_JAG_PROFILE)
    }

    /// Whether a client may prove who it is in this way. Who says nothing takes a secret in the header.
    ///
    /// spec: RFC8414#2: "If omitted, the default is "client_secret_basic"".
    pub fn takes(&self, method: AuthMethod) -> bool {
        match &self.token_endpoint_auth_methods_supported {
            Some(all) => lists(Some(all), method.as_str()),
            None => method == AuthMethod::ClientSecretBasic,
        }
    }

    /// Its addresses by their names: those that are used, or would be. Others are not read, so that a provider which has
    /// them on another site (Entra's `userinfo_endpoint`) needs no exception.
    pub fn endpoints(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let token = Some(&self.token_endpoint).filter(|url| !url.is_empty());
        [
            ("authorization_endpoint", self.authorization_endpoint.as_ref()),
            ("token_endpoint", token),
            ("registration_endpoint", self.registration_endpoint.as_ref()),
            ("revocation_endpoint", self.revocation_endpoint.as_ref()),
            ("jwks_uri", self.jwks_uri.as_ref()),
        ]
        .into_iter()
        .filter_map(|(member, url)| url.map(|url| (member, url.as_str())))
    }

    fn check(&self, expected: &Expected<'_>) -> Result<(), ServerError> {
        if self.token_endpoint.is_empty() {
            return Err(ServerError::Missing("token_endpoint"));
        }
        if expected.pkce != Pkce::Unused {
            self.check_code_flow(expected.pkce)?;
        }
        for (member, url) in self.endpoints() {
            // spec: UP-10.
            if !expected.reach.admits(url) {
                return Err(ServerError::Endpoint { member, url: printable(url, 200) });
            }
            // spec: T-18: also where people are sent. A stranger who names the page of somebody else, and collects the code
            // at his own site, is the attack itself.
            if !belongs(url, expected) {
                return Err(ServerError::CrossSite { member, url: printable(url, 200) });
            }
        }
        Ok(())
    }

    fn check_code_flow(&self, pkce: Pkce) -> Result<(), ServerError> {
        if self.authorization_endpoint.is_none() {
            return Err(ServerError::Missing("authorization_endpoint"));
        }
        if self.response_types_supported.as_ref().is_some_and(|all| !lists(Some(all), "code")) {
            return Err(ServerError::Unsupported("the authorization code flow"));
        }
        if self.grant_types_supported.as_ref().is_some_and(|all| !lists(Some(all), "authorization_code")) {
            return Err(ServerError::Unsupported("the authorization code grant"));
        }
        // spec: UP-9: a list that is there and lacks it is not overridden.
        match &self.code_challenge_methods_supported {
            Some(all) if lists(Some(all), pkce::METHOD) => Ok(()),
            None if pkce == Pkce::Assumed => Ok(()),
            _ => Err(ServerError::Pkce),
        }
    }
}

fn belongs(url: &str, expected: &Expected<'_>) -> bool {
    if same_site(url, expected.issuer) {
        return true;
    }
    let Some(host) = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)) else { return false };
    let known = KNOWN_ENDPOINTS.iter().filter(|(issuer, _)| *issuer == expected.issuer);
    known.flat_map(|(_, hosts)| hosts.iter()).any(|known| *known == host)
        || expected.hosts.iter().any(|named| named.eq_ignore_ascii_case(&host))
}

fn lists(all: Option<&[String]>, one: &str) -> bool {
    all.is_some_and(|all| all.iter().any(|held| held == one))
}
