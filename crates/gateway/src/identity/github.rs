//! GitHub signs people in by OAuth without OpenID Connect: no ID token, no discovery, no refresh. Who somebody is says its
//! API, to the token that the sign-in gave; the same token asks again later, and is refused when the person took it back.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, StatusCode};
use portcullis_base::Secret;
use portcullis_oauth::relying::{
    callback::{self, IssPolicy},
    discovery::ProviderMetadata,
    issuer::IssuerRule,
    profile::{Groups, Profile},
    request::AuthorizationRequest,
    token::Wanted,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Again, AgainError, Arrived, Begin, Context, Expect, ProviderError, RevokeError,
    api::{self, ApiError},
    tokens,
};
use crate::{
    config,
    outbound::{Ask, Outbound},
};

const PUBLIC: &str = "https://github.com";
const PUBLIC_API: &str = "https://api.github.com";
const PER_PAGE: usize = 100;
const MAX_ANSWER: usize = 64 * 1024;
/// The meta page lists all of GitHub's addresses.
const MAX_META: usize = 4 * 1024 * 1024;
/// GitHub Apps whose tokens expire give refresh tokens, and they begin so.
const REFRESH_TOKEN: &str = "ghr_";

/// GitHub, or a GitHub Enterprise Server.
pub(super) struct Github {
    /// What a discovery document would say, if there were one.
    metadata: ProviderMetadata,
    api: String,
}

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Email {
    #[serde(rename = "email")]
    address: String,
    primary: bool,
    verified: bool,
}

#[derive(Deserialize)]
struct Organization {
    login: String,
}

#[derive(Deserialize)]
struct Team {
    slug: String,
    organization: Organization,
}

impl Github {
    pub(super) fn new(settings: &config::Provider) -> Self {
        let base = settings.issuer.trim_end_matches('/');
        let api = match &settings.api_url {
            Some(api) => api.trim_end_matches('/').to_owned(),
            None if base == PUBLIC => PUBLIC_API.to_owned(),
            None if base.ends_with(".ghe.com") => base.replacen("https://", "https://api.", 1),
            None => format!("{base}/api/v3"),
        };
        let metadata = ProviderMetadata {
            // What GitHub calls itself where it speaks OAuth; people are kept under the base address.
            issuer: format!("{base}/login/oauth"),
            authorization_endpoint: format!("{base}/login/oauth/authorize"),
            token_endpoint: format!("{base}/login/oauth/access_token"),
            token_endpoint_auth_methods_supported: Some(vec!["client_secret_post".into()]),
            ..ProviderMetadata::default()
        };
        Self { metadata, api }
    }

    /// Where its API is.
    pub(super) fn api(&self) -> &str {
        &self.api
    }

    /// What a discovery document would say.
    pub(super) fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    /// What its API answers to anybody.
    pub(super) async fn meta(&self, outbound: &Outbound) -> Result<HeaderMap, String> {
        let url = format!("{}/meta", self.api);
        let fetched = outbound.fetch(Ask::get(&url, "application/json", MAX_META)).await;
        let fetched = fetched.map_err(|error| format!("{url}: {}", error.detail()))?;
        // An Enterprise Server in private mode tells strangers nothing, which is an answer too.
        let there = fetched.status.is_success() || fetched.status == StatusCode::UNAUTHORIZED;
        if there { Ok(fetched.headers) } else { Err(format!("{url} answered {}", fetched.status)) }
    }

    pub(super) fn begin(&self, context: &Context<'_>, begin: &Begin<'_>) -> Result<String, ProviderError> {
        if begin.fresh.is_some() {
            return Err(ProviderError::not_allowed(
                "This needs a fresh sign-in, and GitHub does not tell how fresh a sign-in is. Sign in with another \
                 account.",
                "a rule asks for a fresh sign-in, which GitHub cannot prove",
            ));
        }
        let hint = begin.login_hint.map(|hint| ("login", hint));
        let request = AuthorizationRequest {
            endpoint: &self.metadata.authorization_endpoint,
            client_id: &context.settings.client_id,
            redirect_uri: context.redirect_uri,
            scopes: &context.settings.scopes,
            resource: None,
            state: begin.state,
            nonce: None,
            challenge: begin.challenge,
            max_age: None,
            acr_values: None,
            prompt: None,
            login_hint: None,
            extra: hint.as_slice(),
        };
        Ok(request.url())
    }

    pub(super) async fn finish(
        &self,
        context: &Context<'_>,
        query: &str,
        expect: &Expect<'_>,
    ) -> Result<Arrived, ProviderError> {
        let rule = IssuerRule::Exact(self.metadata.issuer.clone());
        let code = callback::parse(query, &rule, IssPolicy::IfPresent)?.code;
        let redirect_uri = context.redirect_uri;
        let wanted = Wanted::Redeem { code: &code, redirect_uri, verifier: expect.verifier };
        let got = tokens::ask(context, &self.metadata, &wanted).await?;
        let profile = self.who(context.outbound, &got.access_token).await?;
        let groups = admit(context.settings, &profile)?;
        Ok(Arrived {
            issuer: context.settings.issuer.clone(),
            external_id: Some(profile.subject.clone()),
            groups: Some(groups),
            profile,
            refresh: Some(got.refresh_token.unwrap_or(got.access_token)),
            id_token: None,
            sid: None,
            authenticated_at: None,
            acr: None,
            amr: Vec::new(),
        })
    }

    pub(super) async fn again(&self, context: &Context<'_>, kept: &Secret, subject: &str) -> Result<Again, AgainError> {
        let (access, rotated) = if kept.reveal().starts_with(REFRESH_TOKEN) {
            let got = tokens::ask(context, &self.metadata, &Wanted::Refresh(kept)).await?;
            (got.access_token, got.refresh_token)
        } else {
            (kept.clone(), None)
        };
        match self.told_again(context, &access, subject).await {
            Ok((groups, display_name)) => Ok(Again { groups: Some(groups), display_name, refresh: rotated }),
            Err(error) => Err(error.keeping(rotated)),
        }
    }

    async fn told_again(
        &self,
        context: &Context<'_>,
        access: &Secret,
        subject: &str,
    ) -> Result<(Vec<String>, Option<String>), AgainError> {
        let profile = self.who(context.outbound, access).await.map_err(|error| match error {
            // spec: AS-86: the person took the token back, or an administrator did.
            ApiError::Unauthorized(detail) => AgainError::Ended(detail),
            other => AgainError::unavailable(other),
        })?;
        if profile.subject != subject {
            return Err(AgainError::Ended("the token is somebody else's now".into()));
        }
        Ok((admit(context.settings, &profile)?, profile.display_name))
    }

    /// Takes back everything the person let us do, so that the kept token is worth nothing.
    pub(super) async fn revoke(&self, context: &Context<'_>, kept: &Secret) -> Result<(), RevokeError> {
        let settings = context.settings;
        let Some(secret) = &settings.client_secret else { return Err(RevokeError::NotOffered) };
        if kept.reveal().starts_with(REFRESH_TOKEN) {
            return Err(RevokeError::NotOffered);
        }
        let pair = Secret::new(format!("{}:{}", settings.client_id, secret.reveal()));
        let basic = Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal())));
        let url = format!("{}/applications/{}/grant", self.api, settings.client_id);
        let body = serde_json::json!({ "access_token": kept.reveal() }).to_string();
        let ask = Ask {
            method: Method::DELETE,
            body: Some(("application/json", body.into())),
            ..Ask::get(&url, "application/json", MAX_ANSWER)
        };
        let fetched = context.outbound.fetch(ask.authorized(Some(basic))).await;
        let status = fetched.map_err(|error| RevokeError::Failed(format!("{url}: {}", error.detail())))?.status;
        match status {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
            status => Err(RevokeError::Failed(format!("{url} answered {status}"))),
        }
    }

    /// Who a token is for, with everything that is needed of them.
    async fn who(&self, outbound: &Outbound, token: &Secret) -> Result<Profile, ApiError> {
        let user: User = api::get(outbound, &format!("{}/user", self.api), token).await?;
        let emails: Vec<Email> = self.pages(outbound, "user/emails", token).await?;
        let organizations: Vec<Organization> = self.pages(outbound, "user/orgs", token).await?;
        let teams: Vec<Team> = self.pages(outbound, "user/teams", token).await?;
        // spec: T-52: only an address that GitHub has verified; it shows and routes, and identifies nobody.
        let email = emails.into_iter().find(|email| email.primary && email.verified).map(|email| email.address);
        let mut groups: Vec<_> = organizations.into_iter().map(|organization| organization.login).collect();
        groups.extend(teams.into_iter().map(|team| format!("{}/{}", team.organization.login, team.slug)));
        Ok(Profile {
            subject: user.id.to_string(),
            tenant: None,
            names: vec![user.login],
            display_name: user.name,
            email,
            hosted_domain: None,
            groups: Groups::Given(groups),
        })
    }

    /// A whole list. spec: T-52: every page or an error.
    async fn pages<T: DeserializeOwned>(
        &self,
        outbound: &Outbound,
        what: &str,
        token: &Secret,
    ) -> Result<Vec<T>, ApiError> {
        let mut all = Vec::new();
        for number in 1..=api::MAX_PAGES {
            let url = format!("{}/{what}?per_page={PER_PAGE}&page={number}", self.api);
            let (page, rest) = api::page::<T>(outbound, &url, token).await?;
            let last = rest == api::Rest::Unsaid && page.len() < PER_PAGE;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
        Err(api::endless(&format!("{}/{what}", self.api)))
    }
}

/// The groups of somebody whom our settings let in.
fn admit(settings: &config::Provider, profile: &Profile) -> Result<Vec<String>, ProviderError> {
    let Groups::Given(groups) = &profile.groups else { return Err(ProviderError::unavailable("no groups")) };
    let required = &settings.organizations;
    let member = |own: &String| groups.iter().any(|group| group.eq_ignore_ascii_case(own));
    if required.is_empty() || required.iter().any(member) {
        return Ok(groups.clone());
    }
    Err(ProviderError::not_allowed(
        "Your GitHub account is not a member of an organization that may sign in here. If it is, the organization must \
         allow this application to see its members.",
        format!("not a member of {}", required.join(", ")),
    ))
}
