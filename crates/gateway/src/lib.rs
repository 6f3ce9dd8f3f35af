//! The running house: two listeners, the authorization server, the data path, and what keeps them in step.
//!
//! Promises: nothing is forwarded without a permit and a line in the journal; no database read stands on the path of a
//! call; no inbound credential leaves towards an upstream. Law lives in the pure crates, SQL in `store`; here they meet.

pub mod access_keys;
pub mod account;
pub mod admin;
pub mod app;
pub mod assertion_keys;
pub mod authority;
pub mod authorization;
pub mod caller;
pub mod check;
pub mod client_entry;
pub mod config;
pub mod connect_link;
pub mod connecting;
pub mod connections;
pub mod desk;
pub mod ended;
pub mod error;
pub mod external;
pub mod extract;
pub mod feed;
pub mod fresh;
pub mod groups;
pub mod home;
pub mod identity;
pub mod indexing;
pub mod jobs;
pub mod journal;
pub mod key_ring;
pub mod keys;
pub mod limit;
pub mod listener;
pub mod login;
pub mod offboard;
pub mod operations;
pub mod origin;
pub mod outbound;
pub mod pages;
pub mod password;
pub mod proxy;
mod questions;
pub mod reseal;
pub mod return_to;
pub mod roles;
pub mod root_key;
pub mod router;
pub mod scim;
pub mod service_accounts;
pub mod signing;
pub mod snapshot;
pub mod start;
pub mod step_up;
pub mod system;
pub mod toolbox;
pub mod transport;
pub mod trusted_issuer;
pub mod unlock;
pub mod upstream;
pub mod vault;

pub use start::{Running, StartError, Surroundings, start};
