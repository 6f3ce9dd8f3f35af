//! We as the client of an upstream's authorization server: what a server's refusal, its documents and its answers mean, and
//! which requests follow.
//!
//! An upstream is a stranger, also when an administrator chose it: everything here is read as if it wished to be sent
//! somebody else's codes, tokens or people. Its callback is read as that of a provider is, see
//! [`callback`](crate::relying::callback), with [`ServerMetadata::iss_policy`](server::ServerMetadata::iss_policy).
//!
//! Deliberately absent: tokens from an authorization response, clients without PKCE, requests to an address that only the
//! upstream vouches for, and dynamic registration with software statements.

pub mod account;
pub mod challenge;
pub mod client;
pub mod document;
pub mod registration;
pub mod request;
pub mod resource;
pub mod scopes;
pub mod server;
pub mod token;

use std::fmt::Write;

use portcullis_base::Digest;

pub use crate::endpoint::{Reach, same_origin, same_site};

/// A short name for an issuer that fits in a path, so that every authorization server has a callback of its own.
///
/// spec: UP-27, T-17: an answer that arrives at the callback of another issuer is not an answer.
pub fn issuer_id(issuer: &str) -> String {
    let digest = Digest::of(issuer.as_bytes());
    digest.as_bytes()[..8].iter().fold(String::new(), |mut name, byte| {
        write!(name, "{byte:02x}").expect("writing to a String cannot fail");
        name
    })
}
