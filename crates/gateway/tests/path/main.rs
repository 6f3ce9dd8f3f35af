//! The data path, seen from both ends: what a client gets, and what a server sees.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connecting;
mod discovery;
mod egress;
mod gate;
mod harness;
mod hostile;
mod legacy;
mod modern;
mod outbound;
mod records;
mod refusals;
mod sample;
mod smuggling;
mod states;
mod unconnected;
mod upstream;
