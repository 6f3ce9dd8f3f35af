//! What the tests of the whole house are made of: a gateway on real sockets, a person with a browser, a client.

pub mod decisions;
pub mod gateway;
pub mod http;
pub mod mail;
pub mod overheard;
pub mod person;
pub mod provider;
pub mod upstream;
pub mod walk;
