//! The wire from outside: what is accepted, what is refused, and as what.

mod dialect;
mod headers;
mod message;
mod method;
mod object;
mod ranking;
mod scan;
mod sse;
mod tool;
mod trace;
