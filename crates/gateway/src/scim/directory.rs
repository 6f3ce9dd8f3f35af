//! Whose directory a request comes from, by its bearer token.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{HeaderMap, StatusCode, header, request::Parts};
use portcullis_audit::{Actor, Event, Kind, Outcome};
use portcullis_base::{Digest, PersonId};
use portcullis_store::{Extent, LinkBy};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::error::ScimError;
use crate::{app::App, config::Provider, correlation, desk::Desk, extract::Source, offboard::How};

/// The directory of a provider.
pub struct Directory {
    /// The provider.
    pub provider: String,
    /// How the people it announces are recognised as those who sign in.
    pub link: LinkBy,
    /// The address of this door.
    pub base: String,
    source: Source,
}

impl Directory {
    /// For the record.
    fn actor(&self) -> Actor {
        let name = format!("directory of {}", self.provider);
        Actor { name: Some(name.into()), address: Some(self.source.0), ..Actor::default() }
    }

    /// Where its changes are made.
    pub fn desk<'a>(&self, app: &'a App) -> Desk<'a> {
        app.desk(self.actor())
    }

    /// Writes down what it did to `name`.
    pub async fn record(&self, app: &App, event: Event) -> Result<(), ScimError> {
        Ok(self.desk(app).write(event.text("provider", self.provider.clone())).await?)
    }

    /// Ends all access of a person: it was deactivated or deleted.
    pub async fn end(&self, app: &App, person: &PersonId) -> Result<(), ScimError> {
        let how = How::Directory(self.provider.clone());
        app.offboard(self.actor(), person, Extent::Account, &how).await?;
        Ok(())
    }
}

impl FromRequestParts<Arc<App>> for Directory {
    type Rejection = ScimError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ScimError> {
        let Ok(source) = <Source as FromRequestParts<Arc<App>>>::from_request_parts(parts, app).await;
        app.limits.scim_source.ask(&source.key())?;
        let provider = bearer(&parts.headers).and_then(|token| provider_of(&app.config.identity.providers, token));
        let Some(provider) = provider else {
            app.limits.scim_source.charge(&source.key());
            let actor = Actor { address: Some(source.0), ..Actor::default() };
            let event = Event::new(Kind::DirectoryRefused, app.clock.now()).by(actor).outcome(Outcome::Denied);
            app.journal.append(event.text("reason", "token")).await?;
            return Err(ScimError::new(
                StatusCode::UNAUTHORIZED,
                "the bearer token is missing or not of any directory",
            ));
        };
        let base = format!("{}/scim/v2", app.config.public_url);
        let directory = Self { provider: provider.id.clone(), link: provider.link.into(), base, source };
        correlation::asked(directory.actor(), None);
        Ok(directory)
    }
}

/// The token of the one `Authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The provider with this token. Digests of all are compared, each in constant time, whichever it is.
fn provider_of<'a>(providers: &'a [Provider], token: &str) -> Option<&'a Provider> {
    let given = Digest::of(token.as_bytes());
    let mut found = u64::MAX;
    for (index, provider) in (0_u64..).zip(providers) {
        let Some(scim) = &provider.scim else { continue };
        let wanted = Digest::of(scim.token.reveal().as_bytes());
        found.conditional_assign(&index, wanted.as_bytes().ct_eq(given.as_bytes()));
    }
    providers.get(usize::try_from(found).ok()?)
}
