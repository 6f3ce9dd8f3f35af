//! What happened, as a line that can be proved: events, their hash chain, and what of a call's arguments is kept.
//!
//! Promises: a line is compact JSON on one line whatever a client, server or model put into it; encoding costs about a
//! microsecond; [`verify`] needs the lines and a public key, nothing else, and names the first place that does not hold.
//! Deliberately absent: files, clocks, tasks. The gateway's journal writes, the store keeps an index, both through here.

mod chain;
mod decided;
mod event;
pub mod format;
mod json;
mod line;
mod redact;
mod row;
mod seal;
mod secret;
mod sign;
mod statement;
mod verify;
mod witness;

pub use chain::{Chain, Head};
pub use decided::{Decided, Left};
pub use event::{Actor, Correlation, Decision, Event, Kind, Outcome, Target, Value};
pub use redact::{Keep, Kept, digest_text, keep};
pub use row::{IndexRow, RowError};
pub use seal::{Manifest, Packed};
pub use sign::{PublicKey, PublicKeys, PublicKeysError, Signer};
pub use statement::StatementError;
pub use verify::{End, Fault, FaultKind, Part, Report, Verifier, read_line, verify, verify_parts};
pub use witness::{Heads, witnessed};
