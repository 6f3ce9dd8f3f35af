//! What the settings of a server say about its authorization server.

use portcullis_oauth::{
    resource::canonical,
    upstream::{
        Reach,
        resource::Tolerance,
        server::{Expected, Pkce},
    },
};

use super::AuthorityError;
use crate::{
    config::{Credential, Fallback, LegacyPaths, OAuth, ResourceMatch, ResourceParameter, S256},
    snapshot::Server,
};

/// The settings of one server as they are at this moment.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    /// Where the server is.
    pub url: &'a str,
    pub oauth: &'a OAuth,
    /// Whether people are sent to the authorization server.
    pub people: People,
}

/// Whether people are sent to an authorization server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum People {
    Sent,
    Never,
}

impl<'a> Terms<'a> {
    pub(super) fn of(server: &'a Server) -> Result<Self, AuthorityError> {
        let Some(url) = server.url() else {
            return Err(AuthorityError::not_offered("the server is inside the gateway"));
        };
        let Some(oauth) = server.credential.oauth() else {
            let kind = server.credential.kind();
            return Err(AuthorityError::not_offered(format!(
                "the settings say `credential: {kind}`, which has no authorization server"
            )));
        };
        let people = match &*server.credential {
            Credential::ClientCredentials(_) => People::Never,
            Credential::IdJag(it) if it.fallback == Fallback::None => People::Never,
            _ => People::Sent,
        };
        Ok(Self { url: url.as_str(), oauth, people })
    }

    /// spec: UP-3
    pub(super) fn tolerance(&self) -> Tolerance {
        match self.oauth.resource_match {
            ResourceMatch::Exact => Tolerance::Exact,
            ResourceMatch::Prefix => Tolerance::Prefix,
        }
    }

    /// spec: UP-7, UP-9, T-18
    pub(super) fn expected<'e>(&'e self, issuer: &'e str) -> Expected<'e> {
        let pkce = match (self.people, self.oauth.s256) {
            (People::Never, _) => Pkce::Unused,
            (People::Sent, S256::Announced) => Pkce::Listed,
            (People::Sent, S256::Assumed) => Pkce::Assumed,
        };
        Expected { issuer, hosts: &self.oauth.endpoints, pkce, reach: Reach::of(self.url) }
    }

    /// The `resource` parameter: as the server calls itself, unless the settings say otherwise.
    ///
    /// spec: UP-30, UP-31
    pub(super) fn resource(&self, named: Option<&str>) -> Option<String> {
        match &self.oauth.resource {
            ResourceParameter::Exact => named.map(str::to_owned).or_else(|| canonical(self.url)),
            ResourceParameter::None => None,
            ResourceParameter::Other(other) => Some(other.clone()),
        }
    }

    /// spec: UP-11
    pub(super) fn tries_legacy(&self) -> bool {
        self.oauth.legacy_paths == LegacyPaths::Tried
    }

    /// The most that may be asked for. spec: UP-37
    pub(super) fn cap(&self) -> Option<&'a [String]> {
        self.oauth.scopes.as_deref()
    }
}
