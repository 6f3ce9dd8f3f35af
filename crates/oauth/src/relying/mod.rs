//! The other side of the table: we as the client of an identity provider (OpenID Connect).
//!
//! Deliberately absent: the implicit and hybrid flows, encrypted ID tokens, symmetric signatures, and any claim that could
//! take the place of issuer and subject.

pub mod callback;
pub mod discovery;
mod hush;
pub mod id_token;
pub mod issuer;
pub mod logout_token;
pub mod profile;
pub mod request;
pub mod token;
