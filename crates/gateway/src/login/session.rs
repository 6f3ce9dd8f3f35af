//! A new browser session.

use axum::response::{IntoResponse, Redirect, Response};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::{Digest, PersonId, Secret, Timestamp, printable, token};
use portcullis_store::NewSession;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    error::PageError,
    extract::{self, LoggedIn, Source},
    return_to::ReturnTo,
};

/// How somebody proved who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Who.
    pub person: PersonId,
    /// The name of the account.
    pub name: String,
    /// At which provider; `None` is a local account.
    pub at: Option<AtProvider>,
    /// When. A provider that does not say makes it the beginning of time: never fresh.
    pub authenticated_at: Timestamp,
    /// How strongly, in the provider's words.
    pub acr: Option<String>,
}

/// A sign-in at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtProvider {
    /// Its name in the settings.
    pub provider: String,
    /// The issuer.
    pub issuer: String,
    /// Who they are to it.
    pub subject: String,
    /// The provider's own name for its session.
    pub sid: Option<String>,
    /// What it wants to see when we sign out there, sealed, as base64url.
    pub logout_hint: Option<String>,
}

/// In which browser.
pub struct Browser<'a> {
    /// What it sent.
    pub headers: &'a HeaderMap,
    /// From where.
    pub source: Source,
    /// The session it has now, which ends.
    pub previous: Option<&'a LoggedIn>,
}

impl Proof {
    /// By the password of a local account, just now.
    pub fn by_password(person: PersonId, name: String, now: Timestamp) -> Self {
        Self { person, name, at: None, authenticated_at: now, acr: None }
    }

    /// The word in the record for how it was done.
    pub fn method(&self) -> &str {
        self.at.as_ref().map_or("password", |at| &at.provider)
    }
}

/// Records that somebody signed in, and starts their session.
pub async fn begin(
    app: &App,
    proof: &Proof,
    browser: &Browser<'_>,
    return_to: &ReturnTo,
) -> Result<Response, PageError> {
    let actor = Actor {
        person: Some(proof.person.clone()),
        name: Some(proof.name.as_str().into()),
        client: None,
        address: Some(browser.source.0),
    };
    let event = Event::new(Kind::SigninSucceeded, app.clock.now())
        .by(actor)
        .outcome(Outcome::Success)
        .text("method", proof.method().to_owned());
    app.journal.append(event).await.map_err(PageError::unavailable)?;
    start(app, proof, browser, return_to).await
}

/// Starts a session, ends the one this browser had, and goes to `return_to`.
///
/// spec: T-4, T-7: "login rotates the id"; the answer to the form is a 303 (AS-44).
pub async fn start(
    app: &App,
    proof: &Proof,
    browser: &Browser<'_>,
    return_to: &ReturnTo,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    let secret = Secret::new(token::<32>(&*app.rng));
    let hash = Digest::of(secret.reveal().as_bytes());
    if let Some(previous) = browser.previous {
        app.store.end_session(&previous.session.hash).await.map_err(PageError::unavailable)?;
    }
    let at = proof.at.as_ref();
    let agent = browser.headers.get(header::USER_AGENT).map_or(&b""[..], http::HeaderValue::as_bytes);
    let agent = printable(&String::from_utf8_lossy(agent), 200);
    let logout_hint = at.and_then(|at| URL_SAFE_NO_PAD.decode(at.logout_hint.as_deref()?).ok());
    let session = NewSession {
        hash: &hash,
        id: &format!("bse_{}", token::<16>(&*app.rng)),
        person: &proof.person,
        provider: at.map(|at| at.provider.as_str()),
        issuer: at.map(|at| at.issuer.as_str()),
        subject: at.map(|at| at.subject.as_str()),
        sid: at.and_then(|at| at.sid.as_deref()),
        authenticated_at: proof.authenticated_at,
        acr: proof.acr.as_deref(),
        agent: &agent,
        address: Some(browser.source.0),
        logout_hint: logout_hint.as_deref(),
        expires_at: now.plus(app.config.sessions.absolute),
    };
    app.store.start_session(&session, now).await.map_err(PageError::unavailable)?;
    let cookie = [(header::SET_COOKIE, extract::session_cookie(&secret)), (header::CACHE_CONTROL, no_store())];
    Ok((cookie, Redirect::to(&return_to.after_sign_in())).into_response())
}

pub(super) fn no_store() -> http::HeaderValue {
    http::HeaderValue::from_static("no-store")
}
