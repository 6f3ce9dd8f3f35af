//! Passkeys: the relying party's half of Web Authentication (Level 3), as far as a gateway needs it.
//!
//! Promises: a registration or an assertion is taken only for our own origin and name, for the challenge that was set, by
//! a present user, whom the authenticator has made sure of if that is wanted; a signature is of the key that was
//! registered; a counter that does not grow tells of a copy. ES256, EdDSA and RS256, which is what authenticators have.
//!
//! Deliberately absent: attestation. Which make an authenticator is does not matter here, so none is asked for, and what
//! is sent of it is not looked at. No clock and no randomness: challenges are the caller's, and so is using them once.

mod authenticator;
mod ceremony;
mod client_data;
mod key;
mod options;

pub use ceremony::{Asserted, AssertionAnswer, Passkey, RegistrationAnswer, RelyingParty, UserVerification};
pub use key::KeyError;
pub use options::{Known, User};

/// Why a passkey is not taken. The texts are for whoever sits before the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebauthnError {
    /// It is not what a browser sends.
    #[error("this is no answer of a browser: {0}")]
    Unreadable(&'static str),
    /// It is an answer to something else.
    #[error("the answer is to another question: load the page again")]
    OtherChallenge,
    /// It was given on another page.
    #[error("the answer was given on another site")]
    OtherOrigin,
    /// It is for another site.
    #[error("the passkey is for another site")]
    OtherParty,
    /// It was registered where an assertion was wanted, or the other way round.
    #[error("the answer is of another kind")]
    OtherKind,
    /// It is another passkey than the one that it says it is.
    #[error("the answer is of another passkey")]
    OtherPasskey,
    /// Nobody touched it.
    #[error("the passkey was not touched")]
    NotPresent,
    /// It did not make sure of its user.
    #[error("the passkey did not check who uses it: set a PIN, a fingerprint or a face for it")]
    NotVerified,
    /// Its key is of no use.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// It has signed less often than before.
    #[error("the passkey has signed less often than it did: there is a copy of it; remove it")]
    Copied,
}
