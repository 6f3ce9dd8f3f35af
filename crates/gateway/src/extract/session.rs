//! Who is signed in, by the session cookie.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts, OriginalUri},
    response::{IntoResponse, Redirect, Response},
};
use http::{Method, StatusCode, request::Parts};
use portcullis_audit::Actor;
use portcullis_base::{Digest, Secret};
use portcullis_policy::Origin;
use portcullis_store::{BrowserSession, Person};

use super::{Source, cookie};
use crate::{
    app::App,
    correlation,
    error::PageError,
    pages::{Account, BrokenGlass},
    roles::{Roles, Standing},
};

/// The most emergencies that a page tells of.
const MOST_GLASSES: usize = 10;

/// A browser session of ours, as its cookie proves it.
#[derive(Clone)]
pub struct Session {
    /// What the store knows it by.
    pub hash: Digest,
    /// The value that proves a form came from a page of this session.
    pub form_token: String,
}

/// A person who is signed in.
///
/// Without a session, a page leads to the sign-in page and back; anything else is refused.
#[derive(Clone)]
pub struct LoggedIn {
    /// Who.
    pub person: Person,
    /// What they are here.
    pub roles: Roles,
    /// In which session.
    pub session: Session,
    /// How that session began.
    pub browser: BrowserSession,
    /// From where.
    pub source: Source,
    /// Emergencies that they have to know of: their own, and everybody's if they look after this gateway.
    pub glasses: Vec<BrokenGlass>,
}

impl Session {
    /// The session whose cookie holds `secret`.
    pub fn of(secret: &Secret) -> Self {
        // spec: T-2: the synchroniser token is a digest that only the holder of the cookie could make.
        let form_token = Digest::of(format!("form of {}", secret.reveal()).as_bytes()).to_base64url();
        Self { hash: Digest::of(secret.reveal().as_bytes()), form_token }
    }
}

impl LoggedIn {
    /// For the head of a page.
    pub fn account(&self) -> Account<'_> {
        Account {
            name: &self.person.name,
            form_token: &self.session.form_token,
            standing: self.roles.standing(),
            glasses: &self.glasses,
        }
    }

    /// For the record.
    pub fn actor(&self) -> Actor {
        Actor {
            person: Some(self.person.id.clone()),
            name: Some(self.person.name.as_str().into()),
            client: None,
            address: Some(self.source.0),
        }
    }

    async fn find(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, PageError> {
        let Ok(source) = <Source as FromRequestParts<Arc<App>>>::from_request_parts(parts, app).await;
        let secret = cookie::cookie(&parts.headers, cookie::SESSION_COOKIE)?;
        let Some(secret) = secret else { return Ok(None) };
        let session = Session::of(&secret);
        let found = app.store.session(&session.hash, app.clock.now(), app.config.sessions.idle).await;
        match found {
            Ok(found) => Ok(found.and_then(|(browser, person)| {
                let roles = app.appointments.of_person(&person);
                let glasses = broken_glasses(app, &person, roles);
                let who = roles.admit().then_some(Self { person, roles, session, browser, source, glasses });
                who.inspect(|who| correlation::asked(who.actor(), None))
            })),
            Err(error) => Err(PageError::unavailable(error)),
        }
    }
}

fn broken_glasses(app: &App, reader: &Person, roles: Roles) -> Vec<BrokenGlass> {
    let (now, snapshot) = (app.clock.now(), app.snapshot.load());
    let broken = snapshot.rights().filter(|(_, right)| right.origin == Origin::BreakGlass && now < right.ends_at);
    let seen = broken.filter(|(_, right)| right.person == reader.id || roles.standing() > Standing::Member);
    let shown = seen.map(|(server, right)| {
        let named =
            || snapshot.people.get(&right.person).map_or(right.person.as_str(), |person| &person.name).to_owned();
        BrokenGlass {
            person: (right.person != reader.id).then(named),
            server: server.to_string(),
            ends_at: right.ends_at,
        }
    });
    shown.take(MOST_GLASSES).collect()
}

impl FromRequestParts<Arc<App>> for LoggedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        match Self::find(parts, app).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) if matches!(parts.method, Method::GET | Method::HEAD) => {
                let here = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
                let here = here.path_and_query().map_or("/", |path| path.as_str());
                Err(Redirect::to(&crate::return_to::sign_in_at(here)).into_response())
            }
            Ok(None) => Err(PageError::new(
                StatusCode::UNAUTHORIZED,
                "session.none",
                "You are not signed in",
                "Your sign-in has ended. Nothing was changed. Sign in and try again.",
            )
            .onward("Sign in", "/login".into())
            .into_response()),
            Err(error) => Err(error.into_response()),
        }
    }
}

impl OptionalFromRequestParts<Arc<App>> for LoggedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, PageError> {
        Self::find(parts, app).await
    }
}
