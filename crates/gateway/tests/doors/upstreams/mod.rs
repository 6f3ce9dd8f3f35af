//! The gateway as a client of the authorization servers behind it, against small servers on this machine that answer
//! whatever a test wants.

mod assertion;
mod clients;
mod company;
mod connecting;
mod discovery;
mod documents;
mod examination;
mod exchange;
mod id_jag;
mod keeping;
mod own_account;
mod street;
