//! The law of OAuth, tried from outside: tables of what must pass and what must not, and stories of client and server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod assertions;
mod authorize;
mod bearer;
mod client_auth;
mod consent;
mod documents;
mod external;
mod foreign;
mod id_token;
mod keys;
mod logout_token;
mod machine;
mod metadata;
mod pair;
mod profile;
mod properties;
mod redirects;
mod registration;
mod relying;
mod resources;
mod story;
mod token;
mod upstream_client;
mod upstream_discovery;
mod upstream_token;
mod world;
