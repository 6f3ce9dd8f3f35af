//! The law of OAuth, tried from outside: tables of what must pass and what must not, and stories of client and server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod authorize;
mod bearer;
mod client_auth;
mod consent;
mod documents;
mod keys;
mod metadata;
mod pair;
mod properties;
mod redirects;
mod registration;
mod resources;
mod story;
mod token;
mod world;
