//! OpenID Connect with one provider: the requests between the pure decisions.

use std::sync::Arc;

use portcullis_base::{Secret, printable};
use portcullis_oauth::{
    jwks::PublicKeys,
    jwt::{JwtError, MAX_ID_TOKEN_BYTES, Unverified},
    relying::{
        callback::{self, IssPolicy},
        discovery::ProviderMetadata,
        id_token::{self, Expected, IdToken, IdTokenError},
        profile::{self, Groups, Profile},
        request::AuthorizationRequest,
        token::{ProviderTokens, Wanted},
    },
    scope::OFFLINE_ACCESS,
};
use serde_json::{Map, Value};

use super::{
    Again, AgainError, Arrived, Begin, Context, Discovery, Expect, Fresh, FreshTokens, IssuerKeys, ProviderError,
    api::{self, ApiError},
    entra,
    google::Directory,
    tokens,
};
use crate::config::{self, Offline, ProviderKind};

/// A provider that speaks OpenID Connect.
pub(super) struct OpenId {
    pub(super) discovery: Discovery,
    pub(super) keys: IssuerKeys,
    /// Google's directory, if the settings give access to it, or what is wrong with that.
    pub(super) directory: Option<Result<Directory, String>>,
}

/// Somebody the provider knows and our settings let in.
struct Known {
    profile: Profile,
    groups: Vec<String>,
    external_id: Option<String>,
}

impl OpenId {
    pub(super) async fn begin(&self, context: &Context<'_>, begin: &Begin<'_>) -> Result<String, ProviderError> {
        let metadata = self.discovery.metadata().await?;
        let settings = context.settings;
        let acr = begin.fresh.filter(|fresh| !fresh.acr.is_empty()).map(|fresh| fresh.acr.join(" "));
        let mut extra = Vec::new();
        if settings.kind == ProviderKind::Google && settings.offline == Offline::Asked {
            extra.push(("access_type", "offline"));
        }
        if let [domain] = settings.hosted_domains.as_slice() {
            extra.push(("hd", domain.as_str()));
        }
        let scopes = known_there(&settings.scopes, &metadata);
        let request = AuthorizationRequest {
            endpoint: &metadata.authorization_endpoint,
            client_id: &settings.client_id,
            redirect_uri: context.redirect_uri,
            scopes: &scopes,
            resource: None,
            state: begin.state,
            nonce: Some(begin.nonce),
            challenge: begin.challenge,
            max_age: begin.fresh.map(|fresh| fresh.max_age.as_secs()),
            acr_values: acr.as_deref(),
            prompt: prompt(settings, &scopes, begin.fresh),
            login_hint: begin.login_hint,
            extra: &extra,
        };
        Ok(request.url())
    }

    pub(super) async fn finish(
        &self,
        context: &Context<'_>,
        query: &str,
        expect: &Expect<'_>,
    ) -> Result<Arrived, ProviderError> {
        let metadata = self.discovery.metadata().await?;
        // spec: T-17, AS-137: whose answer it is, before the code goes anywhere.
        let advertised = metadata.authorization_response_iss_parameter_supported;
        let policy = if advertised { IssPolicy::Required } else { IssPolicy::IfPresent };
        let code = callback::parse(query, self.discovery.rule(), policy)?.code;
        let redirect_uri = context.redirect_uri;
        let wanted = Wanted::Redeem { code: &code, redirect_uri, verifier: expect.verifier };
        let got = tokens::ask(context, &metadata, &wanted).await?;
        let Some(raw) = &got.id_token else {
            return Err(ProviderError::misconfigured("the provider gave no ID token: is `openid` among the scopes?"));
        };
        let told = self.believe(context, &metadata, raw, &got, Some(expect)).await?;
        let known = self.know(context, &metadata, told.claims, &got.access_token).await?;
        Ok(Arrived {
            issuer: told.issuer,
            external_id: known.external_id,
            groups: Some(known.groups),
            profile: known.profile,
            id_token: Some(raw.clone()),
            refresh: got.refresh_token,
            sid: told.sid,
            authenticated_at: told.authenticated_at,
            acr: told.acr,
            amr: told.amr,
        })
    }

    pub(super) async fn again(
        &self,
        context: &Context<'_>,
        refresh: &Secret,
        subject: &str,
    ) -> Result<Again, AgainError> {
        let metadata = self.discovery.metadata().await.map_err(ProviderError::from)?;
        let got = tokens::ask(context, &metadata, &Wanted::Refresh(refresh)).await?;
        match self.told_again(context, &metadata, &got, subject).await {
            Ok((groups, display_name)) => Ok(Again { groups, display_name, refresh: got.refresh_token }),
            Err(error) => Err(AgainError::from(error).keeping(got.refresh_token)),
        }
    }

    /// Fresh tokens of the person of `subject`, for use elsewhere in their name.
    pub(super) async fn fresh(
        &self,
        context: &Context<'_>,
        refresh: &Secret,
        subject: &str,
        scope: Option<&str>,
    ) -> Result<FreshTokens, AgainError> {
        let metadata = self.discovery.metadata().await.map_err(ProviderError::from)?;
        let wanted = match scope {
            Some(scope) => Wanted::RefreshFor { token: refresh, scope },
            None => Wanted::Refresh(refresh),
        };
        let got = tokens::ask(context, &metadata, &wanted).await?;
        let mut fresh = FreshTokens {
            access: got.access_token.clone(),
            access_ends: got.expires_in.map(|lifetime| context.clock.now().plus(lifetime)),
            id_token: None,
            refresh: got.refresh_token.clone(),
        };
        if let Some(raw) = &got.id_token {
            // spec: T-52: what is used in somebody's name is theirs. A new refresh token is kept whatever comes of it.
            match self.believe(context, &metadata, raw, &got, None).await {
                Ok(told) if told.subject == subject => fresh.id_token = Some((raw.clone(), told.expires_at)),
                Ok(_) => {
                    let error = ProviderError::gone("the provider answers for somebody else now");
                    return Err(AgainError::from(error).keeping(got.refresh_token));
                }
                Err(error) => return Err(AgainError::from(error).keeping(got.refresh_token)),
            }
        }
        Ok(fresh)
    }

    /// What the tokens of a refresh say of the person of `subject`.
    async fn told_again(
        &self,
        context: &Context<'_>,
        metadata: &ProviderMetadata,
        got: &ProviderTokens,
        subject: &str,
    ) -> Result<(Option<Vec<String>>, Option<String>), ProviderError> {
        let claims = match &got.id_token {
            // An ID token of a refresh is judged like the first; it needs no nonce (OpenID Connect Core §12.2).
            Some(raw) => self.believe(context, metadata, raw, got, None).await?.claims,
            None => match self.userinfo(context, metadata, &got.access_token).await? {
                Some(body) => profile::with_userinfo(same_subject(&body)?, &body).map_err(ProviderError::untrue)?,
                None => return Ok((None, None)),
            },
        };
        let known = self.know(context, metadata, claims, &got.access_token).await?;
        // spec: T-52: the answer is about the person of this sign-in or about nobody.
        if known.profile.subject != subject {
            return Err(ProviderError::gone("the provider answers for somebody else now"));
        }
        Ok((Some(known.groups), known.profile.display_name))
    }

    /// Judges an ID token with the provider's keys of this moment.
    async fn believe(
        &self,
        context: &Context<'_>,
        metadata: &ProviderMetadata,
        raw: &Secret,
        got: &ProviderTokens,
        expect: Option<&Expect<'_>>,
    ) -> Result<IdToken, ProviderError> {
        let keys = self.keys_of(context, metadata, raw.reveal()).await?;
        let fresh = expect.and_then(|expect| expect.fresh);
        let expected = Expected {
            issuer: self.discovery.rule(),
            client_id: &context.settings.client_id,
            nonce: expect.map(|expect| expect.nonce),
            max_age: fresh.map(|fresh| fresh.max_age),
            acr: fresh.map(|fresh| fresh.acr.as_slice()).filter(|acr| !acr.is_empty()),
            subject: None,
            access_token: Some(&got.access_token),
            now: context.clock.now(),
        };
        match id_token::verify(raw.reveal(), &keys, &expected) {
            Err(IdTokenError::UnknownKey { .. } | IdTokenError::Jwt(JwtError::Signature)) => {
                let keys = self.keys.newest(&metadata.jwks_uri, context.outbound, context.clock).await?;
                Ok(id_token::verify(raw.reveal(), &keys, &expected)?)
            }
            verified => Ok(verified?),
        }
    }

    /// The keys with which `token` is checked; a key that is new is asked for.
    pub(super) async fn keys_of(
        &self,
        context: &Context<'_>,
        metadata: &ProviderMetadata,
        token: &str,
    ) -> Result<Arc<PublicKeys>, ProviderError> {
        let kid = Unverified::split_foreign(token, MAX_ID_TOKEN_BYTES).map_err(ProviderError::untrue)?.kid;
        Ok(self.keys.keys_for(&metadata.jwks_uri, kid.as_deref(), context.outbound, context.clock).await?)
    }

    /// Makes a person out of claims: asks for what is missing, checks who is let in, resolves the groups.
    async fn know(
        &self,
        context: &Context<'_>,
        metadata: &ProviderMetadata,
        mut claims: Map<String, Value>,
        access: &Secret,
    ) -> Result<Known, ProviderError> {
        let settings = context.settings;
        let names = &settings.claims;
        let read = |claims: &_| Profile::from_claims(names, claims).map_err(ProviderError::misconfigured);
        let mut profile = read(&claims)?;
        if self.lacks(settings, &profile) {
            match self.userinfo(context, metadata, access).await {
                Ok(Some(body)) => {
                    // An address and the word that it is verified come from one place.
                    if profile.email.is_none() {
                        claims.retain(|name, _| *name != names.email && name != "email_verified");
                    }
                    claims = profile::with_userinfo(claims, &body).map_err(ProviderError::untrue)?;
                    profile = read(&claims)?;
                }
                Ok(None) => {}
                // spec: T-52: where the groups could have been, not knowing is not the same as none.
                Err(error) if profile.groups == Groups::Absent || !settings.hosted_domains.is_empty() => {
                    return Err(error);
                }
                Err(error) => tracing::info!(provider.id = settings.id, error.detail = error.detail, "no userinfo"),
            }
        }
        admit(settings, &profile)?;
        let groups = self.groups(context, &profile, access).await?;
        let external_id = match settings.kind {
            ProviderKind::Entra => claims.get("oid").and_then(Value::as_str).map(str::to_owned),
            _ => Some(profile.subject.clone()),
        };
        Ok(Known { profile, groups, external_id })
    }

    /// Whether the ID token alone leaves something open that is shown or decided by.
    fn lacks(&self, settings: &config::Provider, profile: &Profile) -> bool {
        let groups = profile.groups == Groups::Absent && self.directory.is_none();
        let hosted = profile.hosted_domain.is_none() && !settings.hosted_domains.is_empty();
        groups || hosted || profile.email.is_none() || profile.display_name.is_none()
    }

    /// What the userinfo endpoint says, if there is one.
    async fn userinfo(
        &self,
        context: &Context<'_>,
        metadata: &ProviderMetadata,
        access: &Secret,
    ) -> Result<Option<bytes::Bytes>, ProviderError> {
        let Some(url) = &metadata.userinfo_endpoint else { return Ok(None) };
        Ok(Some(api::body(context.outbound, url, access, profile::MAX_USERINFO_BYTES).await?))
    }

    /// All groups of a person. spec: T-52: all, or an error.
    async fn groups(
        &self,
        context: &Context<'_>,
        profile: &Profile,
        access: &Secret,
    ) -> Result<Vec<String>, ProviderError> {
        let settings = context.settings;
        match (&self.directory, &profile.groups) {
            (Some(Err(problem)), _) => Err(ProviderError::misconfigured(problem)),
            (Some(Ok(directory)), _) => {
                let asked = directory.groups(context.outbound, context.clock, &profile.subject).await;
                asked.map_err(groups_unknown)
            }
            // Keycloak writes a group as the path to it.
            (None, Groups::Given(groups)) if settings.kind == ProviderKind::Keycloak => {
                Ok(groups.iter().map(|group| group.trim_start_matches('/').to_owned()).collect())
            }
            (None, Groups::Given(groups)) => Ok(groups.clone()),
            (None, Groups::Absent) => Ok(Vec::new()),
            (None, Groups::Overage) if settings.kind == ProviderKind::Entra => {
                let asked = entra::groups(context.outbound, settings.api_url.as_deref(), access).await;
                asked.map_err(groups_unknown)
            }
            (None, Groups::Overage) => {
                Err(groups_unknown(ApiError::Refused("the token says that there are too many groups for it".into())))
            }
        }
    }
}

/// What a provider's words without a signature are about, as claims.
fn same_subject(userinfo: &[u8]) -> Result<Map<String, Value>, ProviderError> {
    let told: Map<String, Value> = serde_json::from_slice(userinfo).map_err(ProviderError::untrue)?;
    let subject = told.get("sub").cloned().ok_or_else(|| ProviderError::untrue("userinfo names nobody"))?;
    Ok(Map::from_iter([("sub".to_owned(), subject)]))
}

/// A sign-in whose groups could not be learned does not go on without them.
fn groups_unknown(error: ApiError) -> ProviderError {
    match error {
        ApiError::NoAnswer(_) => error.into(),
        ApiError::Refused(detail) | ApiError::Unauthorized(detail) => {
            ProviderError::misconfigured(format!("the groups of the person could not be learned: {detail}"))
        }
    }
}

/// The scopes without `offline_access` where the provider says that it does not know it: some refuse whoever asks for a scope
/// that they do not have. What else an administrator wrote is asked for as it stands.
fn known_there(scopes: &[String], metadata: &ProviderMetadata) -> Vec<String> {
    let unknown =
        |scope: &str| metadata.scopes_supported.as_ref().is_some_and(|all| all.iter().all(|known| known != scope));
    scopes.iter().filter(|scope| *scope != OFFLINE_ACCESS || !unknown(scope)).cloned().collect()
}

/// What the provider should ask the person. `offline_access` wants consent by the letter of OpenID Connect Core §11, and
/// Google gives a refresh token at the first consent only; the other kinds need no question.
fn prompt(settings: &config::Provider, scopes: &[String], fresh: Option<&Fresh>) -> Option<&'static str> {
    let offline = settings.offline == Offline::Asked;
    let asks_by_scope = scopes.iter().any(|scope| scope == OFFLINE_ACCESS);
    match settings.kind {
        ProviderKind::Google if offline => Some("consent"),
        ProviderKind::Oidc if offline && asks_by_scope => Some("consent"),
        // Entra does not look at `max_age`.
        ProviderKind::Entra if fresh.is_some() => Some("login"),
        _ => None,
    }
}

/// Whether our settings let them in.
pub(super) fn admit(settings: &config::Provider, profile: &Profile) -> Result<(), ProviderError> {
    let hosted = &settings.hosted_domains;
    let found = profile.hosted_domain.as_deref();
    // spec: T-52, AS-143: Google's `hd` says in whose Workspace an account is; an address alone does not.
    if !hosted.is_empty() && !found.is_some_and(|found| hosted.iter().any(|own| own.eq_ignore_ascii_case(found))) {
        return Err(ProviderError::not_allowed(
            "Your account is not one of the company's. Sign in with your company account.",
            format!("hosted domain {}, expected {}", printable(found.unwrap_or("none"), 100), hosted.join(" or ")),
        ));
    }
    let domains = &settings.domains;
    let found = profile.email.as_deref().and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
    match found.filter(|found| !domains.iter().any(|own| own.eq_ignore_ascii_case(found))) {
        Some(foreign) if !domains.is_empty() => Err(ProviderError::not_allowed(
            "Your e-mail address is not one of the company's. Sign in with your company account.",
            format!("e-mail domain {}, expected {}", printable(foreign, 100), domains.join(" or ")),
        )),
        _ => Ok(()),
    }
}
