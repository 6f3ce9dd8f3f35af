//! What a request has proved, as extractors: a handler that takes [`LoggedIn`] cannot be reached by anybody else.
//!
//! - [`LoggedIn`]: a browser session of ours, by its cookie.
//! - [`SignedForm`]: a form of one of our own pages, sent by the session that it was made for.
//! - [`SameOriginForm`]: the same for pages that come before sign-in.
//! - [`ClientForm`]: an OAuth client with its form, authenticated as its registration demands.
//! - [`Source`]: where the request came from.

mod client;
mod cookie;
mod form;
mod origin;
mod session;
mod source;

pub use client::ClientForm;
pub use cookie::{SESSION_COOKIE, clear_session_cookie, session_cookie};
pub use form::{SameOriginForm, SignedForm, form_token_matches, same_origin};
pub use origin::under_public_url;
pub use session::{LoggedIn, Session};
pub use source::{Source, address_of, calls_not_too_often, pages_not_too_often};
