//! One identity provider, whatever its kind.

use std::{sync::Arc, time::Duration};

use portcullis_base::{Clock, Secret};
use portcullis_oauth::{
    relying::{
        issuer::IssuerRule,
        logout_token::{self, LogoutToken},
        profile::Profile,
    },
    upstream::token::Grant,
};
use url::Url;

use super::{
    Again, AgainError, Arrived, Begin, Discovery, Expect, FreshTokens, IssuerKeys, ProviderError, RevokeError, Status,
    Trouble,
    github::Github,
    google::Directory,
    openid::{self, OpenId},
    status::Notes,
    tokens,
};
use crate::{
    config::{self, Offline, ProviderKind, PublicUrl, Tenant},
    outbound::{Fetched, Outbound},
};

/// One identity provider.
pub struct Provider {
    settings: config::Provider,
    redirect_uri: String,
    back_channel_uri: String,
    signed_out_uri: String,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    speech: Speech,
    notes: Notes,
}

/// What it speaks.
pub(super) enum Speech {
    OpenId(Box<OpenId>),
    Github(Box<Github>),
}

/// What every request to a provider depends on.
pub(super) struct Context<'a> {
    pub(super) settings: &'a config::Provider,
    pub(super) redirect_uri: &'a str,
    pub(super) outbound: &'a Outbound,
    pub(super) clock: &'a dyn Clock,
}

impl Provider {
    pub(super) fn new(
        settings: config::Provider,
        public_url: &PublicUrl,
        outbound: Outbound,
        clock: Arc<dyn Clock>,
        keys: IssuerKeys,
    ) -> Self {
        let speech = if settings.kind == ProviderKind::Github {
            Speech::Github(Box::new(Github::new(&settings)))
        } else {
            let discovery = Discovery::new(&settings.issuer, rule(&settings), outbound.clone(), clock.clone());
            Speech::OpenId(Box::new(OpenId { discovery, keys, directory: directory(&settings) }))
        };
        let id = &settings.id;
        Self {
            // spec: AS-147, T-17: every provider has a callback of its own.
            redirect_uri: format!("{public_url}/login/{id}/callback"),
            back_channel_uri: format!("{public_url}/login/{id}/back-channel"),
            signed_out_uri: format!("{public_url}/logout"),
            settings,
            outbound,
            clock,
            speech,
            notes: Notes::default(),
        }
    }

    /// Its name in addresses.
    pub fn id(&self) -> &str {
        &self.settings.id
    }

    /// Its name on pages.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Which quirks it has.
    pub fn kind(&self) -> ProviderKind {
        self.settings.kind
    }

    /// Its settings.
    pub fn settings(&self) -> &config::Provider {
        &self.settings
    }

    /// Where it sends browsers back to: to be registered there, byte for byte.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Where it sends its logout tokens: to be registered there.
    pub fn back_channel_uri(&self) -> &str {
        &self.back_channel_uri
    }

    /// Where it sends a browser after signing it out: to be registered there.
    pub fn signed_out_uri(&self) -> &str {
        &self.signed_out_uri
    }

    /// Where its keys are; GitHub signs nothing.
    pub async fn jwks_uri(&self) -> Option<String> {
        Some(self.openid()?.discovery.metadata().await.ok()?.jwks_uri.clone())
    }

    /// Whom its tokens may be from; GitHub has none.
    pub fn issuer_rule(&self) -> Option<&IssuerRule> {
        Some(self.openid()?.discovery.rule())
    }

    /// Whether our settings let in whom it vouches for elsewhere than at a sign-in.
    pub fn admit(&self, profile: &Profile) -> Result<(), ProviderError> {
        openid::admit(&self.settings, profile)
    }

    /// Whether people of this issuer are its people.
    pub fn speaks_for(&self, issuer: &str) -> bool {
        match self.issuer_rule() {
            Some(rule) => rule.answers_as(issuer),
            None => self.settings.issuer == issuer,
        }
    }

    /// Where a browser is sent to sign in.
    pub async fn begin(&self, begin: &Begin<'_>) -> Result<String, ProviderError> {
        let context = self.context();
        self.noting(match &self.speech {
            Speech::OpenId(openid) => openid.begin(&context, begin).await,
            Speech::Github(github) => github.begin(&context, begin),
        })
    }

    /// Who came back with `query`. That the state in it is of this browser was found out before.
    pub async fn finish(&self, query: &str, expect: &Expect<'_>) -> Result<Arrived, ProviderError> {
        let context = self.context();
        let arrived = self.noting(match &self.speech {
            Speech::OpenId(openid) => openid.finish(&context, query, expect).await,
            Speech::Github(github) => github.finish(&context, query, expect).await,
        })?;
        self.notes.signed_in(self.clock.now(), &arrived, &self.settings.claims);
        if arrived.refresh.is_none() && self.settings.offline == Offline::Asked {
            let text = "the provider gave no refresh token: groups are learned at sign-ins only";
            self.notes.problem(self.clock.now(), text);
        }
        Ok(arrived)
    }

    /// What the provider says now of `subject`, who signed in earlier and left `refresh`.
    pub async fn again(&self, refresh: &Secret, subject: &str) -> Result<Again, AgainError> {
        let context = self.context();
        let told = match &self.speech {
            Speech::OpenId(openid) => openid.again(&context, refresh, subject).await,
            Speech::Github(github) => github.again(&context, refresh, subject).await,
        };
        if let Err(AgainError::Unavailable { why, .. }) = &told {
            self.notes.problem(self.clock.now(), why);
        }
        told
    }

    /// Fresh tokens of `subject`, who signed in earlier and left `refresh`, with other scopes than at the sign-in if some are
    /// named.
    pub async fn fresh_tokens(
        &self,
        refresh: &Secret,
        subject: &str,
        scope: Option<&str>,
    ) -> Result<FreshTokens, AgainError> {
        match &self.speech {
            Speech::OpenId(openid) => openid.fresh(&self.context(), refresh, subject, scope).await,
            Speech::Github(_) => Err(AgainError::unavailable("GitHub gives no tokens for use elsewhere")),
        }
    }

    /// Whether it says that it gives assertions for other authorization servers. spec: UP-83
    pub async fn gives_id_jag(&self) -> Result<bool, ProviderError> {
        let Some(openid) = self.openid() else { return Ok(false) };
        Ok(openid.discovery.metadata().await?.gives_id_jag())
    }

    /// Sends `grant`, with the proof of who we are to it, to its token endpoint or to `place`; what came back, and where from.
    pub async fn grant(&self, grant: &Grant<'_>, place: Option<&str>) -> Result<(String, Fetched), ProviderError> {
        let Some(openid) = self.openid() else {
            return Err(ProviderError::misconfigured("GitHub exchanges no tokens"));
        };
        let metadata = openid.discovery.metadata().await?;
        let place = place.unwrap_or(&metadata.token_endpoint);
        let fetched = tokens::grant(&self.context(), &metadata, place, grant).await?;
        Ok((place.to_owned(), fetched))
    }

    /// Where a browser is sent to sign out there too, if the provider has such a place.
    pub async fn logout_url(&self, id_token_hint: Option<&Secret>) -> Option<String> {
        let metadata = self.openid()?.discovery.metadata().await.ok()?;
        let mut url = Url::parse(metadata.end_session_endpoint.as_deref()?).ok()?;
        let mut query = url.query_pairs_mut();
        if let Some(hint) = id_token_hint {
            query.append_pair("id_token_hint", hint.reveal());
        }
        query.append_pair("client_id", &self.settings.client_id);
        query.append_pair("post_logout_redirect_uri", &self.signed_out_uri);
        drop(query);
        Some(url.into())
    }

    /// What a logout token says, if this provider made it for us. That it comes once only is the caller's to see to.
    pub async fn logout_token(&self, token: &str) -> Result<LogoutToken, ProviderError> {
        let Some(openid) = self.openid() else {
            return Err(ProviderError::untrue("GitHub sends no logout tokens"));
        };
        let metadata = openid.discovery.metadata().await?;
        let keys = openid.keys_of(&self.context(), &metadata, token).await?;
        let expected = logout_token::Expected {
            issuer: openid.discovery.rule(),
            client_id: &self.settings.client_id,
            now: self.clock.now(),
        };
        logout_token::verify(token, &keys, &expected).map_err(ProviderError::untrue)
    }

    /// Gives up at the provider what is kept here of a person.
    pub async fn revoke(&self, refresh: &Secret) -> Result<(), RevokeError> {
        let context = self.context();
        let openid = match &self.speech {
            Speech::OpenId(openid) => openid,
            Speech::Github(github) => return github.revoke(&context, refresh).await,
        };
        let failed = |error: &dyn std::fmt::Display| RevokeError::Failed(error.to_string());
        let metadata = openid.discovery.metadata().await.map_err(|error| failed(&error))?;
        let Some(place) = &metadata.revocation_endpoint else { return Err(RevokeError::NotOffered) };
        tokens::revoke(&context, &metadata, place, refresh).await.map_err(|error| failed(&error))
    }

    /// How it is.
    pub fn status(&self) -> Status {
        let mut status = self.notes.status();
        if let Some(openid) = self.openid() {
            status.discovered_at = openid.discovery.discovered_at();
            let failure = openid.discovery.failure().map(|(at, failure)| (at, failure.to_string()));
            status.last_problem = status.last_problem.into_iter().chain(failure).max_by_key(|(at, _)| *at);
        }
        status
    }

    /// Asks for what the next sign-in needs, if it is missing or old.
    pub(super) async fn look_after(&self) {
        let Some(openid) = self.openid() else { return };
        if let Ok(metadata) = openid.discovery.metadata().await {
            // That they cannot be had is logged where it happens, and told to whoever needs them.
            let _ = openid.keys.keys_for(&metadata.jwks_uri, None, &self.outbound, &*self.clock).await;
        }
    }

    pub(super) fn openid(&self) -> Option<&OpenId> {
        match &self.speech {
            Speech::OpenId(openid) => Some(openid),
            Speech::Github(_) => None,
        }
    }

    pub(super) fn github(&self) -> Option<&Github> {
        match &self.speech {
            Speech::OpenId(_) => None,
            Speech::Github(github) => Some(github),
        }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            settings: &self.settings,
            redirect_uri: &self.redirect_uri,
            outbound: &self.outbound,
            clock: &*self.clock,
        }
    }

    /// Remembers what went wrong for the status page; that a person was refused is not the provider's trouble.
    fn noting<T>(&self, outcome: Result<T, ProviderError>) -> Result<T, ProviderError> {
        if let Err(error) = &outcome
            && !matches!(error.trouble, Trouble::Refused(_) | Trouble::NotAllowed)
        {
            tracing::warn!(provider.id = self.id(), error.detail = error.detail, "sign-in failed at the provider");
            self.notes.problem(self.clock.now(), &error.detail);
        }
        outcome
    }
}

/// Whom tokens may be from. spec: AS-143: with many tenants, those that the settings name.
fn rule(settings: &config::Provider) -> IssuerRule {
    let everybody = match settings.tenant {
        Some(Tenant::Organizations) => "organizations",
        Some(Tenant::Common) => "common",
        Some(Tenant::One(_)) | None => return IssuerRule::Exact(settings.issuer.clone()),
    };
    let template = settings.issuer.replacen(&format!("/{everybody}/"), "/{tenantid}/", 1);
    IssuerRule::EntraTenants { template, tenants: settings.tenants.clone() }
}

/// Google's directory, if the settings give access to it, or what is wrong with that.
fn directory(settings: &config::Provider) -> Option<Result<Directory, String>> {
    let directory = Directory::new(settings.directory.as_ref()?, settings.api_url.as_deref());
    if let Err(problem) = &directory {
        tracing::error!(provider.id = settings.id, error.detail = problem, "nobody can sign in at this provider");
    }
    Some(directory)
}

/// Waiting for one answer of a provider.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
