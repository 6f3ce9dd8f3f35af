//! The doors of the gateway, as browsers and clients meet them: stories over the real router, a SQLite file, a clock that
//! stands still and reproducible randomness.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod access;
mod approvals;
mod assertion;
mod authorize;
mod consent;
mod documents;
mod examined;
mod flow;
mod home;
mod hooks;
mod house;
mod listener;
mod metadata;
mod passkeys;
mod providers;
mod publisher;
mod record;
mod register;
mod renewal;
mod revoke;
mod sign_in;
mod token;
mod upstreams;
mod vouching;
