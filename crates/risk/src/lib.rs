//! What a tool may do, told from its definition.
//!
//! Promises: a pure function of what it is given: no model, no network, no clock; the same definition is judged the same
//! everywhere. Whatever a definition holds, judging it takes bounded time. Every class and label names what it was seen
//! by. What a server says of itself makes matters graver; it makes them milder only where somebody has looked at that very
//! definition.
//!
//! Deliberately absent: what follows from a class (rules and approvals), and what a tool does when it is called.

mod classify;
mod evidence;
mod fields;
mod hints;
mod name;
mod schema;
mod server;
mod stakes;
mod tables;
mod text;
mod usage;
mod words;

pub use classify::{Assessment, Override, Tool, classify};
pub use evidence::{Evidence, Finding, Flaw, Rule, Severity};
pub use hints::{Hints, hints};
pub use server::{Profile, Server, Source};
pub use stakes::Stake;
pub use usage::{Ruled, Usage};
