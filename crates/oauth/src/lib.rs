//! OAuth 2.1 as pure law: the authorization server and the resource server toward MCP clients, the relying party
//! toward identity providers, and the client of the authorization servers of upstreams.
//!
//! Promises: no file, socket, environment, clock or randomness is touched here. Facts, the time and every random value
//! are arguments; what comes back is a decision, a document or a refusal with its registered code. Deciding twice on the
//! same facts gives the same answer, which is what lets the store run a decision again after a conflict.
//!
//! Deliberately absent: the implicit and the password grant, `plain` PKCE, symmetric JWT algorithms, JWE, request
//! objects, and any way to get a token without an audience.

pub mod access;
pub mod assertion;
pub mod authorize;
pub mod bearer;
pub mod client;
pub mod client_auth;
pub mod consent;
pub mod error;
pub mod external;
pub mod grant;
pub mod introspection;
pub mod jwks;
pub mod jwt;
pub mod machine;
pub mod metadata;
pub mod parameters;
pub mod pkce;
pub mod redirect;
pub mod registration;
pub mod relying;
pub mod resource;
pub mod revocation;
pub mod scope;
pub mod token;
pub mod upstream;

mod claim;
mod endpoint;
mod json;
