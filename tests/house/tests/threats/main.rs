//! Each attack of the threat catalogue that reaches this far, played against a whole gateway from outside.

mod behind;
mod bootstrap;
mod browser;
mod codes;
mod consent;
mod documents;
mod forgery;
mod html;
mod keys;
mod names;
mod origin_server;
mod pages;
mod parsing;
mod record;
mod redirects;
mod refresh;
mod registration;
mod revocation;
mod secrets;
mod sessions;
mod smoke;
mod smuggling;
mod streams;
mod tokens;
mod visit;
