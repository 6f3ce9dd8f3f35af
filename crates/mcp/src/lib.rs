//! The wire of the Model Context Protocol: what the bytes of a message are, and whether its headers agree with them.
//!
//! Promises: everything here is a pure function over bytes or text. A body is checked strictly and completely before
//! anything is read from it ([`scan`]), so a reader behind us cannot see another message than we did; what nobody needs
//! to look at (arguments, results) is never decoded, only found. Memory is bounded by limits that the caller gives.
//!
//! Deliberately absent: sockets, tasks, clocks, any HTTP library, and the meaning of tools.

pub mod dialect;
mod error;
pub mod headers;
mod id;
pub mod message;
pub mod method;
pub mod object;
pub mod ranking;
pub mod scan;
pub mod sse;
pub mod tool;
pub mod trace;
pub mod version;

pub use headers::{Class, Headers};
pub use message::{Body, Call, Id, Message, OwnedId, ProtocolError};
pub use method::Method;
pub use version::{Era, Version};
