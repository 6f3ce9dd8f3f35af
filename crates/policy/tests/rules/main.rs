//! Rules from the outside: what a file may say, and what is decided by it.

mod check;
mod decide;
mod evidence;
mod guide;
mod import;
mod load;
mod oblige;
mod scene;
mod step_up;
mod tiers;
