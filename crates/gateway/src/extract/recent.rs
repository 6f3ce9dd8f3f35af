//! What changes people, rights or secrets asks for a sign-in that is not long ago: a browser that somebody left open is not
//! enough.
//!
//! spec: T-95: "re-auth for policy/secret/catalog changes"

use std::time::Duration;

use http::StatusCode;
use portcullis_base::Timestamp;
use portcullis_oauth::authorize::SignInDemand;

use super::LoggedIn;
use crate::{app::App, config::ProviderKind, error::PageError, return_to::sign_in_for};

/// How long ago is recent.
pub const RECENT: Duration = Duration::from_mins(30);

impl LoggedIn {
    /// Refuses a person who signed in too long ago, with the way to a fresh sign-in that leads back to `path`.
    pub fn recently(&self, app: &App, path: &str) -> Result<(), PageError> {
        self.signed_in_within(RECENT, "half hour", app, path)
    }

    /// The same for the time within which somebody who approves has to have signed in. spec: T-82
    pub fn just_now(&self, app: &App, path: &str) -> Result<(), PageError> {
        self.signed_in_within(app.approvals.terms().sign_in, "few minutes", app, path)
    }

    fn signed_in_within(&self, most: Duration, spoken: &str, app: &App, path: &str) -> Result<(), PageError> {
        if app.clock.now().since(self.signed_in_at()) <= most {
            return Ok(());
        }
        let text = format!(
            "What you want to change asks for a sign-in of the last {spoken}. Nothing was changed. Sign in again, then do it \
             once more."
        );
        let error = PageError::new(StatusCode::FORBIDDEN, "session.not_recent", "Please sign in again", text);
        let (label, address) = self.again(app, path, most);
        Err(error.onward(label, address))
    }

    /// When they signed in.
    pub fn signed_in_at(&self) -> Timestamp {
        // Some providers do not say when somebody proved who they are; that they came from there just now must do.
        self.browser.authenticated_at.max(self.browser.created_at)
    }

    /// The way to a sign-in that is not older than `within`, and back to `path`.
    pub fn again(&self, app: &App, path: &str, within: Duration) -> (&'static str, String) {
        if self.provider_kind(app) == Some(ProviderKind::Github) {
            // It cannot be asked for a fresh one.
            return ("Sign out first", "/logout".into());
        }
        let demand = SignInDemand { max_age: Some(within), acr: Vec::new() };
        ("Sign in again", sign_in_for(path, &demand))
    }

    fn provider_kind(&self, app: &App) -> Option<ProviderKind> {
        let id = self.browser.provider.as_deref()?;
        app.providers.get(id).map(|provider| provider.kind())
    }
}
