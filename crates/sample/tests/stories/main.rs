//! The sample from outside: a client in the same memory talks to it over a pipe.

mod client;
mod company;
mod door;
mod legacy;
mod modern;
