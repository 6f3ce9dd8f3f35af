//! Identity providers: who vouches for people, and goes on vouching.
//!
//! One [`Provider`] per entry of the settings. It sends a browser to the provider, judges what comes back, and later asks
//! again whether the person is still there and in which groups. What is true of a token is law (`portcullis_oauth::relying`);
//! here are the requests, the caches and the quirks of each kind. Everything goes through the guarded client.
//!
//! Promises: a provider that is down or wrongly set up stops nobody but itself; groups that could not be learned are never
//! taken for no groups (spec: T-52); a provider's tokens never leave the gateway but to that provider (spec: AS-144).

mod api;
mod discovery;
mod entra;
mod error;
mod examine;
mod github;
mod google;
mod issuer_keys;
mod openid;
mod provider;
pub mod refresh;
mod sign_in;
mod status;
mod subject;
mod tokens;

use std::sync::Arc;

use portcullis_base::Clock;

use self::provider::{Context, PATIENCE};
pub use self::{
    discovery::{Discovery, DiscoveryFailure},
    error::{AgainError, ProviderError, RevokeError, Trouble},
    issuer_keys::{IssuerKeys, IssuerKeysError},
    provider::Provider,
    sign_in::{Again, Arrived, Begin, Expect, Fresh, FreshTokens},
    status::Status,
    subject::{Held, SubjectError, SubjectKind, Subjects},
};
use crate::{config::Config, outbound::Outbound};

/// All identity providers of the settings.
pub struct Providers {
    all: Vec<Arc<Provider>>,
    keys: IssuerKeys,
}

impl Providers {
    /// The providers of `config`. Nothing is asked of them yet.
    pub fn new(config: &Config, outbound: Outbound, clock: &Arc<dyn Clock>) -> Self {
        let keys = IssuerKeys::default();
        let outbound = outbound.with_total(PATIENCE);
        let provider = |settings: &crate::config::Provider| {
            Arc::new(Provider::new(settings.clone(), &config.public_url, outbound.clone(), clock.clone(), keys.clone()))
        };
        Self { all: config.identity.providers.iter().map(provider).collect(), keys }
    }

    /// All of them, in the order of the settings.
    pub fn list(&self) -> &[Arc<Provider>] {
        &self.all
    }

    /// The provider with this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Provider>> {
        self.all.iter().find(|provider| provider.id() == id)
    }

    /// The provider to which the domain of an e-mail address leads. spec: AS-147
    pub fn for_email(&self, email: &str) -> Option<&Arc<Provider>> {
        let (_, domain) = email.trim().rsplit_once('@')?;
        let leads =
            |provider: &&Arc<Provider>| provider.settings().domains.iter().any(|own| own.eq_ignore_ascii_case(domain));
        self.all.iter().find(leads)
    }

    /// The provider that speaks for this issuer.
    pub fn by_issuer(&self, issuer: &str) -> Option<&Arc<Provider>> {
        self.all.iter().find(|provider| provider.speaks_for(issuer))
    }

    /// The key sets of all issuers, for whoever else must check what an issuer signed.
    pub fn keys(&self) -> &IssuerKeys {
        &self.keys
    }

    /// Asks every provider for what is needed at the next sign-in, if it is missing or old.
    pub async fn look_after(&self) {
        let each = self.all.iter().map(|provider| provider.look_after());
        futures_util::future::join_all(each).await;
    }
}
