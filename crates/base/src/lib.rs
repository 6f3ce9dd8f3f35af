//! Words that every Portcullis crate shares: typed identifiers, people and agents, digests, time, randomness and secrets.
//!
//! Promises: nothing here reads the real clock, the environment, a file or a socket; a [`Secret`] cannot be printed and
//! is zeroed when dropped. Deliberately absent: helpers without a home.

mod digest;
mod id;
mod random;
mod secret;
mod text;
mod time;

pub use digest::Digest;
pub use id::{CallId, ClientId, ConnectionId, GrantId, Holder, PersonId, ServerName, ServerNameError, SessionId};
pub use random::{Rng, SeededRng, token};
pub use secret::Secret;
pub use text::printable;
pub use time::{Clock, ManualClock, Timestamp};
