//! A provider's directory in front of the gateway: the operations of RFC 7644 in the shapes that Okta and Entra ID document,
//! and what they must not be able to do.

mod ending;
mod entra;
mod given;
mod listing;
mod okta;
mod provider;
mod refusals;
