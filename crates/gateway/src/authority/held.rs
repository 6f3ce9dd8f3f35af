//! What a connection is made of, in a form that can be sealed whole.

use portcullis_base::{Secret, ServerName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{client::ClientAt, plain};

/// The tokens of one account at one authorization server, and as whom and where they are renewed.
///
/// spec: UP-40
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// At which server they are used.
    pub server: ServerName,
    /// The issuer whose tokens they are, and the name under which we asked for them.
    pub client: ClientAt,
    /// For which resource; `None` where the parameter is not sent. spec: UP-31
    pub resource: Option<String>,
    /// What was granted, as far as it is known; else what was asked for.
    pub scopes: Vec<String>,
    /// Whose account it is there, for people to read.
    pub account: Option<String>,
    /// The access token.
    #[serde(with = "plain")]
    pub access: Secret,
    /// The refresh token, if there is one.
    #[serde(with = "plain::maybe", default)]
    pub refresh: Option<Secret>,
    /// When the access token ends, if that is known.
    pub expires_at: Option<Timestamp>,
    /// Where it is renewed, should the issuer's metadata not be readable.
    pub(super) token_endpoint: String,
    /// Where it is given up, should the issuer's metadata not be readable.
    pub(super) revocation_endpoint: Option<String>,
}

/// A token that was made for a person without asking them, and is made again when it is needed: it is kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The access token.
    pub access: Secret,
    /// When it ends, if that is known.
    pub expires_at: Option<Timestamp>,
    /// What was granted, as far as it is known.
    pub scopes: Vec<String>,
}

impl Held {
    /// All of it, to be sealed.
    pub fn to_sealed_text(&self) -> Secret {
        plain::written(self)
    }

    /// Reads [`to_sealed_text`](Self::to_sealed_text) back.
    pub fn from_sealed_text(opened: &Secret) -> Option<Self> {
        plain::read(opened)
    }

    /// Whose tokens they are.
    pub fn issuer(&self) -> &str {
        &self.client.issuer
    }
}
