//! What changes people, rights or secrets asks for a sign-in that is not long ago: a browser that somebody left open is not
//! enough.
//!
//! spec: T-95: "re-auth for policy/secret/catalog changes"

use std::time::Duration;

use http::StatusCode;
use portcullis_oauth::authorize::SignInDemand;

use super::LoggedIn;
use crate::{app::App, config::ProviderKind, error::PageError, return_to::sign_in_for};

/// How long ago is recent.
pub const RECENT: Duration = Duration::from_mins(30);

impl LoggedIn {
    /// Refuses a person who signed in too long ago, with the way to a fresh sign-in that leads back to `path`.
    pub fn recently(&self, app: &App, path: &str) -> Result<(), PageError> {
        // Some providers do not say when somebody proved who they are; that they came from there just now must do.
        let signed_in_at = self.browser.authenticated_at.max(self.browser.created_at);
        if app.clock.now().since(signed_in_at) <= RECENT {
            return Ok(());
        }
        let text = "What you want to change asks for a sign-in of the last half hour. Nothing was changed. Sign in again, \
                    then do it once more.";
        let error = PageError::new(StatusCode::FORBIDDEN, "session.not_recent", "Please sign in again", text);
        if self.provider_kind(app) == Some(ProviderKind::Github) {
            // It cannot be asked for a fresh one.
            return Err(error.onward("Sign out first", "/logout".into()));
        }
        let demand = SignInDemand { max_age: Some(RECENT), acr: Vec::new() };
        Err(error.onward("Sign in again", sign_in_for(path, &demand)))
    }

    fn provider_kind(&self, app: &App) -> Option<ProviderKind> {
        let id = self.browser.provider.as_deref()?;
        app.providers.get(id).map(|provider| provider.kind())
    }
}
