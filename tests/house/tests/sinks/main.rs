//! The record on its way to receivers that are not ours, while they stop and the gateway dies: nothing is lost, and nothing
//! comes twice but what was under way.

mod forms;
mod place;
mod poison;
mod receivers;
mod story;
mod threat;
mod witness;
