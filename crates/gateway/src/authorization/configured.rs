//! Clients that an administrator wrote into the settings.

use portcullis_base::{ClientId, Digest, Timestamp};
use portcullis_oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata, GrantType};
use portcullis_store::StoreError;

use crate::{app::App, config::ConfiguredClient};

/// Writes the clients of the settings into the store, where every door looks for clients, and takes away those that the
/// settings no longer name. To be called at start and when the settings change.
pub async fn settle(app: &App) -> Result<(), StoreError> {
    let now = app.clock.now();
    let configured = &app.config.clients.configured;
    for stored in app.store.clients().await? {
        let named = configured.iter().any(|named| named.id == stored.client.id.as_str());
        if stored.client.kind == ClientKind::Configured && !named {
            app.store.remove_client(&stored.client.id, now).await?;
        }
    }
    for configured in configured {
        app.store.put_configured(&client(configured, now), now).await?;
    }
    Ok(())
}

fn client(configured: &ConfiguredClient, now: Timestamp) -> Client {
    let method = match configured.token_endpoint_auth_method.as_str() {
        "client_secret_basic" => AuthMethod::ClientSecretBasic,
        "client_secret_post" => AuthMethod::ClientSecretPost,
        "private_key_jwt" => AuthMethod::PrivateKeyJwt,
        _ => AuthMethod::None,
    };
    let refreshes = configured.grant_types.iter().any(|grant| grant == "refresh_token");
    let metadata = ClientMetadata {
        client_name: Some(configured.name.clone()),
        token_endpoint_auth_method: method,
        grant_types: [Some(GrantType::AuthorizationCode), refreshes.then_some(GrantType::RefreshToken)]
            .into_iter()
            .flatten()
            .collect(),
        ..ClientMetadata::public(configured.redirect_uris.clone())
    };
    // spec: T-27, AS-87: only its digest is stored.
    let secret = configured.secret.as_ref().map(|secret| Digest::of(secret.reveal().as_bytes()));
    Client::new(ClientId::new(configured.id.as_str()), ClientKind::Configured, metadata, secret, now)
}
