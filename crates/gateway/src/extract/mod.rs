//! What a request has proved, as extractors: a handler that takes [`LoggedIn`] cannot be reached by anybody else.
//!
//! - [`LoggedIn`]: a browser session of ours, by its cookie.
//! - [`SignedForm`]: a form of one of our own pages, sent by the session that it was made for.
//! - [`Admin`], [`Auditor`]: the same for those who look after this gateway, or may look; [`AdminForm`]: a form of theirs.
//! - [`SameOriginForm`]: the same for pages that come before sign-in.
//! - [`ClientForm`]: an OAuth client with its form, authenticated as its registration demands.
//! - [`Visit`]: a browser in which nobody is signed in yet.
//! - [`TokenForm`]: the same, or somebody who shows an assertion and nothing else.
//! - [`Source`]: where the request came from.

mod admin;
mod client;
mod cookie;
mod form;
mod origin;
mod people;
mod recent;
mod session;
mod source;
mod visit;

pub use admin::{Admin, AdminForm, ApiAdmin, ApiAuditor, Auditor};
pub use client::{AssertionForm, ClientForm, TokenForm, charge};
pub use cookie::{
    Planted, SESSION_COOKIE, VISIT_COOKIE, clear_cookie, clear_session_cookie, cookie, cookies_named, session_cookie,
    short_cookie,
};
pub use form::{SameOriginForm, SignedForm, form_token_matches, same_origin};
pub use origin::under_public_url;
pub use people::people_only;
pub use recent::RECENT;
pub use session::{LoggedIn, Session};
pub use source::{Source, address_of, calls_not_too_often, pages_not_too_often};
pub use visit::Visit;
