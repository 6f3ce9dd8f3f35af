//! Rules from the outside: what a file may say, and what is decided by it.

mod decide;
mod load;
mod step_up;
