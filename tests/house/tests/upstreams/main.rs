//! Real servers behind the gateway, with the clock in the test's hand.

mod alive;
mod counterparts;
mod decided;
mod office;
mod others;
mod own;
mod recipes;
mod refusals;
mod service;
mod town;
mod unasked;
