//! The wire from outside: what is accepted, what is refused, and as what.

mod headers;
mod message;
mod method;
mod scan;
mod sse;
mod tool;
mod trace;
