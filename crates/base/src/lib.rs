//! Words that every Portcullis crate shares: typed identifiers, people and agents, digests, time, randomness and secrets.
//!
//! Promises: nothing here reads the real clock, the environment, a file or a socket; a [`Secret`] cannot be printed and
//! is zeroed when dropped. Deliberately absent: helpers without a home.

mod digest;
mod id;
mod random;
mod risk;
mod secret;
mod text;
mod time;

pub use digest::Digest;
pub use id::{
    AccessGrantId, AccessRequestId, ApprovalId, CallId, ClientId, ConnectionId, DelegationId, GrantId, Holder,
    PersonId, ServerName, ServerNameError, SessionId, StandingGrantId,
};
pub use random::{Rng, SeededRng, token};
pub use risk::{Class, Classes, Label, Labels};
pub use secret::Secret;
pub use text::printable;
pub use time::{Clock, ManualClock, Timestamp};
