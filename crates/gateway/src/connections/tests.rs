//! What happens to connections when much happens at once, and when something dies in between.

mod calls;
mod ends;
mod news;
mod nodes;
mod others;
mod refusals;
mod stage;
