//! A person on their way to an authorization server and back (UP-C).

use portcullis_base::{Digest, Secret, ServerName, token};
use portcullis_oauth::{
    relying::{
        callback::{self, CallbackError, IssPolicy},
        issuer::IssuerRule,
        request::AuthorizationRequest,
    },
    upstream::{
        request,
        scopes::{self, Known},
        token::{Grant, Refused},
    },
};
use serde::{Deserialize, Serialize};

use super::{
    Authority, AuthorityError, Held,
    asking::AskError,
    client::{ClientAt, Way},
    plain,
    terms::Terms,
};
use crate::snapshot::Server;

/// Everything that the answer is judged and redeemed by: one entry, written down before the browser leaves.
///
/// spec: UP-33: with the person, the browser and the expiry, which whoever keeps it adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// For which server.
    pub server: ServerName,
    /// Comes back with the answer; single-use, to be found by its digest.
    #[serde(with = "plain")]
    pub state: Secret,
    /// The issuer that is asked, and who we are there.
    pub client: ClientAt,
    /// Which scopes were asked for; empty: none were named.
    pub scopes: Vec<String>,
    /// For which resource.
    pub resource: Option<String>,
    #[serde(with = "plain")]
    verifier: Secret,
    redirect_uri: String,
    iss: Iss,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
}

/// Whether every answer must say who sends it (RFC 9207).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Iss {
    Required,
    IfPresent,
}

impl Begun {
    /// All of it, to be sealed.
    pub fn to_sealed_text(&self) -> Secret {
        plain::written(self)
    }

    /// Reads [`to_sealed_text`](Self::to_sealed_text) back.
    pub fn from_sealed_text(opened: &Secret) -> Option<Self> {
        plain::read(opened)
    }

    /// The issuer that was asked.
    pub fn issuer(&self) -> &str {
        &self.client.issuer
    }
}

impl Authority {
    /// Where a person is sent who connects at `server`, and what their return is judged by. `wanted`: the scopes that a
    /// call was refused for, with those there were before; empty: what the server names.
    pub async fn begin(&self, server: &Server, wanted: &[String]) -> Result<(String, Begun), AuthorityError> {
        let terms = Terms::of(server)?;
        let found = self.discover_now(server).await?;
        let Some(endpoint) = &found.metadata.authorization_endpoint else {
            return Err(AuthorityError::settings("the authorization server has no authorization_endpoint"));
        };
        let client = self.client(server, &found).await?;
        let heard = self.challenged(server);
        let scopes = match Some(wanted).filter(|wanted| !wanted.is_empty()).or(heard.as_deref()) {
            Some(challenged) => {
                let known = Known { challenged: Some(challenged), listed: None, cap: terms.cap() };
                scopes::choose(&known).map_err(AuthorityError::scopes)?
            }
            None => found.scopes.clone(),
        };
        let scopes = scopes::with_our_own(scopes, found.metadata.scopes_supported.as_deref(), terms.cap());
        // spec: UP-32: a fresh verifier of 32 bytes for each request.
        let verifier = Secret::new(token::<32>(&*self.rng));
        let begun = Begun {
            server: server.name.clone(),
            state: Secret::new(token::<32>(&*self.rng)),
            redirect_uri: self.callback(&found.issuer),
            client,
            scopes,
            resource: found.resource.clone(),
            iss: match found.metadata.iss_policy() {
                IssPolicy::Required => Iss::Required,
                IssPolicy::IfPresent => Iss::IfPresent,
            },
            token_endpoint: found.metadata.token_endpoint.clone(),
            revocation_endpoint: found.metadata.revocation_endpoint.clone(),
            verifier,
        };
        let request = AuthorizationRequest {
            endpoint,
            client_id: &begun.client.client_id,
            redirect_uri: &begun.redirect_uri,
            scopes: &begun.scopes,
            resource: begun.resource.as_deref(),
            state: begun.state.reveal(),
            nonce: None,
            challenge: &Digest::of(begun.verifier.reveal().as_bytes()).to_base64url(),
            max_age: None,
            acr_values: None,
            prompt: request::prompt(&found.issuer, &begun.scopes),
            login_hint: None,
            extra: request::extra(&found.issuer),
        };
        Ok((request.url(), begun))
    }

    /// What the answer in `query` is worth. That its state is of this person and this browser was found out before.
    ///
    /// spec: UP-34, UP-35, UP-39, T-17, T-18: judged, and redeemed, by what was written down before the browser left.
    pub async fn redeem(&self, begun: &Begun, query: &str) -> Result<Held, AuthorityError> {
        let policy = match begun.iss {
            Iss::Required => IssPolicy::Required,
            Iss::IfPresent => IssPolicy::IfPresent,
        };
        let issuer = IssuerRule::Exact(begun.issuer().to_owned());
        let answer = callback::parse(query, &issuer, policy).map_err(|error| match error {
            CallbackError::Provider { error, description } => AuthorityError::declined(&error, description.as_deref()),
            other => AuthorityError::untrue(other),
        })?;
        if Secret::new(answer.state) != begun.state {
            return Err(AuthorityError::untrue("the answer has another state"));
        }
        let grant = Grant::Code {
            code: &answer.code,
            redirect_uri: &begun.redirect_uri,
            verifier: &begun.verifier,
            resource: begun.resource.as_deref(),
        };
        let server = self.server(&begun.server);
        match self.ask(server.as_deref(), &begun.client, &begun.token_endpoint, &grant).await {
            Ok(tokens) => Ok(Held {
                server: begun.server.clone(),
                client: begun.client.clone(),
                resource: begun.resource.clone(),
                scopes: tokens.scopes.unwrap_or_else(|| begun.scopes.clone()),
                account: tokens.account,
                access: tokens.access,
                refresh: tokens.refresh,
                expires_at: tokens.expires_in.map(|lifetime| self.clock.now().plus(lifetime)),
                token_endpoint: begun.token_endpoint.clone(),
                revocation_endpoint: begun.revocation_endpoint.clone(),
            }),
            Err(error) => Err(self.not_redeemed(begun, server.as_deref(), error).await),
        }
    }

    async fn not_redeemed(&self, begun: &Begun, server: Option<&Server>, error: AskError) -> AuthorityError {
        let detail = error.to_string();
        match error {
            AskError::NoAnswer(_) => AuthorityError::unavailable(detail),
            AskError::Refused { why: Refused::InvalidGrant(_), .. } => AuthorityError::untrue(detail),
            AskError::Refused { why: Refused::AccessDenied(text), .. } => {
                AuthorityError::declined("access_denied", text.as_deref())
            }
            // spec: UP-12
            AskError::Refused { why: Refused::InvalidClient(_) | Refused::UnauthorizedClient(_), .. } => {
                self.doubt(&begun.client).await;
                if let Some(server) = server {
                    let _ = self.discover_again(server).await;
                }
                match begun.client.way {
                    Way::Dynamic { .. } => AuthorityError::unknown_client(detail),
                    Way::Configured | Way::Document => AuthorityError::settings(detail),
                }
            }
            AskError::Refused { .. } | AskError::Unusable(_) | AskError::Ourselves(_) => {
                AuthorityError::settings(detail)
            }
        }
    }
}
