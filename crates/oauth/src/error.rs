//! The registered error codes, one enum per endpoint family, each with the text that may be told to a caller.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// Errors that may stand in a redirect to the client.
///
/// spec: AS-42, RFC6749#4.1.2.1, RFC8707#2: these and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizeCode {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// The client may not use this flow.
    UnauthorizedClient,
    /// The person or the gateway said no.
    AccessDenied,
    /// Something other than `code` was asked for.
    UnsupportedResponseType,
    /// A scope is unknown at this endpoint.
    InvalidScope,
    /// The resource is not one of ours, or is missing.
    InvalidTarget,
    /// We failed.
    ServerError,
    /// We cannot answer just now.
    TemporarilyUnavailable,
}

impl AuthorizeCode {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::InvalidRequest,
        Self::UnauthorizedClient,
        Self::AccessDenied,
        Self::UnsupportedResponseType,
        Self::InvalidScope,
        Self::InvalidTarget,
        Self::ServerError,
        Self::TemporarilyUnavailable,
    ];

    /// The registered value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

impl fmt::Display for AuthorizeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Errors of the token, revocation and introspection endpoints (RFC 6749 §5.2, RFC 8707 §2, RFC 7009 §2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenErrorCode {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// Client authentication failed.
    InvalidClient,
    /// The code or refresh token is wrong, spent, expired, revoked or somebody else's.
    InvalidGrant,
    /// The client is not registered for this grant type.
    UnauthorizedClient,
    /// We do not have this grant type.
    UnsupportedGrantType,
    /// More scope than was granted.
    InvalidScope,
    /// Another resource than was granted.
    InvalidTarget,
    /// Too many attempts, or we cannot answer just now.
    TemporarilyUnavailable,
}

impl TokenErrorCode {
    /// The registered value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// A refusal of the token endpoint and its siblings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", .code.as_str())]
pub struct TokenError {
    /// The registered code.
    pub code: TokenErrorCode,
    /// What the caller may read.
    pub description: Cow<'static, str>,
    /// Whether the `Authorization` header was used, so that the answer must carry a challenge.
    pub header_used: bool,
}

impl TokenError {
    /// A refusal with its public text.
    pub fn new(code: TokenErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        Self { code, description: description.into(), header_used: false }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self.code {
            // spec: AS-62, RFC6749#5.2: "The authorization server MAY return an HTTP 401 (Unauthorized) status code".
            TokenErrorCode::InvalidClient => 401,
            TokenErrorCode::TemporarilyUnavailable => 503,
            // spec: AS-71: 400 unless stated otherwise.
            _ => 400,
        }
    }

    /// The `WWW-Authenticate` value the answer needs, if any.
    ///
    /// spec: AS-62, RFC6749#5.2: "If the client attempted to authenticate via the "Authorization" request header field,
    /// the authorization server MUST respond with an HTTP 401 [...] and include the "WWW-Authenticate"".
    pub const fn challenge(&self) -> Option<&'static str> {
        match self.code {
            TokenErrorCode::InvalidClient if self.header_used => Some("Basic realm=\"portcullis\""),
            _ => None,
        }
    }

    /// The JSON body.
    pub fn body(&self) -> String {
        body(self.code.as_str(), &self.description)
    }
}

/// Errors of the registration endpoint (RFC 7591 §3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationErrorCode {
    /// A redirect URI is not acceptable.
    InvalidRedirectUri,
    /// Another member is not acceptable.
    InvalidClientMetadata,
}

/// A refusal of a registration or of a client metadata document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", .code.as_str())]
pub struct RegistrationError {
    /// The registered code.
    pub code: RegistrationErrorCode,
    /// What the caller may read.
    pub description: Cow<'static, str>,
}

impl RegistrationErrorCode {
    /// The registered value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
        }
    }
}

impl RegistrationError {
    /// A redirect URI that we do not take.
    pub fn redirect(description: impl Into<Cow<'static, str>>) -> Self {
        Self { code: RegistrationErrorCode::InvalidRedirectUri, description: description.into() }
    }

    /// Another member that we do not take.
    pub fn metadata(description: impl Into<Cow<'static, str>>) -> Self {
        Self { code: RegistrationErrorCode::InvalidClientMetadata, description: description.into() }
    }

    /// The JSON body; the status is 400.
    ///
    /// spec: AS-120.
    pub fn body(&self) -> String {
        body(self.code.as_str(), &self.description)
    }
}

fn body(code: &str, description: &str) -> String {
    // spec: RFC6749#5.2: "error_description" keeps to %x20-21 / %x23-5B / %x5D-7E.
    let description: String =
        description.chars().map(|c| if matches!(c, ' ' | '!' | '#'..='[' | ']'..='~') { c } else { '\'' }).collect();
    serde_json::json!({ "error": code, "error_description": description }).to_string()
}
