//! Proof Key for Code Exchange (RFC 7636), `S256` only.

use portcullis_base::Digest;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// The one method we take.
pub const METHOD: &str = "S256";

/// A checked `code_challenge`: what the client that redeems a code must know the preimage of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Challenge(String);

/// A text that is no challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("code_challenge is not 43 to 128 unreserved characters")]
pub struct ChallengeError;

impl Challenge {
    /// Checks a `code_challenge`.
    pub fn parse(text: &str) -> Result<Self, ChallengeError> {
        // spec: AS-32, RFC7636#4.2: `code-challenge = 43*128unreserved`.
        if is_well_formed(text) { Ok(Self(text.to_owned())) } else { Err(ChallengeError) }
    }

    /// The challenge as it was sent and is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `verifier` is well formed and is the preimage of this challenge.
    pub fn is_met_by(&self, verifier: &str) -> bool {
        // spec: RFC7636#4.1, T-10: `code-verifier = 43*128unreserved`.
        // spec: RFC7636#4.6: "BASE64URL-ENCODE(SHA256(ASCII(code_verifier))) == code_challenge", in constant time.
        let derived = Digest::of(verifier.as_bytes()).to_base64url();
        is_well_formed(verifier) && bool::from(derived.as_bytes().ct_eq(self.0.as_bytes()))
    }
}

impl TryFrom<String> for Challenge {
    type Error = ChallengeError;
    fn try_from(text: String) -> Result<Self, ChallengeError> {
        Self::parse(&text)
    }
}

impl From<Challenge> for String {
    fn from(challenge: Challenge) -> Self {
        challenge.0
    }
}

fn is_well_formed(text: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}
