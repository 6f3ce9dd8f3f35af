//! What we publish about ourselves and about every endpoint.
//!
//! Only at the URLs from which a client derives the issuer or resource that the document names. Every other well-known
//! URL is 404, because a strict client that finds a document of somebody else gives up instead of looking further
//! (spec: AS-9, RS-4).

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use portcullis_base::ServerName;
use portcullis_oauth::metadata::{AuthorizationServer, OpenIdServer, ProtectedResource, Settings, Switch};

use super::answer::{Keep, json};
use crate::{app::App, config::Registration, error::ApiError};

/// `GET /.well-known/oauth-authorization-server`
pub async fn authorization_server(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    json(StatusCode::OK, Keep::Minutes, &AuthorizationServer::new(&settings(&app)))
}

/// `GET /.well-known/openid-configuration`
pub async fn openid(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    json(StatusCode::OK, Keep::Minutes, &OpenIdServer::new(&settings(&app)))
}

/// `GET /.well-known/oauth-protected-resource/mcp/{name}`
///
/// spec: RS-1, RS-8: without authentication; the name of a server is no secret, what it offers is.
pub async fn protected_resource(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let name = ServerName::parse(&name).ok();
    let known = name.filter(|name| app.snapshot.load().endpoint(name).is_some());
    let name = known.ok_or_else(nowhere_at_all)?;
    let (url, text) = (app.config.server_url(&name), Some(name.as_str()));
    let document = match app.externals.get(&name) {
        None => ProtectedResource::new(&settings(&app), &url, text),
        // spec: RS-3, RS-21: the one whose tokens open this endpoint.
        Some(external) => ProtectedResource::external(external.issuer(), &url, text),
    };
    json(StatusCode::OK, Keep::Minutes, &document)
}

/// Every other well-known address. Also readable from other pages: a client that may not see the 404 does not look on.
pub async fn nowhere() -> ApiError {
    nowhere_at_all()
}

fn nowhere_at_all() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "nothing is published here")
}

fn settings(app: &App) -> Settings {
    let switch = |on| if on { Switch::On } else { Switch::Off };
    Settings {
        issuer: app.config.public_url.as_str().to_owned(),
        registration: switch(app.config.clients.registration != Registration::Off),
        documents: switch(app.config.clients.metadata_documents.enabled),
        client_credentials: switch(app.snapshot.load().service_accounts > 0),
        id_jag: switch(app.config.trusts_identity_assertions()),
        workloads: switch(!app.config.identity.workloads.is_empty()),
    }
}
