//! `/admin/providers`: how the identity providers are.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    app::App,
    config::{BackChannel, ProviderKind},
    error::PageError,
    extract::{Admin, AdminForm},
    identity::Provider,
    pages::admin::providers::{Checked, Discovery, ProviderCard, Providers, checked, providers},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/providers", get(show))
        // The provider is asked in our name, so nobody's link starts it.
        .route("/admin/providers/{id}/check", post(check))
}

async fn show(State(app): State<Arc<App>>, Admin(who): Admin) -> Response {
    providers(&Providers { account: who.account(), rows: cards(&app), now: app.clock.now() }).into_response()
}

pub(super) fn cards(app: &App) -> Vec<ProviderCard> {
    app.providers.list().iter().map(|provider| card(app, provider)).collect()
}

fn card(app: &App, provider: &Provider) -> ProviderCard {
    let (settings, status) = (provider.settings(), provider.status());
    let back_channel = settings.back_channel_logout != BackChannel::Off && settings.kind != ProviderKind::Github;
    ProviderCard {
        id: provider.id().to_owned(),
        name: provider.name().to_owned(),
        kind: kind(settings.kind),
        issuer: settings.issuer.clone(),
        domains: settings.domains.clone(),
        redirect_uri: provider.redirect_uri().to_owned(),
        back_channel_uri: back_channel.then(|| provider.back_channel_uri().to_owned()),
        scim_url: settings.scim.as_ref().map(|_| format!("{}/scim/v2", app.config.public_url)),
        discovery: match status.discovered_at {
            Some(at) => Discovery::At(at),
            None if settings.kind == ProviderKind::Github => Discovery::Unneeded,
            None => Discovery::NotYet,
        },
        signed_in_at: status.signed_in_at,
        last_problem: status.last_problem,
        missing_claims: status.missing_claims,
    }
}

#[derive(Deserialize)]
struct Nothing {}

async fn check(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    AdminForm { who, form: Nothing {} }: AdminForm<Nothing>,
) -> Result<Response, PageError> {
    let provider = app.providers.get(&id).ok_or_else(PageError::not_found)?;
    let rows = provider.examine().await;
    let view = Checked { account: who.account(), id: provider.id(), name: provider.name(), rows };
    Ok(checked(&view).into_response())
}

const fn kind(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Okta => "Okta",
        ProviderKind::Entra => "Microsoft Entra ID",
        ProviderKind::Google => "Google",
        ProviderKind::Keycloak => "Keycloak",
        ProviderKind::Auth0 => "Auth0",
        ProviderKind::Oidc => "OpenID Connect",
        ProviderKind::Github => "GitHub",
    }
}
