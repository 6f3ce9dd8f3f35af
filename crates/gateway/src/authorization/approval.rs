//! An approval that waits: somebody agreed on the consent page and must sign in before it counts.
//!
//! It waits in a cookie of the browser in which it was given, sealed, for ten minutes, bound to the transaction and with it
//! to the client, the redirect URI, the endpoint and the scopes. It is no consent: whoever signs in is checked before a code
//! is made, and it is spent by that (spec: AS-131, AS-135, T-6).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode};
use portcullis_base::{Timestamp, token};
use portcullis_oauth::{client::ClientKind, error::AuthorizeCode, redirect};
use serde::{Deserialize, Serialize};

use super::{
    consent::{Place, Transaction},
    documents,
};
use crate::{
    app::App,
    error::PageError,
    extract::{clear_cookie, cookie, short_cookie},
    keys::Purpose,
    return_to::ReturnTo,
};

/// The beginning of the cookie's name; the approval's own is the end, so that two tabs do not disturb each other.
const COOKIE: &str = "__Host-portcullis-consent-";
/// spec: T-3, AS-136: "<= 10 min"
const LIFETIME: Duration = Duration::from_mins(10);

/// What somebody agreed to in this browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Approval {
    /// Names it; spent by what it comes to.
    pub id: String,
    /// The page they agreed on, which was spent by their answer.
    pub transaction: Transaction,
    /// When.
    pub at: Timestamp,
    /// What they want the next time.
    pub next_time: NextTime,
    /// Whether they may still be offered to connect their account at the server.
    #[serde(default)]
    pub sitting: Sitting,
}

/// Whether somebody who agreed may be offered more before the code is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sitting {
    /// Yes.
    #[default]
    Open,
    /// They were.
    Over,
}

/// Whether somebody wants to be asked again about the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NextTime {
    /// Yes.
    Ask,
    /// They asked not to be.
    Skip,
}

impl Approval {
    /// One that was given just now.
    pub fn new(app: &App, transaction: Transaction, next_time: NextTime) -> Self {
        Self { id: token::<16>(&*app.rng), transaction, at: app.clock.now(), next_time, sitting: Sitting::Open }
    }

    /// `Set-Cookie` that keeps it; `None` if the request is so long that no browser would.
    pub fn cookie(&self, app: &App) -> Option<HeaderValue> {
        let id = &self.id;
        let plain = serde_json::to_vec(self).expect("an approval is texts and numbers");
        let sealed = URL_SAFE_NO_PAD.encode(app.keys.seal(Purpose::Approval, id.as_bytes(), &plain, &*app.rng));
        short_cookie(&format!("{COOKIE}{id}"), &sealed, LIFETIME)
    }

    /// `Set-Cookie` that removes it.
    pub fn clear(&self) -> HeaderValue {
        clear_cookie(&format!("{COOKIE}{}", self.id))
    }

    /// The approval of this name that the browser holds.
    pub fn read(app: &App, headers: &HeaderMap, id: &str) -> Result<Option<Self>, PageError> {
        let Some(sealed) = cookie(headers, &format!("{COOKIE}{id}"))? else { return Ok(None) };
        let plain = URL_SAFE_NO_PAD
            .decode(sealed.reveal())
            .ok()
            .and_then(|sealed| app.keys.open(Purpose::Approval, id.as_bytes(), &sealed));
        let approval = plain.and_then(|plain| serde_json::from_slice::<Self>(&plain).ok());
        Ok(approval.filter(|approval| app.clock.now() < approval.at.plus(LIFETIME)))
    }

    /// The approval that waits for a sign-in which leads back to `return_to`.
    pub fn waiting(app: &App, headers: &HeaderMap, return_to: &ReturnTo) -> Option<Self> {
        Self::read(app, headers, return_to.finishes()?).ok().flatten()
    }

    /// Where the client waits, as a content security policy writes it.
    pub fn form_target(&self) -> String {
        Place::of(&self.transaction.request.redirect_uri).form_target
    }

    /// Where the client is told that nothing came of it. spec: AS-146
    pub fn refusal(&self, app: &App, error: AuthorizeCode) -> String {
        let text = match error {
            AuthorizeCode::TemporarilyUnavailable => "sign-in does not work just now",
            AuthorizeCode::AccessDenied => "the person was not signed in",
            _ => "the person could not be signed in",
        };
        self.transaction.request.refuse(error, text).location(app.config.public_url.as_str())
    }

    /// Whether the browser may go to the client without the person's choosing. spec: AS-43
    pub async fn may_bounce(&self, app: &App) -> Result<bool, PageError> {
        let request = &self.transaction.request;
        let known = documents::known(app, request.client.as_str()).await?;
        let configured = known.is_some_and(|known| known.client.kind == ClientKind::Configured);
        Ok(configured || redirect::is_loopback(&request.redirect_uri))
    }
}

/// The request does not fit into a cookie.
pub fn too_long() -> PageError {
    PageError::new(
        StatusCode::BAD_REQUEST,
        "request.too_long",
        "The application asks in too many words",
        "Its request cannot be kept while you sign in. Sign in here first, then start again from the application.",
    )
    .onward("Sign in", "/login".into())
}
