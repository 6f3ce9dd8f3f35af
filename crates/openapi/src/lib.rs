//! OpenAPI documents as tools: what an operation is called, what it takes, and which request its arguments make.
//!
//! Promises: everything here is a pure function over text; no reference is ever fetched. What is read is bounded
//! ([`Limits`]). An argument stays where the document puts it: none reaches another segment of a path, another parameter,
//! another header or another part of a body. An operation that cannot be offered faithfully is left out, and
//! [`Problem`] says where in the document that is decided and what to do about it.
//!
//! Deliberately absent: sockets, files, clocks, credentials. What a document says of credentials is reported
//! ([`Scheme`]) and never becomes an argument.

mod answer;
mod api;
mod body;
mod check;
mod document;
mod encode;
mod name;
mod operation;
mod parameter;
mod path;
mod request;
mod schema;
mod security;
mod server;

pub use answer::{Answer, answered, failed};
pub use api::{Api, Choices, Outputs};
pub use check::Refused;
pub use document::{Limits, Problem};
pub use name::is_name;
pub use operation::{Class, Tool};
pub use request::{Outgoing, Payload};
pub use security::{Kind, Place, Scheme};
