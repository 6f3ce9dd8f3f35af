//! Keeping what is held alive, and giving it up (RFC 6749 §6, RFC 7009).

use std::time::Duration;

use portcullis_oauth::upstream::token::{Grant, Refused, Revoke, Tokens};

use super::{Authority, Found, Held, RefreshError, Revocation, asking::AskError};
use crate::snapshot::Server;

/// A refresh does not wait longer than this for metadata that it can do without.
const METADATA: Duration = Duration::from_secs(3);

/// Names that authorization servers have besides `invalid_grant` for a refresh token that is over.
const OVER: [&str; 8] = [
    "invalid_token",
    "token_expired",
    "expired_token",
    "token_revoked",
    "revoked_token",
    "invalid_refresh_token",
    "refresh_token_expired",
    "invalid_refresh",
];

impl Authority {
    /// Fresh tokens for what is held at `server`. Whoever calls is the only one who does so for this connection, and
    /// writes down what comes before anybody uses it (UP-43).
    pub async fn refresh(&self, server: &Server, held: &Held) -> Result<Held, RefreshError> {
        let Some(token) = &held.refresh else { return Err(RefreshError::Ended("no_refresh_token".into())) };
        let oauth = server.credential.oauth();
        // spec: UP-13: what one issuer gave is shown to no other, and an administrator's word counts at once.
        let expected = oauth.and_then(|oauth| oauth.issuer.as_deref());
        if oauth.is_none() || expected.is_some_and(|issuer| issuer != held.issuer()) {
            return Err(RefreshError::Ended("issuer_changed".into()));
        }
        let grant = Grant::Refresh { token, resource: held.resource.as_deref() };
        let found = tokio::time::timeout(METADATA, self.discover(server, None)).await;
        let place = endpoint(found.ok().and_then(Result::ok).as_deref(), held);
        match self.ask(Some(server), &held.client, &place, &grant).await {
            Ok(tokens) => Ok(self.renewed(held, tokens, place)),
            Err(error) => self.not_renewed(server, held, (&place, &grant), error).await,
        }
    }

    /// Gives up what is held. spec: UP-47
    pub async fn revoke(&self, held: &Held) -> Revocation {
        let server = self.server(&held.server);
        let found = match &server {
            Some(server) => tokio::time::timeout(METADATA, self.discover(server, None)).await.ok().and_then(Result::ok),
            None => None,
        };
        let found = found.filter(|found| found.issuer == held.issuer());
        let place = found.and_then(|found| found.metadata.revocation_endpoint.clone());
        let Some(place) = place.or_else(|| held.revocation_endpoint.clone()) else { return Revocation::NotOffered };
        // The refresh token first: with it the whole grant goes.
        let first = match &held.refresh {
            Some(refresh) => Revoke::Refresh(refresh),
            None => Revoke::Access(&held.access),
        };
        if let Err(error) = self.give_up(server.as_deref(), &held.client, &place, first).await {
            return Revocation::Failed(error.to_string());
        }
        if held.refresh.is_some() {
            // Where the access token has to go by itself. It ended with the refresh token at most places, and ends soon.
            let second = self.give_up(server.as_deref(), &held.client, &place, Revoke::Access(&held.access)).await;
            if let Err(error) = second {
                tracing::debug!(%error, "an access token was not given up besides its refresh token");
            }
        }
        Revocation::Done
    }

    fn renewed(&self, held: &Held, tokens: Tokens, place: String) -> Held {
        Held {
            scopes: tokens.scopes.unwrap_or_else(|| held.scopes.clone()),
            account: held.account.clone().or(tokens.account),
            access: tokens.access,
            // Whoever gives no new one means that the old one goes on (RFC 6749 §6).
            refresh: tokens.refresh.or_else(|| held.refresh.clone()),
            expires_at: tokens.expires_in.map(|lifetime| self.clock.now().plus(lifetime)),
            token_endpoint: place,
            ..held.clone()
        }
    }

    async fn not_renewed(
        &self,
        server: &Server,
        held: &Held,
        (place, grant): (&str, &Grant<'_>),
        error: AskError,
    ) -> Result<Held, RefreshError> {
        let unknown =
            matches!(&error, AskError::Refused { why: Refused::InvalidClient(_) | Refused::UnauthorizedClient(_), .. });
        if !unknown {
            return Err(judged(error));
        }
        // spec: UP-12: who does not know us may be found elsewhere by now.
        if let Ok(found) = self.discover_again(server).await {
            let now = endpoint(Some(&found), held);
            if now != place {
                return match self.ask(Some(server), &held.client, &now, grant).await {
                    Ok(tokens) => Ok(self.renewed(held, tokens, now)),
                    Err(error) => Err(judged(error)),
                };
            }
        }
        self.doubt(&held.client).await;
        match &error {
            AskError::Refused { why: Refused::InvalidClient(_), .. } if held.client.is_ours() => {
                Err(RefreshError::Forgotten(error.to_string()))
            }
            _ => Err(judged(error)),
        }
    }
}

/// Where the tokens of this issuer are renewed. spec: UP-13: never where another issuer says.
fn endpoint(found: Option<&Found>, held: &Held) -> String {
    let found = found.filter(|found| found.issuer == held.issuer());
    found.map_or_else(|| held.token_endpoint.clone(), |found| found.metadata.token_endpoint.clone())
}

/// Only a plain word ends a grant.
fn judged(error: AskError) -> RefreshError {
    let detail = error.to_string();
    match error {
        AskError::NoAnswer(_) => RefreshError::Unavailable(detail),
        AskError::Ourselves(_) | AskError::Unusable(_) => RefreshError::Client(detail),
        AskError::Refused { why, .. } => match why {
            Refused::InvalidGrant(_) => RefreshError::Ended("invalid_grant".into()),
            Refused::AccessDenied(_) => RefreshError::Ended("access_denied".into()),
            Refused::Interaction(_) => RefreshError::Ended("interaction_required".into()),
            Refused::Other { code, .. } if OVER.contains(&code.as_str()) => RefreshError::Ended(code),
            Refused::Temporary(_) => RefreshError::Unavailable(detail),
            _ => RefreshError::Client(detail),
        },
    }
}
