//! The pages on which people look after their own sign-ins and administrators after everybody's.

mod api;
mod audit;
mod doors;
mod groups;
mod insight;
mod leaving;
mod machines;
mod people;
mod rules;
mod walk;
