//! The data path, seen from both ends: what a client gets, and what a server sees.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod approvals;
mod approvals_roads;
mod bridged;
mod classes;
mod connecting;
mod decisions;
mod discovery;
mod egress;
mod gate;
mod harness;
mod hostile;
mod legacy;
mod limits;
mod lines;
mod modern;
mod older;
mod older_inputs;
mod older_streams;
mod older_toolbox;
mod oldest;
mod openapi;
mod outbound;
mod parked;
mod questions;
mod records;
mod refusals;
mod rights;
mod sample;
mod smuggling;
mod states;
mod toolbox;
mod toolbox_lists;
mod toolbox_streams;
mod toolbox_tasks;
mod unconnected;
mod upstream;
mod veils;
