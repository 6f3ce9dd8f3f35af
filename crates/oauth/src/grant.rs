//! A grant: one person's consent for one client at one endpoint, and the credentials that stand for it.

use portcullis_base::{ClientId, Digest, GrantId, PersonId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{pkce::Challenge, scope::Scopes};

/// What a person allowed a client to do at one endpoint. Every token belongs to exactly one grant and dies with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its name; also the `gid` claim of its access tokens.
    pub id: GrantId,
    /// Who consented.
    pub person: PersonId,
    /// For which client.
    pub client: ClientId,
    /// At which endpoint: the only audience its tokens can have.
    pub resource: String,
    /// What was granted, `offline_access` included when it was asked for.
    pub scopes: Scopes,
    /// Where the code was sent.
    pub redirect_uri: String,
    /// When.
    pub created_at: Timestamp,
    /// The absolute end, however often it is refreshed.
    pub expires_at: Timestamp,
    /// When the person last proved who they are, if that is known.
    pub authenticated_at: Option<Timestamp>,
    /// How surely, in the words of who asked them.
    pub acr: Option<String>,
    /// The browser session in which it was approved: its public name, not the cookie.
    pub session: Option<String>,
    /// Set when it ended early.
    pub revoked: Option<Revoked>,
}

impl Grant {
    /// Whether tokens of this grant are still good.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && now < self.expires_at
    }
}

/// That and why a grant ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: RevokedWhy,
}

/// Why a grant ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedWhy {
    /// Its code was redeemed twice.
    CodeReplayed,
    /// A refresh token that was already replaced came back.
    RefreshReplayed,
    /// The client gave it up (RFC 7009).
    Client,
    /// The person took it back.
    Person,
    /// An administrator ended it.
    Administrator,
    /// The person may no longer sign in.
    PersonDisabled,
    /// The client is gone.
    ClientRemoved,
    /// The server is gone.
    ServerRemoved,
    /// The person left, and everything of theirs was ended.
    Offboarded,
    /// The identity provider said that the person signed out.
    SignedOutAtProvider,
    /// The identity provider no longer vouches for the person.
    IdentityEnded,
    /// The browser session it was approved in was ended.
    SessionEnded,
    /// The access key it stood for was taken back.
    AccessKeyRevoked,
    /// An older copy of the database took the place of the newest, and nobody knows whether it had ended since.
    Restored,
}

impl RevokedWhy {
    const ALL: [Self; 14] = [
        Self::CodeReplayed,
        Self::RefreshReplayed,
        Self::Client,
        Self::Person,
        Self::Administrator,
        Self::PersonDisabled,
        Self::ClientRemoved,
        Self::ServerRemoved,
        Self::Offboarded,
        Self::SignedOutAtProvider,
        Self::IdentityEnded,
        Self::SessionEnded,
        Self::AccessKeyRevoked,
        Self::Restored,
    ];

    /// The text for storage and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CodeReplayed => "code_replayed",
            Self::RefreshReplayed => "refresh_replayed",
            Self::Client => "client",
            Self::Person => "person",
            Self::Administrator => "administrator",
            Self::PersonDisabled => "person_disabled",
            Self::ClientRemoved => "client_removed",
            Self::ServerRemoved => "server_removed",
            Self::Offboarded => "offboarded",
            Self::SignedOutAtProvider => "signed_out_at_provider",
            Self::IdentityEnded => "identity_ended",
            Self::SessionEnded => "session_ended",
            Self::AccessKeyRevoked => "access_key_revoked",
            Self::Restored => "restored",
        }
    }

    /// Reads [`RevokedWhy::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == text)
    }
}

/// An authorization code as it is stored. User, client, redirect URI, scopes and resource are those of its grant.
///
/// There is no code without a challenge: the type cannot hold one (T-10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Digest of the code; the code itself is never stored.
    pub hash: Digest,
    /// What it stands for.
    pub grant: GrantId,
    /// What its redeemer must prove.
    pub challenge: Challenge,
    /// At most 60 seconds after it was made.
    pub expires_at: Timestamp,
    /// Set by the first redemption.
    pub redeemed_at: Option<Timestamp>,
}

/// A refresh token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Digest of the token; the token itself is never stored.
    pub hash: Digest,
    /// What it stands for.
    pub grant: GrantId,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it dies if it is not used.
    pub expires_at: Timestamp,
    /// Set when it was rotated away.
    pub replaced_at: Option<Timestamp>,
    /// Digest of the token that took its place.
    pub successor: Option<Digest>,
    /// Whether that one was itself presented already.
    pub successor_used: bool,
}
