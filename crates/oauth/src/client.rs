//! Clients and what they said about themselves (RFC 7591 §2).

use portcullis_base::{ClientId, Digest, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    redirect,
    scope::{OFFLINE_ACCESS, Scopes},
};

/// A client that may ask for authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its identifier; the URL of its document for [`ClientKind::Document`].
    pub id: ClientId,
    /// How we know it.
    pub kind: ClientKind,
    /// What it said about itself, checked.
    pub metadata: ClientMetadata,
    /// Digest of its secret, for those that have one.
    pub secret: Option<Digest>,
    /// When we first met it.
    pub created_at: Timestamp,
    /// Digest over the members a consent depends on; see [`ClientMetadata::consent_digest`].
    pub document_hash: Digest,
}

impl Client {
    /// A client from checked metadata.
    pub fn new(
        id: ClientId,
        kind: ClientKind,
        metadata: ClientMetadata,
        secret: Option<Digest>,
        created_at: Timestamp,
    ) -> Self {
        let document_hash = metadata.consent_digest();
        Self { id, kind, metadata, secret, created_at, document_hash }
    }

    /// Whether a grant with these scopes comes with a refresh token.
    ///
    /// spec: AS-84: only to clients whose metadata lists the grant, or that ask for `offline_access`.
    pub fn may_refresh(&self, scopes: &Scopes) -> bool {
        self.metadata.grant_types.contains(&GrantType::RefreshToken) || scopes.contains(OFFLINE_ACCESS)
    }
}

/// How a client became known. Kept for trust decisions and for the page that shows it (AS-101).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// An administrator wrote it into the settings.
    Configured,
    /// It registered itself (RFC 7591).
    Registered,
    /// Its identifier is the URL of its metadata document.
    Document,
    /// It is a service account, made by an administrator.
    Service,
}

impl ClientKind {
    /// The text for storage and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Registered => "registered",
            Self::Document => "document",
            Self::Service => "service",
        }
    }

    /// Reads [`ClientKind::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Configured, Self::Registered, Self::Document, Self::Service];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How a client proves who it is at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// It does not: a public client.
    None,
    /// Secret in the `Authorization` header.
    ClientSecretBasic,
    /// Secret in the form.
    ClientSecretPost,
    /// A JWT signed with its own key.
    PrivateKeyJwt,
}

impl AuthMethod {
    /// The registered value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// Whether it needs a secret that both sides know.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// The grant types we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// `authorization_code`.
    AuthorizationCode,
    /// `refresh_token`.
    RefreshToken,
    /// `client_credentials`.
    ClientCredentials,
    /// An assertion of somebody we trust (RFC 7523).
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
}

/// The one response type we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseType {
    /// `code`.
    Code,
}

/// What kind of program it is (OpenID Connect Registration §2, used by MCP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationType {
    /// Runs on a web server.
    Web,
    /// Runs on a person's computer.
    Native,
}

/// Checked client metadata. Its JSON form is what is stored and what registration echoes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMetadata {
    /// The name it gives itself: never shown as verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// Which grants it uses.
    pub grant_types: Vec<GrantType>,
    /// Always `code`.
    pub response_types: Vec<ResponseType>,
    /// Scopes it says it will ask for; informative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scopes>,
    /// How it authenticates.
    pub token_endpoint_auth_method: AuthMethod,
    /// What kind of program it is, if it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_type: Option<ApplicationType>,
    /// Its public keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Where its public keys are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Its home page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    /// Its picture; never linked from our pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    /// Its privacy policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    /// Its terms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
    /// Whom to ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// Which software it is an instance of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    /// In which version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
}

impl ClientMetadata {
    /// Digest over the members a consent depends on: when it changes, people are asked again.
    ///
    /// spec: AS-116, T-25.
    pub fn consent_digest(&self) -> Digest {
        let mut redirect_uris: Vec<&str> = self.redirect_uris.iter().map(String::as_str).collect();
        redirect_uris.sort_unstable();
        let relevant = serde_json::json!([
            redirect_uris,
            self.jwks,
            self.jwks_uri,
            self.token_endpoint_auth_method.as_str(),
            self.client_name,
            self.logo_uri,
        ]);
        Digest::of(relevant.to_string().as_bytes())
    }

    /// A public client with these redirect URIs, as an administrator or a test writes it down.
    pub fn public(redirect_uris: Vec<String>) -> Self {
        Self {
            client_name: None,
            redirect_uris,
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            response_types: vec![ResponseType::Code],
            scope: None,
            token_endpoint_auth_method: AuthMethod::None,
            application_type: None,
            jwks: None,
            jwks_uri: None,
            client_uri: None,
            logo_uri: None,
            policy_uri: None,
            tos_uri: None,
            contacts: Vec::new(),
            software_id: None,
            software_version: None,
        }
    }

    /// Whether a code may be sent to `presented`; see [`redirect::matches`].
    pub fn redirect_matches(&self, presented: &str) -> bool {
        self.redirect_uris.iter().any(|registered| redirect::matches(registered, presented))
    }

    /// Whether every redirect URI leads to this person's own computer, where any program could listen (AS-138, T-12).
    pub fn is_loopback_only(&self) -> bool {
        self.redirect_uris.iter().all(|uri| redirect::is_loopback(uri))
    }
}
