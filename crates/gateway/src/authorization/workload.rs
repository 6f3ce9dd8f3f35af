//! A program that its platform vouches for gets a token as a service account, without a secret of its own.

use axum::response::Response;
use portcullis_oauth::{
    assertion::{
        Presented,
        workload::{Expected, Workload, decide, verify},
    },
    machine::AssertionRequest,
    metadata,
    scope::Scopes,
};
use portcullis_store::{Person, PersonKind};

use super::{
    assertion::{first_use, refused},
    client_credentials::grant,
    issue::Requester,
    resources,
};
use crate::{
    app::App,
    config::{self, WorkloadRule},
    error::ApiError,
};

pub async fn issue(
    app: &App,
    requester: &Requester<'_>,
    request: &AssertionRequest,
    presented: &Presented,
) -> Result<Response, ApiError> {
    let Some((settings, issuer)) = app.workloads.by_issuer(&presented.issuer) else {
        return Err(refused(requester, "its issuer is not trusted for workloads").await);
    };
    let Some(keys) = issuer.keys(presented.kid.as_deref(), &app.workloads.reaching).await else {
        return Err(ApiError::unavailable("the keys of a trusted issuer cannot be had"));
    };
    let audiences = audiences(app, settings);
    let expected = Expected { issuer: &settings.issuer, audiences: &audiences, now: app.clock.now() };
    let workload = match verify(request.assertion.reveal(), &keys, &expected) {
        Ok(workload) => workload,
        Err(why) => return Err(refused(requester, why).await),
    };
    let Some((rule, account)) = account(app, settings, &workload, request).await? else {
        return Err(refused(requester, format!("no rule of `{}` lets {} in", settings.id, workload.subject)).await);
    };
    let granted = resources::with_resources_among(app, &rule.servers, &account, |resources| {
        decide(request, &Scopes::endpoint(), resources)
    });
    let granted = match granted {
        Ok(granted) => granted,
        Err(error) => return Err(requester.refused(None, error).await),
    };
    if !first_use(app, &workload.spend()).await? {
        return Err(refused(requester, "it was used before").await);
    }
    grant(app, requester, &account, &granted).await
}

/// spec: AS-183: "`aud` (token endpoint URL per draft; accept issuer)"
fn audiences(app: &App, settings: &config::Workload) -> Vec<String> {
    let issuer = app.config.public_url.as_str();
    match &settings.audience {
        Some(audience) => vec![audience.clone()],
        None => vec![issuer.to_owned(), format!("{issuer}{}", metadata::TOKEN)],
    }
}

/// The first rule that fits, for the endpoint that is asked for if one is, and the account that it names.
async fn account<'s>(
    app: &App,
    settings: &'s config::Workload,
    workload: &Workload,
    request: &AssertionRequest,
) -> Result<Option<(&'s WorkloadRule, Person)>, ApiError> {
    let wanted = |rule: &&WorkloadRule| {
        request
            .resource
            .as_deref()
            .is_none_or(|resource| rule.servers.iter().any(|server| app.config.server_url(server) == resource))
    };
    let mut fitting = settings.allow.iter().filter(|rule| workload.matches(&rule.claims));
    let Some(rule) = fitting.clone().find(wanted).or_else(|| fitting.next()) else { return Ok(None) };
    let found = app.store.person_by_name(&rule.service_account).await.map_err(ApiError::unavailable)?;
    let account = found.map(|(account, _)| account);
    // spec: AS-184: a workload is never a person.
    Ok(account
        .filter(|account| account.kind == PersonKind::Service && account.is_active())
        .map(|account| (rule, account)))
}
